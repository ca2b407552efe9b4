//! Arguments as policies read them: straight from the call, without a copy where that can be.
//!
//! What has no exact counterpart, or is not of the type that its tool declares, is unfit: reading it
//! is an error, so that a forbid that reads it forbids and a permit that reads it does not permit.
//! Asking whether it is there says yes. An argument is unfit as a whole: one wrong element of a
//! list, or field of a record, is enough.

use super::datum::{Datum, Fields};
use super::schema::{Argument, ArgumentType, Member};
use super::value::{Keeper, Val};
use super::world::World;
use crate::canonical::{Decimal, Int, Map, Value};

/// Why an argument cannot be read.
pub(super) type Unfit = &'static str;

const DIGITS: Unfit =
    "has more digits than a decimal of the policy language (four after the point)";
const WIDE: Unfit = "is beyond 64 bits";
const BYTES: Unfit = "is bytes, which the policy language has no type for";
const NOTHING: Unfit = "holds `None` in a list, which the policy language has no value for";
const OPAQUE: Unfit = "has no type in the policy language";
const FINE: Unfit = "is finer than the policy language counts: give it in whole milliseconds";
const NONE: Unfit = "is `None`, which its tool does not declare";
const FIELDS: Unfit = "has other fields than its tool declares";

/// Reads one argument; `None` where it counts as absent.
pub(super) fn read<'a>(
    value: &'a Value,
    kind: Option<&ArgumentType>,
    world: &World,
    keeper: &Keeper<'a>,
) -> Result<Option<Val<'a>>, Unfit> {
    fits(value, kind)?;
    part(value, kind, world, keeper)
}

/// Reads a part of an argument that fits as a whole.
pub(super) fn part<'a>(
    value: &'a Value,
    kind: Option<&ArgumentType>,
    world: &World,
    keeper: &Keeper<'a>,
) -> Result<Option<Val<'a>>, Unfit> {
    Ok(Some(match value {
        Value::Null => return Ok(None),
        Value::Bool(truth) => Val::Bool(*truth),
        Value::Int(number) => whole(number, kind)?,
        Value::Float(number) => Val::Decimal(float(*number)?),
        Value::Decimal(number) => Val::Decimal(decimal(number)?),
        Value::Str(text) => Val::Str(text),
        Value::Datetime(micros) => Val::Datetime(millis(*micros)?),
        Value::Enum(member) => return part(&member.value, kind, world, keeper),
        Value::List(items) | Value::Tuple(items) if is_plain(items, kind) => Val::List(items),
        Value::Map(map) if !kind.is_some_and(ArgumentType::coerces) => Val::Map(map),
        Value::Record(record) if !kind.is_some_and(ArgumentType::coerces) => {
            Val::Map(&record.fields)
        }
        Value::Bytes(_) => return Err(BYTES),
        Value::Uuid(_) | Value::List(_) | Value::Tuple(_) | Value::Map(_) | Value::Record(_) => {
            match converted(value, kind, world)? {
                Some(datum) => Val::of(keeper.keep(datum)),
                None => return Ok(None),
            }
        }
    }))
}

/// Whether a value is what its tool declares, in all its parts, and each part has a counterpart.
/// `None` counts as absent where it may be there at all, which [`given`] says. What is not declared
/// may be of any kind that has one.
fn fits(value: &Value, kind: Option<&ArgumentType>) -> Result<(), Unfit> {
    let Some(kind) = kind else { return has_counterpart(value) };
    let is_of_kind = match (kind, value) {
        (_, Value::Null) => true,
        (ArgumentType::Opaque, _) => return Err(OPAQUE),
        (_, Value::Enum(member)) => return fits(&member.value, Some(kind)),
        (ArgumentType::Bool, Value::Bool(_))
        | (ArgumentType::String, Value::Str(_))
        | (ArgumentType::Uuid, Value::Uuid(_)) => true,
        (ArgumentType::Uuid, Value::Str(text)) => is_uuid(text),
        (ArgumentType::OneOf(members), value) => is_member(members, value),
        (ArgumentType::Long, Value::Int(_))
        | (ArgumentType::Datetime, Value::Datetime(_))
        | (ArgumentType::Decimal, Value::Float(_) | Value::Decimal(_)) => {
            return has_counterpart(value);
        }
        (ArgumentType::Decimal, Value::Int(number)) => {
            return whole(number, Some(kind)).map(|_| ());
        }
        (ArgumentType::Set(item), Value::List(items) | Value::Tuple(items)) => {
            return items.iter().try_for_each(|own| listed(own, Some(item)));
        }
        (ArgumentType::Record(fields), Value::Map(map)) => return fields_fit(map, fields),
        (ArgumentType::Record(fields), Value::Record(record)) => {
            return fields_fit(&record.fields, fields);
        }
        _ => false,
    };
    if is_of_kind { Ok(()) } else { Err(declared(kind)) }
}

/// Refuses `None` where it is declared that there is none: the body gets it, so that to a policy it
/// is not as if the argument had been left out.
pub(super) fn given(value: &Value, argument: Option<&Argument>) -> Result<(), Unfit> {
    let Some(argument) = argument else { return Ok(()) };
    let allowed = argument.nullable || argument.kind == ArgumentType::Opaque;
    if allowed || !is_nothing(value) { Ok(()) } else { Err(NONE) }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Enum(member) => is_nothing(&member.value),
        _ => false,
    }
}

fn listed(item: &Value, kind: Option<&ArgumentType>) -> Result<(), Unfit> {
    if *item == Value::Null { Err(NOTHING) } else { fits(item, kind) }
}

fn has_counterpart(value: &Value) -> Result<(), Unfit> {
    match value {
        Value::Null | Value::Bool(_) | Value::Str(_) | Value::Uuid(_) => Ok(()),
        Value::Int(number) => whole(number, None).map(|_| ()),
        Value::Float(number) => float(*number).map(|_| ()),
        Value::Decimal(number) => decimal(number).map(|_| ()),
        Value::Datetime(micros) => millis(*micros).map(|_| ()),
        Value::Bytes(_) => Err(BYTES),
        Value::Enum(member) => has_counterpart(&member.value),
        Value::List(items) | Value::Tuple(items) => {
            items.iter().try_for_each(|item| listed(item, None))
        }
        Value::Map(map) => map.iter().try_for_each(|(_, value)| has_counterpart(value)),
        Value::Record(record) => {
            record.fields.iter().try_for_each(|(_, value)| has_counterpart(value))
        }
    }
}

/// Whether a record has the fields that are declared, and no others. INVARIANT: they are sorted.
fn fields_fit(map: &Map, fields: &[Argument]) -> Result<(), Unfit> {
    let mut required = fields.iter().filter(|field| field.required).count();
    for (name, value) in map.iter() {
        let at = fields.binary_search_by(|field| field.name.as_str().cmp(name));
        let field = at.ok().and_then(|at| fields.get(at)).ok_or(FIELDS)?;
        // What has no type is not seen in a record.
        if field.kind != ArgumentType::Opaque {
            given(value, Some(field))?;
            fits(value, Some(&field.kind))?;
        }
        required -= usize::from(field.required && *value != Value::Null);
    }
    if required == 0 { Ok(()) } else { Err(FIELDS) }
}

/// Whether a value is one of those listed. INVARIANT: they are sorted.
fn is_member(members: &[Member], value: &Value) -> bool {
    let found = match value {
        Value::Bool(truth) => members.binary_search(&Member::Bool(*truth)),
        Value::Int(Int::Small(number)) => members.binary_search(&Member::Long(*number)),
        Value::Str(text) => members.binary_search_by(|member| match member {
            Member::String(own) => own.as_str().cmp(text),
            Member::Bool(_) | Member::Long(_) => std::cmp::Ordering::Less,
        }),
        _ => return false,
    };
    found.is_ok()
}

/// What a value is not.
fn declared(kind: &ArgumentType) -> Unfit {
    match kind {
        ArgumentType::Bool => "is no bool, as its tool declares it",
        ArgumentType::Long => "is no whole number, as its tool declares it",
        ArgumentType::String => "is no text, as its tool declares it",
        ArgumentType::Uuid => {
            "is no UUID, as its tool declares it (as text: 36 characters in lower case)"
        }
        ArgumentType::OneOf(_) => "is none of the values that its tool declares",
        ArgumentType::Decimal => "is no number, as its tool declares it",
        ArgumentType::Datetime => "is no datetime, as its tool declares it",
        ArgumentType::Set(_) => "is no list, as its tool declares it",
        ArgumentType::Record(_) => "is no record of fields, as its tool declares it",
        ArgumentType::Opaque => OPAQUE,
    }
}

/// Milliseconds of microseconds.
fn millis(micros: i64) -> Result<i64, Unfit> {
    if micros % 1000 == 0 { Ok(micros / 1000) } else { Err(FINE) }
}

/// Whether the elements of a list can be compared where they are.
fn is_plain(items: &[Value], kind: Option<&ArgumentType>) -> bool {
    !kind.is_some_and(ArgumentType::coerces)
        && items
            .iter()
            .all(|item| matches!(item, Value::Bool(_) | Value::Str(_) | Value::Int(Int::Small(_))))
}

fn whole<'a>(number: &Int, kind: Option<&ArgumentType>) -> Result<Val<'a>, Unfit> {
    let Int::Small(number) = number else { return Err(WIDE) };
    if kind == Some(&ArgumentType::Decimal) {
        return number.checked_mul(10_000).map(Val::Decimal).ok_or(DIGITS);
    }
    Ok(Val::Long(*number))
}

/// A float as the decimal that is written for it, if that has at most four digits after the point.
fn float(number: f64) -> Result<i64, Unfit> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let scaled = (number * 10_000.0).round();
    if scaled.abs() < EXACT {
        // INVARIANT: below 2^53 both are exact, so the quotient is the float nearest to the decimal.
        return if scaled / 10_000.0 == number { Ok(scaled as i64) } else { Err(DIGITS) };
    }
    if number.fract() != 0.0 || number.abs() >= EXACT {
        return Err(DIGITS);
    }
    (number as i64).checked_mul(10_000).ok_or(DIGITS)
}

fn decimal(number: &Decimal) -> Result<i64, Unfit> {
    let (negative, digits, exponent) = number.parts();
    let scale = u32::try_from(exponent + 4).map_err(|_| DIGITS)?;
    if digits.len() > 20 {
        return Err(DIGITS);
    }
    let digits: i128 = digits.parse().map_err(|_| DIGITS)?;
    10_i128
        .checked_pow(scale)
        .and_then(|power| digits.checked_mul(power))
        .map(|number| if negative { -number } else { number })
        .and_then(|number| i64::try_from(number).ok())
        .ok_or(DIGITS)
}

/// A value as a constant; `None` where it counts as absent.
pub(super) fn datum(
    value: &Value,
    kind: Option<&ArgumentType>,
    world: &World,
) -> Result<Option<Datum>, Unfit> {
    fits(value, kind)?;
    converted(value, kind, world)
}

fn converted(
    value: &Value,
    kind: Option<&ArgumentType>,
    world: &World,
) -> Result<Option<Datum>, Unfit> {
    Ok(Some(match value {
        Value::Null => return Ok(None),
        Value::Bool(truth) => Datum::Bool(*truth),
        Value::Int(number) => match whole(number, kind)? {
            Val::Decimal(number) => Datum::Decimal(number),
            Val::Long(number) => Datum::Long(number),
            _ => return Err(WIDE),
        },
        Value::Float(number) => Datum::Decimal(float(*number)?),
        Value::Decimal(number) => Datum::Decimal(decimal(number)?),
        Value::Str(text) => Datum::Str(text.clone()),
        Value::Datetime(micros) => Datum::Datetime(millis(*micros)?),
        Value::Uuid(bytes) => Datum::Str(uuid(bytes).into()),
        Value::Enum(member) => return converted(&member.value, kind, world),
        Value::Bytes(_) => return Err(BYTES),
        Value::List(items) | Value::Tuple(items) => {
            let kind = match kind {
                Some(ArgumentType::Set(item)) => Some(item.as_ref()),
                _ => None,
            };
            let items: Result<Vec<Datum>, Unfit> = items
                .iter()
                .map(|item| converted(item, kind, world).and_then(|item| item.ok_or(NOTHING)))
                .collect();
            Datum::set(items?)
        }
        Value::Map(map) => Datum::Record(fields(map, kind, world)?),
        Value::Record(record) => Datum::Record(fields(&record.fields, kind, world)?),
    }))
}

pub(super) fn fields(
    map: &Map,
    kind: Option<&ArgumentType>,
    world: &World,
) -> Result<Fields, Unfit> {
    let kinds: &[Argument] = match kind {
        Some(ArgumentType::Record(fields)) => fields,
        _ => &[],
    };
    let mut list = Vec::with_capacity(map.len());
    for (name, value) in map.iter() {
        let at = kinds.binary_search_by(|field| field.name.as_str().cmp(name));
        let kind = at.ok().and_then(|at| kinds.get(at)).map(|field| &field.kind);
        if kind == Some(&ArgumentType::Opaque) {
            continue;
        }
        if let Some(datum) = converted(value, kind, world)? {
            list.push((name.into(), datum));
        }
    }
    Ok(Fields::new(list, |name| world.symbols.get(name)))
}

/// Whether a text is a UUID as [`uuid`] writes it: one in another form is another text, which no
/// comparison would take for the same.
fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

fn uuid(bytes: &[u8; 16]) -> String {
    let mut out = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        for digit in [byte >> 4, byte & 15] {
            out.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_float_is_the_decimal_that_is_written_for_it_or_unfit() {
        for (number, expected) in [
            (80.1, Some(801_000)),
            (0.1, Some(1_000)),
            (-2.5, Some(-25_000)),
            (0.1 + 0.2, None),
            (100.000_01, None),
            (1e15, None),
            (900_000_000_000.5, Some(9_000_000_000_005_000)),
            (900_719_925_474_100.0, Some(9_007_199_254_741_000_000)),
            (f64::MAX, None),
            (5e-324, None),
        ] {
            assert_eq!(float(number).ok(), expected, "{number}");
        }
    }

    #[test]
    fn a_decimal_is_exact_or_unfit() {
        for (text, expected) in [
            ("12.34", Some(123_400)),
            ("-0.0001", Some(-1)),
            ("0.00001", None),
            ("922337203685477.5807", Some(i64::MAX)),
            ("922337203685477.5808", None),
            ("-922337203685477.5808", Some(i64::MIN)),
            ("1e30", None),
        ] {
            assert_eq!(decimal(&Decimal::parse(text).unwrap()).ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_uuid_is_its_text() {
        let bytes: [u8; 16] = std::array::from_fn(|at| at as u8 * 17);
        assert_eq!(uuid(&bytes), "00112233-4455-6677-8899-aabbccddeeff");
    }
}
