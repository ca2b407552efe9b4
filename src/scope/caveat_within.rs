//! Which caveats are within which: the matrix, decided for every pair.
//!
//! A child `c` is within a parent `p` if `p` allows whatever `c` allows, missing arguments
//! included, whatever the other arguments are. Sound and not complete: unknown is no. From the top:
//!
//! | child | parent | within if |
//! |---|---|---|
//! | each | `any` | always |
//! | each | `all_of` | within each of its parts |
//! | `all_of` | other | one of its parts is |
//! | each | `present` | the child refuses a missing argument |
//! | `absent` | `absent` | always |
//! | `equals`, `one_of` | other | the parent allows each value, with `same_as` counted as no |
//! | `at_least`, `at_most`, `between` | the same three | each bound of the parent is met by one of the child |
//! | `starts_with` | `starts_with` | the child's text extends the parent's |
//! | `ends_with` | `ends_with` | the child's text extends the parent's, to the front |
//! | `matches` | `starts_with`, `ends_with` | the part before (after) its `*` extends the text |
//! | `matches` | `matches` | both parts extend, by what the parent's `*` may stand for |
//! | `email_at` | `email_at` | the same domain |
//! | `host_in` | `host_in` | a subset |
//! | `under` | `under` | the same directory or one below |
//! | `under` | `starts_with` | the directory with its `/` extends the text |
//! | `in_network` | `in_network` | a part of the network |
//! | `length` | `length` | a part of the interval |
//! | what has a length | `length` without a maximum | the child's least length reaches the minimum |
//! | `each` | `each` | the inner ones are |
//! | `each` | `subset_of` | the inner one is within `one_of` these values |
//! | `subset_of` | `each` | the inner one allows each value |
//! | `subset_of` | `subset_of` | a subset |
//! | `contains` | `contains` | the same value |
//! | `contains` | `each` | `present` is within the inner one |
//! | `same_as` | `same_as` | the same name |
//! | all other pairs | | never |
//!
//! `email_at` is not within `ends_with`: it takes the domain in any case of letters.

use std::cmp::Ordering;

use super::caveat::{Caveat, Kind, order};
use super::form::is_wild_character;
use crate::canonical::Value;

impl Caveat {
    /// Whether `parent` allows whatever this allows.
    #[must_use]
    pub fn within(&self, parent: &Self) -> bool {
        match (&self.kind, &parent.kind) {
            (_, Kind::Any) => true,
            (_, Kind::AllOf(parts)) => parts.iter().all(|part| self.within(part)),
            (Kind::AllOf(parts), _) => parts.iter().any(|part| part.within(parent)),
            (Kind::Equals(value), _) => parent.judge(Some(value), None),
            (Kind::OneOf(values), _) => values.iter().all(|v| parent.judge(Some(v), None)),
            (_, Kind::Present) => !self.judge(None, None),
            (Kind::Absent, Kind::Absent) => true,
            (
                Kind::AtLeast(_) | Kind::AtMost(_) | Kind::Between(..),
                Kind::AtLeast(_) | Kind::AtMost(_) | Kind::Between(..),
            ) => interval_within(bounds(&self.kind), bounds(&parent.kind)),
            (Kind::StartsWith(own), Kind::StartsWith(text))
            | (Kind::Matches(own, _), Kind::StartsWith(text)) => own.starts_with(&**text),
            (Kind::EndsWith(own), Kind::EndsWith(text))
            | (Kind::Matches(_, own), Kind::EndsWith(text)) => own.ends_with(&**text),
            (Kind::Matches(head, tail), Kind::Matches(outer_head, outer_tail)) => {
                let head = head.strip_prefix(&**outer_head);
                let tail = tail.strip_suffix(&**outer_tail);
                head.zip(tail).is_some_and(|(head, tail)| wild_around(head, tail))
            }
            (Kind::EmailAt(own), Kind::EmailAt(domain)) => own == domain,
            (Kind::HostIn(own), Kind::HostIn(hosts)) => own.iter().all(|h| hosts.contains(h)),
            (Kind::Under(own), Kind::Under(directory)) => own.within(directory),
            (Kind::Under(own), Kind::StartsWith(text)) => own.starts_with(text),
            (Kind::InNetwork(own), Kind::InNetwork(network)) => own.within(network),
            (Kind::Length(min, max), Kind::Length(outer_min, outer_max)) => {
                min >= outer_min
                    && outer_max.is_none_or(|outer| max.is_some_and(|max| max <= outer))
            }
            (own, Kind::Length(min, None)) => {
                least_length(own).is_some_and(|own| u64::try_from(own).is_ok_and(|own| own >= *min))
            }
            (Kind::Each(own), Kind::Each(outer)) => own.within(outer),
            (Kind::Each(own), Kind::SubsetOf(values)) => own.within_values(values),
            (Kind::SubsetOf(own), Kind::Each(outer)) => {
                own.iter().all(|v| outer.judge(Some(v), None))
            }
            (Kind::SubsetOf(own), Kind::SubsetOf(values)) => own.iter().all(|v| values.contains(v)),
            (Kind::Contains(own), Kind::Contains(value)) => own == value,
            (Kind::Contains(_), Kind::Each(outer)) => Self::present().within(outer),
            (Kind::SameAs(own), Kind::SameAs(name)) => own == name,
            _ => false,
        }
    }

    /// Whether this is within `one_of` these values.
    fn within_values(&self, values: &[Value]) -> bool {
        match &self.kind {
            Kind::Equals(value) => values.contains(value),
            Kind::OneOf(own) => own.iter().all(|v| values.contains(v)),
            Kind::AllOf(parts) => parts.iter().any(|part| part.within_values(values)),
            _ => false,
        }
    }
}

type Bounds<'a> = (Option<&'a Value>, Option<&'a Value>);

fn bounds(kind: &Kind) -> Bounds<'_> {
    match kind {
        Kind::AtLeast(low) => (Some(low), None),
        Kind::AtMost(high) => (None, Some(high)),
        Kind::Between(low, high) => (Some(low), Some(high)),
        _ => (None, None),
    }
}

fn interval_within(own: Bounds<'_>, outer: Bounds<'_>) -> bool {
    let met = |own: Option<&Value>, outer: Option<&Value>, side: fn(Ordering) -> bool| match outer {
        None => true,
        Some(outer) => own.and_then(|own| order(own, outer)).is_some_and(side),
    };
    met(own.0, outer.0, Ordering::is_ge) && met(own.1, outer.1, Ordering::is_le)
}

/// Whether a wild text with these literals around it is a wild text. A dot next to it could meet
/// a dot inside it.
fn wild_around(head: &str, tail: &str) -> bool {
    let plain = |text: &str| text.chars().all(is_wild_character) && !text.contains("..");
    plain(head) && plain(tail) && !head.ends_with('.') && !tail.starts_with('.')
}

/// The least length of what has a length and passes.
fn least_length(kind: &Kind) -> Option<usize> {
    Some(match kind {
        Kind::StartsWith(text) | Kind::EndsWith(text) => text.chars().count(),
        Kind::Matches(head, tail) => head.chars().count() + tail.chars().count(),
        // A character and the `@`.
        Kind::EmailAt(domain) => domain.len() + 2,
        Kind::Under(directory) => directory.min_length(),
        Kind::HostIn(_) | Kind::InNetwork(_) | Kind::Each(_) | Kind::SubsetOf(_) => 0,
        Kind::Contains(_) => 1,
        _ => return None,
    })
}
