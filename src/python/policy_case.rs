//! A request that nobody made, from what Python states of it.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::convert::Dict;
use super::people::text_of;
use super::{convert, errors};
use crate::canonical::{Map, Value};
use crate::engine::{Case, CaseHuman, shown};
use crate::principal::Assurance;

pub(super) fn arguments_of(given: Option<&Dict<'_>>) -> Result<Map, String> {
    match given.map(|given| convert::to_value(&given.0)).transpose()? {
        Some(Value::Map(map)) => Ok(map),
        _ => Ok(Map::new()),
    }
}

/// The texts of a dict, its lists and its instants; anything else is refused by name.
struct Stated(Map);

impl Stated {
    fn of(py: Python<'_>, given: &Bound<'_, PyAny>, what: &str, words: &[&str]) -> PyResult<Self> {
        let hint = format!("{what} has {}", words.join(", "));
        let wrong = |why: String| errors::invalid(py, &why, &hint);
        let Value::Map(map) = convert::to_value(given).map_err(wrong)? else {
            return Err(wrong(format!("{what} is a dict, or text")));
        };
        if let Some((word, _)) = map.iter().find(|(word, _)| !words.contains(word)) {
            let word = shown(word, 40);
            return Err(errors::invalid(py, &format!("`{word}` means nothing in {what}"), &hint));
        }
        Ok(Self(map))
    }

    fn text(&self, py: Python<'_>, word: &str) -> PyResult<Option<String>> {
        match self.0.get(word) {
            None => Ok(None),
            Some(Value::Str(text)) => Ok(Some(text.to_string())),
            Some(_) => Err(errors::invalid(py, &format!("`{word}` is text"), "write it in quotes")),
        }
    }

    fn texts(&self, py: Python<'_>, word: &str) -> PyResult<Vec<String>> {
        let wrong =
            || errors::invalid(py, &format!("`{word}` is a list of texts"), "write `[\"a\"]`");
        let Some(value) = self.0.get(word) else { return Ok(Vec::new()) };
        let items = value.as_list().ok_or_else(wrong)?.iter();
        items.map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
    }

    fn instant(&self, py: Python<'_>, word: &str) -> PyResult<Option<i64>> {
        match self.0.get(word) {
            None => Ok(None),
            Some(Value::Datetime(at)) => Ok(Some(*at)),
            Some(_) => Err(errors::invalid(
                py,
                &format!("`{word}` is a datetime with a zone"),
                "write `2026-01-05T10:00:00Z`",
            )),
        }
    }
}

pub(super) fn human_of(py: Python<'_>, given: &Bound<'_, PyAny>) -> PyResult<CaseHuman> {
    let usual = CaseHuman::default();
    if given.cast::<PyString>().is_ok() {
        return Ok(CaseHuman { account: text_of(given, "an account")?, ..usual });
    }
    let words = ["id", "account", "issuer", "assurance", "groups"];
    let stated = Stated::of(py, given, "human", &words)?;
    let assurance = match stated.text(py, "assurance")?.as_deref() {
        None => usual.assurance,
        Some("asserted") => Assurance::Asserted,
        Some("oidc") => Assurance::Oidc,
        Some("signed") => Assurance::Signed,
        Some(_) => {
            return Err(errors::invalid(
                py,
                "there is no such assurance",
                "write asserted, oidc or signed",
            ));
        }
    };
    Ok(CaseHuman {
        id: stated.text(py, "id")?.unwrap_or(usual.id),
        account: stated.text(py, "account")?.unwrap_or(usual.account),
        issuer: stated.text(py, "issuer")?.unwrap_or(usual.issuer),
        assurance,
        groups: stated.texts(py, "groups")?,
    })
}

pub(super) fn agent_into(
    py: Python<'_>,
    given: &Bound<'_, PyAny>,
    case: &mut Case,
) -> PyResult<()> {
    if given.cast::<PyString>().is_ok() {
        case.agent = text_of(given, "an agent's name")?;
        return Ok(());
    }
    let stated = Stated::of(py, given, "agent", &["name", "purpose", "groups", "owner"])?;
    case.agent = stated.text(py, "name")?.unwrap_or_else(|| case.agent.clone());
    case.purpose = stated.text(py, "purpose")?.unwrap_or_default();
    case.agent_groups = stated.texts(py, "groups")?;
    let owner = given.get_item("owner").ok();
    case.owner = owner.map(|owner| human_of(py, &owner)).transpose()?;
    Ok(())
}

pub(super) fn chain_into(
    py: Python<'_>,
    given: &Bound<'_, PyAny>,
    case: &mut Case,
) -> PyResult<()> {
    let stated = if given.cast::<PyDict>().is_ok() {
        Stated::of(py, given, "chain", &["agents", "issued", "latest"])?
    } else {
        let wrong = |why: String| errors::invalid(py, &why, "give a list of agents' names");
        let agents = convert::to_value(given).map_err(wrong)?;
        let mut map = Map::new();
        map.insert("agents", agents);
        Stated(map)
    };
    case.agents = stated.texts(py, "agents")?;
    case.issued = stated.instant(py, "issued")?;
    case.latest = stated.instant(py, "latest")?;
    match case.agents.last() {
        Some(last) if *last != case.agent => Err(errors::invalid(
            py,
            "the chain does not end with the agent that acts",
            "name the agents from the root to the one that acts",
        )),
        _ => Ok(()),
    }
}
