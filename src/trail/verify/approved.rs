//! Whether the yes that an allowed decision cites was given before it, to that call, and was used
//! by no decision before.
//!
//! It keeps 64 bytes an approval, whatever stands in the trail.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use super::follow::Leaf;
use super::id_with;

/// What a decision repeats of the entry that asked for its approval.
const SAME: [&str; 6] = ["human", "agent", "task", "chain", "tool", "policy"];

#[derive(Clone, Copy, PartialEq)]
enum Stands {
    Waits,
    Approved,
    Refused,
    Ended,
    Used,
    /// It was not asked for a call: no decision uses it.
    NoCall,
}

struct Asked {
    /// The hash of what it was asked for.
    call: [u8; 32],
    until: i64,
    stands: Stands,
}

/// The approvals of the entries so far.
#[derive(Default)]
pub(super) struct Approvals(HashMap<[u8; 16], Asked>);

impl Approvals {
    /// Takes up an entry about an approval.
    pub(super) fn take(&mut self, leaf: &Leaf<'_>) {
        let Some(id) = named(leaf) else { return };
        if leaf.text("action") == Some("asked") {
            let is_call = leaf.text("purpose") == Some("call");
            // The first approval of an id keeps it.
            self.0.entry(id).or_insert_with(|| Asked {
                call: call(leaf),
                until: leaf.time("until").unwrap_or(i64::MIN),
                stands: if is_call { Stands::Waits } else { Stands::NoCall },
            });
            return;
        }
        let Some(asked) = self.0.get_mut(&id) else { return };
        asked.stands = match (leaf.text("action"), asked.stands) {
            (Some("approved"), Stands::Waits) => Stands::Approved,
            (Some("refused"), Stands::Waits | Stands::Approved) => Stands::Refused,
            (Some("ended"), Stands::Waits | Stands::Approved) => Stands::Ended,
            (_, stands) => stands,
        };
    }

    /// Uses up the approval that an allowed decision cites; answers what speaks against it.
    pub(super) fn spend(&mut self, leaf: &Leaf<'_>) -> Option<&'static str> {
        leaf.raw("approval")?;
        let Some(asked) = named(leaf).and_then(|id| self.0.get_mut(&id)) else {
            return Some("the approval that it used was never asked for");
        };
        if asked.call != call(leaf) {
            return Some("the approval that it used was asked for another call");
        }
        match asked.stands {
            Stands::Waits => Some("nobody had approved it"),
            Stands::Refused => Some("the approval that it used was refused"),
            Stands::Ended => Some("the approval that it used had ended"),
            Stands::Used => Some("an earlier decision used up its approval"),
            Stands::NoCall => Some("the approval that it used was not asked for a call"),
            Stands::Approved if leaf.at >= asked.until => {
                Some("the approval that it used had expired")
            }
            Stands::Approved => {
                asked.stands = Stands::Used;
                None
            }
        }
    }
}

fn named(leaf: &Leaf<'_>) -> Option<[u8; 16]> {
    id_with("apr_", leaf.text("approval")?)
}

/// The hash of what a yes is bound to and a leaf says in clear: each with its length, or without.
fn call(leaf: &Leaf<'_>) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for key in SAME {
        let value = leaf.raw(key);
        let length = value.map_or(u64::MAX, |value| value.len() as u64);
        hasher.update(length.to_le_bytes());
        hasher.update(value.unwrap_or_default());
    }
    hasher.finalize().into()
}
