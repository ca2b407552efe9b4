//! What the policies say of a call.

use std::sync::Arc;

/// A policy's place in its set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyRef(pub(super) u32);

/// Whether a policy permits or forbids; and what a set of them comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Permits.
    Permit,
    /// Forbids.
    Forbid,
}

impl Effect {
    /// The word in the policy.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Permit => "permit",
            Self::Forbid => "forbid",
        }
    }
}

/// A policy whose condition could not be evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError {
    /// The policy.
    pub policy: PolicyRef,
    /// What it would have done.
    pub effect: Effect,
    /// What kind of thing went wrong. It holds names and words of ours, no values.
    pub cause: Cause,
    /// What went wrong, in words that may hold values.
    pub message: String,
}

/// Why a condition cannot be evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// An argument that has no counterpart in the policy language, or is not of the type that its
    /// tool declares: its name, if it is known, and what it is, to be said after the name.
    Unfit(Option<Arc<str>>, &'static str),
    /// Something that is not there: an attribute, by its name, if it is known.
    Absent(Option<Arc<str>>),
    /// A calculation beyond 64 bits.
    Overflow,
    /// A text that is no decimal, address, instant or duration.
    Malformed,
    /// Something of another kind than the condition expects.
    Kind,
}

/// A condition that could not be evaluated.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) cause: Cause,
    pub(super) message: String,
}

/// Policies, in their order. The first few need no allocation.
#[derive(Debug, Clone, Default)]
pub struct Policies {
    few: [u32; 10],
    count: u32,
    more: Vec<u32>,
}

impl Policies {
    pub(super) fn push(&mut self, policy: u32) {
        match self.few.get_mut(self.count as usize) {
            Some(place) => *place = policy,
            None => self.more.push(policy),
        }
        self.count += 1;
    }

    pub(super) fn sort(&mut self) {
        let inline = (self.count as usize).min(self.few.len());
        if self.more.is_empty() {
            if let Some(few) = self.few.get_mut(..inline) {
                few.sort_unstable();
            }
            return;
        }
        let mut all: Vec<u32> = self.few.iter().chain(&self.more).copied().collect();
        all.sort_unstable();
        self.more = all.split_off(inline);
        for (to, from) in self.few.iter_mut().zip(all) {
            *to = from;
        }
    }

    /// The policies.
    pub fn iter(&self) -> impl Iterator<Item = PolicyRef> + '_ {
        let inline = (self.count as usize).min(self.few.len());
        self.few.iter().take(inline).chain(&self.more).copied().map(PolicyRef)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// All that the policies say of one call, so that the caller can decide.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// The permits that hold, also where a forbid holds.
    pub permits: Policies,
    /// The forbids that hold.
    pub forbids: Policies,
    /// The policies that could not be evaluated, in their order.
    pub errors: Vec<PolicyError>,
}

impl Verdict {
    /// What this project makes of it: permitted only if a permit holds, no forbid holds, and no
    /// forbid failed. A permit that failed does not permit.
    #[must_use]
    pub fn effect(&self) -> Effect {
        if self.errors.iter().any(|error| error.effect == Effect::Forbid) {
            return Effect::Forbid;
        }
        self.plain_effect()
    }

    /// What Cedar makes of it: a policy that fails is skipped, so a forbid that fails forbids
    /// nothing. For comparison only.
    #[must_use]
    pub fn plain_effect(&self) -> Effect {
        if self.forbids.is_empty() && !self.permits.is_empty() {
            return Effect::Permit;
        }
        Effect::Forbid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_policies_keep_their_order() {
        for count in [0u32, 1, 9, 10, 11, 40] {
            let mut policies = Policies::default();
            for policy in (0..count).rev() {
                policies.push(policy);
            }
            policies.sort();
            let all: Vec<u32> = policies.iter().map(|policy| policy.0).collect();
            assert_eq!(all, (0..count).collect::<Vec<_>>());
            assert_eq!(policies.len(), count as usize);
        }
    }
}
