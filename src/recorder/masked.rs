//! What entries may not hold is masked before they are appended.

use std::sync::Arc;

use super::size::size_of_draft;
use super::{MAX_ENTRY_BYTES, Recorder};
use crate::canonical::Value;
use crate::trail::entry::{Draft, Part, kind};
use crate::vault::Redactor;

/// An entry of a call, without secrets, and how much room it takes in a block.
#[derive(Debug)]
pub struct Described {
    pub(super) draft: Draft,
    pub(super) bytes: usize,
}

impl Described {
    /// Measures an entry that holds no secret; of one that is too large, only what lies beside it
    /// under the name `kept` stays.
    #[must_use]
    pub fn new(mut draft: Draft, kept: &str) -> Self {
        let mut bytes = size_of_draft(&draft);
        if bytes > MAX_ENTRY_BYTES {
            draft.beside.retain(|beside| beside.field == kept);
            bytes = size_of_draft(&draft);
        }
        Self { draft, bytes }
    }
}

impl Recorder {
    /// Has what lies beside entries masked from here on.
    pub fn mask_by(&self, redactor: Arc<Redactor>) {
        // Set once, where the engine is made.
        let _ = self.redactor.set(redactor);
    }

    /// An entry without secrets in the texts of its leaf and beside it.
    ///
    /// What tells of calls was masked where it was described, outside of the sequencing lock. What
    /// has to stay to the byte is let alone: a signed token, and scopes, which are refused with a
    /// secret in them.
    pub(super) fn masked(&self, mut draft: Draft) -> Draft {
        const EXACT: [&str; 4] = ["token", "ceiling", "scope", "limits"];
        let Some(redactor) = self.redactor.get().filter(|redactor| !redactor.is_empty()) else {
            return draft;
        };
        if matches!(&*draft.kind, kind::DECISION | kind::OUTCOME | kind::LEASE) {
            return draft;
        }
        for (_, part) in &mut draft.fields {
            if let Part::Value(value @ Value::Str(_)) = part
                && let Some(clean) = redactor.veil(value)
            {
                *value = clean;
            }
        }
        for beside in &mut draft.beside {
            if !EXACT.contains(&&*beside.field)
                && let Some(clean) = redactor.veil(&beside.value)
            {
                beside.value = clean;
            }
        }
        draft
    }
}
