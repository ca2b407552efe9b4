//! Entries as Arrow record batches, handed over through the Arrow C stream: pandas, polars, DuckDB
//! and pyarrow take them column by column, a batch at a time.

mod columns;
mod grants;
mod words;
mod workers;

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::{RecordBatch, RecordBatchIterator, RecordBatchReader};
use arrow_schema::ffi::FFI_ArrowSchema;
use arrow_schema::{ArrowError, SchemaRef};
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use self::columns::{Columns, schema};
use self::workers::{Made, Workers};
use super::enter;
use crate::engine::{Engine as Core, EngineError, Hits, Library, Order, Query, Walk};
use crate::store::StoreError;

/// How many rows stand in the first batch: whoever looks at the head has it at once. Each next one
/// has twice as many.
const FIRST: usize = 512;
/// How many entries stand in one batch at most.
const BATCH: usize = 32 * 1024;
/// How many grants at most; their tokens are opened together.
const GRANTS: usize = 4 * 1024;

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

    /// The next places, in the order in which their rows are to stand; fewer than `count` only at
    /// the end.
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

/// What makes the batch of some places.
type MakeBatch = fn(&Arc<Core>, &[u64], &SchemaRef) -> Made;

/// A stream of batches. Batches are made side by side, a few ahead of the one that is taken, so
/// that memory holds those few and what the taker keeps.
pub(super) struct Batches {
    core: Arc<Core>,
    source: Source,
    /// How many rows stand in the next batch, and in one at most.
    rows: usize,
    most: usize,
    ended: bool,
    workers: Workers,
    schema: SchemaRef,
}

impl Batches {
    /// Entries, each decision with its outcome.
    pub(super) fn entries(core: Arc<Core>, source: Source) -> Self {
        Self::new(core, source, BATCH, schema(), batch_of)
    }

    /// Grants: `hits` must be those of kind `grant`.
    pub(super) fn grants(core: Arc<Core>, hits: &Hits) -> Self {
        let source = Source::all(hits, Order::Oldest);
        Self::new(core, source, GRANTS, grants::schema(), grants::batch_of)
    }

    fn new(
        core: Arc<Core>,
        source: Source,
        most: usize,
        schema: SchemaRef,
        make: MakeBatch,
    ) -> Self {
        let made = {
            let (core, schema) = (core.clone(), schema.clone());
            move |places: &[u64]| make(&core, places, &schema)
        };
        let workers = Workers::new(core.clone(), Arc::new(made));
        Self { core, source, rows: FIRST.min(most), most, ended: false, workers, schema }
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>, EngineError> {
        // A forked child has none of the threads that it would wait for.
        self.core.check()?;
        while !self.ended && self.workers.has_room() {
            let places = self.source.next_places(&self.core.library, self.rows)?;
            self.ended = places.len() < self.rows;
            self.rows = (2 * self.rows).min(self.most);
            if !places.is_empty() {
                self.workers.ask(places, self.ended);
            }
        }
        self.workers.next()
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_batch();
        next.map_err(|error| ArrowError::ExternalError(error.to_string().into())).transpose()
    }
}

impl RecordBatchReader for Batches {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

/// The rows at some places, in their order.
fn batch_of(core: &Arc<Core>, places: &[u64], schema: &SchemaRef) -> Made {
    let mut sorted = places.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let span = match (sorted.first(), sorted.last()) {
        (Some(first), Some(last)) => usize::try_from(last - first).unwrap_or(usize::MAX),
        _ => 0,
    };
    let dense = sorted.len() > span / 16;
    let mut columns = Columns::new(core.clone(), sorted.len());
    core.read_rows(&sorted, dense, &mut columns)?;
    let order = (places != sorted).then_some(places);
    columns.finish(order, schema)
}

/// Columns that do not fit together.
#[allow(clippy::needless_pass_by_value)] // As `map_err` gives it.
fn unfit(error: ArrowError) -> EngineError {
    StoreError::Unavailable { what: format!("entries do not fit into columns: {error}") }.into()
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

/// The batches of a stream one by one, for whoever makes something else of each: all of them need
/// not be in memory at once then.
#[pyclass(frozen, module = "answerable")]
pub(super) struct Pieces(Mutex<Batches>);

impl Pieces {
    pub(super) fn new(batches: Batches) -> Self {
        Self(Mutex::new(batches))
    }
}

#[pymethods]
impl Pieces {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Piece>> {
        let batch = enter(py, || self.0.lock().next_batch())?;
        Ok(batch.map(Piece::new))
    }
}

/// One batch, to be taken once.
#[pyclass(frozen, module = "answerable")]
pub(super) struct Piece {
    schema: SchemaRef,
    batch: Mutex<Option<RecordBatch>>,
}

impl Piece {
    fn new(batch: RecordBatch) -> Self {
        Self { schema: batch.schema(), batch: Mutex::new(Some(batch)) }
    }
}

#[pymethods]
impl Piece {
    /// Its columns, each as a piece of its own: what takes a batch whole keeps all of it as long as
    /// any of its columns. None once it was taken.
    fn columns(&self, py: Python<'_>) -> PyResult<Vec<Self>> {
        let batch = self.batch.lock().take();
        let places = 0..batch.as_ref().map_or(0, RecordBatch::num_columns);
        let column = |at| batch.as_ref().map(|batch| batch.project(&[at]));
        let columns = places.filter_map(column).collect::<Result<Vec<_>, _>>();
        let columns = columns.map_err(|error| super::errors::engine(py, &unfit(error)))?;
        Ok(columns.into_iter().map(Self::new).collect())
    }

    /// The Arrow PyCapsule interface: a stream of the batch; of none once it was taken.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        // The interface leaves it to the producer whether to follow a wish for other types.
        let _ = requested_schema;
        let batch = self.batch.lock().take();
        let one = RecordBatchIterator::new(batch.map(Ok), self.schema.clone());
        let stream = FFI_ArrowArrayStream::new(Box::new(one));
        PyCapsule::new_with_value(py, stream, c"arrow_array_stream")
    }
}

/// Grants, for whoever takes an Arrow stream of them.
#[pyclass(frozen, module = "answerable")]
pub(super) struct Granted {
    core: Arc<Core>,
    hits: Hits,
}

impl Granted {
    /// What a query for entries of kind `grant` finds.
    pub(super) fn new(core: Arc<Core>, query: Query) -> Self {
        Self { core, hits: Hits::new(query) }
    }
}

#[pymethods]
impl Granted {
    /// The Arrow PyCapsule interface: a stream of record batches.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        // The interface leaves it to the producer whether to follow a wish for other types.
        let _ = requested_schema;
        stream(py, Batches::grants(self.core.clone(), &self.hits))
    }
}
