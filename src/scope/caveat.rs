//! Caveats: conditions on one argument. `docs/caveats.md` has a row for each.

use std::cmp::Ordering;

use super::error::{ScopeError, at_most};
use super::form::{Directory, Network, address_at, is_wild};
use super::name::{check_name, field};
use crate::canonical::{Int, Map, Value, compare_numbers};
use crate::request::{host, host_of};

/// How deep caveats nest in one another.
pub const MAX_CAVEAT_DEPTH: usize = 4;
/// The most caveats in one, itself included.
pub const MAX_CAVEAT_PARTS: usize = 256;
/// The most values, hosts or caveats that one caveat lists.
pub const MAX_CAVEAT_ITEMS: usize = 256;
/// The longest text or encoded value in a caveat, in bytes.
pub const MAX_CAVEAT_BYTES: usize = 4096;
/// The largest count on the wire: what every JSON reader holds exactly.
pub const MAX_COUNT: u64 = (1 << 53) - 1;

/// A condition on one argument. It can only be built sound, so judging it never fails.
#[derive(Debug, Clone, PartialEq)]
pub struct Caveat {
    pub(super) kind: Kind,
}

/// What a caveat asks.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Any,
    Present,
    Absent,
    Equals(Value),
    OneOf(Box<[Value]>),
    AtLeast(Value),
    AtMost(Value),
    Between(Value, Value),
    StartsWith(Box<str>),
    EndsWith(Box<str>),
    /// Before and after the `*`.
    Matches(Box<str>, Box<str>),
    EmailAt(Box<str>),
    HostIn(Box<[Box<str>]>),
    Under(Directory),
    InNetwork(Network),
    Length(u64, Option<u64>),
    Each(Box<Caveat>),
    SubsetOf(Box<[Value]>),
    Contains(Value),
    AllOf(Box<[Caveat]>),
    SameAs(Box<str>),
}

impl Caveat {
    /// Anything at all, also a missing argument.
    #[must_use]
    pub fn any() -> Self {
        Self { kind: Kind::Any }
    }

    /// Any value, but not a missing argument.
    #[must_use]
    pub fn present() -> Self {
        Self { kind: Kind::Present }
    }

    /// Only a missing argument.
    #[must_use]
    pub fn absent() -> Self {
        Self { kind: Kind::Absent }
    }

    /// Exactly this value, of exactly this type.
    ///
    /// # Errors
    /// A value of more than 4,096 bytes, or with a float that is not finite.
    pub fn equals(value: Value) -> Result<Self, ScopeError> {
        check_value("equals", &value)?;
        Ok(Self { kind: Kind::Equals(value) })
    }

    /// Exactly one of these values; none for an empty list.
    ///
    /// # Errors
    /// As `equals`; more than 256 values.
    pub fn one_of(values: Vec<Value>) -> Result<Self, ScopeError> {
        check_values("one_of", &values)?;
        Ok(Self { kind: Kind::OneOf(values.into()) })
    }

    /// A number (int, float, Decimal, by exact value) or datetime not below this.
    ///
    /// # Errors
    /// A bound that is neither.
    pub fn at_least(bound: Value) -> Result<Self, ScopeError> {
        check_bound("at_least", &bound)?;
        Ok(Self { kind: Kind::AtLeast(bound) })
    }

    /// A number or datetime not above this.
    ///
    /// # Errors
    /// A bound that is neither.
    pub fn at_most(bound: Value) -> Result<Self, ScopeError> {
        check_bound("at_most", &bound)?;
        Ok(Self { kind: Kind::AtMost(bound) })
    }

    /// A number or datetime from `low` to `high`, both included.
    ///
    /// # Errors
    /// Bounds that are neither, of two sorts, or in the wrong order.
    pub fn between(low: Value, high: Value) -> Result<Self, ScopeError> {
        check_bound("between", &low)?;
        check_bound("between", &high)?;
        match order(&low, &high) {
            None => Err(refused("between", "its bounds are a number and a datetime")),
            Some(Ordering::Greater) => {
                Err(refused("between", "the lower bound is above the upper"))
            }
            Some(_) => Ok(Self { kind: Kind::Between(low, high) }),
        }
    }

    /// Text that starts with this.
    ///
    /// # Errors
    /// Empty text, or more than 4,096 bytes.
    pub fn starts_with(text: &str) -> Result<Self, ScopeError> {
        check_text("starts_with", text)?;
        Ok(Self { kind: Kind::StartsWith(text.into()) })
    }

    /// Text that ends with this.
    ///
    /// # Errors
    /// Empty text, or more than 4,096 bytes.
    pub fn ends_with(text: &str) -> Result<Self, ScopeError> {
        check_text("ends_with", text)?;
        Ok(Self { kind: Kind::EndsWith(text.into()) })
    }

    /// Text like this one, whose one `*` stands for any text, also none, that holds no separator
    /// (``/ \ , ; : | @ ? # & = < > " ' ` ``), no `..`, no white space, nothing invisible.
    ///
    /// # Errors
    /// No `*` or several, or more than 4,096 bytes.
    pub fn matches(text: &str) -> Result<Self, ScopeError> {
        check_text("matches", text)?;
        match text.split_once('*') {
            Some((_, tail)) if tail.contains('*') => {
                Err(refused("matches", "it holds more than one `*`"))
            }
            Some((head, tail)) => Ok(Self { kind: Kind::Matches(head.into(), tail.into()) }),
            None => Err(refused("matches", "it holds no `*`: write `equals` for exact text")),
        }
    }

    /// Text that is one e-mail address at this domain, whatever the case of the domain's letters.
    ///
    /// # Errors
    /// Not a domain name in ASCII.
    pub fn email_at(domain: &str) -> Result<Self, ScopeError> {
        let named = host(domain).is_ok()
            && !domain.starts_with('[')
            && domain.parse::<std::net::Ipv4Addr>().is_err();
        if !named {
            return Err(refused("email_at", "the domain is not a name in ASCII"));
        }
        Ok(Self { kind: Kind::EmailAt(domain.to_ascii_lowercase().into()) })
    }

    /// Text that is an `http`, `https`, `ws` or `wss` URL to one of these hosts, on any port.
    ///
    /// # Errors
    /// A host that is none, or more than 256.
    pub fn host_in<T: AsRef<str>>(hosts: &[T]) -> Result<Self, ScopeError> {
        at_most("hosts in `host_in`", hosts.len(), MAX_CAVEAT_ITEMS)?;
        let mut lower: Vec<Box<str>> = Vec::with_capacity(hosts.len());
        for text in hosts {
            host(text.as_ref()).map_err(|why| refused("host_in", why))?;
            lower.push(text.as_ref().to_ascii_lowercase().into());
        }
        Ok(Self { kind: Kind::HostIn(lower.into()) })
    }

    /// Text that is a canonical path below this directory; the directory itself is not below it.
    ///
    /// # Errors
    /// Not a canonical directory.
    pub fn under(directory: &str) -> Result<Self, ScopeError> {
        let directory = Directory::parse(directory).map_err(|why| refused("under", why))?;
        Ok(Self { kind: Kind::Under(directory) })
    }

    /// Text that is an IPv4 or IPv6 address in this network, such as `10.0.0.0/8`.
    ///
    /// # Errors
    /// Not a network in canonical form.
    pub fn in_network(network: &str) -> Result<Self, ScopeError> {
        let network = Network::parse(network).map_err(|why| refused("in_network", why))?;
        Ok(Self { kind: Kind::InNetwork(network) })
    }

    /// Characters of text, items of a list or tuple, bytes, or entries of a dict: from `min` to
    /// `max`, both included.
    ///
    /// # Errors
    /// `min` above `max`, or a count above 2^53 - 1.
    pub fn length(min: u64, max: Option<u64>) -> Result<Self, ScopeError> {
        if min > MAX_COUNT || max.is_some_and(|max| max > MAX_COUNT) {
            return Err(refused("length", "a count is above 2^53 - 1"));
        }
        if max.is_some_and(|max| min > max) {
            return Err(refused("length", "the lower bound is above the upper"));
        }
        Ok(Self { kind: Kind::Length(min, max) })
    }

    /// A list or tuple each of whose items passes.
    ///
    /// # Errors
    /// More than four levels or 256 caveats.
    pub fn each(caveat: Self) -> Result<Self, ScopeError> {
        Self { kind: Kind::Each(Box::new(caveat)) }.bounded()
    }

    /// A list or tuple each of whose items is one of these values.
    ///
    /// # Errors
    /// As `one_of`.
    pub fn subset_of(values: Vec<Value>) -> Result<Self, ScopeError> {
        check_values("subset_of", &values)?;
        Ok(Self { kind: Kind::SubsetOf(values.into()) })
    }

    /// A list or tuple with this item.
    ///
    /// # Errors
    /// As `equals`.
    pub fn contains(value: Value) -> Result<Self, ScopeError> {
        check_value("contains", &value)?;
        Ok(Self { kind: Kind::Contains(value) })
    }

    /// What passes all of these.
    ///
    /// # Errors
    /// None, more than 256, or more than four levels.
    pub fn all_of(caveats: Vec<Self>) -> Result<Self, ScopeError> {
        if caveats.is_empty() {
            return Err(refused("all_of", "it lists nothing: write `any` for no condition"));
        }
        Self { kind: Kind::AllOf(caveats.into()) }.bounded()
    }

    /// The same value, of the same type, as another argument or field.
    ///
    /// # Errors
    /// Not a name.
    pub fn same_as(name: &str) -> Result<Self, ScopeError> {
        check_name(name)?;
        Ok(Self { kind: Kind::SameAs(name.into()) })
    }

    fn bounded(self) -> Result<Self, ScopeError> {
        if self.depth() > MAX_CAVEAT_DEPTH {
            return Err(refused(self.word(), "caveats nest more than four deep"));
        }
        at_most("caveats in one", self.parts(), MAX_CAVEAT_PARTS)?;
        Ok(self)
    }

    fn depth(&self) -> usize {
        match &self.kind {
            Kind::Each(caveat) => 1 + caveat.depth(),
            Kind::AllOf(caveats) => 1 + caveats.iter().map(Self::depth).max().unwrap_or(0),
            _ => 1,
        }
    }

    fn parts(&self) -> usize {
        match &self.kind {
            Kind::Each(caveat) => 1 + caveat.parts(),
            Kind::AllOf(caveats) => 1 + caveats.iter().map(Self::parts).sum::<usize>(),
            _ => 1,
        }
    }

    /// The word on the wire.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match &self.kind {
            Kind::Any => "any",
            Kind::Present => "present",
            Kind::Absent => "absent",
            Kind::Equals(_) => "equals",
            Kind::OneOf(_) => "one_of",
            Kind::AtLeast(_) => "at_least",
            Kind::AtMost(_) => "at_most",
            Kind::Between(..) => "between",
            Kind::StartsWith(_) => "starts_with",
            Kind::EndsWith(_) => "ends_with",
            Kind::Matches(..) => "matches",
            Kind::EmailAt(_) => "email_at",
            Kind::HostIn(_) => "host_in",
            Kind::Under(_) => "under",
            Kind::InNetwork(_) => "in_network",
            Kind::Length(..) => "length",
            Kind::Each(_) => "each",
            Kind::SubsetOf(_) => "subset_of",
            Kind::Contains(_) => "contains",
            Kind::AllOf(_) => "all_of",
            Kind::SameAs(_) => "same_as",
        }
    }

    /// Whether an argument passes; `None` is a missing one. `arguments` are those of the call, for
    /// `same_as`.
    #[must_use]
    pub fn allows(&self, value: Option<&Value>, arguments: &Map) -> bool {
        self.judge(value, Some(arguments))
    }

    /// As `allows`; without arguments, whether the value passes whatever the others are.
    pub(super) fn judge(&self, value: Option<&Value>, arguments: Option<&Map>) -> bool {
        let Some(value) = value else {
            return match &self.kind {
                Kind::Any | Kind::Absent => true,
                Kind::AllOf(caveats) => caveats.iter().all(|c| c.judge(None, arguments)),
                _ => false,
            };
        };
        let text = value.as_str();
        match &self.kind {
            Kind::Any | Kind::Present => true,
            Kind::Absent => false,
            Kind::Equals(wanted) => value == wanted,
            Kind::OneOf(wanted) => wanted.contains(value),
            Kind::AtLeast(low) => order(value, low).is_some_and(Ordering::is_ge),
            Kind::AtMost(high) => order(value, high).is_some_and(Ordering::is_le),
            Kind::Between(low, high) => {
                order(value, low).is_some_and(Ordering::is_ge)
                    && order(value, high).is_some_and(Ordering::is_le)
            }
            Kind::StartsWith(start) => text.is_some_and(|text| text.starts_with(&**start)),
            Kind::EndsWith(end) => text.is_some_and(|text| text.ends_with(&**end)),
            Kind::Matches(head, tail) => text
                .and_then(|text| text.strip_prefix(&**head)?.strip_suffix(&**tail))
                .is_some_and(is_wild),
            Kind::EmailAt(domain) => text.is_some_and(|text| address_at(text, domain)),
            Kind::HostIn(hosts) => text
                .and_then(host_of)
                .is_some_and(|host| hosts.iter().any(|own| host.eq_ignore_ascii_case(own))),
            Kind::Under(directory) => text.is_some_and(|text| directory.holds(text)),
            Kind::InNetwork(network) => text.is_some_and(|text| network.holds(text)),
            Kind::Length(min, max) => {
                length(value).is_some_and(|n| n >= *min && max.is_none_or(|max| n <= max))
            }
            Kind::Each(caveat) => items(value)
                .is_some_and(|items| items.iter().all(|v| caveat.judge(Some(v), arguments))),
            Kind::SubsetOf(wanted) => {
                items(value).is_some_and(|items| items.iter().all(|v| wanted.contains(v)))
            }
            Kind::Contains(wanted) => items(value).is_some_and(|items| items.contains(wanted)),
            Kind::AllOf(caveats) => caveats.iter().all(|c| c.judge(Some(value), arguments)),
            Kind::SameAs(name) => {
                arguments.and_then(|arguments| field(arguments, name)) == Some(value)
            }
        }
    }
}

/// The exact order of two numbers or two datetimes; `None` for all else.
pub(super) fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Datetime(a), Value::Datetime(b)) => Some(a.cmp(b)),
        (Value::Int(a @ Int::Big(_)), Value::Int(b))
        | (Value::Int(a), Value::Int(b @ Int::Big(_))) => Some(order_integers(a, b)),
        _ => compare_numbers(a, b),
    }
}

/// Two's complement in minimal form: the sign, then the length, then the bytes.
fn order_integers(a: &Int, b: &Int) -> Ordering {
    a.with_bytes(|a| {
        b.with_bytes(|b| {
            let negative = |n: &[u8]| n.first().is_some_and(|byte| byte & 0x80 != 0);
            match (negative(a), negative(b)) {
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
                (false, false) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
                (true, true) => b.len().cmp(&a.len()).then_with(|| a.cmp(b)),
            }
        })
    })
}

fn items(value: &Value) -> Option<&[Value]> {
    match value {
        Value::List(items) | Value::Tuple(items) => Some(items),
        _ => None,
    }
}

fn length(value: &Value) -> Option<u64> {
    let count = match value {
        Value::Str(text) => text.chars().count(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(items) | Value::Tuple(items) => items.len(),
        Value::Map(map) => map.len(),
        _ => return None,
    };
    u64::try_from(count).ok()
}

fn refused(caveat: &'static str, why: &'static str) -> ScopeError {
    ScopeError::Caveat { caveat, why }
}

fn check_text(caveat: &'static str, text: &str) -> Result<(), ScopeError> {
    if text.is_empty() {
        return Err(refused(caveat, "its text is empty"));
    }
    if text.len() > MAX_CAVEAT_BYTES {
        return Err(refused(caveat, "its text is longer than 4096 bytes"));
    }
    Ok(())
}

fn check_bound(caveat: &'static str, bound: &Value) -> Result<(), ScopeError> {
    check_value(caveat, bound)?;
    if order(bound, bound).is_none() {
        return Err(refused(caveat, "its bound is no int, float, Decimal or datetime"));
    }
    Ok(())
}

fn check_values(caveat: &'static str, values: &[Value]) -> Result<(), ScopeError> {
    at_most("values in one caveat", values.len(), MAX_CAVEAT_ITEMS)?;
    values.iter().try_for_each(|value| check_value(caveat, value))
}

fn check_value(caveat: &'static str, value: &Value) -> Result<(), ScopeError> {
    if value.encode().len() > MAX_CAVEAT_BYTES {
        return Err(refused(caveat, "its value is longer than 4096 bytes"));
    }
    if !finite(value) {
        return Err(refused(caveat, "its value holds a float that is not finite"));
    }
    Ok(())
}

fn finite(value: &Value) -> bool {
    match value {
        Value::Float(number) => number.is_finite(),
        Value::List(items) | Value::Tuple(items) => items.iter().all(finite),
        Value::Map(map) => map.iter().all(|(_, v)| finite(v)),
        Value::Record(record) => record.fields.iter().all(|(_, v)| finite(v)),
        Value::Enum(member) => finite(&member.value),
        _ => true,
    }
}
