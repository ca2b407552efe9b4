//! The wire format is frozen: what it writes, and what it refuses to read.

use crate::scope::{Caveat, Scope};

#[test]
fn each_caveat_has_one_form() {
    for text in [
        r#"{"equals":1}"#,
        r#"{"equals":{"$decimal":"15E-1"}}"#,
        r#"{"one_of":["a",null,[1],{"k":1.5}]}"#,
        r#"{"one_of":[]}"#,
        r#"{"at_least":0}"#,
        r#"{"at_most":500}"#,
        r#"{"between":[1,2.5]}"#,
        r#"{"starts_with":"a"}"#,
        r#"{"ends_with":"b"}"#,
        r#"{"matches":"a*b"}"#,
        r#"{"email_at":"company.com"}"#,
        r#"{"host_in":["a.com","[::1]"]}"#,
        r#"{"under":"/data"}"#,
        r#"{"in_network":"10.0.0.0/8"}"#,
        r#"{"length":[1,5]}"#,
        r#"{"length":[1,null]}"#,
        r#"{"each":{"at_most":5}}"#,
        r#"{"subset_of":["a"]}"#,
        r#"{"contains":"a"}"#,
        r#"{"present":true}"#,
        r#"{"absent":true}"#,
        r#"{"any":true}"#,
        r#"{"all_of":[{"at_least":1},{"at_most":2}]}"#,
        r#"{"same_as":"other.id"}"#,
    ] {
        let caveat: Caveat = serde_json::from_str(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(serde_json::to_string(&caveat).unwrap(), text);
        assert!(caveat.within(&caveat) && !caveat.to_string().is_empty());
    }
}

#[test]
fn caveats_are_read_strictly() {
    for text in [
        "{}",
        "null",
        "true",
        "\"any\"",
        "[\"any\",true]",
        r#"{"any":false}"#,
        r#"{"any":1}"#,
        r#"{"any":null}"#,
        r#"{"any":true,"any":true}"#,
        r#"{"at_most":1,"at_least":0}"#,
        r#"{"Any":true}"#,
        r#"{"regex":"a"}"#,
        r#"{"at_most":"1"}"#,
        r#"{"at_most":true}"#,
        r#"{"between":[1]}"#,
        r#"{"between":[1,2,3]}"#,
        r#"{"between":[2,1]}"#,
        r#"{"between":{"0":1,"1":2}}"#,
        r#"{"starts_with":1}"#,
        r#"{"starts_with":""}"#,
        r#"{"matches":"a"}"#,
        r#"{"email_at":"Company.com"}"#,
        r#"{"host_in":"a.com"}"#,
        r#"{"host_in":["A.com"]}"#,
        r#"{"under":"/a/"}"#,
        r#"{"in_network":"10.0.0.1/8"}"#,
        r#"{"length":[1]}"#,
        r#"{"length":[1.0,2]}"#,
        r#"{"length":[-1,2]}"#,
        r#"{"length":[1,2,3]}"#,
        r#"{"length":5}"#,
        r#"{"length":[0,9007199254740992]}"#,
        r#"{"each":[]}"#,
        r#"{"all_of":[]}"#,
        r#"{"all_of":{"any":true}}"#,
        r#"{"equals":1e999}"#,
        r#"{"equals":{"$int":"5"}}"#,
        r#"{"equals":{"a":1,"a":1}}"#,
        r#"{"one_of":1}"#,
        r#"{"same_as":""}"#,
        r#"{"each":{"each":{"each":{"each":{"any":true}}}}}"#,
    ] {
        assert!(serde_json::from_str::<Caveat>(text).is_err(), "{text}");
    }
    let bomb = format!("{}{}", r#"{"each":"#.repeat(100_000), "1");
    assert!(serde_json::from_str::<Caveat>(&bomb).is_err());
}

#[test]
fn a_scope_has_one_form() {
    for text in [
        "[]",
        r#"[{"tool":"t"}]"#,
        r#"[{"tool":"t","resource":[],"where":{}}]"#,
        r#"[{"tool":"pay.transfer","resource":["account/travel-*"],"where":{"amount":{"at_most":500}},"limits":[{"calls":10}]}]"#,
        r#"[{"tool":"t","limits":[{"rate":{"calls":5,"per_us":60000000}},{"total":{"argument":"a.b","max":{"$decimal":"15E-1"}}}]}]"#,
    ] {
        let scope: Scope = serde_json::from_str(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(serde_json::to_string(&scope).unwrap(), text);
    }
}

#[test]
fn scopes_are_read_strictly() {
    for text in [
        "{}",
        r#"{"tool":"t"}"#,
        r#"[["t"]]"#,
        r#"[{}]"#,
        r#"[{"resource":["a"]}]"#,
        r#"[{"tool":null}]"#,
        r#"[{"tool":"t","tool":"t"}]"#,
        r#"[{"tool":"t","extra":1}]"#,
        r#"[{"tool":"t","resource":null}]"#,
        r#"[{"tool":"t","resource":"a"}]"#,
        r#"[{"tool":"t","resource":["url:https://A.com/**"]}]"#,
        r#"[{"tool":"t","where":null}]"#,
        r#"[{"tool":"t","where":[]}]"#,
        r#"[{"tool":"t","where":{"a":{"any":true},"a":{"any":true}}}]"#,
        r#"[{"tool":"t","where":{"":{"any":true}}}]"#,
        r#"[{"tool":"t","where":{"a..b":{"any":true}}}]"#,
        r#"[{"tool":"t","limits":[]}]"#,
        r#"[{"tool":"t","limits":null}]"#,
        r#"[{"tool":"t","limits":[{"calls":0}]}]"#,
        r#"[{"tool":"t","limits":[{"calls":1.0}]}]"#,
        r#"[{"tool":"t","limits":[{"calls":-1}]}]"#,
        r#"[{"tool":"t","limits":[{"calls":9007199254740992}]}]"#,
        r#"[{"tool":"t","limits":[{"calls":1,"rate":1}]}]"#,
        r#"[{"tool":"t","limits":[{"calls":1},{"calls":2}]}]"#,
        r#"[{"tool":"t","limits":[{"rate":{"calls":1}}]}]"#,
        r#"[{"tool":"t","limits":[{"rate":[1,2]}]}]"#,
        r#"[{"tool":"t","limits":[{"rate":{"calls":1,"per_us":1,"x":1}}]}]"#,
        r#"[{"tool":"t","limits":[{"rate":{"calls":1,"per_us":1,"calls":1}}]}]"#,
        r#"[{"tool":"t","limits":[{"total":{"argument":"a","max":-1}}]}]"#,
        r#"[{"tool":"t","limits":[{"total":{"argument":"a","max":true}}]}]"#,
        r#"[{"tool":"t","limits":[{"total":{"argument":"","max":1}}]}]"#,
        r#"[{"tool":"t"}] x"#,
    ] {
        assert!(serde_json::from_str::<Scope>(text).is_err(), "{text}");
    }
}

#[test]
fn the_manual_shows_each_caveat_as_it_is() {
    let manual = include_str!("../../../docs/caveats.md");
    let block = manual.split("```json").nth(1).unwrap().split("```").next().unwrap();
    let shown: Vec<Caveat> =
        serde_json::Deserializer::from_str(block).into_iter().collect::<Result<_, _>>().unwrap();
    assert_eq!(shown.len(), 21);
    for caveat in shown {
        let word = caveat.word();
        let row = format!("| `{word}");
        assert!(manual.lines().any(|line| line.starts_with(&row)), "no row for {word}");
    }
}
