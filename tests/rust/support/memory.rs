//! A store in memory that can be told to fail.

use std::collections::BTreeMap;
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
    pub(crate) fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }

    /// What a new opening would find.
    pub(crate) fn copy(&self) -> Self {
        Self { map: Mutex::new(self.map.lock().unwrap().clone()), ..Self::default() }
    }

    fn pairs(&self, prefix: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let map = self.map.lock().unwrap();
        let under = map.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
        under.map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

impl Store for Memory {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.map.lock().unwrap().get(key).cloned())
    }

    fn scan(&self, prefix: &[u8], from: Option<&[u8]>, each: &mut Visit) -> Result<(), StoreError> {
        for (key, value) in self.pairs(prefix) {
            if from.is_none_or(|from| key.as_slice() >= from) && !each(&key, &value) {
                break;
            }
        }
        Ok(())
    }

    fn scan_back(
        &self,
        prefix: &[u8],
        before: Option<&[u8]>,
        each: &mut Visit,
    ) -> Result<(), StoreError> {
        for (key, value) in self.pairs(prefix).into_iter().rev() {
            if before.is_none_or(|before| key.as_slice() < before) && !each(&key, &value) {
                break;
            }
        }
        Ok(())
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
