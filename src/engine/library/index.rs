//! The index as the library keeps it: tables in files, the growing end in memory, and whatever is
//! missing made from the blocks before a question is answered.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::shelf::{Range, Shelf};
use super::{EngineError, Library};
use crate::canonical::{Digest, Raw, map_view};
use crate::keys::SealKey;
use crate::registry::grant_index_key;
use crate::trail::block::{Block, BlockError};
use crate::trail::entry::kind;
use crate::trail::index::{
    Field, Growing, Table, TableError, Tag, Tagger, Term, join, prefixes, terms_of,
};
use crate::trail::merkle::leaf_hash;

/// How many entries the growing end may hold before it becomes a table.
const GROWING: usize = 8 * 1024;
/// How many tables that follow each other become one.
const JOINED: usize = 16;
/// A table of so many entries is left as it is.
const LARGE: u64 = (GROWING * JOINED) as u64;
/// Below how many entries the growing end is not worth a file when the engine closes.
const WORTH_A_FILE: usize = 256;
/// How many entries may wait before the thread indexes them.
const BEHIND: u64 = 2048;
/// How many holders of grants are remembered.
const HOLDERS: usize = 64 * 1024;

/// The tables and the growing end.
pub(super) struct Index {
    pub(super) shelf: Shelf,
    parts: RwLock<Parts>,
    /// Held by whoever adds to the index.
    building: Mutex<()>,
    holders: Mutex<HashMap<Digest, Holder>>,
}

#[derive(Default)]
struct Parts {
    /// Whether the files were looked at.
    looked: bool,
    /// Which wrapping key all this lies under.
    under: Digest,
    /// Ascending, none over another.
    tables: Vec<Arc<Table>>,
    growing: Growing,
    /// The hash of the last leaf of the growing end.
    last_leaf: Digest,
}

/// A stretch of the trail that the index covers.
pub(in crate::engine) enum Stretch<'a> {
    /// A table.
    Table(&'a Table),
    /// The growing end.
    Growing(&'a Growing),
}

impl Stretch<'_> {
    pub(in crate::engine) fn first(&self) -> u64 {
        match self {
            Self::Table(table) => table.first(),
            Self::Growing(growing) => growing.first,
        }
    }

    pub(in crate::engine) fn end(&self) -> u64 {
        match self {
            Self::Table(table) => table.end(),
            Self::Growing(growing) => growing.end(),
        }
    }

    pub(in crate::engine) fn find(&self, term: &Term) -> Result<Vec<u32>, TableError> {
        match self {
            Self::Table(table) => table.find(term),
            Self::Growing(growing) => Ok(growing.find(term)),
        }
    }

    pub(in crate::engine) fn values(&self, field: Field) -> Result<Vec<Term>, TableError> {
        match self {
            Self::Table(table) => table.values(field),
            Self::Growing(growing) => Ok(growing.values(field).cloned().collect()),
        }
    }

    /// When each entry was sequenced.
    pub(in crate::engine) fn times(&self) -> Result<Vec<i64>, TableError> {
        match self {
            Self::Table(table) => table.times(),
            Self::Growing(growing) => Ok(growing.times.clone()),
        }
    }

    /// The offset of the first entry that was sequenced at `at` or later.
    pub(in crate::engine) fn first_at(&self, at: i64) -> Result<u32, TableError> {
        match self {
            Self::Table(table) => table.first_at(at),
            Self::Growing(growing) => {
                let before = growing.times.partition_point(|time| *time < at);
                Ok(u32::try_from(before).unwrap_or(u32::MAX))
            }
        }
    }
}

impl Index {
    pub(super) fn new(store: &Path, ours: bool) -> Self {
        Self {
            shelf: Shelf::new(store, ours),
            parts: RwLock::default(),
            building: Mutex::new(()),
            holders: Mutex::default(),
        }
    }

    pub(super) fn forget(&self) {
        let _building = self.building.lock();
        for range in self.shelf.list() {
            self.shelf.remove(range);
        }
        *self.parts.write() = Parts::default();
    }
}

/// The keys that an index lies under. Both are of the wrapping key, which every erasure replaces:
/// an old index cannot be read with the keys of today.
struct Keys {
    tags: SealKey,
    look_ups: SealKey,
}

impl Library {
    fn index_keys(&self) -> Keys {
        let wrapping = self.ring.wrapping();
        Keys { tags: wrapping.derive("index-tags"), look_ups: wrapping.derive("index-look-ups") }
    }

    /// Tells one wrapping key from another: what was looked up under one is not to be found under
    /// the next.
    pub(in crate::engine) fn look_up_key(&self) -> Digest {
        self.ring.wrapping().digest("answerable/v1/index-key", &[])
    }

    /// The term of a resource, or of the first segments of one.
    pub(in crate::engine) fn resource_term(&self, field: Field, text: &str) -> Term {
        resource_term(&self.index_keys().look_ups, field, text)
    }

    /// Calls `look` with the stretch that holds an entry, which must be durable.
    ///
    /// # Errors
    /// The store's or what `look` answered. A table that cannot be read is made anew, once.
    pub(in crate::engine) fn look<R>(
        &self,
        index: u64,
        look: &mut dyn FnMut(&Stretch<'_>) -> Result<R, TableError>,
    ) -> Result<Option<R>, EngineError> {
        let mut again = true;
        loop {
            let parts = self.index.parts.read();
            let growing = Stretch::Growing(&parts.growing);
            if (growing.first()..growing.end()).contains(&index) {
                return Ok(look(&growing).ok());
            }
            let at = parts.tables.partition_point(|table| table.end() <= index);
            let table = parts.tables.get(at).filter(|table| table.first() <= index).cloned();
            drop(parts);
            let Some(table) = table else { return Ok(None) };
            match look(&Stretch::Table(&table)) {
                Ok(answer) => return Ok(Some(answer)),
                Err(error) if again => {
                    again = false;
                    tracing::error!(%error, "a part of the index is damaged; it is made anew");
                    self.drop_table(&table);
                    self.index_up_to(self.recorder.durable())?;
                }
                Err(error) => return Err(BlockError::Damaged(error.to_string()).into()),
            }
        }
    }

    fn drop_table(&self, table: &Arc<Table>) {
        let _building = self.index.building.lock();
        self.index.parts.write().tables.retain(|one| !Arc::ptr_eq(one, table));
        self.index.shelf.remove((table.first(), table.end()));
    }

    /// Indexes what the thread has let wait.
    pub(super) fn index_behind(&self) -> Result<(), EngineError> {
        let durable = self.recorder.durable();
        let end = self.index.parts.read().growing.end();
        if durable.saturating_sub(end) < BEHIND { Ok(()) } else { self.index_up_to(durable) }
    }

    /// Makes the index cover every entry below `upto`, all of which are durable.
    ///
    /// # Errors
    /// The store's, or `Block` for a damaged one.
    pub(in crate::engine) fn index_up_to(&self, upto: u64) -> Result<(), EngineError> {
        let under = self.look_up_key();
        {
            let parts = self.index.parts.read();
            let whole = parts.looked && parts.under == under && parts.is_whole();
            if whole && parts.growing.end() >= upto {
                return Ok(());
            }
        }
        let _building = self.index.building.lock();
        self.look_at_files_under(under)?;
        // Gaps between tables first, then the growing end.
        let gaps = self.index.parts.read().gaps();
        for (from, to) in gaps {
            self.read_blocks(from, to, true)?;
        }
        let from = self.index.parts.read().growing.end();
        if from < upto {
            self.read_blocks(from, upto, false)?;
        }
        self.join_tables();
        Ok(())
    }

    /// The tables there are, ascending, none over another; nothing is made for it.
    pub(super) fn tables(&self) -> Result<Vec<Arc<Table>>, EngineError> {
        let _building = self.index.building.lock();
        self.look_at_files_under(self.look_up_key())?;
        Ok(self.index.parts.read().tables.clone())
    }

    /// Opens the files of the index, once for each wrapping key.
    fn look_at_files_under(&self, under: Digest) -> Result<(), EngineError> {
        if self.index.parts.read().under != under {
            // Not looked at yet, or values were erased since: old files do not open.
            *self.index.parts.write() = Parts { under, ..Parts::default() };
        }
        self.look_at_files(self.recorder.durable())
    }

    /// Opens the files of the index, once.
    fn look_at_files(&self, size: u64) -> Result<(), EngineError> {
        if self.index.parts.read().looked {
            return Ok(());
        }
        let mut tables: Vec<Arc<Table>> = Vec::new();
        for range in self.index.shelf.list() {
            let end = tables.last().map_or(0, |table| table.end());
            // What a larger table covers is left over from a join.
            let table =
                if range.0 < end || range.1 > size { None } else { self.open_table(range)? };
            match table {
                Some(table) => tables.push(table),
                None => self.index.shelf.remove(range),
            }
        }
        let mut parts = self.index.parts.write();
        parts.growing = Growing::new(tables.last().map_or(0, |table| table.end()));
        parts.tables = tables;
        parts.looked = true;
        Ok(())
    }

    fn open_table(&self, range: Range) -> Result<Option<Arc<Table>>, EngineError> {
        let opened = self.index.shelf.open(range).map_err(|error| TableError(error.to_string()));
        let opened = opened
            .and_then(|pages| Table::open(Box::new(pages), self.tagger(), &self.authority_id))
            .map(Arc::new);
        match opened {
            Ok(table) if (table.first(), table.end()) == range => {
                let last = range.1.saturating_sub(1);
                let block = self.block_of(last)?;
                let leaf = block.as_ref().and_then(|block| block.leaf(last));
                Ok(leaf.is_some_and(|leaf| leaf_hash(leaf) == *table.last_leaf()).then_some(table))
            }
            Ok(_) => Ok(None),
            Err(error) => {
                tracing::info!(%error, "a part of the index is made anew");
                Ok(None)
            }
        }
    }

    /// Indexes the entries from one index to another: into tables of their own, or into the
    /// growing end.
    fn read_blocks(&self, from: u64, to: u64, apart: bool) -> Result<(), EngineError> {
        let keys = self.index_keys();
        let mut terms = Terms { keys: &keys, known: HashMap::new() };
        let mut own = (Growing::new(from), Digest::default());
        let mut made: Vec<Arc<Table>> = Vec::new();
        self.each_block(from, &mut |next, block| {
            let entries = self.block_terms(block, next, &mut terms)?;
            let mut parts = self.index.parts.write();
            let Parts { growing, last_leaf, tables, .. } = &mut *parts;
            let (growing, last_leaf, tables) = match apart {
                true => (&mut own.0, &mut own.1, &mut made),
                false => (growing, last_leaf, tables),
            };
            if next > growing.end() {
                // Entries were taken away before this one: nothing can ask for them.
                self.shelve(growing, last_leaf, tables);
                *growing = Growing::new(next);
            }
            for Indexed { index, at, hash, terms } in entries {
                if index >= to {
                    break;
                }
                growing.push(at, terms);
                *last_leaf = hash;
                if growing.times.len() >= GROWING {
                    self.shelve(growing, last_leaf, tables);
                }
            }
            Ok(block.end() < to)
        })?;
        if apart {
            self.shelve(&mut own.0, &own.1, &mut made);
            let mut parts = self.index.parts.write();
            parts.tables.extend(made);
            parts.tables.sort_by_key(|table| table.first());
        }
        Ok(())
    }

    /// Turns the growing end into a table, in a file if one can be written.
    fn shelve(&self, growing: &mut Growing, last_leaf: &Digest, tables: &mut Vec<Arc<Table>>) {
        if growing.times.is_empty() {
            return;
        }
        let tagger = self.tagger();
        let bytes = growing.encode(&self.authority_id, last_leaf, &*tagger);
        let next = Growing::new(growing.end());
        if let Some(table) = self.keep_table((growing.first, growing.end()), bytes) {
            tables.push(table);
            *growing = next;
        }
    }

    fn keep_table(&self, range: Range, bytes: Vec<u8>) -> Option<Arc<Table>> {
        let tagger = self.tagger();
        let written = self.index.shelf.write(range, &bytes);
        let pages = written.and_then(|()| self.index.shelf.open(range));
        let table = match pages {
            Ok(pages) => Table::open(Box::new(pages), tagger, &self.authority_id),
            Err(error) => {
                tracing::debug!(%error, "a part of the index stays in memory");
                Table::open(Box::new(bytes), tagger, &self.authority_id)
            }
        };
        match table {
            Ok(table) => Some(Arc::new(table)),
            Err(error) => {
                tracing::error!(%error, "a part of the index cannot be read after it was written");
                None
            }
        }
    }

    /// Joins small tables that follow each other.
    fn join_tables(&self) {
        loop {
            let parts = self.index.parts.read();
            let Some(run) = parts.run() else { return };
            drop(parts);
            let joined = join(&run, &self.authority_id, &*self.tagger());
            let (Some(first), Some(last)) = (run.first(), run.last()) else { return };
            let range = (first.first(), last.end());
            let table = match joined {
                Ok(bytes) => self.keep_table(range, bytes),
                Err(error) => {
                    // Whoever reads the damaged one makes it anew.
                    tracing::warn!(%error, "parts of the index cannot be joined");
                    None
                }
            };
            let Some(table) = table else { return };
            let mut parts = self.index.parts.write();
            parts.tables.retain(|one| !run.iter().any(|old| Arc::ptr_eq(one, old)));
            parts.tables.push(table);
            parts.tables.sort_by_key(|table| table.first());
            drop(parts);
            for old in run {
                self.index.shelf.remove((old.first(), old.end()));
            }
        }
    }

    /// Keeps the growing end in a file, so that it need not be made anew.
    pub(super) fn keep_growing(&self) {
        let Some(_building) = self.index.building.try_lock() else { return };
        let mut parts = self.index.parts.write();
        if parts.growing.times.len() < WORTH_A_FILE {
            return;
        }
        let Parts { growing, last_leaf, tables, .. } = &mut *parts;
        self.shelve(growing, last_leaf, tables);
    }

    pub(super) fn tagger(&self) -> Arc<Tagger> {
        let key = self.index_keys().tags;
        Arc::new(move |parts| {
            let digest = key.digest("answerable/v1/index-tag", parts);
            let mut tag = Tag::default();
            tag.copy_from_slice(digest.split_at(16).0);
            tag
        })
    }

    /// The terms of a block's entries from an index on.
    fn block_terms(
        &self,
        block: &Block,
        from: u64,
        terms: &mut Terms<'_>,
    ) -> Result<Vec<Indexed>, EngineError> {
        let mut all = Vec::with_capacity(block.len());
        let mut resources: HashMap<u64, Vec<Term>> = HashMap::new();
        self.each_shown(block, &|index| index >= from, &mut |index, resource| {
            resources.insert(index, terms.of_resource(resource));
        })?;
        for (leaf, index) in block.leaves().zip(block.first()..) {
            let keys = map_view(leaf).map_err(|error| BlockError::Damaged(error.to_string()))?;
            let get = |name: &str| keys.iter().find(|(key, _)| *key == name).map(|(_, raw)| *raw);
            if get("kind").and_then(|raw| raw.text()) == Some(kind::GRANT)
                && let Some((digest, holder)) = Holder::of(&keys)
            {
                self.remember(digest, holder);
            }
            if index < from {
                continue;
            }
            let mut found = resources.remove(&index).unwrap_or_default();
            let mut failed = None;
            let mut holder = |digest: &Digest| match self.holder_of(digest) {
                Ok(holder) => holder.map(|holder| holder.agent),
                Err(error) => {
                    failed = Some(error);
                    None
                }
            };
            terms_of(&keys, &mut holder, &mut |term| found.push(term));
            if let Some(error) = failed {
                return Err(error);
            }
            let at = get("at").and_then(|raw| raw.datetime()).unwrap_or_default();
            all.push(Indexed { index, at, hash: leaf_hash(leaf), terms: found });
        }
        Ok(all)
    }

    /// A grant and who holds it, by the grant's digest.
    ///
    /// # Errors
    /// The store's.
    pub(in crate::engine) fn holder_of(
        &self,
        digest: &Digest,
    ) -> Result<Option<Holder>, EngineError> {
        if let Some(holder) = self.index.holders.lock().get(digest) {
            return Ok(Some(holder.clone()));
        }
        let Some(place) = self.store.get(&grant_index_key(digest))? else { return Ok(None) };
        let index = place.try_into().map_or(0, u64::from_be_bytes);
        let Some(block) = self.block_of(index)? else { return Ok(None) };
        let leaf = block.leaf(index).unwrap_or_default();
        let keys = map_view(leaf).map_err(|error| BlockError::Damaged(error.to_string()))?;
        let Some((_, holder)) = Holder::of(&keys) else { return Ok(None) };
        self.remember(*digest, holder.clone());
        Ok(Some(holder))
    }

    /// Remembers who holds a grant, for the calls under it.
    pub(in crate::engine) fn remember(&self, digest: Digest, holder: Holder) {
        let mut holders = self.index.holders.lock();
        if holders.len() >= HOLDERS {
            holders.clear();
        }
        holders.insert(digest, holder);
    }
}

/// A grant and who holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The agent's id.
    pub agent: Box<str>,
    /// The grant's id.
    pub grant: Box<str>,
}

impl Holder {
    /// The digest and holder of a grant, from the keys of its leaf.
    pub(in crate::engine) fn of(keys: &[(&str, Raw<'_>)]) -> Option<(Digest, Self)> {
        let get = |name: &str| keys.iter().find(|(key, _)| *key == name).map(|(_, raw)| *raw);
        let digest = get("digest")?.bytes()?.try_into().ok()?;
        let (agent, grant) = (get("agent")?.text()?.into(), get("grant")?.text()?.into());
        Some((digest, Self { agent, grant }))
    }
}

impl Parts {
    fn is_whole(&self) -> bool {
        self.gaps().is_empty()
    }

    /// The stretches that no table covers, below the growing end.
    fn gaps(&self) -> Vec<Range> {
        let mut next = 0;
        let mut gaps = Vec::new();
        let ranges = self.tables.iter().map(|table| (table.first(), table.end()));
        for (first, end) in ranges.chain([(self.growing.first, self.growing.end())]) {
            if first > next {
                gaps.push((next, first));
            }
            next = end;
        }
        gaps
    }

    /// Tables that should be one.
    fn run(&self) -> Option<Vec<Arc<Table>>> {
        let mut run: Vec<Arc<Table>> = Vec::new();
        for table in &self.tables {
            let small = table.end() - table.first() < LARGE;
            let follows = run.last().is_none_or(|last| last.end() == table.first());
            if !(small && follows) {
                run.clear();
            }
            if small {
                run.push(table.clone());
            }
            if run.len() >= JOINED {
                return Some(run);
            }
        }
        None
    }
}

/// An entry as the index takes it.
struct Indexed {
    index: u64,
    at: i64,
    hash: Digest,
    terms: Vec<Term>,
}

/// Terms of resources, each made once.
struct Terms<'a> {
    keys: &'a Keys,
    known: HashMap<Box<str>, Vec<Term>>,
}

impl Terms<'_> {
    fn of_resource(&mut self, text: &str) -> Vec<Term> {
        if let Some(terms) = self.known.get(text) {
            return terms.clone();
        }
        let key = &self.keys.look_ups;
        let mut terms = vec![resource_term(key, Field::Resource, text)];
        terms.extend(prefixes(text).map(|prefix| resource_term(key, Field::Prefix, prefix)));
        if self.known.len() >= HOLDERS {
            self.known.clear();
        }
        self.known.insert(text.into(), terms.clone());
        terms
    }
}

fn resource_term(key: &SealKey, field: Field, text: &str) -> Term {
    let digest = key.digest("answerable/v1/index-resource", &[&[field.byte()], text.as_bytes()]);
    Term::digest(field, &digest)
}
