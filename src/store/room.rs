//! Room for records that are going to be written.
//!
//! sled 0.34.7 adds what is written to the page it belongs to, and writes that page whole again, with
//! all its values, each time it was added to ten times or has more than 16 keys and is split. Where
//! keys only grow, as those of the trail's blocks do, all of this happens to the last page, so that
//! each value is written three to five times. So there are keys of nothing ahead of the last one,
//! among which the pages are split before there is a value in them: to such a page a value is added,
//! once.
//!
//! Scans pass them over, and a copy has none: they last until the files are compacted.

/// What such a key ends with: no text does, for it is not UTF-8, and no number that counts anything;
/// that a digest does is as likely as that it is guessed.
const END: [u8; 8] = [0xFF, 0xFE, 0xFD, 0xFC, 0xFB, 0xFA, 0xF9, 0xF8];

/// The key of room for what follows `key`.
pub(super) fn key(key: &[u8]) -> Vec<u8> {
    [key, &END].concat()
}

/// Whether a key is one of nothing.
pub(super) fn is(key: &[u8]) -> bool {
    key.ends_with(&END)
}
