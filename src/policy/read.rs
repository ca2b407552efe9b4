//! Arguments as policies read them: straight from the call, without a copy where that can be.
//!
//! What has no exact counterpart is unfit: reading it is an error, so that a forbid that reads it
//! forbids and a permit that reads it does not permit. Asking whether it is there says yes.

use super::datum::{Datum, Fields};
use super::schema::{Argument, ArgumentType};
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

/// Reads one argument; `None` where it counts as absent.
pub(super) fn read<'a>(
    value: &'a Value,
    kind: Option<&ArgumentType>,
    world: &World,
    keeper: &Keeper<'a>,
) -> Result<Option<Val<'a>>, Unfit> {
    Ok(Some(match value {
        Value::Null => return Ok(None),
        _ if kind == Some(&ArgumentType::Opaque) => return Err(OPAQUE),
        Value::Bool(truth) => Val::Bool(*truth),
        Value::Int(number) => whole(number, kind)?,
        Value::Float(number) => Val::Decimal(float(*number)?),
        Value::Decimal(number) => Val::Decimal(decimal(number)?),
        Value::Str(text) => Val::Str(text),
        // Cedar counts milliseconds.
        Value::Datetime(micros) => Val::Datetime(micros.div_euclid(1000)),
        Value::Enum(member) => return read(&member.value, kind, world, keeper),
        Value::List(items) | Value::Tuple(items) if is_plain(items, kind) => Val::List(items),
        Value::Map(map) if !kind.is_some_and(ArgumentType::coerces) => Val::Map(map),
        Value::Record(record) if !kind.is_some_and(ArgumentType::coerces) => {
            Val::Map(&record.fields)
        }
        Value::Bytes(_) => return Err(BYTES),
        Value::Uuid(_) | Value::List(_) | Value::Tuple(_) | Value::Map(_) | Value::Record(_) => {
            match datum(value, kind, world)? {
                Some(datum) => Val::of(keeper.keep(datum)),
                None => return Ok(None),
            }
        }
    }))
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
    Ok(Some(match value {
        Value::Null => return Ok(None),
        _ if kind == Some(&ArgumentType::Opaque) => return Err(OPAQUE),
        Value::Bool(truth) => Datum::Bool(*truth),
        Value::Int(number) => match whole(number, kind)? {
            Val::Decimal(number) => Datum::Decimal(number),
            Val::Long(number) => Datum::Long(number),
            _ => return Err(WIDE),
        },
        Value::Float(number) => Datum::Decimal(float(*number)?),
        Value::Decimal(number) => Datum::Decimal(decimal(number)?),
        Value::Str(text) => Datum::Str(text.clone()),
        Value::Datetime(micros) => Datum::Datetime(micros.div_euclid(1000)),
        Value::Uuid(bytes) => Datum::Str(uuid(bytes).into()),
        Value::Enum(member) => return datum(&member.value, kind, world),
        Value::Bytes(_) => return Err(BYTES),
        Value::List(items) | Value::Tuple(items) => {
            let kind = match kind {
                Some(ArgumentType::Set(item)) => Some(item.as_ref()),
                _ => None,
            };
            let items: Result<Vec<Datum>, Unfit> = items
                .iter()
                .map(|item| datum(item, kind, world).and_then(|item| item.ok_or(NOTHING)))
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
        let kind = kinds.iter().find(|field| field.name == name).map(|field| &field.kind);
        if let Some(datum) = datum(value, kind, world)? {
            list.push((name.into(), datum));
        }
    }
    Ok(Fields::new(list, |name| world.symbols.get(name)))
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
