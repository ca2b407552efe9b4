//! Housekeeping: what a grant needed only while it lasted is dropped some time after its end, without
//! anybody running anything. The trail is never touched, nor where its entries stand.
//!
//! A grant has ended for good once a durable entry is later than its end by more than the clock may
//! be set back: from then on no clock that is accepted can bring it back. So what was counted of its
//! limits and that it was revoked bear on nothing any more.
//!
//! What a schedule of retention does not keep any more is dropped in the same course.
//!
//! An approval that is closed is kept for 30 days after all that came of it has ended, by the same
//! reckoning; who answered it is told from the trail from then on.

use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::{Engine, EngineError};
use crate::canonical::{Digest, Value};
use crate::clock::MAX_BEHIND_MICROS;
use crate::recorder::{Head, keyspace};
use crate::registry::{child_key, ended_grants, old_approvals, revoked_key};
use crate::store::{Batch, StoreError};
use crate::trail::entry::kind;

/// How long it rests between turns.
const REST: Duration = Duration::from_secs(30);
/// How long it rests where a turn left something over.
const PAUSE: Duration = Duration::from_millis(200);
/// How many grants are looked at in a turn; each write is of one turn.
const TURN: usize = 64;
/// How many records of one grant are dropped in a turn.
const MOST: usize = 64;

/// Ends the thread: set, then notified.
pub(super) type Stop = Arc<(Mutex<bool>, Condvar)>;

/// What one turn did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// How many grants that ended were dealt with.
    pub grants: usize,
    /// How many approvals that were closed long ago were dropped.
    pub approvals: usize,
    /// How many records were dropped.
    pub records: usize,
    /// Whether there may be more.
    pub more: bool,
}

impl Engine {
    /// One turn of housekeeping. It runs by itself; this is for who cannot wait.
    ///
    /// # Errors
    /// The store's.
    pub fn keep_house(&self) -> Result<Swept, EngineError> {
        self.check()?;
        let before = Head::load(&*self.store)?.at.saturating_sub(MAX_BEHIND_MICROS);
        let ended = ended_grants(&*self.store, before, TURN)?;
        let mut batch = Batch::new();
        let mut more = ended.len() == TURN;
        for grant in &ended {
            if !self.has_ended(&grant.digest, before)? {
                // Its mark is not what its entry says: what is kept of it stays.
                continue;
            }
            let counters = [keyspace::COUNTER, grant.digest.as_slice()].concat();
            let mut whole = true;
            let mut count = 0;
            self.store.scan(&counters, None, &mut |key, _| {
                count += 1;
                whole = count <= MOST;
                if whole {
                    batch.delete(key);
                }
                whole
            })?;
            if !whole {
                // Its mark stays until all are gone.
                more = true;
                continue;
            }
            if let Some(parent) = &grant.parent {
                batch.delete(child_key(parent, &grant.digest));
            }
            batch.delete(revoked_key(&grant.digest));
            batch.delete(grant.key.clone());
        }
        let old = old_approvals(&*self.store, before, TURN)?;
        more |= old.len() == TURN;
        for key in old.iter().flatten() {
            batch.delete(key.clone());
        }
        let records = batch.len();
        if !batch.is_empty() {
            self.recorder.forget(&ended.iter().map(|grant| grant.digest).collect());
            self.recorder.commit(batch)?;
            let mut state = self.state.write();
            ended.iter().for_each(|grant| state.forget_revoked(&grant.digest));
        }
        Ok(Swept { grants: ended.len(), approvals: old.len(), records, more })
    }
}

impl Engine {
    /// Whether a grant has ended by then, as its entry says.
    fn has_ended(&self, digest: &Digest, before: i64) -> Result<bool, EngineError> {
        let entry = self.grant_entry(digest)?;
        let of = entry.as_ref().filter(|entry| {
            let there = entry.fields.get("digest").and_then(Value::as_bytes);
            entry.kind() == kind::GRANT && there == Some(digest.as_slice())
        });
        let until = of.and_then(|entry| entry.fields.get("until"));
        Ok(matches!(until, Some(Value::Datetime(until)) if *until <= before))
    }
}

/// The first turn, before anything is called: a process may be gone before the thread's first.
pub(super) fn first(engine: &Engine) {
    if let Err(error) = engine.keep_house() {
        // What ails the store is told by what needs it.
        tracing::debug!(%error, "nothing was swept");
    }
}

/// Starts the thread that takes the turns, for as long as the engine is there.
///
/// # Errors
/// `Unavailable` if the operating system gives no thread.
pub(super) fn start(engine: &Arc<Engine>) -> Result<(JoinHandle<()>, Stop), StoreError> {
    let stop: Stop = Arc::default();
    let (weak, own) = (Arc::downgrade(engine), stop.clone());
    let thread = std::thread::Builder::new()
        .name("answerable-housekeeper".to_owned())
        .spawn(move || run(&weak, &own))
        .map_err(|error| StoreError::Unavailable { what: error.to_string() })?;
    Ok((thread, stop))
}

fn run(engine: &Weak<Engine>, stop: &Stop) {
    let mut rest = REST;
    loop {
        let mut stopped = stop.0.lock();
        if !*stopped {
            stop.1.wait_for(&mut stopped, rest);
        }
        if *stopped {
            return;
        }
        drop(stopped);
        let Some(engine) = engine.upgrade() else { return };
        rest = match engine.keep_house().and_then(|swept| engine.retain().map(|_| swept)) {
            Ok(swept) if swept.more => PAUSE,
            Ok(_) => REST,
            // Closed meanwhile, or nothing is allowed any more: there is nothing to keep small.
            Err(error) => {
                tracing::debug!(%error, "housekeeping ends");
                return;
            }
        };
    }
}
