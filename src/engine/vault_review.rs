//! What a review says of credentials: unused, about to expire, shared by many, nobody's.

use std::collections::{BTreeMap, BTreeSet};

use super::review::{Finding, Severity, Spans, at_of};
use super::{Engine, Keys, text_of_leaf};
use crate::clock::{MICROS, render_seconds};

const DAY: i64 = 24 * 3_600 * MICROS;
/// How long before its end a credential is told to be about to expire.
const SOON: i64 = 7 * DAY;
/// By more agents than so many a credential is told to be shared.
const MANY: usize = 5;

/// How credentials were leased.
#[derive(Default)]
pub(super) struct Leased(BTreeMap<String, (i64, BTreeSet<String>)>);

impl Leased {
    pub(super) fn read(&mut self, leaf: &Keys<'_>) {
        let text = |key| text_of_leaf(leaf, key).unwrap_or_default().to_owned();
        let of = self.0.entry(text("credential")).or_default();
        of.0 = of.0.max(at_of(leaf));
        of.1.insert(text("agent"));
    }
}

impl Engine {
    pub(super) fn look_at_vault(
        &self,
        leased: &Leased,
        now: i64,
        spans: Spans,
        findings: &mut Vec<Finding>,
    ) {
        let state = self.state.read();
        for held in state.credentials() {
            let facts = &held.facts;
            if facts.removed_at.is_some() {
                continue;
            }
            let name = &facts.name;
            let mut add = |code, severity, why: String, suggestion: &str| {
                let subjects = vec![name.clone()];
                let suggestion = suggestion.to_owned();
                findings.push(Finding { code, severity, subjects, why, suggestion });
            };
            let put = facts.versions.first().map_or(now, |version| version.at);
            let used = leased.0.get(name);
            let last = used.map_or(put, |(last, _)| *last);
            if now.saturating_sub(last) >= spans.dormant {
                let days = now.saturating_sub(last) / DAY;
                let why = if used.is_some() {
                    format!("the credential `{name}` was last leased {days} days ago")
                } else {
                    format!("the credential `{name}` was put {days} days ago and never leased")
                };
                add("credential_unused", Severity::Low, why, "remove it");
            }
            if let Some(end) = facts.expires_at {
                let shown = render_seconds(end).unwrap_or_default();
                if now >= end {
                    let why = format!("the credential `{name}` expired at {shown}");
                    let next = "rotate it with a later end, or remove it";
                    add("credential_expired", Severity::Medium, why, next);
                } else if end - now <= SOON {
                    let why = format!("the credential `{name}` expires at {shown}");
                    add("credential_expiring", Severity::Medium, why, "rotate it before then");
                }
            }
            if let Some((_, agents)) = used
                && agents.len() > MANY
            {
                let count = agents.len();
                let why = format!("the credential `{name}` was leased by {count} agents");
                let next = "put one for each purpose, with for_agents=";
                add("credential_shared", Severity::Low, why, next);
            }
            if state.human(&facts.owner).is_none_or(|owner| owner.offboarded) {
                let why = format!("the human who answers for the credential `{name}` has left");
                let next =
                    "rotate the secret at its source, and put it anew for an owner who is here";
                add("credential_ownerless", Severity::High, why, next);
            }
        }
    }
}
