//! How far the recorder is, and being told of it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Head, LOOK, Recorder, Waiter};

impl Recorder {
    /// Whether all entries below `upto` are durable.
    #[must_use]
    #[inline]
    pub fn is_durable(&self, upto: u64) -> bool {
        self.durable.load(Ordering::Acquire) >= upto
    }

    /// How many entries are durable. Where another process holds the store, as many as it says.
    #[must_use]
    pub fn durable(&self) -> u64 {
        let known = self.durable.load(Ordering::Acquire);
        if self.elsewhere.is_none() {
            return known;
        }
        // What cannot be asked now is not more than it was.
        Head::load(&*self.store).map_or(known, |head| head.frontier.size().max(known))
    }

    /// Waits until more than `count` entries are durable, but no longer than `patience`; answers
    /// how many are. Nothing is written for it.
    #[must_use]
    pub fn wait_beyond(&self, count: u64, patience: Duration) -> u64 {
        let mut writing = self.writing.lock();
        let durable = self.durable();
        if durable > count || self.check_health().is_err() {
            return durable;
        }
        // Nobody tells of what another process writes.
        let patience = if self.elsewhere.is_some() { patience.min(LOOK) } else { patience };
        self.written.wait_for(&mut writing, patience);
        drop(writing);
        self.durable()
    }

    /// Calls `waiter` when all entries below `upto` are durable, or cannot become so.
    pub fn notify(&self, upto: u64, waiter: Waiter) {
        let mut sequencer = self.sequencer.lock();
        if self.durable.load(Ordering::Acquire) >= upto {
            drop(sequencer);
            waiter(Ok(()));
            return;
        }
        if let Err(error) = self.check_health() {
            drop(sequencer);
            waiter(Err(error));
            return;
        }
        sequencer.waiters.push((upto, waiter));
        drop(sequencer);
        self.wake.notify_one();
    }

    /// How many entries are durable, and how many were sequenced.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        let next = self.sequencer.lock().next;
        (self.durable.load(Ordering::Acquire), next)
    }

    /// Waits until more than `size` entries are durable, or the time is over; answers how many
    /// are. It makes nobody write sooner.
    #[must_use]
    pub fn await_beyond(&self, size: u64, most: Duration) -> u64 {
        let mut writing = self.writing.lock();
        let still = |_: &mut bool| self.durable.load(Ordering::Acquire) <= size;
        self.written.wait_while_for(&mut writing, still, most);
        self.durable.load(Ordering::Acquire)
    }

    /// How many entries were appended here that tell of something else than calls: while it stays,
    /// so does all that is known of humans, agents, grants and approvals.
    #[must_use]
    #[inline]
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    pub(super) fn tell_waiters(&self) {
        let durable = self.durable.load(Ordering::Acquire);
        let health = self.check_health();
        let mut sequencer = self.sequencer.lock();
        if sequencer.waiters.is_empty() {
            return;
        }
        let waiting = std::mem::take(&mut sequencer.waiters);
        let (ready, waiting): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|(upto, _)| *upto <= durable || health.is_err());
        sequencer.waiters = waiting;
        drop(sequencer);
        for (upto, waiter) in ready {
            waiter(if upto <= durable { Ok(()) } else { health.clone() });
        }
    }
}
