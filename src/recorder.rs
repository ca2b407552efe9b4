//! The recorder: the order of everything, and its way to the disk.
//!
//! The sequencing lock gives each entry its place and time; whoever holds it sees the state that
//! the place implies. Entries queue up and are written together: whoever waits for durability
//! first writes for all that queued meanwhile, and a thread writes for those who do not wait.

mod head;
mod masked;
mod meter;
mod size;
mod waiting;
mod write;

pub use head::{Head, keyspace};
pub use masked::Described;
pub use meter::{Drawn, MeterId, Need};
pub(crate) use size::{size_of, size_of_text};

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::canonical::Digest;
use crate::clock::{Clock, Stopwatch};
use crate::keys::KeyRing;
use crate::registry::Put;
use crate::store::{Batch, RemoteStore, Store, StoreError};
use crate::trail::entry::{Draft, kind};
use crate::trail::merkle::Frontier;
use crate::vault::Redactor;
use meter::Meter;
use size::size_of_draft;
use write::{MAX_DRAWS, MAX_RECORDS, Writer};

/// The largest entry with all its values, in bytes.
pub const MAX_ENTRY_BYTES: usize = 48 * 1024;
/// How many entries may wait in memory before their callers write them.
const MAX_QUEUED: usize = 8 * 1024;
/// From how long on a write is told as slow.
const SLOW_MILLIS: i64 = 1000;
/// How often is looked for what another process wrote.
const LOOK: Duration = Duration::from_millis(50);
/// How many meters are kept in memory.
const MAX_METERS: usize = 64 * 1024;

/// Called once, when an entry is durable or cannot become so.
pub type Waiter = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

struct Queued {
    at: i64,
    bytes: usize,
    draft: Draft,
    puts: Vec<Put>,
}

struct Sequencer {
    next: u64,
    last_at: i64,
    queue: Vec<Queued>,
    waiters: Vec<(u64, Waiter)>,
    meters: HashMap<MeterId, Held>,
    /// Whether the thread that writes sleeps until there is something.
    idle: bool,
    closing: bool,
}

struct Held {
    meter: Meter,
    /// All entries below this index must be durable for what was reserved to be.
    upto: u64,
}

/// Sequences entries and makes them durable.
pub struct Recorder {
    store: Arc<dyn Store>,
    ring: Arc<KeyRing>,
    clock: Arc<Clock>,
    authority_id: String,
    sequencer: Mutex<Sequencer>,
    wake: Condvar,
    /// Whether somebody writes now.
    writing: Mutex<bool>,
    written: Condvar,
    writer: Mutex<Writer>,
    durable: AtomicU64,
    /// How many entries were appended that tell of something else than calls.
    changes: AtomicU64,
    healthy: AtomicBool,
    failure: Mutex<Option<String>>,
    /// How much of a limit is made durable at once where calls do not wait; 1 where they do.
    portion: u64,
    /// Where another process holds the store: why nothing is sequenced here.
    elsewhere: Option<StoreError>,
    /// What knows the secrets that no entry may hold.
    redactor: OnceLock<Arc<Redactor>>,
}

/// The turn to write, given on when dropped, however the writing ended.
struct Turn<'a>(&'a Recorder);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.writing.lock() = false;
        self.0.written.notify_all();
    }
}

/// What the holder of the sequencing lock may do.
pub struct Slot<'a> {
    recorder: &'a Recorder,
    sequencer: MutexGuard<'a, Sequencer>,
    at: i64,
    must_wait: bool,
    pushed: bool,
}

/// What became of a draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Draw {
    /// All limits were drawn on.
    Drawn,
    /// The limit at this place is used up, and none was drawn on.
    UsedUp(usize),
    /// A limit is to be counted first, see [`Recorder::count`]; none was drawn on.
    Uncounted,
}

/// Where an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// All entries below this index must be durable for the entry to be.
    pub upto: u64,
    /// Whether a limit's portion has to be durable before the call may run.
    pub must_wait: bool,
}

impl Recorder {
    /// A recorder that goes on from the store's head.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        ring: Arc<KeyRing>,
        clock: Arc<Clock>,
        authority_id: String,
        head: Head,
        portion: u64,
    ) -> Self {
        let size = head.frontier.size();
        let elsewhere = store.remote().map(RemoteStore::elsewhere);
        Self {
            store,
            ring,
            clock,
            authority_id,
            sequencer: Mutex::new(Sequencer {
                next: size,
                last_at: head.at,
                queue: Vec::new(),
                waiters: Vec::new(),
                meters: HashMap::new(),
                idle: false,
                closing: false,
            }),
            wake: Condvar::new(),
            writing: Mutex::new(false),
            written: Condvar::new(),
            writer: Mutex::new(Writer::new(head.frontier)),
            durable: AtomicU64::new(size),
            changes: AtomicU64::new(0),
            healthy: AtomicBool::new(true),
            failure: Mutex::new(None),
            portion: portion.max(1),
            elsewhere,
            redactor: OnceLock::new(),
        }
    }

    /// Starts the thread that writes for those who do not wait, `every` so often: zero for at
    /// once.
    ///
    /// # Errors
    /// `Unavailable` if the operating system gives no thread.
    pub fn start(self: &Arc<Self>, every: Duration) -> Result<JoinHandle<()>, StoreError> {
        let recorder = self.clone();
        std::thread::Builder::new()
            .name("answerable-recorder".to_owned())
            .spawn(move || recorder.run(every))
            .map_err(|error| StoreError::Unavailable { what: error.to_string() })
    }

    fn run(&self, every: Duration) {
        loop {
            let mut sequencer = self.sequencer.lock();
            while sequencer.queue.is_empty() && !sequencer.closing {
                sequencer.idle = true;
                self.wake.wait(&mut sequencer);
            }
            sequencer.idle = false;
            if sequencer.queue.is_empty() {
                return;
            }
            // To the end, whoever else writes meanwhile: what comes then goes with the next write.
            let still =
                |sequencer: &mut Sequencer| sequencer.waiters.is_empty() && !sequencer.closing;
            self.wake.wait_while_for(&mut sequencer, still, every);
            let (upto, closing) = (sequencer.next, sequencer.closing);
            drop(sequencer);
            let written = self.wait(upto);
            if written.is_err() || closing {
                // Whoever waits is told by the failed write; nothing is allowed from here on.
                return;
            }
        }
    }

    /// Runs `build` under the sequencing lock: it sees the newest state, and what it pushes gets
    /// the next places.
    ///
    /// # Errors
    /// What `build` answered; `Unavailable` or `Closed` where nothing is recorded any more.
    pub fn sequence<R, E: From<StoreError>>(
        &self,
        build: impl FnOnce(&mut Slot<'_>) -> Result<R, E>,
    ) -> Result<(R, Ticket), E> {
        if let Some(elsewhere) = &self.elsewhere {
            return Err(elsewhere.clone().into());
        }
        let sequencer = self.sequencer.lock();
        // Nothing gets a place that can never be written.
        self.check_health()?;
        if sequencer.closing {
            return Err(StoreError::Closed.into());
        }
        let at = self.clock.stamp().max(sequencer.last_at);
        let mut slot = Slot { recorder: self, sequencer, at, must_wait: false, pushed: false };
        let result = build(&mut slot)?;
        let Slot { mut sequencer, must_wait, pushed, .. } = slot;
        if pushed {
            sequencer.last_at = at;
        }
        let ticket = Ticket { upto: sequencer.next, must_wait };
        let crowded = sequencer.queue.len() > MAX_QUEUED;
        let wakes = pushed && std::mem::take(&mut sequencer.idle);
        drop(sequencer);
        if wakes {
            self.wake.notify_one();
        }
        if crowded {
            // Back-pressure: the queue is memory. A failure shows at the next health check.
            let _ = self.wait(ticket.upto);
        }
        Ok((result, ticket))
    }

    /// Waits until all entries below `upto` are durable, writing them if nobody does.
    ///
    /// # Errors
    /// `Unavailable` if they could not be written; nothing more is recorded after that.
    pub fn wait(&self, upto: u64) -> Result<(), StoreError> {
        if self.durable.load(Ordering::Acquire) >= upto {
            return Ok(());
        }
        // Whoever finds nobody writing writes for all; the others sleep until all are told at once.
        // A queue for the lock would wake them one by one, each to find little to write.
        let mut writing = self.writing.lock();
        loop {
            if self.durable.load(Ordering::Acquire) >= upto {
                return Ok(());
            }
            self.check_health()?;
            if !*writing {
                break;
            }
            self.written.wait(&mut writing);
        }
        *writing = true;
        drop(writing);
        let turn = Turn(self);
        let mut writer = self.writer.lock();
        let (queue, first) = {
            let mut sequencer = self.sequencer.lock();
            (std::mem::take(&mut sequencer.queue), self.durable.load(Ordering::Acquire))
        };
        let (watch, entries) = (Stopwatch::start(), queue.len());
        let written = self.write(&mut writer, first, queue);
        let millis = watch.micros() / 1000;
        if millis >= SLOW_MILLIS {
            tracing::warn!(millis, entries, "the disk was slow to take the trail");
        }
        if let Err(error) = &written {
            self.fail(error);
        }
        drop(writer);
        drop(turn);
        self.tell_waiters();
        written
    }

    /// Writes all that was appended, then runs `run` while nothing is sequenced or written, and no
    /// data key is made.
    ///
    /// # Errors
    /// As [`Recorder::wait`], and what `run` answered.
    pub fn still<R>(&self, run: impl FnOnce() -> Result<R, StoreError>) -> Result<R, StoreError> {
        let mut writing = self.writing.lock();
        while *writing {
            self.written.wait(&mut writing);
        }
        *writing = true;
        drop(writing);
        let turn = Turn(self);
        let mut writer = self.writer.lock();
        let mut sequencer = self.sequencer.lock();
        self.check_health()?;
        let queue = std::mem::take(&mut sequencer.queue);
        let written = self.write(&mut writer, self.durable.load(Ordering::Acquire), queue);
        if let Err(error) = &written {
            self.fail(error);
        }
        let ran = written.and_then(|()| run());
        writer.forget_room();
        drop(sequencer);
        drop(writer);
        drop(turn);
        self.tell_waiters();
        ran
    }

    /// Refuses if a write failed: nothing is allowed until the store is opened again.
    ///
    /// # Errors
    /// `Unavailable` with what failed.
    pub fn check_health(&self) -> Result<(), StoreError> {
        if self.healthy.load(Ordering::Acquire) {
            return Ok(());
        }
        let what = self.failure.lock().clone().unwrap_or_default();
        Err(StoreError::Unavailable { what })
    }

    /// Writes all that was appended, and returns the frontier it then has. Where another process
    /// holds the store, it writes what it appended.
    ///
    /// # Errors
    /// As [`Recorder::wait`].
    pub fn flush(&self) -> Result<Frontier, StoreError> {
        if let Some(holder) = self.store.remote() {
            holder.flush()?;
            return Ok(Head::load(&*self.store)?.frontier);
        }
        let upto = self.sequencer.lock().next;
        self.wait(upto)?;
        Ok(self.writer.lock().frontier().clone())
    }

    /// Whether a limit is counted in memory.
    #[must_use]
    pub fn counts(&self, id: &MeterId) -> bool {
        self.sequencer.lock().meters.contains_key(id)
    }

    /// Reads what was counted of a limit, and holds it to what the trail says was drawn.
    ///
    /// # Errors
    /// `Corrupt` where it is not what the trail says, and the store's.
    pub fn count(&self, id: &MeterId, need: &Need, drawn: &Drawn) -> Result<(), StoreError> {
        let stored = self.store.get(&id.key())?;
        let tagger = |parts: &[&[u8]]| self.ring.meter_digest(parts);
        let meter = Meter::open(id, need, stored, drawn, (self.clock.stamp(), &tagger))?;
        self.sequencer.lock().meters.entry(id.clone()).or_insert(Held { meter, upto: 0 });
        Ok(())
    }

    /// Lets go of the meters of some grants: nothing is drawn on them any more.
    pub fn forget(&self, grants: &std::collections::HashSet<Digest>) {
        self.sequencer.lock().meters.retain(|id, _| !grants.contains(&id.grant));
    }

    /// Commits records that go with no entry.
    ///
    /// # Errors
    /// The store's; nothing more is recorded after one that leaves open what was written.
    pub fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        self.check_health()?;
        let committed = self.store.commit(batch);
        if let Err(error @ (StoreError::Unavailable { .. } | StoreError::Corrupt { .. })) =
            &committed
        {
            self.fail(error);
        }
        committed
    }

    /// Writes all that was appended, gives back what was reserved of limits and not drawn, and
    /// stops the thread. Nothing is sequenced from here on. Answers the last frontier.
    ///
    /// # Errors
    /// As [`Recorder::wait`].
    pub fn close(&self) -> Result<Frontier, StoreError> {
        self.sequencer.lock().closing = true;
        self.wake.notify_all();
        if let Some(elsewhere) = &self.elsewhere {
            return Err(elsewhere.clone());
        }
        let frontier = self.flush()?;
        let unspent: Vec<(Vec<u8>, u64)> = {
            let sequencer = self.sequencer.lock();
            let held = sequencer.meters.iter();
            held.filter_map(|(id, held)| Some((id.key(), held.meter.unspent()?))).collect()
        };
        for some in unspent.chunks(MAX_RECORDS) {
            let mut batch = Batch::default();
            for (key, used) in some {
                batch.put(key.clone(), used.to_be_bytes());
            }
            self.commit(batch)?;
        }
        Ok(frontier)
    }

    fn fail(&self, error: &StoreError) {
        *self.failure.lock() = Some(error.to_string());
        self.healthy.store(false, Ordering::Release);
        tracing::error!(error = %error, "the trail cannot be written; nothing more is allowed");
    }
}

impl Slot<'_> {
    /// The time of everything that is pushed here.
    #[must_use]
    pub fn at(&self) -> i64 {
        self.at
    }

    /// Makes whoever pushes here wait until it is durable, in every mode.
    pub fn insist(&mut self) {
        self.must_wait = true;
    }

    /// The index that the next entry pushed here gets.
    #[must_use]
    pub fn place(&self) -> u64 {
        self.sequencer.next
    }

    /// Whether an entry of this size can be recorded.
    #[must_use]
    pub fn fits(draft: &Draft) -> bool {
        size_of_draft(draft) <= MAX_ENTRY_BYTES
    }

    /// Appends an entry and the changes of the store that go with it; returns its index. What lies
    /// beside it is written without any secret of the vault.
    pub fn push(&mut self, draft: Draft, puts: Vec<Put>) -> u64 {
        let draft = self.recorder.masked(draft);
        let bytes = size_of_draft(&draft);
        self.append(draft, bytes, puts)
    }

    /// As [`Slot::push`], for an entry of a call, which was masked and measured as it was described.
    pub fn push_described(&mut self, described: Described, puts: Vec<Put>) -> u64 {
        self.append(described.draft, described.bytes, puts)
    }

    fn append(&mut self, draft: Draft, bytes: usize, puts: Vec<Put>) -> u64 {
        let index = self.sequencer.next;
        if !matches!(&*draft.kind, kind::DECISION | kind::OUTCOME) {
            self.recorder.changes.fetch_add(1, Ordering::AcqRel);
        }
        self.sequencer.queue.push(Queued { at: self.at, bytes, draft, puts });
        self.sequencer.next += 1;
        self.pushed = true;
        index
    }

    /// Keeps the meters in memory bounded: what is durable can be read again.
    fn forget_meters(&mut self, draws: &[(MeterId, Need)]) {
        if self.sequencer.meters.len() >= MAX_METERS {
            let durable = self.recorder.durable.load(Ordering::Acquire);
            let needed = |id: &MeterId| draws.iter().any(|(draw, _)| draw == id);
            self.sequencer.meters.retain(|id, held| held.upto > durable || needed(id));
        }
    }

    /// Draws what a call needs of each limit, or nothing; the entry of it is to be pushed next.
    ///
    /// # Errors
    /// `Refused` for more limits than one call may draw on.
    pub fn draw(
        &mut self,
        draws: &[(MeterId, Need)],
        puts: &mut Vec<Put>,
    ) -> Result<Draw, StoreError> {
        // Once, before any is looked at: a meter that was checked must still be there to be drawn.
        self.forget_meters(draws);
        if draws.len() > MAX_DRAWS {
            let what = format!("a call may draw on {MAX_DRAWS} limits, this on {}", draws.len());
            return Err(StoreError::Refused { what });
        }
        for (place, (id, need)) in draws.iter().enumerate() {
            match self.sequencer.meters.get(id) {
                // Never read here, where it cannot be held to the trail.
                None => return Ok(Draw::Uncounted),
                Some(held) if !held.meter.has(need, self.at) => return Ok(Draw::UsedUp(place)),
                Some(_) => {}
            }
        }
        let portion = self.recorder.portion;
        let durable = self.recorder.durable.load(Ordering::Acquire);
        let next = self.sequencer.next;
        for (id, need) in draws {
            if let Some(held) = self.sequencer.meters.get_mut(id) {
                if let Some(mut stored) = held.meter.draw(need, self.at, portion) {
                    if matches!(need, Need::Amount { .. }) {
                        let ring = &self.recorder.ring;
                        stored = Meter::stamp(id, stored, next, &|parts| ring.meter_digest(parts));
                    }
                    puts.push(Put::Set(id.key(), stored));
                    held.upto = next + 1;
                }
                // Whoever draws on a portion waits for it, not only who made it.
                self.must_wait |= held.upto > durable;
            }
        }
        Ok(Draw::Drawn)
    }
}
