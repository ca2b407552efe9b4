//! Plain Cedar through the compiled path, for comparison with others' suites.

use pyo3::prelude::*;

use super::errors;
use crate::policy::{Effect, LoadFault, PlainBundle, PlainRequest, PlainSet};

/// An entity: type and id.
type Uid = (String, String);
/// Principal, action, resource, context as JSON, whether it must fit the schema.
type Asked = (Uid, Uid, Uid, String, bool);
/// Whether it is allowed, the determining ids, the erroring ids.
type Answer = (bool, Vec<String>, Vec<String>);

/// Judges requests by plain Cedar; answers also the share of policies that are compiled. Ids are
/// the policies' own `@id`, or, `by_place`, where they stand: `policy0`, `policy1`, …
#[pyfunction]
#[pyo3(signature = (policies, entities, requests, schema=None, *, by_place=false))]
pub(super) fn judge_cedar(
    py: Python<'_>,
    policies: String,
    entities: String,
    requests: Vec<Asked>,
    schema: Option<String>,
    by_place: bool,
) -> PyResult<(Vec<Answer>, f64)> {
    let bundle = PlainBundle { policies, links: Vec::new(), entities, schema };
    py.detach(|| judge(&bundle, &requests, by_place)).map_err(|fault| refused(py, &fault))
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
    let hint = fault.suggestion.as_deref().unwrap_or("correct it at `line` and `column`");
    let place = |number: usize| match (number > 0).then_some(number).into_pyobject(py) {
        Ok(number) => number.unbind(),
        Err(_) => py.None(),
    };
    let details = [("line", place(fault.line)), ("column", place(fault.column))];
    let message = format!("{}: {}", fault.source, fault.message);
    errors::make(py, "InvalidPolicy", &message, "invalid_policy", hint, &details)
}
