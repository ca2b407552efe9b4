//! Why an object has no canonical form, and where in it that is: told whole, or up to what is masked.

use super::short;
use crate::engine::Masking;

/// Why an object has no canonical form, and where in it that is.
#[derive(Debug)]
pub(in crate::python) struct Unfit {
    /// From the outermost in; kept in reverse while it is on its way out.
    steps: Vec<Step>,
    why: String,
}

#[derive(Debug)]
pub(super) enum Step {
    Key(String),
    Item(usize),
}

impl<T: Into<String>> From<T> for Unfit {
    fn from(why: T) -> Self {
        Self { steps: Vec::new(), why: why.into() }
    }
}

impl Unfit {
    /// The same, seen from what holds it.
    pub(super) fn within(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// In words.
    pub(in crate::python) fn told(&self) -> String {
        self.place(self.steps.len())
            .map_or_else(|| self.why.clone(), |place| format!("at {place}: {}", self.why))
    }

    /// In words that show nothing of what lies in a masked argument or field.
    pub(in crate::python) fn told_of(&self, name: &str, masking: &Masking) -> String {
        let keys = self.steps.iter().rev().filter_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Item(_) => None,
        });
        let Some(keys) = masking.shows(name, keys) else { return self.told() };
        const WHY: &str = "it, or something in it, has no canonical form (masked)";
        let mut left = keys;
        let shown = self.steps.iter().rev().take_while(|step| {
            let goes_on = left > 0;
            left = left.saturating_sub(usize::from(matches!(step, Step::Key(_))));
            goes_on
        });
        let count = shown.count();
        self.place(count).map_or_else(|| WHY.to_owned(), |place| format!("at {place}: {WHY}"))
    }

    fn place(&self, steps: usize) -> Option<String> {
        let told = self.steps.iter().rev().take(steps).map(|step| match step {
            Step::Key(key) => format!(".{}", short(key)),
            Step::Item(place) => format!("[{place}]"),
        });
        (steps > 0).then(|| told.collect())
    }
}
