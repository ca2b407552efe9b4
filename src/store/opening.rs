//! Opening sled in a folder, and what is done to its handle: the log is looked at first, what it
//! lacks of barriers is made up for, and how far it is durable is noted beside it.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use ::sled::{Config, Db};

use super::StoreError;
use super::cache::{self, Cache};
use super::folder::{self, Dir, unavailable};
use super::log::{self, Cut, Damage, Seen};
use super::mark::{self, Mark, Stands};

/// 20 entries of the largest size are below a quarter of it.
pub(super) const SEGMENT: usize = 8 * 1024 * 1024;
const CACHE: u64 = 32 * 1024 * 1024;
/// sled's `conf` for these settings: written whole and synced, as sled would write it in place.
pub(super) const CONF: &[u8] =
    b"segment_size: 8388608\nuse_compression: false\nversion: 0.34\n\x5e\xeb\xc1\xd7";
pub(super) const DATA_FILE: &str = "db";
pub(super) const CONF_FILE: &str = "conf";
pub(super) const BLOBS: &str = "blobs";
pub(super) const SNAPSHOT: &str = "snap.";
/// What a snapshot that was moved aside begins with.
const ASIDE: &str = "damaged-";
pub(super) const UNFINISHED_SNAPSHOT: &str = ".generating";
const LOCK_TEXT: &str = "could not acquire lock";
/// How often it is tried to open, or looked whether a write is through.
const ATTEMPTS: u32 = 40;
/// After how many bytes of log it is summed up when the store is closed.
const MUCH: u64 = 32 * 1024 * 1024;
const PAUSE: Duration = Duration::from_millis(25);
/// Says, in the store's folder, how many bytes of log were given up and are not recorded yet, and
/// the positions that the last of them lie between.
const LOSS: &str = "LOSS";
/// How many pauses a write may take, 30 s together.
const PATIENCE: u32 = 1200;

/// sled's handle, our own descriptor of its data file, and the file that says how far that is
/// durable.
#[derive(Debug)]
pub(super) struct Opened {
    db: Db,
    cache: Cache,
    data: File,
    tip: File,
    dir: Dir,
    /// The position up to which sled had summed its log up when it was opened.
    summed: u64,
}

impl Opened {
    /// sled's handle.
    pub(super) fn db(&self) -> &Db {
        &self.db
    }

    /// Its cache of pages.
    pub(super) fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Drops what its cache holds beyond its size, if enough was moved since.
    pub(super) fn settle(&self) -> Result<(), StoreError> {
        calm(|| self.cache.settle())
    }

    /// Makes durable what was applied before.
    pub(super) fn barrier(&self) -> Result<(), StoreError> {
        flush(&self.db)?;
        let end = self.end();
        self.data.sync_data().map_err(|error| unavailable("sync its data", &error))?;
        cache::pass_on();
        Mark { end, stands: Stands::Open }.write(&self.tip)
    }

    /// Drops sled, which writes what is left.
    pub(super) fn discard(self) {
        discard(self.db, Some(self.cache));
    }

    /// Drops sled, and notes that all was durable by then. To be called after a barrier.
    pub(super) fn shut(self) -> Result<(), StoreError> {
        let (dir, grown) = (self.dir.clone(), self.end().saturating_sub(self.summed));
        self.let_go()?;
        if grown < MUCH {
            return Ok(());
        }
        // sled sums its log up when it is opened, and reads all of it for that: better now.
        match start(&dir).and_then(Self::let_go) {
            // All is durable and was noted to be; the next opening takes longer.
            Err(error) => tracing::warn!(%error, "the log was not summed up"),
            Ok(()) => tracing::debug!(grown, "the log was summed up"),
        }
        Ok(())
    }

    fn let_go(self) -> Result<(), StoreError> {
        let end = self.end();
        if !discard(self.db, Some(self.cache)) {
            let what = "it could not be closed in order".to_owned();
            return Err(StoreError::Unavailable { what });
        }
        self.data.sync_data().map_err(|error| unavailable("sync its data", &error))?;
        Mark { end, stands: Stands::Shut }.write(&self.tip)?;
        self.tip.sync_data().map_err(|error| unavailable("sync that it was closed", &error))
    }

    /// The position of sled's log up to which it was handed to the disk.
    pub(super) fn end(&self) -> u64 {
        // It answers the position of the last byte, -1 if there is none.
        let last = self.db.context.pagecache.log.stable_offset();
        u64::try_from(last.saturating_add(1)).unwrap_or(0)
    }
}

/// What may be done to open a store whose files are not as they should be: nothing, unless told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Remedy {
    /// A snapshot with which the records cannot be read is moved aside, and they are read without.
    pub repair: bool,
    /// A log that ends before what had been durable is gone on with from there. Whoever allows it
    /// records it, and then calls [`settled`].
    pub accept_loss: bool,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Remedied {
    /// The names of the snapshots that were moved aside.
    pub moved: Vec<String>,
    /// How many bytes of the log had been durable and are gone on without, now or at an earlier
    /// opening that did not come to record it.
    pub lost: Option<u64>,
}

/// Forgets a loss that is recorded now.
///
/// # Errors
/// `Unavailable` if its note cannot be removed: it is recorded again then.
pub fn settled(store: &Path) -> Result<(), StoreError> {
    match fs::remove_file(store.join(LOSS)) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(unavailable("remove the note of a loss", &error))
        }
        _ => folder::sync_folder(store).map_err(|error| unavailable("sync its folder", &error)),
    }
}

/// Opens sled in a folder of the store `store`, whose lock is ours, if its log is whole or `remedy`
/// allows to go on without what is not.
pub(super) fn open_in(
    dir: &Dir,
    store: &Dir,
    remedy: Remedy,
) -> Result<(Opened, Remedied), StoreError> {
    let mut moved = Vec::new();
    let Seen { torn, cut } = match log::look(dir, true) {
        Err(Damage::Snapshot(_)) if remedy.repair => {
            let seen = log::look(dir, false)?;
            moved = snapshots_aside(dir)?;
            seen
        }
        looked => looked?,
    };
    let lost = give_up(store, cut, remedy)?;
    log::put_aside(store, &torn)?;
    match start(dir) {
        Err(StoreError::Corrupt { what }) if remedy.repair && moved.is_empty() => {
            log::look(dir, false)?;
            moved = snapshots_aside(dir)?;
            if moved.is_empty() {
                return Err(StoreError::Corrupt { what });
            }
            Ok((start(dir)?, Remedied { moved, lost }))
        }
        started => Ok((started?, Remedied { moved, lost })),
    }
}

/// What is gone on without, if that is allowed. It is noted before anything is changed, for the
/// files tell nothing of it afterwards: until it is recorded, each opening has to allow it.
fn give_up(store: &Dir, cut: Option<Cut>, remedy: Remedy) -> Result<Option<u64>, StoreError> {
    let before = Loss::read(store)?;
    let Some(lost) = (match (&before, &cut) {
        (None, None) => None,
        (Some(noted), None) => Some(*noted),
        (noted, Some(cut)) => Some(noted.unwrap_or_default().and(cut)),
    }) else {
        return Ok(None);
    };
    if !remedy.accept_loss {
        let what = cut.map_or_else(
            || match before {
                Some(Loss { readable: false, .. }) => format!(
                    "the end of its log was given up, which is not recorded yet, and the note of how much, `{}`, cannot be read",
                    store.file_path(LOSS)
                ),
                _ => "the end of its log was given up, which is not recorded yet".to_owned(),
            },
            |cut| cut.what,
        );
        return Err(StoreError::CutShort { what });
    }
    if cut.is_some() {
        store.write_whole(LOSS, lost.text().as_bytes(), true)?;
    }
    Ok(Some(lost.bytes))
}

/// What was given up and is not recorded yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Loss {
    /// How many bytes of log, all in all.
    bytes: u64,
    /// The last stretch of them: from where to where the log was given up. It can be seen again
    /// where the process ended before the log went on from there, and is then the same loss.
    last: Option<(u64, u64)>,
    /// Whether its note says so; it is a loss all the same.
    readable: bool,
}

impl Default for Loss {
    fn default() -> Self {
        Self { bytes: 0, last: None, readable: true }
    }
}

impl Loss {
    /// The longest note, in bytes.
    const LONGEST: u64 = 64;

    /// What is noted, if anything: whatever lies there is a note.
    fn read(store: &Dir) -> Result<Option<Self>, StoreError> {
        let path = store.path().join(LOSS);
        let failed = |error: std::io::Error| unavailable("read the note of a loss", &error);
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
            Ok(data) if !data.is_file() => return Ok(Some(Self::unreadable())),
            Ok(_) => {}
        }
        let mut bytes = Vec::new();
        let file = File::open(&path).map_err(failed)?;
        file.take(Self::LONGEST).read_to_end(&mut bytes).map_err(failed)?;
        Ok(Some(Self::parse(&bytes).unwrap_or_else(Self::unreadable)))
    }

    fn unreadable() -> Self {
        Self { readable: false, ..Self::default() }
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut numbers = std::str::from_utf8(bytes).ok()?.split_ascii_whitespace();
        let mut next = || numbers.next().map(str::parse::<u64>);
        let bytes = next()?.ok()?;
        let last = match (next(), next(), next()) {
            (None, ..) => None,
            (Some(Ok(from)), Some(Ok(to)), None) => Some((from, to)),
            _ => return None,
        };
        Some(Self { bytes, last, readable: true })
    }

    fn text(self) -> String {
        match self.last {
            Some((from, to)) => format!("{} {from} {to}\n", self.bytes),
            None => format!("{}\n", self.bytes),
        }
    }

    /// The same and a cut, which may be the last one, seen again.
    fn and(self, cut: &Cut) -> Self {
        let (known, from) = match self.last {
            // Up to where it had been durable tells which it is; where it ends may have moved.
            Some((from, to)) if to == cut.to => (to.saturating_sub(from), from.min(cut.from)),
            _ => (0, cut.from),
        };
        let more = cut.to.saturating_sub(from).saturating_sub(known);
        Self { bytes: self.bytes.saturating_add(more), last: Some((from, cut.to)), ..self }
    }
}

/// Makes sled's files in an empty folder.
pub(super) fn make_in(dir: &Dir) -> Result<Opened, StoreError> {
    start(dir)
}

/// Gives the snapshots in a folder names that are not theirs.
fn snapshots_aside(dir: &Dir) -> Result<Vec<String>, StoreError> {
    let mut moved = Vec::new();
    for name in dir.names()? {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with(SNAPSHOT) {
            let aside = format!("{ASIDE}{name}");
            fs::rename(dir.path().join(&name), dir.path().join(&aside))
                .map_err(|error| unavailable("move a snapshot aside", &error))?;
            moved.push(aside);
        }
    }
    if !moved.is_empty() {
        dir.sync()?;
    }
    Ok(moved)
}

/// Starts sled in a folder of a store whose lock is ours.
fn start(dir: &Dir) -> Result<Opened, StoreError> {
    let failed = |doing: &'static str| move |error: std::io::Error| unavailable(doing, &error);
    let path = dir.path();
    let blobs = dir.inner(BLOBS)?;
    for name in dir.names()? {
        let text = name.to_string_lossy();
        if text.starts_with(SNAPSHOT) && text.ends_with(UNFINISHED_SNAPSHOT) {
            fs::remove_file(path.join(&name)).map_err(failed("remove half a snapshot"))?;
        }
    }
    if fs::read(path.join(CONF_FILE)).ok().as_deref() != Some(CONF) {
        dir.write_whole(CONF_FILE, CONF, true)?;
    }
    let data = dir.file(DATA_FILE)?;
    data.sync_all().map_err(failed("sync its data"))?;
    let tip = dir.file(mark::FILE)?;
    if let Some(before) = Mark::read(dir)? {
        // From here on it is not shut.
        Mark { stands: Stands::Open, ..before }.write(&tip)?;
        tip.sync_data().map_err(failed("sync how far its data is durable"))?;
    }
    dir.sync()?;

    let config =
        Config::new().path(path).segment_size(SEGMENT).cache_capacity(CACHE).flush_every_ms(None);
    let named = |error: StoreError| match error {
        StoreError::Corrupt { what } => StoreError::Corrupt {
            what: format!(
                "`{}` does not hold what was written to it ({what})",
                dir.file_path(DATA_FILE)
            ),
        },
        other => other,
    };
    let mut opened = calm(|| config.open());
    for _ in 1..ATTEMPTS {
        match &opened {
            Err(StoreError::Unavailable { what }) if what.contains(LOCK_TEXT) => {
                std::thread::sleep(PAUSE);
                opened = calm(|| config.open());
            }
            _ => break,
        }
    }
    let db = opened.map_err(|error| match error {
        StoreError::Unavailable { what } if what.contains(LOCK_TEXT) => {
            StoreError::Busy { holder: None, path: path.to_owned() }
        }
        other => named(other),
    })?;

    let cache = match calm(|| Cache::of(&db)) {
        Ok(cache) => cache,
        Err(error) => {
            discard(db, None);
            return Err(named(error));
        }
    };
    let mut opened = Opened { db, cache, data, tip, dir: dir.clone(), summed: 0 };
    opened.summed = opened.end();
    let settled = (|| {
        for name in dir.names()? {
            if name.to_string_lossy().starts_with(SNAPSHOT) {
                folder::tighten(&path.join(&name)).map_err(failed("protect a snapshot"))?;
            }
        }
        opened.barrier()?;
        opened.data.sync_all().map_err(failed("sync its data"))?;
        folder::sync_folder(&blobs).map_err(failed("sync its folder"))?;
        dir.sync()
    })();
    match settled {
        Ok(()) => Ok(opened),
        Err(error) => {
            opened.discard();
            Err(error)
        }
    }
}

/// Drops a sled handle: it writes what is left, and panics if it cannot. Answers whether it could.
fn discard(db: Db, cache: Option<Cache>) -> bool {
    // Whichever handle is dropped last closes it.
    let dropped = catch_unwind(AssertUnwindSafe(|| {
        drop(cache);
        drop(db);
    }))
    .is_ok();
    if !dropped {
        tracing::error!("the store could not be closed in order");
    }
    dropped
}

/// sled's `flush`, which after a failed write may wait for ever: so one of its threads waits in
/// our place, and we look at what it waits for.
fn flush(db: &Db) -> Result<(), StoreError> {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut flushed = pin!(db.flush_async());
    for _ in 0..PATIENCE {
        if let Poll::Ready(done) = calm(|| Ok(flushed.as_mut().poll(&mut context)))? {
            return calm(|| done.map(drop));
        }
        std::thread::park_timeout(PAUSE);
        if let Err(error) = calm(|| db.context.global_error()) {
            // A second flush sees the error at once, and wakes the thread that waits.
            let _ = calm(|| db.flush());
            return Err(error);
        }
    }
    Err(StoreError::Unavailable { what: "its data could not be written in time".to_owned() })
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a call into sled; neither its errors nor its panics pass as they are.
pub(super) fn calm<T>(call: impl FnOnce() -> ::sled::Result<T>) -> Result<T, StoreError> {
    use ::sled::Error;
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(Error::Io(error))) => Err(StoreError::Unavailable { what: error.to_string() }),
        Ok(Err(Error::Corruption { at, .. })) => Err(StoreError::Corrupt {
            what: at.map_or_else(
                || "a part of the records was cut or changed".to_owned(),
                |at| format!("the records at {} were cut or changed", at.lid()),
            ),
        }),
        Ok(Err(error)) => Err(StoreError::Corrupt { what: error.to_string() }),
        Err(_) => Err(StoreError::Corrupt { what: "the embedded store gave up".to_owned() }),
    }
}
