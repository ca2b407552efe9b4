//! Between Cedar's values and ours.

use std::collections::HashSet;
use std::sync::Arc;

use cedar_policy_core::ast::{
    Eid, Entity, EntityType, EntityUID, ExprKind, Literal, Name, PartialValue, RestrictedExpr,
    Value, ValueKind,
};
use cedar_policy_core::extensions::Extensions;

use super::datum::{Datum, Fields, Ip};
use super::names::{Ent, TypeId};
use super::world::{Data, Intern};

/// Our form of a value of Cedar; `None` for one that is not known.
pub(super) fn from_value(value: &Value, names: &mut impl Intern) -> Option<Datum> {
    Some(match value.value_kind() {
        ValueKind::Lit(Literal::Bool(truth)) => Datum::Bool(*truth),
        ValueKind::Lit(Literal::Long(number)) => Datum::Long(*number),
        ValueKind::Lit(Literal::String(text)) => Datum::Str(text.as_str().into()),
        ValueKind::Lit(Literal::EntityUID(uid)) => Datum::Entity(from_uid(uid, names)),
        ValueKind::Set(set) => {
            let items: Option<Vec<Datum>> =
                set.iter().map(|item| from_value(item, names)).collect();
            Datum::set(items?)
        }
        ValueKind::Record(record) => {
            Datum::Record(fields(record.iter().map(|(k, v)| (k.as_str(), v)), names)?)
        }
        ValueKind::ExtensionValue(value) => {
            let (name, arguments) = value.value().canonical_repr();
            from_call(&name, &arguments)?
        }
    })
}

pub(super) fn from_uid(uid: &EntityUID, names: &mut impl Intern) -> Ent {
    names.entity(&uid.entity_type().to_string(), uid.eid().as_ref())
}

pub(super) fn fields<'a>(
    pairs: impl Iterator<Item = (&'a str, &'a Value)>,
    names: &mut impl Intern,
) -> Option<Fields> {
    let mut list: Vec<(Box<str>, Datum)> = Vec::new();
    for (name, value) in pairs {
        list.push((name.into(), from_value(value, names)?));
    }
    let symbols: std::collections::HashMap<Box<str>, u32> =
        list.iter().filter_map(|(name, _)| Some((name.clone(), names.symbol(name)?))).collect();
    Some(Fields::new(list, |name| symbols.get(name).copied()))
}

/// An extension value from the canonical call that makes it.
fn from_call(name: &Name, arguments: &[RestrictedExpr]) -> Option<Datum> {
    let text = |at: usize| match arguments.get(at)?.as_ref().expr_kind() {
        ExprKind::Lit(Literal::String(text)) => Some(text.clone()),
        _ => None,
    };
    match name.to_string().as_str() {
        "decimal" => {
            let text = text(0)?;
            let digits: String = text.chars().filter(|c| *c != '.').collect();
            Some(Datum::Decimal(digits.parse().ok()?))
        }
        "ip" => {
            let text = text(0)?;
            let (address, prefix) = text.split_once('/')?;
            Some(Datum::Ip(Ip { address: address.parse().ok()?, prefix: prefix.parse().ok()? }))
        }
        "duration" => Some(Datum::Duration(text(0)?.strip_suffix("ms")?.parse().ok()?)),
        // An instant is written as an offset from 1970.
        "offset" => match arguments.get(1)?.as_ref().expr_kind() {
            ExprKind::ExtensionFunctionApp { args, .. } => match args.first()?.expr_kind() {
                ExprKind::Lit(Literal::String(text)) => {
                    Some(Datum::Datetime(text.strip_suffix("ms")?.parse().ok()?))
                }
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

/// An entity of Cedar: its data without what lies above it, and its parents.
pub(super) fn from_entity(
    entity: &Entity,
    names: &mut impl Intern,
) -> Option<(Ent, Data, Vec<Ent>)> {
    fn known<'a, K: AsRef<str> + 'a>(
        pairs: impl Iterator<Item = (&'a K, &'a PartialValue)>,
    ) -> Option<Vec<(&'a str, &'a Value)>> {
        pairs
            .map(|(name, value)| match value {
                PartialValue::Value(value) => Some((name.as_ref(), value)),
                PartialValue::Residual(_) => None,
            })
            .collect()
    }
    let own = from_uid(entity.uid(), names);
    let attributes = fields(known(entity.attrs())?.into_iter(), names)?;
    let tags = fields(known(entity.tags())?.into_iter(), names)?;
    let parents = entity.ancestors().map(|uid| from_uid(uid, names)).collect();
    Some((own, Data { attributes, tags, ancestors: Box::default() }, parents))
}

/// Names of numbers, for the way back.
pub(super) trait Spell {
    fn type_text(&self, kind: TypeId) -> Option<Arc<str>>;
    fn uid_text(&self, entity: Ent) -> Option<(TypeId, Arc<str>)>;
}

pub(super) fn to_uid(entity: Ent, names: &impl Spell) -> Option<EntityUID> {
    let (kind, id) = names.uid_text(entity)?;
    let kind = EntityType::from(names.type_text(kind)?.parse::<Name>().ok()?);
    Some(EntityUID::from_components(kind, Eid::new(id.as_ref()), None))
}

/// Cedar's form of a value.
pub(super) fn to_value(datum: &Datum, names: &impl Spell) -> Option<Value> {
    Some(match datum {
        Datum::Bool(truth) => Value::from(*truth),
        Datum::Long(number) => Value::from(*number),
        Datum::Str(text) => Value::from(text.as_ref()),
        Datum::Entity(entity) => Value::from(to_uid(*entity, names)?),
        Datum::Set(items) => {
            let items: Option<Vec<Value>> =
                items.iter().map(|item| to_value(item, names)).collect();
            Value::set(items?, None)
        }
        Datum::Record(fields) => {
            let pairs: Option<Vec<(&str, Value)>> =
                fields.iter().map(|(name, datum)| Some((name, to_value(datum, names)?))).collect();
            Value::record(pairs?, None)
        }
        Datum::Decimal(number) => {
            let digits = number.unsigned_abs();
            let sign = if *number < 0 { "-" } else { "" };
            call("decimal", &[format!("{sign}{}.{:04}", digits / 10_000, digits % 10_000).into()])?
        }
        Datum::Ip(ip) => call("ip", &[format!("{}/{}", ip.address, ip.prefix).into()])?,
        Datum::Duration(millis) => call("duration", &[format!("{millis}ms").into()])?,
        Datum::Datetime(millis) => {
            let start = call("datetime", &["1970-01-01".into()])?;
            call("offset", &[start, call("duration", &[format!("{millis}ms").into()])?])?
        }
    })
}

/// A value made of text by one of Cedar's functions; `None` where the text is malformed.
pub(super) fn made(function: &str, text: &str) -> Option<Datum> {
    match call(function, &[Value::from(text)])?.value_kind() {
        ValueKind::ExtensionValue(value) => {
            let (name, arguments) = value.value().canonical_repr();
            from_call(&name, &arguments)
        }
        _ => None,
    }
}

fn call(name: &str, arguments: &[Value]) -> Option<Value> {
    let function = Extensions::all_available().func(&name.parse().ok()?).ok()?;
    match function.call(arguments).ok()? {
        PartialValue::Value(value) => Some(value),
        PartialValue::Residual(_) => None,
    }
}

pub(super) fn to_entity(entity: Ent, data: &Data, names: &impl Spell) -> Option<Entity> {
    fn pairs<K: for<'a> From<&'a str>>(
        fields: &Fields,
        names: &impl Spell,
    ) -> Option<Vec<(K, PartialValue)>> {
        fields
            .iter()
            .map(|(name, datum)| Some((name.into(), PartialValue::Value(to_value(datum, names)?))))
            .collect()
    }
    let above: Option<HashSet<EntityUID>> =
        data.ancestors.iter().map(|entity| to_uid(*entity, names)).collect();
    Some(Entity::new_with_attr_partial_value(
        to_uid(entity, names)?,
        pairs(&data.attributes, names)?,
        above?,
        HashSet::new(),
        pairs(&data.tags, names)?,
    ))
}
