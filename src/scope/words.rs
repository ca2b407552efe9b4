//! Caveats, limits and values in words, for messages. Nothing here decides.

use std::fmt;

use super::caveat::{Caveat, Kind};
use super::limit::Limit;
use crate::canonical::{Value, to_json};
use crate::request::{shorten, shown};

/// How much of a list a message shows.
const ITEMS: usize = 6;

/// A value for a message: its JSON rendering, at most 60 characters, hidden ones escaped.
pub(super) fn render(value: &Value) -> String {
    match value {
        // Only the start of a long text is worth quoting.
        Value::Str(text) if text.len() > 240 => {
            let start: String = text.chars().take(62).collect();
            shown(&to_json(&Value::str(&start)))
        }
        other => shown(&to_json(other)),
    }
}

/// Some items of a list, and how many more there are.
pub(super) fn list<T>(items: &[T], one: impl Fn(&T) -> String) -> String {
    if items.is_empty() {
        return "nothing".to_owned();
    }
    let mut out: Vec<String> = items.iter().take(ITEMS).map(one).collect();
    if items.len() > ITEMS {
        out.push(format!("{} more", items.len() - ITEMS));
    }
    out.join(", ")
}

fn quoted(text: &str) -> String {
    format!("`{}`", shown(text))
}

/// What the caveat allows, in words that follow "allowed is".
impl fmt::Display for Caveat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Any => f.write_str("anything"),
            Kind::Present => f.write_str("any value"),
            Kind::Absent => f.write_str("no value"),
            Kind::Equals(value) => write!(f, "exactly {}", render(value)),
            Kind::OneOf(values) => write!(f, "one of {}", list(values, render)),
            Kind::AtLeast(bound) => write!(f, "at least {}", render(bound)),
            Kind::AtMost(bound) => write!(f, "at most {}", render(bound)),
            Kind::Between(low, high) => write!(f, "from {} to {}", render(low), render(high)),
            Kind::StartsWith(text) => write!(f, "text that starts with {}", quoted(text)),
            Kind::EndsWith(text) => write!(f, "text that ends with {}", quoted(text)),
            Kind::Matches(head, tail) => {
                write!(f, "text like {}", quoted(&format!("{head}*{tail}")))
            }
            Kind::EmailAt(domain) => write!(f, "one e-mail address at {}", quoted(domain)),
            Kind::HostIn(hosts) => {
                write!(f, "a URL to one of {}", list(hosts, |host| quoted(host)))
            }
            Kind::Under(directory) => write!(f, "a path below {}", quoted(directory.as_str())),
            Kind::InNetwork(network) => write!(f, "an address in `{network}`"),
            Kind::Length(min, Some(max)) if min == max => write!(f, "a length of {min}"),
            Kind::Length(min, Some(max)) => write!(f, "a length from {min} to {max}"),
            Kind::Length(min, None) => write!(f, "a length of at least {min}"),
            Kind::Each(caveat) => write!(f, "a list each of whose items is {caveat}"),
            Kind::SubsetOf(values) => {
                write!(f, "a list of nothing but {}", list(values, render))
            }
            Kind::Contains(value) => write!(f, "a list that contains {}", render(value)),
            Kind::AllOf(caveats) => {
                let shown: Vec<String> = caveats.iter().take(ITEMS).map(Self::to_string).collect();
                f.write_str(&shown.join(" and "))?;
                if caveats.len() > ITEMS {
                    write!(f, " and {} more conditions", caveats.len() - ITEMS)?;
                }
                Ok(())
            }
            Kind::SameAs(name) => write!(f, "the same value as {}", quoted(name)),
        }
    }
}

/// A caveat in words of bounded length.
pub(super) fn words(caveat: &Caveat) -> String {
    let text = caveat.to_string();
    // Its parts are escaped already: only the length is cut here.
    match text.char_indices().nth(400) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calls(calls) => write!(f, "{calls} calls"),
            Self::Rate { calls, per_us } => write!(f, "{calls} calls in {per_us} µs"),
            Self::Total(total) => {
                let name = shorten(total.argument(), 60);
                write!(f, "a total of {} over `{name}`", render(total.max()))
            }
        }
    }
}
