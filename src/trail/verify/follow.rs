//! Whether decisions follow from what they cite: each call that was allowed names a chain of grants
//! that stand earlier in the trail, none of which had ended by then, and whose scopes cover what
//! was recorded of the request; where it cites an approval, that was given before and not used.
//!
//! What cannot be recomputed from a trail is left out: limits drawn on, policies, and requests whose
//! arguments were masked, withheld or erased.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::approved::Approvals;
use super::beyond::beyond;
use super::{BASE64URL_NOPAD, Code, Disclosed, Place, Verifier, bytes};
use crate::grant::Payload;
use crate::keys;
use crate::request::ToolName;
use crate::scope::{Scope, ToolPattern};

/// How far ahead a hop may be dated, in microseconds.
const SKEW: i64 = 30_000_000;

type Digest = [u8; 32];

/// What the entries so far say of a grant.
pub(super) struct Cited {
    parent: Option<Digest>,
    human: String,
    agent: String,
    task: String,
    from: i64,
    until: i64,
    /// The place of its entry, where the engine made it: only that shows when.
    made: Option<u64>,
    /// What was signed, where the token was shown and verified.
    pub(super) payload: Option<Arc<Payload>>,
}

impl Cited {
    /// What a grant's leaf says.
    fn stated(leaf: &Leaf<'_>) -> Self {
        Self {
            parent: leaf.digest("parent"),
            human: leaf.owned("human"),
            agent: leaf.owned("agent"),
            task: leaf.owned("task"),
            from: leaf.time("from").unwrap_or(i64::MAX),
            until: leaf.time("until").unwrap_or(i64::MIN),
            made: leaf.raw("offline").is_none().then_some(leaf.place),
            payload: None,
        }
    }
}

/// What the entries so far say of an agent.
struct Life {
    owner: String,
    active: bool,
    /// It never comes back.
    retired: bool,
    until: i64,
    key: String,
    /// The place of the entry with which the engine made the key, if it did.
    made: Option<u64>,
    overlaps: Vec<(String, i64, Option<u64>)>,
}

/// The state that decisions are judged against, as the entries so far have it.
#[derive(Default)]
pub(super) struct Facts {
    grants: HashMap<Digest, Cited>,
    /// The grants by their ids.
    ids: HashMap<[u8; 16], Digest>,
    /// The scopes of verified grants, by the digest of what they say.
    scopes: HashMap<Digest, Scope>,
    agents: HashMap<String, Life>,
    left: HashSet<String>,
    /// The humans that were registered.
    humans: HashSet<String>,
    /// The tasks that were opened.
    opened: HashSet<String>,
    /// The versions of the policies that were put in force.
    policies: HashSet<String>,
    revoked: HashSet<Digest>,
    cut: HashMap<String, u64>,
    ended: HashSet<String>,
    halted: HashSet<(String, String)>,
    approvals: Approvals,
}

/// A leaf's keys, read one by one.
pub(super) struct Leaf<'a> {
    pub(super) fields: &'a bytes::Fields<'a>,
    pub(super) at: i64,
    /// Its place in the trail.
    pub(super) place: u64,
}

impl Leaf<'_> {
    pub(super) fn raw(&self, key: &str) -> Option<&[u8]> {
        self.fields.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.raw(key).and_then(bytes::text)
    }

    fn owned(&self, key: &str) -> String {
        self.text(key).unwrap_or_default().to_owned()
    }

    /// Its place, where it says that the engine made and keeps a key.
    fn managed(&self) -> Option<u64> {
        // The canonical form of true.
        (self.raw("managed") == Some(&[2])).then_some(self.place)
    }

    fn digest(&self, key: &str) -> Option<Digest> {
        self.raw(key).and_then(bytes::raw)?.try_into().ok()
    }

    pub(super) fn time(&self, key: &str) -> Option<i64> {
        self.raw(key).and_then(bytes::micros)
    }

    fn digests(&self, key: &str) -> Option<Vec<Digest>> {
        let items = bytes::list(self.raw(key)?)?;
        items.into_iter().map(|item| bytes::raw(item)?.try_into().ok()).collect()
    }
}

/// The signed part of a revocation.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Revoked {
    v: u64,
    entry: String,
    target: String,
    id: Option<String>,
    digest: Option<String>,
    by: String,
    at: String,
}

/// What a revocation may name.
const TARGETS: [&str; 4] = ["grant", "task", "agent", "human"];

/// What a halt is of, by its word and name; `None` if that cannot be read.
fn halted(leaf: &Leaf<'_>) -> Option<(String, String)> {
    let target = leaf.text("target")?;
    let name = match target {
        "everything" => "",
        "owner" | "agent" => leaf.text(target).filter(|name| !name.is_empty())?,
        "tool" => leaf.text(target).filter(|name| ToolPattern::parse(name).is_ok())?,
        _ => return None,
    };
    Some((target.to_owned(), name.to_owned()))
}

impl Verifier {
    /// Takes up what a leaf changes, or compares a decision with it.
    pub(super) fn follow(
        &mut self,
        kind: &str,
        place: &Place,
        leaf: &Leaf<'_>,
        values: &[Disclosed<'_>],
    ) {
        match kind {
            "identity" => self.facts.identity(leaf),
            "grant" => {
                if let Some(digest) = leaf.digest("digest") {
                    // The first grant of a digest keeps it, and the engine records no second.
                    let known = self.facts.grants.contains_key(&digest);
                    self.facts.grants.entry(digest).or_insert_with(|| Cited::stated(leaf));
                    let id = leaf.text("grant").and_then(|id| super::id_with("gnt_", id));
                    let held = id.map(|id| *self.facts.ids.entry(id).or_insert(digest));
                    if held.is_some_and(|held| held != digest) {
                        let what = "an earlier grant has this id";
                        self.fault(Code::GrantMismatch, place.clone(), what);
                    }
                    if known {
                        let what = "an earlier entry is of this grant";
                        self.fault(Code::GrantMismatch, place.clone(), what);
                    }
                }
            }
            "task" => match leaf.text("action") {
                Some("opened") => {
                    self.facts.opened.insert(leaf.owned("task"));
                }
                Some("ended") => {
                    self.facts.ended.insert(leaf.owned("task"));
                }
                _ => {}
            },
            "halt" => {
                let named = halted(leaf);
                if leaf.text("action") != Some("lifted") {
                    // One that cannot be read halts everything, as it does for the engine.
                    let all = || ("everything".to_owned(), String::new());
                    self.facts.halted.insert(named.unwrap_or_else(all));
                } else if let Some(named) = named {
                    self.facts.halted.remove(&named);
                }
            }
            "revocation" => self.revocation(place, leaf),
            "approval" => {
                let here = leaf.text("by").is_some_and(|by| self.facts.is_here(by, self.sparse));
                self.facts.approvals.take(leaf, values, here);
            }
            "policy" => {
                if matches!(leaf.text("action"), Some("loaded" | "extended")) {
                    self.facts.policies.insert(leaf.owned("policy"));
                }
                self.facts.approvals.govern(leaf);
            }
            "decision" => match leaf.text("effect") {
                Some("allow") => self.allowed(place, leaf, values),
                Some("ask") => self.facts.approvals.wait(leaf, values),
                _ => {}
            },
            _ => {}
        }
    }

    /// Remembers what a verified token says.
    pub(super) fn remember(&mut self, digest: &Digest, mut payload: Payload) {
        let Some(cited) = self.facts.grants.get_mut(digest) else { return };
        if let Ok(text) = serde_json::to_vec(&payload.scope) {
            // Many grants have the same one.
            let same = self.facts.scopes.entry(Sha256::digest(text).into());
            payload.scope = same.or_insert_with(|| payload.scope.clone()).clone();
        }
        cited.payload = Some(Arc::new(payload));
    }

    /// Whether an entry so far is of this grant.
    pub(super) fn knows_grant(&self, digest: &Digest) -> bool {
        self.facts.grants.contains_key(digest)
    }

    /// What a grant's token says, where it was shown and verified.
    pub(super) fn signed_grant(&self, digest: &Digest) -> Option<Arc<Payload>> {
        self.facts.grants.get(digest)?.payload.clone()
    }

    /// The agent that holds a grant of an entry so far.
    pub(super) fn holder_of(&self, digest: &Digest) -> Option<&str> {
        self.facts.grants.get(digest).map(|cited| cited.agent.as_str())
    }

    fn revocation(&mut self, place: &Place, leaf: &Leaf<'_>) {
        let target = leaf.owned("target");
        let id = leaf.text(&target).map(str::to_owned);
        let digest = leaf.digest("digest");
        let wrong = match self.stated(leaf) {
            Err(what) => Some(what),
            Ok(stated) => {
                let said = stated
                    .digest
                    .as_ref()
                    .and_then(|text| BASE64URL_NOPAD.decode(text.as_bytes()).ok()?.try_into().ok());
                self.facts.revoke(&stated.target, stated.id.as_deref(), said, leaf.place);
                let digest = digest.map(|digest| BASE64URL_NOPAD.encode(&digest));
                let of_grant = target == "grant";
                let same = stated.v == 1
                    && (of_grant || (TARGETS.contains(&target.as_str()) && id.is_some()))
                    && digest.is_some() == of_grant
                    && Some(stated.entry.as_str()) == leaf.text("id")
                    && stated.target == target
                    && stated.id == id
                    && stated.digest == digest
                    && Some(stated.by.as_str()) == leaf.text("by")
                    && bytes::instant(&stated.at) == Some(leaf.at);
                (!same).then(|| "its statement says something else than the entry".to_owned())
            }
        };
        if let Some(what) = wrong {
            self.fault(Code::RevocationInvalid, place.clone(), &format!("the revocation: {what}"));
            // What the entry says ends too: which of the two was meant cannot be told.
            self.facts.revoke(&target, id.as_deref(), digest, leaf.place);
        }
    }

    fn stated(&self, leaf: &Leaf<'_>) -> Result<Revoked, String> {
        let token = leaf.text("statement").ok_or("it has no statement")?;
        let assertion = format!("answerable/v1/revocation/{}", self.authority.id());
        let statement = keys::verify(&self.root, token, &assertion)
            .map_err(|error| format!("its statement does not verify: {error}"))?;
        if !statement.footer.is_empty() {
            return Err("its statement has a footer".to_owned());
        }
        serde_json::from_str(&statement.payload)
            .map_err(|_| "its statement is not of the form".to_owned())
    }

    fn allowed(&mut self, place: &Place, leaf: &Leaf<'_>, values: &[Disclosed<'_>]) {
        let nobody = leaf.raw("human").is_none() && leaf.raw("chain").is_none();
        if nobody && !self.sparse && self.facts.humans.is_empty() {
            // None of the engine's, which registers a human before anything is allowed.
            self.report.not_followed += 1;
            return;
        }
        let facts = &mut self.facts;
        let without = facts.approvals.spend(leaf, values, &facts.left);
        if let Some(what) = without {
            self.fault(Code::DecisionApproval, place.clone(), what);
        }
        let Some(chain) = leaf.digests("chain").filter(|chain| !chain.is_empty()) else {
            let what = "the call was allowed, and names no chain of grants";
            return self.fault(Code::DecisionChain, place.clone(), what);
        };
        let missing = self.unknown_to_it(place, leaf, &chain);
        let found = match self.facts.chain(leaf, &chain) {
            Err(what) => Some((Code::DecisionChain, what)),
            Ok(hops) => match self.facts.ended(leaf, &chain, &hops) {
                Some(what) => Some((Code::DecisionAuthority, what)),
                None => beyond(leaf, values, &hops).map(|what| (Code::DecisionScope, what)),
            },
        };
        match found {
            Some((code, what)) => self.fault(code, place.clone(), &what),
            None if without.is_none() && !missing => self.report.decisions_followed += 1,
            None => {}
        }
    }

    /// Reports what an allowed decision of a whole trail names that no entry before it is about;
    /// answers whether there was anything. Of a receipt it is asked at its end.
    fn unknown_to_it(&mut self, place: &Place, leaf: &Leaf<'_>, chain: &[Digest]) -> bool {
        if self.sparse {
            return false;
        }
        let unknown = self.facts.unknown(leaf, chain);
        for what in &unknown {
            self.fault(Code::CitedMissing, place.clone(), what);
        }
        !unknown.is_empty()
    }
}

impl Facts {
    /// The grants whose tokens were shown and verified.
    pub(super) fn signed_grants(&self) -> Vec<(Digest, Arc<Payload>)> {
        let signed = self.grants.iter();
        signed.filter_map(|(digest, cited)| Some((*digest, cited.payload.clone()?))).collect()
    }

    fn identity(&mut self, leaf: &Leaf<'_>) {
        let action = leaf.text("action").unwrap_or_default();
        if action == "offboarded" {
            self.left.insert(leaf.owned("human"));
            return;
        }
        if action == "registered" {
            self.humans.insert(leaf.owned("human"));
            return;
        }
        let Some(agent) = leaf.text("agent") else { return };
        if action == "issued" && !self.agents.contains_key(agent) {
            let life = Life {
                owner: leaf.owned("human"),
                active: true,
                retired: false,
                until: leaf.time("until").unwrap_or(i64::MIN),
                key: leaf.owned("key"),
                made: leaf.managed(),
                overlaps: Vec::new(),
            };
            self.agents.insert(agent.to_owned(), life);
            return;
        }
        let Some(life) = self.agents.get_mut(agent) else { return };
        match action {
            "suspended" => life.active = false,
            "retired" => (life.active, life.retired) = (false, true),
            "resumed" => life.active = !life.retired,
            "transferred" => life.owner = leaf.owned("human"),
            "renewed" => life.until = leaf.time("until").unwrap_or(i64::MIN),
            "rotated" => {
                let before = std::mem::replace(&mut life.key, leaf.owned("key"));
                let made = std::mem::replace(&mut life.made, leaf.managed());
                if let Some(until) = leaf.time("overlap") {
                    life.overlaps.push((before, until, made));
                }
            }
            _ => {}
        }
    }

    /// Whether a human was registered before and has not left. A receipt does not show everybody.
    fn is_here(&self, human: &str, sparse: bool) -> bool {
        let known = self.humans.contains(human) || (sparse && human.starts_with("hum_"));
        known && !self.left.contains(human)
    }

    /// Takes up what a revocation ends.
    fn revoke(&mut self, target: &str, id: Option<&str>, digest: Option<Digest>, place: u64) {
        match (target, id) {
            ("grant", _) => self.revoked.extend(digest),
            ("task", Some(task)) => {
                self.ended.insert(task.to_owned());
            }
            (_, Some(id)) => {
                self.cut.insert(id.to_owned(), place);
            }
            (_, None) => {}
        }
    }

    /// What an allowed decision names that no entry so far is about.
    fn unknown(&self, leaf: &Leaf<'_>, chain: &[Digest]) -> Vec<String> {
        let says = |what: &str, id: &str, why: &str| {
            format!("the decision names the {what} `{id:.80}`, {why} by no entry before it")
        };
        let mut unknown = Vec::new();
        let human = leaf.text("human").filter(|human| *human != "none");
        if let Some(human) = human.filter(|human| !self.humans.contains(*human)) {
            unknown.push(says("human", human, "registered"));
        }
        // Where the root grant was made elsewhere, so was its task.
        let root = chain.first().and_then(|digest| self.grants.get(digest));
        let here = root.is_none_or(|root| root.made.is_some());
        if let Some(task) = leaf.text("task").filter(|task| here && !self.opened.contains(*task)) {
            unknown.push(says("task", task, "opened"));
        }
        match leaf.text("policy") {
            Some(policy) if policy == "none" || self.policies.contains(policy) => {}
            Some(policy) => unknown.push(says("policies", policy, "put in force")),
            None => unknown.push("the decision names no policies, and not `none`".to_owned()),
        }
        unknown
    }

    /// The grants of a decision's chain, which must be one and what the decision says it is.
    fn chain(&self, leaf: &Leaf<'_>, chain: &[Digest]) -> Result<Vec<&Cited>, String> {
        let mut hops: Vec<&Cited> = Vec::with_capacity(chain.len());
        let mut above = None;
        for (hop, digest) in chain.iter().enumerate() {
            let Some(cited) = self.grants.get(digest) else {
                return Err(format!("hop {hop} of its chain is no grant before it"));
            };
            if cited.parent != above {
                return Err(format!("hop {hop} of its chain was not made from the one above"));
            }
            above = Some(*digest);
            hops.push(cited);
        }
        let last = hops.last().ok_or("its chain is empty")?;
        let human = leaf.text("human");
        if hops.iter().any(|cited| Some(cited.human.as_str()) != human) {
            return Err("its chain was granted for another human".to_owned());
        }
        if leaf.text("agent") != Some(&last.agent) {
            return Err("its chain ends at another agent".to_owned());
        }
        if leaf.text("task") != Some(&last.task) {
            return Err("its chain was granted for another task".to_owned());
        }
        Ok(hops)
    }

    /// What had ended the chain by the time of the decision.
    fn ended(&self, leaf: &Leaf<'_>, chain: &[Digest], hops: &[&Cited]) -> Option<String> {
        let human = leaf.text("human").unwrap_or_default();
        if self.left.contains(human) {
            return Some("the human had left".to_owned());
        }
        if self.is_halted("everything", "") || self.is_halted("owner", human) {
            return Some("a halt was in force".to_owned());
        }
        let tool = leaf.text("tool").and_then(|tool| ToolName::parse(tool).ok());
        let halted = self.halted.iter().filter(|(target, _)| target == "tool");
        for (_, pattern) in halted {
            let pattern = ToolPattern::parse(pattern).ok();
            if pattern.zip(tool.as_ref()).is_some_and(|(pattern, tool)| pattern.matches(tool)) {
                return Some("the tool was halted".to_owned());
            }
        }
        let root = hops.first().and_then(|root| root.made);
        chain.iter().zip(hops).enumerate().find_map(|(hop, (digest, cited))| {
            self.hop_ended(leaf.at, digest, cited, root).map(|what| format!("hop {hop}: {what}"))
        })
    }

    fn hop_ended(
        &self,
        at: i64,
        digest: &Digest,
        cited: &Cited,
        root: Option<u64>,
    ) -> Option<&'static str> {
        // What a grant says of its own start shows nothing of when it was made.
        let cut = |id: &str, made: Option<u64>| {
            self.cut.get(id).is_some_and(|cut| made.is_none_or(|made| made <= *cut))
        };
        let made = cited.made.max(self.key_made(cited));
        if at >= cited.until {
            return Some("the grant had expired");
        }
        if at < cited.from.saturating_sub(SKEW) {
            return Some("the grant had not begun");
        }
        // Where the token is not shown, nor the key it names: whether it is newer cannot be told.
        let told = cited.payload.is_some() || cited.made.is_some();
        if self.revoked.contains(digest)
            || (told && cut(&cited.agent, made))
            || cut(&cited.human, root)
        {
            return Some("it was revoked");
        }
        if self.ended.contains(&cited.task) {
            return Some("the task had ended");
        }
        let Some(life) = self.agents.get(&cited.agent) else {
            return Some("the agent was never issued");
        };
        if !life.active {
            return Some("the agent was suspended or retired");
        }
        if at >= life.until {
            return Some("the agent's term had ended");
        }
        if self.left.contains(&life.owner) {
            return Some("the agent's owner had left");
        }
        if self.is_halted("agent", &cited.agent) || self.is_halted("owner", &life.owner) {
            return Some("the agent was halted");
        }
        if let Some(payload) = &cited.payload {
            let key = payload.holder.key.paserk();
            let honoured = life.key == key
                || life.overlaps.iter().any(|(old, until, _)| *old == key && at < *until);
            if !honoured {
                return Some("the grant names a key that was not the agent's");
            }
        }
        None
    }

    /// The place of the entry with which the engine made the key that a grant names.
    fn key_made(&self, cited: &Cited) -> Option<u64> {
        let key = cited.payload.as_ref()?.holder.key.paserk();
        let life = self.agents.get(&cited.agent)?;
        match life.overlaps.iter().find(|(old, _, _)| *old == key) {
            Some((_, _, made)) => *made,
            None => life.made.filter(|_| life.key == key),
        }
    }

    fn is_halted(&self, target: &str, name: &str) -> bool {
        self.halted.contains(&(target.to_owned(), name.to_owned()))
    }
}
