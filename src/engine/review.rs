//! Inventory and review: what there is, how it was used, and what somebody should look at.
//!
//! Use is counted by reading every leaf of the trail: exact, and as slow as the trail is long.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use super::delegations::{Look, Seen, above};
use super::findings::{look_at_owner, look_at_use};
use super::{Engine, EngineError, Keys, key_of_leaf, text_of_leaf};
use crate::canonical::{Digest, Raw, Value, map_view, sha256};
use crate::clock::MICROS;
use crate::keys::Owner;
use crate::principal::{AgentId, EntryId, HumanId, Status};
use crate::registry::{Agent, RegistryError, draft};
use crate::trail::block::BlockError;
use crate::trail::entry::kind;

pub(super) const HOUR: i64 = 3_600 * MICROS;
pub(super) const DAY: i64 = 24 * HOUR;
/// How many recent refusals of one agent are kept by their time.
const MAX_REFUSED: usize = 10_000;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Worth tidying up.
    Low,
    /// Worth a decision.
    Medium,
    /// Worth a decision today.
    High,
}

impl Severity {
    /// The word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    /// By its word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let all = [Self::Info, Self::Low, Self::Medium, Self::High];
        all.into_iter().find(|severity| severity.word() == word)
    }
}

/// Something that somebody should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The stable slug.
    pub code: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// The ids of what it is about, the first foremost.
    pub subjects: Vec<String>,
    /// Why, with the numbers.
    pub why: String,
    /// What would settle it.
    pub suggestion: String,
}

/// One agent and its use.
#[derive(Debug, Clone)]
pub struct Used {
    /// The agent.
    pub agent: Arc<Agent>,
    /// When a call was last allowed under it, itself acting or one it delegated to.
    pub last_use: Option<i64>,
    /// How many calls were allowed.
    pub allowed: u64,
    /// How many calls of its own were refused.
    pub refused: u64,
    /// How many grants to it have not ended.
    pub standing: u64,
    /// How many grants that it made have not ended.
    pub children: u64,
}

/// What spans of time a review goes by, in microseconds.
#[derive(Debug, Clone, Copy)]
pub struct Spans {
    /// An agent without use for so long is dormant.
    pub dormant: i64,
    /// What is recent.
    pub recent: i64,
}

impl Default for Spans {
    fn default() -> Self {
        Self { dormant: 30 * DAY, recent: DAY }
    }
}

/// What a review found.
#[derive(Debug, Clone)]
pub struct Review {
    /// When, in microseconds.
    pub at: i64,
    /// How many entries were read.
    pub size: u64,
    /// All agents, oldest first.
    pub agents: Vec<Used>,
    /// The findings, those that matter most first.
    pub findings: Vec<Finding>,
}

#[derive(Default)]
pub(super) struct Tally {
    pub(super) last_use: Option<i64>,
    pub(super) allowed: u64,
    pub(super) refused: u64,
    /// When calls were refused lately, oldest first.
    pub(super) refused_at: VecDeque<i64>,
    pub(super) standing: u64,
    pub(super) children: u64,
    /// When each tool was first used.
    pub(super) tools: BTreeMap<String, i64>,
    /// The longest a grant was lent for, and the longest one was in use.
    pub(super) lent: i64,
    pub(super) in_use: i64,
    /// How many grants that have run out were used.
    pub(super) measured: u64,
}

/// A review that goes on: what it has read of the trail so far.
#[derive(Default)]
pub struct Reviewing(Scan);

#[derive(Default)]
pub(super) struct Scan {
    size: u64,
    pub(super) grants: HashMap<Digest, Seen>,
    agents: HashMap<AgentId, Tally>,
    leased: super::vault_review::Leased,
    /// The standing delegations that were opened before.
    pub(super) looked: HashMap<Digest, Look>,
}

impl Scan {
    fn read(&mut self, index: u64, leaf: &Keys<'_>, recent: i64) {
        self.size = index + 1;
        match text_of_leaf(leaf, "kind") {
            Some(kind::GRANT) => self.grant(index, leaf),
            Some(kind::DECISION) => self.decision(leaf, recent),
            Some(kind::LEASE) => self.leased.read(leaf),
            _ => {}
        }
    }

    fn grant(&mut self, index: u64, leaf: &Keys<'_>) {
        let time = |key| key_of_leaf(leaf, key).and_then(Raw::datetime).unwrap_or_default();
        let digest = |key| key_of_leaf(leaf, key).and_then(Raw::bytes)?.try_into().ok();
        let (Some(digest), parent) = (digest("digest"), digest("parent")) else { return };
        let (Some(id), Some(agent)) = (id_of(leaf, "grant"), id_of(leaf, "agent")) else { return };
        let seen = Seen {
            id,
            human: id_of(leaf, "human"),
            agent,
            task: id_of(leaf, "task"),
            issuer: id_of(leaf, "issuer"),
            parent,
            place: index,
            made: key_of_leaf(leaf, "offline").is_none(),
            from: time("from"),
            until: time("until"),
            last_use: None,
            ended: false,
        };
        self.grants.insert(digest, seen);
    }

    fn decision(&mut self, leaf: &Keys<'_>, recent: i64) {
        let Some(acting) = id_of::<AgentId>(leaf, "agent") else { return };
        let at = at_of(leaf);
        if text_of_leaf(leaf, "effect") != Some("allow") {
            let tally = self.agents.entry(acting).or_default();
            tally.refused += 1;
            if at >= recent {
                if tally.refused_at.len() >= MAX_REFUSED {
                    tally.refused_at.pop_front();
                }
                tally.refused_at.push_back(at);
            }
            return;
        }
        let tool = text_of_leaf(leaf, "tool").unwrap_or_default();
        for digest in key_of_leaf(leaf, "chain").into_iter().flat_map(Raw::items) {
            let digest: Option<Digest> = digest.bytes().and_then(|bytes| bytes.try_into().ok());
            let Some(grant) = digest.and_then(|digest| self.grants.get_mut(&digest)) else {
                continue;
            };
            grant.last_use = Some(at);
            let tally = self.agents.entry(grant.agent).or_default();
            tally.last_use = Some(at);
            tally.allowed += 1;
            if !tally.tools.contains_key(tool) {
                tally.tools.insert(tool.to_owned(), at);
            }
        }
    }
}

fn id_of<T: std::str::FromStr>(leaf: &Keys<'_>, key: &str) -> Option<T> {
    text_of_leaf(leaf, key)?.parse().ok()
}

/// When an entry was sequenced, in microseconds.
pub(super) fn at_of(leaf: &Keys<'_>) -> i64 {
    key_of_leaf(leaf, "at").and_then(Raw::datetime).unwrap_or_default()
}

impl Engine {
    /// Looks through all agents and grants, and how they were used.
    ///
    /// # Errors
    /// As [`Engine::each_entry`].
    pub fn review(&self, spans: Spans) -> Result<Review, EngineError> {
        self.check()?;
        self.recorder.flush()?;
        self.review_written(&mut Reviewing::default(), spans)
    }

    /// As [`Engine::review`], going on from what was read before, with what is on the disk now.
    pub(super) fn review_written(
        &self,
        Reviewing(scan): &mut Reviewing,
        spans: Spans,
    ) -> Result<Review, EngineError> {
        let now = self.now_or_mark();
        let recent = now.saturating_sub(spans.recent);
        let from = scan.size;
        self.library.each_block(from, &mut |next, block| {
            for (leaf, index) in block.leaves().zip(block.first()..).filter(|(_, i)| *i >= next) {
                let leaf = map_view(leaf).map_err(|e| BlockError::Damaged(e.to_string()))?;
                scan.read(index, &leaf, recent);
            }
            Ok(true)
        })?;
        self.settle(scan, now);
        let mut findings = Vec::new();
        self.look_at_grants(scan, now, &mut findings)?;
        let state = self.state.read();
        let mut agents = Vec::new();
        for agent in state.agents() {
            let tally = scan.agents.entry(agent.id).or_default();
            while tally.refused_at.front().is_some_and(|at| *at < recent) {
                tally.refused_at.pop_front();
            }
            if agent.status != Status::Retired {
                let owner = state.human(&agent.owner).map(|owner| owner.offboarded);
                look_at_owner(&agent, owner, &mut findings);
                look_at_use(&agent, tally, now, spans, &mut findings);
            }
            agents.push(Used {
                agent,
                last_use: tally.last_use,
                allowed: tally.allowed,
                refused: tally.refused,
                standing: tally.standing,
                children: tally.children,
            });
        }
        drop(state);
        self.look_at_vault(&scan.leased, now, spans, &mut findings);
        self.look_at_distrust(&mut findings);
        super::rules::look_at_rules(&self.rules(), &mut findings);
        findings.sort_by(|a, b| b.severity.cmp(&a.severity).then(a.code.cmp(b.code)));
        Ok(Review { at: now, size: scan.size, agents, findings })
    }

    /// Records that somebody has looked through a review and stands for what is there.
    ///
    /// # Errors
    /// `Invalid` for a note that is empty or too long, and the store's.
    pub fn attest(
        &self,
        review: &Review,
        note: &str,
        by: Option<HumanId>,
    ) -> Result<EntryId, EngineError> {
        let by = self.who(by)?;
        crate::registry::check_text("the note", note, 4_096)?;
        let told: Vec<String> = review
            .findings
            .iter()
            .map(|f| format!("{} {} {}", f.severity.word(), f.code, f.subjects.join(" ")))
            .collect();
        let digest = sha256(told.join("\n").as_bytes());
        let count = |severity| review.findings.iter().filter(|f| f.severity == severity).count();
        let number = |n: usize| Value::int(i64::try_from(n).unwrap_or(i64::MAX));
        let owner = Owner::human(by);
        let draft = draft(kind::REVIEW)
            .map_err(RegistryError::Key)?
            .with("by", Value::str(&by.to_string()))
            .with("reviewed_at", Value::Datetime(review.at))
            .with("size", Value::int(i64::try_from(review.size).unwrap_or(i64::MAX)))
            .with("agents", number(review.agents.len()))
            .with("high", number(count(Severity::High)))
            .with("medium", number(count(Severity::Medium)))
            .with("low", number(count(Severity::Low)))
            .with("info", number(count(Severity::Info)))
            .beside("findings", Value::bytes(&digest), &owner)
            .beside("note", Value::str(note), &owner);
        let id = draft.id;
        let change = crate::registry::Change { draft, puts: Vec::new() };
        self.transition(|_, _, _| Ok((id, vec![change])))
    }

    /// Says of each grant whether it has ended, and counts those that have not.
    fn settle(&self, scan: &mut Scan, now: i64) {
        let state = self.state.read();
        for tally in scan.agents.values_mut() {
            (tally.standing, tally.children) = (0, 0);
            (tally.lent, tally.in_use, tally.measured) = (0, 0, 0);
        }
        for (digest, grant) in &mut scan.grants {
            let key_made = state.agent(&grant.agent).and_then(|agent| agent.key_made);
            let cut = state.agent_cut(&grant.agent).is_some_and(|cut| {
                let newer = grant.made || key_made.is_some_and(|made| made > cut);
                grant.place <= cut || !newer
            });
            let human = grant.human.filter(|_| grant.parent.is_none()).is_some_and(|human| {
                state.human(&human).is_some_and(|human| human.offboarded)
                    || state.human_cut(&human).is_some_and(|cut| grant.place <= cut || !grant.made)
            });
            let task = grant.task.is_some_and(|task| state.is_ended(&task));
            grant.ended = now >= grant.until || state.is_revoked(digest) || cut || human || task;
        }
        // What hangs on one that has ended has ended with it.
        let hangs = |digest: &Digest| {
            above(&scan.grants, digest, self.max_hops).any(|(_, grant)| grant.ended)
        };
        let standing = scan.grants.iter().filter(|(_, one)| !one.ended && one.parent.is_some());
        let ended: Vec<Digest> = standing.map(|(d, _)| *d).filter(|d| hangs(d)).collect();
        for digest in ended {
            if let Some(grant) = scan.grants.get_mut(&digest) {
                grant.ended = true;
            }
        }
        for grant in scan.grants.values() {
            let tally = scan.agents.entry(grant.agent).or_default();
            if !grant.ended {
                tally.standing += 1;
            } else if let Some(last) = grant.last_use {
                tally.measured += 1;
                tally.lent = tally.lent.max(grant.until - grant.from);
                tally.in_use = tally.in_use.max(last - grant.from);
            }
            if let (false, Some(issuer)) = (grant.ended, grant.issuer) {
                scan.agents.entry(issuer).or_default().children += 1;
            }
        }
    }
}
