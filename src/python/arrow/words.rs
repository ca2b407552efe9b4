//! Words that repeat, each once, and columns of their numbers.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, Int32Array, StringArray};
use arrow_schema::ArrowError;

/// The number of no word.
pub(super) const NONE: i32 = -1;

/// Words and their numbers, in the order in which they were met.
#[derive(Default)]
pub(super) struct Words {
    known: HashMap<Box<str>, i32>,
    all: Vec<Box<str>>,
    /// The newest word asked for: most rows say what the one before said.
    last: i32,
}

impl Words {
    pub(super) fn number(&mut self, word: &str) -> i32 {
        if self.word(self.last) == Some(word) {
            return self.last;
        }
        if let Some(number) = self.known.get(word) {
            self.last = *number;
            return *number;
        }
        let number = i32::try_from(self.all.len()).unwrap_or(i32::MAX);
        self.known.insert(word.into(), number);
        self.all.push(word.into());
        self.last = number;
        number
    }

    /// The number of a word, [`NONE`] without one.
    pub(super) fn number_of(&mut self, word: Option<&str>) -> i32 {
        word.map_or(NONE, |word| self.number(word))
    }

    pub(super) fn word(&self, number: i32) -> Option<&str> {
        self.all.get(usize::try_from(number).ok()?).map(|word| &**word)
    }

    pub(super) fn array(&self) -> ArrayRef {
        Arc::new(StringArray::from_iter_values(self.all.iter()))
    }

    /// The column of some numbers, over all the words that are known now.
    pub(super) fn column(
        numbers: impl Iterator<Item = i32>,
        words: ArrayRef,
    ) -> Result<ArrayRef, ArrowError> {
        let numbers: Int32Array =
            numbers.map(|number| (number != NONE).then_some(number)).collect();
        Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(numbers, words)?))
    }
}
