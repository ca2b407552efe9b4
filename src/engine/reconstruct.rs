//! What happened, as a tree: the human, the task, the hops of authority, and under each hop the
//! calls that were made with it, calls within calls below the call they were made in.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::walk::Walk;
use super::words::shown;
use super::{Engine, EngineError, Filter, Order};
use crate::canonical::{Digest, Value};
use crate::clock::render_instant;
use crate::principal::{HumanId, TaskId};
use crate::trail::entry::{Entry, kind};

/// The most calls that one reconstruction holds.
const MOST: usize = 10_000;
/// How deep calls within calls are followed.
const DEEPEST: usize = 64;

/// What a node of the tree stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A human, or nobody.
    Human,
    /// A task.
    Task,
    /// A grant to an agent.
    Hop,
    /// A call.
    Call,
}

impl What {
    /// The word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Task => "task",
            Self::Hop => "hop",
            Self::Call => "call",
        }
    }
}

/// A node of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it stands for.
    pub what: What,
    /// The human's, task's, grant's or entry's id.
    pub id: String,
    /// A call's place in the trail.
    pub index: Option<u64>,
    /// When a call was decided, in microseconds.
    pub at: Option<i64>,
    /// In words, foreign text not escaped.
    pub label: String,
    /// A call's effect.
    pub effect: Option<String>,
    /// The places of what stands below it in [`Reconstruction::nodes`], in their order.
    pub below: Vec<usize>,
}

/// What happened, as a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reconstruction {
    /// All nodes.
    pub nodes: Vec<Node>,
    /// The places of the outermost ones.
    pub roots: Vec<usize>,
    /// How many calls there are.
    pub calls: usize,
    /// Whether there were more calls than one reconstruction holds: the oldest are here.
    pub cut: bool,
}

impl Engine {
    /// Reconstructs what an entry was part of (a call with all that was done within it, by id), or
    /// all that was done for a task, or in the name of a human.
    ///
    /// # Errors
    /// `Invalid` for what is none of them or not there, and as [`Engine::each_entry`].
    pub fn reconstruct(&self, what: &str) -> Result<Reconstruction, EngineError> {
        self.check()?;
        let by = |filter: Filter| {
            let mut walk = Walk::new(self.query(&filter, None, None)?, Order::Oldest);
            let mut places: Vec<u64> = Vec::new();
            while places.len() <= MOST {
                let Some(some) = walk.next_some(&self.library)? else { break };
                places.extend(some);
            }
            Ok::<_, EngineError>(places)
        };
        let kind = Some(kind::DECISION.to_owned());
        let (mut places, top) = if what.parse::<TaskId>().is_ok() {
            (by(Filter { kind, task: Some(what.to_owned()), ..Filter::default() })?, None)
        } else if what.parse::<HumanId>().is_ok() {
            (by(Filter { kind, human: Some(what.to_owned()), ..Filter::default() })?, None)
        } else {
            let top = self.outermost(what)?;
            (self.within(&top)?, Some(top.index))
        };
        let cut = places.len() > MOST;
        places.truncate(MOST);
        let mut builder =
            Builder { engine: self, tree: Reconstruction::default(), known: HashMap::new() };
        for some in places.chunks(256) {
            for (entry, outcome) in self.rows_at(some)? {
                builder.call(&entry, outcome.as_ref(), top)?;
            }
        }
        let mut tree = builder.tree;
        tree.cut = cut;
        Ok(tree)
    }

    /// The call that an entry's call was made in, at the very top.
    fn outermost(&self, id: &str) -> Result<Entry, EngineError> {
        let missing = || {
            EngineError::Invalid(format!("there is no entry, task or human `{}`", shown(id, 60)))
        };
        let mut entry = self.entry(id)?.ok_or_else(missing)?;
        if entry.kind() == kind::OUTCOME {
            entry = self.entry(entry.text("decision"))?.ok_or_else(missing)?;
        }
        if entry.kind() != kind::DECISION {
            let kind = entry.kind();
            return Err(EngineError::Invalid(format!(
                "the entry `{id}` records no call but: {kind}; reconstruct its task or its human"
            )));
        }
        for _ in 0..DEEPEST {
            let Some(above) = entry.fields.get("parent").and_then(Value::as_str) else { break };
            let Some(above) = self.entry(above)? else { break };
            entry = above;
        }
        Ok(entry)
    }

    /// The places of a call and of all that were made within it.
    fn within(&self, top: &Entry) -> Result<Vec<u64>, EngineError> {
        let (mut places, mut next) = (vec![top.index], vec![top.id().to_owned()]);
        for _ in 0..DEEPEST {
            let mut found = Vec::new();
            for id in next {
                let filter = Filter { parent: Some(id.clone()), ..Filter::default() };
                let query = self.query(&filter, Some(top.index), None)?;
                let mut walk = Walk::new(query, Order::Oldest);
                while let Some(some) = walk.next_some(&self.library)? {
                    for entry in self.entries_at(&some)? {
                        if entry.text("parent") == id {
                            places.push(entry.index);
                            found.push(entry.id().to_owned());
                        }
                    }
                }
                if places.len() > MOST {
                    break;
                }
            }
            next = found;
            if next.is_empty() || places.len() > MOST {
                break;
            }
        }
        places.sort_unstable();
        places.dedup();
        Ok(places)
    }
}

struct Builder<'a> {
    engine: &'a Engine,
    tree: Reconstruction,
    /// Where a node stands, by what tells it from others.
    known: HashMap<String, usize>,
}

impl Builder<'_> {
    fn call(
        &mut self,
        entry: &Entry,
        outcome: Option<&Entry>,
        top: Option<u64>,
    ) -> Result<(), EngineError> {
        let parent = entry.fields.get("parent").and_then(Value::as_str);
        let above = parent.filter(|_| top != Some(entry.index));
        let above = above.and_then(|id| self.known.get(id).copied());
        let above = match above {
            Some(above) => above,
            None => self.authority(entry)?,
        };
        let node = Node {
            what: What::Call,
            id: entry.id().to_owned(),
            index: Some(entry.index),
            at: Some(entry.at()),
            label: call_words(entry, outcome),
            effect: Some(entry.text("effect").to_owned()),
            below: Vec::new(),
        };
        self.add(Some(above), entry.id(), node);
        self.tree.calls += 1;
        Ok(())
    }

    /// The node of the authority that a call was made under: of its last hop, its task or human.
    fn authority(&mut self, entry: &Entry) -> Result<usize, EngineError> {
        let human = entry.text("human");
        let name = match human {
            "none" => "nobody: no grant was in force".to_owned(),
            id => self.engine.find_human(id).map_or(id.to_owned(), |h| h.display().to_owned()),
        };
        let mut above = self.node(None, What::Human, human, human, || Ok(name))?;
        let task = entry.text("task");
        if let Ok(id) = task.parse::<TaskId>() {
            let engine = self.engine;
            let key = format!("{human}/{task}");
            above = self.node(Some(above), What::Task, &key, task, || {
                Ok(engine.task_sentence(&id).unwrap_or_else(|_| "(not here any more)".to_owned()))
            })?;
        }
        for digest in entry.digests("chain") {
            above = self.hop(above, &digest)?;
        }
        Ok(above)
    }

    fn hop(&mut self, above: usize, digest: &Digest) -> Result<usize, EngineError> {
        let key = format!("{above}/{}", data_encoding::HEXLOWER.encode(digest));
        if let Some(known) = self.known.get(&key) {
            return Ok(*known);
        }
        let entry = self.engine.grant_entry(digest)?;
        let (id, label) = match &entry {
            None => (String::new(), "(a grant that is not here)".to_owned()),
            Some(entry) => {
                let mut label = self.engine.name_of(entry.text("agent"));
                if let Some(Value::Datetime(until)) = entry.fields.get("until") {
                    let until = render_instant(*until).unwrap_or_default();
                    let _ = write!(label, " · until {until}");
                }
                if let Some(statement) = entry.value_text("statement") {
                    let _ = write!(label, " · {statement}");
                }
                (entry.text("grant").to_owned(), label)
            }
        };
        self.node(Some(above), What::Hop, &key, &id, || Ok(label))
    }

    fn node(
        &mut self,
        above: Option<usize>,
        what: What,
        key: &str,
        id: &str,
        label: impl FnOnce() -> Result<String, EngineError>,
    ) -> Result<usize, EngineError> {
        if let Some(known) = self.known.get(key) {
            return Ok(*known);
        }
        let (label, id) = (label()?, id.to_owned());
        let below = Vec::new();
        let node = Node { what, id, index: None, at: None, label, effect: None, below };
        Ok(self.add(above, key, node))
    }

    fn add(&mut self, above: Option<usize>, key: &str, node: Node) -> usize {
        let place = self.tree.nodes.len();
        self.tree.nodes.push(node);
        self.known.insert(key.to_owned(), place);
        match above.and_then(|above| self.tree.nodes.get_mut(above)) {
            Some(above) => above.below.push(place),
            None => self.tree.roots.push(place),
        }
        place
    }
}

fn call_words(entry: &Entry, outcome: Option<&Entry>) -> String {
    let tool = match entry.text("tool") {
        "" => entry.value_text("tool").unwrap_or("(invalid name)"),
        tool => tool,
    };
    let mut words = tool.to_owned();
    if let Some(resource) = entry.value_text("resource") {
        let _ = write!(words, " on {resource}");
    }
    let reasons = entry.fields.get("reasons").and_then(Value::as_list).unwrap_or_default();
    let reasons: Vec<&str> = reasons.iter().filter_map(Value::as_str).collect();
    let _ = match (entry.text("effect"), outcome) {
        ("allow", Some(outcome)) => {
            let (status, word) = (outcome.text("status"), outcome.text("type"));
            let took = outcome.fields.get("duration_us").and_then(Value::as_i64).unwrap_or(0);
            write!(words, ": {status} {word} after {took} µs")
        }
        ("allow", None) => write!(words, ": allowed, no outcome recorded"),
        ("deny", _) => write!(words, ": refused ({})", reasons.join(", ")),
        (effect, _) => write!(words, ": {effect} ({})", reasons.join(", ")),
    };
    words
}

impl std::fmt::Display for Reconstruction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for root in &self.roots {
            self.tell(f, *root, "", "")?;
        }
        if self.cut {
            writeln!(f, "… and more: the first {MOST} calls are told")?;
        }
        Ok(())
    }
}

impl Reconstruction {
    fn tell(
        &self,
        f: &mut std::fmt::Formatter<'_>,
        place: usize,
        own: &str,
        rest: &str,
    ) -> std::fmt::Result {
        let Some(node) = self.nodes.get(place) else { return Ok(()) };
        write!(f, "{own}")?;
        if let Some(at) = node.at {
            write!(f, "{} ", render_instant(at).unwrap_or_default())?;
        }
        let word = if node.what == What::Task { "task: " } else { "" };
        writeln!(f, "{word}{}{}", shown(&node.label, 300), self.place_of(node))?;
        for (number, below) in node.below.iter().enumerate() {
            let (own, under) = match number + 1 == node.below.len() {
                true => ("└─ ", "   "),
                false => ("├─ ", "│  "),
            };
            self.tell(f, *below, &format!("{rest}{own}"), &format!("{rest}{under}"))?;
        }
        Ok(())
    }

    fn place_of(&self, node: &Node) -> String {
        match node.index {
            Some(index) => format!("  #{index}"),
            None if node.id.is_empty() || node.id == "none" => String::new(),
            None => format!("  {}", node.id),
        }
    }
}
