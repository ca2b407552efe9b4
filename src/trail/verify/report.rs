//! What a verification found.

use std::collections::BTreeMap;
use std::fmt;

/// The most faults that are kept; all are counted.
pub const MAX_FAULTS: usize = 1_000;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $slug:literal,)*) => {
        /// What kind of fault; programs branch on its slug.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// The stable word for it.
            #[must_use]
            pub fn slug(self) -> &'static str {
                match self {
                    $(Self::$name => $slug,)*
                }
            }
        }
    };
}

codes! {
    /// The first line is not an export's header.
    BadHeader = "bad_header",
    /// A line that cannot be read, or that stands where it may not.
    BadLine = "bad_line",
    /// The header states other numbers than the file holds.
    CountMismatch = "count_mismatch",
    /// The header or the first statement names another authority.
    OtherAuthority = "other_authority",
    /// The header names another origin.
    OtherOrigin = "other_origin",
    /// Entries are missing before this line.
    MissingEntries = "missing_entries",
    /// An entry stands later than its index says.
    OutOfOrder = "out_of_order",
    /// An index that was there already.
    RepeatedIndex = "repeated_index",
    /// The leaf is not the one that its stated hash is of.
    LeafHash = "leaf_hash_mismatch",
    /// The leaf lacks a common key, or one holds what it may not.
    BadLeaf = "bad_leaf",
    /// The leaf is of a newer format than this verifier knows.
    NewerFormat = "newer_format",
    /// An id that an earlier entry has.
    DuplicateId = "duplicate_id",
    /// An entry is older than the one before it.
    TimeBackwards = "time_backwards",
    /// A value is not the one committed to.
    ValueMismatch = "value_mismatch",
    /// A live trail lacks a value that no erasure accounts for.
    ValueMissing = "value_missing",
    /// Values of a live trail do not open; the leaves that commit to them were verified.
    ValuesClosed = "values_closed",
    /// A block of a live trail cannot be read, or is not there.
    BlockUnreadable = "block_unreadable",
    /// Entries that cannot be read stand before the newest checkpoints: nothing shows that those
    /// state this tree.
    TreeUnproved = "tree_unproved",
    /// A value for a field that the leaf does not commit to.
    ValueUncommitted = "value_without_commitment",
    /// The authority's statement is missing, or does not verify.
    BadStatement = "bad_statement",
    /// A checkpoint line is not a checkpoint.
    BadCheckpoint = "bad_checkpoint",
    /// A checkpoint is not signed by the key in force at its size.
    CheckpointSignature = "checkpoint_signature",
    /// Checkpoints do not ascend by size.
    CheckpointOrder = "checkpoint_order",
    /// A checkpoint states another root than the entries have.
    CheckpointRoot = "checkpoint_root_mismatch",
    /// A checkpoint covers more entries than there are.
    CutTail = "cut_tail_or_rolled_back",
    /// A checkpoint given for comparison is not one of this trail.
    SinceUnverified = "since_unverified",
    /// The entries have another root than a checkpoint given for comparison.
    Rewritten = "history_rewritten",
    /// A witness that was asked for cosigned no checkpoint of the trail.
    Unwitnessed = "not_witnessed",
    /// An outcome refers to no earlier decision.
    OutcomeWithoutDecision = "outcome_without_decision",
    /// An outcome of a decision that did not allow.
    OutcomeNotAllowed = "outcome_not_allowed",
    /// A second outcome of one decision.
    SecondOutcome = "second_outcome",
    /// A grant's token does not verify, or is not within the grant above it.
    GrantInvalid = "grant_invalid",
    /// A grant's leaf says something else than its token.
    GrantMismatch = "grant_mismatch",
    /// An allowed call names grants that are not there before it, or that are not its chain.
    DecisionChain = "decision_chain",
    /// A call was allowed after its authority had ended, or before it began.
    DecisionAuthority = "decision_without_authority",
    /// A call was allowed by an approval that was not given to it before, or was used before.
    DecisionApproval = "decision_without_approval",
    /// A call was allowed that a scope of its chain does not cover.
    DecisionScope = "decision_beyond_scope",
    /// A revocation's statement does not verify, or says something else than its entry.
    RevocationInvalid = "revocation_invalid",
    /// A receipt is not of its form.
    BadReceipt = "bad_receipt",
    /// A receipt's proof does not lead from the leaf to the checkpoint.
    NotIncluded = "not_included",
    /// A receipt does not hold what it is about.
    SubjectMissing = "subject_missing",
    /// A file of an archive is missing or not of its form.
    BadArchive = "bad_archive",
    /// A tile of an archive has other hashes than the leaves below it.
    TileMismatch = "tile_mismatch",
    /// A receipt does not hold what one of its decisions cites.
    CitedMissing = "cited_missing",
    /// A receipt's contents are not signed by the key in force at its checkpoint.
    ContentsSignature = "contents_signature",
    /// A receipt holds other entries, or is about something else, than was signed.
    ContentsDiffer = "contents_differ",
}

/// Where a fault is, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// The line of the file, from 1.
    pub line: Option<u64>,
    /// The index of the entry, or of the first of a range.
    pub index: Option<u64>,
    /// The index of the last of a range.
    pub through: Option<u64>,
    /// The entry's id.
    pub entry: Option<String>,
    /// The field of the entry.
    pub field: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        match (self.index, self.through) {
            (Some(first), Some(last)) if first != last => {
                parts.push(format!("entries {first} to {last}"));
            }
            (Some(index), _) => parts.push(format!("entry {index}")),
            _ => {}
        }
        parts.extend(self.entry.clone());
        parts.extend(self.field.as_ref().map(|field| format!("field `{field}`")));
        parts.extend(self.line.map(|line| format!("line {line}")));
        f.write_str(if parts.is_empty() { "the trail" } else { "" })?;
        f.write_str(&parts.join(", "))
    }
}

/// One fault, with both states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What kind.
    pub code: Code,
    /// Where.
    pub place: Place,
    /// What is wrong, in a sentence.
    pub what: String,
    /// What should be there.
    pub expected: Option<String>,
    /// What is there.
    pub found: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: {}", self.code.slug(), self.place, self.what)?;
        if let Some(expected) = &self.expected {
            write!(f, ", expected {expected}")?;
        }
        if let Some(found) = &self.found {
            write!(f, ", found {found}")?;
        }
        Ok(())
    }
}

/// What was verified, and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// How many entries there are.
    pub size: u64,
    /// The root over them.
    pub root: [u8; 32],
    /// The log's name, from the authority given.
    pub origin: String,
    /// How many checkpoints of the trail's own verified.
    pub checkpoints: u64,
    /// How many checkpoints given for comparison agreed.
    pub since_agreed: u64,
    /// How many entries of each kind; beyond a thousand kinds the rest is under the empty text.
    pub kinds: BTreeMap<String, u64>,
    /// The kinds that this verifier does not know.
    pub unknown_kinds: Vec<String>,
    /// The size of the newest checkpoint of the trail's own that verified; 0 without one.
    pub newest_checkpoint_size: u64,
    /// The size of the newest checkpoint that every witness asked for had cosigned by then; 0 if
    /// none was asked for.
    pub witnessed: u64,
    /// How many entries follow that checkpoint.
    pub unanchored: u64,
    /// How many values were disclosed and are those committed to.
    pub disclosed: u64,
    /// How many committed values were not disclosed: withheld or erased.
    pub withheld: u64,
    /// How many grants were verified: signature, narrowing, and what their leaf says of them.
    pub grants_verified: u64,
    /// How many could not be, because their token or one above it is not shown.
    pub grants_unverified: u64,
    /// How many decisions that allowed follow from what they cite.
    pub decisions_followed: u64,
    /// How many that allowed name nothing that could be compared: none of them is an engine's.
    pub not_followed: u64,
    /// How many decisions that allowed have no outcome.
    pub decisions_without_outcome: u64,
    /// How many faults there are; at most [`MAX_FAULTS`] of them are kept.
    pub fault_count: u64,
    /// The faults, in the order in which they were found.
    pub faults: Vec<Fault>,
}

/// Why a trail was not verified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The file could not be read.
    #[error("the trail could not be read: {0}")]
    Read(#[from] std::io::Error),
    /// It has faults.
    #[error("the trail has {} faults{}", .0.fault_count, first(.0))]
    Corrupted(Box<Report>),
}

fn first(report: &Report) -> String {
    report.faults.first().map(|fault| format!("; the first: {fault}")).unwrap_or_default()
}
