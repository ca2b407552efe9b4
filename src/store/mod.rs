//! The store: what is kept between two runs, behind one small contract.
//!
//! A store maps byte keys to byte values, in the order of the keys. The engine never sees which
//! engine lies below: `sled` in a folder, or a database server.

mod cache;
mod folder;
mod generation;
mod log;
mod mark;
mod opening;
mod remote;
mod room;
mod segment;
mod sled;
pub(crate) mod socket;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use self::opening::{Remedied, Remedy, settled};
pub use self::remote::RemoteStore;
pub use self::sled::SledStore;

/// The longest key, in bytes. A key has at least one byte.
pub const MAX_KEY: usize = 1024;
/// The longest value, in bytes.
pub const MAX_VALUE: usize = 64 * 1024 - 1;
/// The most operations in one batch; about 100 is where sled is at its best.
pub const MAX_BATCH: usize = 1000;
/// The most bytes of keys and values in one batch.
pub const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Keys and values that outlive the process.
///
/// Every call may come from any thread. Reads see each batch whole or not at all, and may see one
/// whose `commit` has not returned yet; what must not be acted on before it is durable has to wait
/// for `commit`.
pub trait Store: Send + Sync {
    /// The value under `key`.
    ///
    /// # Errors
    /// When the store cannot answer; never for an absent key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Calls `each` for the keys with `prefix`, ascending, beginning at `from` (itself included),
    /// until it returns `false`.
    ///
    /// It is not a snapshot: entries written while it runs may or may not be met. The callback may
    /// call the store, `close` included.
    ///
    /// # Errors
    /// When the store cannot answer; what was passed on before stays valid.
    fn scan(&self, prefix: &[u8], from: Option<&[u8]>, each: &mut Visit) -> Result<(), StoreError>;

    /// Calls `each` for the keys with `prefix`, descending, beginning below `before` (itself left
    /// out), until it returns `false`. As [`scan`](Store::scan) otherwise.
    ///
    /// # Errors
    /// When the store cannot answer.
    fn scan_back(
        &self,
        prefix: &[u8],
        before: Option<&[u8]>,
        each: &mut Visit,
    ) -> Result<(), StoreError>;

    /// Applies the whole batch or nothing of it; it is durable when this returns.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the batch breaks a bound: nothing was written and the store is
    /// well. Any other error leaves open whether the batch will be found after the next open.
    fn commit(&self, batch: Batch) -> Result<(), StoreError>;

    /// Copies every record into fresh files, as `change` answers it, while the store goes on being
    /// used: files of its own, or a new store in the folder `into`, which must not be there yet.
    /// Nothing takes effect before [`finish_rewrite`](Store::finish_rewrite).
    ///
    /// It is how values are removed for good: a store may keep old versions of what was replaced
    /// or deleted in its files for as long as it likes.
    ///
    /// # Errors
    /// `change`'s, the store's; [`StoreError::Refused`] where this kind of store cannot.
    fn prepare_rewrite(
        &self,
        into: Option<&Path>,
        change: &mut Rewrite<'_>,
    ) -> Result<(), StoreError> {
        let _ = (into, change);
        let what = "this kind of store is neither rewritten nor copied here, but by its database"
            .to_owned();
        Err(StoreError::Refused { what })
    }

    /// Copies what was written since, and `last` after it, and ends the copy durably. Fresh files
    /// of its own take the place of the old ones at once, which are removed. Other calls wait
    /// meanwhile. Answers how many records were copied.
    ///
    /// # Errors
    /// As [`prepare_rewrite`](Store::prepare_rewrite). The old files stay in force then, unless
    /// only their removal failed; that is made up for at the next opening.
    fn finish_rewrite(&self, change: &mut Rewrite<'_>, last: Batch) -> Result<u64, StoreError> {
        let _ = last;
        self.prepare_rewrite(None, change).map(|()| 0)
    }

    /// How many bytes its files take on the disk; `None` where that is not for us to say.
    ///
    /// # Errors
    /// The store's.
    fn bytes_on_disk(&self) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }

    /// Removes older files that others took the place of: to be called once what was opened is known
    /// to be the store that is meant.
    ///
    /// # Errors
    /// The store's.
    fn clear_older(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Lets go of what it keeps in memory beyond what it should: called now and then where much is
    /// read or written, never by whoever is waited for.
    ///
    /// # Errors
    /// The store's.
    fn settle(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// How many bytes the disk has left for it; `None` where that is not for us to say.
    ///
    /// # Errors
    /// The store's.
    fn room(&self) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }

    /// Removes what was put aside of a torn end of its files: old versions of records, too.
    ///
    /// # Errors
    /// The store's.
    fn forget_torn(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Gives up a prepared rewrite.
    fn drop_rewrite(&self) {}

    /// Writes what is left and lets go of the store. Later calls answer [`StoreError::Closed`];
    /// a second `close` does nothing.
    ///
    /// # Errors
    /// When the last write fails. The store is closed all the same.
    fn close(&self) -> Result<(), StoreError>;

    /// The way to its holder, where another process holds it.
    fn remote(&self) -> Option<&RemoteStore> {
        None
    }
}

/// What a scan calls with each key and value; it returns whether to go on.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> bool + 'a;

/// What a rewrite makes of a record: its new value, or nothing. It may be asked again for a key
/// that was written meanwhile; the last answer stands.
pub type Rewrite<'a> = dyn FnMut(&[u8], &[u8]) -> Result<Option<Vec<u8>>, StoreError> + 'a;

/// Puts and deletes that take effect together, in order: of two on one key, the later stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    operations: Vec<Operation>,
    rooms: Vec<Vec<u8>>,
    bytes: usize,
}

/// One step of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Sets the value under a key.
    Put(Vec<u8>, Vec<u8>),
    /// Removes a key, present or not.
    Delete(Vec<u8>),
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a put.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> &mut Self {
        let (key, value) = (key.into(), value.into());
        self.bytes = self.bytes.saturating_add(key.len()).saturating_add(value.len());
        self.operations.push(Operation::Put(key, value));
        self
    }

    /// Adds a delete.
    pub fn delete(&mut self, key: impl Into<Vec<u8>>) -> &mut Self {
        let key = key.into();
        self.bytes = self.bytes.saturating_add(key.len());
        self.operations.push(Operation::Delete(key));
        self
    }

    /// Tells that keys from about `key` on are going to be written, in order, with long values. A
    /// store may see to it that each is written once, or take no notice; nobody reads anything there.
    pub fn room(&mut self, key: impl Into<Vec<u8>>) -> &mut Self {
        self.rooms.push(key.into());
        self
    }

    /// Where room is to be made.
    fn rooms(&self) -> &[Vec<u8>] {
        &self.rooms
    }

    /// The keys it touches.
    pub fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.operations.iter().map(|operation| match operation {
            Operation::Put(key, _) | Operation::Delete(key) => key.as_slice(),
        })
    }

    /// Whether each operation puts a value, in order.
    fn puts(&self) -> impl Iterator<Item = bool> {
        self.operations.iter().map(|operation| matches!(operation, Operation::Put(..)))
    }

    /// How many operations it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// How many bytes of keys and values it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Checks the bounds that every store keeps, so that what one accepts all accept.
    ///
    /// # Errors
    /// [`StoreError::Refused`], naming the bound.
    pub fn check(&self) -> Result<(), StoreError> {
        let refuse = |what: String| Err(StoreError::Refused { what });
        if self.len() > MAX_BATCH {
            return refuse(format!(
                "a batch holds at most {MAX_BATCH} operations, this one {}: split it",
                self.len()
            ));
        }
        if self.bytes > MAX_BATCH_BYTES {
            return refuse(format!(
                "a batch holds at most {MAX_BATCH_BYTES} bytes, this one {}: split it",
                self.bytes
            ));
        }
        if let Some(key) = self.rooms.iter().find(|key| key.len() > MAX_KEY) {
            return refuse(format!("a key has 1 to {MAX_KEY} bytes, this one {}", key.len()));
        }
        for operation in &self.operations {
            let (key, value) = match operation {
                Operation::Put(key, value) => (key, value.len()),
                Operation::Delete(key) => (key, 0),
            };
            if key.is_empty() || key.len() > MAX_KEY {
                return refuse(format!("a key has 1 to {MAX_KEY} bytes, this one {}", key.len()));
            }
            if room::is(key) {
                return refuse("a key ends like those that make room for others".to_owned());
            }
            if value > MAX_VALUE {
                return refuse(format!(
                    "a value has at most {MAX_VALUE} bytes, this one {value}: split it"
                ));
            }
        }
        Ok(())
    }

    /// The operations, in order.
    #[must_use]
    pub fn into_operations(self) -> Vec<Operation> {
        self.operations
    }
}

/// Who holds a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// The machine it runs on.
    pub host: String,
    /// When it opened the store, in microseconds since 1970.
    pub started: i64,
}

/// Why a store did not do as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Somebody else holds it.
    #[error("store `{}` is in use by {}: close it there, or work through that process", path.display(), told(holder.as_ref()))]
    Busy {
        /// Who; `None` when the holder did not say or is gone.
        holder: Option<Holder>,
        /// The folder.
        path: PathBuf,
    },
    /// Another process holds it, through whose socket it is only read.
    #[error("store `{}` is held by process {pid}, and only read from here: calls are judged and recorded there, so run the tool in that process, or stop it and open the store again", path.display())]
    Attached {
        /// The holder's process.
        pid: u32,
        /// The folder.
        path: PathBuf,
    },
    /// It cannot read or write now. A handle that has once failed to write stays so.
    #[error("store unavailable: {what}; fix the cause, then open the store again")]
    Unavailable {
        /// The cause.
        what: String,
    },
    /// What lies there cannot be read as a store. Nothing was removed.
    #[error(
        "store damaged: {what}; keep a copy of the folder, then restore a backup or move it aside"
    )]
    Corrupt {
        /// What was found.
        what: String,
    },
    /// Its log ends before what had been durable: a plain copy of a store in use may be like this, or
    /// a file that was cut or damaged near its end. Nothing was removed.
    #[error(
        "store damaged: {what}; keep a copy of the folder, then restore a backup, or go on with what is before that, recorded, by `answerable doctor --accept-restore` (a plain copy of a store in use may be like this: `answerable backup` makes sound ones)"
    )]
    CutShort {
        /// What was found.
        what: String,
    },
    /// The store declines, and nothing was touched.
    #[error("refused by the store: {what}")]
    Refused {
        /// The rule that was broken, and the way out.
        what: String,
    },
    /// A later version wrote it.
    #[error(
        "the store has format {found}, this version reads up to {supported}: upgrade answerable"
    )]
    TooNew {
        /// The format found.
        found: u32,
        /// The highest format this version reads.
        supported: u32,
    },
    /// It is older than the checkpoint kept beside it, or another.
    #[error(
        "the store was put back, or its files are damaged: it has {found} entries and does not agree with the checkpoint over {kept} that is kept beside it; keep a copy of the folder; if it was restored on purpose, say so with `answerable doctor --accept-restore`"
    )]
    PutBack {
        /// How many entries the kept checkpoint covers.
        kept: u64,
        /// How many there are.
        found: u64,
    },
    /// It was closed.
    #[error("the store is closed: open it again")]
    Closed,
    /// It was opened before this process was forked.
    #[error(
        "a store was opened before this process was forked: open stores only after the fork, or start workers with `spawn` or `forkserver`"
    )]
    Forked,
}

impl StoreError {
    /// The stable code that programs branch on.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Busy { .. } => "store_busy",
            Self::Attached { .. } => "store_attached",
            Self::Unavailable { .. } => "store_unavailable",
            Self::Corrupt { .. } => "store_corrupt",
            Self::CutShort { .. } => "store_cut_short",
            Self::Refused { .. } => "store_refused",
            Self::TooNew { .. } => "store_too_new",
            Self::PutBack { .. } => "store_put_back",
            Self::Closed => "store_closed",
            Self::Forked => "store_forked",
        }
    }
}

fn told(holder: Option<&Holder>) -> String {
    match holder {
        Some(holder) => format!("process {} on `{}`", holder.pid, holder.host),
        None => "an unknown process".to_owned(),
    }
}
