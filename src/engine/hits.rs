//! The answer to a query, found as far as it is looked at.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{EngineError, Library, Order, Query, Walk};

/// The places of the entries that fit a query. Whoever looks at the first or the last of them
/// finds those alone; all are found once, when they are counted.
#[derive(Debug)]
pub struct Hits {
    query: Query,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    all: Option<Arc<Vec<u64>>>,
    front: Vec<u64>,
    back: Vec<u64>,
    from_front: Walk,
    from_back: Walk,
}

impl Hits {
    /// Nothing is looked for yet.
    #[must_use]
    pub fn new(query: Query) -> Self {
        let from_front = Walk::new(query.clone(), Order::Oldest);
        let from_back = Walk::new(query.clone(), Order::Newest);
        let (front, back) = (Vec::new(), Vec::new());
        let state = State { all: None, front, back, from_front, from_back };
        Self { query, state: Mutex::new(state) }
    }

    /// The query.
    #[must_use]
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// All places, ascending.
    ///
    /// # Errors
    /// The store's.
    pub fn all(&self, library: &Library) -> Result<Arc<Vec<u64>>, EngineError> {
        let mut state = self.state.lock();
        if let Some(all) = &state.all {
            return Ok(all.clone());
        }
        let mut all = Vec::new();
        let mut walk = Walk::new(self.query.clone(), Order::Oldest);
        while let Some(some) = walk.next_some(library)? {
            all.extend(some);
        }
        let all = Arc::new(all);
        state.all = Some(all.clone());
        (state.front, state.back) = (Vec::new(), Vec::new());
        Ok(all)
    }

    /// The first so many, ascending; fewer if there are no more.
    ///
    /// # Errors
    /// The store's.
    pub fn oldest(&self, library: &Library, count: usize) -> Result<Vec<u64>, EngineError> {
        let mut state = self.state.lock();
        if let Some(all) = &state.all {
            return Ok(all.get(..count.min(all.len())).unwrap_or_default().to_vec());
        }
        while state.front.len() < count {
            let Some(some) = state.from_front.next_some(library)? else { break };
            state.front.extend(some);
        }
        Ok(state.front.get(..count.min(state.front.len())).unwrap_or_default().to_vec())
    }

    /// The last so many, ascending; fewer if there are no more.
    ///
    /// # Errors
    /// The store's.
    pub fn newest(&self, library: &Library, count: usize) -> Result<Vec<u64>, EngineError> {
        let mut state = self.state.lock();
        if let Some(all) = &state.all {
            return Ok(all.get(all.len().saturating_sub(count)..).unwrap_or_default().to_vec());
        }
        while state.back.len() < count {
            // What is found last lies before what was found so far.
            let Some(mut some) = state.from_back.next_some(library)? else { break };
            some.append(&mut state.back);
            state.back = some;
        }
        let from = state.back.len().saturating_sub(count);
        Ok(state.back.get(from..).unwrap_or_default().to_vec())
    }
}
