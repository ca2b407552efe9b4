//! The engine: judgement plus state. One object ties keys, registry, recorder and store together.
//!
//! One engine is one authority and one tenant. State changes run under the sequencing lock; calls
//! are judged against the state of an epoch and judged again if it moved before they were recorded.

mod agree;
mod anchor;
mod append;
mod approvals;
#[cfg(test)]
mod approvals_tests;
mod archive;
mod bound;
mod call;
mod could;
mod counting;
mod delegations;
mod describe;
mod draws;
mod erase;
mod facts;
mod findings;
mod flat;
mod handles;
mod hits;
mod housekeeping;
mod inspect;
mod judge;
mod keys;
mod leases;
mod library;
mod masking;
mod mend;
mod metrics;
mod open;
mod outcome;
mod policies;
mod query;
mod read;
mod receipt;
mod reconstruct;
mod redacting;
mod retention;
mod review;
mod rewrap;
mod rules;
mod serve;
mod shadow;
mod shown;
mod story;
mod vault;
mod vault_review;
mod verbs;
mod verify;
mod walk;
mod watch;
mod words;
mod wrapping;

pub use self::shown::MAX_SHOWN;
pub use approvals::Told;
pub use archive::Archived;
pub use bound::Bound;
pub use call::{Call, Judged};
pub use could::{Could, WhoCould};
pub use counting::{CountBy, count_places};
pub use erase::{Erase, LEAST_AGE};
pub use flat::{Keys, Leaf, Rows, get as key_of_leaf, text as text_of_leaf};
pub use handles::Claim;
pub use hits::Hits;
pub use housekeeping::Swept;
pub use inspect::Inspected;
pub use leases::{Lease, MAX_LEASES, Withheld};
pub use library::{Compacted, Holder, Library};
pub use masking::{Masking, Recorded, Texts, is_secret};
pub use metrics::{Sample, SampleKind, prometheus};
pub use open::{MAX_SHADOW, MasterSource, Options};
pub use outcome::Outcome;
pub use policies::{
    Answer, Case, CaseHuman, Folder, Loaded, MAX_POLICY_BYTES, Part, PolicyFinding, PolicyStory,
    PolicyTold, Replay, Replayed,
};
pub use query::{Order, Query};
pub use read::{Exported, Filter};
pub use receipt::{About, Receipt};
pub use reconstruct::{Node, Reconstruction, What};
pub use review::{Finding, Review, Reviewing, Severity, Spans, Used};
pub use rules::Delivery;
pub use serve::Verbs;
pub use story::{Hop, Story};
pub use verbs::{
    Delegation, Departure, NewAccess, NewGrant, Revoked, Task, TaskChoice, ToldApproval,
};
pub use walk::Walk;
pub use words::{describe, shown};

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use parking_lot::{Mutex, RwLock};

use crate::canonical::Digest;
use crate::chain::{HopCache, InvalidGrant};
use crate::clock::Clock;
use crate::keys::{KeyError, KeyRing, PublicKey, RandomPool};
use crate::policy::LoadFault;
use crate::principal::{GrantId, HumanId};
use crate::recorder::Recorder;
use crate::registry::{Change, Known, Moment, RegistryError, Sealer, State};
use crate::request::{DeclaredTool, ToolName};
use crate::store::{Store, StoreError};
use crate::trail::block::BlockError;
use crate::trail::checkpoint::CheckpointError;
use crate::trail::entry::Entry;

/// When an entry must be durable; see the design's "Durability modes".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The decision before the tool runs; the outcome within the flush interval.
    #[default]
    Before,
    /// Also the outcome before the result is released.
    Strict,
    /// The decision while the tool runs; it gates the result.
    After,
    /// Both within the flush interval.
    Relaxed,
}

impl Durability {
    /// By its word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "before" => Self::Before,
            "strict" => Self::Strict,
            "after" => Self::After,
            "relaxed" => Self::Relaxed,
            _ => return None,
        })
    }

    /// The word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::Strict => "strict",
            Self::After => "after",
            Self::Relaxed => "relaxed",
        }
    }
}

/// Why the engine refused an administrative verb or a question.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A key or key file.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A grant or chain.
    #[error(transparent)]
    Grant(#[from] InvalidGrant),
    /// A state transition.
    #[error(transparent)]
    Registry(RegistryError),
    /// A checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A block of the trail.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// Policies that were refused: every fault, the first foremost.
    #[error("{}", .0.first().map(ToString::to_string).unwrap_or_default())]
    Policy(Vec<LoadFault>),
    /// A value that cannot be accepted.
    #[error("{0}")]
    Invalid(String),
    /// A secret that is withheld.
    #[error(transparent)]
    Withheld(#[from] Withheld),
    /// The clock was set back too far for anything to be trusted.
    #[error(
        "the clock is more than 60 s behind the highest time seen; set it right, nothing is granted until then"
    )]
    ClockBehind,
}

/// What the registry only passed on keeps its own kind.
impl From<RegistryError> for EngineError {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Store(error) => Self::Store(error),
            RegistryError::Key(error) => Self::Key(error),
            other => Self::Registry(other),
        }
    }
}

/// The engine.
pub struct Engine {
    path: PathBuf,
    store: Arc<dyn Store>,
    ring: Arc<KeyRing>,
    clock: Arc<Clock>,
    recorder: Arc<Recorder>,
    /// The trail's blocks and their index.
    pub library: Arc<Library>,
    state: RwLock<State>,
    /// The state's epoch, readable without its lock.
    epoch: AtomicU64,
    authority_id: String,
    /// The authority's first public key.
    first_key: PublicKey,
    keys: RwLock<keys::Keys>,
    cache: HopCache,
    durability: Durability,
    max_hops: usize,
    operator: Mutex<Option<HumanId>>,
    /// Who waits for a human's answer.
    waiting: approvals::Waiting,
    /// How many approvals are open, readable without the state's lock.
    open_approvals: std::sync::atomic::AtomicUsize,
    /// The number of changes that no judgement depends on.
    revision: AtomicU64,
    metrics: metrics::Metrics,
    /// How long an approval waits and holds, in microseconds.
    approval_ttl: i64,
    /// How long a call that asks waits, in microseconds.
    approval_wait: Option<i64>,
    /// Tools that ask, for tests of what an ask meets.
    #[cfg(test)]
    asks: Mutex<Vec<crate::scope::ToolPattern>>,
    #[cfg(test)]
    knows: AtomicBool,
    #[cfg(test)]
    version: Mutex<Option<std::borrow::Cow<'static, str>>>,
    /// Grants seen lately: all whose entries may not be in the store yet, and below which index
    /// they are.
    adopted: Mutex<HashMap<GrantId, (Known, u64)>>,
    shown: Mutex<shown::Shown>,
    grants: Mutex<HashMap<Digest, Arc<Entry>>>,
    /// What tools declare, by their names; read for a call only where policies are in force that
    /// were not held to its tool.
    declared: RwLock<HashMap<ToolName, Arc<DeclaredTool>>>,
    /// Held while policies are compiled and put in force: one at a time.
    loading: Mutex<()>,
    random: RandomPool,
    /// The claimed calls that run in this process.
    running: Mutex<HashSet<Digest>>,
    /// How many handles and claims were made since the opening.
    swept: AtomicU64,
    vault: vault::Vault,
    serving: Mutex<Option<serve::Serving>>,
    /// For how long the values of some kinds are kept; held while they are dropped.
    retention: Mutex<Vec<(String, i64)>>,
    housekeeping: Mutex<Option<(JoinHandle<()>, housekeeping::Stop)>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Where some judgements are made a second time by Cedar's own evaluator.
    shadow: Option<Arc<shadow::Shadow>>,
    closed: AtomicBool,
    /// Where the newest checkpoint is kept; set where the store is a folder of this machine.
    kept: std::sync::OnceLock<PathBuf>,
    anchored: Mutex<anchor::Anchored>,
    /// How many entries there were when it was opened.
    began: u64,
    /// Held by whoever erases: one at a time.
    wrapping: Mutex<wrapping::Wrapping>,
    pid: u32,
}

impl Engine {
    /// The authority's first public key: enough to verify all that it ever signed.
    #[must_use]
    pub fn authority(&self) -> PublicKey {
        self.first_key
    }

    /// The origin of the trail's checkpoints.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("answerable/{}", self.authority_id)
    }

    /// The store's folder.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// The durability mode.
    #[must_use]
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// How long a call that asks waits for its answer, in microseconds; not at all if absent.
    #[must_use]
    pub fn approval_wait(&self) -> Option<i64> {
        self.approval_wait
    }

    /// Refuses if the engine is closed, belongs to another process, or cannot record.
    ///
    /// # Errors
    /// `Closed`, `Forked` or `Unavailable`.
    pub fn check(&self) -> Result<(), StoreError> {
        self.here()?;
        if self.closed.load(Ordering::Acquire) {
            return Err(StoreError::Closed);
        }
        self.recorder.check_health()
    }

    /// Refuses in a forked child.
    ///
    /// INVARIANT: asked before any lock is touched; one that a thread held at the fork is never
    /// released there.
    ///
    /// # Errors
    /// `Forked`.
    pub fn here(&self) -> Result<(), StoreError> {
        if std::process::id() == self.pid { Ok(()) } else { Err(StoreError::Forked) }
    }

    /// Writes all that was appended, signs a last checkpoint, and lets the store go.
    ///
    /// Closing twice is no error.
    ///
    /// # Errors
    /// The store's, if what was appended could not be written.
    pub fn close(&self) -> Result<(), EngineError> {
        self.end(true)
    }

    fn end(&self, join: bool) -> Result<(), EngineError> {
        if self.here().is_err() {
            // The parent's threads and locks do not exist here: leave everything to the parent.
            return Ok(());
        }
        if let Some(shadow) = &self.shadow {
            shadow.end(join);
        }
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.waiting.tell_all();
        let keeping = self.housekeeping.lock().take();
        if let Some((thread, stop)) = keeping {
            *stop.0.lock() = true;
            stop.1.notify_all();
            if join {
                // A panic in it has changed nothing that is not whole.
                let _ = thread.join();
            }
        }
        let serving = self.serving.lock().take();
        if let Some(serving) = serving {
            serving.end(join);
        }
        self.library.end();
        let last = match self.recorder.close() {
            // What another process holds is that one's to write and sign.
            _ if self.store.remote().is_some() => Ok(()),
            Ok(frontier) => self.sign(&frontier).map(|_| ()),
            Err(error) => Err(error.into()),
        };
        if join {
            for thread in std::mem::take(&mut *self.threads.lock()) {
                // A panic in the recorder's thread has already stopped everything.
                let _ = thread.join();
            }
        }
        // Others may read through the same line to its holder: it ends when it is told to, or with
        // the last of them.
        let closed =
            if join || self.store.remote().is_none() { self.store.close() } else { Ok(()) };
        self.vault.close();
        if self.store.remote().is_none() {
            tracing::info!(authority = %self.authority_id, "closed");
        }
        last?;
        Ok(closed?)
    }

    /// Runs a state transition under the sequencing lock and waits until it is durable.
    fn transition<R>(
        &self,
        change: impl FnOnce(
            &mut State,
            Moment,
            &mut Sealer<'_>,
        ) -> Result<(R, Vec<Change>), RegistryError>,
    ) -> Result<R, EngineError> {
        self.check()?;
        let ((result, ended), ticket) = self.recorder.sequence(|slot| {
            let mut state = self.state.write();
            let mut sealer = Sealer::new(&self.ring, &*self.store);
            let before = state.epoch();
            let now = Moment { at: slot.at(), place: slot.place() };
            let (result, changes) = change(&mut state, now, &mut sealer)?;
            for change in changes {
                tracing::info!(
                    kind = &*change.draft.kind,
                    action = change.draft.word("action"),
                    entry = %change.draft.id,
                    "changed"
                );
                slot.push(change.draft, change.puts);
            }
            self.epoch.store(state.epoch(), Ordering::Release);
            let ended = match state.epoch() == before {
                true => Vec::new(),
                false => self.settle_approvals(&mut state, slot.at())?,
            };
            self.note_approvals(&state);
            let ids: Vec<_> = ended.iter().map(|(id, _)| *id).collect();
            for (_, change) in ended {
                slot.push(change.draft, change.puts);
            }
            Ok::<_, RegistryError>((result, ids))
        })?;
        self.recorder.wait(ticket.upto)?;
        self.waiting.tell(&ended);
        Ok(result)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self.here().is_err() {
            // The threads it names do not exist in a forked child.
            std::mem::forget(std::mem::take(self.threads.get_mut()));
            std::mem::forget(self.housekeeping.get_mut().take());
            std::mem::forget(self.serving.get_mut().take());
            return;
        }
        // Not joined: the last handle may be dropped by the recorder's thread itself, or by one
        // that holds the interpreter while the recorder's waits for it. It has nothing left to do.
        if let Err(error) = self.end(false) {
            tracing::error!(error = %error, "the engine could not be closed cleanly");
        }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<engine {} at {}>", self.authority_id, self.path.display())
    }
}
