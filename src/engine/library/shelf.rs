//! The files of the index: in a folder of their own beside the store's, each a table. They are
//! derived and tagged, so they are neither synced nor missed.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::trail::index::{Pages, TableError};

/// The folder, in the store's.
const FOLDER: &str = "index";
const ENDING: &str = ".idx";
const UNFINISHED: &str = ".new-";

/// The folder of the index.
#[derive(Debug)]
pub(super) struct Shelf {
    path: PathBuf,
    /// Whether the store is held here: else its files are read, and nothing else.
    ours: bool,
}

/// The entries that a file covers, by its name.
pub(super) type Range = (u64, u64);

impl Shelf {
    pub(super) fn new(store: &Path, ours: bool) -> Self {
        Self { path: store.join(FOLDER), ours }
    }

    /// The files there are, those that cover most first.
    pub(super) fn list(&self) -> Vec<Range> {
        let names = match fs::read_dir(&self.path) {
            Ok(names) => names,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(%error, "the index cannot be read; it is made anew");
                }
                return Vec::new();
            }
        };
        let mut found = Vec::new();
        for name in names.flatten() {
            let name = name.file_name();
            let name = name.to_string_lossy();
            match parse(&name) {
                Some(range) => found.push(range),
                // Half a file: from a process that ended while it wrote.
                None if name.starts_with(UNFINISHED) => self.drop_name(&name),
                None => {}
            }
        }
        found.sort_by_key(|(first, end)| (*first, std::cmp::Reverse(*end)));
        found
    }

    /// Opens a file.
    pub(super) fn open(&self, range: Range) -> io::Result<FilePages> {
        let mut options = OpenOptions::new();
        let file =
            options.read(true).custom_flags(no_follow()).open(self.path.join(name(range)))?;
        let size = file.metadata()?.len();
        Ok(FilePages { file, size })
    }

    /// What a file beside the tables holds, if it is there.
    pub(super) fn read_name(&self, name: &str) -> Option<Vec<u8>> {
        let mut options = OpenOptions::new();
        let file = options.read(true).custom_flags(no_follow()).open(self.path.join(name));
        let mut bytes = Vec::new();
        file.and_then(|mut file| file.read_to_end(&mut bytes)).ok().map(|_| bytes)
    }

    /// Writes a file, whole or not at all.
    pub(super) fn write(&self, range: Range, bytes: &[u8]) -> io::Result<()> {
        self.write_name(&name(range), bytes)
    }

    /// Writes a file beside the tables, whole or not at all.
    pub(super) fn write_name(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        if !self.ours {
            return Err(io::Error::other("another process keeps the files of the index"));
        }
        match DirBuilder::new().mode(0o700).create(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let folder = fs::symlink_metadata(&self.path)?;
        if !folder.is_dir() || folder.uid() != rustix::process::geteuid().as_raw() {
            return Err(io::Error::other("the folder of the index is not our own"));
        }
        let unfinished = self.path.join(format!("{UNFINISHED}{name}"));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600).custom_flags(no_follow());
        options.open(&unfinished)?.write_all(bytes)?;
        fs::rename(unfinished, self.path.join(name))
    }

    /// Drops a file.
    pub(super) fn remove(&self, range: Range) {
        self.drop_name(&name(range));
    }

    fn drop_name(&self, name: &str) {
        if !self.ours {
            return;
        }
        if let Err(error) = fs::remove_file(self.path.join(name))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "a file of the index could not be removed");
        }
    }
}

/// A table in a file.
pub(super) struct FilePages {
    file: File,
    size: u64,
}

impl Pages for FilePages {
    fn read(&self, at: u64, length: usize) -> Result<Vec<u8>, TableError> {
        if at.checked_add(length as u64).is_none_or(|end| end > self.size) {
            return Err(TableError("it ends early".to_owned()));
        }
        let mut bytes = vec![0; length];
        let read = self.file.read_exact_at(&mut bytes, at);
        read.map_err(|error| TableError(error.to_string()))?;
        Ok(bytes)
    }

    fn size(&self) -> u64 {
        self.size
    }
}

fn name((first, end): Range) -> String {
    format!("{first:012x}-{end:012x}{ENDING}")
}

fn parse(name: &str) -> Option<Range> {
    let (first, end) = name.strip_suffix(ENDING)?.split_once('-')?;
    let number = |text: &str| u64::from_str_radix(text, 16).ok();
    let range = (number(first)?, number(end)?);
    (range.0 < range.1 && self::name(range) == name).then_some(range)
}

fn no_follow() -> i32 {
    i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default()
}
