//! The hot path: the policies that can matter, each one's condition, what holds.

use super::env::Env;
use super::evaluate::{Machine, Trap, TrapKind};
use super::names::NONE;
use super::oracle::Stock;
use super::verdict::{Cause, Effect, Failure, PolicyError, PolicyRef, Verdict};
use super::{Inner, Policy};

/// How many shared conditions are remembered within one judgement.
const SHARED: usize = 16;

pub(super) fn judge(env: &Env<'_>) -> Verdict {
    let set = env.set;
    let mut verdict = Verdict::default();
    let mut machine = Machine::new(env, &set.code);
    // What conditions that several policies share came to: one that failed is looked at again.
    let mut came = [(NONE, false); SHARED];
    set.index.candidates(&mut machine, |machine, found, whole| {
        let place = found.policy;
        let known = came.get(found.shared as usize % SHARED).copied().unwrap_or((NONE, false));
        let held = if found.is_left {
            Err(None)
        } else if found.shared != NONE && known.0 == found.shared {
            Ok(known.1)
        } else {
            let start = if whole { found.start } else { found.from };
            machine.holds(start, found.end).map_err(Some)
        };
        let held = held.or_else(|trap| match (set.policies.get(place as usize), trap) {
            (Some(policy), Some(trap)) => Err(describe(set, policy, trap)),
            (Some(policy), None) => Stock::new(env, std::iter::once(&policy.core))
                .holds(&policy.core.condition(), &policy.core),
            // INVARIANT: each candidate is one of them.
            (None, _) => Err(Failure { cause: Cause::Kind, message: String::new() }),
        });
        match (held, found.effect) {
            (Ok(truth), effect) => {
                if found.shared != NONE
                    && let Some(came) = came.get_mut(found.shared as usize % SHARED)
                {
                    *came = (found.shared, truth);
                }
                match effect {
                    _ if !truth => {}
                    Effect::Permit => verdict.permits.push(place),
                    Effect::Forbid => verdict.forbids.push(place),
                }
            }
            (Err(Failure { cause, message }), effect) => {
                let policy = PolicyRef(place);
                verdict.errors.push(PolicyError { policy, effect, cause, message });
            }
        }
    });
    verdict.permits.sort();
    verdict.forbids.sort();
    verdict.errors.sort_by_key(|error| error.policy);
    verdict
}

/// What went wrong, and in which part of the condition.
fn describe(set: &Inner, policy: &Policy, trap: Trap) -> Failure {
    let name = |symbol| set.world.symbols.text(symbol).map_or("?", |text| &**text);
    let cause = match trap.kind {
        TrapKind::Unfit(symbol, why) => Cause::Unfit(set.world.symbols.text(symbol).cloned(), why),
        TrapKind::UnfitPart(why) => Cause::Unfit(None, why),
        TrapKind::Attribute(symbol) => Cause::Absent(set.world.symbols.text(symbol).cloned()),
        TrapKind::Entity | TrapKind::Tag => Cause::Absent(None),
        TrapKind::Overflow => Cause::Overflow,
        TrapKind::Malformed(_) => Cause::Malformed,
        TrapKind::Type(..) | TrapKind::Broken => Cause::Kind,
    };
    let what = match trap.kind {
        TrapKind::Type(expected, found) => format!("expected {expected}, found {found}"),
        TrapKind::Attribute(symbol) => format!("there is no `{}`", name(symbol)),
        TrapKind::Entity => "the entity is not known".to_owned(),
        TrapKind::Unfit(symbol, why) => format!("`{}` {why}", name(symbol)),
        TrapKind::UnfitPart(why) => format!("a part {why}"),
        TrapKind::Overflow => "the result is beyond 64 bits".to_owned(),
        TrapKind::Tag => "there is no such tag".to_owned(),
        TrapKind::Malformed(kind) => format!("the text is no well-formed {kind}"),
        TrapKind::Broken => "the compiled condition is at odds with itself".to_owned(),
    };
    let part = set.code.spans.get(trap.at).and_then(|(start, end)| {
        let loc = policy.core.template().loc()?;
        loc.src.get(*start as usize..*end as usize).filter(|part| !part.is_empty())
    });
    let message = match part {
        Some(part) => format!("{what} in `{part}`"),
        None => what,
    };
    Failure { cause, message }
}
