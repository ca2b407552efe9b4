//! Questions to the trail: a filter becomes terms of the index, terms become entries.

use super::library::Stretch;
use super::{Engine, EngineError, Filter, Library};
use crate::request::{Resource, ToolName};
use crate::scope::{ResourcePattern, ToolPattern};
use crate::trail::entry::kind;
use crate::trail::index::{Field, Reach, TableError, Term, reach};

/// Which way entries are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// As they were recorded.
    #[default]
    Oldest,
    /// The newest first.
    Newest,
}

/// One of the conditions, all of which must hold.
#[derive(Debug, Clone)]
enum Clause {
    Holds(Term),
    /// A resource, or what it begins with: looked up under the key of the moment.
    Resource(Field, String),
    Lacks(Term),
    Tool(ToolPattern),
}

/// A filter over the entries there were when it was asked.
#[derive(Debug, Clone)]
pub struct Query {
    clauses: Vec<Clause>,
    /// What only the opened resource can tell.
    resource: Option<ResourcePattern>,
    since: Option<i64>,
    until: Option<i64>,
    /// The entries it looks at.
    first: u64,
    end: u64,
}

impl Engine {
    /// Turns a filter into a query over all that was appended so far, from an index on and below
    /// another, if they are given.
    ///
    /// # Errors
    /// The store's.
    pub fn query(
        &self,
        filter: &Filter,
        first: Option<u64>,
        end: Option<u64>,
    ) -> Result<Query, EngineError> {
        self.check()?;
        let size = self.recorder.flush()?.size();
        let mut clauses = Vec::new();
        let mut holds = |field: Field, value: &Option<String>| {
            if let Some(value) = value {
                clauses.push(Clause::Holds(Term::new(field, value.as_bytes())));
            }
        };
        holds(Field::Human, &filter.human);
        holds(Field::Agent, &filter.agent);
        holds(Field::Via, &filter.via);
        holds(Field::Task, &filter.task);
        holds(Field::Effect, &filter.effect);
        holds(Field::Reason, &filter.reason);
        holds(Field::Kind, &filter.kind);
        holds(Field::Action, &filter.action);
        holds(Field::By, &filter.by);
        if let Some(digest) = &filter.grant {
            clauses.push(Clause::Holds(Term::digest(Field::Grant, digest)));
        }
        if let Some(id) = &filter.parent {
            let term = crate::trail::index::id_term(Field::Parent, id);
            let none = || EngineError::Invalid("that is not an entry's id".to_owned());
            clauses.push(Clause::Holds(term.ok_or_else(none)?));
        }
        if let Some(pattern) = &filter.tool {
            clauses.push(match pattern.as_str() {
                text if text.contains('*') => Clause::Tool(pattern.clone()),
                text => Clause::Holds(Term::new(Field::Tool, text.as_bytes())),
            });
        }
        let mut resource = None;
        if let Some(pattern) = &filter.resource {
            let (field, text) = match reach(pattern) {
                Reach::One(text) => (Field::Resource, text),
                Reach::Below(text) => (Field::Prefix, text),
                Reach::Among(text) => {
                    resource = Some(pattern.clone());
                    (Field::Prefix, text)
                }
            };
            clauses.push(Clause::Resource(field, text.to_owned()));
        }
        if filter.kind.is_none() {
            // An outcome belongs to its decision.
            let outcome = Term::new(Field::Kind, kind::OUTCOME.as_bytes());
            clauses.push(Clause::Lacks(outcome));
        }
        Ok(Query {
            clauses,
            resource,
            since: filter.since,
            until: filter.until,
            first: first.unwrap_or(0).min(size),
            end: end.unwrap_or(size).min(size),
        })
    }
}

impl Query {
    /// The index after the last entry it looks at.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The index of the first entry it looks at.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The entries that the index says fit, of those from `from` on and below `to` that lie in one
    /// stretch: the one that holds the first of them, or the last. Answers how far that went.
    pub(super) fn candidates(
        &self,
        library: &Library,
        (from, to): (u64, u64),
        order: Order,
    ) -> Result<(u64, Vec<u64>), EngineError> {
        let at = match order {
            Order::Oldest => from,
            Order::Newest => to - 1,
        };
        let found = loop {
            let under = library.look_up_key();
            library.index_up_to(self.end)?;
            let resources = self.resources(library);
            let found = library.look(at, &mut |stretch| {
                let (low, high) = (stretch.first().max(from), stretch.end().min(to));
                let found = self.in_stretch(stretch, &resources, low, high)?;
                let hits = found.into_iter().map(|offset| stretch.first() + u64::from(offset));
                Ok((if order == Order::Oldest { high } else { low }, hits.collect()))
            })?;
            // An erasure puts all resources under another key.
            if library.look_up_key() == under {
                break found;
            }
        };
        // What is covered by nothing was taken away.
        let next = if order == Order::Oldest { at + 1 } else { at };
        Ok(found.unwrap_or((next, Vec::new())))
    }

    /// The terms of the resources asked for, in their order.
    fn resources(&self, library: &Library) -> Vec<Term> {
        let terms = self.clauses.iter().filter_map(|clause| match clause {
            Clause::Resource(field, text) => Some(library.resource_term(*field, text)),
            _ => None,
        });
        terms.collect()
    }

    /// Offsets of the entries of a stretch that fit, from one index to another.
    fn in_stretch(
        &self,
        stretch: &Stretch<'_>,
        resources: &[Term],
        low: u64,
        high: u64,
    ) -> Result<Vec<u32>, TableError> {
        let offset = |index: u64| u32::try_from(index - stretch.first()).unwrap_or(u32::MAX);
        let (mut low, mut high) = (offset(low), offset(high));
        if let Some(since) = self.since {
            low = low.max(stretch.first_at(since)?);
        }
        if let Some(until) = self.until {
            high = high.min(stretch.first_at(until)?);
        }
        if low >= high {
            return Ok(Vec::new());
        }
        let mut found: Option<Vec<u32>> = None;
        let mut resources = resources.iter();
        for clause in &self.clauses {
            let these = match clause {
                Clause::Holds(term) => stretch.find(term)?,
                Clause::Resource(..) => match resources.next() {
                    Some(term) => stretch.find(term)?,
                    None => Vec::new(),
                },
                Clause::Tool(pattern) => {
                    let mut all = Vec::new();
                    for term in stretch.values(Field::Tool)? {
                        let tool = term.text().and_then(|text| ToolName::parse(text).ok());
                        if tool.is_some_and(|tool| pattern.matches(&tool)) {
                            all.extend(stretch.find(&term)?);
                        }
                    }
                    all.sort_unstable();
                    all
                }
                Clause::Lacks(_) => continue,
            };
            let these = within(&these, low, high);
            let both = match found {
                None => these.to_vec(),
                Some(found) => intersection(&found, these),
            };
            if both.is_empty() {
                return Ok(both);
            }
            found = Some(both);
        }
        let mut found = found.unwrap_or_else(|| (low..high).collect());
        for clause in &self.clauses {
            if let Clause::Lacks(term) = clause {
                let these = stretch.find(term)?;
                subtract(&mut found, within(&these, low, high));
            }
        }
        Ok(found)
    }

    /// Of these entries, those whose opened resource fits.
    pub(super) fn confirm(&self, library: &Library, hits: &[u64]) -> Result<Vec<u64>, EngineError> {
        let Some(pattern) = &self.resource else { return Ok(hits.to_vec()) };
        let mut fit = Vec::new();
        library.each_resource(hits, &mut |index, resource| {
            let resource = Resource::parse(resource).ok();
            if resource.is_some() && pattern.matches(resource.as_ref()) {
                fit.push(index);
            }
        })?;
        fit.sort_unstable();
        Ok(fit)
    }

    /// Whether values have to be opened to tell which entries fit.
    #[must_use]
    pub fn opens(&self) -> bool {
        self.resource.is_some()
    }
}

fn within(offsets: &[u32], low: u32, high: u32) -> &[u32] {
    let from = offsets.partition_point(|offset| *offset < low);
    let to = offsets.partition_point(|offset| *offset < high);
    offsets.get(from..to).unwrap_or_default()
}

fn intersection(left: &[u32], right: &[u32]) -> Vec<u32> {
    let (small, large) = if left.len() < right.len() { (left, right) } else { (right, left) };
    if small.len() * 16 < large.len() {
        return small.iter().filter(|one| large.binary_search(one).is_ok()).copied().collect();
    }
    let mut large = large.iter().peekable();
    let mut both = Vec::with_capacity(small.len());
    for one in small {
        while large.next_if(|other| *other < one).is_some() {}
        if large.peek() == Some(&one) {
            both.push(*one);
        }
    }
    both
}

fn subtract(from: &mut Vec<u32>, these: &[u32]) {
    let mut these = these.iter().peekable();
    from.retain(|one| {
        while these.next_if(|other| *other < one).is_some() {}
        these.peek() != Some(&one)
    });
}
