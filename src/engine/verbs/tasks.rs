//! Tasks: opened by a grant, ended by a human.

use std::collections::HashMap;

use super::not_found;
use crate::canonical::Value;
use crate::engine::{Engine, EngineError};
use crate::principal::{EntryId, HumanId, TaskId};
use crate::registry::{RegistryError, ended_at, task_ids, task_index_key};
use crate::trail::entry::kind;

/// A task, as the trail tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The id.
    pub id: TaskId,
    /// The id of the human it is done for.
    pub human: String,
    /// What it is, in the human's words; absent once erased.
    pub sentence: Option<String>,
    /// When it was opened, in microseconds.
    pub opened_at: i64,
    /// Whether it has ended.
    pub ended: bool,
    /// When, in microseconds.
    pub ended_at: Option<i64>,
    /// How many grants were made for it, those delegated and seen here included.
    pub grants: usize,
}

impl Engine {
    /// Ends a task and every grant made for it.
    ///
    /// # Errors
    /// `NotFound` for a task never opened, as `State::end_task`, and the store's.
    pub fn end_task(
        &self,
        id: TaskId,
        reason: &str,
        by: Option<HumanId>,
    ) -> Result<EntryId, EngineError> {
        let by = self.who(by)?;
        let reason = &*self.plain(reason);
        if self.store.get(&task_index_key(&id))?.is_none() {
            return Err(not_found("task", &id).into());
        }
        self.ends(self.transition(|state, _, _| {
            let change = state.end_task(id, by, reason)?;
            Ok((change.draft.id, vec![change]))
        }))
    }

    /// A task. Its grants are counted by reading the trail's leaves.
    ///
    /// # Errors
    /// `NotFound` for a task never opened, and the store's.
    pub fn task(&self, id: &TaskId) -> Result<Task, EngineError> {
        let mut counts = HashMap::from([(*id, 0)]);
        let told = self.task_told(id)?.ok_or_else(|| not_found("task", id))?;
        self.count_grants(&mut counts)?;
        Ok(Task { grants: counts.get(id).copied().unwrap_or(0), ..told })
    }

    /// All tasks, oldest first. Their grants are counted by reading the trail's leaves.
    ///
    /// # Errors
    /// The store's.
    pub fn tasks(&self) -> Result<Vec<Task>, EngineError> {
        self.check()?;
        let ids = task_ids(&*self.store)?;
        let mut counts = ids.iter().map(|id| (*id, 0)).collect();
        self.count_grants(&mut counts)?;
        let mut tasks = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(told) = self.task_told(&id)? {
                tasks.push(Task { grants: counts.get(&id).copied().unwrap_or(0), ..told });
            }
        }
        tasks.sort_by_key(|task| (task.opened_at, task.id));
        Ok(tasks)
    }

    /// The sentence of a task.
    ///
    /// # Errors
    /// `Invalid` if it was never opened or its sentence was erased.
    pub fn task_sentence(&self, id: &TaskId) -> Result<String, EngineError> {
        let index = self.index_at(&task_index_key(id))?;
        let entry = match index {
            Some(index) => self.entry_at(index)?,
            None => None,
        };
        let sentence = entry.as_ref().and_then(|entry| entry.value_text("sentence"));
        sentence
            .map(str::to_owned)
            .ok_or_else(|| EngineError::Invalid(format!("the task {id} has no sentence here")))
    }

    /// Refuses a task that was opened for another human.
    ///
    /// # Errors
    /// `NotFound` for a task never opened, `Illegal` for another human's.
    pub(super) fn task_is_for(&self, id: &TaskId, human: &HumanId) -> Result<(), EngineError> {
        let index = self.index_at(&task_index_key(id))?.ok_or_else(|| not_found("task", id))?;
        let opened = self.entry_at(index)?.ok_or_else(|| not_found("task", id))?;
        if opened.text("human") == human.to_string() {
            return Ok(());
        }
        Err(RegistryError::Illegal(format!(
            "the task {id} was opened for another human; give this one a task of their own"
        ))
        .into())
    }

    fn task_told(&self, id: &TaskId) -> Result<Option<Task>, EngineError> {
        let Some(index) = self.index_at(&task_index_key(id))? else { return Ok(None) };
        let Some(opened) = self.entry_at(index)? else { return Ok(None) };
        // Before ends were indexed, only that it had ended was kept.
        let end = self.store.get(&ended_at(id))?.and_then(|bytes| bytes.try_into().ok());
        let end = end.map(|bytes| self.entry_at(u64::from_be_bytes(bytes))).transpose()?.flatten();
        Ok(Some(Task {
            id: *id,
            human: opened.text("human").to_owned(),
            sentence: opened.value_text("sentence").map(str::to_owned),
            opened_at: opened.at(),
            ended: self.state.read().is_ended(id),
            ended_at: end.map(|entry| entry.at()),
            grants: 0,
        }))
    }

    fn count_grants(&self, counts: &mut HashMap<TaskId, usize>) -> Result<(), EngineError> {
        self.each_leaf(&mut |leaf| {
            if leaf.kind() == kind::GRANT
                && let Some(task) = leaf.fields.get("task").and_then(Value::as_str)
                && let Some(count) = task.parse().ok().and_then(|id: TaskId| counts.get_mut(&id))
            {
                *count += 1;
            }
            Ok(true)
        })
    }
}
