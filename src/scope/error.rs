//! Why a scope, or a part of one, cannot be stated.

/// A part of a scope that cannot be stated; found before it can reach a grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// Not a tool pattern.
    #[error("`{text}` is not a tool pattern: {why}")]
    ToolPattern {
        /// What was given, shortened and escaped.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Not a resource pattern.
    #[error("`{text}` is not a resource pattern: {why}")]
    ResourcePattern {
        /// What was given, shortened and escaped.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Not the name of an argument, or of a field of one.
    #[error("`{text}` is not the name of an argument: {why}")]
    Name {
        /// What was given, shortened and escaped.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A caveat that cannot be judged, or that would judge something else than it says.
    #[error("the caveat `{caveat}` is refused: {why}")]
    Caveat {
        /// The word of the caveat.
        caveat: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A limit that cannot be counted.
    #[error("the limit `{limit}` is refused: {why}")]
    Limit {
        /// The word of the limit.
        limit: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A name in `where` that occurs twice.
    #[error("the argument `{text}` is named twice")]
    Twice {
        /// The name, shortened and escaped.
        text: String,
    },
    /// More parts than a scope may have.
    #[error("too many {what}: {count}, at most {most}")]
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        most: usize,
    },
}

impl ScopeError {
    /// The stable slug that programs branch on.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::ToolPattern { .. } => "tool_pattern_malformed",
            Self::ResourcePattern { .. } => "resource_pattern_malformed",
            Self::Name { .. } => "argument_name_malformed",
            Self::Caveat { .. } => "caveat_malformed",
            Self::Limit { .. } => "limit_malformed",
            Self::Twice { .. } => "argument_named_twice",
            Self::TooMany { .. } => "scope_too_large",
        }
    }
}

/// Refuses more than `most`.
pub(super) fn at_most(what: &'static str, count: usize, most: usize) -> Result<(), ScopeError> {
    if count > most { Err(ScopeError::TooMany { what, count, most }) } else { Ok(()) }
}
