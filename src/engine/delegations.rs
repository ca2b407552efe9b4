//! What a review says of the standing delegations: those that narrow nothing, and those that give an
//! agent the key of another.

use std::collections::HashMap;

use super::review::{Finding, HOUR, Scan, Severity};
use super::{Engine, EngineError};
use crate::canonical::Digest;
use crate::chain::{Chain, UnverifiedChain};
use crate::keys::PublicKey;
use crate::principal::{AgentId, GrantId, HumanId, TaskId};

/// How many standing delegations are opened to see what they narrow.
const MAX_CHAINS: usize = if cfg!(test) { 3 } else { 10_000 };
/// How many of them are opened at once.
const AT_ONCE: usize = 1_000;

/// A grant that a review met.
pub(super) struct Seen {
    pub(super) id: GrantId,
    pub(super) human: Option<HumanId>,
    pub(super) agent: AgentId,
    pub(super) task: Option<TaskId>,
    pub(super) issuer: Option<AgentId>,
    /// The digest of the grant above, if there is one.
    pub(super) parent: Option<Digest>,
    /// The place of its entry, and whether this engine made it.
    pub(super) place: u64,
    pub(super) made: bool,
    pub(super) from: i64,
    pub(super) until: i64,
    pub(super) last_use: Option<i64>,
    pub(super) ended: bool,
}

/// What is remembered of a delegation that was opened.
pub(super) struct Look {
    pub(super) narrows: bool,
    pub(super) key: PublicKey,
}

impl Engine {
    /// What speaks from the standing delegations themselves.
    pub(super) fn look_at_grants(
        &self,
        scan: &mut Scan,
        now: i64,
        findings: &mut Vec<Finding>,
    ) -> Result<(), EngineError> {
        let Scan { grants, looked, .. } = scan;
        let standing = grants.iter().filter(|(_, grant)| grant.parent.is_some() && !grant.ended);
        let mut standing: Vec<_> = standing.collect();
        standing.sort_by(|a, b| (a.1.from, &a.1.id).cmp(&(b.1.from, &b.1.id)));
        if standing.len() > MAX_CHAINS {
            findings.push(Finding {
                code: "not_all_looked_at",
                severity: Severity::Info,
                subjects: Vec::new(),
                why: format!(
                    "{} delegations stand; what they narrow was looked at for {MAX_CHAINS}",
                    standing.len()
                ),
                suggestion: "let grants run out sooner".to_owned(),
            });
            standing.truncate(MAX_CHAINS);
        }
        let new: Vec<Digest> =
            standing.iter().map(|(d, _)| **d).filter(|d| !looked.contains_key(d)).collect();
        for some in new.chunks(AT_ONCE) {
            self.look_into(grants, some, now, looked)?;
        }
        let state = self.state.read();
        for (digest, grant) in standing {
            let Some(look) = looked.get(digest) else { continue };
            let subjects = vec![grant.id.to_string(), grant.agent.to_string()];
            if !look.narrows {
                findings.push(Finding {
                    code: "narrows_nothing",
                    severity: Severity::Low,
                    subjects: subjects.clone(),
                    why: format!("the grant {} passes on all that its parent allows", grant.id),
                    suggestion: "delegate what the agent needs for its part".to_owned(),
                });
            }
            if let Some(other) = state.key_of(&look.key).filter(|id| *id != grant.agent) {
                let (name, other) = (names(&state, &grant.agent), names(&state, &other));
                findings.push(Finding {
                    code: "one_key_twice",
                    severity: Severity::High,
                    subjects,
                    why: format!("the grant {} gives `{name}` the key of `{other}`", grant.id),
                    suggestion: format!("revoke it, and look at who made it and at `{other}`"),
                });
            }
        }
        drop(state);
        looked.retain(|digest, _| grants.get(digest).is_some_and(|grant| !grant.ended));
        Ok(())
    }

    /// Opens delegations and all that stands above them: each block of the trail once for all of
    /// them, because it opens as a whole. One whose token is not here any more is left out.
    fn look_into(
        &self,
        grants: &HashMap<Digest, Seen>,
        some: &[Digest],
        now: i64,
        looked: &mut HashMap<Digest, Look>,
    ) -> Result<(), EngineError> {
        let mut places = HashMap::new();
        for digest in some {
            for (digest, grant) in above(grants, digest, self.max_hops) {
                places.insert(grant.place, digest);
            }
        }
        let mut sorted: Vec<u64> = places.keys().copied().collect();
        sorted.sort_unstable();
        let mut tokens: HashMap<Digest, String> = HashMap::with_capacity(sorted.len());
        for entry in self.entries_at(&sorted)? {
            if let (Some(digest), Some(token)) =
                (places.get(&entry.index), entry.value_text("token"))
            {
                tokens.insert(*digest, token.to_owned());
            }
        }
        let anchors = self.keys.read().anchors.clone();
        for digest in some {
            let hops = above(grants, digest, self.max_hops);
            let texts: Option<Vec<&str>> =
                hops.rev().map(|(digest, _)| tokens.get(&digest).map(String::as_str)).collect();
            let Some(texts) = texts else { continue };
            let chain = UnverifiedChain::parse(&texts.join("~"), self.max_hops)?;
            let chain = chain.verify(&anchors, &self.cache)?;
            let (narrows, key) = (!narrows_nothing(&chain, now), chain.leaf().payload.holder.key);
            looked.insert(*digest, Look { narrows, key });
        }
        Ok(())
    }
}

/// A grant and those above it, as far as they are known; none if there are too many.
pub(super) fn above<'a>(
    grants: &'a HashMap<Digest, Seen>,
    digest: &Digest,
    most: usize,
) -> impl DoubleEndedIterator<Item = (Digest, &'a Seen)> + use<'a> {
    let mut hops = Vec::new();
    let mut next = Some(*digest);
    while let Some(digest) = next {
        let Some(seen) = grants.get(&digest).filter(|_| hops.len() < most) else {
            hops.clear();
            break;
        };
        next = seen.parent;
        hops.push((digest, seen));
    }
    hops.into_iter()
}

/// Whether the last hop of a chain passes on all that the hop above allows.
fn narrows_nothing(chain: &Chain, now: i64) -> bool {
    let leaf = &chain.leaf().payload;
    chain.hops().iter().rev().nth(1).is_some_and(|above| {
        leaf.limits.is_empty()
            && leaf.exp >= above.payload.exp.min(now.saturating_add(HOUR))
            && above.payload.scope.within(&leaf.scope).is_ok()
    })
}

fn names(state: &crate::registry::State, id: &AgentId) -> String {
    state.agent(id).map_or_else(|| id.to_string(), |agent| agent.name.clone())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::super::{Delegation, NewGrant, Options, Spans, TaskChoice};
    use super::*;
    use crate::principal::Assurance;
    use crate::registry::NewHuman;
    use crate::scope::Scope;

    #[test]
    fn what_is_too_much_to_be_looked_at_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::open(&folder.path().join("store"), Options::default()).unwrap();
        let new = NewHuman {
            account: "alice",
            issuer: "local",
            name: None,
            assurance: Assurance::Asserted,
            by: None,
        };
        let alice = engine.register_human(&new).unwrap();
        let scope = || serde_json::from_str::<Scope>(r#"[{"tool":"pay.*"}]"#).unwrap();
        let agent =
            engine.issue_agent("payer", alice.id, "pays", scope(), 8 * HOUR, None, None).unwrap();
        let root = NewGrant {
            human: alice.id,
            agent: agent.id,
            task: TaskChoice::New("pay".to_owned()),
            scope: scope(),
            limits: vec![],
            ttl: HOUR,
            further_hops: 1,
            by: None,
        };
        let root = engine.grant(root).unwrap();
        for count in 1..=MAX_CHAINS + 1 {
            let hop = Delegation {
                agent: agent.id,
                scope: scope(),
                limits: vec![],
                ttl: None,
                further_hops: 0,
                statement: None,
            };
            engine.delegate(&root, hop, None).unwrap();
            let found = engine.review(Spans::default()).unwrap().findings;
            let of = |code: &str| found.iter().filter(|one| one.code == code).count();
            assert_eq!(of("narrows_nothing"), count.min(MAX_CHAINS));
            assert_eq!(of("not_all_looked_at"), usize::from(count > MAX_CHAINS));
        }
        engine.close().unwrap();
    }
}
