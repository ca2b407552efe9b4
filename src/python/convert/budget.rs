//! What one call's arguments may cost: values, and bytes of text.

use crate::canonical::Value;

/// How many values one argument may hold in all.
const MAX_NODES: usize = 100_000;
/// How many bytes of text and bytes one call's arguments may hold in all.
const MAX_BYTES: usize = 1024 * 1024;

/// What is left to spend on one call's arguments.
#[derive(Debug)]
pub(in crate::python) struct Budget {
    nodes: usize,
    bytes: usize,
    /// What was read and has no place in the canonical form, such as the zone of a datetime: in the
    /// order of that form, so that it says the same of the same values.
    pub(super) beside: Vec<u8>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { nodes: MAX_NODES, bytes: MAX_BYTES, beside: Vec::new() }
    }
}

impl Budget {
    /// For results, of which only small ones are recorded by value.
    pub(in crate::python) fn for_results() -> Self {
        Self { nodes: 2_000, bytes: 8 * 1024, beside: Vec::new() }
    }

    /// What was read since it was last taken, and has no place in the canonical form.
    pub(in crate::python) fn take_beside(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.beside)
    }

    pub(super) fn note(&mut self, value: &Value) {
        value.encode_into(&mut self.beside);
    }

    /// Notes what lies beside named values, whatever order they came in.
    pub(super) fn note_all(&mut self, mut named: Vec<(String, Vec<u8>)>) {
        named.sort();
        for (_, beside) in named {
            self.beside.extend(beside);
        }
    }

    /// Refuses a container that cannot fit, before it is copied.
    pub(super) fn admit(&self, items: usize) -> Result<(), String> {
        if items > self.nodes {
            return Err("it holds more than 100,000 values".to_owned());
        }
        Ok(())
    }

    #[inline] // Called for every value of every call.
    pub(super) fn spend(&mut self, bytes: usize) -> Result<(), String> {
        self.nodes = self.nodes.checked_sub(1).ok_or("it holds more than 100,000 values")?;
        self.bytes = self.bytes.checked_sub(bytes).ok_or("it holds more than 1 MiB")?;
        Ok(())
    }
}
