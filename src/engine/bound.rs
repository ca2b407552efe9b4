//! A chain in force here: what its hops state, what every decision under it repeats, and what the
//! state says of it, remembered until the state changes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::RwLock;

use super::Engine;
use crate::authorizer::Standing;
use crate::canonical::{Value, encode_text};
use crate::chain::Chain;
use crate::keys::Owner;

/// A verified chain in force here, with what its hops state and what the state says of it.
#[derive(Debug)]
pub struct Bound {
    pub(super) chain: Arc<Chain>,
    statements: Vec<Option<String>>,
    pub(super) owner: Owner,
    pub(super) fields: Fields,
    standing: RwLock<Option<(u64, Arc<Standing>)>>,
}

/// What every decision under a chain repeats, encoded once.
#[derive(Debug)]
pub(super) struct Fields {
    pub(super) human: Arc<[u8]>,
    pub(super) agent: Arc<[u8]>,
    pub(super) task: Arc<[u8]>,
    pub(super) chain: Arc<[u8]>,
}

impl Bound {
    pub(super) fn new(chain: Chain, statements: Vec<Option<String>>) -> Self {
        let digests = chain.hops().iter().map(|hop| Value::bytes(&hop.digest)).collect();
        let leaf = &chain.leaf().payload;
        let fields = Fields {
            human: encode_text(&leaf.human.to_string()).into(),
            agent: encode_text(&leaf.holder.agent.to_string()).into(),
            task: encode_text(&leaf.task.id.to_string()).into(),
            chain: Value::List(digests).encode().into(),
        };
        Self {
            owner: Owner::human(chain.root().payload.human),
            chain: Arc::new(chain),
            statements,
            fields,
            standing: RwLock::new(None),
        }
    }

    /// The chain.
    #[must_use]
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// What each hop states, where it is known; the task's sentence first.
    #[must_use]
    pub fn statements(&self) -> &[Option<String>] {
        &self.statements
    }
}

impl Engine {
    /// What the state says of a chain, remembered until the state changes.
    pub(super) fn standing(&self, bound: &Bound) -> (u64, Arc<Standing>) {
        let epoch = self.epoch.load(Ordering::Acquire);
        if let Some((known, standing)) = &*bound.standing.read()
            && *known == epoch
        {
            return (epoch, standing.clone());
        }
        let state = self.state.read();
        let sentence = bound.statements.first().and_then(Option::as_deref);
        let standing = Arc::new(Standing::of(&bound.chain, &*state, sentence));
        let epoch = state.epoch();
        drop(state);
        *bound.standing.write() = Some((epoch, standing.clone()));
        (epoch, standing)
    }
}
