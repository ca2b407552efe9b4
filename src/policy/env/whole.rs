//! What lies in parts, as a whole: a record or an entity that is compared, kept, shown, or given
//! to Cedar's own evaluator.

use super::{CONTEXT, Env, Governed, Request};
use crate::canonical::Value;
use crate::policy::datum::{Datum, Fields};
use crate::policy::names::{Ent, Symbol};
use crate::policy::read::{self, Unfit};
use crate::policy::value::Val;
use crate::policy::world::{Data, symbol};

/// A request, but for what has no counterpart.
#[derive(Debug, Default)]
pub(in crate::policy) struct Known {
    /// Of a governed call, without its arguments.
    pub(in crate::policy) context: Fields,
    pub(in crate::policy) arguments: Fields,
    /// The arguments that have no counterpart, and why.
    pub(in crate::policy) unfit: Vec<(Box<str>, Unfit)>,
    /// Why the deployment's own attributes have none, if so.
    pub(in crate::policy) lost: Option<Unfit>,
}

impl<'a> Env<'a> {
    /// All of a record that is not at rest.
    ///
    /// # Errors
    /// An argument that has no counterpart.
    pub(in crate::policy) fn gather(&self, of: Val<'a>) -> Result<Fields, Unfit> {
        let mut list: Vec<(Box<str>, Datum)> = Vec::new();
        let names: &[Symbol] = match of {
            Val::Record(fields) => return Ok(fields.clone()),
            Val::Map(map) => return read::fields(map, None, self.world),
            Val::Arguments => {
                let Request::Governed(governed) = &self.request else {
                    return Ok(Fields::default());
                };
                for (name, value) in governed.call.arguments.iter() {
                    if let Some(datum) = self.datum(governed, name, value)? {
                        list.push((name.into(), datum));
                    }
                }
                &[]
            }
            Val::Chain => {
                &[symbol::DEPTH, symbol::AGENTS, symbol::ISSUED, symbol::AGE, symbol::LATEST]
            }
            Val::Context => &CONTEXT,
            _ => &[],
        };
        for name in names {
            if let (Some(value), Some(text)) =
                (self.fact(of, *name), self.world.symbols.text(*name))
            {
                list.push((text.as_ref().into(), self.rest(value)?));
            }
        }
        Ok(Fields::new(list, |name| self.world.symbols.get(name)))
    }

    /// An argument at rest; `None` where it counts as absent.
    fn datum(
        &self,
        governed: &Governed<'_>,
        name: &str,
        value: &Value,
    ) -> Result<Option<Datum>, Unfit> {
        let declared = self.world.symbols.get(name).and_then(|name| governed.declared(name));
        read::given(value, declared)?;
        read::datum(value, declared.map(|argument| &argument.kind), self.world)
    }

    /// The context and the arguments, but for what has no counterpart.
    pub(in crate::policy) fn gather_known(&self) -> Known {
        let governed = match &self.request {
            Request::Plain(fields) => {
                return Known { context: (*fields).clone(), ..Known::default() };
            }
            Request::Governed(governed) => governed,
        };
        let mut unfit: Vec<(Box<str>, Unfit)> = Vec::new();
        let mut arguments: Vec<(Box<str>, Datum)> = Vec::new();
        for (name, value) in governed.call.arguments.iter() {
            match self.datum(governed, name, value) {
                Ok(Some(datum)) => arguments.push((name.into(), datum)),
                Ok(None) => {}
                Err(why) => unfit.push((name.into(), why)),
            }
        }
        let symbol = |name: &str| self.world.symbols.get(name);
        let mut context: Vec<(Box<str>, Datum)> = Vec::new();
        let mut lost = None;
        for name in CONTEXT.iter().filter(|name| **name != symbol::ARGUMENTS) {
            let text = self.world.symbols.text(*name).map_or("", |text| &**text);
            match self.fact(Val::Context, *name).map(|value| self.rest(value)) {
                Some(Ok(datum)) => context.push((text.into(), datum)),
                Some(Err(why)) => lost = Some(why),
                None => {}
            }
        }
        Known {
            context: Fields::new(context, symbol),
            arguments: Fields::new(arguments, symbol),
            unfit,
            lost,
        }
    }

    /// A value at rest.
    ///
    /// # Errors
    /// An argument that has no counterpart.
    pub(in crate::policy) fn rest(&self, value: Val<'a>) -> Result<Datum, Unfit> {
        Ok(match value {
            Val::Bool(truth) => Datum::Bool(truth),
            Val::Long(number) => Datum::Long(number),
            Val::Decimal(number) => Datum::Decimal(number),
            Val::Datetime(millis) => Datum::Datetime(millis),
            Val::Duration(millis) => Datum::Duration(millis),
            Val::Ip(ip) => Datum::Ip(ip),
            Val::Str(text) => Datum::Str(text.into()),
            Val::Entity(entity) => Datum::Entity(entity),
            Val::Set(items) => Datum::Set(items.into()),
            Val::List(items) => {
                let mut all = Vec::with_capacity(items.len());
                for item in items {
                    all.extend(read::datum(item, None, self.world)?);
                }
                Datum::set(all)
            }
            Val::Record(_) | Val::Map(_) | Val::Context | Val::Arguments | Val::Chain => {
                Datum::Record(self.gather(value)?)
            }
        })
    }

    /// All data of an entity, computed attributes and what lies above it by text included.
    pub(in crate::policy) fn whole(&self, entity: Ent) -> Option<Data> {
        let mut data = match self.data(entity) {
            Some(data) => data.clone(),
            None if self.is_computed(entity) => Data::default(),
            None => return None,
        };
        let mut above = data.ancestors.to_vec();
        for by_text in self.by_text(entity) {
            above.push(by_text);
            above.extend(self.world.data(by_text).iter().flat_map(|data| data.ancestors.iter()));
        }
        above.sort_unstable();
        above.dedup();
        data.ancestors = above.into();
        let mut list: Vec<(Box<str>, Datum)> = Vec::new();
        for name in [symbol::NAME, symbol::KIND, symbol::DANGEROUS] {
            if let (Some(value), Some(text)) =
                (self.computed(entity, name), self.world.symbols.text(name))
                && let Ok(datum) = self.rest(value)
            {
                list.push((text.as_ref().into(), datum));
            }
        }
        if !list.is_empty() {
            for (name, datum) in data.attributes.iter() {
                if !list.iter().any(|(own, _)| **own == *name) {
                    list.push((name.into(), datum.clone()));
                }
            }
            data.attributes = Fields::new(list, |name| self.world.symbols.get(name));
        }
        Some(data)
    }
}
