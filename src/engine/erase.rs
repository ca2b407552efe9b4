//! Forgetting: keys and values go, leaves and proofs stay.
//!
//! An erasure is recorded first, with a note of what is still to be done. Then the whole store is
//! copied into fresh files without what is erased, under another wrapping key, while calls go on;
//! the copy takes the place of the old files at once. If the process ends in between, the next
//! opening does it again from the start. So nothing is left in the store's files, and neither old
//! copies of them under today's keys nor today's files under old keys open what was erased.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::wrapping::Wrapping;
use super::{Engine, EngineError, shown};
use crate::canonical::Value;
use crate::keys::{KeyRing, Owner, SealKey, unwrap_key, wrap_key};
use crate::principal::{EntryId, HumanId};
use crate::recorder::{Recorder, keyspace};
use crate::registry::{
    Put, Sealer, answered_key, asked_key, check_text, data_key_at, draft, erased_at,
};
use crate::store::{Batch, Store, StoreError};
use crate::trail::amend::{amend, offsets, owners};
use crate::trail::block::Block;
use crate::trail::entry::{Entry, kind};

/// What is still to be done, by the id of the erasure's entry.
const PENDING: &[u8] = b"e/";
/// Until when the values of a kind were dropped, in microseconds.
const KEPT_SINCE: &[u8] = b"m/kept/";
/// The store's keys of data keys begin with this.
const DATA_KEYS: &[u8] = b"k/data/";

/// The kinds whose entries can lose their values one by one, or by age. What is said of humans and
/// agents goes with the human.
pub(super) const ERASABLE: [&str; 6] =
    [kind::DECISION, kind::OUTCOME, kind::GRANT, kind::TASK, kind::REVOCATION, kind::APPROVAL];

/// The youngest age that values may be dropped at, in microseconds: 180 days. Records of this kind
/// have to be kept for six months at least (Regulation (EU) 2024/1689, articles 19 and 26).
pub const LEAST_AGE: i64 = 180 * 86_400 * 1_000_000;

/// What is to be forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Erase {
    /// Everything under a human's keys.
    Human(HumanId),
    /// The values of one entry and, for a decision, of its outcome and of the approval that was
    /// asked for it: by the entry's id.
    Entry(String),
    /// The values of entries of some kinds before a time, in microseconds.
    Older(Vec<String>, i64),
}

/// An erasure that was recorded and is not done yet. Ids and places only.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Pending {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    human: Option<HumanId>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    entries: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    kinds: Vec<String>,
    #[serde(default)]
    before: i64,
}

impl Engine {
    /// Erases, and answers the id of the entry that says so. What was erased is gone from the
    /// store's files when this returns. Proofs, ids, times and commitments stay.
    ///
    /// # Errors
    /// `Invalid` for an entry or kind that is not erased by itself, an age below 180 days or
    /// an empty reason; `Illegal` for a human who has not left; the store's, and key files': then
    /// the erasure is recorded, and done by the next one or the next opening.
    pub fn erase(
        &self,
        what: &Erase,
        reason: &str,
        by: Option<HumanId>,
    ) -> Result<EntryId, EngineError> {
        self.check()?;
        let by = self.who(by)?;
        check_text("the reason", reason, 4_096)?;
        let mut wrapping = self.wrapping.lock();
        // Blocks are not merged meanwhile: what is planned for one must be done to it.
        let shelf = self.library.shelf.lock();
        let pending = self.to_do(what)?;
        let note = serde_json::to_vec(&pending)
            .map_err(|error| EngineError::Invalid(error.to_string()))?;
        let (entry, ticket) = self.recorder.sequence(|slot| {
            let mut state = self.state.write();
            let entry = draft(kind::ERASURE)?;
            let mut puts = Vec::new();
            let entry = match what {
                Erase::Human(human) => {
                    puts = state.forget_human(human, &mut Sealer::new(&self.ring, &*self.store))?;
                    entry
                        .with("target", Value::str("human"))
                        .with("human", Value::str(&human.to_string()))
                }
                Erase::Entry(id) => entry
                    .with("target", Value::str("entry"))
                    .with("entry", Value::str(id))
                    .with("places", places(&pending.entries)),
                Erase::Older(kinds, before) => entry
                    .with("target", Value::str("older"))
                    .with("kinds", Value::List(kinds.iter().map(|k| Value::str(k)).collect()))
                    .with("before", Value::Datetime(*before)),
            };
            let entry = entry.with("by", Value::str(&by.to_string())).beside(
                "reason",
                Value::str(reason),
                &Owner::human(by),
            );
            let id = entry.id;
            puts.push(Put::Set([PENDING, id.as_bytes()].concat(), note));
            slot.push(entry, puts);
            self.epoch.store(state.epoch(), std::sync::atomic::Ordering::Release);
            Ok::<_, EngineError>(id)
        })?;
        self.recorder.wait(ticket.upto)?;
        self.grants.lock().clear();
        Rewriter {
            store: &*self.store,
            ring: &self.ring,
            recorder: &self.recorder,
            authority_id: &self.authority_id,
            wrapping: &mut wrapping,
        }
        .run()?;
        drop(shelf);
        self.library.forget();
        Ok(entry)
    }

    /// Copies the live store into a new folder: its records at one moment, and the sealed wrapping
    /// key. With the master key, which is not in it, it opens as a store of its own. Answers how
    /// many records it has.
    ///
    /// # Errors
    /// `Store` if the folder is there already or cannot be written.
    pub fn backup(&self, path: &Path) -> Result<u64, EngineError> {
        self.check()?;
        let path = std::path::absolute(path)
            .map_err(|error| EngineError::Invalid(format!("the backup's path: {error}")))?;
        let wrapping = self.wrapping.lock();
        let _shelf = self.library.shelf.lock();
        let mut same = |_: &[u8], value: &[u8]| Ok(Some(value.to_vec()));
        self.store.prepare_rewrite(Some(&path), &mut same)?;
        let copied = self.recorder.still(|| self.store.finish_rewrite(&mut same, Batch::new()));
        if copied.is_err() {
            self.store.drop_rewrite();
        }
        let copied = copied?;
        wrapping.copy_to(&path)?;
        self.copy_made(&path)?;
        Ok(copied)
    }

    /// Until when the values of a kind were dropped, in microseconds.
    pub(super) fn kept_since(&self, kind: &str) -> Result<i64, EngineError> {
        let bytes = self.store.get(&[KEPT_SINCE, kind.as_bytes()].concat())?;
        Ok(bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, i64::from_be_bytes))
    }

    fn to_do(&self, what: &Erase) -> Result<Pending, EngineError> {
        let invalid = |what: String| Err(EngineError::Invalid(what));
        match what {
            Erase::Human(human) => Ok(Pending { human: Some(*human), ..Pending::default() }),
            Erase::Entry(id) => {
                let Some(entry) = self.entry(id)? else {
                    return invalid(format!("there is no entry `{}`", shown(id, 60)));
                };
                if !ERASABLE.contains(&entry.kind()) {
                    return invalid(format!(
                        "an entry of kind `{}` is not erased by itself; what is said of a human or an agent goes with the human",
                        entry.kind()
                    ));
                }
                let mut entries = vec![entry.index];
                // What was asked of a human holds the request once more.
                if let Ok(approval) = entry.text("approval").parse() {
                    for key in [asked_key(&approval), answered_key(&approval)] {
                        entries.extend(self.index_at(&key)?);
                    }
                }
                if entry.kind() == kind::DECISION
                    && let Some(outcome) = self.outcome_of(&entry)?
                {
                    entries.push(outcome.index);
                }
                Ok(Pending { entries, ..Pending::default() })
            }
            Erase::Older(kinds, before) => {
                if let Some(other) = kinds.iter().find(|kind| !ERASABLE.contains(&kind.as_str())) {
                    return invalid(format!(
                        "values of kind `{}` are not dropped by age; choose of {}",
                        shown(other, 40),
                        ERASABLE.join(", ")
                    ));
                }
                if kinds.is_empty() || *before > self.clock.stamp().saturating_sub(LEAST_AGE) {
                    return invalid(
                        "values are kept for 180 days at least: name kinds, and an age not below"
                            .to_owned(),
                    );
                }
                Ok(Pending { kinds: kinds.clone(), before: *before, ..Pending::default() })
            }
        }
    }
}

fn places(indices: &[u64]) -> Value {
    let each = indices.iter().filter_map(|index| i64::try_from(*index).ok());
    Value::List(each.map(Value::int).collect())
}

/// Does what erasures left to do.
pub(super) struct Rewriter<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) ring: &'a KeyRing,
    pub(super) recorder: &'a Recorder,
    pub(super) authority_id: &'a str,
    pub(super) wrapping: &'a mut Wrapping,
}

/// What a rewrite takes out, and the keys it does it with.
#[derive(Default)]
struct Plan {
    gone: HashSet<Owner>,
    entries: BTreeSet<u64>,
    /// Kind, from when, until before when.
    aged: Vec<(String, i64, i64)>,
    keys: HashMap<Owner, (SealKey, SealKey)>,
    done: Vec<Vec<u8>>,
}

impl Rewriter<'_> {
    /// Rewrites the store if anything is to be done.
    ///
    /// # Errors
    /// The store's, and key files'.
    pub(super) fn run(self) -> Result<(), EngineError> {
        let plan = self.plan()?;
        if plan.done.is_empty() {
            return Ok(());
        }
        let now = self.ring.wrapping();
        let next = self.wrapping.prepare(&now)?;
        if let Err(error) = self.rewrite(&plan, &now, &next) {
            // Both wrapping keys stay in the files: which one is in force is for the store to say.
            self.store.drop_rewrite();
            return Err(error.into());
        }
        self.wrapping.keep(&next)?;
        self.ring.settle();
        tracing::info!(erasures = plan.done.len(), "erased, and the store rewritten");
        Ok(())
    }

    fn rewrite(&self, plan: &Plan, now: &SealKey, next: &SealKey) -> Result<(), StoreError> {
        let mut change = |key: &[u8], value: &[u8]| self.change(plan, now, next, key, value);
        self.store.prepare_rewrite(None, &mut change)?;
        self.recorder.still(|| {
            let mut last = Batch::new();
            let (key, value) = Wrapping::mark(next);
            last.put(key, value);
            for key in &plan.done {
                last.delete(key.clone());
            }
            for owner in &plan.gone {
                last.put(erased_at(owner), []);
            }
            for (kind, _, before) in &plan.aged {
                last.put([KEPT_SINCE, kind.as_bytes()].concat(), before.to_be_bytes());
            }
            self.store.forget_torn()?;
            self.store.finish_rewrite(&mut change, last)?;
            self.ring.rewrap(next.clone());
            Ok(())
        })
    }

    /// What is to be done, from the notes of all erasures that are not done yet.
    fn plan(&self) -> Result<Plan, EngineError> {
        let mut plan = Plan::default();
        let mut damaged = false;
        self.store.scan(PENDING, None, &mut |key, value| {
            let Ok(pending) = serde_json::from_slice::<Pending>(value) else {
                damaged = true;
                return false;
            };
            if let Some(human) = pending.human {
                plan.gone.insert(Owner::human(human));
                plan.gone.insert(Owner::human(human).of_records());
            }
            plan.entries.extend(pending.entries);
            for kind in pending.kinds {
                plan.aged.push((kind, 0, pending.before));
            }
            plan.done.push(key.to_vec());
            true
        })?;
        if damaged {
            return Err(StoreError::Corrupt { what: "the note of an erasure".to_owned() }.into());
        }
        if plan.done.is_empty() {
            return Ok(plan);
        }
        for (kind, since, _) in &mut plan.aged {
            let key = [KEPT_SINCE, kind.as_bytes()].concat();
            if let Some(bytes) = self.store.get(&key)? {
                *since = bytes.try_into().map_or(0, i64::from_be_bytes);
            }
        }
        let rekeyed = self.rekeyed(&plan)?;
        let now = self.ring.wrapping();
        for owner in rekeyed {
            let Some(wrapped) = self.store.get(&data_key_at(&owner))? else { continue };
            let old = unwrap_key(&now, &owner, &wrapped)?;
            plan.keys.insert(owner, (old, SealKey::generate()?));
        }
        Ok(plan)
    }

    /// The owners of whom some values go and others stay: those are sealed under a new key.
    fn rekeyed(&self, plan: &Plan) -> Result<HashSet<Owner>, EngineError> {
        let mut found = HashSet::new();
        if plan.entries.is_empty() && plan.aged.is_empty() {
            return Ok(found);
        }
        let now = self.ring.wrapping();
        let mut failed = Ok(());
        self.store.scan(keyspace::BLOCK, None, &mut |key, value| {
            failed = (|| {
                let Some(first) = index_of(key) else { return Ok(()) };
                let Ok(dropped) = self.dropped(plan, first, value) else { return Ok(()) };
                if dropped.is_empty() {
                    return Ok(());
                }
                for owner in owners(value)? {
                    if found.contains(&owner) || plan.gone.contains(&owner) {
                        continue;
                    }
                    let Some(wrapped) = self.store.get(&data_key_at(&owner))? else { continue };
                    let data_key = unwrap_key(&now, &owner, &wrapped)?;
                    let has = offsets(self.authority_id, first, value, &owner, &data_key)?;
                    if has.iter().any(|offset| dropped.contains(offset)) {
                        found.insert(owner);
                    }
                }
                Ok::<(), EngineError>(())
            })();
            failed.is_ok()
        })?;
        failed?;
        Ok(found)
    }

    /// The offsets of the entries in a block whose values go.
    fn dropped(&self, plan: &Plan, first: u64, bytes: &[u8]) -> Result<HashSet<u32>, EngineError> {
        let mut dropped = HashSet::new();
        if plan.entries.is_empty() && plan.aged.is_empty() {
            return Ok(dropped);
        }
        let block = Block::read(first, bytes)?;
        for (offset, leaf) in (0u32..).zip(block.leaves()) {
            let index = first.saturating_add(u64::from(offset));
            let aged = !plan.aged.is_empty()
                && Entry::read(index, leaf, Vec::new()).is_ok_and(|entry| {
                    let at = entry.at();
                    plan.aged.iter().any(|(kind, since, before)| {
                        entry.kind() == kind && at >= *since && at < *before
                    })
                });
            if aged || plan.entries.contains(&index) {
                dropped.insert(offset);
            }
        }
        Ok(dropped)
    }

    /// What a record of the store becomes.
    fn change(
        &self,
        plan: &Plan,
        now: &SealKey,
        next: &SealKey,
        key: &[u8],
        value: &[u8],
    ) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(owner) = key.strip_prefix(DATA_KEYS) {
            let owner = Owner::from_text(&String::from_utf8_lossy(owner));
            if plan.gone.contains(&owner) {
                return Ok(None);
            }
            let wrapped = match plan.keys.get(&owner) {
                Some((_, new)) => wrap_key(next, &owner, new),
                None => unwrap_key(now, &owner, value)
                    .and_then(|data_key| wrap_key(next, &owner, &data_key)),
            };
            return match wrapped {
                Ok(wrapped) => Ok(Some(wrapped)),
                // It opened nothing before either. It stays, as evidence of what happened to it.
                Err(error) => {
                    tracing::warn!(%error, owner = owner.text(), "a data key does not open");
                    Ok(Some(value.to_vec()))
                }
            };
        }
        let Some(first) = key.starts_with(keyspace::BLOCK).then(|| index_of(key)).flatten() else {
            return Ok(Some(value.to_vec()));
        };
        let amended = self.dropped(plan, first, value).and_then(|dropped| {
            let rekey = &mut |owner: &Owner| plan.keys.get(owner).cloned();
            let gone = |owner: &Owner| plan.gone.contains(owner);
            let dropped = |offset| dropped.contains(&offset);
            Ok(amend(self.authority_id, first, value, &gone, &dropped, rekey)?)
        });
        match amended {
            Ok(amended) => Ok(Some(amended)),
            // Values that stay under the old key are closed for ever once that is gone; the leaves
            // that can still be read are evidence.
            Err(error) => {
                tracing::warn!(%error, first, "a damaged block was kept as it is");
                Ok(Some(value.to_vec()))
            }
        }
    }
}

fn index_of(key: &[u8]) -> Option<u64> {
    let rest = key.strip_prefix(keyspace::BLOCK)?;
    rest.try_into().ok().map(u64::from_be_bytes)
}
