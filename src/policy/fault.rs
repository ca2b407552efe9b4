//! Why a set of policies was refused.

use std::fmt;

use miette::Diagnostic;

use super::Source;

/// One reason why a bundle was refused, with its place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadFault {
    /// The name of the source.
    pub source: String,
    /// The line, from 1; 0 where the fault has no place.
    pub line: usize,
    /// The column in characters, from 1; 0 where the fault has no place.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it, where that is known.
    pub suggestion: Option<String>,
}

impl LoadFault {
    pub(super) fn whole(source: &str, message: String) -> Self {
        Self { source: source.to_owned(), line: 0, column: 0, message, suggestion: None }
    }

    pub(super) fn at(source: &Source, offset: usize, message: String) -> Self {
        let (line, column) = place(&source.text, offset);
        Self { source: source.name.clone(), line, column, message, suggestion: None }
    }

    pub(super) fn fix(mut self, suggestion: &str) -> Self {
        self.suggestion = Some(suggestion.to_owned());
        self
    }
}

impl fmt::Display for LoadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(suggestion) = &self.suggestion {
            write!(f, " ({suggestion})")?;
        }
        Ok(())
    }
}

/// Line and column of a byte, both from 1.
pub(super) fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    (line, before.get(start..).unwrap_or_default().chars().count() + 1)
}

/// The faults that an error of Cedar's stands for.
pub(super) fn faults_of(error: &dyn Diagnostic, source: &Source) -> Vec<LoadFault> {
    let mut faults = vec![fault_of(error, source)];
    for more in error.related().into_iter().flatten() {
        faults.push(fault_of(more, source));
    }
    faults
}

pub(super) fn fault_of(error: &dyn Diagnostic, source: &Source) -> LoadFault {
    let offset = error.labels().and_then(|mut labels| labels.next()).map(|label| label.offset());
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        message = format!("{message}: {inner}");
        cause = inner.source();
    }
    // The policy is named by the place already.
    if let Some(rest) = message.strip_prefix("for policy `")
        && let Some((_, rest)) = rest.split_once("`, ")
    {
        message = rest.to_owned();
    }
    let mut fault = match offset {
        Some(offset) => LoadFault::at(source, offset, message),
        None => LoadFault::whole(&source.name, message),
    };
    fault.suggestion = error.help().map(|help| help.to_string());
    fault
}
