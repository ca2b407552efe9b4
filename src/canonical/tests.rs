#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::cmp::Ordering;

use proptest::prelude::*;

use super::*;

pub(crate) fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::int),
        "-?[1-9][0-9]{18,60}".prop_map(|t| Value::Int(Int::parse(&t).unwrap())),
        any::<f64>().prop_filter_map("finite", Value::float),
        "\\PC{0,12}".prop_map(|t| Value::str(&t)),
        proptest::collection::vec(any::<u8>(), 0..12).prop_map(|b| Value::bytes(&b)),
        ("-?[0-9]{1,20}", -300i64..300).prop_map(|(d, e)| {
            let negative = d.starts_with('-');
            Value::Decimal(Decimal::new(negative, d.trim_start_matches('-'), e).unwrap())
        }),
        any::<i64>().prop_map(Value::Datetime),
        any::<[u8; 16]>().prop_map(Value::Uuid),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let entries = proptest::collection::btree_map("[$a-c]{0,3}", inner.clone(), 0..5);
        let map = entries.prop_map(|m| {
            Map::from_entries(m.into_iter().map(|(k, v)| (k.into(), v)).collect()).unwrap()
        });
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Tuple),
            map.clone().prop_map(Value::Map),
            ("[a-z.]{1,8}", map).prop_map(|(t, fields)| Value::Record(Box::new(Record {
                type_name: t.into(),
                fields
            }))),
            ("[a-z.]{1,8}", "[A-Z]{1,4}", inner).prop_map(|(t, n, value)| Value::Enum(Box::new(
                EnumMember { type_name: t.into(), name: n.into(), value }
            ))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn bytes_and_json_are_one_to_one(a in any_value(), b in any_value()) {
        prop_assert_eq!(&decode(&a.encode()).unwrap(), &a);
        prop_assert_eq!(&from_json(&to_json(&a)).unwrap(), &a);
        prop_assert_eq!(a == b, a.encode() == b.encode());
        prop_assert_eq!(a == b, to_json(&a) == to_json(&b));
    }

    #[test]
    fn decoding_any_bytes_is_total_and_canonical(bytes in proptest::collection::vec(0u8..20, 0..60)) {
        if let Ok(value) = decode(&bytes) {
            prop_assert_eq!(value.encode(), bytes);
        }
    }

    #[test]
    fn order_of_small_numbers_agrees_with_the_slow_one(a in any::<i32>(), b in -1e10f64..1e10) {
        let (x, y) = (Value::int(i64::from(a)), Value::float(b).unwrap());
        let text = format!("{b:.60}");
        let slow = Value::Decimal(Decimal::parse(&text).unwrap());
        prop_assert_eq!(compare_numbers(&x, &y), compare_numbers(&x, &slow));
        prop_assert_eq!(compare_numbers(&y, &x), compare_numbers(&x, &y).map(Ordering::reverse));
    }

    #[test]
    fn integers_print_and_parse(text in "-?[1-9][0-9]{0,300}") {
        prop_assert_eq!(Int::parse(&text).unwrap().to_string(), text);
    }
}

#[test]
fn exact_order_across_types() {
    let decimal = |t: &str| Value::Decimal(Decimal::parse(t).unwrap());
    let float = |f: f64| Value::float(f).unwrap();
    let big = |t: &str| Value::Int(Int::parse(t).unwrap());
    let order = |a: &Value, b: &Value| compare_numbers(a, b).unwrap();
    assert_eq!(order(&float(0.1), &decimal("0.1")), Ordering::Greater);
    assert_eq!(order(&float(0.5), &decimal("0.5")), Ordering::Equal);
    // 2^53 + 1 has no double: the float is 2^53, below it.
    assert_eq!(
        order(&Value::int((1 << 53) + 1), &float(9_007_199_254_740_992.0)),
        Ordering::Greater
    );
    assert_eq!(order(&Value::int(i64::MAX), &float(9_223_372_036_854_775_808.0)), Ordering::Less);
    assert_eq!(order(&big("100000000000000000000"), &float(1e20)), Ordering::Equal);
    assert_eq!(order(&big("-100000000000000000001"), &float(-1e20)), Ordering::Less);
    assert_eq!(order(&decimal("5E-324"), &float(5e-324)), Ordering::Greater);
    assert_eq!(order(&decimal("-0"), &Value::int(0)), Ordering::Equal);
    assert_eq!(order(&float(0.0), &decimal("0")), Ordering::Equal);
    assert_eq!(order(&decimal("0"), &float(0.0)), Ordering::Equal);
    assert_eq!(compare_numbers(&Value::Bool(true), &Value::int(1)), None);
}

#[test]
fn types_are_exact() {
    assert_ne!(Value::Bool(true), Value::int(1));
    assert_ne!(Value::int(1), Value::float(1.0).unwrap());
    assert_ne!(Value::List(vec![]), Value::Tuple(vec![]));
    assert_eq!(Value::float(-0.0), Value::float(0.0));
    assert_eq!(Value::float(-0.0).unwrap().encode(), Value::float(0.0).unwrap().encode());
    assert_eq!(Value::float(f64::NAN), None);
    assert_eq!(Decimal::parse("80.00").unwrap(), Decimal::parse("8e1").unwrap());
}

#[test]
fn hostile_bytes_are_refused_with_a_place() {
    for (bytes, at) in [
        (&[0u8, 0][..], 1),                       // trailing
        (&[5, 0x80, 0x00], 3),                    // length not minimal
        (&[3, 2, 0, 1], 4),                       // integer not minimal
        (&[4, 0x80, 0, 0, 0, 0, 0, 0, 0], 9),     // -0.0
        (&[4, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0], 9),  // NaN
        (&[13, 2, 1, b'b', 0, 1, b'a', 0], 7),    // keys out of order
        (&[13, 2, 1, b'a', 0, 1, b'a', 0], 7),    // key twice
        (&[5, 1, 0xff], 3),                       // not UTF-8
        (&[11, 0xff, 0xff, 0xff, 0xff, 0x0f], 6), // a count without items
        (&[99], 1),
    ] {
        assert_eq!(decode(bytes).unwrap_err().at, at, "{bytes:?}");
    }
    let bomb: Vec<u8> = std::iter::repeat_n([11u8, 1], 100_000).flatten().collect();
    assert_eq!(decode(&bomb).unwrap_err().what, "values nest too deep");
}

#[test]
fn json_refuses_what_it_would_not_write() {
    for text in [
        r#"{"a":1,"a":1}"#,
        r#"{"$int":"5"}"#,
        r#"{"$int":"1","b":2}"#,
        r#"{"b":2,"$int":"99999999999999999999"}"#,
        r#"{"$what":1}"#,
        r#"{"$bytes":"AAA="}"#,
        r#"{"$decimal":"1.0"}"#,
        "1e999",
    ] {
        assert!(from_json(text).is_err(), "{text}");
    }
    assert_eq!(
        from_json(r#"{"$$a":1}"#).unwrap().as_map().unwrap().get("$a"),
        Some(&Value::int(1))
    );
}

#[test]
fn sums_are_exact() {
    let decimal = |t: &str| Value::Decimal(Decimal::parse(t).unwrap());
    let float = |f: f64| Value::float(f).unwrap();
    let sum = |a: &Value, b: &Value| Value::Decimal(add_numbers(a, b).unwrap());
    assert_eq!(sum(&decimal("0.1"), &decimal("0.2")), decimal("0.3"));
    assert_eq!(sum(&Value::int(5), &decimal("-7.25")), decimal("-2.25"));
    assert_eq!(sum(&Value::int(-5), &Value::int(5)), decimal("0"));
    assert_eq!(sum(&float(0.5), &Value::int(i64::MAX)), decimal("9223372036854775807.5"));
    // Ten times the double next to 0.1 is above one by exactly ten times its error.
    let ten = (0..10).fold(decimal("0"), |total, _| sum(&total, &float(0.1)));
    assert_eq!(compare_numbers(&ten, &Value::int(1)), Some(Ordering::Greater));
    assert_eq!(sum(&float(5e-324), &float(-5e-324)), decimal("0"));
    assert_eq!(add_numbers(&Value::Bool(true), &Value::int(1)), None);
    assert_eq!(add_numbers(&decimal("1e6200"), &decimal("1e-6200")), None);
}

proptest! {
    #[test]
    fn sums_of_integers_agree_with_the_machine(a in any::<i64>(), b in any::<i64>()) {
        let sum = add_numbers(&Value::int(a), &Value::int(b)).unwrap();
        let expected = Decimal::parse(&(i128::from(a) + i128::from(b)).to_string()).unwrap();
        prop_assert_eq!(sum, expected);
    }
}
