//! The flat code that conditions become, and the small parts it computes with.

use super::datum::Datum;
use super::names::{Ent, Symbol, TypeId};

/// How many values a condition may hold at once.
pub(super) const STACK: usize = 32;

/// One step. Values lie on a stack; a jump goes to a place in the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Const(u32),
    True,
    False,
    Principal,
    Action,
    Resource,
    Context,
    /// An attribute of the context, or of a record that is one: `context.a.b`.
    Fact(Symbol),
    FactOf(Symbol, Symbol),
    Attribute(Symbol),
    Has(Symbol),
    /// Whether a record of the context has an attribute: `context.a has b`.
    HasOf(Symbol, Symbol),
    HasAll(u32),
    Not,
    Negate,
    IsEmpty,
    Equal,
    EqualConst(u32),
    Less,
    LessOrEqual,
    /// A whole number beside a constant, which lies here and not in a table.
    LessThan(i64),
    AtMost(i64),
    MoreThan(i64),
    AtLeast(i64),
    Add,
    Subtract,
    Multiply,
    In,
    InConst(Ent),
    Contains,
    ContainsAll,
    ContainsAny,
    Tag,
    HasTag,
    /// Left of `&&`: where it is false, that is the value of the whole.
    And(u32),
    /// Left of `||`.
    Or(u32),
    /// Right of either.
    Truth,
    /// Takes a truth; goes on where it is false.
    Unless(u32),
    Jump(u32),
    Like(u32),
    Is(TypeId),
    Set(u32),
    Record(u32),
    Call(Function),
    /// Always fails: a constant that is none.
    Fail,
}

/// The functions of Cedar's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Decimal,
    Ip,
    Datetime,
    Duration,
    LessThan,
    LessThanOrEqual,
    GreaterThan,
    GreaterThanOrEqual,
    IsIpv4,
    IsIpv6,
    IsLoopback,
    IsMulticast,
    IsInRange,
    Offset,
    DurationSince,
    ToDate,
    ToTime,
    ToMilliseconds,
    ToSeconds,
    ToMinutes,
    ToHours,
    ToDays,
}

impl Function {
    /// A function by its name and how many arguments it takes.
    pub(super) fn find(name: &str, arguments: usize) -> Option<Self> {
        Some(match (name, arguments) {
            ("decimal", 1) => Self::Decimal,
            ("ip", 1) => Self::Ip,
            ("datetime", 1) => Self::Datetime,
            ("duration", 1) => Self::Duration,
            ("lessThan", 2) => Self::LessThan,
            ("lessThanOrEqual", 2) => Self::LessThanOrEqual,
            ("greaterThan", 2) => Self::GreaterThan,
            ("greaterThanOrEqual", 2) => Self::GreaterThanOrEqual,
            ("isIpv4", 1) => Self::IsIpv4,
            ("isIpv6", 1) => Self::IsIpv6,
            ("isLoopback", 1) => Self::IsLoopback,
            ("isMulticast", 1) => Self::IsMulticast,
            ("isInRange", 2) => Self::IsInRange,
            ("offset", 2) => Self::Offset,
            ("durationSince", 2) => Self::DurationSince,
            ("toDate", 1) => Self::ToDate,
            ("toTime", 1) => Self::ToTime,
            ("toMilliseconds", 1) => Self::ToMilliseconds,
            ("toSeconds", 1) => Self::ToSeconds,
            ("toMinutes", 1) => Self::ToMinutes,
            ("toHours", 1) => Self::ToHours,
            ("toDays", 1) => Self::ToDays,
            _ => return None,
        })
    }

    pub(super) fn arguments(self) -> usize {
        match self {
            Self::LessThan
            | Self::LessThanOrEqual
            | Self::GreaterThan
            | Self::GreaterThanOrEqual
            | Self::IsInRange
            | Self::Offset
            | Self::DurationSince => 2,
            _ => 1,
        }
    }
}

/// A pattern of `like`: what it starts with, what follows in turn, what it ends with. Whole texts
/// are compared byte by byte, which finds the same as character by character: UTF-8 never mistakes
/// the middle of a character for the start of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glob {
    pub(super) first: Box<str>,
    pub(super) middle: Box<[Box<str>]>,
    /// `None` where the pattern has no wildcard.
    pub(super) last: Option<Box<str>>,
}

impl Glob {
    pub(super) fn matches(&self, text: &str) -> bool {
        let Some(last) = &self.last else { return *text == *self.first };
        let Some(rest) = text.strip_prefix(&*self.first) else { return false };
        let Some(mut rest) = rest.strip_suffix(&**last) else { return false };
        for part in &self.middle {
            match rest.find(&**part) {
                Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
                None => return false,
            }
        }
        true
    }
}

/// A policy's condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    /// There is none.
    Always,
    /// Where its code starts and ends.
    Code(u32, u32),
    /// It is not compiled, and why.
    Cedar(&'static str),
}

/// The conditions of a set.
#[derive(Debug, Default)]
pub(super) struct Code {
    pub(super) ops: Vec<Op>,
    /// Where in its source each step comes from: first byte and the one after the last.
    pub(super) spans: Vec<(u32, u32)>,
    pub(super) constants: Vec<Datum>,
    pub(super) globs: Vec<Glob>,
    /// The names of `has a.b.c`, and the fields of records.
    pub(super) names: Vec<Box<[Symbol]>>,
    /// By policy.
    pub(super) conditions: Vec<Condition>,
    /// By policy: the number of its condition, where others have the very same one; else `NONE`.
    pub(super) shared: Vec<u32>,
    /// By policy: where each part of its condition starts, of those that `&&` joins.
    pub(super) parts: Vec<Vec<u32>>,
}
