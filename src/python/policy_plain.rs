//! Plain Cedar through the compiled path, for comparison with others' suites.

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::convert::{Flag, Text, expected, gone_through, listed};
use super::errors;
use crate::policy::{Effect, LoadFault, PlainBundle, PlainRequest, PlainSet};

/// An entity: type and id.
type Uid = (String, String);
/// Principal, action, resource, context as JSON, whether it must fit the schema.
type Asked = (Uid, Uid, Uid, String, bool);
/// Whether it is allowed, the determining ids, the erroring ids.
type Answer = (bool, Vec<String>, Vec<String>);

/// How many requests one call takes.
const MAX_REQUESTS: usize = 1_000_000;

/// Judges requests by plain Cedar; answers also the share of policies that are compiled. Ids are
/// the policies' own `@id`, or, `by_place`, where they stand: `policy0`, `policy1`, …
#[pyfunction]
#[pyo3(signature = (policies, entities, requests, schema=None, *, by_place=Flag(false)))]
pub(super) fn judge_cedar(
    py: Python<'_>,
    policies: Text<'_>,
    entities: Text<'_>,
    requests: &Bound<'_, PyAny>,
    schema: Option<Text<'_>>,
    by_place: Flag,
) -> PyResult<(Vec<Answer>, f64)> {
    // One by one, whatever length the object claims to have.
    let requests = gone_through(requests, MAX_REQUESTS, "a sequence of requests")?
        .iter()
        .map(asked)
        .collect::<PyResult<Vec<Asked>>>()?;
    let bundle = PlainBundle {
        policies: policies.to_string(),
        links: Vec::new(),
        entities: entities.to_string(),
        schema: schema.map(|text| text.to_string()),
    };
    py.detach(|| judge(&bundle, &requests, by_place.0)).map_err(|fault| refused(py, &fault))
}

const REQUEST: &str = "a request as principal, action, resource, context and whether it must fit";

fn asked(request: &Bound<'_, PyAny>) -> PyResult<Asked> {
    let wrong = || expected(request, REQUEST);
    let parts = listed(request).ok_or_else(wrong)?;
    let [principal, action, resource, context, validate] = parts.as_slice() else {
        return Err(wrong());
    };
    let validate = validate.extract::<Flag>()?.0;
    Ok((uid(principal)?, uid(action)?, uid(resource)?, text(context)?, validate))
}

fn uid(entity: &Bound<'_, PyAny>) -> PyResult<Uid> {
    let wrong = || expected(entity, "an entity as type and id");
    match entity.cast::<PyTuple>().map_err(|_| wrong())?.iter().collect::<Vec<_>>().as_slice() {
        [kind, id] => Ok((text(kind)?, text(id)?)),
        _ => Err(wrong()),
    }
}

fn text(object: &Bound<'_, PyAny>) -> PyResult<String> {
    Ok(object.extract::<Text<'_>>()?.to_string())
}

fn judge(
    bundle: &PlainBundle,
    requests: &[Asked],
    by_place: bool,
) -> Result<(Vec<Answer>, f64), LoadFault> {
    let set = PlainSet::load(bundle).map_err(|faults| {
        // INVARIANT: a refusal has at least one fault.
        faults.into_iter().next().unwrap_or_default()
    })?;
    let name = |policy| {
        set.policy(policy).map_or_else(String::new, |policy| match policy.annotation("id") {
            Some(id) if !by_place && !id.is_empty() => id.to_owned(),
            _ => policy.id.to_string(),
        })
    };
    let mut answers = Vec::with_capacity(requests.len());
    for (principal, action, resource, context, validate) in requests {
        let verdict = set.judge(&PlainRequest {
            principal: (&principal.0, &principal.1),
            action: (&action.0, &action.1),
            resource: (&resource.0, &resource.1),
            context,
            validate: *validate,
        })?;
        let allowed = verdict.plain_effect() == Effect::Permit;
        let determining = if allowed { &verdict.permits } else { &verdict.forbids };
        answers.push((
            allowed,
            determining.iter().map(name).collect(),
            verdict.errors.iter().map(|error| name(error.policy)).collect(),
        ));
    }
    let coverage = set.coverage();
    let share =
        if coverage.total == 0 { 1.0 } else { coverage.compiled as f64 / coverage.total as f64 };
    Ok((answers, share))
}

fn refused(py: Python<'_>, fault: &LoadFault) -> PyErr {
    let hint = fault.suggestion.as_deref().unwrap_or("correct it at its line and column");
    let place = |number: usize| match (number > 0).then_some(number).into_pyobject(py) {
        Ok(number) => number.unbind(),
        Err(_) => py.None(),
    };
    let details = [("line", place(fault.line)), ("column", place(fault.column))];
    let message = format!("{}: {}", fault.source, fault.message);
    errors::make(py, "InvalidPolicy", &message, "invalid_policy", hint, &details)
}
