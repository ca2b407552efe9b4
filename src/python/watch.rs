//! Watching and rules as Python values: entries as they reach the disk, reviews that go on, and
//! what is done by itself.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::convert::Text;
use super::engine::{Engine, by_of};
use super::entry::{Entry, Row};
use super::people::text_of;
use super::review::{Finding, Review};
use super::{convert, enter, errors};
use crate::engine::{self as core, Engine as Core, EngineError, Reviewing, Sample, Spans, shown};
use crate::principal::RuleId;
use crate::registry::{self, NewRule, RegistryError, Then};

/// Follows the trail as it reaches the disk.
#[pyclass(frozen, module = "answerable._core", name = "Follower")]
pub(super) struct Follower {
    core: Arc<Core>,
    reviewing: Mutex<Reviewing>,
}

#[pymethods]
impl Follower {
    #[new]
    fn new(engine: &Engine) -> Self {
        Self { core: engine.core.clone(), reviewing: Mutex::default() }
    }

    /// How many entries were appended, on the disk or not yet.
    fn size(&self, py: Python<'_>) -> PyResult<u64> {
        enter(py, || self.core.appended())
    }

    /// How many entries are on the disk; waits for more than `size`, at most so many seconds.
    fn wait(&self, py: Python<'_>, size: u64, seconds: f64) -> PyResult<u64> {
        let most = Duration::from_secs_f64(seconds.clamp(0.0, 60.0));
        enter(py, || self.core.await_beyond(size, most))
    }

    /// Entries from a place on, and the place to go on from.
    fn read(
        &self,
        py: Python<'_>,
        place: u64,
        most: usize,
        kinds: Vec<String>,
    ) -> PyResult<(Vec<Entry>, u64)> {
        let (found, next) = enter(py, || self.core.written(place, most.clamp(1, 4_096), &kinds))?;
        let entries = found
            .into_iter()
            .map(|entry| Entry(Arc::new(Row { entry, outcome: None, core: self.core.clone() })));
        Ok((entries.collect(), next))
    }

    /// Reviews, reading what was written since the last time.
    fn review(&self, py: Python<'_>) -> PyResult<Review> {
        let inner =
            enter(py, || self.core.review_on(&mut self.reviewing.lock(), Spans::default()))?;
        Ok(Review { inner, core: self.core.clone() })
    }

    /// Reviews and has the rules act; answers the webhooks to call.
    fn run_rules(&self, py: Python<'_>) -> PyResult<Vec<(Rule, Finding, Option<String>)>> {
        let deliveries = enter(py, || {
            if self.core.rules().is_empty() {
                return Ok(Vec::new());
            }
            let mut reviewing = self.reviewing.lock();
            let review = self.core.review_on(&mut reviewing, Spans::default())?;
            drop(reviewing);
            self.core.run_rules(&review)
        })?;
        let each = deliveries.into_iter().map(|delivery| {
            let secret = delivery.rule.secret.as_deref().map(str::to_owned);
            (Rule(delivery.rule), Finding(delivery.finding), secret)
        });
        Ok(each.collect())
    }

    /// Records whether a webhook was told.
    fn delivered(
        &self,
        py: Python<'_>,
        rule: &Rule,
        finding: &Finding,
        told: bool,
    ) -> PyResult<()> {
        let result = if told { "done" } else { "failed" };
        enter(py, || self.core.delivered(&rule.0.id, &finding.0, result))
    }
}

/// A rule: what is done by itself when a review finds something.
#[pyclass(frozen, module = "answerable", name = "Rule")]
pub(super) struct Rule(Arc<registry::Rule>);

#[pymethods]
impl Rule {
    #[getter]
    fn id(&self) -> String {
        self.0.id.to_string()
    }

    /// The code of the findings it is for; `None`: any.
    #[getter]
    fn on(&self) -> Option<&str> {
        self.0.on.as_deref()
    }

    /// The least severity of the findings it is for.
    #[getter]
    fn severity(&self) -> &str {
        &self.0.severity
    }

    /// `suspend`, `halt` or `webhook`.
    #[getter]
    fn then(&self) -> &'static str {
        self.0.then.word()
    }

    /// The webhook's address.
    #[getter]
    fn url(&self) -> Option<&str> {
        self.0.url.as_deref()
    }

    /// The id of who set it.
    #[getter]
    fn by(&self) -> String {
        self.0.by.to_string()
    }

    #[getter]
    fn at<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::instant(py, self.0.at)
    }

    /// Why; `None` once erased.
    #[getter]
    fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }

    fn __repr__(&self) -> String {
        let on = self.0.on.as_deref().unwrap_or("anything");
        let (id, severity, then) = (self.0.id, &self.0.severity, self.0.then.word());
        format!("<rule {id}: {} of {severity} or above → {then}>", shown(on, 60))
    }
}

/// The rules of an engine.
#[pyclass(frozen, subclass, module = "answerable._core", name = "Rules")]
pub(super) struct Rules(Arc<Core>);

#[pymethods]
impl Rules {
    #[new]
    fn new(engine: &Engine) -> Self {
        Self(engine.core.clone())
    }

    /// Sets a rule.
    #[pyo3(signature = (*, then, reason, on=None, severity="info", secret=None, by=None))]
    #[allow(clippy::too_many_arguments)] // The public face's own.
    fn add(
        &self,
        py: Python<'_>,
        then: Text<'_>,
        reason: Text<'_>,
        on: Option<Text<'_>>,
        severity: &str,
        secret: Option<Text<'_>>,
        by: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Rule> {
        let by = by_of(py, &self.0, by)?;
        let (then, url) = match &*then {
            "suspend" => (Then::Suspend, None),
            "halt" => (Then::Halt, None),
            url if url.contains("://") => (Then::Webhook, Some(url)),
            other => {
                let message = format!("a rule cannot `{}`", shown(other, 40));
                let hint = "choose suspend, halt, or the address of a webhook";
                return Err(errors::invalid(py, &message, hint));
            }
        };
        if secret.is_some() && url.is_none() {
            return Err(errors::invalid(py, "only a webhook has a secret", ""));
        }
        let new = NewRule {
            on: on.as_deref(),
            severity,
            then,
            url,
            secret: secret.as_deref(),
            reason: &reason,
        };
        enter(py, || self.0.set_rule(&new, by)).map(Rule)
    }

    /// All rules.
    fn list(&self, py: Python<'_>) -> PyResult<Vec<Rule>> {
        enter(py, || Ok(self.0.check()?))?;
        Ok(self.0.rules().into_iter().map(Rule).collect())
    }

    /// A rule by its id.
    fn get(&self, py: Python<'_>, rule: Text<'_>) -> PyResult<Rule> {
        let id = rule_id(py, &rule)?;
        let rules = self.0.rules();
        let found = rules.into_iter().find(|rule| rule.id == id).ok_or_else(|| {
            let name = id.to_string();
            errors::engine(py, &EngineError::from(RegistryError::NotFound { kind: "rule", name }))
        });
        found.map(Rule)
    }

    /// Removes a rule.
    #[pyo3(signature = (rule, *, reason, by=None))]
    fn remove(
        &self,
        py: Python<'_>,
        rule: &Bound<'_, PyAny>,
        reason: Text<'_>,
        by: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let id = match rule.cast::<Rule>() {
            Ok(rule) => rule.get().0.id,
            Err(_) => rule_id(py, &text_of(rule, "a rule or its id")?)?,
        };
        let by = by_of(py, &self.0, by)?;
        enter(py, || self.0.remove_rule(&id, &reason, by))
    }
}

fn rule_id(py: Python<'_>, text: &str) -> PyResult<RuleId> {
    text.parse().map_err(|_| {
        let name = text.chars().take(80).collect();
        errors::engine(py, &EngineError::from(RegistryError::NotFound { kind: "rule", name }))
    })
}

/// Samples as dicts, for exporters.
pub(super) fn samples<'py>(
    py: Python<'py>,
    samples: &[Sample],
) -> PyResult<Vec<Bound<'py, PyDict>>> {
    let each = samples.iter().map(|sample| {
        let dict = PyDict::new(py);
        dict.set_item("name", sample.name)?;
        dict.set_item("help", sample.help)?;
        dict.set_item("kind", sample.kind.word())?;
        let labels = PyDict::new(py);
        for (name, value) in &sample.labels {
            labels.set_item(name, value)?;
        }
        dict.set_item("labels", labels)?;
        dict.set_item("value", sample.value)?;
        let (sum, buckets) = match &sample.histogram {
            Some((sum, buckets)) => (Some(*sum), buckets.clone()),
            None => (None, Vec::new()),
        };
        dict.set_item("sum", sum)?;
        dict.set_item("buckets", buckets)?;
        Ok(dict)
    });
    each.collect()
}

/// Samples in the text that Prometheus reads.
pub(super) fn exposition(samples: &[Sample]) -> String {
    core::prometheus(samples)
}
