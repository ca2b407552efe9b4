//! One case: a request that nobody made, judged by the policies alone.

use std::sync::Arc;

use super::load::Loaded;
use crate::authorizer::Governing;
use crate::canonical::Map;
use crate::decision::{Effect, Reason};
use crate::engine::Masking;
use crate::policy::{AgentFacts, ChainFacts, HumanFacts};
use crate::principal::Assurance;
use crate::request::{Request, Resource, ToolName};

/// A human in a case.
#[derive(Debug, Clone)]
pub struct CaseHuman {
    /// The id, which a policy may name.
    pub id: String,
    /// The name at the issuer.
    pub account: String,
    /// Who vouches for the account.
    pub issuer: String,
    /// How sure we are.
    pub assurance: Assurance,
    /// The groups, beside those that the entity files say.
    pub groups: Vec<String>,
}

impl Default for CaseHuman {
    fn default() -> Self {
        Self {
            id: "hum_aaaaaaaaaaaaaaaaaaaaaaaaaa".to_owned(),
            account: "somebody@example.com".to_owned(),
            issuer: "local".to_owned(),
            assurance: Assurance::Asserted,
            groups: Vec::new(),
        }
    }
}

/// A request that is not made: what its chain and call would say.
#[derive(Debug, Clone)]
pub struct Case {
    /// The tool.
    pub tool: ToolName,
    /// What it reaches.
    pub resource: Option<Resource>,
    /// The arguments.
    pub arguments: Map,
    /// For whom it is done.
    pub human: CaseHuman,
    /// The agent that acts.
    pub agent: String,
    /// What the agent is for.
    pub purpose: String,
    /// The agent's groups, beside those that the entity files say.
    pub agent_groups: Vec<String>,
    /// Who owns the agent; the human if absent.
    pub owner: Option<CaseHuman>,
    /// The agents on the chain from the root; the one that acts alone if empty.
    pub agents: Vec<String>,
    /// The task's sentence.
    pub task: String,
    /// When the root grant was issued, in microseconds; at the time of the call if absent.
    pub issued: Option<i64>,
    /// When the last grant was issued, in microseconds; with the root's if absent.
    pub latest: Option<i64>,
    /// When it is called, in microseconds.
    pub now: i64,
    /// The machine's name.
    pub host: Option<String>,
    /// The application's own attributes of the call.
    pub own: Option<Map>,
    /// Whether a human's yes to this very request stands.
    pub approved: bool,
}

/// What policies answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// What is decided.
    pub effect: Effect,
    /// Why not, or why a human must be asked.
    pub reasons: Vec<Reason>,
    /// The ids of the policies that decide.
    pub policies: Vec<Arc<str>>,
    /// The ids of the policies that cannot be evaluated.
    pub errors: Vec<Arc<str>>,
    /// The arguments that are masked.
    pub masks: Vec<String>,
}

impl Loaded {
    /// Judges a case.
    #[must_use]
    pub fn judge(&self, case: &Case) -> Answer {
        let groups = |human: &CaseHuman| {
            let account = (human.issuer.clone(), human.account.clone());
            let mut all = human.groups.clone();
            all.extend(self.policies.groups.get(&account).into_iter().flatten().cloned());
            all
        };
        let owner = case.owner.as_ref().unwrap_or(&case.human);
        let (human_groups, owner_groups) = (groups(&case.human), groups(owner));
        let (human_groups, owner_groups) = (texts(&human_groups), texts(&owner_groups));
        let agent_groups = texts(&case.agent_groups);
        let alone = [case.agent.as_str()];
        let agents = texts(&case.agents);
        let issued = case.issued.unwrap_or(case.now);
        let subject = self.policies.rules.set.bind(&ChainFacts {
            agent: AgentFacts {
                id: "agt_aaaaaaaaaaaaaaaaaaaaaaaaaa",
                name: &case.agent,
                purpose: &case.purpose,
                owner: facts(owner, &owner_groups),
                groups: &agent_groups,
            },
            human: facts(&case.human, &human_groups),
            task: "tsk_aaaaaaaaaaaaaaaaaaaaaaaaaa",
            purpose: &case.task,
            agents: if agents.is_empty() { &alone } else { &agents },
            issued,
            latest: case.latest.unwrap_or(issued),
        });
        let host = case.host.as_deref().map_or_else(|| self.policies.host.clone(), Arc::from);
        let governing = Governing { rules: self.policies.rules.clone(), subject, host };
        let mut request = Request::new(case.tool.clone(), case.arguments.clone());
        request.resource.clone_from(&case.resource);
        request.own = case.own.clone().map(Arc::new);
        let say = governing.say(&request, case.now, case.approved);
        let masking = Masking::default();
        let masking = masking.and_mask(say.masks()).unwrap_or(masking);
        let mut reasons = say.reasons(&|name| masking.hides(name, &request.arguments));
        let effect = match say.asks() {
            _ if !reasons.is_empty() => Effect::Deny,
            Some(question) => {
                reasons.push(question);
                Effect::Ask
            }
            None => Effect::Allow,
        };
        let mut masks: Vec<String> = say.masks().map(str::to_owned).collect();
        masks.sort();
        masks.dedup();
        Answer { effect, reasons, policies: say.deciding(), errors: say.erring(), masks }
    }
}

fn texts(owned: &[String]) -> Vec<&str> {
    owned.iter().map(String::as_str).collect()
}

fn facts<'a>(human: &'a CaseHuman, groups: &'a [&'a str]) -> HumanFacts<'a> {
    HumanFacts {
        id: &human.id,
        account: &human.account,
        issuer: &human.issuer,
        assurance: human.assurance,
        groups,
    }
}
