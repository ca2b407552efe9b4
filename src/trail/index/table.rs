//! A table of the index: terms to entries, in tagged parts.
//!
//! The bytes: parts, then times, then a footer that names them with their tags, the footer's tag
//! (16 bytes), its length (4 bytes, little-endian) and [`MAGIC`]. Numbers are LEB128.

use super::{Field, Growing, Postings, Term};
use crate::canonical::{Digest, put_varint, take_varint};

/// What a table's bytes end with; the digits are the format.
const MAGIC: &[u8; 8] = b"ansidx01";
/// How large a part gets before the next one starts, in bytes.
const PART: usize = 8 * 1024;
/// How many entries' times stand together.
const TIMES: usize = 4096;

/// The start of a keyed digest.
pub type Tag = [u8; 16];

/// Makes tags; whoever holds its key can make a table.
pub type Tagger = dyn Fn(&[&[u8]]) -> Tag + Send + Sync;

/// Why a table cannot be used. It is thrown away then, and made anew from the blocks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the index cannot be read: {0}")]
pub struct TableError(pub String);

/// Where a table's bytes lie.
pub trait Pages: Send + Sync {
    /// So many bytes from a place on.
    ///
    /// # Errors
    /// What went wrong, or that there are not so many.
    fn read(&self, at: u64, length: usize) -> Result<Vec<u8>, TableError>;

    /// How many bytes there are.
    fn size(&self) -> u64;
}

impl Pages for Vec<u8> {
    fn read(&self, at: u64, length: usize) -> Result<Vec<u8>, TableError> {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let bytes = self.get(at..at.saturating_add(length));
        bytes.map(<[u8]>::to_vec).ok_or_else(|| wrong("it ends early"))
    }

    fn size(&self) -> u64 {
        self.len() as u64
    }
}

/// Where a part lies.
struct Span {
    at: u64,
    length: usize,
    tag: Tag,
}

/// A table whose footer was read and found sound; its parts are read when they are needed.
pub struct Table {
    pages: Box<dyn Pages>,
    tagger: std::sync::Arc<Tagger>,
    first: u64,
    count: u32,
    last_leaf: Digest,
    /// The first term of each part.
    parts: Vec<(Term, Span)>,
    /// The first time of each stretch.
    times: Vec<(i64, Span)>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<table of {} entries from {}>", self.count, self.first)
    }
}

impl Table {
    /// Opens a table of the trail of an authority.
    ///
    /// # Errors
    /// Whatever is not as it was written.
    pub fn open(
        pages: Box<dyn Pages>,
        tagger: std::sync::Arc<Tagger>,
        authority_id: &str,
    ) -> Result<Self, TableError> {
        let size = pages.size();
        let end = size.checked_sub(28).ok_or_else(|| wrong("it is too short"))?;
        let tail = pages.read(end, 28)?;
        let (tag, rest) = tail.split_at(16);
        let (length, magic) = rest.split_at(4);
        if magic != MAGIC {
            return Err(wrong("it is of another format"));
        }
        let length = length.try_into().map_or(0, u32::from_le_bytes);
        let at = end.checked_sub(u64::from(length)).ok_or_else(|| wrong("it is too short"))?;
        let footer = pages.read(at, length as usize)?;
        if tagger(&[b"footer", authority_id.as_bytes(), &footer]) != *tag {
            return Err(wrong("its footer is not what was written"));
        }
        let mut table = Self {
            pages,
            tagger,
            first: 0,
            count: 0,
            last_leaf: [0; 32],
            parts: Vec::new(),
            times: Vec::new(),
        };
        table.read_footer(&footer).ok_or_else(|| wrong("its footer cannot be read"))?;
        Ok(table)
    }

    fn read_footer(&mut self, mut footer: &[u8]) -> Option<()> {
        let rest = &mut footer;
        self.first = take_varint(rest)?;
        self.count = u32::try_from(take_varint(rest)?).ok()?;
        self.last_leaf = take(rest, 32)?.try_into().ok()?;
        for _ in 0..take_varint(rest)? {
            let length = usize::try_from(take_varint(rest)?).ok()?;
            let term = Term::from_bytes(take(rest, length)?);
            self.parts.push((term, span(rest)?));
        }
        for _ in 0..take_varint(rest)? {
            let at = i64::from_le_bytes(take(rest, 8)?.try_into().ok()?);
            self.times.push((at, span(rest)?));
        }
        rest.is_empty().then_some(())
    }

    /// The first entry it covers.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The index after the last entry it covers.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.first + u64::from(self.count)
    }

    /// The hash of its last entry's leaf: what tells a table of this trail from one of another.
    #[must_use]
    pub fn last_leaf(&self) -> &Digest {
        &self.last_leaf
    }

    /// The entries that hold a term, as offsets from the first; none twice, ascending.
    ///
    /// # Errors
    /// A part that is not as it was written.
    pub fn find(&self, term: &Term) -> Result<Vec<u32>, TableError> {
        let found = self.look(term)?;
        Ok(found.map(|postings| postings.offsets()).unwrap_or_default())
    }

    /// How many entries hold a term.
    ///
    /// # Errors
    /// As [`Table::find`].
    pub fn count(&self, term: &Term) -> Result<u32, TableError> {
        Ok(self.look(term)?.map_or(0, |postings| postings.count()))
    }

    /// Every value of a field.
    ///
    /// # Errors
    /// As [`Table::find`].
    pub fn values(&self, field: Field) -> Result<Vec<Term>, TableError> {
        let from = Term::new(field, &[]);
        let start = self.parts.partition_point(|(first, _)| *first <= from).saturating_sub(1);
        let mut values = Vec::new();
        for (first, span) in self.parts.iter().skip(start) {
            if first.bytes().first().is_some_and(|byte| *byte > field.byte()) {
                break;
            }
            let part = self.part(span, b"part")?;
            let mut rest = part.as_slice();
            while let Some((key, _, _)) = record(&mut rest)? {
                if key.first() == Some(&field.byte()) {
                    values.push(Term::from_bytes(key));
                }
            }
        }
        Ok(values)
    }

    /// The offset of the first entry that was sequenced at `at` or later; the count if none was.
    ///
    /// # Errors
    /// As [`Table::find`].
    pub fn first_at(&self, at: i64) -> Result<u32, TableError> {
        let after = self.times.partition_point(|(first, _)| *first < at);
        let Some(stretch) = after.checked_sub(1) else { return Ok(0) };
        let times = self.times_of(stretch)?;
        let before = stretch * TIMES + times.partition_point(|time| *time < at);
        Ok(u32::try_from(before).unwrap_or(u32::MAX))
    }

    /// When each entry was sequenced, in microseconds.
    ///
    /// # Errors
    /// As [`Table::find`].
    pub fn times(&self) -> Result<Vec<i64>, TableError> {
        let mut times = Vec::new();
        for stretch in 0..self.times.len() {
            times.extend(self.times_of(stretch)?);
        }
        Ok(times)
    }

    fn times_of(&self, stretch: usize) -> Result<Vec<i64>, TableError> {
        let (first, span) = self.times.get(stretch).ok_or_else(|| wrong("it has no such time"))?;
        let part = self.part(span, b"times")?;
        let (mut rest, mut at, mut times) = (part.as_slice(), *first, Vec::with_capacity(TIMES));
        while let Some(step) = take_varint(&mut rest) {
            at = at.saturating_add(i64::try_from(step).unwrap_or(i64::MAX));
            times.push(at);
        }
        Ok(times)
    }

    fn look(&self, term: &Term) -> Result<Option<Postings>, TableError> {
        let after = self.parts.partition_point(|(first, _)| first <= term);
        let Some((_, span)) = after.checked_sub(1).and_then(|at| self.parts.get(at)) else {
            return Ok(None);
        };
        let part = self.part(span, b"part")?;
        let mut rest = part.as_slice();
        while let Some((key, count, postings)) = record(&mut rest)? {
            match key.cmp(term.bytes()) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => {
                    let postings = Postings::from_bytes(count, postings);
                    return postings.map(Some).ok_or_else(|| wrong("a part cannot be read"));
                }
                std::cmp::Ordering::Greater => break,
            }
        }
        Ok(None)
    }

    fn part(&self, span: &Span, what: &[u8]) -> Result<Vec<u8>, TableError> {
        let part = self.pages.read(span.at, span.length)?;
        if (self.tagger)(&[what, &part]) != span.tag {
            return Err(wrong("a part is not what was written"));
        }
        Ok(part)
    }
}

impl Growing {
    /// The bytes of a table of all this, `last_leaf` being the hash of its last entry's leaf.
    #[must_use]
    pub fn encode(&self, authority_id: &str, last_leaf: &Digest, tagger: &Tagger) -> Vec<u8> {
        let mut builder = Builder::new(tagger);
        for (term, postings) in self.sorted() {
            builder.add(term.bytes(), postings);
        }
        builder.finish(authority_id, self.first, &self.times, last_leaf)
    }
}

/// The bytes of one table of several that follow each other.
///
/// # Errors
/// A part that is not as it was written, or that they do not follow each other.
pub fn join(
    tables: &[std::sync::Arc<Table>],
    authority_id: &str,
    tagger: &Tagger,
) -> Result<Vec<u8>, TableError> {
    let (Some(one), Some(last)) = (tables.first(), tables.last()) else {
        return Err(wrong("there is none to join"));
    };
    let mut times = Vec::new();
    let mut cursors = Vec::with_capacity(tables.len());
    let mut end = one.first;
    for table in tables {
        if table.first != end {
            return Err(wrong("tables do not follow each other"));
        }
        end = table.end();
        times.extend(table.times()?);
        let shift = u32::try_from(table.first - one.first).map_err(|_| wrong("it is too large"))?;
        cursors.push(Cursor { table, shift, next: 0, part: Vec::new(), at: 0, head: None });
    }
    let mut builder = Builder::new(tagger);
    for cursor in &mut cursors {
        cursor.step()?;
    }
    while let Some(term) = cursors.iter().filter_map(|c| Some(&c.head.as_ref()?.0)).min().cloned() {
        let mut all = Postings::default();
        for cursor in &mut cursors {
            if cursor.head.as_ref().is_some_and(|(head, _)| *head == term) {
                if let Some((_, postings)) = cursor.head.take() {
                    all.append(&postings, cursor.shift);
                }
                cursor.step()?;
            }
        }
        builder.add(&term, &all);
    }
    Ok(builder.finish(authority_id, one.first, &times, &last.last_leaf))
}

/// Goes through a table's terms in order, with one part in memory.
struct Cursor<'a> {
    table: &'a Table,
    shift: u32,
    next: usize,
    part: Vec<u8>,
    at: usize,
    head: Option<(Vec<u8>, Postings)>,
}

impl Cursor<'_> {
    fn step(&mut self) -> Result<(), TableError> {
        loop {
            let mut rest = self.part.get(self.at..).unwrap_or_default();
            if let Some((key, count, postings)) = record(&mut rest)? {
                let postings = Postings::from_bytes(count, postings);
                let postings = postings.ok_or_else(|| wrong("a part cannot be read"))?;
                self.head = Some((key.to_vec(), postings));
                self.at = self.part.len() - rest.len();
                return Ok(());
            }
            let Some((_, span)) = self.table.parts.get(self.next) else {
                self.head = None;
                return Ok(());
            };
            self.part = self.table.part(span, b"part")?;
            (self.next, self.at) = (self.next + 1, 0);
        }
    }
}

struct Builder<'a> {
    tagger: &'a Tagger,
    out: Vec<u8>,
    part: Vec<u8>,
    first_term: Vec<u8>,
    parts: Vec<u8>,
    count: u64,
}

impl<'a> Builder<'a> {
    fn new(tagger: &'a Tagger) -> Self {
        let (out, part, first_term, parts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { tagger, out, part, first_term, parts, count: 0 }
    }

    /// Adds a term, above the one before.
    fn add(&mut self, term: &[u8], postings: &Postings) {
        if self.part.len() >= PART {
            self.close();
        }
        if self.part.is_empty() {
            self.first_term = term.to_vec();
        }
        put_varint(&mut self.part, term.len() as u64);
        self.part.extend_from_slice(term);
        put_varint(&mut self.part, u64::from(postings.count()));
        put_varint(&mut self.part, postings.bytes().len() as u64);
        self.part.extend_from_slice(postings.bytes());
    }

    fn close(&mut self) {
        if self.part.is_empty() {
            return;
        }
        let part = std::mem::take(&mut self.part);
        put_varint(&mut self.parts, self.first_term.len() as u64);
        self.parts.extend_from_slice(&self.first_term);
        put_span(&mut self.parts, &self.out, &part, (self.tagger)(&[b"part", &part]));
        self.out.extend_from_slice(&part);
        self.count += 1;
    }

    fn finish(
        mut self,
        authority_id: &str,
        first: u64,
        times: &[i64],
        last_leaf: &Digest,
    ) -> Vec<u8> {
        self.close();
        let mut footer = Vec::new();
        put_varint(&mut footer, first);
        put_varint(&mut footer, times.len() as u64);
        footer.extend_from_slice(last_leaf);
        put_varint(&mut footer, self.count);
        footer.extend_from_slice(&self.parts);
        put_varint(&mut footer, times.chunks(TIMES).len() as u64);
        for stretch in times.chunks(TIMES) {
            let first = stretch.first().copied().unwrap_or_default();
            let (mut part, mut before) = (Vec::with_capacity(stretch.len() * 3), first);
            for at in stretch {
                put_varint(&mut part, u64::try_from(at.saturating_sub(before)).unwrap_or(0));
                before = *at;
            }
            footer.extend_from_slice(&first.to_le_bytes());
            put_span(&mut footer, &self.out, &part, (self.tagger)(&[b"times", &part]));
            self.out.extend_from_slice(&part);
        }
        let tag = (self.tagger)(&[b"footer", authority_id.as_bytes(), &footer]);
        self.out.extend_from_slice(&footer);
        self.out.extend_from_slice(&tag);
        let length = u32::try_from(footer.len()).unwrap_or(u32::MAX);
        self.out.extend_from_slice(&length.to_le_bytes());
        self.out.extend_from_slice(MAGIC);
        self.out
    }
}

fn put_span(into: &mut Vec<u8>, before: &[u8], part: &[u8], tag: Tag) {
    put_varint(into, before.len() as u64);
    put_varint(into, part.len() as u64);
    into.extend_from_slice(&tag);
}

fn span(rest: &mut &[u8]) -> Option<Span> {
    let at = take_varint(rest)?;
    let length = usize::try_from(take_varint(rest)?).ok()?;
    Some(Span { at, length, tag: take(rest, 16)?.try_into().ok()? })
}

/// A term, how many entries hold it, and which.
type Record<'a> = (&'a [u8], u32, &'a [u8]);

/// The next term of a part with how many entries hold it, and which.
fn record<'a>(rest: &mut &'a [u8]) -> Result<Option<Record<'a>>, TableError> {
    if rest.is_empty() {
        return Ok(None);
    }
    let mut next = || {
        let length = usize::try_from(take_varint(rest)?).ok()?;
        let key = take(rest, length)?;
        let count = u32::try_from(take_varint(rest)?).ok()?;
        let length = usize::try_from(take_varint(rest)?).ok()?;
        Some((key, count, take(rest, length)?))
    };
    next().map(Some).ok_or_else(|| wrong("a part cannot be read"))
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let taken = rest.get(..count)?;
    *rest = rest.get(count..)?;
    Some(taken)
}

fn wrong(what: &str) -> TableError {
    TableError(what.to_owned())
}
