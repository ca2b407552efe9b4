//! The columns of one batch: leaves are read straight into them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{
    Array, ArrayRef, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
    TimestampMicrosecondArray, UInt64Array,
};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

use super::unfit;
use super::words::{NONE, Words};
use crate::canonical::{Digest, Raw};
use crate::engine::{Engine as Core, EngineError, Leaf, Rows};
use crate::trail::entry::kind;

/// Columns of words that repeat.
const WORDS: [&str; 14] = [
    "kind",
    "human",
    "human_name",
    "agent",
    "agent_name",
    "via",
    "tool",
    "effect",
    "reason",
    "task",
    "policy",
    "action",
    "outcome",
    "outcome_type",
];

/// Places in [`WORDS`].
mod word {
    pub(super) const KIND: usize = 0;
    pub(super) const HUMAN: usize = 1;
    pub(super) const HUMAN_NAME: usize = 2;
    pub(super) const AGENT: usize = 3;
    pub(super) const AGENT_NAME: usize = 4;
    pub(super) const VIA: usize = 5;
    pub(super) const TOOL: usize = 6;
    pub(super) const EFFECT: usize = 7;
    pub(super) const REASON: usize = 8;
    pub(super) const TASK: usize = 9;
    pub(super) const POLICY: usize = 10;
    pub(super) const ACTION: usize = 11;
    pub(super) const OUTCOME: usize = 12;
    pub(super) const OUTCOME_TYPE: usize = 13;
}

pub(super) fn word_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

fn hop_fields() -> Fields {
    let field = |name: &str| Field::new(name, word_type(), false);
    vec![field("agent"), field("agent_name"), field("grant")].into()
}

fn item(of: DataType, null: bool) -> Arc<Field> {
    Arc::new(Field::new("item", of, null))
}

pub(super) fn schema() -> SchemaRef {
    let word = |name: &str| Field::new(name, word_type(), true);
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let at = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields =
        vec![Field::new("index", DataType::UInt64, false), Field::new("id", DataType::Utf8, false)];
    fields.push(Field::new("at", at, false));
    fields.extend(WORDS.iter().map(|name| word(name)));
    fields.push(text("resource"));
    fields.push(text("parent"));
    fields.push(Field::new("duration_us", DataType::Int64, true));
    fields.push(Field::new("reasons", DataType::List(item(DataType::Utf8, true)), false));
    let hops = DataType::List(item(DataType::Struct(hop_fields()), false));
    fields.push(Field::new("chain", hops, false));
    Arc::new(Schema::new(fields))
}

/// A word column in the making.
#[derive(Default)]
struct Column {
    words: Words,
    numbers: Vec<i32>,
}

impl Column {
    fn push(&mut self, word: Option<&str>) -> i32 {
        let number = self.words.number_of(word);
        self.numbers.push(number);
        number
    }
}

/// The names of the ids in a column, by the numbers of the ids.
#[derive(Default)]
struct Names(Vec<i32>);

/// Lists, one after the other.
struct Lists<T> {
    items: Vec<T>,
    ends: Vec<usize>,
}

impl<T> Lists<T> {
    fn of(&self, row: usize) -> &[T] {
        let end = self.ends.get(row).copied().unwrap_or(0);
        let start = row.checked_sub(1).and_then(|row| self.ends.get(row)).copied().unwrap_or(0);
        self.items.get(start..end).unwrap_or_default()
    }
}

/// A chain by the numbers of its words.
struct Chain {
    via: i32,
    hops: Vec<[i32; 3]>,
}

/// The columns of a batch in the making.
pub(super) struct Columns {
    core: Arc<Core>,
    index: Vec<u64>,
    id: StringBuilder,
    at: Vec<i64>,
    words: [Column; WORDS.len()],
    human_names: Names,
    agent_names: Names,
    resource: StringBuilder,
    parent: StringBuilder,
    duration: Vec<Option<i64>>,
    codes: Words,
    reasons: Lists<i32>,
    /// Each chain once, by its bytes in the leaf; its grants, from the root.
    chain_numbers: HashMap<Box<[u8]>, usize>,
    chains: Vec<Vec<Digest>>,
    /// The chain of each row.
    chain: Vec<Option<usize>>,
}

fn filled(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

impl Rows for Columns {
    fn entry(&mut self, index: u64, leaf: &Leaf<'_>, resource: Option<&str>) {
        // The tools that a halt names are a pattern.
        let tool = filled(leaf.tool).filter(|_| leaf.kind == kind::DECISION);
        let human = self.push(word::HUMAN, filled(leaf.human));
        let name = self.name(word::HUMAN, word::HUMAN_NAME, human);
        self.push_number(word::HUMAN_NAME, name);
        let agent = self.push(word::AGENT, filled(leaf.agent));
        let name = self.name(word::AGENT, word::AGENT_NAME, agent);
        self.push_number(word::AGENT_NAME, name);
        self.push(word::KIND, filled(Some(leaf.kind)));
        self.push(word::TOOL, tool);
        self.push(word::EFFECT, filled(leaf.effect));
        self.push(word::TASK, filled(leaf.task));
        self.push(word::POLICY, filled(leaf.policy));
        self.push(word::ACTION, filled(leaf.action));
        self.push_number(word::VIA, NONE);
        self.push_number(word::OUTCOME, NONE);
        self.push_number(word::OUTCOME_TYPE, NONE);
        let mut first = None;
        for code in leaf.reasons.into_iter().flat_map(Raw::items).filter_map(Raw::text) {
            first = first.or(Some(code));
            self.reasons.items.push(self.codes.number(code));
        }
        self.reasons.ends.push(self.reasons.items.len());
        self.push(word::REASON, first);
        self.index.push(index);
        self.id.append_value(leaf.id.unwrap_or_default());
        self.at.push(leaf.at.unwrap_or_default());
        self.resource.append_option(resource);
        self.parent.append_option(leaf.parent);
        self.duration.push(None);
        let chain = leaf.chain.map(|chain| self.chain(chain));
        self.chain.push(chain);
    }

    fn outcome(&mut self, row: usize, leaf: &Leaf<'_>) {
        for (place, text) in [(word::OUTCOME, leaf.status), (word::OUTCOME_TYPE, leaf.class)] {
            if let Some(column) = self.words.get_mut(place) {
                let number = column.words.number_of(text);
                if let Some(slot) = column.numbers.get_mut(row) {
                    *slot = number;
                }
            }
        }
        if let Some(slot) = self.duration.get_mut(row) {
            *slot = leaf.duration;
        }
    }
}

impl Columns {
    pub(super) fn new(core: Arc<Core>, rows: usize) -> Self {
        let mut words: [Column; WORDS.len()] = Default::default();
        for column in &mut words {
            column.numbers.reserve_exact(rows);
        }
        Self {
            core,
            index: Vec::with_capacity(rows),
            id: StringBuilder::with_capacity(rows, rows * 32),
            at: Vec::with_capacity(rows),
            words,
            human_names: Names::default(),
            agent_names: Names::default(),
            resource: StringBuilder::new(),
            parent: StringBuilder::new(),
            duration: Vec::with_capacity(rows),
            codes: Words::default(),
            reasons: Lists { items: Vec::new(), ends: Vec::with_capacity(rows) },
            chain_numbers: HashMap::new(),
            chains: Vec::new(),
            chain: Vec::with_capacity(rows),
        }
    }

    fn push(&mut self, place: usize, word: Option<&str>) -> i32 {
        self.words.get_mut(place).map_or(NONE, |column| column.push(word))
    }

    fn push_number(&mut self, place: usize, number: i32) {
        if let Some(column) = self.words.get_mut(place) {
            column.numbers.push(number);
        }
    }

    /// The number of the name that goes with the number of an id, as it is when first met.
    fn name(&mut self, ids: usize, names: usize, id: i32) -> i32 {
        /// Not looked up yet.
        const UNKNOWN: i32 = -2;
        let Ok(at) = usize::try_from(id) else { return NONE };
        let known = if ids == word::HUMAN { &mut self.human_names } else { &mut self.agent_names };
        if let Some(name) = known.0.get(at).filter(|name| **name != UNKNOWN) {
            return *name;
        }
        let text = self.words.get(ids).and_then(|column| column.words.word(id));
        // Nobody answers for a call of `none`, and nobody is called so.
        let name = text.filter(|id| *id != "none").map(|id| self.core.name_of(id));
        let column = self.words.get_mut(names);
        let number = column.map_or(NONE, |column| column.words.number_of(name.as_deref()));
        let known = if ids == word::HUMAN { &mut self.human_names } else { &mut self.agent_names };
        if known.0.len() <= at {
            known.0.resize(at + 1, UNKNOWN);
        }
        if let Some(slot) = known.0.get_mut(at) {
            *slot = number;
        }
        number
    }

    fn chain(&mut self, raw: Raw<'_>) -> usize {
        if let Some(number) = self.chain_numbers.get(raw.encoded()) {
            return *number;
        }
        let digests = raw.items().filter_map(Raw::bytes);
        let digests = digests.filter_map(|digest| digest.try_into().ok()).collect();
        let number = self.chains.len();
        self.chains.push(digests);
        self.chain_numbers.insert(raw.encoded().into(), number);
        number
    }

    /// Looks up the agents of a chain.
    fn resolve(&mut self, digests: &[Digest], grants: &mut Words) -> Result<Chain, EngineError> {
        let (mut via, mut hops) = (String::new(), Vec::with_capacity(digests.len()));
        for digest in digests {
            let Some(holder) = self.core.holder_of(digest)? else { continue };
            let agent = self.words.get_mut(word::AGENT);
            let agent = agent.map_or(0, |column| column.words.number(&holder.agent));
            let name = self.name(word::AGENT, word::AGENT_NAME, agent);
            let names = self.words.get(word::AGENT_NAME);
            if !hops.is_empty() {
                via.push_str(" → ");
            }
            via.push_str(names.and_then(|names| names.words.word(name)).unwrap_or_default());
            hops.push([agent, name, grants.number(&holder.grant)]);
        }
        let column = self.words.get_mut(word::VIA);
        Ok(Chain { via: column.map_or(0, |column| column.words.number(&via)), hops })
    }

    /// The batch; with `order`, its rows in the order of these places.
    pub(super) fn finish(
        mut self,
        order: Option<&[u64]>,
        schema: &SchemaRef,
    ) -> Result<RecordBatch, EngineError> {
        let mut grants = Words::default();
        let mut chains = Vec::with_capacity(self.chains.len());
        for digests in std::mem::take(&mut self.chains) {
            chains.push(self.resolve(&digests, &mut grants)?);
        }
        self.columns(order, schema, &chains, &grants).map_err(unfit)
    }

    fn columns(
        mut self,
        order: Option<&[u64]>,
        schema: &SchemaRef,
        chains: &[Chain],
        grants: &Words,
    ) -> Result<RecordBatch, ArrowError> {
        let chain_of = |row: usize| chains.get(self.chain.get(row).copied().flatten()?);
        let rows = self.rows(order);
        let rows = || rows.iter().copied();
        let at = |row: usize| self.at.get(row).copied().unwrap_or_default();
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(UInt64Array::from_iter_values(
                rows().map(|row| self.index.get(row).copied().unwrap_or_default()),
            )),
            texts(self.id.finish(), order.is_some(), rows()),
            Arc::new(
                TimestampMicrosecondArray::from_iter_values(rows().map(at)).with_timezone("UTC"),
            ),
        ];
        let mut arrays = Vec::with_capacity(WORDS.len());
        for (place, column) in self.words.iter().enumerate() {
            let words = column.words.array();
            arrays.push(words.clone());
            let number = |row: usize| column.numbers.get(row).copied().unwrap_or(NONE);
            columns.push(match place {
                word::VIA => {
                    let via = |row| chain_of(row).map_or(NONE, |chain| chain.via);
                    Words::column(rows().map(via), words)?
                }
                _ => Words::column(rows().map(number), words)?,
            });
        }
        columns.push(texts(self.resource.finish(), order.is_some(), rows()));
        columns.push(texts(self.parent.finish(), order.is_some(), rows()));
        let duration = |row: usize| self.duration.get(row).copied().flatten();
        columns.push(Arc::new(rows().map(duration).collect::<Int64Array>()));
        let codes = rows().flat_map(|row| self.reasons.of(row)).map(|code| self.codes.word(*code));
        let codes = Arc::new(codes.collect::<StringArray>());
        let lengths = OffsetBuffer::from_lengths(rows().map(|row| self.reasons.of(row).len()));
        columns.push(Arc::new(ListArray::try_new(
            item(DataType::Utf8, true),
            lengths,
            codes,
            None,
        )?));
        let own = |row| chain_of(row).map(|chain| chain.hops.as_slice()).unwrap_or_default();
        let hops: Vec<[i32; 3]> = rows().flat_map(own).copied().collect();
        let lengths = OffsetBuffer::from_lengths(rows().map(|row| own(row).len()));
        let part = |place: usize, words: Option<&ArrayRef>| {
            let missing = || ArrowError::InvalidArgumentError("a column is missing".to_owned());
            let numbers = hops.iter().map(|hop| hop.get(place).copied().unwrap_or(0));
            Words::column(numbers, words.ok_or_else(missing)?.clone())
        };
        let parts = vec![
            part(0, arrays.get(word::AGENT))?,
            part(1, arrays.get(word::AGENT_NAME))?,
            part(2, Some(&grants.array()))?,
        ];
        let hops = Arc::new(StructArray::try_new(hop_fields(), parts, None)?);
        let hop = item(DataType::Struct(hop_fields()), false);
        columns.push(Arc::new(ListArray::try_new(hop, lengths, hops, None)?));
        RecordBatch::try_new(schema.clone(), columns)
    }

    /// The rows in the order of some places; all of them without.
    fn rows(&self, order: Option<&[u64]>) -> Vec<usize> {
        let Some(places) = order else { return (0..self.index.len()).collect() };
        let find = |place: &u64| self.index.binary_search(place).ok();
        places.iter().filter_map(find).collect()
    }
}

/// A column of texts, its rows as they are or in another order.
fn texts(texts: StringArray, ordered: bool, rows: impl Iterator<Item = usize>) -> ArrayRef {
    if !ordered {
        return Arc::new(texts);
    }
    let text = |row: usize| (row < texts.len() && texts.is_valid(row)).then(|| texts.value(row));
    Arc::new(rows.map(text).collect::<StringArray>())
}
