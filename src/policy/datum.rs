//! Values at rest: constants of policies, attributes of entities, what a chain says of itself.

use std::cmp::Ordering;
use std::net::IpAddr;

use super::names::{Ent, NONE, Symbol};

/// One value of the policy language. The order is ours and total: it only sorts sets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Datum {
    Bool(bool),
    Long(i64),
    /// Ten-thousandths.
    Decimal(i64),
    /// Milliseconds since 1970-01-01T00:00:00Z.
    Datetime(i64),
    /// Milliseconds.
    Duration(i64),
    Ip(Ip),
    Str(Box<str>),
    Entity(Ent),
    /// Sorted, each element once: build it with [`Datum::set`].
    Set(Box<[Datum]>),
    Record(Fields),
}

impl Datum {
    pub(super) fn set(mut items: Vec<Datum>) -> Self {
        items.sort_unstable();
        items.dedup();
        Self::Set(items.into())
    }
}

/// An address or a network: an address and how many of its leading bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ip {
    pub(super) address: IpAddr,
    pub(super) prefix: u8,
}

impl Ip {
    pub(super) fn is_v4(&self) -> bool {
        self.address.is_ipv4()
    }

    pub(super) fn is_loopback(&self) -> bool {
        self.address.is_loopback() && self.prefix >= if self.is_v4() { 8 } else { 128 }
    }

    pub(super) fn is_multicast(&self) -> bool {
        self.address.is_multicast() && self.prefix >= if self.is_v4() { 4 } else { 8 }
    }

    /// Whether all its addresses are among the other's.
    pub(super) fn is_in_range(&self, other: &Self) -> bool {
        let (own, other_bits, width) = match (self.address, other.address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                (u128::from(u32::from(a)), u128::from(u32::from(b)), 32)
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => (u128::from(a), u128::from(b), 128),
            _ => return false,
        };
        let all = u128::MAX >> (128 - width);
        let host = |prefix: u8| all.checked_shr(u32::from(prefix)).unwrap_or(0);
        let low = own & !host(self.prefix) & all;
        let high = own | host(self.prefix);
        let other_low = other_bits & !host(other.prefix) & all;
        let other_high = other_bits | host(other.prefix);
        other_low <= low && high <= other_high
    }
}

/// A record's fields, sorted by name. Equal when names and values are.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields {
    /// [`NONE`] where no policy names the field.
    symbols: Box<[Symbol]>,
    fields: Box<[(Box<str>, Datum)]>,
}

impl Fields {
    /// From fields in any order, each name once.
    pub(super) fn new(
        mut fields: Vec<(Box<str>, Datum)>,
        symbol: impl Fn(&str) -> Option<Symbol>,
    ) -> Self {
        fields.sort_by(|a, b| a.0.cmp(&b.0));
        let symbols = fields.iter().map(|(name, _)| symbol(name).unwrap_or(NONE)).collect();
        Self { symbols, fields: fields.into() }
    }

    pub(super) fn get(&self, symbol: Symbol) -> Option<&Datum> {
        let at = self.symbols.iter().position(|own| *own == symbol)?;
        self.fields.get(at).map(|(_, datum)| datum)
    }

    pub(super) fn named(&self, name: &str) -> Option<&Datum> {
        let at = self.fields.binary_search_by(|(own, _)| (**own).cmp(name)).ok()?;
        self.fields.get(at).map(|(_, datum)| datum)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Datum)> {
        self.fields.iter().map(|(name, datum)| (&**name, datum))
    }

    pub(super) fn len(&self) -> usize {
        self.fields.len()
    }
}

impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        self.fields == other.fields
    }
}

impl Eq for Fields {}

impl PartialOrd for Fields {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Fields {
    fn cmp(&self, other: &Self) -> Ordering {
        self.fields.cmp(&other.fields)
    }
}
