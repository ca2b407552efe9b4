//! What a review says of one agent: its owner, its use, its tools.

use std::collections::HashSet;

use super::review::{DAY, Finding, HOUR, Severity, Spans, Tally};
use crate::clock::{MICROS, render_seconds};
use crate::principal::Status;
use crate::registry::Agent;
use crate::request::ToolName;

/// The codes of all findings.
pub(super) const FINDINGS: [&str; 18] = [
    "ceiling_too_wide",
    "credential_expired",
    "credential_expiring",
    "credential_ownerless",
    "credential_shared",
    "credential_unused",
    "dormant",
    "first_use",
    "narrows_nothing",
    "never_used",
    "not_all_looked_at",
    "one_key_twice",
    "owner_offboarded",
    "ownerless",
    "policy_shadow_mismatch",
    "refusals_above_usual",
    "rule_without_address",
    "ttl_too_wide",
];

pub(super) fn look_at_owner(agent: &Agent, offboarded: Option<bool>, findings: &mut Vec<Finding>) {
    let (code, why) = match offboarded {
        None => ("ownerless", "has no owner that is known"),
        Some(true) => ("owner_offboarded", "belongs to somebody who has left"),
        Some(false) => return,
    };
    findings.push(Finding {
        code,
        severity: if agent.status == Status::Active { Severity::High } else { Severity::Medium },
        subjects: vec![agent.id.to_string(), agent.owner.to_string()],
        why: format!("the agent `{}` {why}; it is {}", agent.name, agent.status.word()),
        suggestion: "transfer it to an owner who is here, or retire it".to_owned(),
    });
}

pub(super) fn look_at_use(
    agent: &Agent,
    tally: &Tally,
    now: i64,
    spans: Spans,
    findings: &mut Vec<Finding>,
) {
    let name = &agent.name;
    let mut add = |code, severity, why, suggestion: &str| {
        let subjects = vec![agent.id.to_string()];
        findings.push(Finding { code, severity, subjects, why, suggestion: suggestion.to_owned() });
    };
    let age = now - agent.issued_at;
    let date = |at| render_seconds(at).unwrap_or_default();
    match tally.last_use {
        None if age >= spans.recent => add(
            "never_used",
            Severity::Low,
            format!("the agent `{name}` was issued {} days ago and never used", age / DAY),
            "retire it",
        ),
        Some(last) if now - last >= spans.dormant => add(
            "dormant",
            Severity::Medium,
            format!(
                "the agent `{name}` was last used {} days ago, {}",
                (now - last) / DAY,
                date(last)
            ),
            "suspend or retire it",
        ),
        _ => {}
    }
    if tally.measured >= 3 && tally.lent >= HOUR && tally.lent >= 4 * tally.in_use.max(MICROS) {
        add(
            "ttl_too_wide",
            Severity::Low,
            format!(
                "grants to `{name}` lasted up to {} minutes; of {} used, none was in use longer than {}",
                tally.lent / (60 * MICROS),
                tally.measured,
                tally.in_use / (60 * MICROS) + 1
            ),
            "grant for a shorter time",
        );
    }
    look_at_tools(agent, tally, now, spans, &mut add);
    // Per day before, over the days there were; at least one a day counts as usual.
    let days = ((age - spans.recent) / spans.recent.max(1)).max(1);
    let recently = tally.refused_at.len() as u64;
    let before = tally.refused.saturating_sub(recently);
    let usual = (before / u64::try_from(days).unwrap_or(1)).max(1);
    if recently >= 10 && recently > 3 * usual {
        add(
            "refusals_above_usual",
            Severity::High,
            format!(
                "{} calls of `{name}` were refused lately, where about {usual} are usual",
                recently
            ),
            "read them with engine.trail.entries(agent=…, effect=\"deny\"); suspend the agent if in doubt",
        );
    }
}

fn look_at_tools(
    agent: &Agent,
    tally: &Tally,
    now: i64,
    spans: Spans,
    add: &mut impl FnMut(&'static str, Severity, String, &str),
) {
    let name = &agent.name;
    let used: HashSet<ToolName> =
        tally.tools.keys().filter_map(|tool| ToolName::parse(tool).ok()).collect();
    let age = now - agent.issued_at;
    if tally.allowed > 0 && age >= spans.recent {
        let idle: Vec<&str> = agent
            .ceiling
            .capabilities()
            .iter()
            .filter(|capability| !used.iter().any(|tool| capability.tool().matches(tool)))
            .map(|capability| capability.tool().as_str())
            .collect();
        if !idle.is_empty() {
            add(
                "ceiling_too_wide",
                Severity::Low,
                format!(
                    "of {} capabilities in the ceiling of `{name}`, {} were never used: {}",
                    agent.ceiling.capabilities().len(),
                    idle.len(),
                    super::shown(&idle.join(", "), 200)
                ),
                "issue an agent with a narrower ceiling",
            );
        }
    }
    let recent = now.saturating_sub(spans.recent);
    for (tool, first) in &tally.tools {
        if *first >= recent && agent.issued_at < recent {
            add(
                "first_use",
                Severity::Info,
                format!("the agent `{name}` used `{tool}` for the first time"),
                "see whether that was meant",
            );
        }
    }
}
