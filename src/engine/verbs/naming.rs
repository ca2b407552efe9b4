//! What a grant names is held to what its tools declare: a misspelt name is found when it is given.

use super::super::{Engine, EngineError};
use crate::policy::distance;
use crate::request::{ToolDeclaration, shown};
use crate::scope::{Limit, Scope};

impl Engine {
    /// Refuses a scope that misspells an argument of its tool, which is known here by exactly that
    /// name: a condition on what the tool does not have is never met.
    ///
    /// # Errors
    /// `Invalid`, with the name and the one that is meant.
    pub(super) fn named_rightly(&self, scope: &Scope) -> Result<(), EngineError> {
        let declared = self.declared.read();
        for capability in scope.capabilities() {
            let pattern = capability.tool().as_str();
            let Some(tool) = declared.values().find(|t| t.declaration.name.as_str() == pattern)
            else {
                continue;
            };
            let caveats = capability.where_().unwrap_or_default().iter();
            let conditions = caveats.filter(|(_, caveat)| caveat.word() != "absent");
            let totals = capability.limits().iter().filter_map(|limit| match limit {
                Limit::Total(total) => Some(total.argument()),
                Limit::Calls(_) | Limit::Rate { .. } => None,
            });
            for name in conditions.map(|(name, _)| &**name).chain(totals) {
                has(&tool.declaration, name)?;
            }
        }
        Ok(())
    }
}

fn has(tool: &ToolDeclaration, name: &str) -> Result<(), EngineError> {
    let first = name.split('.').next().unwrap_or(name);
    if tool.open || tool.arguments.contains_key(first) {
        return Ok(());
    }
    // A name that is like no other may be one that the tool has in its next version, or elsewhere:
    // it only denies.
    let near = tool
        .arguments
        .keys()
        .map(|known| (distance(first, known), known))
        .min()
        .filter(|(distance, _)| *distance <= first.chars().count() / 3 + 1);
    let Some((_, near)) = near else { return Ok(()) };
    Err(EngineError::Invalid(format!(
        "the tool `{}` has no argument `{}`; did you mean `{}`?",
        shown(tool.name.as_str()),
        shown(first),
        shown(near),
    )))
}
