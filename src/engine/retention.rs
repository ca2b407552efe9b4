//! Retention by schedule: values that are older than their kind is to be kept are dropped in the
//! course of housekeeping, as `expire` drops them: recorded, and for good.
//!
//! Ages count from the newest durable entry, by whole days (UTC): a trail in which nothing happens
//! loses nothing, and the store is rewritten once a day at most. Nothing is dropped while the clock
//! is behind that entry: then one of the two is wrong.

use std::collections::BTreeMap;

use super::erase::{ERASABLE, Erase, LEAST_AGE};
use super::query::Order;
use super::read::Filter;
use super::walk::Walk;
use super::{Engine, EngineError, shown};
use crate::clock::Reading;
use crate::principal::EntryId;
use crate::recorder::Head;

const DAY: i64 = 86_400 * 1_000_000;

/// Refuses a schedule for kinds that have none, or of ages below 180 days.
pub(super) fn check(schedule: &[(String, i64)]) -> Result<(), EngineError> {
    for (kind, age) in schedule {
        if !ERASABLE.contains(&kind.as_str()) {
            return Err(EngineError::Invalid(format!(
                "values of kind `{}` are not dropped by age; choose of {}",
                shown(kind, 40),
                ERASABLE.join(", ")
            )));
        }
        if *age < LEAST_AGE {
            return Err(EngineError::Invalid(format!(
                "values are kept for 180 days at least, those of kind `{kind}` too"
            )));
        }
    }
    Ok(())
}

impl Engine {
    /// Drops the values that the schedule given at the opening does not keep any more; answers the
    /// erasures' entries, none if nothing was due. Housekeeping does it by itself; this is for who
    /// cannot wait.
    ///
    /// # Errors
    /// As [`Engine::erase`].
    pub fn retain(&self) -> Result<Vec<EntryId>, EngineError> {
        self.check()?;
        let schedule = self.retention.lock();
        if schedule.is_empty() {
            return Ok(Vec::new());
        }
        if let Reading::Behind { now, mark } = self.clock.read() {
            tracing::warn!(
                now,
                mark,
                "the clock is behind the newest entry: no values are dropped"
            );
            return Ok(Vec::new());
        }
        let newest = Head::load(&*self.store)?.at;
        let mut due: BTreeMap<i64, Vec<String>> = BTreeMap::new();
        for (kind, age) in &*schedule {
            let before = newest.saturating_sub(*age).div_euclid(DAY).saturating_mul(DAY);
            let since = self.kept_since(kind)?;
            if since < before && self.has_any(kind, since, before)? {
                due.entry(before).or_default().push(kind.clone());
            }
        }
        let mut done = Vec::new();
        for (before, kinds) in due {
            let reason = "kept for as long as the schedule of retention says";
            done.push(self.erase(&Erase::Older(kinds, before), reason, None)?);
        }
        Ok(done)
    }

    fn has_any(&self, kind: &str, since: i64, until: i64) -> Result<bool, EngineError> {
        let filter = Filter {
            kind: Some(kind.to_owned()),
            since: Some(since),
            until: Some(until),
            ..Filter::default()
        };
        let mut walk = Walk::new(self.query(&filter, None, None)?, Order::Oldest);
        while let Some(places) = walk.next_some(&self.library)? {
            if !places.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
