//! A chain told: who gave what to whom, until when, and what speaks against it now.

use super::words::{describe, narrowed};
use super::{Engine, EngineError, Hop};
use crate::authorizer::Standing;
use crate::chain::UnverifiedChain;
use crate::clock::render_instant;
use crate::decision::Reason;
use crate::principal::GrantId;

/// A verified chain, told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// The id of the last hop's grant.
    pub grant: String,
    /// The digest of its signed bytes.
    pub digest: crate::canonical::Digest,
    /// The id of the human accountable.
    pub human: String,
    /// What people call them.
    pub human_name: String,
    /// The task's id.
    pub task: String,
    /// The task's sentence, where it is known here.
    pub sentence: Option<String>,
    /// How many further hops may follow.
    pub further_hops: u8,
    /// Every hop, from the root.
    pub hops: Vec<Hop>,
    /// What speaks against every call under it, as things stand.
    pub against: Vec<Reason>,
}

impl Engine {
    /// Tells of a chain by its text or by a grant's id. Nothing is recorded.
    ///
    /// # Errors
    /// `NotFound` for an id that is not known, `Invalid` for a grant whose token was erased,
    /// `Grant` for a chain that does not verify, and as `Engine::each_entry`.
    pub fn inspect(&self, text: &str) -> Result<Inspected, EngineError> {
        self.check()?;
        let chain = if text.parse::<GrantId>().is_ok() {
            let digest = self.grant_digest(text)?;
            self.chain_of(&digest)?.ok_or_else(|| {
                EngineError::Invalid(format!("the token of the grant {text} is not here any more"))
            })?
        } else {
            let anchors = self.keys.read().anchors.clone();
            let chain = UnverifiedChain::parse(text, self.max_hops)?;
            let chain = chain.verify(&anchors, &self.cache)?;
            let made = self.made(&chain)?;
            chain.made_at(made)
        };
        let mut hops: Vec<Hop> = Vec::new();
        for (place, grant) in chain.hops().iter().enumerate() {
            let payload = &grant.payload;
            let agent = payload.holder.agent.to_string();
            let above = place.checked_sub(1).and_then(|above| chain.hops().get(above));
            let entry = self.grant_entry(&grant.digest)?;
            let statement = entry.as_ref().and_then(|entry| entry.value_text("statement"));
            hops.push(Hop {
                name: self.name_of(&agent),
                agent,
                grant: payload.id.to_string(),
                until: render_instant(payload.exp).unwrap_or_default(),
                statement: statement.map(str::to_owned),
                scope: payload.scope.capabilities().iter().map(describe).collect(),
                limits: payload.limits.iter().map(ToString::to_string).collect(),
                narrowed: above
                    .map(|above| narrowed(&above.payload.scope, &payload.scope))
                    .unwrap_or_default(),
                allowed_by: Vec::new(),
                closest: None,
            });
        }
        let standing = Standing::of(&chain, &*self.state.read(), None);
        let leaf = chain.leaf();
        let human = leaf.payload.human.to_string();
        Ok(Inspected {
            grant: leaf.payload.id.to_string(),
            digest: leaf.digest,
            human_name: self.name_of(&human),
            human,
            task: leaf.payload.task.id.to_string(),
            sentence: self.task_sentence(&leaf.payload.task.id).ok(),
            further_hops: leaf.payload.max_depth.saturating_sub(leaf.payload.depth),
            hops,
            against: standing.faults(&chain, self.clock.stamp()),
        })
    }
}
