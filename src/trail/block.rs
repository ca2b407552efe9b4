//! Blocks: what the store keeps of the trail. One value holds many leaves and, sealed once for
//! each owner, the values beside them.
//!
//! `docs/formats.md`, section "Blocks", is normative.

use std::collections::BTreeMap;

use super::entry::{Draft, Entry, Opened};
use super::sealed::{Item, Part, Place};
use crate::canonical::{Map, Raw, Salt, Value, field_salt, map_view, put_varint, take_varint};
use crate::keys::{KeyError, Owner, SealKey};

/// The format of blocks as entries are recorded: leaves in a list.
pub const BLOCK_FORMAT: i64 = 1;
/// The format of blocks that were merged before: leaves compressed together.
pub const PACKED_FORMAT: i64 = 2;
/// The format of merged blocks: also, what lists show is sealed apart.
pub const MERGED_FORMAT: i64 = 3;
/// The most bytes that a merged block's leaves may take together.
pub const MAX_LEAVES_BYTES: usize = 1024 * 1024;
/// How large a block's leaves and values may get before the next one starts, in bytes.
pub const TARGET_BYTES: usize = 40 * 1024;

/// Why a block cannot be read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BlockError {
    /// Not a block of this format.
    #[error("the block is damaged: {0}")]
    Damaged(String),
    /// A newer format.
    #[error(
        "the block has format {0}; this version reads up to {MERGED_FORMAT}: upgrade answerable"
    )]
    Newer(i64),
    /// A key could not be used.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Packs drafts and their leaves, the first at index `first`.
///
/// # Errors
/// What `key_of` answered, or a value that could not be sealed.
pub fn pack(
    authority_id: &str,
    first: u64,
    entries: &[(&Draft, Vec<u8>)],
    key_of: &mut dyn FnMut(&Owner) -> Result<SealKey, KeyError>,
) -> Result<Vec<u8>, KeyError> {
    let mut by_owner: BTreeMap<&Owner, BTreeMap<u32, (&Draft, Map)>> = BTreeMap::new();
    for (offset, (draft, _)) in (0u32..).zip(entries) {
        for beside in &draft.beside {
            let items = by_owner.entry(&beside.owner).or_default();
            let (_, map) = items.entry(offset).or_insert_with(|| (draft, Map::new()));
            map.insert(&beside.field, beside.value.clone());
        }
    }
    let mut sealed = Map::new();
    for (owner, items) in by_owner {
        let items = items.into_iter();
        let items: Vec<Item> = items
            .map(|(offset, (draft, map))| Item::new(offset, &draft.owner_salt(owner), map))
            .collect();
        let part = Part::together(Place { authority_id, first, owner }, &items, &key_of(owner)?)?;
        sealed.insert(owner.text(), Value::bytes(&part.body));
    }
    let leaves = entries.iter().map(|(_, leaf)| Value::bytes(leaf)).collect();
    let mut block = Map::new();
    block.insert("v", Value::int(BLOCK_FORMAT));
    block.insert("leaves", Value::List(leaves));
    block.insert("sealed", Value::Map(sealed));
    Ok(Value::Map(block).encode())
}

/// A block whose leaves were read; its values are still sealed.
#[derive(Debug, Clone)]
pub struct Block {
    first: u64,
    /// All leaves, one after the other, and where each ends.
    bytes: Vec<u8>,
    ends: Vec<usize>,
    sealed: Vec<Sealed>,
    /// Whether what lists show is sealed apart.
    apart: bool,
}

/// What is sealed for one owner and does not open.
#[derive(Debug)]
pub struct Closed {
    /// The indices of the entries it has values of, ascending; all of the block's where that is not
    /// stated.
    pub entries: Vec<u64>,
    /// Why not.
    pub error: BlockError,
}

/// What is sealed for one owner.
#[derive(Debug, Clone)]
struct Sealed {
    owner: Owner,
    part: Part,
    /// The offsets of the entries with values; absent where that is not stated.
    places: Option<Box<[u32]>>,
}

impl Block {
    /// Reads a block that was stored at index `first`.
    ///
    /// # Errors
    /// `Damaged` or `Newer`.
    pub fn read(first: u64, bytes: &[u8]) -> Result<Self, BlockError> {
        let damaged = |what: &str| BlockError::Damaged(what.to_owned());
        let map = map_view(bytes).map_err(|error| BlockError::Damaged(error.to_string()))?;
        let get = |key: &str| map.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
        let leaves = get("leaves").ok_or_else(|| damaged("it has no leaves"))?;
        let version = get("v").and_then(Raw::integer);
        let (bytes, ends) = match version {
            Some(BLOCK_FORMAT) => listed(leaves)?,
            Some(PACKED_FORMAT | MERGED_FORMAT) => unpacked(leaves, get("ends"))?,
            Some(newer) if newer > MERGED_FORMAT => return Err(BlockError::Newer(newer)),
            _ => return Err(damaged("it states no format")),
        };
        let apart = version == Some(MERGED_FORMAT);
        let bodies = view(get("sealed").ok_or_else(|| damaged("it has no sealed part"))?)?;
        let stated = get("places").map(view).transpose()?.unwrap_or_default();
        let shown = match apart {
            true => view(get("shown").ok_or_else(|| damaged("it shows nothing"))?)?,
            false => Vec::new(),
        };
        let not_bytes = || damaged("a sealed part is not bytes");
        let mut sealed = Vec::with_capacity(bodies.len());
        for (owner, body) in &bodies {
            let body = body.bytes().ok_or_else(not_bytes)?.into();
            let shown = match of_owner(&shown, owner) {
                Some(shown) => Some(shown.ok_or_else(not_bytes)?.into()),
                None => None,
            };
            let places = of_owner(&stated, owner).flatten().and_then(offsets_of);
            sealed.push(Sealed {
                owner: Owner::from_text(owner),
                part: Part { body, shown },
                places,
            });
        }
        Ok(Self { first, bytes, ends, sealed, apart })
    }

    /// The bytes of the block in the merged format.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut ends = Vec::with_capacity(self.ends.len() * 2);
        let mut before = 0;
        for end in &self.ends {
            put_varint(&mut ends, (end - before) as u64);
            before = *end;
        }
        let (mut sealed, mut shown, mut stated) = (Map::new(), Map::new(), Map::new());
        for Sealed { owner, part, places } in &self.sealed {
            sealed.insert(owner.text(), Value::bytes(&part.body));
            if let Some(texts) = &part.shown {
                shown.insert(owner.text(), Value::bytes(texts));
            }
            if let Some(places) = places {
                let (mut bytes, mut before) = (Vec::with_capacity(places.len() + 4), 0);
                for place in places {
                    put_varint(&mut bytes, u64::from(place.saturating_sub(before)));
                    before = *place;
                }
                stated.insert(owner.text(), Value::bytes(&bytes));
            }
        }
        let mut block = Map::new();
        block.insert("v", Value::int(MERGED_FORMAT));
        block.insert("places", Value::Map(stated));
        block.insert("ends", Value::bytes(&ends));
        block.insert("leaves", Value::bytes(&lz4_flex::block::compress(&self.bytes)));
        block.insert("sealed", Value::Map(sealed));
        block.insert("shown", Value::Map(shown));
        Value::Map(block).encode()
    }

    /// The index of its first leaf.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The index after its last leaf.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.first + self.ends.len() as u64
    }

    /// How many leaves it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether it has no leaf.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The leaves' bytes, in order.
    pub fn leaves(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).filter_map(|(start, end)| self.bytes.get(start..*end))
    }

    /// The bytes of the leaf at an index.
    #[must_use]
    pub fn leaf(&self, index: u64) -> Option<&[u8]> {
        let at = usize::try_from(index.checked_sub(self.first)?).ok()?;
        let start = if at == 0 { 0 } else { *self.ends.get(at - 1)? };
        self.bytes.get(start..*self.ends.get(at)?)
    }

    /// Opens what `key_of` has keys for: a missing key leaves its values closed.
    ///
    /// # Errors
    /// `Damaged` for a leaf or sealed part that cannot be read, `Key` for one that does not open.
    pub fn entries(&self, authority_id: &str, key_of: KeyOf<'_>) -> Result<Vec<Entry>, BlockError> {
        self.entries_of(authority_id, key_of, &mut |_| true)
    }

    /// As [`Block::entries`], but only those at the indices that `want` answers for: other leaves
    /// are not read.
    ///
    /// # Errors
    /// As [`Block::entries`].
    pub fn entries_of(
        &self,
        authority_id: &str,
        key_of: KeyOf<'_>,
        want: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Vec<Entry>, BlockError> {
        let wanted: Vec<bool> = (self.first..self.end()).map(want).collect();
        let opened = self.values_of(authority_id, key_of, &wanted)?;
        let entries = self.leaves().zip(opened).zip(self.first..).zip(wanted);
        entries
            .filter(|(_, wanted)| *wanted)
            .map(|(((leaf, opened), index), _)| {
                Entry::read(index, leaf, opened).map_err(BlockError::Damaged)
            })
            .collect()
    }

    /// The values beside each leaf, in order, as far as `key_of` has keys for them; none of entries
    /// that are not `wanted`.
    ///
    /// # Errors
    /// As [`Block::entries`].
    pub fn values_of(
        &self,
        authority_id: &str,
        key_of: KeyOf<'_>,
        wanted: &[bool],
    ) -> Result<Vec<Vec<Opened>>, BlockError> {
        let mut opened: Vec<Vec<Opened>> = vec![Vec::new(); self.ends.len()];
        let asked =
            |places: &[u32]| places.iter().any(|place| wanted.get(*place as usize) == Some(&true));
        self.each_opened(authority_id, key_of, &asked, &mut |offset, salt, values| {
            let damaged = || BlockError::Damaged("a value belongs to no leaf".to_owned());
            if !*wanted.get(offset as usize).ok_or_else(damaged)? {
                return Ok(());
            }
            let slot = opened.get_mut(offset as usize).ok_or_else(damaged)?;
            for (field, value) in values.iter() {
                let salt = field_salt(salt, field);
                slot.push(Opened { field: field.into(), value: value.clone(), salt });
            }
            Ok(())
        })?;
        Ok(opened)
    }

    /// As [`Block::values_of`] for all entries, but goes on behind what does not open, and tells of
    /// each part that does not.
    #[must_use]
    pub fn values_and_closed(
        &self,
        authority_id: &str,
        key_of: KeyOf<'_>,
    ) -> (Vec<Vec<Opened>>, Vec<Closed>) {
        let mut opened: Vec<Vec<Opened>> = vec![Vec::new(); self.ends.len()];
        let mut closed = Vec::new();
        for one in &self.sealed {
            if let Err(error) = self.open_into(authority_id, one, key_of, &mut opened) {
                let all =
                    || (0..self.ends.len() as u64).map(|offset| self.first + offset).collect();
                let stated = one.places.as_ref().map(|places| {
                    places.iter().map(|offset| self.first + u64::from(*offset)).collect()
                });
                closed.push(Closed { entries: stated.unwrap_or_else(all), error });
            }
        }
        (opened, closed)
    }

    fn open_into(
        &self,
        authority_id: &str,
        Sealed { owner, part, .. }: &Sealed,
        key_of: KeyOf<'_>,
        opened: &mut [Vec<Opened>],
    ) -> Result<(), BlockError> {
        let Some(key) = key_of(owner)? else { return Ok(()) };
        for item in part.items(Place { authority_id, first: self.first, owner }, &key)? {
            let offset = item.0;
            let (salt, values) = item.open()?;
            let damaged = || BlockError::Damaged("a value belongs to no leaf".to_owned());
            let slot = opened.get_mut(offset as usize).ok_or_else(damaged)?;
            for (field, value) in values.iter() {
                let salt = field_salt(&salt, field);
                slot.push(Opened { field: field.into(), value: value.clone(), salt });
            }
        }
        Ok(())
    }

    /// Opens what `key_of` has keys for, but reads only what lists show of it, the resource: calls
    /// `each` with the offset of an entry that has one and its text. What is stated to be of entries
    /// at offsets that `asked` does not ask for stays closed.
    ///
    /// # Errors
    /// As [`Block::entries`].
    pub fn each_shown(
        &self,
        authority_id: &str,
        key_of: KeyOf<'_>,
        asked: &dyn Fn(&[u32]) -> bool,
        each: &mut dyn FnMut(u32, &str),
    ) -> Result<(), BlockError> {
        self.each_part(key_of, asked, &mut |owner, part, key| {
            let place = Place { authority_id, first: self.first, owner };
            part.each_shown(place, key, self.apart, each)
        })
    }

    fn each_opened(
        &self,
        authority_id: &str,
        key_of: KeyOf<'_>,
        asked: &dyn Fn(&[u32]) -> bool,
        each: &mut dyn FnMut(u32, &Salt, Map) -> Result<(), BlockError>,
    ) -> Result<(), BlockError> {
        self.each_part(key_of, asked, &mut |owner, part, key| {
            for item in part.items(Place { authority_id, first: self.first, owner }, key)? {
                let offset = item.0;
                let (salt, values) = item.open()?;
                each(offset, &salt, values)?;
            }
            Ok(())
        })
    }

    fn each_part(
        &self,
        key_of: KeyOf<'_>,
        asked: &dyn Fn(&[u32]) -> bool,
        each: &mut dyn FnMut(&Owner, &Part, &SealKey) -> Result<(), BlockError>,
    ) -> Result<(), BlockError> {
        for Sealed { owner, part, places } in &self.sealed {
            if places.as_ref().is_some_and(|places| !asked(places)) {
                continue;
            }
            if let Some(key) = key_of(owner)? {
                each(owner, part, &key)?;
            }
        }
        Ok(())
    }
}

/// What finds an owner's data key; `None` where it is gone.
pub type KeyOf<'a> = &'a mut dyn FnMut(&Owner) -> Result<Option<SealKey>, KeyError>;

/// Makes one block of several that follow each other: the same leaves in the same order, the
/// values of each owner sealed anew, together. Values whose key is gone are left out: nothing can
/// open them any more.
///
/// # Errors
/// `Damaged` if the blocks do not follow each other or one cannot be read, `Key` for values that
/// do not open.
pub fn merge(authority_id: &str, blocks: &[Block], key_of: KeyOf<'_>) -> Result<Block, BlockError> {
    let damaged = |what: &str| BlockError::Damaged(what.to_owned());
    let first = blocks.first().ok_or_else(|| damaged("there is none to merge"))?.first;
    let (bytes, ends, sealed) = (Vec::new(), Vec::new(), Vec::new());
    let mut merged = Block { first, bytes, ends, sealed, apart: true };
    let mut by_owner: BTreeMap<Owner, (SealKey, Vec<Item>)> = BTreeMap::new();
    for block in blocks {
        if block.first != merged.end() {
            return Err(damaged("a block does not follow the one before"));
        }
        let shift = u32::try_from(merged.len()).map_err(|_| damaged("it has too many leaves"))?;
        for Sealed { owner, part, .. } in &block.sealed {
            let Some(key) = key_of(owner)? else { continue };
            let items = part.items(Place { authority_id, first: block.first, owner }, &key)?;
            let (_, all) = by_owner.entry(owner.clone()).or_insert_with(|| (key, Vec::new()));
            for Item(offset, salt, values) in items {
                all.push(Item(shift.saturating_add(offset), salt, values));
            }
        }
        for leaf in block.leaves() {
            merged.bytes.extend_from_slice(leaf);
            merged.ends.push(merged.bytes.len());
        }
    }
    for (owner, (key, items)) in by_owner {
        let places = Some(items.iter().map(|item| item.0).collect());
        let part = Part::apart(Place { authority_id, first, owner: &owner }, items, &key)?;
        merged.sealed.push(Sealed { owner, part, places });
    }
    Ok(merged)
}

fn view(raw: Raw<'_>) -> Result<Vec<(&str, Raw<'_>)>, BlockError> {
    map_view(raw.encoded()).map_err(|error| BlockError::Damaged(error.to_string()))
}

/// The bytes of an owner, if there is such a key; `Some(None)` if it holds something else.
#[allow(clippy::option_option)]
fn of_owner<'a>(all: &[(&str, Raw<'a>)], owner: &str) -> Option<Option<&'a [u8]>> {
    all.iter().find(|(name, _)| *name == owner).map(|(_, raw)| raw.bytes())
}

fn offsets_of(mut bytes: &[u8]) -> Option<Box<[u32]>> {
    let (mut offsets, mut last) = (Vec::with_capacity(bytes.len()), 0u32);
    while !bytes.is_empty() {
        last = last.checked_add(u32::try_from(take_varint(&mut bytes)?).ok()?)?;
        offsets.push(last);
    }
    Some(offsets.into())
}

fn listed(leaves: Raw<'_>) -> Result<(Vec<u8>, Vec<usize>), BlockError> {
    let mut bytes = Vec::with_capacity(leaves.encoded().len());
    let mut ends = Vec::new();
    for leaf in leaves.items() {
        let damaged = || BlockError::Damaged("a leaf is not bytes".to_owned());
        bytes.extend_from_slice(leaf.bytes().ok_or_else(damaged)?);
        ends.push(bytes.len());
    }
    Ok((bytes, ends))
}

fn unpacked(
    leaves: Raw<'_>,
    lengths: Option<Raw<'_>>,
) -> Result<(Vec<u8>, Vec<usize>), BlockError> {
    let damaged = || BlockError::Damaged("its leaves cannot be unpacked".to_owned());
    let mut lengths = lengths.and_then(Raw::bytes).ok_or_else(damaged)?;
    let (mut ends, mut end) = (Vec::with_capacity(lengths.len()), 0usize);
    while !lengths.is_empty() {
        let length = take_varint(&mut lengths).ok_or_else(damaged)?;
        let length = usize::try_from(length).map_err(|_| damaged())?;
        end = end.checked_add(length).filter(|end| *end <= MAX_LEAVES_BYTES).ok_or_else(damaged)?;
        ends.push(end);
    }
    let packed = leaves.bytes().ok_or_else(damaged)?;
    let bytes = lz4_flex::block::decompress(packed, end).map_err(|_| damaged())?;
    if bytes.len() == end { Ok((bytes, ends)) } else { Err(damaged()) }
}
