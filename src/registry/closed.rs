//! Approvals that nothing waits for any more. Each is kept for 30 days after all that came of it has
//! ended; from then on the trail alone tells of it.

use super::records::{each, parse};
use super::{Approval, Put, RegistryError};
use crate::clock::MICROS;
use crate::principal::ApprovalId;
use crate::store::{Store, StoreError};

/// Their records.
const CLOSED: &[u8] = b"ac/";
/// When all that came of each has ended.
const ENDS: &[u8] = b"ae/";
/// How long a record is kept after that, in microseconds.
const KEPT: i64 = 30 * 24 * 3_600 * MICROS;

/// The key of one.
pub(super) fn closed_key(id: &ApprovalId) -> Vec<u8> {
    [CLOSED, id.as_bytes().as_slice()].concat()
}

/// The record of an approval that is closed, and the mark by which it is found when it is old.
pub(super) fn puts(id: &ApprovalId, record: Vec<u8>, until: i64) -> [Put; 2] {
    // Big-endian, so that those that end first come first; nothing ends before 1970.
    let mark = [ENDS, &until.max(0).to_be_bytes(), id.as_bytes()].concat();
    [Put::Set(closed_key(id), record), Put::Set(mark, Vec::new())]
}

/// An approval that is not open any more; `None` where there is none, or it was dropped since.
///
/// # Errors
/// The store's, or a record that cannot be read.
pub fn closed_approval(
    store: &dyn Store,
    id: &ApprovalId,
) -> Result<Option<Approval>, RegistryError> {
    store.get(&closed_key(id))?.map(|bytes| parse(&bytes)).transpose()
}

/// All approvals that are not open any more and were not dropped, oldest first.
///
/// # Errors
/// The store's, or a record that cannot be read.
pub fn closed_approvals(store: &dyn Store) -> Result<Vec<Approval>, RegistryError> {
    let mut all: Vec<Approval> = Vec::new();
    each(store, CLOSED, |_, value| {
        all.push(parse(value)?);
        Ok(())
    })?;
    all.sort_by_key(|approval| (approval.asked_at, approval.id));
    Ok(all)
}

/// The keys to drop for the approvals that are old at a time, at most so many: for each its mark
/// and its record.
///
/// # Errors
/// The store's; a mark that cannot be read is left where it is.
pub fn old_approvals(
    store: &dyn Store,
    at: i64,
    most: usize,
) -> Result<Vec<[Vec<u8>; 2]>, StoreError> {
    let before = at.saturating_sub(KEPT);
    let mut found = Vec::new();
    store.scan(ENDS, None, &mut |key, _| {
        let rest = key.get(ENDS.len()..).and_then(|rest| rest.split_first_chunk::<8>());
        let Some((until, id)) = rest else { return true };
        if i64::from_be_bytes(*until) > before {
            return false;
        }
        if let Ok(id) = id.try_into() {
            found.push([key.to_vec(), closed_key(&ApprovalId::from_bytes(id))]);
        }
        found.len() < most
    })?;
    Ok(found)
}
