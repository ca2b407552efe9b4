//! Interned names: attributes, entity types, entities. A name is a number; looking one up
//! allocates nothing.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

/// An attribute's name.
pub(super) type Symbol = u32;
/// An entity type.
pub(super) type TypeId = u32;
/// An entity.
pub(super) type Ent = u32;

/// What no name is.
pub(super) const NONE: u32 = u32::MAX;

/// Multiplies and rotates: the tables hold what the policy's authors wrote, and a caller's text is
/// only looked up, so nobody can fill a bucket from outside.
#[derive(Default)]
pub(super) struct Fast(u64);

impl Fast {
    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for Fast {
    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            let mut word = [0; 8];
            word.copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
        let mut word = [0; 8];
        for (to, from) in word.iter_mut().zip(chunks.remainder()) {
            *to = *from;
        }
        self.mix(u64::from_le_bytes(word) ^ (bytes.len() as u64) << 56);
    }

    fn write_u8(&mut self, byte: u8) {
        self.mix(u64::from(byte));
    }

    fn write_u32(&mut self, word: u32) {
        self.mix(u64::from(word));
    }

    fn write_u64(&mut self, word: u64) {
        self.mix(word);
    }

    fn finish(&self) -> u64 {
        // The table takes its bucket from the low bits, which a multiplication mixes least.
        self.0 ^ (self.0 >> 32)
    }
}

/// A hash map for interned keys.
pub(super) type FastMap<K, V> = HashMap<K, V, BuildHasherDefault<Fast>>;

/// Texts by number and back. A layer above another starts where that one ends.
#[derive(Debug, Default, Clone)]
pub(super) struct Names {
    first: u32,
    numbers: FastMap<Arc<str>, u32>,
    texts: Vec<Arc<str>>,
}

impl Names {
    pub(super) fn above(first: u32) -> Self {
        Self { first, ..Self::default() }
    }

    pub(super) fn end(&self) -> u32 {
        self.first + self.texts.len() as u32
    }

    pub(super) fn get(&self, text: &str) -> Option<u32> {
        self.numbers.get(text).copied()
    }

    pub(super) fn intern(&mut self, text: &str) -> u32 {
        if let Some(number) = self.get(text) {
            return number;
        }
        let number = self.end();
        let text: Arc<str> = text.into();
        self.numbers.insert(Arc::clone(&text), number);
        self.texts.push(text);
        number
    }

    pub(super) fn text(&self, number: u32) -> Option<&Arc<str>> {
        self.texts.get(number.checked_sub(self.first)? as usize)
    }
}

/// Entities by number and back: a type and an id.
#[derive(Debug, Default, Clone)]
pub(super) struct Uids {
    first: Ent,
    by_type: Vec<FastMap<Box<str>, Ent>>,
    list: Vec<(TypeId, Box<str>)>,
}

impl Uids {
    pub(super) fn above(first: Ent) -> Self {
        Self { first, ..Self::default() }
    }

    pub(super) fn end(&self) -> Ent {
        self.first + self.list.len() as u32
    }

    pub(super) fn get(&self, kind: TypeId, id: &str) -> Option<Ent> {
        self.by_type.get(kind as usize)?.get(id).copied()
    }

    pub(super) fn intern(&mut self, kind: TypeId, id: &str) -> Ent {
        if let Some(entity) = self.get(kind, id) {
            return entity;
        }
        let entity = self.end();
        while self.by_type.len() <= kind as usize {
            self.by_type.push(FastMap::default());
        }
        if let Some(ids) = self.by_type.get_mut(kind as usize) {
            ids.insert(id.into(), entity);
        }
        self.list.push((kind, id.into()));
        entity
    }

    pub(super) fn uid(&self, entity: Ent) -> Option<(TypeId, &str)> {
        let (kind, id) = self.list.get(entity.checked_sub(self.first)? as usize)?;
        Some((*kind, id))
    }
}
