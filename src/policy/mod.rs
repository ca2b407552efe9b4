//! Policies: the organisation's rules over calls, written in Cedar.
//!
//! Cedar parses and checks them and is the yardstick; what decides is compiled here: names are
//! numbers, policies lie in an index over who, what and where, and conditions are a small flat
//! code. The verdict is Cedar's to the letter, errors included, with one difference that the
//! caller asks for ([`Verdict::effect`]): a forbid that fails forbids.
//!
//! Pure: no store, no clock. The only place that names Cedar.

mod code;
mod compile;
mod convert;
mod datum;
mod env;
mod evaluate;
mod explain;
mod facts;
mod fault;
mod index;
mod judge;
mod lint;
mod load;
mod names;
mod oracle;
mod plain;
mod read;
mod scan;
mod schema;
mod sieve;
mod subject;
mod validate;
mod value;
mod verdict;
mod world;

use std::sync::Arc;

use cedar_policy_core::ast;

pub use explain::{Change, Conjunct, Explained, Explanation, Outcome, Read, ScopeMiss};
pub use facts::{AgentFacts, Call, ChainFacts, HumanFacts};
pub use fault::LoadFault;
pub use lint::{Lint, Weight, lint};
pub use plain::{PlainBundle, PlainRequest, PlainSet};
pub use scan::{MAX_BRACKETS, MAX_OPERATORS, MAX_SOURCE_BYTES};
pub use schema::{Argument, ArgumentType, Member, ToolType};
pub use subject::Subject;
pub(crate) use validate::distance;
pub use verdict::{Cause, Effect, Policies, PolicyError, PolicyRef, Verdict};

use crate::canonical::Digest;
use code::{Code, Condition};
use env::Tool;
use index::Index;
use names::FastMap;
use world::World;

/// A named text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What faults and policies call it: a file's name.
    pub name: String,
    /// The text.
    pub text: String,
}

/// A template with its slots filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The id of the policy that comes of it.
    pub id: String,
    /// The id of the template.
    pub template: String,
    /// What stands for `?principal`: an entity such as `Group::"finance"`.
    pub principal: Option<String>,
    /// What stands for `?resource`.
    pub resource: Option<String>,
}

/// All that a set is loaded from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bundle {
    /// Files of policies. Each policy has an `@id` of its own.
    pub policies: Vec<Source>,
    /// Files of entities, in Cedar's JSON.
    pub entities: Vec<Source>,
    /// Files of the deployment's own types, in Cedar's schema language.
    pub schemas: Vec<Source>,
    /// Templates with their slots filled.
    pub links: Vec<Link>,
    /// The tools.
    pub tools: Vec<ToolType>,
}

/// One policy.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Its id.
    pub id: Arc<str>,
    /// Whether it permits or forbids.
    pub effect: Effect,
    /// The name of its source.
    pub source: String,
    /// The line it starts in, from 1.
    pub line: usize,
    /// The column it starts in, in characters from 1.
    pub column: usize,
    /// Its text, annotations included.
    pub text: String,
    /// Its annotations, by name.
    pub annotations: Vec<(String, String)>,
    source_number: usize,
    digest: Digest,
    core: ast::Policy,
}

impl Policy {
    /// The value of an annotation; empty text for one without a value.
    #[must_use]
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// The policy as Cedar holds it.
    #[allow(dead_code)] // for what looks at policies beside judging by them
    pub(super) fn core(&self) -> &ast::Policy {
        &self.core
    }
}

impl PolicyRef {
    /// The place in [`PolicySet::policies`].
    #[must_use]
    pub fn place(self) -> usize {
        self.0 as usize
    }
}

/// How much of a set is compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// How many policies there are.
    pub total: usize,
    /// How many are compiled; the others go through Cedar's evaluator.
    pub compiled: usize,
    /// The others: id, and why.
    pub fallback: Vec<(Arc<str>, &'static str)>,
}

/// A set of policies, checked and ready. Cheap to clone; never changes.
#[derive(Debug, Clone)]
pub struct PolicySet {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    world: World,
    policies: Vec<Policy>,
    code: Code,
    index: Index,
    tools: FastMap<Box<str>, Tool>,
    tool_types: Vec<ToolType>,
    version: Digest,
    checked: validate::Checked,
}

impl PolicySet {
    /// Loads a set: all or nothing. What is unchanged since `before` is not checked again.
    ///
    /// # Errors
    /// All faults that were found, each with its place; at least one.
    pub fn load(bundle: &Bundle, before: Option<&Self>) -> Result<Self, Vec<LoadFault>> {
        load::load(bundle, before)
    }

    /// The digest of policies, entities, schema and language: two sets with the same version judge
    /// alike.
    #[must_use]
    pub fn version(&self) -> &Digest {
        &self.inner.version
    }

    /// The policies, in the order of their sources.
    #[must_use]
    pub fn policies(&self) -> &[Policy] {
        &self.inner.policies
    }

    /// One policy.
    #[must_use]
    pub fn policy(&self, policy: PolicyRef) -> Option<&Policy> {
        self.inner.policies.get(policy.place())
    }

    /// A policy as Cedar holds it.
    pub(super) fn core(&self, policy: PolicyRef) -> Option<&ast::Policy> {
        Some(self.policy(policy)?.core())
    }

    /// The tools it was loaded with.
    #[must_use]
    pub fn tools(&self) -> &[ToolType] {
        &self.inner.tool_types
    }

    /// How much of it is compiled.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        coverage(&self.inner)
    }

    /// Binds a chain, for any number of calls under it.
    #[must_use]
    pub fn bind(&self, facts: &ChainFacts<'_>) -> Subject {
        Subject::bind(self, facts)
    }
}

fn coverage(set: &Inner) -> Coverage {
    let fallback: Vec<_> = set
        .policies
        .iter()
        .zip(&set.code.conditions)
        .filter_map(|(policy, condition)| match condition {
            Condition::Cedar(why) => Some((Arc::clone(&policy.id), *why)),
            Condition::Always | Condition::Code(..) => None,
        })
        .collect();
    let total = set.policies.len();
    Coverage { total, compiled: total - fallback.len(), fallback }
}

#[cfg(test)]
mod tests;
