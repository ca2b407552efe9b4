//! Entries as Arrow record batches, handed over through the Arrow C stream: pandas, polars, DuckDB
//! and pyarrow take them column by column, a batch at a time.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, DictionaryArray, Int32Array, Int64Array, ListArray, RecordBatch, RecordBatchReader,
    StringArray, StructArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow_buffer::OffsetBuffer;
use arrow_schema::ffi::FFI_ArrowSchema;
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::canonical::{Digest, Raw};
use crate::engine::{
    Engine as Core, EngineError, Hits, Holder, Keys, Library, Order, Rows, Walk, key_of_leaf,
    text_of_leaf,
};
use crate::trail::block::Light;
use crate::trail::entry::kind;

/// How many rows stand in one batch.
const BATCH: usize = 32 * 1024;

/// Whence the rows come.
pub(super) enum Source {
    /// All that fit, as they are found; those found and not taken yet.
    Found(Box<Walk>, Order, VecDeque<u64>),
    /// These places, in this order, from one of them on.
    Listed(Arc<Vec<u64>>, usize),
}

impl Source {
    pub(super) fn all(hits: &Hits, order: Order) -> Self {
        Self::Found(Box::new(Walk::new(hits.query().clone(), order)), order, VecDeque::new())
    }

    /// The next places, in the order in which their rows are to stand; none at the end.
    pub(super) fn next_places(
        &mut self,
        library: &Library,
        count: usize,
    ) -> Result<Vec<u64>, EngineError> {
        match self {
            Self::Listed(places, at) => {
                let these: Vec<u64> = places.iter().skip(*at).take(count).copied().collect();
                *at += these.len();
                Ok(these)
            }
            Self::Found(walk, order, waiting) => {
                while waiting.len() < count {
                    let Some(some) = walk.next_some(library)? else { break };
                    match order {
                        Order::Oldest => waiting.extend(some),
                        Order::Newest => waiting.extend(some.into_iter().rev()),
                    }
                }
                Ok(waiting.drain(..count.min(waiting.len())).collect())
            }
        }
    }
}

/// A stream of batches.
pub(super) struct Batches {
    core: Arc<Core>,
    source: Source,
    columns: Columns,
    schema: SchemaRef,
}

impl Batches {
    pub(super) fn new(core: Arc<Core>, source: Source) -> Self {
        Self { columns: Columns::new(core.clone()), core, source, schema: schema() }
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>, String> {
        let places =
            self.source.next_places(&self.core.library, BATCH).map_err(|e| e.to_string())?;
        if places.is_empty() {
            return Ok(None);
        }
        let mut sorted = places.clone();
        sorted.sort_unstable();
        sorted.dedup();
        let span = match (sorted.first(), sorted.last()) {
            (Some(first), Some(last)) => usize::try_from(last - first).unwrap_or(usize::MAX),
            _ => 0,
        };
        let dense = sorted.len() > span / 16;
        self.core.read_rows(&sorted, dense, &mut self.columns).map_err(|e| e.to_string())?;
        let order: Option<Vec<usize>> = (places != sorted).then(|| {
            let rows: HashMap<u64, usize> =
                self.columns.rows.iter().enumerate().map(|(at, row)| (row.index, at)).collect();
            places.iter().filter_map(|place| rows.get(place).copied()).collect()
        });
        let batch = self.columns.finish(&self.core, order.as_deref(), &self.schema);
        batch.map(Some).map_err(|error| error.to_string())
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_batch().map_err(|why| ArrowError::ExternalError(why.into())).transpose()
    }
}

impl RecordBatchReader for Batches {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

/// The capsule of a stream, as the Arrow PyCapsule interface has it.
pub(super) fn stream<'py>(py: Python<'py>, batches: Batches) -> PyResult<Bound<'py, PyCapsule>> {
    let stream = FFI_ArrowArrayStream::new(Box::new(batches));
    PyCapsule::new_with_value(py, stream, c"arrow_array_stream")
}

/// The capsule of the schema.
pub(super) fn schema_capsule(py: Python<'_>) -> PyResult<Bound<'_, PyCapsule>> {
    let schema = FFI_ArrowSchema::try_from(&*schema());
    let schema = schema.map_err(|e| pyo3::exceptions::PyRuntimeError::new_err(e.to_string()))?;
    PyCapsule::new_with_value(py, schema, c"arrow_schema")
}

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

fn word_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

fn hop_fields() -> Fields {
    let field = |name: &str| Field::new(name, word_type(), false);
    vec![field("agent"), field("agent_name"), field("grant")].into()
}

fn schema() -> SchemaRef {
    let word = |name: &str| Field::new(name, word_type(), true);
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let item =
        |item: DataType, null: bool| DataType::List(Arc::new(Field::new("item", item, null)));
    let at = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields =
        vec![Field::new("index", DataType::UInt64, false), Field::new("id", DataType::Utf8, false)];
    fields.push(Field::new("at", at, false));
    fields.extend(WORDS.iter().map(|name| word(name)));
    fields.push(text("resource"));
    fields.push(text("parent"));
    fields.push(Field::new("duration_us", DataType::Int64, true));
    fields.push(Field::new("reasons", item(DataType::Utf8, true), false));
    fields.push(Field::new("chain", item(DataType::Struct(hop_fields()), false), false));
    Arc::new(Schema::new(fields))
}

/// Words and their numbers; the numbers stay the same over all batches of a stream.
#[derive(Default)]
struct Words {
    known: HashMap<Box<str>, i32>,
    all: Vec<Box<str>>,
    /// The newest word asked for: most rows say what the one before said.
    last: i32,
    array: Option<ArrayRef>,
}

impl Words {
    fn number(&mut self, word: &str) -> i32 {
        let last = usize::try_from(self.last).ok().and_then(|last| self.all.get(last));
        if last.is_some_and(|last| **last == *word) {
            return self.last;
        }
        if let Some(number) = self.known.get(word) {
            self.last = *number;
            return *number;
        }
        let number = i32::try_from(self.all.len()).unwrap_or(i32::MAX);
        self.known.insert(word.into(), number);
        self.all.push(word.into());
        self.array = None;
        number
    }

    fn array(&mut self) -> ArrayRef {
        let all = &self.all;
        self.array
            .get_or_insert_with(|| Arc::new(StringArray::from_iter_values(all.iter())))
            .clone()
    }

    fn column(&mut self, numbers: Int32Array) -> Result<ArrayRef, ArrowError> {
        Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(numbers, self.array())?))
    }
}

/// A chain, by the numbers of its words.
struct Chain {
    via: i32,
    hops: Vec<[i32; 3]>,
}

/// The columns of the batch in the making, and the words of all batches.
struct Columns {
    core: Arc<Core>,
    /// Names by ids, as they were when first met.
    names: HashMap<Box<str>, Arc<str>>,
    words: [Words; WORDS.len()],
    grants: Words,
    holders: HashMap<Digest, Holder>,
    /// Each chain once, by its bytes in the leaf.
    chain_numbers: HashMap<Box<[u8]>, usize>,
    chains: Vec<Result<Chain, Vec<Digest>>>,
    rows: Vec<Row>,
}

/// One row; words by their numbers.
struct Row {
    index: u64,
    id: Box<str>,
    at: i64,
    words: [Option<i32>; WORDS.len()],
    resource: Option<Box<str>>,
    parent: Option<Box<str>>,
    duration: Option<i64>,
    reasons: Vec<Box<str>>,
    chain: Option<usize>,
}

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

impl Rows for Columns {
    fn entry(&mut self, index: u64, keys: &Keys<'_>, values: Option<&Light<'_>>) {
        let mut words = [None; WORDS.len()];
        let plain = [
            (word::KIND, "kind"),
            (word::HUMAN, "human"),
            (word::AGENT, "agent"),
            (word::TOOL, "tool"),
            (word::EFFECT, "effect"),
            (word::TASK, "task"),
            (word::POLICY, "policy"),
            (word::ACTION, "action"),
        ];
        let decision = text_of_leaf(keys, "kind") == Some(kind::DECISION);
        for (place, name) in plain {
            // The tools that a halt names are a pattern.
            if name == "tool" && !decision {
                continue;
            }
            if let Some(text) = text_of_leaf(keys, name).filter(|text| !text.is_empty()) {
                self.set(&mut words, place, text);
            }
        }
        for (place, name) in [(word::HUMAN_NAME, "human"), (word::AGENT_NAME, "agent")] {
            if let Some(id) = text_of_leaf(keys, name).filter(|id| *id != "none") {
                let name = self.name(id);
                self.set(&mut words, place, &name);
            }
        }
        let reasons = key_of_leaf(keys, "reasons").into_iter().flat_map(Raw::items);
        let reasons: Vec<Box<str>> = reasons.filter_map(Raw::text).map(Into::into).collect();
        if let Some(first) = reasons.first() {
            self.set(&mut words, word::REASON, first);
        }
        let chain = key_of_leaf(keys, "chain").map(|chain| self.chain(chain));
        self.rows.push(Row {
            index,
            id: text_of_leaf(keys, "id").unwrap_or_default().into(),
            at: key_of_leaf(keys, "at").and_then(Raw::datetime).unwrap_or_default(),
            words,
            resource: values.and_then(|values| values.resource.as_deref()).map(Into::into),
            parent: text_of_leaf(keys, "parent").map(Into::into),
            duration: None,
            reasons,
            chain,
        });
    }

    fn outcome(&mut self, row: usize, keys: &Keys<'_>) {
        let Some(mut words) = self.rows.get(row).map(|row| row.words) else { return };
        for (place, name) in [(word::OUTCOME, "status"), (word::OUTCOME_TYPE, "type")] {
            if let Some(text) = text_of_leaf(keys, name) {
                self.set(&mut words, place, text);
            }
        }
        if let Some(row) = self.rows.get_mut(row) {
            row.words = words;
            row.duration = key_of_leaf(keys, "duration_us").and_then(Raw::integer);
        }
    }

    fn grant(&mut self, digest: &Digest, holder: &Holder) {
        self.holders.insert(*digest, holder.clone());
    }
}

impl Columns {
    fn new(core: Arc<Core>) -> Self {
        Self {
            core,
            names: HashMap::new(),
            words: Default::default(),
            grants: Words::default(),
            holders: HashMap::new(),
            chain_numbers: HashMap::new(),
            chains: Vec::new(),
            rows: Vec::new(),
        }
    }

    fn set(&mut self, words: &mut [Option<i32>; WORDS.len()], place: usize, text: &str) {
        if let (Some(slot), Some(known)) = (words.get_mut(place), self.words.get_mut(place)) {
            *slot = Some(known.number(text));
        }
    }

    fn name(&mut self, id: &str) -> Arc<str> {
        if let Some(name) = self.names.get(id) {
            return name.clone();
        }
        let name: Arc<str> = self.core.name_of(id).into();
        self.names.insert(id.into(), name.clone());
        name
    }

    fn chain(&mut self, raw: Raw<'_>) -> usize {
        if let Some(number) = self.chain_numbers.get(raw.encoded()) {
            return *number;
        }
        let digests = raw.items().filter_map(Raw::bytes);
        let digests = digests.filter_map(|digest| digest.try_into().ok()).collect();
        let number = self.chains.len();
        self.chains.push(Err(digests));
        self.chain_numbers.insert(raw.encoded().into(), number);
        number
    }

    /// Looks up the agents of a chain, once.
    fn resolve(&mut self, core: &Core, number: usize) -> Result<i32, String> {
        let digests = match self.chains.get(number) {
            Some(Ok(chain)) => return Ok(chain.via),
            Some(Err(digests)) => digests.clone(),
            None => Vec::new(),
        };
        let (mut via, mut hops) = (Vec::new(), Vec::new());
        for digest in digests {
            let holder = match self.holders.get(&digest) {
                Some(holder) => Some(holder.clone()),
                None => core.holder_of(&digest).map_err(|error| error.to_string())?,
            };
            let Some(holder) = holder else { continue };
            let name = self.name(&holder.agent);
            let mut number = |place: usize, text: &str| {
                self.words.get_mut(place).map_or(0, |words| words.number(text))
            };
            let (agent, agent_name) =
                (number(word::AGENT, &holder.agent), number(word::AGENT_NAME, &name));
            hops.push([agent, agent_name, self.grants.number(&holder.grant)]);
            via.push(name);
        }
        let via = self.words.get_mut(word::VIA).map_or(0, |w| w.number(&via.join(" → ")));
        if let Some(slot) = self.chains.get_mut(number) {
            *slot = Ok(Chain { via, hops });
        }
        Ok(via)
    }

    /// The batch of all rows, in an order if one is given; the next one starts empty.
    fn finish(
        &mut self,
        core: &Core,
        order: Option<&[usize]>,
        schema: &SchemaRef,
    ) -> Result<RecordBatch, ArrowError> {
        let mut rows = std::mem::take(&mut self.rows);
        for row in &mut rows {
            if let Some(chain) = row.chain {
                let via = self.resolve(core, chain);
                let via = via.map_err(|why| ArrowError::ExternalError(why.into()))?;
                if let Some(slot) = row.words.get_mut(word::VIA) {
                    *slot = Some(via);
                }
            }
        }
        let rows: Vec<&Row> = match order {
            Some(order) => order.iter().filter_map(|place| rows.get(*place)).collect(),
            None => rows.iter().collect(),
        };
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.index))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &*row.id))),
            Arc::new(
                TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.at))
                    .with_timezone("UTC"),
            ),
        ];
        for (place, words) in self.words.iter_mut().enumerate() {
            let numbers: Int32Array =
                rows.iter().map(|row| row.words.get(place).copied().flatten()).collect();
            columns.push(words.column(numbers)?);
        }
        let text = |of: &dyn Fn(&Row) -> Option<Box<str>>| -> ArrayRef {
            Arc::new(rows.iter().map(|row| of(row)).collect::<StringArray>())
        };
        columns.push(text(&|row| row.resource.clone()));
        columns.push(text(&|row| row.parent.clone()));
        columns.push(Arc::new(rows.iter().map(|row| row.duration).collect::<Int64Array>()));
        let mut reasons = ListBuilder::new(StringBuilder::new());
        for row in &rows {
            reasons.append_value(row.reasons.iter().map(|code| Some(&**code)));
        }
        columns.push(Arc::new(reasons.finish()));
        columns.push(self.chain_column(&rows)?);
        RecordBatch::try_new(schema.clone(), columns)
    }

    fn chain_column(&mut self, rows: &[&Row]) -> Result<ArrayRef, ArrowError> {
        let mut hops: Vec<[i32; 3]> = Vec::new();
        let mut lengths = Vec::with_capacity(rows.len());
        for row in rows {
            let chain = row.chain.and_then(|chain| self.chains.get(chain)?.as_ref().ok());
            let own = chain.map(|chain| chain.hops.as_slice()).unwrap_or_default();
            hops.extend_from_slice(own);
            lengths.push(own.len());
        }
        let column = |place: usize, words: &mut Words| {
            let numbers = hops.iter().map(|hop| hop.get(place).copied().unwrap_or(0));
            words.column(Int32Array::from_iter_values(numbers))
        };
        let mut parts = Vec::with_capacity(3);
        for (place, words) in [(0, word::AGENT), (1, word::AGENT_NAME)] {
            if let Some(words) = self.words.get_mut(words) {
                parts.push(column(place, words)?);
            }
        }
        parts.push(column(2, &mut self.grants)?);
        let hops = StructArray::try_new(hop_fields(), parts, None)?;
        let field = Field::new("item", DataType::Struct(hop_fields()), false);
        let offsets = OffsetBuffer::from_lengths(lengths);
        Ok(Arc::new(ListArray::try_new(Arc::new(field), offsets, Arc::new(hops), None)?))
    }
}
