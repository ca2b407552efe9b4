//! Why a grant is refused.

use crate::grant::FORMAT;
use crate::keys::KeyError;
use crate::scope::NotWithin;

/// Why a grant was refused. The code is stable.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GrantError {
    /// Not a token of the accepted form, or a payload with missing, unknown or repeated fields.
    #[error("the grant cannot be read: {0}")]
    Malformed(String),
    /// Over a size or hop budget.
    #[error("the grant is too large: {0}")]
    TooLarge(String),
    /// A format newer than this version reads.
    #[error("the grant has format {0}; this version reads format {FORMAT}: upgrade answerable")]
    NewerFormat(u64),
    /// The signature does not verify under the key that must have signed.
    #[error("the signature does not verify under the key of {0}")]
    Signature(&'static str),
    /// The root grant names an authority that is not trusted here.
    #[error("the root grant was signed by `{0}`, which is no authority trusted here")]
    UnknownAuthority(String),
    /// The holder's key is weak.
    #[error("the holder's key is refused: {0}")]
    HolderKey(KeyError),
    /// The parent's digest is another one.
    #[error("the grant was not made under this parent: it cites another one")]
    ParentMismatch,
    /// Another human than the root's.
    #[error("the grant names another human than its parent")]
    HumanChanged,
    /// Another assurance than the root's.
    #[error("the grant states another assurance of the human than its parent")]
    AssuranceChanged,
    /// Another task than the root's.
    #[error("the grant names another task than its parent")]
    TaskChanged,
    /// Starts before, or ends after, its parent.
    #[error(
        "the grant lasts from {from} to {until}, beyond its parent's {parent_from} to {parent_until}"
    )]
    TimeExtended {
        /// Its start.
        from: String,
        /// Its end.
        until: String,
        /// The parent's start.
        parent_from: String,
        /// The parent's end.
        parent_until: String,
    },
    /// Ends before it starts.
    #[error("the grant ends at {until}, not after its start at {from}")]
    TimeReversed {
        /// Its start.
        from: String,
        /// Its end.
        until: String,
    },
    /// A depth that does not follow its parent's.
    #[error("the grant states depth {depth}, expected {expected}")]
    DepthMismatch {
        /// What it states.
        depth: u8,
        /// What its place in the chain says.
        expected: u8,
    },
    /// Deeper than the chain allows.
    #[error("the parent allows no delegation to depth {depth}: its maximum is {max_depth}")]
    TooDeep {
        /// The depth asked.
        depth: u8,
        /// The parent's maximum.
        max_depth: u8,
    },
    /// A maximum depth above its parent's.
    #[error("the grant raises the maximum depth to {max_depth}, above its parent's {parent}")]
    DepthRaised {
        /// Its own.
        max_depth: u8,
        /// The parent's.
        parent: u8,
    },
    /// A scope beyond its parent's.
    #[error("the scope is not within its parent's: {0}")]
    ScopeWidened(NotWithin),
    /// A limit above its parent's.
    #[error("the limit {limit} is above its parent's {parent}")]
    LimitRaised {
        /// Its own.
        limit: String,
        /// The parent's.
        parent: String,
    },
    /// Too many that were made elsewhere were shown here for the first time.
    #[error(
        "{most} grants below this root grant were first shown here within the hour: delegate fewer and use them longer, or ask for another root grant"
    )]
    TooManyShown {
        /// How many may be.
        most: usize,
    },
    /// A key could not be used.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl GrantError {
    /// The stable slug.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::TooLarge(_) => "too_large",
            Self::NewerFormat(_) => "newer_format",
            Self::Signature(_) => "signature",
            Self::UnknownAuthority(_) => "unknown_authority",
            Self::HolderKey(_) => "holder_key",
            Self::ParentMismatch => "parent_mismatch",
            Self::HumanChanged => "human_changed",
            Self::AssuranceChanged => "assurance_changed",
            Self::TaskChanged => "task_changed",
            Self::TimeExtended { .. } => "time_extended",
            Self::TimeReversed { .. } => "time_reversed",
            Self::DepthMismatch { .. } => "depth_mismatch",
            Self::TooDeep { .. } => "too_deep",
            Self::DepthRaised { .. } => "depth_raised",
            Self::ScopeWidened(_) => "scope_widened",
            Self::LimitRaised { .. } => "limit_raised",
            Self::TooManyShown { .. } => "too_many_shown",
            Self::Key(_) => "key",
        }
    }
}
