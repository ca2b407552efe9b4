//! What has ended or stands still: revocations, tasks, halts.

use std::collections::{BTreeMap, HashMap};

use super::{Leaf, Said, Unrecorded, differs, each};
use crate::canonical::Digest;
use crate::principal::{AgentId, HumanId, TaskId};
use crate::registry::State;
use crate::registry::halts::Halted;
use crate::registry::tasks::ENDED;
use crate::store::{Store, StoreError};
use crate::trail::entry::kind;

#[derive(Debug, Default)]
pub(super) struct Ends {
    grants: HashMap<Digest, Said>,
    agents: HashMap<AgentId, Cut>,
    humans: HashMap<HumanId, Cut>,
    tasks: HashMap<TaskId, Said>,
    /// Since when, and by whom.
    halts: BTreeMap<Halted, (i64, HumanId, Said)>,
    /// The place of the last departure.
    pub(super) departed: Option<u64>,
}

/// Beyond every place: a time in microseconds of this century.
const BEYOND: u64 = 1 << 49;

/// The place up to which all was revoked, and the entry that says so.
type Cut = (u64, Said);

impl Ends {
    pub(super) fn take(&mut self, leaf: &Leaf<'_>) -> Result<(), StoreError> {
        let said = leaf.said;
        match (leaf.text("kind"), leaf.text("action"), leaf.text("target")) {
            (kind::TASK, "ended", _) | (kind::REVOCATION, _, "task") => {
                self.tasks.entry(leaf.parsed("task")?).or_insert(said);
            }
            (kind::REVOCATION, _, "grant") => {
                self.grants.entry(leaf.digest("digest")?).or_insert(said);
            }
            (kind::REVOCATION, _, "agent") => {
                self.agents.insert(leaf.parsed("agent")?, (said.place, said));
            }
            (kind::REVOCATION, _, "human") => {
                // With a departure it is up to that, the entry before.
                let before = self.departed.filter(|place| place + 1 == said.place);
                let cut = before.unwrap_or(said.place);
                self.humans.insert(leaf.parsed("human")?, (cut, said));
            }
            (kind::HALT, action, word) => {
                let target = Halted::of(word, leaf.text(word));
                let target = target.ok_or_else(|| leaf.unreadable("target"))?;
                match action {
                    "halted" => {
                        let halt = (leaf.at("at")?, leaf.parsed("by")?, said);
                        self.halts.insert(target, halt);
                    }
                    "lifted" => {
                        self.halts.remove(&target);
                    }
                    _ => return Err(leaf.unreadable("action")),
                }
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn compare(
        &self,
        state: &State,
        store: &dyn Store,
    ) -> Result<Vec<Unrecorded>, StoreError> {
        let grant =
            |digest: &Digest| format!("the grant {}", data_encoding::HEXLOWER.encode(digest));
        let known = &state.revoked_grants;
        let missing = self.grants.iter().filter(|(digest, _)| !known.contains(*digest));
        let missing = missing.map(|(digest, said)| Unrecorded { digest: *digest, said: *said });
        if let Some(digest) = known.iter().find(|digest| !self.grants.contains_key(*digest)) {
            return Err(differs(grant(digest), "no entry revokes it, the record does"));
        }
        cuts("agent", &self.agents, &state.cut_agents)?;
        cuts("human", &self.humans, &state.cut_humans)?;
        self.compare_tasks(store)?;
        for (target, (at, by, said)) in &self.halts {
            let what = match state.halts.halt_of(target) {
                None => format!("{said} halts it, and the record of that is gone"),
                Some(halt) if halt.at != *at || halt.by != Some(*by) => {
                    format!("{said} halts it, the record says since another time or by another")
                }
                Some(_) => continue,
            };
            return Err(differs(told(target), what));
        }
        match state.halts.targets().find(|target| !self.halts.contains_key(*target)) {
            Some(target) => Err(differs(told(target), "no entry halts it, the record does")),
            None => Ok(missing.collect()),
        }
    }

    fn compare_tasks(&self, store: &dyn Store) -> Result<(), StoreError> {
        let mut found = 0;
        each(store, ENDED, |rest, value| {
            let id = rest.try_into().map(TaskId::from_bytes);
            let id = id.map_err(|_| differs("an ended task", "its key is none of a task"))?;
            let task = || format!("the task {id}");
            let Some(said) = self.tasks.get(&id) else {
                return Err(differs(task(), "no entry ends it, the record does"));
            };
            found += 1;
            // Before ends were indexed, only that it had ended was kept.
            match <[u8; 8]>::try_from(value).map(u64::from_be_bytes) {
                Ok(place) if place != said.place => {
                    Err(differs(task(), format!("{said} ends it, the record says entry {place}")))
                }
                _ => Ok(()),
            }
        })?;
        if found == self.tasks.len() {
            return Ok(());
        }
        for (id, said) in &self.tasks {
            if store.get(&crate::registry::ended_at(id))?.is_none() {
                let what = format!("{said} ends it, and the record of that is gone");
                return Err(differs(format!("the task {id}"), what));
            }
        }
        Ok(())
    }
}

fn cuts<I: Copy + Eq + std::hash::Hash + std::fmt::Display>(
    kind: &str,
    told: &HashMap<I, Cut>,
    known: &HashMap<I, u64>,
) -> Result<(), StoreError> {
    for (id, (cut, said)) in told {
        let what = match known.get(id) {
            // A time stood there once, beyond every trail: all had ended for good.
            Some(place) if place == cut || *place > BEYOND => continue,
            Some(place) => {
                format!("{said} revokes all before it, the record all before entry {place}")
            }
            None => format!("{said} revokes all before it, and the record of that is gone"),
        };
        return Err(differs(format!("the {kind} {id}"), what));
    }
    match known.keys().find(|id| !told.contains_key(id)) {
        Some(id) => Err(differs(
            format!("the {kind} {id}"),
            "no entry revokes what it held, the record does",
        )),
        None => Ok(()),
    }
}

fn told(target: &Halted) -> String {
    match target {
        Halted::Everything => "the halt of everything".to_owned(),
        other => format!("the halt of the {} `{}`", other.word(), other.name()),
    }
}
