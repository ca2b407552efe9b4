//! Agents: issued, and each step of their life. Each is felt by the next call.

use std::sync::Arc;

use crate::engine::{Engine, EngineError};
use crate::keys::PublicKey;
use crate::principal::{AgentId, HumanId};
use crate::registry::{
    Agent, Change, Moment, NewAgent, Note, RegistryError, Rotation, Sealer, State,
};
use crate::scope::Scope;

impl Engine {
    /// Issues an agent; `by` absent means the operating system's account.
    ///
    /// # Errors
    /// As `State::issue_agent`, and the store's.
    #[allow(clippy::too_many_arguments)] // One argument a fact, each named at the only caller.
    pub fn issue_agent(
        &self,
        name: &str,
        owner: HumanId,
        purpose: &str,
        ceiling: Scope,
        ttl: i64,
        key: Option<PublicKey>,
        by: Option<HumanId>,
    ) -> Result<Arc<Agent>, EngineError> {
        let by = self.who(by)?;
        let (model, version) = (None, None);
        self.issue(NewAgent { name, owner, purpose, ceiling, ttl, key, model, version, by })
    }

    /// Issues an agent.
    ///
    /// # Errors
    /// As `State::issue_agent`, and the store's.
    pub fn issue(&self, new: NewAgent<'_>) -> Result<Arc<Agent>, EngineError> {
        self.now()?;
        self.refuse_secrets("the agent's name", new.name)?;
        self.refuse_secrets_in("the ceiling", &new.ceiling)?;
        let purpose = self.plain(new.purpose);
        let (model, version) =
            (new.model.map(|m| self.plain(m)), new.version.map(|v| self.plain(v)));
        let new = NewAgent {
            purpose: &purpose,
            model: model.as_deref(),
            version: version.as_deref(),
            ..new
        };
        self.transition(|state, now, sealer| {
            let (agent, change) = state.issue_agent(new, now, sealer)?;
            Ok((agent, vec![change]))
        })
    }

    /// Suspends an agent: whatever it holds or delegated is denied until it is resumed.
    ///
    /// # Errors
    /// As `State::suspend_agent`, and the store's.
    pub fn suspend_agent(
        &self,
        id: &AgentId,
        reason: &str,
        by: Option<HumanId>,
    ) -> Result<Arc<Agent>, EngineError> {
        self.ends(
            self.step(Some(reason), by, |state, _, note, sealer| {
                state.suspend_agent(id, note, sealer)
            }),
        )
    }

    /// Resumes a suspended agent.
    ///
    /// # Errors
    /// As `State::resume_agent`, and the store's.
    pub fn resume_agent(
        &self,
        id: &AgentId,
        reason: Option<&str>,
        by: Option<HumanId>,
    ) -> Result<Arc<Agent>, EngineError> {
        self.step(reason, by, |state, _, note, sealer| state.resume_agent(id, note, sealer))
    }

    /// Retires an agent: everything it holds or delegated ends with the next call.
    ///
    /// # Errors
    /// As `State::retire_agent`, and the store's.
    pub fn retire_agent(
        &self,
        id: &AgentId,
        reason: &str,
        by: Option<HumanId>,
    ) -> Result<Arc<Agent>, EngineError> {
        self.ends(
            self.step(Some(reason), by, |state, _, note, sealer| {
                state.retire_agent(id, note, sealer)
            }),
        )
    }

    /// Gives an agent another key.
    ///
    /// # Errors
    /// As `State::rotate_agent`, and the store's.
    pub fn rotate_agent(
        &self,
        id: &AgentId,
        rotation: Rotation,
        reason: Option<&str>,
        by: Option<HumanId>,
    ) -> Result<Arc<Agent>, EngineError> {
        self.now()?;
        self.ends(self.step(reason, by, |state, now, note, sealer| {
            state.rotate_agent(id, rotation, now, note, sealer)
        }))
    }

    /// Gives an agent another owner.
    ///
    /// # Errors
    /// As `State::transfer_agent`, and the store's.
    pub fn transfer_agent(
        &self,
        id: &AgentId,
        owner: HumanId,
        reason: Option<&str>,
        by: Option<HumanId>,
    ) -> Result<Arc<Agent>, EngineError> {
        self.step(reason, by, |state, _, note, sealer| {
            state.transfer_agent(id, owner, note, sealer)
        })
    }

    /// Moves the end of an agent's term further away.
    ///
    /// # Errors
    /// As `State::renew_agent`, and the store's.
    pub fn renew_agent(
        &self,
        id: &AgentId,
        ttl: i64,
        reason: Option<&str>,
        by: Option<HumanId>,
    ) -> Result<Arc<Agent>, EngineError> {
        self.now()?;
        self.step(reason, by, |state, now, note, sealer| {
            state.renew_agent(id, ttl, now.at, note, sealer)
        })
    }

    /// All agents.
    #[must_use]
    pub fn agents(&self) -> Vec<Arc<Agent>> {
        self.state.read().agents()
    }

    /// An agent by id or name.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn find_agent(&self, text: &str) -> Result<Arc<Agent>, EngineError> {
        self.here()?;
        Ok(self.state.read().find_agent(text)?.clone())
    }

    /// An agent's name in the manner of SPIFFE: which authority knows it, and by which id.
    #[must_use]
    pub fn agent_uri(&self, id: &AgentId) -> String {
        format!("answerable://{}/agent/{id}", self.authority_id)
    }

    fn step(
        &self,
        reason: Option<&str>,
        by: Option<HumanId>,
        take: impl FnOnce(
            &mut State,
            Moment,
            Note<'_>,
            &mut Sealer<'_>,
        ) -> Result<(Arc<Agent>, Change), RegistryError>,
    ) -> Result<Arc<Agent>, EngineError> {
        let by = self.who(by)?;
        let reason = reason.map(|reason| self.plain(reason));
        let reason = reason.as_deref();
        self.transition(|state, now, sealer| {
            let (agent, change) = take(state, now, Note { by, reason }, sealer)?;
            Ok((agent, vec![change]))
        })
    }
}
