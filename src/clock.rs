//! Time: the only reader of the clock, with the high-water mark that a rolled-back clock meets.
//!
//! Instants are microseconds since 1970-01-01T00:00:00Z, as `i64`.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{DateTime, SecondsFormat, Utc};

/// How far the clock may fall behind the highest time seen before everything is denied.
pub const MAX_BEHIND_MICROS: i64 = 60 * MICROS;
/// Microseconds in a second.
pub const MICROS: i64 = 1_000_000;

/// Where the time comes from: the machine, or a value that tests set.
#[derive(Debug, Clone, Default)]
pub enum Source {
    /// The machine's clock.
    #[default]
    System,
    /// A value set by hand, in microseconds.
    Fixed(Arc<AtomicI64>),
}

/// A clock that never runs backwards.
#[derive(Debug)]
pub struct Clock {
    source: Source,
    /// The highest time that was handed out or found in the store.
    mark: AtomicI64,
}

/// What the clock says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// A usable time: never below an earlier one.
    Now(i64),
    /// The machine's clock is more than 60 s behind the highest time seen.
    Behind {
        /// The machine's clock.
        now: i64,
        /// The highest time seen.
        mark: i64,
    },
}

impl Clock {
    /// A clock whose high-water mark starts at `mark` (from the store; 0 for a new one).
    #[must_use]
    pub fn new(source: Source, mark: i64) -> Self {
        Self { source, mark: AtomicI64::new(mark) }
    }

    /// Reads the time.
    #[must_use]
    pub fn read(&self) -> Reading {
        let now = match &self.source {
            Source::System => system(),
            Source::Fixed(value) => value.load(Ordering::Acquire),
        };
        let mark = self.mark.fetch_max(now, Ordering::AcqRel).max(now);
        if now < mark.saturating_sub(MAX_BEHIND_MICROS) {
            return Reading::Behind { now, mark };
        }
        Reading::Now(mark)
    }

    /// The highest of the clock and all earlier times, whether usable or not: what entries are
    /// stamped with, so that their times never run backwards.
    #[must_use]
    pub fn stamp(&self) -> i64 {
        match self.read() {
            Reading::Now(now) => now,
            Reading::Behind { mark, .. } => mark,
        }
    }
}

/// The machine's clock.
fn system() -> i64 {
    let micros = |time: std::time::Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => micros(since),
        Err(before) => micros(before.duration()).saturating_neg(),
    }
}

/// Measures how long something takes; unlike [`Clock`], it says nothing about when.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Starts now.
    #[must_use]
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// Microseconds since the start.
    #[must_use]
    pub fn micros(&self) -> i64 {
        i64::try_from(self.0.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}

/// RFC 3339 with exactly six fraction digits and `Z`; `None` outside the years 0 to 9999.
#[must_use]
pub fn render_instant(micros: i64) -> Option<String> {
    let text = DateTime::<Utc>::from_timestamp_micros(micros)?
        .to_rfc3339_opts(SecondsFormat::Micros, true);
    (text.len() == 27).then_some(text)
}

/// RFC 3339 in whole seconds, exactly 20 bytes, rounded down; `None` outside the years 0 to 9999.
#[must_use]
pub fn render_seconds(micros: i64) -> Option<String> {
    let text =
        DateTime::<Utc>::from_timestamp_micros(micros)?.to_rfc3339_opts(SecondsFormat::Secs, true);
    (text.len() == 20).then_some(text)
}

/// Reads any RFC 3339 instant; fractions below a microsecond are dropped.
#[must_use]
pub fn parse_instant(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.timestamp_micros())
}

/// Reads exactly what [`render_seconds`] writes.
#[must_use]
pub fn parse_seconds(text: &str) -> Option<i64> {
    let micros = parse_instant(text)?;
    (render_seconds(micros).as_deref() == Some(text)).then_some(micros)
}

/// A duration such as `30m`, `8h`, `1.5h`, `2d`, `250ms`, or parts such as `1h30m`, in microseconds.
///
/// # Errors
/// What was wrong, in words.
pub fn parse_duration(text: &str) -> Result<i64, String> {
    let wrong = || {
        let shown: String = text.chars().take(40).collect();
        format!(
            "`{shown}` is not a duration; write a number and a unit, such as `30m`, `8h`, `7d`, `250ms`"
        )
    };
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, after) = rest.split_at(digits);
        let unit_end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_end);
        let scale = match unit {
            "us" => 1,
            "ms" => 1_000,
            "s" => MICROS,
            "m" => 60 * MICROS,
            "h" => 3_600 * MICROS,
            "d" => 86_400 * MICROS,
            "w" => 7 * 86_400 * MICROS,
            _ => return Err(wrong()),
        };
        let amount: f64 = number.parse().map_err(|_| wrong())?;
        let micros = amount * scale as f64;
        if !(0.0..9e15).contains(&micros) {
            return Err(wrong());
        }
        total = total.checked_add(micros.round() as i64).ok_or_else(wrong)?;
        rest = next;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_clock_never_runs_backwards_and_says_when_it_was_set_back() {
        let value = Arc::new(AtomicI64::new(1_000 * MICROS));
        let clock = Clock::new(Source::Fixed(value.clone()), 0);
        assert_eq!(clock.read(), Reading::Now(1_000 * MICROS));
        value.store(950 * MICROS, Ordering::Release);
        assert_eq!(clock.read(), Reading::Now(1_000 * MICROS));
        value.store(939 * MICROS, Ordering::Release);
        assert_eq!(clock.read(), Reading::Behind { now: 939 * MICROS, mark: 1_000 * MICROS });
        assert_eq!(clock.stamp(), 1_000 * MICROS);
    }

    #[test]
    fn a_store_from_the_future_is_noticed() {
        let value = Arc::new(AtomicI64::new(1_000 * MICROS));
        let clock = Clock::new(Source::Fixed(value), 2_000 * MICROS);
        assert!(matches!(clock.read(), Reading::Behind { .. }));
    }

    #[test]
    fn durations() {
        assert_eq!(parse_duration("30m"), Ok(1_800 * MICROS));
        assert_eq!(parse_duration("1h30m"), Ok(5_400 * MICROS));
        assert_eq!(parse_duration("1.5h"), Ok(5_400 * MICROS));
        assert_eq!(parse_duration("250ms"), Ok(250_000));
        for text in ["", "m", "30", "30 m", "-3m", "1e9h", "3x", "..s", "99999999999999w"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn seconds_are_exactly_twenty_bytes() {
        assert_eq!(parse_seconds("2026-11-24T01:02:03Z"), Some(1_795_482_123 * MICROS));
        for text in [
            "2026-11-24T01:02:03z",
            "2026-11-24T01:02:03+00:00",
            "2026-11-24T01:02:03.0Z",
            "2026-11-24T01:02:60Z",
        ] {
            assert_eq!(parse_seconds(text), None, "{text}");
        }
    }
}
