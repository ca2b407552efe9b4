//! The embedded store: sled 0.34.7 in a folder, with the barriers it lacks.
//!
//! Why each precaution is there, found by reading that version and by the fault tests:
//! - its `flush` writes and asks for write-back, which no power cut respects: each commit ends in
//!   an `fdatasync` of our own;
//! - it syncs neither its `conf` nor any directory entry: both are written or synced here before
//!   the first commit can be acknowledged;
//! - a page over a quarter of a segment goes to a file of its own that is never synced. A page
//!   holds some 20 entries, so segments are large enough for 20 entries of the largest size;
//! - a snapshot whose writing was interrupted is taken for the newest one and fails the open: such
//!   remains are removed first. A snapshot may also run ahead of the log it sums up: the log is
//!   synced before it is read;
//! - its worker threads do not survive a fork, for any store of the process: a child gets
//!   [`StoreError::Forked`], from `open` too;
//! - after a failed write its `flush` may wait for ever, and its `Drop` panics when it cannot sync:
//!   the one is waited for from outside, the other is caught.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::sled::IVec;
use parking_lot::{Mutex, RwLock};

use super::folder::{self, Attempt, Folder, unavailable};
use super::generation::{self, Fresh};
use super::log;
use super::opening::{Opened, Remedied, Remedy, calm, open_in};
use super::{Batch, Operation, Rewrite, Store, StoreError, Visit, room};

/// sled lets go of its lock some time after the handle is dropped.
const ATTEMPTS: u32 = 40;
const PAUSE: Duration = Duration::from_millis(25);
/// How many keys of a copy run ahead of their values; a page has 16 at most.
const KEYS_AHEAD: usize = 48;
/// How many entries a scan reads at most before it passes them on.
const PAGE: usize = 64;

/// The process whose threads sled runs on.
static PROCESS: OnceLock<u32> = OnceLock::new();

/// A store in a folder of this machine, held by one process at a time.
#[derive(Debug)]
pub struct SledStore {
    path: PathBuf,
    process: u32,
    open: RwLock<Option<Open>>,
    /// The first failed write; from then on every call fails.
    failed: OnceLock<String>,
    /// How many batches were applied, and how many of them a barrier has covered.
    applied: AtomicU64,
    synced: Mutex<u64>,
    /// The keys written since a rewrite began; `None` while none is under way.
    touched: Mutex<Option<BTreeSet<Vec<u8>>>>,
    /// The records as rewritten so far.
    fresh: Mutex<Option<Fresh>>,
}

#[derive(Debug)]
struct Open {
    sled: Opened,
    folder: Folder,
}

impl SledStore {
    /// Opens the store in the folder `path`, or makes one there; `started` is the time told to
    /// whoever finds the store in use.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when another handle holds it, [`StoreError::Refused`] when the folder
    /// is not ours, [`StoreError::Corrupt`] when its content cannot be read.
    pub fn open(path: impl AsRef<Path>, started: i64) -> Result<Self, StoreError> {
        Ok(Self::open_with(path.as_ref(), started, Remedy::default())?.0)
    }

    /// As [`SledStore::open`], with what may be done about files that are not as they should be.
    /// Answers what was.
    ///
    /// # Errors
    /// As [`SledStore::open`].
    pub fn open_with(
        path: &Path,
        started: i64,
        remedy: Remedy,
    ) -> Result<(Self, Remedied), StoreError> {
        let process = std::process::id();
        if *PROCESS.get_or_init(|| process) != process {
            return Err(StoreError::Forked);
        }
        let folder = lock(path, process, started)?;
        let opened =
            generation::current(folder.dir()).and_then(|dir| open_in(&dir, folder.dir(), remedy));
        let (sled, remedied) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                folder.release();
                return Err(error);
            }
        };
        let store = Self {
            path: path.to_owned(),
            process,
            open: RwLock::new(Some(Open { sled, folder })),
            failed: OnceLock::new(),
            applied: AtomicU64::new(0),
            synced: Mutex::new(0),
            touched: Mutex::new(None),
            fresh: Mutex::new(None),
        };
        Ok((store, remedied))
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn with<T>(&self, call: impl FnOnce(&Open) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.alive()?;
        let open = self.open.read();
        let open = open.as_ref().ok_or(StoreError::Closed)?;
        self.healthy()?;
        call(open)
    }

    /// INVARIANT: asked before any lock is touched; a lock held at the fork is never released.
    fn alive(&self) -> Result<(), StoreError> {
        if std::process::id() == self.process { Ok(()) } else { Err(StoreError::Forked) }
    }

    fn healthy(&self) -> Result<(), StoreError> {
        match self.failed.get() {
            None => Ok(()),
            Some(what) => Err(StoreError::Unavailable { what: what.clone() }),
        }
    }

    /// Remembers a failed write: what the disk holds is unknown from here on.
    fn fail(&self, error: StoreError) -> StoreError {
        tracing::error!(%error, "store failed");
        let what = match &error {
            StoreError::Unavailable { what } | StoreError::Corrupt { what } => what.clone(),
            other => other.to_string(),
        };
        let _ = self.failed.set(format!("an earlier write failed ({what})"));
        error
    }

    /// INVARIANT: one thread at a time, and none after a failure: the kernel tells of a failed
    /// write-back once, to the first who asks.
    fn barrier(&self, open: &Open, ticket: u64) -> Result<(), StoreError> {
        let mut synced = self.synced.lock();
        self.healthy()?;
        if *synced >= ticket {
            return Ok(());
        }
        let covered = self.applied.load(Ordering::Acquire);
        match open.sled.barrier() {
            Ok(()) => {
                *synced = covered;
                Ok(())
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Reads a page at a time and passes it on with no lock held.
    fn walk(&self, mut range: Range, back: bool, each: &mut Visit) -> Result<(), StoreError> {
        // Whoever looks for one entry gets one: the next ones may lie far apart on the disk.
        let mut size = 1;
        while !range.is_empty() {
            let page = self.with(|open| {
                let page = calm(|| {
                    let entries = open.sled.db().range::<&[u8], _>(range.bounds());
                    if back {
                        entries.rev().take(size).collect::<Result<Vec<(IVec, IVec)>, _>>()
                    } else {
                        entries.take(size).collect()
                    }
                })?;
                open.sled.cache().read(page.iter().map(|(_, value)| value.len()));
                if page.len() == PAGE {
                    // Whoever reads on and on is not waited for.
                    open.sled.settle()?;
                }
                Ok(page)
            })?;
            for (key, value) in &page {
                if !room::is(key) && !each(key, value) {
                    return Ok(());
                }
            }
            match page.last() {
                Some((last, _)) if page.len() == size => {
                    let last = Bound::Excluded(last.to_vec());
                    if back { range.end = last } else { range.start = last }
                }
                _ => return Ok(()),
            }
            size = (size * 4).min(PAGE);
        }
        Ok(())
    }
}

impl Store for SledStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.with(|open| {
            let value = calm(|| open.sled.db().get(key))?;
            open.sled.cache().read(value.iter().map(|value| value.len()));
            Ok(value)
        })?;
        Ok(value.filter(|_| !room::is(key)).map(|value| value.to_vec()))
    }

    fn scan(&self, prefix: &[u8], from: Option<&[u8]>, each: &mut Visit) -> Result<(), StoreError> {
        let mut range = Range::below(prefix);
        if let Some(from) = from.filter(|from| *from > prefix) {
            range.start = Bound::Included(from.to_vec());
        }
        self.walk(range, false, each)
    }

    fn scan_back(
        &self,
        prefix: &[u8],
        before: Option<&[u8]>,
        each: &mut Visit,
    ) -> Result<(), StoreError> {
        let mut range = Range::below(prefix);
        if let Some(before) = before {
            range.limit(before);
        }
        self.walk(range, true, each)
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        batch.check()?;
        self.with(|open| {
            if batch.is_empty() {
                return Ok(());
            }
            open.sled.cache().wrote(batch.bytes());
            if let Some(touched) = &mut *self.touched.lock() {
                touched.extend(batch.keys().map(<[u8]>::to_vec));
            }
            let mut writes = ::sled::Batch::default();
            for key in batch.rooms() {
                writes.insert(room::key(key), &[]);
            }
            for operation in batch.into_operations() {
                match operation {
                    Operation::Put(key, value) => writes.insert(key, value),
                    Operation::Delete(key) => writes.remove(key),
                }
            }
            calm(|| open.sled.db().apply_batch(writes)).map_err(|error| self.fail(error))?;
            let ticket = self.applied.fetch_add(1, Ordering::AcqRel).saturating_add(1);
            self.barrier(open, ticket)
        })
    }

    fn prepare_rewrite(
        &self,
        into: Option<&Path>,
        change: &mut Rewrite<'_>,
    ) -> Result<(), StoreError> {
        self.alive()?;
        self.drop_rewrite();
        {
            // No commit is under way here: each is either seen by the scan or remembered.
            let _still = self.open.write();
            *self.touched.lock() = Some(BTreeSet::new());
        }
        let prepared = (|| {
            let mut fresh = match into {
                Some(path) => Fresh::make_at(path)?,
                None => self.with(|open| Fresh::make(open.folder.dir()))?,
            };
            // Keys run ahead of their values: sled writes a page again and again while it grows and
            // splits, so a value is written, once, when its page stays as it is; and near its page,
            // whose segment would be cleaned, and all its values written anew, if it held keys alone.
            let mut waiting: VecDeque<(Vec<u8>, Vec<u8>)> = VecDeque::new();
            let mut copied = Ok(());
            let scanned = self.scan(&[], None, &mut |key, value| {
                waiting.push_back((key.to_vec(), value.to_vec()));
                if let Err(error) = fresh.settle() {
                    copied = Err(error);
                    return false;
                }
                copied = fresh.make_room(key).and_then(|()| match waiting.len() > KEYS_AHEAD {
                    true => waiting
                        .pop_front()
                        .map_or(Ok(()), |(key, value)| fresh.copy(&key, Some(&value), change)),
                    false => Ok(()),
                });
                copied.is_ok()
            });
            let made = scanned.and(copied).and_then(|()| {
                waiting.iter().try_for_each(|(key, value)| fresh.copy(key, Some(value), change))
            });
            match made.and_then(|()| fresh.flush()) {
                Ok(()) => {
                    *self.fresh.lock() = Some(fresh);
                    Ok(())
                }
                Err(error) => {
                    fresh.abandon();
                    Err(error)
                }
            }
        })();
        if prepared.is_err() {
            self.drop_rewrite();
        }
        prepared
    }

    fn finish_rewrite(&self, change: &mut Rewrite<'_>, last: Batch) -> Result<u64, StoreError> {
        self.alive()?;
        let mut open = self.open.write();
        let held = open.as_mut().ok_or(StoreError::Closed)?;
        self.healthy()?;
        let touched = self.touched.lock().take().unwrap_or_default();
        let fresh =
            self.fresh.lock().take().ok_or_else(|| StoreError::Refused {
                what: "no rewrite was prepared".to_owned(),
            })?;
        let fresh = fresh.catch_up(held.sled.db(), touched, change, last)?;
        let count = fresh.count();
        if fresh.is_apart() {
            fresh.close()?;
            return Ok(count);
        }
        let put = fresh.put_in_force(held.folder.dir());
        let sled = put.map_err(|unfinished| match unfinished.in_force {
            true => self.fail(unfinished.error),
            false => unfinished.error,
        })?;
        // From here on the fresh files are the store; what is left of the old ones is removed now,
        // or at the next opening.
        std::mem::replace(&mut held.sled, sled).discard();
        generation::clear(held.folder.dir(), true)?;
        Ok(count)
    }

    fn bytes_on_disk(&self) -> Result<Option<u64>, StoreError> {
        self.with(|open| generation::bytes(open.folder.dir()).map(Some))
    }

    fn clear_older(&self) -> Result<(), StoreError> {
        self.with(|open| generation::clear(open.folder.dir(), false))
    }

    fn settle(&self) -> Result<(), StoreError> {
        self.with(|open| open.sled.settle())
    }

    fn room(&self) -> Result<Option<u64>, StoreError> {
        let told = rustix::fs::statvfs(&self.path)
            .map_err(|error| unavailable("ask how much room the disk has", &error.into()))?;
        Ok(Some(told.f_bavail.saturating_mul(told.f_frsize)))
    }

    fn drop_rewrite(&self) {
        *self.touched.lock() = None;
        if let Some(fresh) = self.fresh.lock().take() {
            fresh.abandon();
        }
    }

    fn forget_torn(&self) -> Result<(), StoreError> {
        self.with(|open| log::forget(open.folder.dir()))
    }

    fn close(&self) -> Result<(), StoreError> {
        self.alive()?;
        self.drop_rewrite();
        let Some(open) = self.open.write().take() else { return Ok(()) };
        let done = match self.healthy() {
            Ok(()) => self.barrier(&open, u64::MAX),
            // It was told to whoever wrote.
            Err(_) => {
                open.end();
                return Ok(());
            }
        };
        match done {
            Ok(()) => open.shut(),
            Err(error) => {
                open.end();
                Err(error)
            }
        }
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        if self.alive().is_err() {
            // In a forked child sled waits for threads that do not exist.
            std::mem::forget(self.open.get_mut().take());
            std::mem::forget(self.fresh.get_mut().take());
            return;
        }
        self.drop_rewrite();
        let Some(open) = self.open.get_mut().take() else { return };
        open.end();
    }
}

impl Open {
    /// Drops sled first, which writes what is left, and frees the folder after it.
    fn end(self) {
        self.sled.discard();
        self.folder.release();
    }

    /// The same after a last barrier, which is noted.
    fn shut(self) -> Result<(), StoreError> {
        let done = self.sled.shut();
        self.folder.release();
        done
    }
}

/// The keys a scan covers.
struct Range {
    start: Bound<Vec<u8>>,
    end: Bound<Vec<u8>>,
}

impl Range {
    /// All keys with `prefix`.
    fn below(prefix: &[u8]) -> Self {
        let mut next = prefix.to_vec();
        let mut end = Bound::Unbounded;
        while let Some(last) = next.pop() {
            if let Some(above) = last.checked_add(1) {
                next.push(above);
                end = Bound::Excluded(next);
                break;
            }
        }
        Self { start: Bound::Included(prefix.to_vec()), end }
    }

    fn limit(&mut self, before: &[u8]) {
        let lower = match &self.end {
            Bound::Excluded(end) | Bound::Included(end) => before < end.as_slice(),
            Bound::Unbounded => true,
        };
        if lower {
            self.end = Bound::Excluded(before.to_vec());
        }
    }

    fn is_empty(&self) -> bool {
        match (&self.start, &self.end) {
            (Bound::Included(start), Bound::Excluded(end)) => start >= end,
            // Nothing lies between a key and the same key with a zero byte after it.
            (Bound::Excluded(start), Bound::Excluded(end)) => start >= end,
            _ => false,
        }
    }

    fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (self.start.as_ref().map(Vec::as_slice), self.end.as_ref().map(Vec::as_slice))
    }
}

/// Takes the folder's lock, waiting a second for a holder that is this process or gone.
fn lock(path: &Path, process: u32, started: i64) -> Result<Folder, StoreError> {
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            std::thread::sleep(PAUSE);
        }
        match Folder::take(path, started)? {
            Attempt::Taken(folder) => return Ok(folder),
            Attempt::Held(Some(holder)) if holder.pid != process => {
                return Err(StoreError::Busy { holder: Some(holder), path: path.to_owned() });
            }
            Attempt::Held(_) => {}
        }
    }
    Err(StoreError::Busy { holder: folder::holder(path), path: path.to_owned() })
}

#[cfg(test)]
#[path = "sled_tests.rs"]
mod tests;
