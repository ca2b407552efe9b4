//! What the decisions of a receipt cite has to be in it: the human, the agent and the task that they
//! name, the policies and the approval that decided, the call they were made in.
//!
//! A whole trail is asked as its entries come, where decisions are followed. Grants are compared
//! elsewhere, in their order. Leaves are never erased, so each is there to show.

use std::collections::HashSet;

use super::follow::Leaf;
use super::{Code, Place, Verifier};

/// What was shown, and what is asked for.
#[derive(Default)]
pub(super) struct Cited {
    have: HashSet<(&'static str, String)>,
    want: Vec<(Place, &'static str, String)>,
}

const HUMAN: &str = "human";
const AGENT: &str = "agent";
const TASK: &str = "task";
const POLICY: &str = "policy";
const APPROVAL: &str = "approval";
const CALL: &str = "call it was made in";

impl Cited {
    /// Takes up a leaf: what it shows, or what it cites.
    pub(super) fn take(&mut self, kind: &str, place: &Place, leaf: &Leaf<'_>) {
        let text = |key: &str| leaf.text(key).unwrap_or_default().to_owned();
        let shown = match (kind, leaf.text("action")) {
            ("identity", Some("registered")) => (HUMAN, text("human")),
            ("identity", Some("issued")) => (AGENT, text("agent")),
            ("task", Some("opened")) => (TASK, text("task")),
            // Where the root grant was made elsewhere, so was its task.
            ("grant", _)
                if leaf.raw("offline").is_some() && leaf.text("issuer") == Some("authority") =>
            {
                (TASK, text("task"))
            }
            ("policy", Some("loaded" | "extended")) => (POLICY, text("policy")),
            ("approval", Some("asked")) => (APPROVAL, text("approval")),
            ("decision", _) => {
                for (what, key) in [
                    (HUMAN, "human"),
                    (AGENT, "agent"),
                    (TASK, "task"),
                    (POLICY, "policy"),
                    (APPROVAL, "approval"),
                    (CALL, "parent"),
                ] {
                    let id = text(key);
                    // A refused call may name whom nobody knows: that may be why.
                    let known = leaf.text("effect") == Some("allow")
                        || !matches!(what, HUMAN | AGENT | TASK);
                    if known && !id.is_empty() && id != "none" {
                        self.want.push((place.clone(), what, id));
                    }
                }
                (CALL, text("id"))
            }
            _ => return,
        };
        self.have.insert(shown);
    }
}

impl Verifier {
    /// Reports what is cited and not shown.
    pub(super) fn missing_of_cited(&mut self) {
        let Cited { have, want } = std::mem::take(&mut self.cited);
        for (place, what, id) in want {
            if !have.contains(&(what, id.clone())) {
                let what = format!("the decision names the {what} `{id:.80}`, which is not shown");
                self.fault(Code::CitedMissing, place, &what);
            }
        }
    }
}
