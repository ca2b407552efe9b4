//! How far sled's log is durable, in a file of ours beside it: `tip`.
//!
//! INVARIANT: what it says is behind what the disk has: it is written after the barrier that made
//! the log durable, and needs none of its own. So whatever was lost of it in a power cut, what it
//! says is true, if perhaps not the newest.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;

use super::StoreError;
use super::folder::{Dir, unavailable};

pub(super) const FILE: &str = "tip";
/// The length of the one line in it.
const LINE: usize = 32;

/// Whether the store was closed in order since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stands {
    Open,
    Shut,
}

/// What the file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// The position in the log below which all of it is durable.
    pub(super) end: u64,
    pub(super) stands: Stands,
}

impl Mark {
    /// What the file of a folder says; `None` if it says nothing that can be read: a store of an
    /// earlier version has none, and a power cut may leave half a line.
    pub(super) fn read(dir: &Dir) -> Result<Option<Self>, StoreError> {
        let mut text = Vec::with_capacity(LINE);
        match File::open(dir.path().join(FILE)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            opened => opened
                .and_then(|file| file.take(LINE as u64).read_to_end(&mut text))
                .map_err(|error| unavailable("read how far its data is durable", &error))?,
        };
        Ok(Self::parse(&text))
    }

    fn parse(line: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(line).ok()?;
        let end = u64::from_str_radix(text.split(' ').next()?, 16).ok()?;
        let mark = |stands| Self { end, stands };
        [mark(Stands::Open), mark(Stands::Shut)].into_iter().find(|mark| mark.line() == text)
    }

    fn line(self) -> String {
        let word = match self.stands {
            Stands::Open => "open",
            Stands::Shut => "shut",
        };
        let said = format!("{:016x} {word}", self.end);
        format!("{said} {:08x}\n\n", crc32fast::hash(said.as_bytes())).chars().take(LINE).collect()
    }

    /// Writes it into its file.
    pub(super) fn write(self, file: &File) -> Result<(), StoreError> {
        file.write_all_at(self.line().as_bytes(), 0)
            .map_err(|error| unavailable("note how far its data is durable", &error))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written_and_not_otherwise() {
        for mark in
            [Mark { end: 0, stands: Stands::Open }, Mark { end: u64::MAX, stands: Stands::Shut }]
        {
            let line = mark.line();
            assert_eq!(line.len(), LINE);
            assert_eq!(Mark::parse(line.as_bytes()), Some(mark));
            for at in 0..LINE {
                let mut other = line.clone().into_bytes();
                other[at] ^= 1;
                assert_eq!(Mark::parse(&other), None, "byte {at}");
            }
            assert_eq!(Mark::parse(&line.as_bytes()[..LINE - 1]), None);
        }
        assert_eq!(Mark::parse(b""), None);
    }
}
