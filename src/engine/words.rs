//! Words for people: capabilities, what a hop narrowed away, text that cannot harm a terminal.

use std::fmt::Write as _;

use crate::request::is_hidden;
use crate::scope::{Capability, Scope};

/// A capability in words.
#[must_use]
pub fn describe(capability: &Capability) -> String {
    let mut text = capability.tool().as_str().to_owned();
    if let Some(patterns) = capability.resource() {
        let patterns: Vec<&str> = patterns.iter().map(|pattern| pattern.as_str()).collect();
        let _ = match patterns.as_slice() {
            [] => write!(text, " on nothing"),
            patterns => write!(text, " on {}", patterns.join(" or ")),
        };
    }
    if let Some(caveats) = capability.where_() {
        let caveats: Vec<String> =
            caveats.iter().map(|(name, caveat)| format!("{name} {caveat}")).collect();
        let _ = match caveats.as_slice() {
            [] => write!(text, " without arguments"),
            caveats => write!(text, " where {}", caveats.join(" and ")),
        };
    }
    for limit in capability.limits() {
        let _ = write!(text, ", {limit}");
    }
    text
}

/// What a child scope leaves out of its parent, a line a difference.
pub(super) fn narrowed(parent: &Scope, child: &Scope) -> Vec<String> {
    let fits = |child: &Capability, parent: &Capability| {
        let one = |c: &Capability| Scope::new(vec![c.clone()]).ok();
        matches!((one(child), one(parent)), (Some(c), Some(p)) if c.within(&p).is_ok())
    };
    let mut lines = Vec::new();
    for above in parent.capabilities() {
        let below: Vec<&Capability> =
            child.capabilities().iter().filter(|below| fits(below, above)).collect();
        if below.is_empty() {
            lines.push(format!("{} was not passed on", describe(above)));
        }
        for below in below {
            if below != above {
                lines.push(format!("{}: {}", below.tool(), differences(above, below).join("; ")));
            }
        }
    }
    lines
}

/// In what one capability is narrower than the one it lies in.
fn differences(above: &Capability, below: &Capability) -> Vec<String> {
    let mut found = Vec::new();
    if above.tool() != below.tool() {
        found.push(format!("tool {} → {}", above.tool(), below.tool()));
    }
    let on = |capability: &Capability| match capability.resource() {
        None => "anything".to_owned(),
        Some([]) => "nothing".to_owned(),
        Some(patterns) => {
            let patterns: Vec<&str> = patterns.iter().map(|pattern| pattern.as_str()).collect();
            brief(&patterns.join(" or "))
        }
    };
    if above.resource() != below.resource() {
        found.push(format!("on {} → {}", on(above), on(below)));
    }
    for (name, caveat) in below.where_().unwrap_or_default() {
        let before = above.where_().and_then(|all| all.iter().find(|(other, _)| other == name));
        match before {
            Some((_, before)) if before == caveat => {}
            Some((_, before)) => {
                let (before, after) = (brief(&before.to_string()), brief(&caveat.to_string()));
                found.push(format!("{name} {before} → {after}"));
            }
            None => found.push(format!("{name} → {}", brief(&caveat.to_string()))),
        }
    }
    for limit in below.limits() {
        if !above.limits().contains(limit) {
            found.push(format!("at most {limit}"));
        }
    }
    if found.is_empty() {
        found.push("no limits of its own".to_owned());
    }
    found
}

/// The start of a long text.
fn brief(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Text for a terminal: control, format and bidirectional characters escaped, shortened.
#[must_use]
pub fn shown(text: &str, most: usize) -> String {
    let mut out = String::with_capacity(text.len().min(most));
    for (count, c) in text.chars().enumerate() {
        if count >= most {
            out.push('…');
            break;
        }
        if is_hidden(c) {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}
