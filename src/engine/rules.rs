//! Rules at work: what a review found is met by what somebody set for it.

use std::collections::HashSet;
use std::sync::Arc;

use super::findings::FINDINGS;
use super::{Engine, EngineError, Finding, Review, Severity};
use crate::principal::{AgentId, HumanId, RuleId, Status};
use crate::registry::{Halted, NewRule, RegistryError, Rule, Then, finding_digest};
use crate::store::Batch;

/// A webhook that is to be called.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The rule.
    pub rule: Arc<Rule>,
    /// What was found.
    pub finding: Finding,
}

impl Engine {
    /// Sets a rule.
    ///
    /// # Errors
    /// `Invalid` for an unknown severity or finding, and as `State::set_rule`.
    pub fn set_rule(
        &self,
        new: &NewRule<'_>,
        by: Option<HumanId>,
    ) -> Result<Arc<Rule>, EngineError> {
        if Severity::parse(new.severity).is_none() {
            return Err(EngineError::Invalid(
                "there is no such severity; info, low, medium or high".to_owned(),
            ));
        }
        if let Some(code) = new.on.filter(|code| !FINDINGS.contains(code)) {
            let (code, known) = (super::shown(code, 40), FINDINGS.join(", "));
            return Err(EngineError::Invalid(format!(
                "there is no finding `{code}`; choose one of {known}"
            )));
        }
        let by = self.who(by)?;
        let reason = self.plain(new.reason);
        let new = &NewRule { reason: &reason, ..new.clone() };
        self.transition(|state, now, sealer| {
            let (rule, change) = state.set_rule(new, by, now.at, sealer)?;
            Ok((rule, vec![change]))
        })
    }

    /// Removes a rule.
    ///
    /// # Errors
    /// As `State::remove_rule`.
    pub fn remove_rule(
        &self,
        id: &RuleId,
        reason: &str,
        by: Option<HumanId>,
    ) -> Result<(), EngineError> {
        let by = self.who(by)?;
        self.transition(|state, _, _| Ok(((), vec![state.remove_rule(id, by, reason)?])))
    }

    /// All rules.
    #[must_use]
    pub fn rules(&self) -> Vec<Arc<Rule>> {
        self.state.read().rules()
    }

    /// Has the rules act on what a review found and they have not acted on: suspends and halts
    /// here, and answers the webhooks to call. [`Engine::delivered`] records how those went.
    ///
    /// # Errors
    /// The store's. One rule that cannot act does not keep the others from it: it is recorded.
    pub fn run_rules(&self, review: &Review) -> Result<Vec<Delivery>, EngineError> {
        self.check()?;
        let digests: HashSet<_> = review.findings.iter().map(digest_of).collect();
        let gone = self.state.write().forget_acted(&digests);
        for some in gone.chunks(64) {
            let mut batch = Batch::default();
            for key in some {
                batch.delete(key.clone());
            }
            self.recorder.commit(batch)?;
        }
        let mut deliveries = Vec::new();
        // One whose address was erased tells nobody, and the review says so.
        let able = |rule: &Arc<Rule>| rule.then != Then::Webhook || rule.url.is_some();
        for rule in self.rules().into_iter().filter(able) {
            for finding in review.findings.iter().filter(|finding| is_for(&rule, finding)) {
                if self.state.read().has_acted(&rule.id, &digest_of(finding)) {
                    continue;
                }
                if rule.then == Then::Webhook {
                    deliveries.push(Delivery { rule: rule.clone(), finding: finding.clone() });
                    continue;
                }
                let result = match self.act(&rule, finding) {
                    Ok(result) => result,
                    Err(error @ EngineError::Store(_)) => return Err(error),
                    Err(error) => {
                        tracing::warn!(%error, rule = %rule.id, "a rule could not act");
                        "failed"
                    }
                };
                self.delivered(&rule.id, finding, result)?;
            }
        }
        Ok(deliveries)
    }

    /// Records what a rule did about a finding.
    ///
    /// # Errors
    /// The store's; `NotFound` for a rule that was removed meanwhile.
    pub fn delivered(
        &self,
        rule: &RuleId,
        finding: &Finding,
        result: &'static str,
    ) -> Result<(), EngineError> {
        self.transition(|state, _, _| {
            let about = (finding.code, finding.subjects.as_slice());
            Ok(((), vec![state.rule_acted(rule, about, &finding.why, result)?]))
        })
    }

    /// Suspends or halts the agents of a finding, in the name of who set the rule.
    fn act(&self, rule: &Rule, finding: &Finding) -> Result<&'static str, EngineError> {
        // Who set it may have left; what they set goes on, and says so.
        let by = self.who(Some(rule.by)).ok();
        let reason = format!("rule {} of {}: {}", rule.id, rule.by, finding.why);
        let reason = super::shown(&reason, 1_000);
        let mut result = "nothing";
        for agent in finding.subjects.iter().filter_map(|id| id.parse::<AgentId>().ok()) {
            let (status, halted) = {
                let state = self.state.read();
                let Some(known) = state.agent(&agent) else { continue };
                (known.status, state.agent_halted(&agent))
            };
            let done = match rule.then {
                Then::Suspend if status == Status::Active => {
                    self.suspend_agent(&agent, &reason, by).map(|_| ())
                }
                Then::Halt if !halted => self.halt(Halted::Agent(agent), &reason, by).map(|_| ()),
                _ => continue,
            };
            match done {
                Ok(()) => result = "done",
                // Somebody else was faster.
                Err(EngineError::Registry(RegistryError::Illegal(_))) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(result)
    }
}

/// Finds the rules that act on nothing, for their address was erased with who set them.
pub(super) fn look_at_rules(rules: &[Arc<Rule>], findings: &mut Vec<Finding>) {
    let silent = rules.iter().filter(|rule| rule.then == Then::Webhook && rule.url.is_none());
    findings.extend(silent.map(|rule| Finding {
        code: "rule_without_address",
        severity: Severity::Medium,
        subjects: vec![rule.id.to_string(), rule.by.to_string()],
        why: format!("the address of the rule {} was erased with who set it", rule.id),
        suggestion: "remove the rule, and set another if somebody is to be told".to_owned(),
    }));
}

fn digest_of(finding: &Finding) -> crate::canonical::Digest {
    finding_digest(finding.code, &finding.subjects)
}

fn is_for(rule: &Rule, finding: &Finding) -> bool {
    let least = Severity::parse(&rule.severity).unwrap_or(Severity::High);
    rule.on.as_deref().is_none_or(|code| code == finding.code) && finding.severity >= least
}
