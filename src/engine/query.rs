//! Questions to the trail: a filter becomes terms of the index, terms become entries.

use std::collections::HashMap;

use super::library::Stretch;
use super::{Engine, EngineError, Filter, Library};
use crate::canonical::map_view;
use crate::keys::Owner;
use crate::request::{Resource, ToolName};
use crate::scope::{ResourcePattern, ToolPattern};
use crate::trail::block::{Block, BlockError, Light};
use crate::trail::entry::{Entry, kind};
use crate::trail::index::{Field, Reach, TableError, Term, reach};

/// How many entries are looked at together where values have to be opened to tell.
const OPENED: usize = 512;

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

/// What entries are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountBy {
    /// A value that stands in the leaf.
    Field(Field),
    /// The resource; every entry's values are opened for it.
    Resource,
    /// Stretches of time of so many microseconds, from 1970 on.
    Time(i64),
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

impl Engine {
    /// The entries that a filter asks for, oldest first, each decision with its outcome. Outcomes
    /// stand for themselves only when their kind is asked for. For small answers: all are in memory.
    ///
    /// # Errors
    /// As [`Engine::each_entry`].
    pub fn entries(&self, filter: &Filter) -> Result<Vec<(Entry, Option<Entry>)>, EngineError> {
        let mut walk = Walk::new(self.query(filter, None, None)?, Order::Oldest);
        let mut rows = Vec::new();
        while let Some(hits) = walk.next_some(&self.library)? {
            rows.extend(self.rows_at(&hits)?);
        }
        Ok(rows)
    }

    /// Entries by their places, ascending, each decision with its outcome. Entries that are not
    /// there any more are left out.
    ///
    /// # Errors
    /// As [`Engine::each_entry`].
    pub fn rows_at(&self, indices: &[u64]) -> Result<Vec<(Entry, Option<Entry>)>, EngineError> {
        let entries = self.entries_at(indices)?;
        // Most calls end within the block that they began in: its leaves are at hand.
        let mut ended: HashMap<String, u64> = HashMap::new();
        let mut looked = 0;
        for entry in entries.iter().filter(|entry| entry.text("effect") == "allow") {
            if entry.index < looked {
                continue;
            }
            let Some(block) = self.library.block_of(entry.index)? else { continue };
            looked = block.end();
            for (leaf, index) in block.leaves().zip(block.first()..) {
                if let Some(decision) = outcome_for(leaf)? {
                    ended.insert(decision.to_owned(), index);
                }
            }
        }
        let mut places: Vec<u64> = Vec::new();
        let mut own: Vec<Option<u64>> = Vec::with_capacity(entries.len());
        for entry in &entries {
            let place = match ended.get(entry.id()) {
                _ if entry.text("effect") != "allow" => None,
                Some(index) => Some(*index),
                None => self.outcome_place(entry.id(), entry.index + 1)?,
            };
            places.extend(place);
            own.push(place);
        }
        places.sort_unstable();
        let outcomes = self.entries_at(&places)?.into_iter().map(|entry| (entry.index, entry));
        let mut outcomes: HashMap<u64, Entry> = outcomes.collect();
        let rows = entries.into_iter().zip(own).map(|(entry, place)| {
            let outcome = place.and_then(|place| outcomes.remove(&place));
            (entry, outcome)
        });
        Ok(rows.collect())
    }
}

/// The decision that a leaf is the outcome of.
fn outcome_for(leaf: &[u8]) -> Result<Option<&str>, EngineError> {
    let keys = map_view(leaf).map_err(|error| BlockError::Damaged(error.to_string()))?;
    let text =
        |name: &str| keys.iter().find(|(key, _)| *key == name).and_then(|(_, raw)| raw.text());
    Ok(text("decision").filter(|_| text("kind") == Some(kind::OUTCOME)))
}

impl Query {
    /// The index after the last entry it looks at.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The entries that the index says fit, of those from `from` on and below `to` that lie in one
    /// stretch: the one that holds the first of them, or the last. Answers how far that went.
    fn candidates(
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
    fn confirm(&self, library: &Library, hits: &[u64]) -> Result<Vec<u64>, EngineError> {
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

    /// How many entries fit.
    ///
    /// # Errors
    /// The store's.
    pub fn count(&self, library: &Library) -> Result<u64, EngineError> {
        let mut count = 0;
        let mut walk = Walk::new(self.clone(), Order::Oldest);
        while let Some(hits) = walk.next_some(library)? {
            count += hits.len() as u64;
        }
        Ok(count)
    }

    /// How many entries fit, by the values of a field. An entry with several values counts for
    /// each; one without any counts for none.
    ///
    /// # Errors
    /// The store's.
    pub fn count_by(
        &self,
        library: &Library,
        by: CountBy,
    ) -> Result<HashMap<String, u64>, EngineError> {
        let mut counts: HashMap<String, u64> = HashMap::new();
        let mut walk = Walk::new(self.clone(), Order::Oldest);
        while let Some(hits) = walk.next_some(library)? {
            count_into(library, by, &hits, &mut counts)?;
        }
        Ok(counts)
    }

    /// Whether values have to be opened to tell which entries fit.
    #[must_use]
    pub fn opens(&self) -> bool {
        self.resource.is_some()
    }
}

/// How many of these entries (ascending, none twice) there are, by the values of a field.
///
/// # Errors
/// The store's.
pub fn count_places(
    library: &Library,
    by: CountBy,
    places: &[u64],
) -> Result<HashMap<String, u64>, EngineError> {
    let mut counts = HashMap::new();
    count_into(library, by, places, &mut counts)?;
    Ok(counts)
}

fn count_into(
    library: &Library,
    by: CountBy,
    hits: &[u64],
    counts: &mut HashMap<String, u64>,
) -> Result<(), EngineError> {
    match by {
        CountBy::Resource => library.each_resource(hits, &mut |_, resource| {
            *counts.entry(resource.to_owned()).or_default() += 1;
        }),
        CountBy::Field(field) => count_field(library, field, hits, counts),
        CountBy::Time(width) => count_times(library, width, hits, counts),
    }
}

fn count_field(
    library: &Library,
    field: Field,
    hits: &[u64],
    counts: &mut HashMap<String, u64>,
) -> Result<(), EngineError> {
    each_stretch(
        library,
        hits,
        &mut |stretch, offsets| {
            let mut marked =
                vec![false; usize::try_from(stretch.end() - stretch.first()).unwrap_or(0)];
            for offset in offsets {
                if let Some(mark) = marked.get_mut(*offset as usize) {
                    *mark = true;
                }
            }
            let mut found = Vec::new();
            for term in stretch.values(field)? {
                let these = stretch.find(&term)?;
                let these = these.iter().filter(|at| marked.get(**at as usize) == Some(&true));
                found.push((term, these.count() as u64));
            }
            Ok(found)
        },
        &mut |found| {
            for (term, count) in found {
                if count > 0 {
                    let text = term.text().unwrap_or_default().to_owned();
                    *counts.entry(text).or_default() += count;
                }
            }
        },
    )
}

fn count_times(
    library: &Library,
    width: i64,
    hits: &[u64],
    counts: &mut HashMap<String, u64>,
) -> Result<(), EngineError> {
    each_stretch(
        library,
        hits,
        &mut |stretch, offsets| {
            let times = stretch.times()?;
            let mut found: HashMap<i64, u64> = HashMap::new();
            for at in offsets.iter().filter_map(|offset| times.get(*offset as usize)) {
                *found.entry(at.div_euclid(width)).or_default() += 1;
            }
            Ok(found)
        },
        &mut |found| {
            for (slot, count) in found {
                let at =
                    crate::clock::render_instant(slot.saturating_mul(width)).unwrap_or_default();
                *counts.entry(at).or_default() += count;
            }
        },
    )
}

/// What looks at some offsets of a stretch.
type LookAt<'a, R> = dyn FnMut(&Stretch<'_>, &[u32]) -> Result<R, TableError> + 'a;

/// Calls `look` with each stretch that holds some of these entries, ascending, and their offsets
/// there; `then` with what it answered.
fn each_stretch<R>(
    library: &Library,
    hits: &[u64],
    look: &mut LookAt<'_, R>,
    then: &mut dyn FnMut(R),
) -> Result<(), EngineError> {
    let mut rest = hits;
    while let Some(first) = rest.first() {
        let found = library.look(*first, &mut |stretch| {
            let here = rest.partition_point(|index| *index < stretch.end());
            let offsets = rest.iter().take(here).map(|index| index - stretch.first());
            let offsets: Vec<u32> = offsets.map(|o| u32::try_from(o).unwrap_or(u32::MAX)).collect();
            Ok((here, look(stretch, &offsets)?))
        })?;
        let Some((here, found)) = found else { return Ok(()) };
        then(found);
        rest = rest.get(here.max(1)..).unwrap_or_default();
    }
    Ok(())
}

/// Goes through the entries that fit, some at a time.
#[derive(Debug, Clone)]
pub struct Walk {
    query: Query,
    order: Order,
    from: u64,
    to: u64,
    /// What the index named and was not looked at yet, ascending.
    waiting: Vec<u64>,
}

impl Walk {
    /// A walk from the first entry, or the last.
    #[must_use]
    pub fn new(query: Query, order: Order) -> Self {
        let (from, to) = (query.first, query.end);
        Self { query, order, from, to, waiting: Vec::new() }
    }

    /// The next entries that fit, always in ascending order: some, or `None` at the end.
    ///
    /// # Errors
    /// The store's.
    pub fn next_some(&mut self, library: &Library) -> Result<Option<Vec<u64>>, EngineError> {
        loop {
            if self.waiting.is_empty() {
                if self.from >= self.to {
                    return Ok(None);
                }
                let range = (self.from, self.to);
                let (next, hits) = self.query.candidates(library, range, self.order)?;
                match self.order {
                    Order::Oldest => self.from = next,
                    Order::Newest => self.to = next,
                }
                self.waiting = hits;
                continue;
            }
            let most = if self.query.resource.is_some() { OPENED } else { usize::MAX };
            let most = most.min(self.waiting.len());
            let some = match self.order {
                Order::Oldest => self.waiting.drain(..most).collect(),
                Order::Newest => self.waiting.split_off(self.waiting.len() - most),
            };
            let fit = self.query.confirm(library, &some)?;
            if !fit.is_empty() {
                return Ok(Some(fit));
            }
        }
    }
}

impl Library {
    /// Calls `each` with each entry of a block that has values which open, and those that lists
    /// show; at least with those that `asked` asks for.
    ///
    /// # Errors
    /// As [`Block::entries`].
    pub(super) fn each_value(
        &self,
        block: &Block,
        asked: &dyn Fn(u64) -> bool,
        each: &mut dyn FnMut(u64, &Light<'_>),
    ) -> Result<(), EngineError> {
        let here = block.first()..block.end();
        let opened = self.opened(block, &mut |block| {
            let mut found: Vec<(u64, Light<'static>)> = Vec::new();
            let mut key_of = |owner: &Owner| self.key_of(owner);
            let first = block.first();
            let some = |places: &[u32]| places.iter().any(|at| asked(first + u64::from(*at)));
            block.each_light(self.authority_id(), &mut key_of, &some, &mut |offset, values| {
                let index = block.first() + u64::from(offset);
                if here.contains(&index) {
                    found.push((index, values.own()));
                }
            })?;
            Ok(found)
        })?;
        for (index, values) in &opened {
            each(*index, values);
        }
        Ok(())
    }

    /// Calls `each` with the resource of each of these entries (ascending) that has one that opens.
    fn each_resource(
        &self,
        hits: &[u64],
        each: &mut dyn FnMut(u64, &str),
    ) -> Result<(), EngineError> {
        let mut rest = hits;
        while let Some(first) = rest.first() {
            let Some(block) = self.block_of(*first)? else {
                rest = rest.get(1..).unwrap_or_default();
                continue;
            };
            let here = rest.partition_point(|index| *index < block.end());
            let (these, after) = rest.split_at(here);
            rest = after;
            let asked = |index: u64| these.binary_search(&index).is_ok();
            self.each_value(&block, &asked, &mut |index, values| {
                if let Some(resource) = &values.resource
                    && asked(index)
                {
                    each(index, resource);
                }
            })?;
        }
        Ok(())
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
