//! Whether the yes that an allowed decision cites was given before it, to that call, and was used
//! by no decision before.
//!
//! It keeps 64 bytes an approval, and the texts' digest of each version of the policies, whatever
//! else stands in the trail.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use super::follow::Leaf;
use super::id_with;

/// What a decision repeats of the entry that asked for its approval.
const SAME: [&str; 5] = ["human", "agent", "task", "chain", "tool"];

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
pub(super) struct Approvals {
    asked: HashMap<[u8; 16], Asked>,
    /// The digest of the texts of each version of the policies, as the entry has it that put it in
    /// force.
    texts: HashMap<String, String>,
}

impl Approvals {
    /// Takes up an entry about policies.
    pub(super) fn govern(&mut self, leaf: &Leaf<'_>) {
        if let (Some(version), Some(texts)) = (leaf.text("policy"), leaf.text("texts")) {
            self.texts.insert(version.to_owned(), texts.to_owned());
        }
    }

    /// Takes up an entry about an approval.
    pub(super) fn take(&mut self, leaf: &Leaf<'_>) {
        let Some(id) = named(leaf) else { return };
        if leaf.text("action") == Some("asked") {
            let is_call = leaf.text("purpose") == Some("call");
            let call = self.call(leaf);
            // The first approval of an id keeps it.
            self.asked.entry(id).or_insert_with(|| Asked {
                call,
                until: leaf.time("until").unwrap_or(i64::MIN),
                stands: if is_call { Stands::Waits } else { Stands::NoCall },
            });
            return;
        }
        let Some(asked) = self.asked.get_mut(&id) else { return };
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
        let call = self.call(leaf);
        let Some(asked) = named(leaf).and_then(|id| self.asked.get_mut(&id)) else {
            return Some("the approval that it used was never asked for");
        };
        if asked.call != call {
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

    /// The hash of what a yes is bound to and a leaf says in clear: each with its length, or without.
    /// Two versions of the policies that differ in the tools they were held to alone are one.
    fn call(&self, leaf: &Leaf<'_>) -> [u8; 32] {
        let mut hasher = Sha256::new();
        for key in SAME {
            take_in(&mut hasher, leaf.raw(key));
        }
        let texts = leaf.text("policy").and_then(|version| self.texts.get(version));
        take_in(&mut hasher, texts.map(String::as_bytes));
        take_in(&mut hasher, leaf.raw("policy").filter(|_| texts.is_none()));
        hasher.finalize().into()
    }
}

fn take_in(hasher: &mut Sha256, value: Option<&[u8]>) {
    let length = value.map_or(u64::MAX, |value| value.len() as u64);
    hasher.update(length.to_le_bytes());
    hasher.update(value.unwrap_or_default());
}

fn named(leaf: &Leaf<'_>) -> Option<[u8; 16]> {
    id_with("apr_", leaf.text("approval")?)
}
