//! A tool as the guard sees it, and the start of a call: bound, judged, recorded, or denied.

use std::collections::BTreeMap;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use super::super::approvals::Approval;
use super::super::people::text_of;
use super::super::{engine, errors, opening};
use super::bind::Passed;
use super::call::{Call, denial, no_engine};
use super::{Authority, in_force};
use crate::decision::{Effect, Reason, code};
use crate::engine::{self as core, Engine as Core, Masking, Recorded, Texts, shown};
use crate::request::{Declared, DeclaredTool, ResourceTemplate, ToolDeclaration, ToolName};

#[derive(PartialEq, Clone, Copy)]
pub(super) enum Kind {
    PositionalOnly,
    Positional,
    VarPositional,
    KeywordOnly,
    VarKeyword,
}

pub(super) struct Parameter {
    pub(super) name: Py<PyString>,
    pub(super) text: Box<str>,
    pub(super) kind: Kind,
    pub(super) default: Option<Py<PyAny>>,
    pub(super) by_reference: bool,
}

/// A tool as the guard sees it: names, signature, how arguments are recorded.
#[pyclass(frozen, weakref, module = "answerable._core", name = "Tool")]
pub(in crate::python) struct Tool {
    name: Arc<str>,
    pub(super) tool_name: Result<ToolName, Reason>,
    pub(super) template: Option<ResourceTemplate>,
    pub(super) parameters: Vec<Parameter>,
    pub(super) positional: usize,
    masking: Arc<Masking>,
    result: Recorded,
    pub(in crate::python) engine: Option<Arc<Core>>,
    dangerous: bool,
    /// How long a call that asks waits, in microseconds.
    wait: Option<i64>,
    /// What it declares to whoever writes policies; `None` where nobody said.
    pub(in crate::python) declared: Option<Arc<DeclaredTool>>,
    credentials: Vec<Box<str>>,
}

#[pymethods]
impl Tool {
    /// `parameters` are `(name, kind, has_default, default)` with `inspect`'s kinds, from 0 to 4.
    #[new]
    #[pyo3(signature = (name, *, resource=None, parameters=Vec::new(), declares=None, record=None, pass_through=Vec::new(), engine=None, dangerous=false, credentials=Vec::new(), redacts=false, strict=true, wait=None))]
    #[allow(clippy::too_many_arguments)] // Each is one fact of the declaration.
    fn new(
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        resource: Option<&Bound<'_, PyAny>>,
        parameters: Vec<(Bound<'_, PyString>, u8, bool, Py<PyAny>)>,
        declares: Option<&str>,
        record: Option<&Bound<'_, PyDict>>,
        pass_through: Vec<String>,
        engine: Option<&engine::Engine>,
        dangerous: bool,
        credentials: Vec<String>,
        redacts: bool,
        strict: bool,
        wait: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let wrong = |message: &str| errors::invalid(py, message, "");
        for name in &credentials {
            crate::vault::check_name(name).map_err(|error| wrong(&error.to_string()))?;
        }
        if credentials.len() > core::MAX_LEASES {
            return Err(wrong("a tool uses at most 8 credentials"));
        }
        let name = &*text_of(name, "a tool's name")?;
        let resource = resource.map(|given| text_of(given, "a resource template")).transpose()?;
        let tool_name = match ToolName::parse(name) {
            Ok(name) => Ok(name),
            Err(error) if strict => return Err(wrong(&error.to_string())),
            Err(error) => Err(Reason::new(code::UNKNOWN_TOOL, error.to_string())),
        };
        let template = resource.as_deref().map(ResourceTemplate::parse).transpose();
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
        let (masking, result) = record_of(py, record)?;
        let masking = masking.deciding(parameters.iter().map(|parameter| &*parameter.text));
        let masked = template.iter().flat_map(|template| template.fields().iter());
        if let Some(field) = masked.into_iter().find(|field| masking.how(field) != Recorded::Keep) {
            let message = format!(
                "the resource template of `{name}` names `{field}`, which is masked, and a \
                 resource is recorded as it is"
            );
            let hint =
                format!("leave it out of the template, or write record={{\"{field}\": \"keep\"}}");
            return Err(errors::invalid(py, &message, &hint));
        }
        let declared = match (&tool_name, declares) {
            (Ok(tool), Some(text)) => {
                let declared = declaration(tool, template.as_ref(), dangerous, text);
                let declared = declared.map_err(|why| wrong(&why))?;
                let credentials = credentials.clone();
                let declared = ToolDeclaration { credentials, redacts, ..declared };
                Some(Arc::new(DeclaredTool::new(declared)))
            }
            _ => None,
        };
        let positional = parameters
            .iter()
            .filter(|p| matches!(p.kind, Kind::PositionalOnly | Kind::Positional))
            .count();
        Ok(Self {
            name: name.into(),
            tool_name,
            template,
            parameters,
            positional,
            masking: Arc::new(masking),
            result,
            engine: engine.map(|engine| engine.core.clone()),
            dangerous,
            wait: opening::above_zero(py, "wait", wait)?,
            declared,
            credentials: credentials.into_iter().map(String::into_boxed_str).collect(),
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

    /// How long a call that asks waits for its answer, in seconds; `None` where it does not.
    #[allow(clippy::cast_precision_loss)] // Seconds as a float, as everywhere in Python.
    fn patience(&self, approval: &Approval) -> Option<f64> {
        let wait = self.wait.or_else(|| approval.core().approval_wait());
        wait.map(|wait| wait as f64 / 1e6)
    }

    /// The credentials that a call of it is lent.
    #[getter]
    fn credentials(&self) -> Vec<String> {
        self.credentials.iter().map(|name| name.to_string()).collect()
    }

    /// Judges a call and records the decision. Answers the call and the arguments to pass on:
    /// the snapshot that was judged. With `wait` false, `call.pending` may still be true.
    ///
    /// `against` is a code and a sentence to deny it for; `defaulted` names arguments that were
    /// left at the tool's own default although they are given.
    ///
    /// Raises `AccessDenied`, and nothing else.
    #[pyo3(signature = (authority, parent, args, kwargs, *, receiver=false, wait=true, against=None, defaulted=Vec::new()))]
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
        defaulted: Vec<String>,
    ) -> PyResult<(Call, Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
        let core = match (&self.engine, authority) {
            (Some(engine), _) => engine.clone(),
            (None, Some(authority)) => authority.core.clone(),
            (None, None) => match opening::last() {
                Some(engine) => engine,
                None => return Err(no_engine(py, &self.name)),
            },
        };
        let mut pass = Passed::new(py, self.masking.clone());
        let bound = self.bind(args, kwargs, usize::from(receiver), &mut pass);
        pass.defaulted.extend(defaulted.into_iter().map(String::into_boxed_str));
        let mut request = bound.and_then(|()| self.request(&mut pass));
        if let (Ok(request), Some(authority)) = (&mut request, authority) {
            request.own.clone_from(&authority.own);
        }
        let (held, mut reason) = in_force(py, authority, &core);
        if let Some((code, message)) = against {
            reason = Some(Reason { code: code.into(), ..Reason::new(code::UNKNOWN_TOOL, message) });
        }
        let beside = pass.beside();
        let call = core::Call {
            tool: &self.name,
            request,
            by_type: &pass.by_type,
            beside: &beside,
            masking: &self.masking,
            bound: held,
            against: reason,
            parent: parent.and_then(Call::id),
            declared: self.declared.as_ref(),
            credentials: &self.credentials,
        };
        let mut judged = core.judge(&call);
        if wait && judged.must_wait {
            judged = py.detach(|| core.await_decision(judged));
        }
        if judged.decision.effect != Effect::Allow && (wait || !judged.must_wait) {
            return Err(denial(py, &self.name, &core, &judged));
        }
        let masking = judged.masking.clone().unwrap_or_else(|| self.masking.clone());
        let texts = match &call.request {
            Ok(request) => masking.texts(&request.arguments),
            Err(_) => Texts::default(),
        };
        let call = Call::new(self.name.clone(), core, judged, masking, self.result, texts);
        let args = PyTuple::new(py, pass.args)?;
        Ok((call, args, pass.kwargs))
    }

    fn __repr__(&self) -> String {
        format!("<tool {}>", shown(&self.name, 80))
    }
}

/// A tool's declaration, from its name and the arguments that Python read off its signature.
fn declaration(
    name: &ToolName,
    template: Option<&ResourceTemplate>,
    dangerous: bool,
    text: &str,
) -> Result<ToolDeclaration, String> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Read {
        arguments: BTreeMap<String, Declared>,
        open: bool,
    }
    let read: Read = serde_json::from_str(text)
        .map_err(|error| format!("the arguments of `{name}` cannot be declared: {error}"))?;
    let template = template.map(|template| template.fields()).unwrap_or_default();
    let declared = ToolDeclaration {
        name: name.clone(),
        arguments: read.arguments,
        open: read.open,
        template: template.iter().map(ToString::to_string).collect(),
        dangerous,
        credentials: Vec::new(),
        redacts: false,
    };
    declared.check().map_err(|why| format!("the arguments of `{name}`: {why}"))?;
    Ok(declared)
}

/// How arguments are recorded, from `{"memo": "mask"}`; `return` stands for the result.
fn record_of(py: Python<'_>, record: Option<&Bound<'_, PyDict>>) -> PyResult<(Masking, Recorded)> {
    let mut all = Vec::new();
    let mut result = Recorded::Keep;
    for (name, how) in record.into_iter().flat_map(|record| record.iter()) {
        let name = text_of(&name, "an argument's name in record")?;
        let how = match &*text_of(&how, "keep, mask or digest in record")? {
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
            if name.contains('.') && how == Recorded::Digest {
                let message = "a nested field is recorded by keep or mask, not by digest";
                return Err(errors::invalid(py, message, "digest the whole argument"));
            }
            all.push((name.into(), how));
        }
    }
    Ok((Masking::new(all), result))
}
