//! What the core has to say, for Python's `logging`.
//!
//! Whoever says something may hold a lock, or not hold the interpreter: it is queued, and a thread
//! of its own hands it on. While nobody listens at a level, an event costs one comparison.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use pyo3::prelude::*;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

use super::convert::Whole;
use crate::clock::{Clock, Source};

/// How many messages may wait; what comes then is counted and dropped.
const ROOM: usize = 4096;
/// The longest message, in characters.
const LONGEST: usize = 2000;
/// How long the end of the process waits for the last messages.
const PATIENCE: Duration = Duration::from_secs(2);

/// Python's level numbers, divided by ten: messages at this and above are wanted. 6 is none.
static WANTED: AtomicU8 = AtomicU8::new(NONE);
const NONE: u8 = 6;

static BRIDGE: OnceLock<Bridge> = OnceLock::new();

struct Bridge {
    process: u32,
    clock: Clock,
    queue: Mutex<Queue>,
    /// Something is to be handed on.
    filled: Condvar,
    /// Everything was.
    emptied: Condvar,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Message>,
    /// Whether a batch is being handed on.
    busy: bool,
    ended: bool,
}

/// Level, when in seconds since 1970, the thread's name, the place in the code, the text, and the
/// fields by name.
type Message = (u8, f64, String, &'static str, String, Vec<(&'static str, String)>);

/// Hands what the core says on to `emit`, which is called with a list of messages at a time, from
/// a thread of the binary's. Once is enough; later calls do nothing.
#[pyfunction]
pub(super) fn log_to(py: Python<'_>, emit: Py<PyAny>) {
    let bridge = Bridge {
        process: std::process::id(),
        clock: Clock::new(Source::System, 0),
        queue: Mutex::default(),
        filled: Condvar::new(),
        emptied: Condvar::new(),
        dropped: AtomicU64::new(0),
    };
    if BRIDGE.set(bridge).is_err() {
        return;
    }
    py.detach(|| {
        // One that a program of Rust has set before stays.
        if tracing::subscriber::set_global_default(Bridged).is_err() {
            return;
        }
        let started = std::thread::Builder::new()
            .name("answerable-log".to_owned())
            .spawn(move || hand_on(&emit));
        if started.is_err() {
            WANTED.store(NONE, Ordering::Release);
        }
    });
}

/// From which of Python's levels on somebody listens, 0 to 60.
#[pyfunction]
pub(super) fn log_level(level: Whole<0, 60>) {
    let wanted = level.get::<u8>().div_ceil(10).min(NONE);
    WANTED.store(wanted, Ordering::Release);
    tracing::callsite::rebuild_interest_cache();
}

/// Waits until everything said so far was handed on; where `end`, nothing is taken up after it.
#[pyfunction]
#[pyo3(signature = (*, end=false))]
pub(super) fn log_flush(py: Python<'_>, end: bool) {
    py.detach(|| {
        let Some(bridge) = Bridge::here() else { return };
        let mut queue = bridge.queue.lock();
        while queue.busy || !queue.waiting.is_empty() {
            if bridge.emptied.wait_for(&mut queue, PATIENCE).timed_out() {
                break;
            }
        }
        queue.ended |= end;
        drop(queue);
        bridge.filled.notify_all();
    });
}

impl Bridge {
    /// The bridge, in the process that made it: a forked child has no thread that hands on, and a
    /// lock that was held at the fork is never released there.
    fn here() -> Option<&'static Self> {
        BRIDGE.get().filter(|bridge| bridge.process == std::process::id())
    }
}

fn hand_on(emit: &Py<PyAny>) {
    let Some(bridge) = Bridge::here() else { return };
    loop {
        let mut queue = bridge.queue.lock();
        queue.busy = false;
        while queue.waiting.is_empty() {
            bridge.emptied.notify_all();
            if queue.ended {
                return;
            }
            bridge.filled.wait(&mut queue);
        }
        queue.busy = true;
        let batch: Vec<Message> = queue.waiting.drain(..).collect();
        drop(queue);
        let dropped = bridge.dropped.swap(0, Ordering::AcqRel);
        let handed = Python::try_attach(|py| {
            if let Err(error) = emit.call1(py, (batch, dropped)) {
                error.write_unraisable(py, None);
            }
        });
        if handed.is_none() {
            // The interpreter ends.
            let mut queue = bridge.queue.lock();
            queue.ended = true;
            queue.busy = false;
            bridge.emptied.notify_all();
            return;
        }
    }
}

/// The subscriber of our own events; spans there are none.
struct Bridged;

impl Subscriber for Bridged {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let ours = metadata.target().split("::").next() == Some("answerable");
        ours && number(*metadata.level()) >= WANTED.load(Ordering::Acquire)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match WANTED.load(Ordering::Acquire) {
            0..=1 => LevelFilter::DEBUG,
            2 => LevelFilter::INFO,
            3 => LevelFilter::WARN,
            4 => LevelFilter::ERROR,
            _ => LevelFilter::OFF,
        })
    }

    fn event(&self, event: &Event<'_>) {
        let Some(bridge) = Bridge::here() else { return };
        let mut said = Said::default();
        event.record(&mut said);
        let at = bridge.clock.stamp() as f64 / crate::clock::MICROS as f64;
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        let level = number(*event.metadata().level()).saturating_mul(10);
        let mut queue = bridge.queue.lock();
        if queue.ended {
            return;
        }
        if queue.waiting.len() >= ROOM {
            bridge.dropped.fetch_add(1, Ordering::AcqRel);
            return;
        }
        let place = event.metadata().target();
        queue.waiting.push_back((level, at, thread, place, said.text, said.fields));
        drop(queue);
        bridge.filled.notify_one();
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Python's number of a level, divided by ten.
fn number(level: Level) -> u8 {
    match level {
        Level::ERROR => 4,
        Level::WARN => 3,
        Level::INFO => 2,
        _ => 1,
    }
}

/// The text and the fields of an event; foreign text in it is made harmless.
#[derive(Default)]
struct Said {
    text: String,
    fields: Vec<(&'static str, String)>,
}

impl Said {
    fn add(&mut self, field: &Field, value: &str) {
        let value = crate::engine::shown(value, LONGEST);
        if field.name() == "message" {
            self.text.insert_str(0, &value);
        } else {
            // A String takes all that is written to it.
            let _ = write!(self.text, " {}={value}", field.name());
            self.fields.push((field.name(), value));
        }
    }
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, &format!("{value:?}"));
    }
}
