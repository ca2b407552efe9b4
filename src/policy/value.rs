//! Values in flight: what a condition computes with. They borrow from the policies, the entities
//! and the call, and are copied like numbers.

use std::cell::{Cell, OnceCell};

use super::datum::{Datum, Fields, Ip};
use super::names::Ent;
use crate::canonical::{Map, Value};

/// A value in flight.
#[derive(Debug, Clone, Copy)]
pub(super) enum Val<'a> {
    Bool(bool),
    Long(i64),
    Decimal(i64),
    Datetime(i64),
    Duration(i64),
    Ip(Ip),
    Str(&'a str),
    Entity(Ent),
    Set(&'a [Datum]),
    /// An argument that is a list of truths, texts and whole numbers: a set, as it lies.
    List(&'a [Value]),
    Record(&'a Fields),
    /// An argument that is a mapping: a record, as it lies.
    Map(&'a Map),
    /// The context of a governed call.
    Context,
    /// The arguments of a governed call.
    Arguments,
    /// What the chain of a governed call says of itself.
    Chain,
}

impl<'a> Val<'a> {
    pub(super) fn of(datum: &'a Datum) -> Self {
        match datum {
            Datum::Bool(truth) => Self::Bool(*truth),
            Datum::Long(number) => Self::Long(*number),
            Datum::Decimal(number) => Self::Decimal(*number),
            Datum::Datetime(millis) => Self::Datetime(*millis),
            Datum::Duration(millis) => Self::Duration(*millis),
            Datum::Ip(ip) => Self::Ip(*ip),
            Datum::Str(text) => Self::Str(text),
            Datum::Entity(entity) => Self::Entity(*entity),
            Datum::Set(items) => Self::Set(items),
            Datum::Record(fields) => Self::Record(fields),
        }
    }

    /// The word for its type.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Bool(_) => "bool",
            Self::Long(_) => "long",
            Self::Decimal(_) => "decimal",
            Self::Datetime(_) => "datetime",
            Self::Duration(_) => "duration",
            Self::Ip(_) => "ipaddr",
            Self::Str(_) => "string",
            Self::Entity(_) => "entity",
            Self::Set(_) | Self::List(_) => "set",
            Self::Record(_) | Self::Map(_) | Self::Context | Self::Arguments | Self::Chain => {
                "record"
            }
        }
    }
}

/// What conditions make while they are evaluated: nothing, for most. What is kept stays where it
/// is, so that values can borrow it while more is added.
#[derive(Debug, Default)]
pub(super) struct Scratch(OnceCell<Box<Node>>);

#[derive(Debug)]
struct Node {
    datum: Datum,
    next: OnceCell<Box<Node>>,
}

/// Adds to a scratch.
#[derive(Debug)]
pub(super) struct Keeper<'a> {
    scratch: &'a Scratch,
    last: Cell<Option<&'a Node>>,
}

impl<'a> Keeper<'a> {
    pub(super) fn new(scratch: &'a Scratch) -> Self {
        Self { scratch, last: Cell::new(None) }
    }

    pub(super) fn keep(&self, datum: Datum) -> &'a Datum {
        let mut cell = self.last.get().map_or(&self.scratch.0, |node| &node.next);
        // Another keeper may have added.
        while let Some(node) = cell.get() {
            cell = &node.next;
        }
        let node: &'a Node = cell.get_or_init(|| Box::new(Node { datum, next: OnceCell::new() }));
        self.last.set(Some(node));
        &node.datum
    }
}

/// Without recursion, however many were kept.
impl Drop for Scratch {
    fn drop(&mut self) {
        let mut next = self.0.take();
        while let Some(mut node) = next {
            next = node.next.take();
        }
    }
}
