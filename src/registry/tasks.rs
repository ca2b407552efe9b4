//! Tasks: what a chain was issued for.

use super::{Change, Put, RegistryError, State, check_text, draft};
use crate::canonical::Value;
use crate::grant::MAX_STATEMENT_BYTES;
use crate::keys::Owner;
use crate::principal::{HumanId, TaskId};
use crate::store::Store;
use crate::trail::entry::kind;

const OPENED: &[u8] = b"t/";
pub(super) const ENDED: &[u8] = b"te/";

/// Where a task's opening stands, by the task's id.
#[must_use]
pub fn task_index_key(id: &TaskId) -> Vec<u8> {
    [OPENED, id.as_bytes().as_slice()].concat()
}

/// Where a task's end stands.
#[must_use]
pub fn ended_at(id: &TaskId) -> Vec<u8> {
    [ENDED, id.as_bytes()].concat()
}

/// The tasks that the store knows, in the order of their ids.
///
/// # Errors
/// The store's.
pub fn task_ids(store: &dyn Store) -> Result<Vec<TaskId>, RegistryError> {
    let mut all = Vec::new();
    super::records::each(store, OPENED, |rest, _| {
        all.push(TaskId::from_bytes(rest.try_into().map_err(|_| super::records::damaged())?));
        Ok(())
    })?;
    Ok(all)
}

impl State {
    /// Opens a task for a human.
    ///
    /// # Errors
    /// `Invalid` for an empty or overlong sentence.
    pub fn open_task(
        &self,
        id: TaskId,
        human: HumanId,
        sentence: &str,
        by: HumanId,
    ) -> Result<Change, RegistryError> {
        check_text("the task", sentence, MAX_STATEMENT_BYTES)?;
        let draft = draft(kind::TASK)?
            .with("action", Value::str("opened"))
            .with("task", Value::str(&id.to_string()))
            .with("human", Value::str(&human.to_string()))
            .with("by", Value::str(&by.to_string()))
            .beside("sentence", Value::str(sentence), &Owner::human(human));
        Ok(Change { draft, puts: vec![Put::Index(task_index_key(&id))] })
    }

    /// Ends a task and with it every grant made for it.
    ///
    /// # Errors
    /// `Invalid` for an empty reason, `Illegal` if it has ended already.
    pub fn end_task(
        &mut self,
        id: TaskId,
        by: HumanId,
        reason: &str,
    ) -> Result<Change, RegistryError> {
        check_text("the reason", reason, 4_096)?;
        if !self.ended_tasks.insert(id) {
            return Err(RegistryError::Illegal(format!("the task {id} has ended already")));
        }
        let draft = draft(kind::TASK)?
            .with("action", Value::str("ended"))
            .with("task", Value::str(&id.to_string()))
            .with("by", Value::str(&by.to_string()))
            .beside("reason", Value::str(reason), &Owner::human(by));
        self.changed();
        Ok(Change { draft, puts: vec![Put::Index(ended_at(&id))] })
    }
}

pub(super) fn load(state: &mut State, store: &dyn Store) -> Result<(), RegistryError> {
    super::records::each(store, ENDED, |rest, _| {
        let id = rest.try_into().map_err(|_| super::records::damaged())?;
        state.ended_tasks.insert(TaskId::from_bytes(id));
        Ok(())
    })
}
