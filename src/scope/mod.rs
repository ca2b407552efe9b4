//! Scopes: what may be allowed, and the relation `within` that makes a delegation legal.
//!
//! A scope is a list of capabilities, each an alternative. Everything here is a small lattice:
//! each test is decidable, linear in its input, and sound; what is not known to be within is not.

mod capability;
mod capability_wire;
mod caveat;
mod caveat_within;
mod error;
mod form;
mod limit;
mod name;
mod pattern;
mod refusal;
mod wire;
mod within;
mod words;

#[cfg(test)]
mod tests;

pub use capability::{Capability, MAX_LIMITS, MAX_RESOURCES, MAX_WHERE};
pub use caveat::{
    Caveat, MAX_CAVEAT_BYTES, MAX_CAVEAT_DEPTH, MAX_CAVEAT_ITEMS, MAX_CAVEAT_PARTS, MAX_COUNT,
};
pub use error::ScopeError;
pub use limit::{Limit, Total};
pub use name::{MAX_NAME_BYTES, MAX_NAME_PARTS};
pub use pattern::{ResourcePattern, ToolPattern};
pub use refusal::{Refusal, RefusalCode};
pub use within::{NotWithin, NotWithinCode};

use std::sync::Arc;

use crate::request::Request;

/// The most capabilities of a scope.
pub const MAX_CAPABILITIES: usize = 64;

/// What may be allowed: capabilities, each an alternative. An empty scope allows nothing. Its
/// clones share them.
#[derive(Debug, Clone, PartialEq)]
pub struct Scope {
    capabilities: Arc<[Capability]>,
}

impl Scope {
    /// Builds a scope.
    ///
    /// # Errors
    /// More than 64 capabilities.
    pub fn new(capabilities: Vec<Capability>) -> Result<Self, ScopeError> {
        error::at_most("capabilities", capabilities.len(), MAX_CAPABILITIES)?;
        Ok(Self { capabilities: capabilities.into() })
    }

    /// The capabilities, in order.
    #[must_use]
    pub fn capabilities(&self) -> &[Capability] {
        &self.capabilities
    }

    /// The first capability that covers a call, by its place: the one whose limits are drawn on.
    /// Allocates nothing if there is one.
    ///
    /// # Errors
    /// What the closest capability misses.
    pub fn covers(&self, request: &Request) -> Result<usize, Refusal> {
        let mut closest = None;
        for (at, capability) in self.capabilities.iter().enumerate() {
            match capability.check(request) {
                Ok(()) => return Ok(at),
                Err(miss) => {
                    let further = closest.as_ref().is_none_or(
                        |(_, _, last): &(_, _, capability::Miss<'_>)| miss.rank() > last.rank(),
                    );
                    if further {
                        closest = Some((at, capability, miss));
                    }
                }
            }
        }
        Err(match closest {
            Some((at, capability, miss)) if miss.rank() > 0 => {
                Refusal::miss(at, capability, &miss, request)
            }
            _ => Refusal::tool(request, &self.capabilities),
        })
    }

    /// Whether each capability fits inside one capability of `parent`: then every call that this
    /// covers is covered by `parent`. Beyond the parent is refused, never clipped.
    ///
    /// # Errors
    /// The first capability that fits in none, and what the closest one misses.
    pub fn within(&self, parent: &Self) -> Result<(), NotWithin> {
        within::scope_within(self, parent, false)
    }

    /// As [`Scope::within`], for the ceiling of an agent. Nothing draws on a ceiling, so a limit that
    /// one of its capabilities states must stand in what is granted inside it, not above it.
    ///
    /// # Errors
    /// As [`Scope::within`].
    pub fn within_ceiling(&self, ceiling: &Self) -> Result<(), NotWithin> {
        within::scope_within(self, ceiling, true)
    }
}
