//! The bytes of sled's log: segments, their headers, the messages in them. Only read.
//!
//! sled 0.34.7 (its `pagecache`): segments of one size, each with a header of 20 bytes (CRC,
//! position, the position up to which it was stable) and messages (CRC, kind, length, segment
//! number, page, body).

use super::opening::SEGMENT;

/// The length of a segment.
pub(super) const LENGTH: u64 = SEGMENT as u64;
pub(super) const HEADER: usize = 20;
/// No message begins so near the end of a segment.
pub(super) const RED_ZONE: usize = 32;
/// The most bytes that a message's own header takes.
pub(super) const MESSAGE_HEADER: usize = 32;
/// Positions in segment headers are stored with all bits but the sign turned.
pub(super) const TURNED: u64 = 0x7FFF_FFFF_FFFF_FFFF;
pub(super) const ZEROS: [u8; 4096] = [0; 4096];
/// The kinds of messages that matter here.
pub(super) const CAP: u8 = 2;
pub(super) const KINDS: std::ops::RangeInclusive<u8> = 1..=11;
/// Those that make a page anew: whatever was said of it before is not needed any more.
pub(super) const WHOLE: std::ops::RangeInclusive<u8> = 4..=9;
pub(super) const LINK: [u8; 2] = [10, 11];

/// A segment as it was read: how far, and what its messages say of which page.
pub(super) struct Walked {
    /// Where in the segment the first message stands that cannot be read; `None` if it was read to
    /// its end.
    pub(super) tear: Option<usize>,
    /// Page and position of each message that makes a page anew.
    pub(super) whole: Vec<(u64, u64)>,
    /// The same of those that add to one.
    pub(super) links: Vec<(u64, u64)>,
}

/// A segment without the pages of zeros at its end: most of the last one was never written.
pub(super) fn written(bytes: &[u8]) -> &[u8] {
    let zeros = |page: &&[u8]| ZEROS.get(..page.len()) == Some(*page);
    let unwritten: usize = bytes.rchunks(ZEROS.len()).take_while(zeros).map(<[u8]>::len).sum();
    bytes.get(..bytes.len() - unwritten).unwrap_or(bytes)
}

pub(super) fn read_header(header: &[u8; HEADER]) -> Option<(u64, u64)> {
    let (crc, rest) = header.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*crc) ^ u32::MAX != crc32fast::hash(rest) {
        return None;
    }
    let (position, stable) = rest.split_first_chunk::<8>()?;
    let (stable, _) = stable.split_first_chunk::<8>()?;
    let turn = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes) ^ TURNED;
    let position = turn(position);
    // Nothing was stable yet: -1.
    let stable = i64::from_le_bytes(turn(stable).to_le_bytes());
    (position <= TURNED).then_some((position, u64::try_from(stable).unwrap_or(0)))
}

/// A message that was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) at: usize,
    kind: u8,
    pub(super) segment: u64,
    pub(super) page: u64,
    pub(super) length: usize,
}

/// The message at a place of a segment, whichever segment it says that it is of.
pub(super) fn message(segment: &[u8], at: usize) -> Option<Found> {
    let rest = segment.get(at..)?;
    let mut header = rest.get(..MESSAGE_HEADER.min(rest.len()))?;
    let room = header.len();
    let (crc, after) = header.split_first_chunk::<4>()?;
    let (kind, after) = after.split_first()?;
    if !KINDS.contains(kind) {
        return None;
    }
    header = after;
    let length = usize::try_from(take_number(&mut header)?).ok()?;
    let number = take_number(&mut header)?;
    let page = take_number(&mut header)?;
    let own = room - header.len();
    let body = rest.get(own..own.checked_add(length)?)?;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(body);
    hasher.update(rest.get(4..own)?);
    if hasher.finalize() ^ u32::MAX != u32::from_le_bytes(*crc) {
        return None;
    }
    Some(Found { at, kind: *kind, segment: number, page, length: own + length })
}

/// Reads a segment from its first message on.
pub(super) fn walk(segment: &[u8], position: u64) -> Walked {
    let mut walked = Walked { tear: None, whole: Vec::new(), links: Vec::new() };
    let mut at = HEADER;
    while at + RED_ZONE <= SEGMENT {
        let found = message(segment, at).filter(|found| found.segment == position / LENGTH);
        let Some(found) = found else {
            walked.tear = Some(at);
            return walked;
        };
        let said = (found.page, position + at as u64);
        match found.kind {
            CAP => return walked,
            kind if WHOLE.contains(&kind) => walked.whole.push(said),
            kind if LINK.contains(&kind) => walked.links.push(said),
            _ => {}
        }
        at += found.length;
    }
    walked
}

/// The whole messages that say something of a page, anywhere from a place of a segment on.
pub(super) fn whole_messages(segment: &[u8], from: usize) -> Vec<Found> {
    let mut found = Vec::new();
    let mut at = from.max(HEADER);
    let end = written(segment).len();
    while at < end {
        match message(segment, at) {
            Some(one) => {
                at += one.length;
                if WHOLE.contains(&one.kind) || LINK.contains(&one.kind) {
                    found.push(one);
                }
            }
            None => at += 1,
        }
    }
    found
}

/// A number of one to nine bytes, as sled writes them.
pub(super) fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let (first, rest) = bytes.split_first()?;
    let more = match first {
        0..=240 => 0,
        241..=248 => 1,
        249 => 2,
        longer => usize::from(*longer) - 247,
    };
    let (more, rest) = rest.split_at_checked(more)?;
    *bytes = rest;
    let number = match (first, more) {
        (0..=240, _) => u64::from(*first),
        (241..=248, [low]) => 240 + 256 * (u64::from(*first) - 241) + u64::from(*low),
        (249, [high, low]) => 2288 + 256 * u64::from(*high) + u64::from(*low),
        (_, more) => more.iter().rev().fold(0, |sum, byte| (sum << 8) | u64::from(*byte)),
    };
    Some(number)
}

/// A number of eight bytes.
pub(super) fn take_fixed(bytes: &mut &[u8]) -> Option<i64> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    *bytes = rest;
    Some(i64::from_le_bytes(*number))
}
