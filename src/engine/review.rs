//! Inventory and review: what there is, how it was used, and what somebody should look at.
//!
//! Use is counted by reading every leaf of the trail: exact, and as slow as the trail is long.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::{Engine, EngineError};
use crate::canonical::{Digest, Value, sha256};
use crate::clock::{MICROS, render_seconds};
use crate::keys::Owner;
use crate::principal::{AgentId, EntryId, HumanId, Status};
use crate::registry::{Agent, RegistryError, draft};
use crate::request::ToolName;
use crate::trail::entry::{Entry, kind};

const HOUR: i64 = 3_600 * MICROS;
const DAY: i64 = 24 * HOUR;
/// How many standing delegations are opened to see what they narrow.
const MAX_CHAINS: usize = 10_000;

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
struct Tally {
    last_use: Option<i64>,
    allowed: u64,
    refused: u64,
    refused_recently: u64,
    standing: u64,
    children: u64,
    /// When each tool was first used.
    tools: BTreeMap<String, i64>,
    /// The longest a grant was lent for, and the longest one was in use.
    lent: i64,
    in_use: i64,
    /// How many grants that have run out were used.
    measured: u64,
}

struct Seen {
    id: String,
    agent: AgentId,
    issuer: Option<AgentId>,
    delegated: bool,
    /// The place of its entry, and whether this engine made it.
    place: u64,
    made: bool,
    from: i64,
    until: i64,
    last_use: Option<i64>,
    ended: bool,
}

#[derive(Default)]
struct Scan {
    size: u64,
    grants: HashMap<Digest, Seen>,
    agents: HashMap<AgentId, Tally>,
    leased: super::vault_review::Leased,
}

impl Scan {
    fn read(&mut self, leaf: &Entry, recent: i64) {
        self.size = leaf.index + 1;
        match leaf.kind() {
            kind::GRANT => self.grant(leaf),
            kind::DECISION => self.decision(leaf, recent),
            kind::LEASE => self.leased.read(leaf),
            _ => {}
        }
    }

    fn grant(&mut self, leaf: &Entry) {
        let time = |key: &str| match leaf.fields.get(key) {
            Some(Value::Datetime(at)) => *at,
            _ => 0,
        };
        let digest = leaf.fields.get("digest").and_then(Value::as_bytes);
        let digest = digest.and_then(|bytes| bytes.try_into().ok());
        let (Some(digest), Ok(agent)) = (digest, leaf.text("agent").parse()) else { return };
        let seen = Seen {
            id: leaf.text("grant").to_owned(),
            agent,
            issuer: leaf.text("issuer").parse().ok(),
            delegated: leaf.fields.get("parent").is_some(),
            place: leaf.index,
            made: leaf.fields.get("offline").is_none(),
            from: time("from"),
            until: time("until"),
            last_use: None,
            ended: false,
        };
        self.grants.insert(digest, seen);
    }

    fn decision(&mut self, leaf: &Entry, recent: i64) {
        let Ok(acting) = leaf.text("agent").parse::<AgentId>() else { return };
        let at = leaf.at();
        if leaf.text("effect") != "allow" {
            let tally = self.agents.entry(acting).or_default();
            tally.refused += 1;
            tally.refused_recently += u64::from(at >= recent);
            return;
        }
        for digest in leaf.digests("chain") {
            let Some(grant) = self.grants.get_mut(&digest) else { continue };
            grant.last_use = Some(at);
            let tally = self.agents.entry(grant.agent).or_default();
            tally.last_use = Some(at);
            tally.allowed += 1;
            tally.tools.entry(leaf.text("tool").to_owned()).or_insert(at);
        }
    }
}

impl Engine {
    /// Looks through all agents and grants, and how they were used.
    ///
    /// # Errors
    /// As [`Engine::each_entry`].
    pub fn review(&self, spans: Spans) -> Result<Review, EngineError> {
        let now = self.now_or_mark();
        let recent = now.saturating_sub(spans.recent);
        let mut scan = Scan::default();
        self.each_leaf(&mut |leaf| {
            scan.read(&leaf, recent);
            Ok(true)
        })?;
        self.settle(&mut scan, now);
        let mut findings = Vec::new();
        self.look_at_grants(&scan, now, &mut findings)?;
        let state = self.state.read();
        let mut agents = Vec::new();
        for agent in state.agents() {
            let tally = scan.agents.remove(&agent.id).unwrap_or_default();
            if agent.status != Status::Retired {
                let owner = state.human(&agent.owner).map(|owner| owner.offboarded);
                look_at_owner(&agent, owner, &mut findings);
                look_at_use(&agent, &tally, now, spans, &mut findings);
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
        for (digest, grant) in &mut scan.grants {
            let key_made = state.agent(&grant.agent).and_then(|agent| agent.key_made);
            let cut = state.agent_cut(&grant.agent).is_some_and(|cut| {
                let newer = grant.made || key_made.is_some_and(|made| made > cut);
                grant.place <= cut || !newer
            });
            grant.ended = now >= grant.until || state.is_revoked(digest) || cut;
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

    /// What speaks from the standing delegations themselves.
    fn look_at_grants(
        &self,
        scan: &Scan,
        now: i64,
        findings: &mut Vec<Finding>,
    ) -> Result<(), EngineError> {
        let standing = scan.grants.iter().filter(|(_, grant)| grant.delegated && !grant.ended);
        let mut standing: Vec<_> = standing.collect();
        standing.sort_by(|a, b| (a.1.from, &a.1.id).cmp(&(b.1.from, &b.1.id)));
        if standing.len() > MAX_CHAINS {
            findings.push(Finding {
                code: "not_all_looked_at",
                severity: Severity::Info,
                subjects: Vec::new(),
                why: format!(
                    "{} delegations stand; what they narrow was looked at for {MAX_CHAINS}",
                    standing.len()
                ),
                suggestion: "let grants run out sooner".to_owned(),
            });
        }
        for (digest, grant) in standing.into_iter().take(MAX_CHAINS) {
            let Some(chain) = self.chain_of(digest)? else { continue };
            let leaf = &chain.leaf().payload;
            let above = chain.hops().iter().rev().nth(1);
            let subjects = vec![grant.id.clone(), grant.agent.to_string()];
            if let Some(above) = above
                && leaf.limits.is_empty()
                && leaf.exp >= above.payload.exp.min(now.saturating_add(HOUR))
                && above.payload.scope.within(&leaf.scope).is_ok()
            {
                findings.push(Finding {
                    code: "narrows_nothing",
                    severity: Severity::Low,
                    subjects: subjects.clone(),
                    why: format!("the grant {} passes on all that its parent allows", grant.id),
                    suggestion: "delegate what the agent needs for its part".to_owned(),
                });
            }
            let state = self.state.read();
            if let Some(other) = state.key_of(&leaf.holder.key).filter(|id| *id != grant.agent) {
                let (name, other) = (names(&state, &grant.agent), names(&state, &other));
                findings.push(Finding {
                    code: "one_key_twice",
                    severity: Severity::High,
                    subjects,
                    why: format!("the grant {} gives `{name}` the key of `{other}`", grant.id),
                    suggestion: format!("revoke it, and look at who made it and at `{other}`"),
                });
            }
        }
        Ok(())
    }
}

fn names(state: &crate::registry::State, id: &AgentId) -> String {
    state.agent(id).map_or_else(|| id.to_string(), |agent| agent.name.clone())
}

fn look_at_owner(agent: &Agent, offboarded: Option<bool>, findings: &mut Vec<Finding>) {
    let (code, why) = match offboarded {
        None => ("ownerless", "has no owner that is known"),
        Some(true) => ("owner_offboarded", "belongs to somebody who has left"),
        Some(false) => return,
    };
    findings.push(Finding {
        code,
        severity: if agent.status == Status::Active { Severity::High } else { Severity::Medium },
        subjects: vec![agent.id.to_string(), agent.owner.to_string()],
        why: format!("the agent `{}` {why}; it is {}", agent.name, agent.status.word()),
        suggestion: "transfer it to an owner who is here, or retire it".to_owned(),
    });
}

fn look_at_use(agent: &Agent, tally: &Tally, now: i64, spans: Spans, findings: &mut Vec<Finding>) {
    let name = &agent.name;
    let mut add = |code, severity, why, suggestion: &str| {
        let subjects = vec![agent.id.to_string()];
        findings.push(Finding { code, severity, subjects, why, suggestion: suggestion.to_owned() });
    };
    let age = now - agent.issued_at;
    let date = |at| render_seconds(at).unwrap_or_default();
    match tally.last_use {
        None if age >= spans.recent => add(
            "never_used",
            Severity::Low,
            format!("the agent `{name}` was issued {} days ago and never used", age / DAY),
            "retire it",
        ),
        Some(last) if now - last >= spans.dormant => add(
            "dormant",
            Severity::Medium,
            format!(
                "the agent `{name}` was last used {} days ago, {}",
                (now - last) / DAY,
                date(last)
            ),
            "suspend or retire it",
        ),
        _ => {}
    }
    if tally.measured >= 3 && tally.lent >= HOUR && tally.lent >= 4 * tally.in_use.max(MICROS) {
        add(
            "ttl_too_wide",
            Severity::Low,
            format!(
                "grants to `{name}` lasted up to {} minutes; of {} used, none was in use longer than {}",
                tally.lent / (60 * MICROS),
                tally.measured,
                tally.in_use / (60 * MICROS) + 1
            ),
            "grant for a shorter time",
        );
    }
    look_at_tools(agent, tally, now, spans, &mut add);
    // Per day before, over the days there were; at least one a day counts as usual.
    let days = ((age - spans.recent) / spans.recent.max(1)).max(1);
    let before = tally.refused - tally.refused_recently;
    let usual = (before / u64::try_from(days).unwrap_or(1)).max(1);
    if tally.refused_recently >= 10 && tally.refused_recently > 3 * usual {
        add(
            "refusals_above_usual",
            Severity::High,
            format!(
                "{} calls of `{name}` were refused lately, where about {usual} are usual",
                tally.refused_recently
            ),
            "read them with engine.trail.entries(agent=…, effect=\"deny\"); suspend the agent if in doubt",
        );
    }
}

fn look_at_tools(
    agent: &Agent,
    tally: &Tally,
    now: i64,
    spans: Spans,
    add: &mut impl FnMut(&'static str, Severity, String, &str),
) {
    let name = &agent.name;
    let used: HashSet<ToolName> =
        tally.tools.keys().filter_map(|tool| ToolName::parse(tool).ok()).collect();
    let age = now - agent.issued_at;
    if tally.allowed > 0 && age >= spans.recent {
        let idle: Vec<&str> = agent
            .ceiling
            .capabilities()
            .iter()
            .filter(|capability| !used.iter().any(|tool| capability.tool().matches(tool)))
            .map(|capability| capability.tool().as_str())
            .collect();
        if !idle.is_empty() {
            add(
                "ceiling_too_wide",
                Severity::Low,
                format!(
                    "of {} capabilities in the ceiling of `{name}`, {} were never used: {}",
                    agent.ceiling.capabilities().len(),
                    idle.len(),
                    super::shown(&idle.join(", "), 200)
                ),
                "issue an agent with a narrower ceiling",
            );
        }
    }
    let recent = now.saturating_sub(spans.recent);
    for (tool, first) in &tally.tools {
        if *first >= recent && agent.issued_at < recent {
            add(
                "first_use",
                Severity::Info,
                format!("the agent `{name}` used `{tool}` for the first time"),
                "see whether that was meant",
            );
        }
    }
}
