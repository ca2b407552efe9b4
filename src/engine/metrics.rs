//! What is counted while the engine runs: nothing on a call's way but atomic additions.
//!
//! Counters begin at zero with the process. Names of tools and codes are bounded in number: what
//! finds no room is counted as `other`.

use std::fmt::Write as _;
use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Engine, EngineError, Judged, Outcome};
use crate::clock::Stopwatch;
use crate::decision::Effect;
use crate::principal::Status;
use crate::registry::Stage;

/// How many tools are told apart.
const TOOLS: usize = 256;
/// What counts for names that are no tool's.
const INVALID: &str = "(invalid)";
/// How many codes are told apart.
const CODES: usize = 128;
/// How many places of a table are looked at for a name.
const PROBES: usize = 8;
/// One of so many decisions is timed.
const SAMPLED: u64 = 16;
/// Upper bounds of the decisions' histogram, in microseconds.
const DECISIONS: [u64; 12] = [2, 5, 10, 25, 50, 100, 250, 1_000, 5_000, 25_000, 100_000, 1_000_000];
/// Upper bounds of the calls' histogram, in microseconds.
const CALLS: [u64; 12] = [
    100,
    1_000,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    1_000_000,
    5_000_000,
    30_000_000,
    300_000_000,
];

/// What is counted.
pub(super) struct Metrics {
    effects: [AtomicU64; 3],
    codes: Table<CODES, 1>,
    tools: Table<TOOLS, 3>,
    unrecorded: AtomicU64,
    returned: AtomicU64,
    raised: AtomicU64,
    decisions: Histogram<12>,
    calls: Histogram<12>,
}

/// Counters by name, without a lock.
struct Table<const N: usize, const K: usize> {
    hasher: RandomState,
    slots: Box<[Slot<K>]>,
    other: [AtomicU64; K],
}

struct Slot<const K: usize> {
    name: OnceLock<Box<str>>,
    counts: [AtomicU64; K],
}

struct Histogram<const N: usize> {
    bounds: [u64; N],
    /// One more than there are bounds: what lies above them all.
    buckets: Vec<AtomicU64>,
    sum: AtomicU64,
}

/// One value of a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The metric's name, without what Prometheus adds for a histogram's parts.
    pub name: &'static str,
    /// What it tells.
    pub help: &'static str,
    /// How it is read.
    pub kind: SampleKind,
    /// Labels, by name.
    pub labels: Vec<(&'static str, String)>,
    /// The value; of a histogram its count.
    pub value: f64,
    /// Of a histogram: the sum, and for each upper bound in seconds how many were not above it.
    pub histogram: Option<(f64, Vec<(f64, u64)>)>,
}

/// How a metric is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SampleKind {
    /// It only grows, until the process ends.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Durations by their size.
    Histogram,
}

impl SampleKind {
    /// The word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl<const N: usize, const K: usize> Table<N, K> {
    fn new() -> Self {
        let slot = || Slot { name: OnceLock::new(), counts: std::array::from_fn(|_| 0.into()) };
        Self {
            hasher: RandomState::new(),
            slots: (0..N).map(|_| slot()).collect(),
            other: std::array::from_fn(|_| 0.into()),
        }
    }

    fn add(&self, name: &str, which: usize) {
        let counts = self.find(name).unwrap_or(&self.other);
        if let Some(count) = counts.get(which) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn find(&self, name: &str) -> Option<&[AtomicU64; K]> {
        let start = usize::try_from(self.hasher.hash_one(name) % (N as u64)).unwrap_or(0);
        (0..PROBES).find_map(|probe| {
            let slot = self.slots.get((start + probe) % N)?;
            let held = slot.name.get_or_init(|| name.into());
            (**held == *name).then_some(&slot.counts)
        })
    }

    /// All names with a count, `other` last.
    fn each(&self, mut told: impl FnMut(&str, usize, u64)) {
        let named = self.slots.iter().filter_map(|slot| Some((&**slot.name.get()?, &slot.counts)));
        let mut named: Vec<_> = named.collect();
        named.sort_by_key(|(name, _)| *name);
        for (name, counts) in named.into_iter().chain([("other", &self.other)]) {
            for (which, count) in counts.iter().enumerate() {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    told(name, which, count);
                }
            }
        }
    }
}

impl<const N: usize> Histogram<N> {
    fn new(bounds: [u64; N]) -> Self {
        let buckets = (0..=N).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, buckets, sum: AtomicU64::new(0) }
    }

    fn add(&self, micros: i64) {
        let micros = u64::try_from(micros).unwrap_or(0);
        let place = self.bounds.iter().position(|bound| micros <= *bound).unwrap_or(N);
        if let Some(bucket) = self.buckets.get(place) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(micros, Ordering::Relaxed);
    }

    #[allow(clippy::cast_precision_loss)] // Seconds as Prometheus has them.
    fn sample(&self, name: &'static str, help: &'static str) -> Sample {
        let mut below = 0;
        let mut bounds = Vec::with_capacity(N);
        for (bound, bucket) in self.bounds.iter().zip(&self.buckets) {
            below += bucket.load(Ordering::Relaxed);
            bounds.push((*bound as f64 / 1e6, below));
        }
        let above = self.buckets.last().map_or(0, |bucket| bucket.load(Ordering::Relaxed));
        let sum = self.sum.load(Ordering::Relaxed) as f64 / 1e6;
        let kind = SampleKind::Histogram;
        let value = (below + above) as f64;
        Sample { name, help, kind, labels: Vec::new(), value, histogram: Some((sum, bounds)) }
    }
}

impl Metrics {
    pub(super) fn new() -> Self {
        let tools = Table::new();
        // It keeps its place, however many names come first.
        let _ = tools.find(INVALID);
        Self {
            effects: std::array::from_fn(|_| 0.into()),
            codes: Table::new(),
            tools,
            unrecorded: 0.into(),
            returned: 0.into(),
            raised: 0.into(),
            decisions: Histogram::new(DECISIONS),
            calls: Histogram::new(CALLS),
        }
    }

    /// Before a decision: every so many are timed.
    pub(super) fn begin(&self) -> Option<Stopwatch> {
        let seen: u64 = self.effects.iter().map(|count| count.load(Ordering::Relaxed)).sum();
        seen.is_multiple_of(SAMPLED).then(Stopwatch::start)
    }

    /// After a decision; `tool` is absent where the name is none.
    pub(super) fn decided(&self, watch: Option<Stopwatch>, tool: Option<&str>, judged: &Judged) {
        let effect = place(judged.decision.effect);
        if let Some(count) = self.effects.get(effect) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.tools.add(tool.unwrap_or(INVALID), effect);
        if let Some(first) = judged.decision.reasons.first() {
            self.codes.add(&first.code, 0);
        }
        if judged.entry.is_none() {
            self.unrecorded.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(watch) = watch {
            self.decisions.add(watch.micros());
        }
    }

    /// After a call.
    pub(super) fn ended(&self, duration_us: i64, outcome: &Outcome) {
        let count = match outcome {
            Outcome::Returned(_) => &self.returned,
            Outcome::Raised(..) => &self.raised,
        };
        count.fetch_add(1, Ordering::Relaxed);
        self.calls.add(duration_us);
    }
}

fn place(effect: Effect) -> usize {
    match effect {
        Effect::Allow => 0,
        Effect::Deny => 1,
        Effect::Ask => 2,
    }
}

const EFFECTS: [&str; 3] = ["allow", "deny", "ask"];

impl Engine {
    /// What is counted since the engine was opened, and how things stand now.
    ///
    /// # Errors
    /// `Forked` in a forked child.
    #[allow(clippy::cast_precision_loss)] // Counts as Prometheus has them.
    pub fn metrics(&self) -> Result<Vec<Sample>, EngineError> {
        self.here()?;
        let mut all = Vec::new();
        let mut add = |name, help, kind, labels: &[(&'static str, &str)], value: u64| {
            let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
            let value = value as f64;
            all.push(Sample { name, help, kind, labels, value, histogram: None });
        };
        let counter = SampleKind::Counter;
        let metrics = &self.metrics;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        for (effect, count) in EFFECTS.iter().zip(&metrics.effects) {
            let help = "Decisions by effect.";
            add("answerable_decisions_total", help, counter, &[("effect", effect)], read(count));
        }
        metrics.codes.each(|code, _, count| {
            let help = "Decisions that did not allow, by the code that decided.";
            add("answerable_refusals_total", help, counter, &[("code", code)], count);
        });
        metrics.tools.each(|tool, effect, count| {
            let effect = EFFECTS.get(effect).copied().unwrap_or_default();
            let labels = [("tool", tool), ("effect", effect)];
            let help = "Decisions by tool and effect; tools beyond a bound are `other`.";
            add("answerable_tool_decisions_total", help, counter, &labels, count);
        });
        let help = "Decisions that could not be recorded; each was a deny.";
        add("answerable_unrecorded_total", help, counter, &[], read(&metrics.unrecorded));
        for (result, count) in self.shadow.iter().flat_map(|shadow| shadow.results()) {
            let help = "Judgements taken for the shadow check of policies, by how it ended.";
            add("answerable_policy_shadow_total", help, counter, &[("result", result)], count);
        }
        let help = "Allowed calls by how they ended.";
        for (status, count) in [("returned", &metrics.returned), ("raised", &metrics.raised)] {
            add("answerable_outcomes_total", help, counter, &[("status", status)], read(count));
        }
        let gauge = SampleKind::Gauge;
        let now = self.clock.stamp();
        let (stages, statuses, halts) = {
            let state = self.state.read();
            let open = state.approvals();
            let count = |stage| open.iter().filter(|o| o.approval.stage_at(now) == stage).count();
            let stages = [Stage::Pending, Stage::Approved].map(|stage| (stage, count(stage)));
            let count = |status| state.count_agents(status);
            let statuses = [Status::Active, Status::Suspended, Status::Retired];
            (stages, statuses.map(|status| (status, count(status))), state.halts().len())
        };
        for (stage, count) in stages {
            let help = "Approvals that are open, by where they stand.";
            let labels = [("status", stage.word())];
            add("answerable_approvals", help, gauge, &labels, count as u64);
        }
        for (status, count) in statuses {
            let labels = [("status", status.word())];
            add("answerable_agents", "Agents by status.", gauge, &labels, count as u64);
        }
        add("answerable_halts", "Halts in force.", gauge, &[], halts as u64);
        let (durable, next) = self.recorder.progress();
        add("answerable_trail_entries", "Entries on disk.", gauge, &[], durable);
        let help = "Entries on their way to the disk.";
        add("answerable_trail_queued", help, gauge, &[], next.saturating_sub(durable));
        let help = "Whether the store records; nothing is allowed where it does not.";
        add("answerable_store_healthy", help, gauge, &[], u64::from(self.check().is_ok()));
        let help = "Time from a call to its decision, of one decision in 16.";
        all.push(metrics.decisions.sample("answerable_decision_seconds", help));
        let help = "How long allowed calls ran.";
        all.push(metrics.calls.sample("answerable_call_seconds", help));
        Ok(all)
    }
}

/// Samples in the text format that Prometheus reads (version 0.0.4).
#[must_use]
pub fn prometheus(samples: &[Sample]) -> String {
    let mut text = String::new();
    let mut last = "";
    for sample in samples {
        let name = sample.name;
        if name != last {
            let _ = writeln!(text, "# HELP {name} {}", sample.help);
            let _ = writeln!(text, "# TYPE {name} {}", sample.kind.word());
            last = name;
        }
        let Some((sum, buckets)) = &sample.histogram else {
            let labels = sample.labels.iter().map(|(name, value)| {
                let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
                format!("{name}=\"{value}\"")
            });
            let labels = labels.collect::<Vec<_>>().join(",");
            let labels = if labels.is_empty() { labels } else { format!("{{{labels}}}") };
            let _ = writeln!(text, "{name}{labels} {}", sample.value);
            continue;
        };
        for (bound, count) in buckets {
            let _ = writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {count}");
        }
        let _ = writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {}", sample.value);
        let _ = writeln!(text, "{name}_sum {sum}");
        let _ = writeln!(text, "{name}_count {}", sample.value);
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_are_bounded_and_nothing_is_lost() {
        let table = Table::<16, 1>::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1_000).for_each(|n| table.add(&format!("tool{}", n % 100), 0)));
            }
        });
        let (mut names, mut sum) = (0, 0);
        table.each(|_, _, count| {
            names += 1;
            sum += count;
        });
        assert_eq!(sum, 4_000);
        assert!((2..=17).contains(&names), "{names}");
    }

    #[test]
    fn a_histogram_counts_each_once_and_up_to_its_bound() {
        let histogram = Histogram::new([10, 100]);
        [0, 10, 11, 100, 101, -5].into_iter().for_each(|micros| histogram.add(micros));
        let sample = histogram.sample("x", "y");
        assert_eq!(sample.histogram, Some((222e-6, vec![(1e-5, 3), (1e-4, 5)])));
        assert!((sample.value - 6.0).abs() < f64::EPSILON);
        let text = prometheus(&[sample]);
        assert!(text.contains("x_bucket{le=\"0.0001\"} 5\nx_bucket{le=\"+Inf\"} 6\n"), "{text}");
    }

    #[test]
    fn labels_are_escaped() {
        let sample = Sample {
            name: "n",
            help: "h",
            kind: SampleKind::Counter,
            labels: vec![("tool", "a\"b\\c\nd".to_owned())],
            value: 2.0,
            histogram: None,
        };
        assert!(prometheus(&[sample]).ends_with("n{tool=\"a\\\"b\\\\c\\nd\"} 2\n"));
    }
}
