//! Binding: a call's arguments become a request and the snapshot that is passed on.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use super::super::convert::{Budget, Unfit, snapshot, type_name};
use super::super::errors;
use super::tool::{Kind, Parameter, Tool};
use crate::canonical::{Map, Value};
use crate::decision::{Reason, code};
use crate::engine::{Masking, shown};
use crate::request::{Request, Resource, ToolName};

/// What a call passes on, while it is bound.
pub(super) struct Passed<'py> {
    entries: Vec<(Box<str>, Value)>,
    pub(super) args: Vec<Bound<'py, PyAny>>,
    pub(super) kwargs: Bound<'py, PyDict>,
    pub(super) defaulted: Vec<Box<str>>,
    pub(super) by_type: Vec<(Box<str>, String)>,
    /// What of each argument has no place in its canonical form.
    beside: Vec<(Box<str>, Vec<u8>)>,
    budget: Budget,
    masking: Arc<Masking>,
}

impl<'py> Passed<'py> {
    pub(super) fn new(py: Python<'py>, masking: Arc<Masking>) -> Self {
        Self {
            entries: Vec::with_capacity(8),
            args: Vec::with_capacity(8),
            kwargs: PyDict::new(py),
            defaulted: Vec::new(),
            by_type: Vec::new(),
            beside: Vec::new(),
            budget: Budget::default(),
            masking,
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
        let (value, copy) =
            snapshot(given, &mut self.budget).map_err(|why| bad(name, &why, &self.masking))?;
        self.entries.push((name.into(), value));
        self.note_beside(name);
        Ok(copy)
    }

    fn note_beside(&mut self, name: &str) {
        let beside = self.budget.take_beside();
        if !beside.is_empty() {
            self.beside.push((name.into(), beside));
        }
    }

    /// What the body gets of all arguments and their canonical forms leave out, in the order of the
    /// arguments' names.
    pub(super) fn beside(&mut self) -> Vec<u8> {
        let mut all = std::mem::take(&mut self.beside);
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all.into_iter().flat_map(|(_, beside)| beside).collect()
    }

    /// Notes that the argument read last was given as its own default: a framework fills in what
    /// the model left out, and that is as if nobody had given it.
    fn note_default(&mut self, parameter: &Parameter, given: &Bound<'py, PyAny>) {
        let Some(default) = &parameter.default else { return };
        let default = default.bind(given.py());
        if parameter.by_reference || !given.get_type().is(default.get_type()) {
            return;
        }
        let same = match (snapshot(default, &mut self.budget), self.entries.last()) {
            (Ok((value, _)), Some((_, read))) => value == *read,
            _ => false,
        };
        // The argument's own is noted.
        drop(self.budget.take_beside());
        if same {
            self.defaulted.push(parameter.text.clone());
        }
    }

    /// Reads a default at the time of the call. Answers what to pass on where that is not the
    /// default itself: what can change is passed on as it was judged.
    fn take_default(
        &mut self,
        parameter: &Parameter,
        default: &Bound<'py, PyAny>,
    ) -> Option<Bound<'py, PyAny>> {
        if parameter.by_reference {
            return None;
        }
        self.defaulted.push(parameter.text.clone());
        match snapshot(default, &mut self.budget) {
            Ok((value, copy)) => {
                self.entries.push((parameter.text.clone(), value));
                self.note_beside(&parameter.text);
                (!copy.is(default)).then_some(copy)
            }
            Err(_) => {
                drop(self.budget.take_beside());
                self.by_type.push((parameter.text.clone(), type_name(default)));
                None
            }
        }
    }
}

fn bad(name: &str, why: &Unfit, masking: &Masking) -> Vec<Reason> {
    let why = why.told_of(name, masking);
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
    pub(super) fn bind<'py>(
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
                    pass.note_default(parameter, &given);
                    pass.args.push(copy);
                }
                (None, Some(parameter)) if parameter.by_reference => {
                    if place == self.positional.max(receiver) {
                        pass.by_type.push((parameter.text.clone(), "tuple".to_owned()));
                    }
                    pass.args.push(given);
                }
                (None, Some(parameter)) => {
                    let (value, copy) = snapshot(&given, &mut pass.budget)
                        .map_err(|why| bad(&parameter.text, &why, &pass.masking))?;
                    rest.push(value);
                    pass.note_beside(&parameter.text);
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
                    pass.note_default(parameter, &given);
                    set(&pass.kwargs, parameter.name.bind(py), copy)?;
                }
                (None, Some(default)) => {
                    let default = default.bind(py);
                    let copy = pass.take_default(parameter, default);
                    if !by_name {
                        // By place there is no leaving out: the next may be given.
                        pass.args.push(copy.unwrap_or_else(|| default.clone()));
                    } else if let Some(copy) = copy {
                        set(&pass.kwargs, parameter.name.bind(py), copy)?;
                    }
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
            // Exactly text: a subclass could compare as it likes.
            let text = name.cast_exact::<PyString>().ok().and_then(|name| name.to_str().ok());
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

    pub(super) fn request(&self, pass: &mut Passed<'_>) -> Result<Request, Vec<Reason>> {
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

/// A request from names: what `engine.check` judges.
pub(in crate::python) fn bind_named(
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
        let masking = Masking::default();
        let (value, _) = snapshot(&given, &mut budget).map_err(|why| bad(&text, &why, &masking))?;
        entries.push((text.into(), value));
    }
    let arguments = Map::from_entries(entries)
        .map_err(|name| misfit(format!("the argument `{}` is given twice", shown(&name, 60))))?;
    let mut request = Request::new(tool, arguments);
    if let Some(resource) = resource {
        let parsed = Resource::parse(resource).map_err(|error| {
            vec![Reason::new(code::INVALID_RESOURCE, error.to_string()).fix(errors::RESOURCE)]
        })?;
        request.resource = Some(parsed);
    }
    Ok(request)
}
