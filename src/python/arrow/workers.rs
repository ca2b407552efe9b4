//! Threads that make batches ahead of whoever takes them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use arrow_array::RecordBatch;
use parking_lot::Mutex;

use crate::engine::{Engine as Core, EngineError};
use crate::store::StoreError;

/// The most threads that one stream has.
const THREADS: usize = 4;

/// A batch, or why there is none.
pub(super) type Made = Result<RecordBatch, EngineError>;
type Make = dyn Fn(&[u64]) -> Made + Send + Sync;
type Job = (Vec<u64>, Sender<Made>);

/// What was asked for and not taken yet, in the order in which it was asked for.
enum Waiting {
    /// A thread makes it.
    Sent(Receiver<Made>),
    /// Made when it is taken.
    Here(Vec<u64>),
}

/// The threads of one stream; none as long as there is nothing to make side by side.
pub(super) struct Workers {
    core: Arc<Core>,
    make: Arc<Make>,
    waiting: VecDeque<Waiting>,
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
    most: usize,
}

impl Workers {
    pub(super) fn new(core: Arc<Core>, make: Arc<Make>) -> Self {
        let most = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS);
        let (waiting, threads) = (VecDeque::new(), Vec::new());
        Self { core, make, waiting, jobs: None, threads, most }
    }

    /// Whether more should be asked for: one more than there are threads, so that none rests while
    /// a batch is taken.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() <= self.most
    }

    /// Asks for the batch of some places; `last` says that none follows.
    pub(super) fn ask(&mut self, places: Vec<u64>, last: bool) {
        // One batch alone is not worth a thread.
        if self.jobs.is_none() && self.most > 1 && !(last && self.waiting.is_empty()) {
            self.start();
        }
        let (send, receive) = channel();
        let waiting = match &self.jobs {
            None => Waiting::Here(places),
            Some(jobs) => match jobs.send((places, send)) {
                Ok(()) => Waiting::Sent(receive),
                Err(back) => Waiting::Here(back.0.0),
            },
        };
        self.waiting.push_back(waiting);
    }

    /// The next batch; `None` if none was asked for.
    pub(super) fn next(&mut self) -> Result<Option<RecordBatch>, EngineError> {
        match self.waiting.pop_front() {
            None => Ok(None),
            Some(Waiting::Here(places)) => (self.make)(&places).map(Some),
            Some(Waiting::Sent(made)) => {
                let what = || "a thread that read entries was lost".to_owned();
                let lost = |_| EngineError::Store(StoreError::Unavailable { what: what() });
                made.recv().map_err(lost)?.map(Some)
            }
        }
    }

    fn start(&mut self) {
        let (send, receive) = channel::<Job>();
        let jobs = Arc::new(Mutex::new(receive));
        for _ in 0..self.most {
            let (jobs, make) = (jobs.clone(), self.make.clone());
            let work = move || {
                loop {
                    let job = jobs.lock().recv();
                    let Ok((places, reply)) = job else { return };
                    // Whoever asked may have hung up.
                    let _ = reply.send(make(&places));
                }
            };
            let thread = std::thread::Builder::new().name("answerable-reader".to_owned());
            match thread.spawn(work) {
                Ok(thread) => self.threads.push(thread),
                Err(_) => break,
            }
        }
        if !self.threads.is_empty() {
            self.jobs = Some(send);
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.jobs = None;
        self.waiting.clear();
        // A forked child has no threads to wait for. Here none outlives the stream: the store may
        // be closed next.
        if self.core.here().is_ok() {
            for thread in self.threads.drain(..) {
                // It panicked, and whoever waited for its batch was told.
                let _ = thread.join();
            }
        }
    }
}
