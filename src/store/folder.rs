//! The folder a store lies in: whose it is, which format it has, and who holds it.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};

use super::{Holder, StoreError};

/// The format this version writes, and the highest it reads.
pub(super) const FORMAT: u32 = 1;

const FORMAT_FILE: &str = "FORMAT";
const FORMAT_WORDS: &str = "answerable store ";
const LOCK_FILE: &str = "LOCK";
const HOLDER_FILE: &str = "holder.json";
/// Files that are renamed into place begin with this; what is left of them is worth nothing.
const UNFINISHED: &str = ".new-";

/// A folder that is ours, well kept, and locked by this handle.
#[derive(Debug)]
pub(super) struct Folder {
    dir: Dir,
    lock: File,
}

/// A folder of ours with the store's files: the store's own, or one inside it.
#[derive(Debug, Clone)]
pub(super) struct Dir {
    path: PathBuf,
}

/// What came of one attempt to take the lock.
#[derive(Debug)]
pub(super) enum Attempt {
    /// It is ours.
    Taken(Folder),
    /// Somebody holds it.
    Held(Option<Holder>),
}

impl Folder {
    /// Makes or checks the folder and takes its lock, touching nothing that is not a store.
    pub(super) fn take(path: &Path, started: i64) -> Result<Attempt, StoreError> {
        let taken = Self::take_to_copy(path, started)?;
        if let Attempt::Taken(folder) = &taken {
            folder.name_format()?;
        }
        Ok(taken)
    }

    /// As [`Folder::take`], but a new folder is no store before [`Folder::name_format`]: what a copy
    /// that was never finished leaves is refused.
    pub(super) fn take_to_copy(path: &Path, started: i64) -> Result<Attempt, StoreError> {
        let look = || fs::symlink_metadata(path);
        if look().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            create_durably(path)?;
        }
        let data = look().map_err(|error| unavailable("look at its folder", &error))?;
        check(path, &data, Kind::Folder)?;
        has_format(path)?;
        let lock = open_own(&path.join(LOCK_FILE), OpenOptions::new().write(true).create(true))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(Attempt::Held(holder(path))),
            Err(error) => return Err(unavailable("lock its folder", &error.into())),
        }
        let folder = Self { dir: Dir { path: path.to_owned() }, lock };
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let holder = Holder { pid: std::process::id(), host, started };
        let text = serde_json::to_vec(&holder)
            .map_err(|error| StoreError::Unavailable { what: error.to_string() })?;
        folder.dir.write_whole(HOLDER_FILE, &text, false)?;
        Ok(Attempt::Taken(folder))
    }

    /// Says which format the store has, if nothing does.
    pub(super) fn name_format(&self) -> Result<(), StoreError> {
        if fs::symlink_metadata(self.dir.path.join(FORMAT_FILE)).is_ok() {
            return Ok(());
        }
        let text = format!("{FORMAT_WORDS}{FORMAT}\n");
        self.dir.write_whole(FORMAT_FILE, text.as_bytes(), true)
    }

    /// The folder's files.
    pub(super) fn dir(&self) -> &Dir {
        &self.dir
    }

    /// Lets go. The lock is released even where a forked child inherited it.
    pub(super) fn release(self) {
        if let Err(error) = fs::remove_file(self.dir.path.join(HOLDER_FILE)) {
            tracing::debug!(%error, "holder file not removed");
        }
        if let Err(error) = flock(&self.lock, FlockOperation::Unlock) {
            tracing::debug!(%error, "store lock not released early");
        }
    }
}

impl Dir {
    /// A folder by its path, not looked at: for tests.
    #[cfg(test)]
    pub(super) fn of(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// How a file in it is named to people.
    pub(super) fn file_path(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }

    /// A folder inside, made or checked.
    pub(super) fn below(&self, name: &str) -> Result<Self, StoreError> {
        Ok(Self { path: self.inner(name)? })
    }

    /// The file `name` of the folder, made if absent: a file of ours, nobody else may write to it.
    pub(super) fn file(&self, name: &str) -> Result<File, StoreError> {
        let mut options = OpenOptions::new();
        open_own(&self.path.join(name), options.read(true).write(true).create(true))
    }

    /// Replaces a file as a whole, so that no power cut leaves a part of it.
    pub(super) fn write_whole(
        &self,
        name: &str,
        bytes: &[u8],
        durable: bool,
    ) -> Result<(), StoreError> {
        let unfinished = self.path.join(format!("{UNFINISHED}{name}"));
        let written = (|| {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            let mut file = options.custom_flags(no_follow()).open(&unfinished)?;
            file.write_all(bytes)?;
            if durable {
                file.sync_all()?;
            }
            fs::rename(&unfinished, self.path.join(name))?;
            if durable { sync_folder(&self.path) } else { Ok(()) }
        })();
        written.map_err(|error| unavailable(&format!("write `{name}`"), &error))
    }

    /// The names in the folder.
    pub(super) fn names(&self) -> Result<Vec<OsString>, StoreError> {
        names(&self.path)
    }

    /// Makes a folder inside, or checks the one that is there.
    pub(super) fn inner(&self, name: &str) -> Result<PathBuf, StoreError> {
        let path = self.path.join(name);
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(unavailable(&format!("make `{name}`"), &error));
            }
            _ => {}
        }
        let data = fs::symlink_metadata(&path)
            .map_err(|error| unavailable(&format!("look at `{name}`"), &error))?;
        check(&path, &data, Kind::Folder)?;
        Ok(path)
    }

    /// Makes what was created, renamed or removed in the folder durable.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        sync_folder(&self.path).map_err(|error| unavailable("sync its folder", &error))
    }
}

/// Who wrote that they hold the store; `None` if nobody did, or if that process is gone.
pub(super) fn holder(path: &Path) -> Option<Holder> {
    let mut text = Vec::new();
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(no_follow()).open(path.join(HOLDER_FILE)).ok()?;
    file.take(4096).read_to_end(&mut text).ok()?;
    let holder: Holder = serde_json::from_slice(&text).ok()?;
    let here = rustix::system::uname();
    if holder.host == here.nodename().to_string_lossy() && !runs(holder.pid) {
        return None;
    }
    Some(holder)
}

/// Makes the entries of a folder durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

pub(super) fn unavailable(doing: &str, error: &io::Error) -> StoreError {
    StoreError::Unavailable { what: format!("cannot {doing}: {error}") }
}

fn runs(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) else {
        return false;
    };
    rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH)
}

/// Whether the folder has a format file; refuses a folder that holds other things instead.
fn has_format(path: &Path) -> Result<bool, StoreError> {
    let file = path.join(FORMAT_FILE);
    if fs::symlink_metadata(&file).is_ok() {
        let mut text = String::new();
        let mut reader = open_own(&file, OpenOptions::new().read(true))?.take(64);
        reader.read_to_string(&mut text).map_err(|error| unavailable("read `FORMAT`", &error))?;
        return match text.strip_prefix(FORMAT_WORDS).and_then(|rest| rest.trim_end().parse().ok()) {
            Some(1..=FORMAT) => Ok(true),
            Some(found @ 2..) => Err(StoreError::TooNew { found, supported: FORMAT }),
            _ => Err(StoreError::Corrupt {
                what: format!("`{}` does not name a format", file.display()),
            }),
        };
    }
    let foreign = names(path)?.into_iter().find(|name| {
        name != LOCK_FILE && name != HOLDER_FILE && !name.to_string_lossy().starts_with(UNFINISHED)
    });
    match foreign {
        None => Ok(false),
        Some(name) => Err(StoreError::Refused {
            what: format!(
                "`{}` is no store and holds other files (`{}`): choose an empty or new folder",
                path.display(),
                name.to_string_lossy()
            ),
        }),
    }
}

fn names(path: &Path) -> Result<Vec<OsString>, StoreError> {
    fs::read_dir(path)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.file_name())).collect())
        .map_err(|error| unavailable("list its folder", &error))
}

/// Makes the folder and what lacks above it, and makes their entries durable.
fn create_durably(path: &Path) -> Result<(), StoreError> {
    let mut missing = Vec::new();
    for above in path.ancestors() {
        if above.as_os_str().is_empty() || above.exists() {
            break;
        }
        missing.push(above);
    }
    for above in missing.iter().rev() {
        match DirBuilder::new().mode(0o700).create(above) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(unavailable("make its folder", &error));
            }
            _ => {}
        }
        let parent = match above.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        sync_folder(parent).map_err(|error| unavailable("sync the folder above", &error))?;
    }
    Ok(())
}

fn open_own(path: &Path, options: &mut OpenOptions) -> Result<File, StoreError> {
    let fail = |error: io::Error| unavailable(&format!("open `{}`", path.display()), &error);
    let file = options.mode(0o600).custom_flags(no_follow()).open(path).map_err(fail)?;
    check(path, &file.metadata().map_err(fail)?, Kind::File)?;
    Ok(file)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Folder,
    File,
}

/// Refuses what somebody else owns or may write to, and what is reached through a link.
fn check(path: &Path, data: &Metadata, kind: Kind) -> Result<(), StoreError> {
    let path = path.display();
    let fits = match kind {
        Kind::Folder => data.is_dir(),
        Kind::File => data.is_file(),
    };
    let me = rustix::process::geteuid().as_raw();
    let what = if data.file_type().is_symlink() {
        format!("`{path}` is a symbolic link: name the folder it points to")
    } else if !fits {
        format!("`{path}` is not a plain {}", if kind == Kind::File { "file" } else { "folder" })
    } else if data.uid() != me {
        format!("`{path}` belongs to user {}, not to user {me}: change its owner", data.uid())
    } else if data.mode() & 0o022 != 0 {
        format!("others may write to `{path}`: run `chmod go-w` on it after checking what it holds")
    } else {
        return Ok(());
    };
    Err(StoreError::Refused { what })
}

/// Takes the permissions of group and others from a file.
pub(super) fn tighten(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
}

fn no_follow() -> i32 {
    i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default()
}

#[cfg(test)]
#[path = "folder_tests.rs"]
mod tests;
