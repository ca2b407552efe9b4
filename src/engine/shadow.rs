//! The shadow check of policies: of some calls, what the compiled policies said is compared with
//! what Cedar's own evaluator says, in a thread of its own. No call waits for it.
//!
//! Where the two differ, one of them is wrong, and nobody knows which: nothing is allowed under
//! those policies any more, in this process at once, and from the entry that says so on in every
//! engine on the store, until other policies are loaded.

use std::collections::{BTreeSet, VecDeque};
#[cfg(test)]
use std::sync::atomic::AtomicBool;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

use super::review::{Finding, Severity};
use super::{Engine, EngineError};
use crate::authorizer::{Governing, Rules, Say, answered_wrongly};
use crate::canonical::Digest;
use crate::decision::Reason;
use crate::policy::{PolicyRef, Verdict};
use crate::request::Request;
use crate::store::StoreError;

/// How many samples wait at most; a further one is dropped.
const WAITING: usize = 64;
/// Cedar's evaluator recurses: a condition that any caller's stack holds is held by this one.
const STACK: usize = 16 << 20;
/// How many policies are named of one mismatch.
const NAMED: usize = 64;

/// The check, where it is on.
pub(super) struct Shadow {
    /// One of so many judgements is compared.
    every: u64,
    judged: AtomicU64,
    queue: Mutex<Queue>,
    told: Condvar,
    /// How many are in `distrusted`: read on each call, without a lock.
    count: AtomicUsize,
    /// The digests of the policies' texts on which the two differed: until their entry stands, or
    /// should it never stand.
    distrusted: Mutex<BTreeSet<Digest>>,
    /// Who records it.
    engine: OnceLock<Weak<Engine>>,
    equal: AtomicU64,
    differing: AtomicU64,
    dropped: AtomicU64,
    unfit: AtomicU64,
    /// Makes the compiled answer say nothing at all.
    #[cfg(test)]
    pub(super) fault: AtomicBool,
}

#[derive(Default)]
struct Queue {
    /// Arguments may be secret: a sample is never written anywhere, and dropped once compared.
    samples: VecDeque<Sample>,
    /// Whether the thread is at a sample.
    busy: bool,
    ended: bool,
}

/// A copy of a call as it was judged, and what the compiled policies said of it.
struct Sample {
    governing: Arc<Governing>,
    request: Request,
    now: i64,
    approved: bool,
    verdict: Verdict,
}

impl Shadow {
    pub(super) fn new(every: u32) -> Self {
        Self {
            every: u64::from(every.max(1)),
            judged: 0.into(),
            queue: Mutex::default(),
            told: Condvar::new(),
            count: 0.into(),
            distrusted: Mutex::default(),
            engine: OnceLock::new(),
            equal: 0.into(),
            differing: 0.into(),
            dropped: 0.into(),
            unfit: 0.into(),
            #[cfg(test)]
            fault: false.into(),
        }
    }

    /// Tells the check who records what it finds.
    pub(super) fn belongs_to(&self, engine: &Arc<Engine>) {
        // INVARIANT: an engine has one check, and tells it once.
        let _ = self.engine.set(Arc::downgrade(engine));
    }

    /// Why nothing is allowed under policies; `None` if nothing that is seen here speaks against it.
    pub(super) fn against(&self, rules: &Rules) -> Option<Reason> {
        let some = self.count.load(Ordering::Acquire) > 0;
        (some && self.distrusted.lock().contains(&rules.texts)).then(answered_wrongly)
    }

    /// After a judgement: takes a copy of every so many.
    pub(super) fn judged(
        &self,
        governing: &Arc<Governing>,
        request: &Request,
        (now, approved): (i64, bool),
        say: &Say<'_>,
    ) {
        if !self.judged.fetch_add(1, Ordering::Relaxed).is_multiple_of(self.every) {
            return;
        }
        // Nothing is copied for a queue that is full, nor while it is locked.
        if self.queue.lock().samples.len() >= WAITING {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let verdict = say.verdict().clone();
        #[cfg(test)]
        let verdict = if self.fault.load(Ordering::Acquire) { Verdict::default() } else { verdict };
        let (governing, request) = (governing.clone(), request.clone());
        let sample = Sample { governing, request, now, approved, verdict };
        let mut queue = self.queue.lock();
        if queue.ended || queue.samples.len() >= WAITING {
            drop(queue);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        queue.samples.push_back(sample);
        drop(queue);
        self.told.notify_all();
    }

    /// Compares one after the other until it is ended.
    fn run(&self) {
        let mut queue = self.queue.lock();
        loop {
            if queue.ended {
                queue.samples.clear();
                return;
            }
            let Some(sample) = queue.samples.pop_front() else {
                self.told.wait(&mut queue);
                continue;
            };
            queue.busy = true;
            drop(queue);
            self.compare(&sample);
            drop(sample);
            queue = self.queue.lock();
            queue.busy = false;
            self.told.notify_all();
        }
    }

    fn compare(&self, sample: &Sample) {
        let governing = &sample.governing;
        let call = governing.call(&sample.request, sample.now, sample.approved);
        let Some(oracle) = governing.subject.oracle(&call) else {
            self.unfit.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let differing = differing(&sample.verdict, &oracle);
        if differing.is_empty() {
            self.equal.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.differing.fetch_add(1, Ordering::Relaxed);
        let set = governing.subject.set();
        let ids = differing.into_iter().filter_map(|policy| set.policy(policy)).take(NAMED);
        let ids: Vec<Arc<str>> = ids.map(|policy| Arc::from(&*policy.id)).collect();
        let rules = &governing.rules;
        // Ids alone: what was called with is nobody's to read here.
        tracing::error!(
            version = %rules.version,
            policies = %ids.join(", "),
            "the compiled policies and Cedar's own evaluator differ; nothing is allowed under them"
        );
        {
            let mut distrusted = self.distrusted.lock();
            distrusted.insert(rules.texts);
            self.count.store(distrusted.len(), Ordering::Release);
        }
        // Without an engine there is nobody left to call.
        let Some(engine) = self.engine.get().and_then(Weak::upgrade) else { return };
        if let Err(error) = engine.distrust(rules, &ids) {
            tracing::error!(%error, "this could not be recorded, and is known to this process only");
        }
    }

    /// How many samples ended in which way.
    pub(super) fn results(&self) -> [(&'static str, u64); 4] {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [
            ("equal", read(&self.equal)),
            ("mismatch", read(&self.differing)),
            ("dropped", read(&self.dropped)),
            ("unfit", read(&self.unfit)),
        ]
    }

    /// Ends the thread; what waits is dropped. What it is at is awaited on demand: what comes of it
    /// can then still be recorded.
    pub(super) fn end(&self, wait: bool) {
        let mut queue = self.queue.lock();
        queue.ended = true;
        queue.samples.clear();
        self.told.notify_all();
        while wait && queue.busy {
            self.told.wait(&mut queue);
        }
    }

    /// Waits until all that was sampled is compared.
    #[cfg(test)]
    pub(super) fn settle(&self) {
        let mut queue = self.queue.lock();
        while queue.busy || !queue.samples.is_empty() {
            self.told.wait(&mut queue);
        }
    }
}

/// The policies that two verdicts differ on. Two that differ on none decide alike, and mask alike.
fn differing(one: &Verdict, other: &Verdict) -> BTreeSet<PolicyRef> {
    let parts = |verdict: &Verdict| {
        [
            verdict.permits.iter().collect::<BTreeSet<_>>(),
            verdict.forbids.iter().collect(),
            verdict.errors.iter().map(|error| error.policy).collect(),
        ]
    };
    let pairs = parts(one).into_iter().zip(parts(other));
    pairs
        .flat_map(|(one, other)| one.symmetric_difference(&other).copied().collect::<Vec<_>>())
        .collect()
}

impl Engine {
    /// Records that the compiled form of policies was seen to differ from Cedar's own evaluator:
    /// nothing is allowed under them from then on, here and after every restart.
    fn distrust(&self, rules: &Rules, policies: &[Arc<str>]) -> Result<(), EngineError> {
        let by = self.operator()?;
        self.transition(|state, _, _| {
            Ok(((), state.distrust(rules, policies, by)?.into_iter().collect()))
        })
    }

    /// One finding for each set of policies that is not trusted.
    pub(super) fn look_at_distrust(&self, findings: &mut Vec<Finding>) {
        for known in self.state.read().distrusted() {
            let subjects = std::iter::once(&known.version).chain(&known.policies);
            findings.push(Finding {
                code: "policy_shadow_mismatch",
                severity: Severity::High,
                subjects: subjects.map(|id| id.to_string()).collect(),
                why: format!(
                    "under the policies {}, the compiled form and Cedar's own evaluator differ on {}; nothing is allowed under them",
                    known.version,
                    super::shown(&known.policies.join(", "), 200)
                ),
                suggestion: "load other policies, and report what the policies named say".to_owned(),
            });
        }
    }
}

/// Starts the thread that compares.
///
/// # Errors
/// `Unavailable` if the operating system gives no thread.
pub(super) fn start(shadow: &Arc<Shadow>) -> Result<JoinHandle<()>, StoreError> {
    let own = shadow.clone();
    std::thread::Builder::new()
        .name("answerable-shadow".to_owned())
        .stack_size(STACK)
        .spawn(move || own.run())
        .map_err(|error| StoreError::Unavailable { what: error.to_string() })
}
