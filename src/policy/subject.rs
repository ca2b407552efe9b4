//! A chain bound to a set of policies: what is the same for every call under it, looked up once.

use super::datum::{Datum, Fields};
use super::env::Env;
use super::explain::{Explanation, explain};
use super::facts::{Call, ChainFacts, HumanFacts};
use super::judge::judge;
use super::names::Ent;
use super::value::{Keeper, Scratch};
use super::verdict::{Policies, Verdict};
use super::world::{Above, Data, Layer, kind};
use super::{PolicySet, oracle};

/// A chain bound to a set of policies. It keeps the set alive: a set that was replaced judges on
/// until the chain is bound anew.
#[derive(Debug, Clone)]
pub struct Subject {
    set: PolicySet,
    layer: Layer,
    chain: Chained,
}

/// What is the same for every call under a chain.
#[derive(Debug, Clone)]
pub(super) struct Chained {
    pub(super) agent: Ent,
    pub(super) human: Ent,
    pub(super) task: Ent,
    pub(super) agents: Datum,
    pub(super) depth: i64,
    /// Milliseconds.
    pub(super) issued: i64,
    pub(super) latest: i64,
}

impl Subject {
    pub(super) fn bind(set: &PolicySet, facts: &ChainFacts<'_>) -> Self {
        let world = &set.inner.world;
        let mut layer = Layer::above(world);
        let mut names = Above { world, layer: &mut layer };
        let owner = human(&mut names, &facts.agent.owner);
        let root = human(&mut names, &facts.human);
        let agent = names.typed(kind::AGENT, facts.agent.name);
        put(
            &mut names,
            agent,
            facts.agent.groups,
            vec![
                ("id", Datum::Str(facts.agent.id.into())),
                ("name", Datum::Str(facts.agent.name.into())),
                ("purpose", Datum::Str(facts.agent.purpose.into())),
                ("owner", Datum::Entity(owner)),
            ],
        );
        let task = names.typed(kind::TASK, facts.task);
        put(&mut names, task, &[], vec![("purpose", Datum::Str(facts.purpose.into()))]);
        let agents = facts.agents.iter().map(|name| names.typed(kind::AGENT, name));
        let agents = Datum::set(agents.map(Datum::Entity).collect());
        let chain = Chained {
            agent,
            human: root,
            task,
            agents,
            depth: facts.agents.len() as i64,
            issued: facts.issued.div_euclid(1000),
            latest: facts.latest.div_euclid(1000),
        };
        Self { set: set.clone(), layer, chain }
    }

    /// The set it is bound to.
    #[must_use]
    pub fn set(&self) -> &PolicySet {
        &self.set
    }

    /// What the policies say of a call.
    #[must_use]
    pub fn judge(&self, call: &Call<'_>) -> Verdict {
        let scratch = Scratch::default();
        judge(&self.env(call, &scratch))
    }

    /// The policies whose scope admits a call, whatever their conditions say of it.
    #[must_use]
    pub fn concerning(&self, call: &Call<'_>) -> Policies {
        let scratch = Scratch::default();
        let mut all = Policies::default();
        self.set.inner.index.heads(&self.env(call, &scratch), |found| all.push(found.policy));
        all
    }

    /// Why the policies say so, and the smallest change that would have allowed the call. Slow.
    #[must_use]
    pub fn explain(&self, call: &Call<'_>) -> Explanation {
        let scratch = Scratch::default();
        let env = self.env(call, &scratch);
        let verdict = judge(&env);
        explain(&env, verdict)
    }

    /// The same by Cedar's own evaluator, slowly. `None` where the call holds an argument that
    /// Cedar has no value for, and a policy takes the arguments as one.
    #[must_use]
    pub fn oracle(&self, call: &Call<'_>) -> Option<Verdict> {
        let scratch = Scratch::default();
        let env = self.env(call, &scratch);
        oracle::judge(&env)
    }

    pub(super) fn env<'a>(&'a self, call: &'a Call<'a>, scratch: &'a Scratch) -> Env<'a> {
        Env::governed(&self.set.inner, &self.layer, &self.chain, call, Keeper::new(scratch))
    }
}

fn human(names: &mut Above<'_>, facts: &HumanFacts<'_>) -> Ent {
    let entity = names.typed(kind::HUMAN, facts.id);
    put(
        names,
        entity,
        facts.groups,
        vec![
            ("id", Datum::Str(facts.id.into())),
            ("account", Datum::Str(facts.account.into())),
            ("issuer", Datum::Str(facts.issuer.into())),
            ("assurance", Datum::Str(facts.assurance.word().into())),
        ],
    );
    entity
}

/// Puts what the engine knows of an entity over what the entity files say of it.
fn put(names: &mut Above<'_>, entity: Ent, groups: &[&str], known: Vec<(&str, Datum)>) {
    if names.layer.data(entity).is_some() {
        return;
    }
    let said = names.world.data(entity).cloned().unwrap_or_default();
    let mut above = said.ancestors.to_vec();
    for group in groups {
        let group = names.typed(kind::GROUP, group);
        above.push(group);
        above.extend(names.world.data(group).iter().flat_map(|data| data.ancestors.iter()));
    }
    above.sort_unstable();
    above.dedup();
    let mut attributes: Vec<(Box<str>, Datum)> =
        known.into_iter().map(|(name, datum)| (name.into(), datum)).collect();
    for (name, datum) in said.attributes.iter() {
        if !attributes.iter().any(|(own, _)| **own == *name) {
            attributes.push((name.into(), datum.clone()));
        }
    }
    let attributes = Fields::new(attributes, |name| names.world.symbols.get(name));
    names.layer.put(entity, Data { attributes, tags: said.tags, ancestors: above.into() });
}
