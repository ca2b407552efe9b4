//! A store in memory that can be told to fail.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use answerable::store::{Batch, Operation, Store, StoreError, Visit};

#[derive(Default)]
pub(crate) struct Memory {
    map: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
    fails: AtomicBool,
    /// Whoever holds it keeps all commits waiting.
    pub(crate) gate: Mutex<()>,
}

impl Memory {
    #[allow(dead_code)] // Not every test that has it needs this.
    pub(crate) fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }

    /// What a new opening would find.
    pub(crate) fn copy(&self) -> Self {
        Self { map: Mutex::new(self.map.lock().unwrap().clone()), ..Self::default() }
    }

    /// Some keys with a prefix, from one bound on.
    fn some(&self, prefix: &[u8], low: Bound<Vec<u8>>, high: Bound<Vec<u8>>, back: bool) -> Pairs {
        let empty = match (&low, &high) {
            (Bound::Included(low) | Bound::Excluded(low), Bound::Excluded(high)) => low >= high,
            _ => false,
        };
        if empty {
            return Vec::new();
        }
        let map = self.map.lock().unwrap();
        let range = map.range((low, high));
        let own = |(key, value): (&Vec<u8>, &Vec<u8>)| (key.clone(), value.clone());
        let under = |(key, _): &(&Vec<u8>, &Vec<u8>)| key.starts_with(prefix);
        match back {
            false => range.take_while(under).take(PAGE).map(own).collect(),
            true => range
                .rev()
                .skip_while(|p| !under(p))
                .take_while(under)
                .take(PAGE)
                .map(own)
                .collect(),
        }
    }
}

/// How many pairs are read at a time.
const PAGE: usize = 16;

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

impl Store for Memory {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.map.lock().unwrap().get(key).cloned())
    }

    fn scan(&self, prefix: &[u8], from: Option<&[u8]>, each: &mut Visit) -> Result<(), StoreError> {
        let start = from.filter(|from| *from > prefix).unwrap_or(prefix);
        let mut low = Bound::Included(start.to_vec());
        loop {
            let some = self.some(prefix, low, Bound::Unbounded, false);
            for (key, value) in &some {
                if !each(key, value) {
                    return Ok(());
                }
            }
            let Some((last, _)) = some.last() else { return Ok(()) };
            low = Bound::Excluded(last.clone());
        }
    }

    fn scan_back(
        &self,
        prefix: &[u8],
        before: Option<&[u8]>,
        each: &mut Visit,
    ) -> Result<(), StoreError> {
        let mut beyond = prefix.to_vec();
        beyond.extend([u8::MAX; 40]);
        let mut high = before.map_or(beyond, <[u8]>::to_vec);
        loop {
            let low = Bound::Included(prefix.to_vec());
            let some = self.some(prefix, low, Bound::Excluded(high), true);
            for (key, value) in &some {
                if !each(key, value) {
                    return Ok(());
                }
            }
            let Some((last, _)) = some.last() else { return Ok(()) };
            high = last.clone();
        }
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        batch.check()?;
        let _gate = self.gate.lock().unwrap();
        if self.fails.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable { what: "no space left on device".to_owned() });
        }
        let mut map = self.map.lock().unwrap();
        for operation in batch.into_operations() {
            match operation {
                Operation::Put(key, value) => drop(map.insert(key, value)),
                Operation::Delete(key) => drop(map.remove(&key)),
            }
        }
        Ok(())
    }

    fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
