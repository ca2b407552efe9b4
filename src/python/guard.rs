//! The guard's doorway: binds a Python call to a request, has it judged, and records its outcome.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use super::convert::{Budget, snapshot, to_value, type_name};
use super::people::Grant;
use super::values::Decision;
use super::{engine, errors};
use crate::canonical::{Map, Value, to_json};
use crate::clock::Stopwatch;
use crate::decision::{Effect, Reason, code};
use crate::engine::{
    self as core, Bound as Held, Engine as Core, Judged, Outcome, Recorded, shown,
};
use crate::principal::EntryId;
use crate::request::{Request, Resource, ResourceTemplate, ToolName};

/// The shortest text of a masked argument that is looked for in exceptions and results.
const MIN_MASKED: usize = 3;

/// The authority in force in a block: a chain, an engine, and whether the block still runs.
#[pyclass(frozen, weakref, module = "answerable._core", name = "Authority")]
pub(super) struct Authority {
    grant: Py<Grant>,
    held: Arc<Held>,
    core: Arc<Core>,
    /// This block and those around it: when one has ended, so has this.
    alive: Vec<Arc<AtomicBool>>,
}

#[pymethods]
impl Authority {
    #[new]
    #[pyo3(signature = (grant, outer=None))]
    fn new(grant: Py<Grant>, outer: Option<&Self>) -> Self {
        let inner = grant.get();
        let mut alive = outer.map(|outer| outer.alive.clone()).unwrap_or_default();
        alive.push(Arc::new(AtomicBool::new(true)));
        Self { held: inner.held.clone(), core: inner.engine.clone(), grant, alive }
    }

    /// Ends the block: whatever still runs below it is denied from here on.
    fn end(&self) {
        if let Some(own) = self.alive.last() {
            own.store(false, Ordering::Release);
        }
    }

    /// Whether the block and those around it still run.
    #[getter]
    fn alive(&self) -> bool {
        self.is_alive()
    }

    #[getter]
    fn grant(&self, py: Python<'_>) -> Py<Grant> {
        self.grant.clone_ref(py)
    }

    fn __repr__(&self) -> String {
        format!("<authority of {}>", self.held.chain().leaf().payload.id)
    }
}

impl Authority {
    fn is_alive(&self) -> bool {
        self.alive.iter().all(|block| block.load(Ordering::Acquire))
    }
}

#[derive(PartialEq, Clone, Copy)]
enum Kind {
    PositionalOnly,
    Positional,
    VarPositional,
    KeywordOnly,
    VarKeyword,
}

struct Parameter {
    name: Py<PyString>,
    text: Box<str>,
    kind: Kind,
    default: Option<Py<PyAny>>,
    by_reference: bool,
}

/// A tool as the guard sees it: names, signature, how arguments are recorded.
#[pyclass(frozen, weakref, module = "answerable._core", name = "Tool")]
pub(super) struct Tool {
    name: String,
    tool_name: Result<ToolName, Reason>,
    template: Option<ResourceTemplate>,
    parameters: Vec<Parameter>,
    positional: usize,
    record: Vec<(Box<str>, Recorded)>,
    result: Recorded,
    engine: Option<Arc<Core>>,
    dangerous: bool,
}

#[pymethods]
impl Tool {
    /// `parameters` are `(name, kind, has_default, default)` with `inspect`'s kinds, from 0 to 4.
    #[new]
    #[pyo3(signature = (name, *, resource=None, parameters=Vec::new(), record=None, pass_through=Vec::new(), engine=None, dangerous=false, strict=true))]
    #[allow(clippy::too_many_arguments)] // Each is one fact of the declaration.
    fn new(
        py: Python<'_>,
        name: &str,
        resource: Option<&str>,
        parameters: Vec<(Bound<'_, PyString>, u8, bool, Py<PyAny>)>,
        record: Option<&Bound<'_, PyDict>>,
        pass_through: Vec<String>,
        engine: Option<&engine::Engine>,
        dangerous: bool,
        strict: bool,
    ) -> PyResult<Self> {
        let wrong = |message: &str| errors::invalid(py, message, "");
        let tool_name = match ToolName::parse(name) {
            Ok(name) => Ok(name),
            Err(error) if strict => return Err(wrong(&error.to_string())),
            Err(error) => Err(Reason::new(code::UNKNOWN_TOOL, error.to_string())),
        };
        let template = resource.map(ResourceTemplate::parse).transpose();
        let template = template.map_err(|error| wrong(&error.to_string()))?;
        let parameters: PyResult<Vec<Parameter>> = parameters
            .into_iter()
            .map(|(name, kind, has_default, default)| {
                let text: Box<str> = name.to_str()?.into();
                let kind = match kind {
                    0 => Kind::PositionalOnly,
                    1 => Kind::Positional,
                    2 => Kind::VarPositional,
                    3 => Kind::KeywordOnly,
                    _ => Kind::VarKeyword,
                };
                let by_reference = pass_through.iter().any(|other| **other == *text);
                let default = has_default.then_some(default);
                Ok(Parameter { name: name.unbind(), text, kind, default, by_reference })
            })
            .collect();
        let parameters = parameters?;
        if let Some(template) = &template {
            let open = parameters.is_empty()
                || parameters.iter().any(|parameter| parameter.kind == Kind::VarKeyword);
            let unknown = template.fields().iter().find(|field| {
                !open && !parameters.iter().any(|p| p.text == **field && !p.by_reference)
            });
            if let Some(field) = unknown {
                return Err(wrong(&format!(
                    "the resource template of `{name}` names `{field}`, which is no argument of it"
                )));
            }
        }
        let (record, result) = record_of(py, record)?;
        let positional = parameters
            .iter()
            .filter(|p| matches!(p.kind, Kind::PositionalOnly | Kind::Positional))
            .count();
        Ok(Self {
            name: name.to_owned(),
            tool_name,
            template,
            parameters,
            positional,
            record,
            result,
            engine: engine.map(|engine| engine.core.clone()),
            dangerous,
        })
    }

    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    #[getter]
    fn dangerous(&self) -> bool {
        self.dangerous
    }

    /// Judges a call and records the decision. Answers the call and the arguments to pass on:
    /// the snapshot that was judged. With `wait` false, `call.pending` may still be true.
    ///
    /// Raises `AccessDenied`, and nothing else.
    #[pyo3(signature = (authority, parent, args, kwargs, *, receiver=false, wait=true, against=None))]
    #[allow(clippy::too_many_arguments)] // One doorway, entered once a call.
    fn begin<'py>(
        &self,
        py: Python<'py>,
        authority: Option<&Authority>,
        parent: Option<&Call>,
        args: &Bound<'py, PyTuple>,
        kwargs: &Bound<'py, PyDict>,
        receiver: bool,
        wait: bool,
        against: Option<(String, String)>,
    ) -> PyResult<(Call, Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
        let core = match (&self.engine, authority) {
            (Some(engine), _) => engine.clone(),
            (None, Some(authority)) => authority.core.clone(),
            (None, None) => match engine::last() {
                Some(engine) => engine,
                None => return Err(self.no_engine(py)),
            },
        };
        let mut pass = Passed::new(py);
        let bound = self.bind(args, kwargs, usize::from(receiver), &mut pass);
        let request = bound.and_then(|()| self.request(&mut pass));
        let (held, mut reason) = in_force(authority, &core);
        if let Some((code, message)) = against {
            reason = Some(Reason { code: code.into(), ..Reason::new(code::UNKNOWN_TOOL, message) });
        }
        let call = core::Call {
            tool: &self.name,
            request,
            by_type: &pass.by_type,
            record: &self.record,
            bound: held,
            against: reason,
            parent: parent.and_then(|call| call.entry),
        };
        let mut judged = core.judge(&call);
        if wait && judged.must_wait {
            judged = py.detach(|| core.await_decision(judged));
        }
        if judged.decision.effect != Effect::Allow && (wait || !judged.must_wait) {
            return Err(self.denied(py, &judged));
        }
        let masked = self.masked_texts(call.request.as_ref().ok());
        let call = Call {
            tool: self.name.clone(),
            core,
            entry: judged.entry,
            judged,
            masked,
            hide_result: self.result != Recorded::Keep,
            watch: Stopwatch::start(),
            done: AtomicBool::new(false),
        };
        let args = PyTuple::new(py, pass.args)?;
        Ok((call, args, pass.kwargs))
    }

    fn __repr__(&self) -> String {
        format!("<tool {}>", shown(&self.name, 80))
    }
}

/// How arguments are recorded, by name.
type Recording = Vec<(Box<str>, Recorded)>;

/// How arguments are recorded, from `{"memo": "mask"}`; `return` stands for the result.
fn record_of(
    py: Python<'_>,
    record: Option<&Bound<'_, PyDict>>,
) -> PyResult<(Recording, Recorded)> {
    let mut all = Vec::new();
    let mut result = Recorded::Keep;
    for (name, how) in record.into_iter().flat_map(|record| record.iter()) {
        let name: String = name.extract()?;
        let how = match how.extract::<String>()?.as_str() {
            "keep" => Recorded::Keep,
            "mask" => Recorded::Mask,
            "digest" => Recorded::Digest,
            other => {
                let message =
                    format!("there is no way `{}` to record an argument", shown(other, 40));
                return Err(errors::invalid(py, &message, "choose keep, mask or digest"));
            }
        };
        if name == "return" {
            result = how;
        } else {
            all.push((name.into(), how));
        }
    }
    Ok((all, result))
}

/// The chain in force at a call, and what speaks against it before anything is looked at.
fn in_force<'a>(
    authority: Option<&'a Authority>,
    core: &Arc<Core>,
) -> (Option<&'a Held>, Option<Reason>) {
    let Some(authority) = authority else { return (None, None) };
    if !Arc::ptr_eq(&authority.core, core) {
        let reason = Reason::new(
            code::NO_AUTHORITY,
            "the grant in force belongs to another engine than the tool's",
        );
        return (None, Some(reason.fix("act under a grant of the tool's engine")));
    }
    let ended = (!authority.is_alive()).then(|| {
        Reason::new(code::AUTHORITY_ENDED, "the block that gave this call its authority has ended")
            .fix("finish what was started inside `with engine.acting(grant):` before it ends")
    });
    (Some(&authority.held), ended)
}

/// What a call passes on, while it is bound.
struct Passed<'py> {
    entries: Vec<(Box<str>, Value)>,
    args: Vec<Bound<'py, PyAny>>,
    kwargs: Bound<'py, PyDict>,
    defaulted: Vec<Box<str>>,
    by_type: Vec<(Box<str>, String)>,
    budget: Budget,
}

impl<'py> Passed<'py> {
    fn new(py: Python<'py>) -> Self {
        Self {
            entries: Vec::with_capacity(8),
            args: Vec::with_capacity(8),
            kwargs: PyDict::new(py),
            defaulted: Vec::new(),
            by_type: Vec::new(),
            budget: Budget::default(),
        }
    }

    /// Reads one argument, and answers what to pass on.
    fn take(
        &mut self,
        name: &str,
        by_reference: bool,
        given: &Bound<'py, PyAny>,
    ) -> Result<Bound<'py, PyAny>, Vec<Reason>> {
        if by_reference {
            self.by_type.push((name.into(), type_name(given)));
            return Ok(given.clone());
        }
        let (value, copy) = snapshot(given, &mut self.budget).map_err(|why| bad(name, &why))?;
        self.entries.push((name.into(), value));
        Ok(copy)
    }
}

fn bad(name: &str, why: &str) -> Vec<Reason> {
    let name = shown(name, 60);
    vec![
        Reason::new(code::INVALID_ARGUMENT, format!("the argument `{name}` cannot be judged: {why}"))
            .fix("pass str, int, float, bool, None, bytes, Decimal, datetime with zone, UUID, enum, list, tuple, dict, dataclass or model"),
    ]
}

fn misfit(message: String) -> Vec<Reason> {
    vec![Reason::new(code::INVALID_ARGUMENT, message).fix("call the tool as its signature says")]
}

impl Tool {
    /// Binds a call's arguments to the signature, as Python would.
    fn bind<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: &Bound<'py, PyDict>,
        receiver: usize,
        pass: &mut Passed<'py>,
    ) -> Result<(), Vec<Reason>> {
        let py = args.py();
        let mut rest: Vec<Value> = Vec::new();
        let var_positional = self.parameters.iter().find(|p| p.kind == Kind::VarPositional);
        for (place, given) in args.iter().enumerate() {
            if place < receiver {
                pass.args.push(given);
                continue;
            }
            let parameter = self.parameters.get(place).filter(|_| place < self.positional);
            match (parameter, var_positional) {
                (Some(parameter), _) => {
                    let copy = pass.take(&parameter.text, parameter.by_reference, &given)?;
                    pass.args.push(copy);
                }
                (None, Some(parameter)) if parameter.by_reference => pass.args.push(given),
                (None, Some(parameter)) => {
                    let (value, copy) = snapshot(&given, &mut pass.budget)
                        .map_err(|why| bad(&parameter.text, &why))?;
                    rest.push(value);
                    pass.args.push(copy);
                }
                (None, None) => {
                    let (most, count) = (self.positional, args.len());
                    return Err(misfit(format!(
                        "it takes {most} positional arguments, {count} were given"
                    )));
                }
            }
        }
        let by_place = args.len().min(self.positional);
        let mut used = 0;
        for (place, parameter) in self.parameters.iter().enumerate() {
            match parameter.kind {
                Kind::VarPositional | Kind::VarKeyword => continue,
                _ if place < by_place => continue,
                _ => {}
            }
            let by_name = parameter.kind != Kind::PositionalOnly;
            let given = if by_name { found(kwargs, parameter.name.bind(py))? } else { None };
            match (given, &parameter.default) {
                (Some(given), _) => {
                    used += 1;
                    let copy = pass.take(&parameter.text, parameter.by_reference, &given)?;
                    set(&pass.kwargs, parameter.name.bind(py), copy)?;
                }
                (None, Some(default)) => {
                    if parameter.by_reference {
                        continue;
                    }
                    let default = default.bind(py);
                    match to_value(default) {
                        Ok(value) => pass.entries.push((parameter.text.clone(), value)),
                        Err(_) => pass.by_type.push((parameter.text.clone(), type_name(default))),
                    }
                    pass.defaulted.push(parameter.text.clone());
                }
                (None, None) => {
                    let name = shown(&parameter.text, 60);
                    return Err(misfit(format!("the argument `{name}` is missing")));
                }
            }
        }
        if let Some(parameter) = var_positional
            && !parameter.by_reference
        {
            if rest.is_empty() {
                pass.defaulted.push(parameter.text.clone());
            }
            pass.entries.push((parameter.text.clone(), Value::List(rest)));
        }
        if used < kwargs.len() {
            self.bind_rest(kwargs, by_place, pass)?;
        }
        Ok(())
    }

    /// Binds the keyword arguments that no parameter took.
    fn bind_rest<'py>(
        &self,
        kwargs: &Bound<'py, PyDict>,
        by_place: usize,
        pass: &mut Passed<'py>,
    ) -> Result<(), Vec<Reason>> {
        let open = self.parameters.iter().find(|p| p.kind == Kind::VarKeyword);
        for (name, given) in kwargs.iter() {
            let text = name.cast::<PyString>().ok().and_then(|name| name.to_str().ok());
            let Some(text) = text else {
                return Err(misfit("a keyword argument's name is not text".to_owned()));
            };
            let own = self.parameters.iter().enumerate().find(|(_, p)| *p.text == *text);
            match own {
                Some((place, parameter))
                    if parameter.kind == Kind::KeywordOnly
                        || (parameter.kind == Kind::Positional && place >= by_place) =>
                {
                    continue; // Taken above.
                }
                Some(_) => {
                    let name = shown(text, 60);
                    return Err(misfit(format!("the argument `{name}` is given twice")));
                }
                None => {}
            }
            let Some(open) = open else {
                if !self.parameters.is_empty() || self.template.is_none() {
                    return Err(misfit(format!("there is no argument `{}`", shown(text, 60))));
                }
                continue;
            };
            let copy = pass.take(text, open.by_reference, &given)?;
            set(&pass.kwargs, &name, copy)?;
        }
        Ok(())
    }

    fn request(&self, pass: &mut Passed<'_>) -> Result<Request, Vec<Reason>> {
        let tool = self.tool_name.clone().map_err(|reason| vec![reason])?;
        let arguments = Map::from_entries(std::mem::take(&mut pass.entries)).map_err(|name| {
            misfit(format!("the argument `{}` is given twice", shown(&name, 60)))
        })?;
        let mut request = Request::new(tool, arguments);
        request.defaulted = std::mem::take(&mut pass.defaulted);
        if let Some(template) = &self.template {
            let resource = template
                .fill(&request.arguments)
                .map_err(|error| vec![Reason::new(code::INVALID_RESOURCE, error.to_string())])?;
            request.resource = Some(resource);
            request.template = template.fields().to_vec();
        }
        Ok(request)
    }

    /// The texts of masked arguments: they are kept out of recorded exceptions and results.
    fn masked_texts(&self, request: Option<&Request>) -> Vec<String> {
        let Some(request) = request else { return Vec::new() };
        let mut texts = Vec::new();
        for (name, how) in &self.record {
            if *how != Recorded::Keep
                && let Some(value) = request.arguments.get(name)
            {
                collect(value, &mut texts);
            }
        }
        texts
    }

    fn denied(&self, py: Python<'_>, judged: &Judged) -> PyErr {
        denial(py, &self.name, judged)
    }

    fn no_engine(&self, py: Python<'_>) -> PyErr {
        let reason =
            Reason::new(code::NO_ENGINE, "no engine is open, so nothing can answer for it");
        let reason = reason.fix("open one with ans.open(\"./governance\")");
        let decision = crate::decision::Decision::deny(vec![reason]);
        denied_for(py, &self.name, &decision, None)
    }
}

fn collect(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::Str(text) if text.len() >= MIN_MASKED => texts.push(text.to_string()),
        Value::List(items) | Value::Tuple(items) => {
            items.iter().for_each(|item| collect(item, texts));
        }
        Value::Map(map) => map.iter().for_each(|(_, item)| collect(item, texts)),
        Value::Record(record) => record.fields.iter().for_each(|(_, item)| collect(item, texts)),
        Value::Int(_) | Value::Float(_) | Value::Decimal(_) => {
            let text = to_json(value);
            if text.len() >= MIN_MASKED {
                texts.push(text);
            }
        }
        _ => {}
    }
}

fn found<'py>(
    kwargs: &Bound<'py, PyDict>,
    name: &Bound<'py, PyString>,
) -> Result<Option<Bound<'py, PyAny>>, Vec<Reason>> {
    kwargs.get_item(name).map_err(|error| misfit(error.to_string()))
}

fn set<'py>(
    kwargs: &Bound<'py, PyDict>,
    name: &Bound<'py, PyAny>,
    value: Bound<'py, PyAny>,
) -> Result<(), Vec<Reason>> {
    kwargs.set_item(name, value).map_err(|error| misfit(error.to_string()))
}

fn denial(py: Python<'_>, tool: &str, judged: &Judged) -> PyErr {
    let entry = judged.entry.map(|entry| entry.to_string());
    let error = denied_for(py, tool, &judged.decision, entry);
    if let Some(cause) = &judged.cause {
        error.set_cause(py, Some(errors::store(py, cause)));
    }
    error
}

fn denied_for(
    py: Python<'_>,
    tool: &str,
    decision: &crate::decision::Decision,
    entry: Option<String>,
) -> PyErr {
    let first = decision.reasons.first();
    let code = first.map_or("access_denied", |reason| &*reason.code).to_owned();
    let hint = first.and_then(|reason| reason.fix.clone()).unwrap_or_default();
    let message = decision.sentence(&shown(tool, 80));
    let python = match Py::new(py, Decision::new(decision, tool, entry)) {
        Ok(decision) => decision.into_any(),
        Err(error) => return error,
    };
    errors::make(py, "AccessDenied", &message, &code, &hint, &[("decision", python)])
}

/// An allowed call that runs.
#[pyclass(frozen, weakref, module = "answerable._core", name = "Call")]
pub(super) struct Call {
    tool: String,
    core: Arc<Core>,
    entry: Option<EntryId>,
    judged: Judged,
    masked: Vec<String>,
    hide_result: bool,
    watch: Stopwatch,
    done: AtomicBool,
}

#[pymethods]
impl Call {
    /// The decision's entry.
    #[getter]
    fn entry(&self) -> Option<String> {
        self.entry.map(|entry| entry.to_string())
    }

    /// Whether the decision's entry has to become durable before the tool may run.
    #[getter]
    fn pending(&self) -> bool {
        self.judged.must_wait
    }

    /// Calls `done` from another thread, with `None` or an exception, when the entry is durable.
    fn when_durable(&self, upto: Option<u64>, done: Py<PyAny>) {
        let upto = upto.unwrap_or(self.judged.upto);
        let told = move |result: Result<(), crate::store::StoreError>| {
            // An interpreter that is going away has nobody who waits.
            let _ = Python::try_attach(|py| {
                let argument = match &result {
                    Ok(()) => py.None(),
                    Err(error) => errors::store(py, error).into_value(py).into_any(),
                };
                if let Err(error) = done.call1(py, (argument,)) {
                    // The loop is gone, and with it whoever waited.
                    tracing::debug!(error = %error, "nobody waits any more");
                }
            });
        };
        self.core.notify(upto, Box::new(told));
    }

    /// Raises the denial that a pending call turned out to be, if it is one.
    #[pyo3(signature = (error=None))]
    fn settle(&self, py: Python<'_>, error: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        if let Some(error) = error {
            let closed = error.is_instance(errors::class(py, "EngineClosed")?.as_any())?;
            let code = if closed { code::ENGINE_CLOSED } else { code::STORE_UNAVAILABLE };
            let reason = Reason::new(code, error.to_string());
            let decision = crate::decision::Decision::deny(vec![reason]);
            let denied = denied_for(py, &self.tool, &decision, None);
            denied.set_cause(py, Some(PyErr::from_value(error)));
            return Err(denied);
        }
        if self.judged.decision.effect == Effect::Allow {
            return Ok(());
        }
        Err(denial(py, &self.tool, &self.judged))
    }

    /// Records that the call returned. With `wait` false, answers what must be durable before the
    /// result is released.
    #[pyo3(signature = (result, *, wait=true))]
    fn returned(
        &self,
        py: Python<'_>,
        result: &Bound<'_, PyAny>,
        wait: bool,
    ) -> PyResult<Option<u64>> {
        let word = type_name(result);
        let value = if self.hide_result { Err(word) } else { self.recorded(result, word) };
        self.finish(py, &Outcome::Returned(value), wait)
    }

    /// Records that the call raised.
    #[pyo3(signature = (error, *, wait=true))]
    fn raised(
        &self,
        py: Python<'_>,
        error: &Bound<'_, PyAny>,
        wait: bool,
    ) -> PyResult<Option<u64>> {
        let text = error.str().map(|text| text.to_string_lossy().into_owned());
        let mut text = text.unwrap_or_else(|_| "(its text cannot be read)".to_owned());
        for masked in &self.masked {
            text = text.replace(masked.as_str(), "(masked)");
        }
        self.finish(py, &Outcome::Raised(type_name(error), text), wait)
    }

    fn __repr__(&self) -> String {
        let entry = self.entry().unwrap_or_default();
        format!("<call of {} {entry}>", shown(&self.tool, 80))
    }
}

impl Call {
    fn recorded(&self, result: &Bound<'_, PyAny>, word: String) -> Result<Value, String> {
        let mut budget = Budget::for_results();
        let (value, _) = snapshot(result, &mut budget).map_err(|_| word.clone())?;
        if !self.masked.is_empty() {
            let text = to_json(&value);
            if self.masked.iter().any(|masked| text.contains(masked.as_str())) {
                return Err(word);
            }
        }
        Ok(value)
    }

    fn finish(&self, py: Python<'_>, outcome: &Outcome, wait: bool) -> PyResult<Option<u64>> {
        if self.done.swap(true, Ordering::AcqRel) {
            return Ok(None);
        }
        let upto = self
            .core
            .finish(&self.judged, self.watch.micros(), outcome)
            .map_err(|error| errors::store(py, &error))?;
        match upto {
            Some(upto) if wait => {
                py.detach(|| self.core.wait(upto)).map_err(|error| errors::store(py, &error))?;
                Ok(None)
            }
            upto => Ok(upto),
        }
    }
}

/// A request from names: what `engine.check` judges.
pub(super) fn bind_named(
    tool: &str,
    resource: Option<&str>,
    arguments: Option<&Bound<'_, PyDict>>,
) -> Result<Request, Vec<Reason>> {
    let tool = ToolName::parse(tool)
        .map_err(|error| vec![Reason::new(code::UNKNOWN_TOOL, error.to_string())])?;
    let mut entries = Vec::new();
    let mut budget = Budget::default();
    for (name, given) in arguments.into_iter().flat_map(|arguments| arguments.iter()) {
        let text = name
            .extract::<String>()
            .map_err(|_| misfit("an argument's name is not text".to_owned()))?;
        let (value, _) = snapshot(&given, &mut budget).map_err(|why| bad(&text, &why))?;
        entries.push((text.into(), value));
    }
    let arguments = Map::from_entries(entries)
        .map_err(|name| misfit(format!("the argument `{}` is given twice", shown(&name, 60))))?;
    let mut request = Request::new(tool, arguments);
    if let Some(resource) = resource {
        let parsed = Resource::parse(resource)
            .map_err(|error| vec![Reason::new(code::INVALID_RESOURCE, error.to_string())])?;
        request.resource = Some(parsed);
    }
    Ok(request)
}
