//! Administrative verbs: each is a transition, recorded with who did it, durable when it returns.

mod agents;
mod approvals;
mod grants;
mod humans;
mod naming;
mod revocations;
mod tasks;

use super::{Engine, EngineError};
use crate::clock::Reading;
use crate::principal::HumanId;
use crate::registry::RegistryError;

pub use approvals::{NewAccess, ToldApproval};
pub use grants::{Delegation, NewGrant, TaskChoice};
pub use humans::Departure;
pub use revocations::Revoked;
pub use tasks::Task;

impl Engine {
    /// What took authority back: once it has, the checkpoint beside the store covers it.
    pub(super) fn ends<R>(&self, done: Result<R, EngineError>) -> Result<R, EngineError> {
        if done.is_ok() {
            self.anchor();
        }
        done
    }

    /// The time, or a refusal where the clock was set back.
    pub(super) fn now(&self) -> Result<i64, EngineError> {
        self.here()?;
        match self.clock.read() {
            Reading::Now(now) => Ok(now),
            Reading::Behind { .. } => Err(EngineError::ClockBehind),
        }
    }

    /// Who does something: the human named, or the operating system's account.
    ///
    /// # Errors
    /// `NotFound` for an unknown human, `Illegal` for one who has left.
    pub fn who(&self, by: Option<HumanId>) -> Result<HumanId, EngineError> {
        match by {
            Some(by) => {
                self.here()?;
                let state = self.state.read();
                let human = state.human(&by).ok_or_else(|| not_found("human", &by))?;
                if human.offboarded {
                    return Err(RegistryError::Illegal(format!(
                        "`{}` has left and decides nothing here; name a human who is here as by= (--by)",
                        human.display()
                    ))
                    .into());
                }
                Ok(by)
            }
            None => self.operator(),
        }
    }
}

pub(in crate::engine) fn not_found(kind: &'static str, name: &impl ToString) -> RegistryError {
    RegistryError::NotFound { kind, name: name.to_string() }
}

fn end(now: i64, ttl: i64) -> Result<i64, EngineError> {
    if ttl <= 0 {
        return Err(EngineError::Invalid("ttl must be above zero".to_owned()));
    }
    now.checked_add(ttl)
        .filter(|end| crate::clock::render_seconds(*end).is_some())
        .ok_or_else(|| EngineError::Invalid("ttl must end before the year 10000".to_owned()))
}
