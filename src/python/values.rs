//! What may be allowed, as Python values: capabilities, caveats, limits; and decisions.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use super::people::text_of;
use super::{convert, errors, notebook};
use crate::canonical::Value;
use crate::scope;

/// A condition on one argument.
#[pyclass(frozen, eq, module = "answerable", name = "Caveat")]
#[derive(PartialEq)]
pub(super) struct Caveat(scope::Caveat);

#[pymethods]
impl Caveat {
    fn __str__(&self) -> String {
        self.0.to_string()
    }

    fn __repr__(&self) -> String {
        format!("<caveat {}>", self.0)
    }
}

fn caveat(py: Python<'_>, made: Result<scope::Caveat, scope::ScopeError>) -> PyResult<Caveat> {
    made.map(Caveat).map_err(|error| errors::scope(py, &error))
}

fn value(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    convert::to_value(object).map_err(|why| errors::invalid(object.py(), &why, ""))
}

fn values(objects: &Bound<'_, PyTuple>) -> PyResult<Vec<Value>> {
    objects.iter().map(|object| value(&object)).collect()
}

macro_rules! caveats_of_a_value {
    ($($name:ident),*) => {$(
        #[pyfunction]
        pub(super) fn $name(value: &Bound<'_, PyAny>) -> PyResult<Caveat> {
            caveat(value.py(), scope::Caveat::$name(self::value(value)?))
        }
    )*};
}
macro_rules! caveats_of_text {
    ($($name:ident),*) => {$(
        #[pyfunction]
        pub(super) fn $name(text: &Bound<'_, PyAny>) -> PyResult<Caveat> {
            caveat(text.py(), scope::Caveat::$name(&text_of(text, "text")?))
        }
    )*};
}
macro_rules! caveats_of_nothing {
    ($($name:ident = $made:ident),*) => {$(
        #[pyfunction]
        pub(super) fn $name() -> Caveat {
            Caveat(scope::Caveat::$made())
        }
    )*};
}

caveats_of_a_value!(equals, at_least, at_most, contains);
caveats_of_text!(starts_with, ends_with, matches, email_at, under, in_network, same_as);
caveats_of_nothing!(any_ = any, present = present, absent = absent);

#[pyfunction]
#[pyo3(signature = (*values))]
pub(super) fn one_of(values: &Bound<'_, PyTuple>) -> PyResult<Caveat> {
    caveat(values.py(), scope::Caveat::one_of(self::values(values)?))
}

#[pyfunction]
#[pyo3(signature = (*values))]
pub(super) fn subset_of(values: &Bound<'_, PyTuple>) -> PyResult<Caveat> {
    caveat(values.py(), scope::Caveat::subset_of(self::values(values)?))
}

#[pyfunction]
pub(super) fn between(low: &Bound<'_, PyAny>, high: &Bound<'_, PyAny>) -> PyResult<Caveat> {
    caveat(low.py(), scope::Caveat::between(value(low)?, value(high)?))
}

#[pyfunction]
#[pyo3(signature = (*hosts))]
pub(super) fn host_in(hosts: &Bound<'_, PyTuple>) -> PyResult<Caveat> {
    let texts: PyResult<Vec<String>> =
        hosts.iter().map(|host| text_of(&host, "the name of a host")).collect();
    caveat(hosts.py(), scope::Caveat::host_in(&texts?))
}

#[pyfunction]
#[pyo3(signature = (min=None, max=None))]
pub(super) fn length(
    py: Python<'_>,
    min: Option<&Bound<'_, PyAny>>,
    max: Option<&Bound<'_, PyAny>>,
) -> PyResult<Caveat> {
    let size = |given: &Bound<'_, PyAny>| match value(given)? {
        Value::Int(crate::canonical::Int::Small(n)) if n >= 0 => Ok(n.unsigned_abs()),
        _ => Err(expected(given, "a whole number from zero up")),
    };
    let (min, max) = (min.map(size).transpose()?, max.map(size).transpose()?);
    caveat(py, scope::Caveat::length(min.unwrap_or(0), max))
}

#[pyfunction]
pub(super) fn each(caveat: &Bound<'_, PyAny>) -> PyResult<Caveat> {
    let inner = caveat.cast::<Caveat>().map_err(|_| expected(caveat, "a caveat"))?.get().0.clone();
    self::caveat(caveat.py(), scope::Caveat::each(inner))
}

#[pyfunction]
#[pyo3(signature = (*caveats))]
pub(super) fn all_of(caveats: &Bound<'_, PyTuple>) -> PyResult<Caveat> {
    let py = caveats.py();
    let all: PyResult<Vec<_>> = caveats
        .iter()
        .map(|item| {
            Ok(item.cast::<Caveat>().map_err(|_| expected(&item, "a caveat"))?.get().0.clone())
        })
        .collect();
    caveat(py, scope::Caveat::all_of(all?))
}

fn expected(object: &Bound<'_, PyAny>, what: &str) -> PyErr {
    let found = convert::type_name(object);
    errors::invalid(object.py(), &format!("expected {what}, not {found}"), "")
}

/// A bound over calls.
#[pyclass(frozen, eq, module = "answerable", name = "Limit")]
#[derive(PartialEq)]
pub(super) struct Limit(scope::Limit);

#[pymethods]
impl Limit {
    fn __str__(&self) -> String {
        self.0.to_string()
    }

    fn __repr__(&self) -> String {
        format!("<limit {}>", self.0)
    }
}

impl Limit {
    pub(super) fn of(limit: scope::Limit) -> Self {
        Self(limit)
    }
}

fn limit(py: Python<'_>, made: Result<scope::Limit, scope::ScopeError>) -> PyResult<Limit> {
    made.map(Limit).map_err(|error| errors::scope(py, &error))
}

#[pyfunction]
pub(super) fn calls(py: Python<'_>, n: &Bound<'_, PyAny>) -> PyResult<Limit> {
    limit(py, scope::Limit::calls(count(n)?))
}

#[pyfunction]
pub(super) fn rate(n: &Bound<'_, PyAny>, per: &Bound<'_, PyAny>) -> PyResult<Limit> {
    let py = n.py();
    let per = convert::duration(per).map_err(|why| errors::invalid(py, &why, ""))?;
    limit(py, scope::Limit::rate(count(n)?, u64::try_from(per).unwrap_or(0)))
}

#[pyfunction]
pub(super) fn total(argument: &Bound<'_, PyAny>, max: &Bound<'_, PyAny>) -> PyResult<Limit> {
    let argument = text_of(argument, "an argument's name")?;
    limit(max.py(), scope::Limit::total(&argument, value(max)?))
}

fn count(n: &Bound<'_, PyAny>) -> PyResult<u64> {
    match value(n)? {
        Value::Int(crate::canonical::Int::Small(n)) if n > 0 => Ok(n.unsigned_abs()),
        _ => Err(expected(n, "a whole number above zero")),
    }
}

/// One tool pattern on resource patterns, with caveats and limits.
#[pyclass(frozen, eq, module = "answerable", name = "Capability")]
#[derive(PartialEq)]
pub(super) struct Capability(scope::Capability);

#[pymethods]
impl Capability {
    #[getter]
    fn tool(&self) -> &str {
        self.0.tool().as_str()
    }

    fn __str__(&self) -> String {
        crate::engine::describe(&self.0)
    }

    fn __repr__(&self) -> String {
        format!("<capability {}>", crate::engine::describe(&self.0))
    }
}

#[pyfunction]
#[pyo3(signature = (tool, resource=None, r#where=None, limits=None))]
pub(super) fn allow(
    py: Python<'_>,
    tool: &Bound<'_, PyAny>,
    resource: Option<&Bound<'_, PyAny>>,
    r#where: Option<&Bound<'_, PyAny>>,
    limits: Option<&Bound<'_, PyAny>>,
) -> PyResult<Capability> {
    let wrong = |error: scope::ScopeError| errors::scope(py, &error);
    let tool = scope::ToolPattern::parse(&text_of(tool, "a tool pattern")?).map_err(wrong)?;
    let resource = match resource {
        None => None,
        Some(one) if one.cast::<PyString>().is_ok() => {
            let text = text_of(one, "a resource pattern")?;
            Some(vec![scope::ResourcePattern::parse(&text).map_err(wrong)?])
        }
        Some(many) => {
            const WHAT: &str = "a resource pattern or a list of them";
            let items = convert::listed(many).ok_or_else(|| expected(many, WHAT))?;
            let texts: PyResult<Vec<String>> =
                items.iter().map(|item| text_of(item, "a resource pattern")).collect();
            let texts = texts?;
            let parsed: Result<_, _> =
                texts.iter().map(|text| scope::ResourcePattern::parse(text)).collect();
            Some(parsed.map_err(wrong)?)
        }
    };
    let where_ = match r#where {
        None => None,
        Some(given) => {
            let dict = given
                .cast::<PyDict>()
                .map_err(|_| expected(given, "a dict of argument names and caveats"))?;
            let mut entries = Vec::new();
            for (name, caveat) in dict.iter() {
                let name: String =
                    name.extract().map_err(|_| expected(&name, "an argument's name"))?;
                let caveat = caveat.cast::<Caveat>().map_err(|_| {
                    let found = convert::type_name(&caveat);
                    errors::invalid(
                        py,
                        &format!("the caveat on `{}` is {found}", crate::engine::shown(&name, 60)),
                        "write ans.equals(…) for an exact value, ans.any_() for any",
                    )
                })?;
                entries.push((name, caveat.get().0.clone()));
            }
            Some(entries)
        }
    };
    let limits = limits.map(limits_of).transpose()?.unwrap_or_default();
    let made = scope::Capability::new(
        tool,
        resource,
        where_.map(|entries| {
            entries.into_iter().map(|(name, caveat)| (name.into(), caveat)).collect()
        }),
        limits,
    );
    made.map(Capability).map_err(wrong)
}

/// A limit, or a list of limits.
pub(super) fn limits_of(object: &Bound<'_, PyAny>) -> PyResult<Vec<scope::Limit>> {
    items(object, "a limit or a list of limits", |item| {
        item.cast::<Limit>().ok().map(|limit| limit.get().0.clone())
    })
}

/// A capability, or a list of capabilities.
pub(super) fn scope_of(object: &Bound<'_, PyAny>) -> PyResult<scope::Scope> {
    let all = items(object, "a capability (ans.allow(…)) or a list of them", |item| {
        item.cast::<Capability>().ok().map(|capability| capability.get().0.clone())
    })?;
    scope::Scope::new(all).map_err(|error| errors::scope(object.py(), &error))
}

fn items<T>(
    object: &Bound<'_, PyAny>,
    what: &str,
    read: impl Fn(&Bound<'_, PyAny>) -> Option<T>,
) -> PyResult<Vec<T>> {
    if let Some(one) = read(object) {
        return Ok(vec![one]);
    }
    let items = convert::listed(object).ok_or_else(|| expected(object, what))?;
    items.into_iter().map(|item| read(&item).ok_or_else(|| expected(&item, what))).collect()
}

/// A scope's capabilities as Python values.
pub(super) fn capabilities(scope: &scope::Scope) -> Vec<Capability> {
    scope.capabilities().iter().cloned().map(Capability).collect()
}

impl From<scope::Capability> for Capability {
    fn from(capability: scope::Capability) -> Self {
        Self(capability)
    }
}

/// One reason for a decision.
#[pyclass(frozen, eq, get_all, module = "answerable", name = "Reason")]
#[derive(PartialEq, Clone)]
pub(super) struct Reason {
    code: String,
    hop: Option<usize>,
    message: String,
    allowed: Option<String>,
    fix: Option<String>,
}

impl From<&crate::decision::Reason> for Reason {
    fn from(reason: &crate::decision::Reason) -> Self {
        Self {
            code: reason.code.to_string(),
            hop: reason.hop,
            message: reason.message.clone(),
            allowed: reason.allowed.clone(),
            fix: reason.fix.clone(),
        }
    }
}

#[pymethods]
impl Reason {
    fn __repr__(&self) -> String {
        format!("<reason {}: {}>", self.code, crate::engine::shown(&self.message, 200))
    }
}

/// What was decided about one call, and why.
#[pyclass(frozen, get_all, module = "answerable", name = "Decision")]
pub(super) struct Decision {
    effect: &'static str,
    tool: String,
    reasons: Vec<Reason>,
    policy_version: String,
    /// The approval that an ask waits for, or that an allow used up.
    approval: Option<String>,
    policies: Vec<String>,
    policy_errors: Vec<String>,
    entry: Option<String>,
}

impl Decision {
    pub(super) fn new(
        decision: &crate::decision::Decision,
        tool: &str,
        entry: Option<String>,
    ) -> Self {
        Self {
            effect: decision.effect.word(),
            tool: tool.to_owned(),
            reasons: decision.reasons.iter().map(Reason::from).collect(),
            policy_version: decision.policy_version.to_string(),
            approval: decision.approval.map(|id| id.to_string()),
            policies: decision.policies.iter().map(ToString::to_string).collect(),
            policy_errors: decision.policy_errors.iter().map(ToString::to_string).collect(),
            entry,
        }
    }
}

#[pymethods]
impl Decision {
    /// Whether the call may run.
    #[getter]
    fn allowed(&self) -> bool {
        self.effect == "allow"
    }

    fn _repr_html_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        notebook(slf, "html")
    }

    #[pyo3(signature = (include=None, exclude=None))]
    fn _repr_mimebundle_<'py>(
        slf: &Bound<'py, Self>,
        include: Option<&Bound<'py, PyAny>>,
        exclude: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = (include, exclude); // Both forms are small: the front end takes its own.
        notebook(slf, "bundle")
    }

    fn __repr__(&self) -> String {
        let codes: Vec<&str> = self.reasons.iter().map(|reason| reason.code.as_str()).collect();
        let tool = crate::engine::shown(&self.tool, 80);
        match codes.as_slice() {
            [] => format!("<decision {} {tool}>", self.effect),
            codes => format!("<decision {} {tool}: {}>", self.effect, codes.join(", ")),
        }
    }
}
