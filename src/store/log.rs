//! What sled's log holds, read before sled reads it. In opening, sled takes the first message that
//! it cannot read for the end of the log and clears what lies behind: right after a power cut, and
//! the loss of evidence where a file was damaged later. So the log is read here first, and nothing
//! is written: what was durable and cannot be read any more is refused, and what may be the end of
//! a power cut and has whole messages behind it is put aside before it is cleared.
//!
//! A position counts the bytes of the whole log; a segment that is not needed any more is used again
//! under a higher one. `snap.<position>` says which messages each page is made of up to there: older
//! messages are not read at the opening.
//!
//! How far the log is durable stands in a file of ours beside it, see [`Mark`].

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;

use super::StoreError;
use super::folder::{Dir, unavailable};
use super::mark::{Mark, Stands};
use super::opening::{DATA_FILE, SEGMENT, SNAPSHOT, UNFINISHED_SNAPSHOT};
use super::segment::{
    Found, HEADER, LENGTH, read_header, take_fixed, take_number, walk, whole_messages, written,
};

/// What is put aside is kept under names that begin with this.
pub(super) const ASIDE: &str = "torn-";

/// Why a log is not opened.
#[derive(Debug, PartialEq)]
pub(super) enum Damage {
    /// The file that sums the log up cannot be read; the log may be whole.
    Snapshot(StoreError),
    /// The log, or it could not be looked at.
    Log(StoreError),
}

impl From<Damage> for StoreError {
    fn from(damage: Damage) -> Self {
        match damage {
            Damage::Snapshot(error) | Damage::Log(error) => error,
        }
    }
}

/// A stretch of the log's file that sled is going to clear, with whole messages in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Torn {
    /// The position in the log that it begins at, or belongs behind.
    position: u64,
    /// Where it begins in the file.
    offset: u64,
    bytes: Vec<u8>,
}

/// What was seen of a log that can be opened.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// What sled is going to clear.
    pub(super) torn: Vec<Torn>,
    /// Where the log ends before what had been durable, if it does.
    pub(super) cut: Option<Cut>,
}

/// The end of a log that had been longer: of a file that was cut or damaged there, or of a plain copy
/// that was made while it was written to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// The position that it ends at.
    pub(super) from: u64,
    /// Up to where it had been durable.
    pub(super) to: u64,
    /// The same in words, with the place.
    pub(super) what: String,
}

/// Looks at the log of a folder, with its snapshot or without.
pub(super) fn look(dir: &Dir, with_snapshot: bool) -> Result<Seen, Damage> {
    let file = match File::open(dir.path().join(DATA_FILE)) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // A store that was used has one, as its snapshot or mark tells.
            return match (newest_snapshot(dir)?, Mark::read(dir).map_err(Damage::Log)?) {
                (None, None) => Ok(Seen::default()),
                _ => Err(damaged(dir, "it is gone, and what was kept beside it is not")),
            };
        }
        Err(error) => return Err(Damage::Log(unavailable("open its data", &error))),
    };
    let length = file.metadata().map_err(|error| read_failed(&error))?.len();
    let snapshot = match newest_snapshot(dir)?.filter(|_| with_snapshot) {
        Some(name) => Snapshot::read(dir, &name, length)?,
        None => Snapshot::default(),
    };
    let mark = Mark::read(dir).map_err(Damage::Log)?;
    Look { dir, file: &file, length, snapshot, mark }.look()
}

/// Keeps what sled is going to clear in files of their own.
pub(super) fn put_aside(store: &Dir, torn: &[Torn]) -> Result<(), StoreError> {
    for piece in torn {
        let name = format!("{ASIDE}{:016x}-{:010x}", piece.position, piece.offset);
        store.write_whole(&name, &piece.bytes, true)?;
        let bytes = piece.bytes.len();
        tracing::warn!(name, bytes, "the end of the log is torn; what lay behind was put aside");
    }
    Ok(())
}

/// Removes what was put aside.
pub(super) fn forget(store: &Dir) -> Result<(), StoreError> {
    let mut removed = false;
    for name in store.names()? {
        if name.to_string_lossy().starts_with(ASIDE) {
            fs::remove_file(store.path().join(&name))
                .map_err(|error| unavailable("remove what was put aside", &error))?;
            removed = true;
        }
    }
    if removed { store.sync() } else { Ok(()) }
}

struct Look<'a> {
    dir: &'a Dir,
    file: &'a File,
    length: u64,
    snapshot: Snapshot,
    mark: Option<Mark>,
}

/// A segment that is no end of the log and yet has one.
struct Broken {
    position: u64,
    offset: u64,
    tear: usize,
    /// What can be read of it, on both sides.
    said: Vec<(u64, u64)>,
    bytes: Vec<u8>,
}

impl Look<'_> {
    fn look(self) -> Result<Seen, Damage> {
        let from = self.snapshot.position / LENGTH * LENGTH;
        let Headers { segments, stable, unreadable } = self.headers(from)?;
        // The last segments follow each other without a gap; the end of the log is in them.
        let lowest = stable.max(from) / LENGTH * LENGTH;
        let mut pages = self.snapshot.pages.clone();
        let (mut end, mut torn) = (self.snapshot.end(), Vec::new());
        let mut next = lowest;
        let mut open = None;
        for (&position, &offset) in segments.range(lowest..) {
            if position != next || open.is_some() {
                // Behind a gap or the end: sled clears it.
                torn.extend(newer(position, offset, 0, &self.segment(offset)?));
                continue;
            }
            let bytes = self.segment(offset)?;
            let walked = walk(&bytes, position);
            note(&mut pages, &walked.whole);
            match walked.tear {
                Some(tear) => {
                    end = position + tear as u64;
                    open = Some((offset + tear as u64, newer(position, offset, tear, &bytes)));
                }
                None => end = position + LENGTH,
            }
            next = position + LENGTH;
        }
        let durable = self.durable();
        let at = match open {
            Some((at, _)) => format!("at byte {at}"),
            None => format!("where byte {end} of its log should follow"),
        };
        if self.snapshot.active && end < self.snapshot.position {
            // Pages are made of what was there: it cannot be gone on without.
            let what = format!("it cannot be read {at}, which its snapshot sums up");
            return Err(damaged(self.dir, &what));
        }
        let cut = (end < durable).then(|| {
            let bytes = durable - end;
            let what = format!("it cannot be read {at}, and had been written {bytes} bytes on");
            Cut { from: end, to: durable, what: untouched(self.dir, &what) }
        });
        torn.extend(open.and_then(|(_, behind)| behind));
        let mut broken_off = Vec::new();
        for (&position, &offset) in segments.range(from..lowest) {
            let bytes = self.segment(offset)?;
            let walked = walk(&bytes, position);
            note(&mut pages, &walked.whole);
            if let Some(tear) = walked.tear {
                let mut said = walked.whole;
                said.extend(walked.links);
                broken_off.push(Broken { position, offset, tear, said, bytes });
            }
        }
        for mut broken in broken_off {
            let behind = whole_messages(&broken.bytes, broken.tear);
            // A segment that was being used again when the machine stopped: nothing in it counted
            // any more.
            let used_again = behind.iter().any(|found| found.segment * LENGTH > broken.position);
            let own = behind.iter().filter(|found| found.segment * LENGTH == broken.position);
            broken.said.extend(own.map(|found| (found.page, broken.position + found.at as u64)));
            let counts = broken.said.iter().any(|(page, at)| counts(&pages, *page, *at));
            if counts || (!used_again && self.is_shut()) {
                let at = broken.offset + broken.tear as u64;
                return Err(damaged(self.dir, &format!("it cannot be read at byte {at}")));
            }
            if !used_again {
                torn.extend(piece(broken.position, broken.offset, broken.tear, &broken.bytes));
            }
        }
        for offset in unreadable {
            let bytes = self.segment(offset)?;
            let Some(found) = whole_messages(&bytes, 0).first().copied() else { continue };
            let position = found.segment.saturating_mul(LENGTH);
            if position < from || segments.contains_key(&position) {
                // Older than what is read, or used again since: nothing in it counts.
                continue;
            }
            // What lies behind the end of a log that was cut short is put aside with the rest.
            if position < end.min(durable) {
                return Err(damaged(
                    self.dir,
                    &format!("the header at byte {offset} cannot be read, but what follows it can"),
                ));
            }
            torn.extend(piece(position, offset, 0, &bytes));
        }
        Ok(Seen { torn, cut })
    }

    /// The position up to which the log had been durable, for certain.
    fn durable(&self) -> u64 {
        let marked = self.mark.as_ref().map_or(0, |mark| mark.end);
        // The log is synced before a snapshot of it is written.
        let summed = if self.snapshot.active { self.snapshot.position } else { 0 };
        marked.max(summed)
    }

    fn is_shut(&self) -> bool {
        self.mark.as_ref().is_some_and(|mark| mark.stands == Stands::Shut)
    }

    fn headers(&self, from: u64) -> Result<Headers, Damage> {
        let mut headers = Headers { segments: BTreeMap::new(), stable: 0, unreadable: Vec::new() };
        let mut offset = 0;
        while offset + HEADER as u64 <= self.length {
            let mut header = [0; HEADER];
            self.file.read_exact_at(&mut header, offset).map_err(|error| read_failed(&error))?;
            match read_header(&header) {
                Some((position, stable)) if position.is_multiple_of(LENGTH) => {
                    if position >= from {
                        headers.stable = headers.stable.max(stable);
                        if headers.segments.insert(position, offset).is_some() {
                            let what = format!("two segments are for byte {position} of its log");
                            return Err(damaged(self.dir, &what));
                        }
                    }
                }
                _ => headers.unreadable.push(offset),
            }
            offset += LENGTH;
        }
        Ok(headers)
    }

    fn segment(&self, offset: u64) -> Result<Vec<u8>, Damage> {
        let length = LENGTH.min(self.length.saturating_sub(offset));
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(SEGMENT)];
        self.file.read_exact_at(&mut bytes, offset).map_err(|error| read_failed(&error))?;
        Ok(bytes)
    }
}

struct Headers {
    /// Position to offset in the file.
    segments: BTreeMap<u64, u64>,
    /// The highest position that any of them says was stable.
    stable: u64,
    /// Where a header should be and none can be read.
    unreadable: Vec<u64>,
}

/// What the newest snapshot says.
#[derive(Default)]
struct Snapshot {
    /// Up to where it sums the log up.
    position: u64,
    /// Whether the log goes on in the segment of that position.
    active: bool,
    /// For each page, the position of what made it last.
    pages: HashMap<u64, u64>,
}

impl Snapshot {
    fn read(dir: &Dir, name: &str, length: u64) -> Result<Self, Damage> {
        let bytes = fs::read(dir.path().join(name)).map_err(|error| read_failed(&error))?;
        let cannot = |what: &str| {
            let what = format!("`{}`, which sums up the log, {what}", dir.file_path(name));
            Damage::Snapshot(StoreError::Corrupt { what })
        };
        let sound = bytes
            .split_last_chunk::<4>()
            .and_then(|(rest, crc)| Some((rest.split_last_chunk::<8>()?.0, crc)))
            .filter(|(body, crc)| crc32fast::hash(body) == u32::from_le_bytes(**crc));
        let Some((mut body, _)) = sound else {
            return Err(cannot("was cut or changed"));
        };
        let parsed = Self::parse(&mut body).ok_or_else(|| cannot("cannot be read"))?;
        let (snapshot, furthest) = parsed;
        if furthest >= length {
            let what = format!("it ends at byte {length}, before what was written at {furthest}");
            return Err(damaged(dir, &what));
        }
        Ok(snapshot)
    }

    /// The snapshot, and the highest offset in the log's file that it refers to.
    fn parse(bytes: &mut &[u8]) -> Option<(Self, u64)> {
        // Both are stored as one more, 0 for none.
        let position = u64::try_from(take_fixed(bytes)?.saturating_sub(1)).unwrap_or(0);
        let active = take_number(bytes)? > 0;
        let mut snapshot = Self { position, active, pages: HashMap::new() };
        let (mut page, mut furthest) = (0, 0);
        while let Some((kind, rest)) = bytes.split_first() {
            *bytes = rest;
            // A free page has no size; any other is made of so many messages.
            for message in 0..(*kind).max(1) {
                let at = u64::try_from(take_fixed(bytes)?).ok()?;
                let (blob, rest) = bytes.split_first()?;
                *bytes = rest;
                furthest = furthest.max(take_number(bytes)?);
                if *blob == 1 {
                    take_fixed(bytes)?;
                }
                if *kind > 0 {
                    take_number(bytes)?;
                }
                if message == 0 {
                    snapshot.pages.insert(page, at);
                }
            }
            page += 1;
        }
        Some((snapshot, furthest))
    }

    /// Where the log ends if nothing was written since.
    fn end(&self) -> u64 {
        match self.active {
            // Its segment is there, and tells more.
            true => self.position / LENGTH * LENGTH,
            false => self.position.next_multiple_of(LENGTH),
        }
    }
}

fn newest_snapshot(dir: &Dir) -> Result<Option<String>, Damage> {
    let names = dir.names().map_err(Damage::Log)?.into_iter();
    let names = names.map(|name| name.to_string_lossy().into_owned());
    let found = |name: &String| name.starts_with(SNAPSHOT) && !name.ends_with(UNFINISHED_SNAPSHOT);
    Ok(names.filter(found).max())
}

fn damaged(dir: &Dir, what: &str) -> Damage {
    Damage::Log(StoreError::Corrupt { what: untouched(dir, what) })
}

fn untouched(dir: &Dir, what: &str) -> String {
    let file = dir.file_path(DATA_FILE);
    format!("`{file}` does not hold what was written to it: {what}; nothing was touched")
}

fn read_failed(error: &std::io::Error) -> Damage {
    Damage::Log(unavailable("read its data", error))
}

fn note(pages: &mut HashMap<u64, u64>, whole: &[(u64, u64)]) {
    for (page, at) in whole {
        let last = pages.entry(*page).or_insert(*at);
        *last = (*last).max(*at);
    }
}

/// Whether what a message says of a page still counts.
fn counts(pages: &HashMap<u64, u64>, page: u64, at: u64) -> bool {
    pages.get(&page).is_none_or(|last| at >= *last)
}

/// What lies in a segment from a tear on, if a message that is not older than it is among it.
fn newer(position: u64, offset: u64, tear: usize, bytes: &[u8]) -> Option<Torn> {
    let newer = |found: &Found| found.segment.saturating_mul(LENGTH) >= position;
    whole_messages(bytes, tear).iter().any(newer).then(|| piece(position, offset, tear, bytes))?
}

/// What lies from a tear on, without the zeros at its end.
fn piece(position: u64, offset: u64, tear: usize, bytes: &[u8]) -> Option<Torn> {
    let bytes = written(bytes).get(tear..).filter(|rest| !rest.is_empty())?.to_vec();
    Some(Torn { position: position + tear as u64, offset: offset + tear as u64, bytes })
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
