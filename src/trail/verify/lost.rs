//! Blocks of a live trail that cannot be read, and values that do not open: each is a fault with
//! its place, and the verification goes on behind it.

use super::{Code, Place, Verifier};

/// What could not be read so far.
#[derive(Default)]
pub(super) struct Lost {
    /// The index of the first entry that could not be read.
    first: Option<u64>,
    entries: u64,
    /// How many checkpoints could not be compared for want of them.
    pub(super) uncompared: u64,
    /// The entries of the block before the verifier whose values do not open, ascending.
    closed: Vec<u64>,
}

impl Lost {
    /// Whether values of an entry are known not to open.
    pub(super) fn is_closed(&self, index: u64) -> bool {
        self.closed.binary_search(&index).is_ok()
    }

    /// Whether a tree of so many entries has such that could not be read.
    pub(super) fn covers(&self, size: u64) -> bool {
        self.first.is_some_and(|first| first < size)
    }

    /// Whether a fault may be owed to what could not be read: it says that something is not there.
    pub(super) fn explains(&self, code: Code) -> bool {
        self.first.is_some()
            && matches!(
                code,
                Code::OutcomeWithoutDecision
                    | Code::DecisionChain
                    | Code::DecisionAuthority
                    | Code::DecisionApproval
                    | Code::CitedMissing
                    | Code::ValueMissing
            )
    }
}

impl Verifier {
    /// Says that the entries from `first` to `last` are not there: `why`, where a block stands there
    /// and cannot be read. The next leaf is that after `last`.
    pub fn lose(&mut self, first: u64, last: u64, why: Option<&str>) {
        let place = Place { index: Some(first), through: Some(last), ..Place::default() };
        for index in first..=last {
            self.sequence(index, &place);
            self.leaves.push([0; 32]);
            self.lost.entries += 1;
        }
        self.lost.first.get_or_insert(first);
        let entries = (last - first).saturating_add(1);
        match why {
            Some(why) => {
                let what = "the block of these entries cannot be read";
                let expected = format!("a block of {entries} entries");
                self.differ(Code::BlockUnreadable, place, what, &expected, why);
            }
            None => {
                let what = format!("{entries} entries are missing: no block holds them");
                self.fault(Code::MissingEntries, place, &what);
            }
        }
    }

    /// Begins the next block.
    pub fn begin_block(&mut self) {
        self.lost.closed.clear();
    }

    /// Says that values beside these entries of the next leaves, ascending, do not open.
    pub fn close_values(&mut self, entries: &[u64], error: &str) {
        let place = Place {
            index: entries.first().copied(),
            through: entries.last().copied(),
            ..Place::default()
        };
        let count = entries.len();
        let what = format!(
            "values beside these entries do not open; the leaves are compared with the tree all \
             the same ({count} of them may have such values)"
        );
        let expected = "values that open and are as committed";
        self.differ(Code::ValuesClosed, place, &what, expected, error);
        self.lost.closed.extend(entries);
        self.lost.closed.sort_unstable();
    }

    /// Says from where on the tree is not proved.
    pub(super) fn unproved(&mut self) {
        let Some(first) = self.lost.first else { return };
        let agreed = self.report.newest_checkpoint_size;
        let last = (self.leaves.len() as u64).saturating_sub(1);
        let place = Place { index: Some(agreed), through: Some(last), ..Place::default() };
        let what = format!(
            "the tree is proved by a checkpoint up to {agreed} entries and not beyond: {} entries \
             from {first} on cannot be read. Those behind were read one by one; what they say of \
             earlier ones was not judged",
            self.lost.entries
        );
        let expected = format!("{} checkpoints that state this tree", self.lost.uncompared);
        self.differ(Code::TreeUnproved, place, &what, &expected, "none that can be compared");
    }
}
