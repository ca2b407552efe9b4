//! Decisions: the effect of one judgement, and coded reasons that a person can act on.

use std::borrow::Cow;
use std::sync::Arc;

use crate::principal::ApprovalId;

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// The call may run.
    Allow,
    /// The call may not run.
    Deny,
    /// A human must approve first.
    Ask,
}

impl Effect {
    /// The word on the wire.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Ask => "ask",
        }
    }
}

/// One reason for a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The stable slug that programs branch on; see `docs/errors.md`.
    pub code: Cow<'static, str>,
    /// The hop of the chain that decided, 0 at the root; `None` where no hop did.
    pub hop: Option<usize>,
    /// A sentence; safe to show a model: it holds no masked value.
    pub message: String,
    /// What is allowed there instead.
    pub allowed: Option<String>,
    /// The smallest legal change that would help.
    pub fix: Option<String>,
}

impl Reason {
    /// A reason without more than its sentence.
    #[must_use]
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code: code.into(), hop: None, message: message.into(), allowed: None, fix: None }
    }

    /// At a hop of the chain.
    #[must_use]
    pub fn at(mut self, hop: usize) -> Self {
        self.hop = Some(hop);
        self
    }

    /// With what is allowed.
    #[must_use]
    pub fn allowing(mut self, allowed: impl Into<String>) -> Self {
        self.allowed = Some(allowed.into());
        self
    }

    /// With the smallest legal fix.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}

/// The codes of reasons. A denial's first reason decides.
pub mod code {
    /// No chain is in force where the call was made.
    pub const NO_AUTHORITY: &str = "no_authority";
    /// The block that gave authority has ended.
    pub const AUTHORITY_ENDED: &str = "authority_ended";
    /// A generator that stands still put the authority in force, and its caller is not its body.
    pub const AUTHORITY_SUSPENDED: &str = "authority_suspended";
    /// The framework's context and the caller's name unrelated chains.
    pub const AUTHORITY_CONFLICT: &str = "authority_conflict";
    /// A grant of the chain has not started.
    pub const NOT_YET_VALID: &str = "not_yet_valid";
    /// A grant of the chain has expired.
    pub const EXPIRED: &str = "expired";
    /// A grant of the chain was revoked.
    pub const REVOKED: &str = "revoked";
    /// The chain was made under another authority.
    pub const UNKNOWN_AUTHORITY: &str = "unknown_authority";
    /// The human is gone.
    pub const HUMAN_OFFBOARDED: &str = "human_offboarded";
    /// The owner of an agent of the chain is gone.
    pub const OWNER_OFFBOARDED: &str = "owner_offboarded";
    /// The human is not registered here.
    pub const UNKNOWN_HUMAN: &str = "unknown_human";
    /// The task has ended.
    pub const TASK_ENDED: &str = "task_ended";
    /// An agent of the chain is not registered here.
    pub const UNKNOWN_AGENT: &str = "unknown_agent";
    /// An agent of the chain is suspended.
    pub const AGENT_SUSPENDED: &str = "agent_suspended";
    /// An agent of the chain is retired.
    pub const AGENT_RETIRED: &str = "agent_retired";
    /// An agent of the chain has outlived its term.
    pub const AGENT_EXPIRED: &str = "agent_expired";
    /// A holder's key is not the agent's.
    pub const HOLDER_KEY_UNKNOWN: &str = "holder_key_unknown";
    /// A grant reaches beyond its agent's ceiling.
    pub const BEYOND_CEILING: &str = "beyond_ceiling";
    /// A call that a framework starts again ran before, or may have.
    pub const ALREADY_RAN: &str = "already_ran";
    /// A tool runs where no guard sees it.
    pub const UNGOVERNED_TOOL: &str = "ungoverned_tool";
    /// Everything, or this part of it, is halted.
    pub const HALTED: &str = "halted";
    /// The clock was set back.
    pub const CLOCK_BEHIND: &str = "clock_behind";
    /// A human must approve this very call first.
    pub const APPROVAL_REQUIRED: &str = "approval_required";
    /// A human refused this very call.
    pub const APPROVAL_REFUSED: &str = "approval_refused";
    /// The policies that an approval was asked under are not those in force.
    pub const POLICY_CHANGED: &str = "policy_changed";
    /// Too many approvals are pending to ask for another.
    pub const TOO_MANY_APPROVALS: &str = "too_many_approvals";
    /// A limit is used up.
    pub const LIMIT_REACHED: &str = "limit_reached";
    /// A limit adds up an argument that is missing or no number from zero up.
    pub const LIMIT_UNCOUNTABLE: &str = "limit_uncountable";
    /// An argument cannot be judged.
    pub const INVALID_ARGUMENT: &str = "invalid_argument";
    /// The resource cannot be made from the arguments.
    pub const INVALID_RESOURCE: &str = "invalid_resource";
    /// The name is no tool's.
    pub const UNKNOWN_TOOL: &str = "unknown_tool";
    /// The engine is closed.
    pub const ENGINE_CLOSED: &str = "engine_closed";
    /// No engine is open.
    pub const NO_ENGINE: &str = "no_engine";
    /// The vault holds no credential of that name.
    pub const CREDENTIAL_UNKNOWN: &str = "credential_unknown";
    /// A credential has expired.
    pub const CREDENTIAL_EXPIRED: &str = "credential_expired";
    /// A credential is not for the tool, or not for the agent.
    pub const CREDENTIAL_NOT_ALLOWED: &str = "credential_not_allowed";
    /// A credential's provider, or the vault, gave no secret.
    pub const CREDENTIAL_UNAVAILABLE: &str = "credential_unavailable";
    /// The store cannot be read or written.
    pub const STORE_UNAVAILABLE: &str = "store_unavailable";
    /// Another process holds the store; calls are judged there.
    pub const STORE_ATTACHED: &str = "store_attached";
    /// A policy forbids it.
    pub const FORBIDDEN: &str = "forbidden";
    /// No policy permits it.
    pub const NOT_PERMITTED: &str = "not_permitted";
    /// A policy could not be evaluated, does not fit the tool, or cannot be read any more.
    pub const POLICY_ERROR: &str = "policy_error";
    /// The state kept changing while the call was judged.
    pub const CONTENDED: &str = "contended";
}

/// A judgement: what was decided and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What was decided.
    pub effect: Effect,
    /// Why: all reasons, the first decides. Empty for an allow.
    pub reasons: Vec<Reason>,
    /// The version of the policies that were asked; `none` if none were ever loaded.
    pub policy_version: Cow<'static, str>,
    /// The approval that an ask waits for, or that an allow used up.
    pub approval: Option<ApprovalId>,
    /// The ids of the policies that decided: the forbids that hold, else the permits that do.
    pub policies: Vec<Arc<str>>,
    /// The ids of the policies that could not be evaluated.
    pub policy_errors: Vec<Arc<str>>,
}

impl Decision {
    /// An allow.
    #[must_use]
    pub fn allow() -> Self {
        Self::new(Effect::Allow, Vec::new())
    }

    /// A deny for reasons, of which there is at least one.
    #[must_use]
    pub fn deny(reasons: Vec<Reason>) -> Self {
        Self::new(Effect::Deny, reasons)
    }

    /// A decision that waits for a human: everything else allows the call.
    #[must_use]
    pub fn ask(reasons: Vec<Reason>) -> Self {
        Self::new(Effect::Ask, reasons)
    }

    fn new(effect: Effect, reasons: Vec<Reason>) -> Self {
        let (policies, policy_errors) = (Vec::new(), Vec::new());
        let approval = None;
        Self { effect, reasons, policy_version: "none".into(), approval, policies, policy_errors }
    }

    /// The sentence that decided, safe to show a model.
    #[must_use]
    pub fn sentence(&self, tool: &str) -> String {
        let Some(first) = self.reasons.first() else {
            return format!("`{tool}` is allowed");
        };
        let word =
            if self.effect == Effect::Ask { "needs a human's approval" } else { "was not allowed" };
        let mut text = format!("`{tool}` {word}: {}", first.message);
        // A fix that only says again what is allowed stands in the reason, not in the sentence.
        let again = |fix: &&String| first.allowed.as_ref().is_some_and(|words| fix.contains(words));
        if let Some(fix) = first.fix.as_ref().filter(|fix| !again(fix)) {
            text.push_str("; to fix it: ");
            text.push_str(fix);
        }
        text
    }
}
