//! Whether the yes that an allowed decision cites was given before it, to that call, and was used
//! by no decision before.
//!
//! It keeps some 200 bytes an approval, and the texts' digest of each version of the policies,
//! whatever else stands in the trail.

use std::collections::{HashMap, HashSet};

use sha2::{Digest as _, Sha256};

use super::follow::Leaf;
use super::{Disclosed, id_with};

/// What stands where a secret was taken out. The same call may be recorded with and without it:
/// what the vault knows changes while a human is asked.
const TAKEN_OUT: &[u8] = b"(credential ";

/// What a decision repeats of the entry that asked for its approval.
const SAME: [&str; 5] = ["human", "agent", "task", "chain", "tool"];

#[derive(Clone, Copy, PartialEq)]
enum Stands {
    Waits,
    Approved,
    /// Approved by who was no human registered before, or had left.
    ByNobody,
    /// Approved and approved again: an engine takes one answer.
    Twice,
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
    /// Who approved it.
    by: Option<Box<str>>,
    /// What is shown of the call, while it can be used.
    shown: Option<Box<Shown>>,
}

/// The hashes of what is shown of a call; none of what is withheld, erased or has a secret taken
/// out.
#[derive(Default)]
struct Shown {
    resource: Option<[u8; 32]>,
    arguments: Option<[u8; 32]>,
    /// Of decisions alone: an entry that asks has another digest there.
    request: Option<[u8; 32]>,
}

impl Shown {
    fn of(values: &[Disclosed<'_>]) -> Self {
        let hash = |field: &str| {
            let value = values.iter().find(|value| value.field == field)?.value;
            let whole = !value.windows(TAKEN_OUT.len()).any(|part| part == TAKEN_OUT);
            whole.then(|| Sha256::digest(value).into())
        };
        Self { resource: hash("resource"), arguments: hash("arguments"), request: hash("request") }
    }

    /// Whether both show something, and not the same.
    fn differs(&self, other: &Self) -> bool {
        [
            (self.resource, other.resource),
            (self.arguments, other.arguments),
            (self.request, other.request),
        ]
        .into_iter()
        .any(|(one, other)| one.zip(other).is_some_and(|(one, other)| one != other))
    }
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

    /// Takes up an entry about an approval; `here` is whether who it is by is a human who was
    /// registered before and has not left.
    pub(super) fn take(&mut self, leaf: &Leaf<'_>, values: &[Disclosed<'_>], here: bool) {
        let Some(id) = named(leaf) else { return };
        if leaf.text("action") == Some("asked") {
            let is_call = leaf.text("purpose") == Some("call");
            let call = self.call(leaf);
            // The first approval of an id keeps it.
            self.asked.entry(id).or_insert_with(|| Asked {
                call,
                until: leaf.time("until").unwrap_or(i64::MIN),
                stands: if is_call { Stands::Waits } else { Stands::NoCall },
                by: None,
                shown: is_call.then(|| Box::new(Shown { request: None, ..Shown::of(values) })),
            });
            return;
        }
        let Some(asked) = self.asked.get_mut(&id) else { return };
        asked.stands = match (leaf.text("action"), asked.stands) {
            (Some("approved"), Stands::Waits) if here => {
                asked.by = leaf.text("by").map(Into::into);
                Stands::Approved
            }
            (Some("approved"), Stands::Waits) => Stands::ByNobody,
            (Some("approved"), Stands::Approved) => Stands::Twice,
            (Some("refused"), Stands::Waits | Stands::Approved) => Stands::Refused,
            (Some("ended"), Stands::Waits | Stands::Approved) => Stands::Ended,
            (_, stands) => stands,
        };
    }

    /// Takes up a decision that waits for an approval: what it shows of the call.
    pub(super) fn wait(&mut self, leaf: &Leaf<'_>, values: &[Disclosed<'_>]) {
        let asked = named(leaf).and_then(|id| self.asked.get_mut(&id));
        let Some(known) = asked.and_then(|asked| asked.shown.as_deref_mut()) else { return };
        let shown = Shown::of(values);
        known.resource = known.resource.or(shown.resource);
        known.arguments = known.arguments.or(shown.arguments);
        known.request = known.request.or(shown.request);
    }

    /// Uses up the approval that an allowed decision cites; answers what speaks against it. `left`
    /// are the humans who have.
    pub(super) fn spend(
        &mut self,
        leaf: &Leaf<'_>,
        values: &[Disclosed<'_>],
        left: &HashSet<String>,
    ) -> Option<&'static str> {
        leaf.raw("approval")?;
        let call = self.call(leaf);
        let Some(asked) = named(leaf).and_then(|id| self.asked.get_mut(&id)) else {
            return Some("the approval that it used was never asked for");
        };
        let shown = asked.shown.as_deref();
        if asked.call != call || shown.is_some_and(|shown| shown.differs(&Shown::of(values))) {
            return Some("the approval that it used was asked for another call");
        }
        match asked.stands {
            Stands::Waits => Some("nobody had approved it"),
            Stands::ByNobody => Some("who approved it was no human who was registered and here"),
            Stands::Twice => Some("the approval that it used was given twice"),
            Stands::Refused => Some("the approval that it used was refused"),
            Stands::Ended => Some("the approval that it used had ended"),
            Stands::Used => Some("an earlier decision used up its approval"),
            Stands::NoCall => Some("the approval that it used was not asked for a call"),
            Stands::Approved if leaf.at >= asked.until => {
                Some("the approval that it used had expired")
            }
            Stands::Approved if asked.by.as_deref().is_some_and(|by| left.contains(by)) => {
                Some("who approved it had left")
            }
            Stands::Approved => {
                asked.stands = Stands::Used;
                (asked.by, asked.shown) = (None, None);
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
