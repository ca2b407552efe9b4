//! Tables for patterns, the closed world, refusals and the rules between child and parent.

use crate::canonical::{Map, Value, from_json};
use crate::request::{Request, Resource, ToolName};
use crate::scope::pattern::{ResourcePattern, ToolPattern};
use crate::scope::{RefusalCode, Scope, ScopeError};

fn scope(json: &str) -> Scope {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

fn call(tool: &str, resource: &str, arguments: &str) -> Request {
    let arguments: Map = from_json(arguments).unwrap().as_map().unwrap().clone();
    let mut request = Request::new(ToolName::parse(tool).unwrap(), arguments);
    request.resource = (!resource.is_empty()).then(|| Resource::parse(resource).unwrap());
    request
}

fn code(scope: &Scope, request: &Request) -> Option<RefusalCode> {
    scope.covers(request).err().map(|refusal| refusal.code)
}

#[test]
fn tool_patterns() {
    for (pattern, yes, no) in [
        ("pay.transfer", &["pay.transfer"][..], &["pay", "pay.transfer.x", "Pay.transfer"][..]),
        ("pay.*", &["pay.a"], &["pay", "pay.a.b", "payment.a"]),
        ("pay.get_*", &["pay.get_", "pay.get_x"], &["pay.get", "pay.get_x.y", "pay.Get_x"]),
        ("*.read", &["a.read"], &["read", "a.b.read"]),
        ("pay.**", &["pay.a", "pay.a.b"], &["pay", "pays.a"]),
        ("pay*.**", &["pay.a", "payment.a"], &["pay"]),
        ("*.*.**", &["a.b.c"], &["a.b"]),
        ("**", &["a", "a.b.c"], &[]),
        ("*", &["a"], &["a.b"]),
    ] {
        let read = ToolPattern::parse(pattern).unwrap();
        assert_eq!(read.to_string(), pattern);
        for tool in yes {
            assert!(read.matches(&ToolName::parse(tool).unwrap()), "{pattern} {tool}");
        }
        for tool in no {
            assert!(!read.matches(&ToolName::parse(tool).unwrap()), "{pattern} {tool}");
        }
    }
    for text in [
        "",
        ".",
        "a.",
        ".**",
        "a..b",
        "a**",
        "**.a",
        "a.**.b",
        "*a",
        "a*b",
        "***",
        "a.***",
        "a/b",
        "a b",
        "é",
        "pаy.*",
        "a\n",
        "**.**",
        &"a".repeat(257),
    ] {
        assert!(ToolPattern::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn resource_patterns() {
    for (pattern, yes, no) in [
        (
            "account/travel-*",
            &["account/travel-1", "account/travel-"][..],
            &["account/Travel-1", "account/travel", "account/travel-1/x", "id:account/travel-1"][..],
        ),
        ("account/*", &["account/a"], &["account", "account/a/b"]),
        ("a/**", &["a/b", "a/b/c"], &["a", "ab/c"]),
        ("*", &["a"], &["id:a", "path:a", "a/b"]),
        ("**", &["a", "id:a", "path:/a", "url:https://x.com"], &[]),
        ("path:**", &["path:a/b", "path:/a"], &["a", "id:a"]),
        ("path:/**", &["path:/a", "path:/a/b"], &["path:a"]),
        ("path:/data/*", &["path:/data/x"], &["path:/data/x/y", "path:data/x"]),
        ("path:*/a", &["path:x/a"], &["path:/a"]),
        ("id:*", &["id:urn:x"], &["a", "id:a/b"]),
        ("url:**", &["url:https://x.com", "url:s3://b/k"], &["a"]),
        ("url:https://**", &["url:https://x.com", "url:https://x.com/a"], &["url:http://x.com"]),
        (
            "url:https://X.com/**",
            &["url:https://x.com/a/b"],
            &["url:https://x.com", "url:https://x.com.evil.com/a", "url:https://x.com:8443/a"],
        ),
        ("url:https://x.com:8443/*", &["url:https://x.com:8443/a"], &["url:https://x.com/a"]),
        ("url:https://*/v1/*", &["url:https://y.com:1/v1/a"], &["url:https://y.com/v2/a"]),
    ] {
        let read = ResourcePattern::parse(pattern).unwrap();
        assert_eq!(ResourcePattern::parse(read.as_str()).unwrap(), read);
        for text in yes {
            assert!(read.matches(Some(&Resource::parse(text).unwrap())), "{pattern} {text}");
        }
        for text in no {
            assert!(!read.matches(Some(&Resource::parse(text).unwrap())), "{pattern} {text}");
        }
        assert_eq!(read.matches(None), pattern == "**", "{pattern} and no resource");
    }
    for text in [
        "",
        "/a",
        "a/",
        "a//b",
        "..",
        "a/../*",
        "./*",
        "a/**/b",
        "a**",
        "*a",
        "a*b",
        "a/%*",
        "a:*",
        "a\\*",
        "a\0*",
        "PATH:**",
        "path:",
        "path:/",
        "path://**",
        "url:*",
        "url:*/a",
        "url:https:**",
        "url:https://api.x.com*",
        "url:https://*.x.com/**",
        "url:https://**/a",
        "url:*://x.com/a",
        "url:https://u@x.com/**",
        "url:https://x.com:443/**",
        "url:https://x.com/",
        "url:http*://x.com",
        "url:https://x.com/?*",
    ] {
        assert!(ResourcePattern::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn an_empty_list_is_nothing_and_an_absent_one_is_everything() {
    let request = call("t", "", "{}");
    assert!(scope("[]").covers(&request).is_err());
    assert!(scope(r#"[{"tool":"t"}]"#).covers(&request).is_ok());
    assert!(scope(r#"[{"tool":"t","resource":["**"]}]"#).covers(&request).is_ok());
    assert_eq!(
        code(&scope(r#"[{"tool":"t","resource":[]}]"#), &request),
        Some(RefusalCode::ResourceMissing)
    );
    assert_eq!(
        code(&scope(r#"[{"tool":"t","resource":["a"]}]"#), &call("t", "b", "{}")),
        Some(RefusalCode::ResourceNotCovered)
    );
}

#[test]
fn the_first_capability_that_covers_is_the_one() {
    let two = scope(r#"[{"tool":"a"},{"tool":"t"},{"tool":"*"}]"#);
    assert_eq!(two.covers(&call("t", "", "{}")), Ok(1));
    assert_eq!(two.covers(&call("z", "", "{}")), Ok(2));
}

#[test]
fn arguments_are_a_closed_world() {
    let any = scope(r#"[{"tool":"t"}]"#);
    assert!(any.covers(&call("t", "", r#"{"a.b":1,"c":2}"#)).is_ok());
    let none = scope(r#"[{"tool":"t","where":{}}]"#);
    assert!(none.covers(&call("t", "", "{}")).is_ok());
    assert_eq!(code(&none, &call("t", "", r#"{"a":1}"#)), Some(RefusalCode::ArgumentNotNamed));
    let some =
        scope(r#"[{"tool":"t","where":{"a":{"at_most":5},"b":{"any":true},"c":{"absent":true}}}]"#);
    assert!(some.covers(&call("t", "", r#"{"a":5}"#)).is_ok());
    assert!(some.covers(&call("t", "", r#"{"a":5,"b":null}"#)).is_ok());
    for (arguments, wanted) in [
        (r#"{}"#, RefusalCode::ArgumentMissing),
        (r#"{"a":6}"#, RefusalCode::CaveatFailed),
        (r#"{"a":"5"}"#, RefusalCode::CaveatFailed),
        (r#"{"a":true}"#, RefusalCode::CaveatFailed),
        (r#"{"a":5,"c":null}"#, RefusalCode::CaveatFailed),
        (r#"{"a":5,"d":1}"#, RefusalCode::ArgumentNotNamed),
        (r#"{"а":5}"#, RefusalCode::ArgumentNotNamed),
        (r#"{"a":5,"b.c":1}"#, RefusalCode::ArgumentNotNamed),
    ] {
        assert_eq!(code(&some, &call("t", "", arguments)), Some(wanted), "{arguments}");
    }
}

#[test]
fn template_arguments_and_defaults_need_no_name() {
    let mut request = call("t", "account/1", r#"{"account":"1"}"#);
    request.template.push("account".into());
    let where_only = r#"[{"tool":"t","where":{}}]"#;
    assert_eq!(code(&scope(where_only), &request), Some(RefusalCode::ArgumentNotNamed));
    for resource in [r#"["**"]"#, r#"["account/*"]"#] {
        let json = format!(r#"[{{"tool":"t","resource":{resource},"where":{{}}}}]"#);
        assert!(scope(&json).covers(&request).is_ok());
    }
    let mut request = call("t", "", r#"{"memo":""}"#);
    request.defaulted.push("memo".into());
    assert!(scope(where_only).covers(&request).is_ok());
    let mut dotted = call("t", "", r#"{"memo.x":""}"#);
    dotted.defaulted.push("memo.x".into());
    assert_eq!(code(&scope(where_only), &dotted), Some(RefusalCode::ArgumentNotNamed));
    // A caveat on it is judged all the same.
    let named = scope(r#"[{"tool":"t","where":{"memo":{"equals":"x"}}}]"#);
    assert_eq!(code(&named, &request), Some(RefusalCode::CaveatFailed));
}

#[test]
fn naming_a_field_closes_every_object_above_it() {
    let nested = scope(
        r#"[{"tool":"t","where":{"to.city":{"equals":"L"},"to.geo.x":{"any":true},"n":{"any":true}}}]"#,
    );
    for arguments in [
        r#"{"to":{"city":"L"}}"#,
        r#"{"to":{"city":"L","geo":{}},"n":{"free":{"a.b":1}}}"#,
        r#"{"to":{"$record":["m.T",{"city":"L","geo":{"x":1}}]}}"#,
    ] {
        assert_eq!(code(&nested, &call("t", "", arguments)), None, "{arguments}");
    }
    for (arguments, wanted) in [
        (r#"{"to":{"city":"L","zip":1}}"#, RefusalCode::ArgumentNotNamed),
        (r#"{"to":{"city":"L","geo":{"y":1}}}"#, RefusalCode::ArgumentNotNamed),
        (r#"{"to":{"city":"L","geo.x":1}}"#, RefusalCode::DottedKey),
        (r#"{"to":{"city":"L"},"to.city":"M"}"#, RefusalCode::DottedKey),
        (r#"{"to":{"city":"L","geo":[]}}"#, RefusalCode::NotAnObject),
        (r#"{"to":"L"}"#, RefusalCode::NotAnObject),
        (r#"{"to":null}"#, RefusalCode::NotAnObject),
        (r#"{"to":{}}"#, RefusalCode::ArgumentMissing),
        (r#"{}"#, RefusalCode::ArgumentMissing),
        (r#"{"to":{"city":"M"}}"#, RefusalCode::CaveatFailed),
    ] {
        assert_eq!(code(&nested, &call("t", "", arguments)), Some(wanted), "{arguments}");
    }
    let refusal = nested.covers(&call("t", "", r#"{"to":{"city":"L","zip":1}}"#)).unwrap_err();
    assert_eq!(refusal.argument.as_deref(), Some("to.zip"));
    // No default opens a field, and none escapes the closing.
    let mut request = call("t", "", r#"{"to":{"city":"L","zip":1}}"#);
    request.defaulted.extend(["to".into(), "zip".into()]);
    assert_eq!(code(&nested, &request), Some(RefusalCode::ArgumentNotNamed));
}

#[test]
fn a_refusal_tells_of_the_closest_capability() {
    let scope = scope(
        r#"[{"tool":"pay.refund"},
            {"tool":"pay.transfer","resource":["account/b"]},
            {"tool":"pay.transfer","resource":["account/a"],"where":{"amount":{"at_most":500}}}]"#,
    );
    let refusal =
        scope.covers(&call("pay.transfer", "account/a", r#"{"amount":900}"#)).unwrap_err();
    assert_eq!((refusal.capability, refusal.asked_type), (Some(2), Some("int")));
    assert_eq!(refusal.to_string(), "the argument `amount` is 900; allowed is at most 500");
    assert_eq!(&*refusal.fix, "give `amount`: at most 500");
    assert_eq!(
        refusal.masked().to_string(),
        "the argument `amount` is int (masked); allowed is at most 500"
    );
    let text = scope.covers(&call("pay.transfer", "account/a", r#"{"amount":"9"}"#)).unwrap_err();
    assert_eq!(
        text.to_string(),
        r#"the argument `amount` is the text "9"; allowed is a number, at most 500"#
    );
    assert_eq!(
        text.masked().to_string(),
        "the argument `amount` is str (masked); allowed is a number, at most 500"
    );
    let refusal = scope.covers(&call("pay.transfer", "account/z", "{}")).unwrap_err();
    assert_eq!(refusal.capability, Some(1));
    assert_eq!(
        refusal.to_string(),
        "the resource `account/z` is not covered; allowed is `account/b`"
    );
    assert!(!refusal.masked().to_string().contains("account/z"));
    let refusal = scope.covers(&call("mail", "", "{}")).unwrap_err();
    assert_eq!((refusal.code.as_str(), refusal.capability), ("tool_not_covered", None));
    assert!(refusal.to_string().starts_with("the tool is not covered; allowed is `pay.refund`"));
    let long = Value::str(&"\u{202e}x\n".repeat(100_000));
    let mut request = call("pay.transfer", "account/a", "{}");
    request.arguments.insert("amount", long);
    let refusal = scope.covers(&request).unwrap_err();
    assert!(refusal.to_string().len() < 700);
    assert!(!refusal.to_string().contains(['\u{202e}', '\n']));
}

#[test]
fn within_row_by_row() {
    let one = |json: &str| scope(&format!("[{json}]"));
    let rows = [
        (r#"{"tool":"a.b"}"#, r#"{"tool":"a.*"}"#, ""),
        (r#"{"tool":"a.**"}"#, r#"{"tool":"a.*"}"#, "tool_beyond"),
        (r#"{"tool":"*"}"#, r#"{"tool":"a"}"#, "tool_beyond"),
        (r#"{"tool":"t","resource":["a/b"]}"#, r#"{"tool":"t","resource":["a/*"]}"#, ""),
        (r#"{"tool":"t"}"#, r#"{"tool":"t","resource":["a/*"]}"#, "resource_beyond"),
        (r#"{"tool":"t"}"#, r#"{"tool":"t","resource":["a","**"]}"#, ""),
        (r#"{"tool":"t","resource":[]}"#, r#"{"tool":"t","resource":["a"]}"#, ""),
        (r#"{"tool":"t","resource":["a"]}"#, r#"{"tool":"t","resource":[]}"#, "resource_beyond"),
        (
            r#"{"tool":"t","resource":["path:a"]}"#,
            r#"{"tool":"t","resource":["a"]}"#,
            "resource_beyond",
        ),
        (r#"{"tool":"t","where":{"a":{"equals":1}}}"#, r#"{"tool":"t"}"#, ""),
        (r#"{"tool":"t"}"#, r#"{"tool":"t","where":{}}"#, "where_left_out"),
        (r#"{"tool":"t","where":{}}"#, r#"{"tool":"t","where":{"a":{"any":true}}}"#, ""),
        (
            r#"{"tool":"t","where":{}}"#,
            r#"{"tool":"t","where":{"a":{"present":true}}}"#,
            "argument_left_out",
        ),
        (
            r#"{"tool":"t","where":{}}"#,
            r#"{"tool":"t","where":{"a":{"absent":true}}}"#,
            "argument_left_out",
        ),
        (
            r#"{"tool":"t","where":{"a":{"any":true}}}"#,
            r#"{"tool":"t","where":{}}"#,
            "argument_beyond",
        ),
        (r#"{"tool":"t","where":{"a":{"absent":true}}}"#, r#"{"tool":"t","where":{}}"#, ""),
        (
            r#"{"tool":"t","where":{"a":{"at_most":6}}}"#,
            r#"{"tool":"t","where":{"a":{"at_most":5}}}"#,
            "caveat_beyond",
        ),
        // The template exemption is the parent's to give.
        (
            r#"{"tool":"t","resource":["a"],"where":{}}"#,
            r#"{"tool":"t","where":{}}"#,
            "template_exemption",
        ),
        (
            r#"{"tool":"t","resource":["a"],"where":{}}"#,
            r#"{"tool":"t","resource":["**"],"where":{}}"#,
            "",
        ),
        (r#"{"tool":"t","resource":["a"],"where":{}}"#, r#"{"tool":"t"}"#, ""),
        (r#"{"tool":"t","where":{}}"#, r#"{"tool":"t","resource":["**"],"where":{}}"#, ""),
        // Objects.
        (
            r#"{"tool":"t","where":{"a":{"any":true}}}"#,
            r#"{"tool":"t","where":{"a":{"any":true},"a.b":{"any":true}}}"#,
            "object_left_open",
        ),
        (
            r#"{"tool":"t","where":{}}"#,
            r#"{"tool":"t","where":{"a.b":{"any":true}}}"#,
            "object_left_open",
        ),
        (
            r#"{"tool":"t","where":{"a":{"absent":true}}}"#,
            r#"{"tool":"t","where":{"a.b":{"any":true}}}"#,
            "",
        ),
        (
            r#"{"tool":"t","where":{"a":{"any":true},"a.b":{"equals":1}}}"#,
            r#"{"tool":"t","where":{"a":{"any":true}}}"#,
            "",
        ),
        (
            r#"{"tool":"t","where":{"a.b":{"equals":1}}}"#,
            r#"{"tool":"t","where":{"a":{"any":true}}}"#,
            "",
        ),
        (
            r#"{"tool":"t","where":{"a.c":{"equals":1},"a.b":{"any":true}}}"#,
            r#"{"tool":"t","where":{"a.b":{"any":true}}}"#,
            "argument_beyond",
        ),
        (
            r#"{"tool":"t","where":{"a.c":{"absent":true},"a.b":{"any":true}}}"#,
            r#"{"tool":"t","where":{"a.b":{"any":true}}}"#,
            "",
        ),
        (
            r#"{"tool":"t","where":{"a.c.d":{"absent":true},"a.b":{"any":true}}}"#,
            r#"{"tool":"t","where":{"a.b":{"any":true}}}"#,
            "argument_beyond",
        ),
        // Limits.
        (r#"{"tool":"t"}"#, r#"{"tool":"t","limits":[{"calls":5}]}"#, ""),
        (r#"{"tool":"t","limits":[{"calls":5}]}"#, r#"{"tool":"t"}"#, ""),
        (r#"{"tool":"t","limits":[{"calls":5}]}"#, r#"{"tool":"t","limits":[{"calls":5}]}"#, ""),
        (
            r#"{"tool":"t","limits":[{"calls":6}]}"#,
            r#"{"tool":"t","limits":[{"calls":5}]}"#,
            "limit_above",
        ),
        (
            r#"{"tool":"t","limits":[{"rate":{"calls":6,"per_us":1}}]}"#,
            r#"{"tool":"t","limits":[{"rate":{"calls":5,"per_us":1}}]}"#,
            "limit_above",
        ),
        (
            r#"{"tool":"t","limits":[{"rate":{"calls":6,"per_us":2}}]}"#,
            r#"{"tool":"t","limits":[{"rate":{"calls":5,"per_us":1}}]}"#,
            "",
        ),
        (
            r#"{"tool":"t","limits":[{"total":{"argument":"a","max":2.5}}]}"#,
            r#"{"tool":"t","limits":[{"total":{"argument":"a","max":2}}]}"#,
            "limit_above",
        ),
        (
            r#"{"tool":"t","limits":[{"total":{"argument":"b","max":9}}]}"#,
            r#"{"tool":"t","limits":[{"total":{"argument":"a","max":2}}]}"#,
            "",
        ),
    ];
    for (child, parent, wanted) in rows {
        let got = one(child).within(&one(parent));
        let got = got.as_ref().map_or_else(|error| error.code.as_str(), |()| "");
        assert_eq!(got, wanted, "{child} in {parent}");
    }
    assert!(
        scope("[]").within(&scope("[]")).is_ok() && scope("[]").within(&one(rows[0].0)).is_ok()
    );
    // Two parents together are not enough: each child fits inside one.
    let both = scope(r#"[{"tool":"t","resource":["a"]},{"tool":"t","resource":["b"]}]"#);
    let error = one(r#"{"tool":"t","resource":["a","b"]}"#).within(&both).unwrap_err();
    assert_eq!(
        (error.code.as_str(), error.capability, error.parent),
        ("resource_beyond", 0, Some(0))
    );
}

#[test]
fn a_refused_delegation_says_what_would_be_legal() {
    let parent = scope(r#"[{"tool":"x"},{"tool":"pay.*","where":{"amount":{"at_most":500}}}]"#);
    let child = scope(r#"[{"tool":"pay.a","where":{"amount":{"at_most":900}}}]"#);
    let error = child.within(&parent).unwrap_err();
    assert_eq!(
        error.to_string(),
        "capability 0 asks for the argument `amount` as at most 900; the parent allows at most 500"
    );
    assert_eq!((&*error.fix, error.parent), ("narrow `amount` to at most 500", Some(1)));
}

#[test]
fn sizes_are_bounded() {
    let many = |count: usize, one: &str| vec![one; count].join(",");
    let ok = |json: String| serde_json::from_str::<Scope>(&json);
    assert!(ok(format!("[{}]", many(64, r#"{"tool":"t"}"#))).is_ok());
    assert!(ok(format!("[{}]", many(65, r#"{"tool":"t"}"#))).is_err());
    assert!(ok(format!(r#"[{{"tool":"t","resource":[{}]}}]"#, many(65, "\"a\""))).is_err());
    let names: Vec<String> = (0..65).map(|n| format!(r#""a{n}":{{"any":true}}"#)).collect();
    assert!(ok(format!(r#"[{{"tool":"t","where":{{{}}}}}]"#, names.join(","))).is_err());
    let rates: Vec<String> =
        (1..18).map(|n| format!(r#"{{"rate":{{"calls":1,"per_us":{n}}}}}"#)).collect();
    assert!(ok(format!(r#"[{{"tool":"t","limits":[{}]}}]"#, rates.join(","))).is_err());
    let error = Scope::new(vec![scope(r#"[{"tool":"t"}]"#).capabilities()[0].clone(); 65]);
    assert!(matches!(error, Err(ScopeError::TooMany { count: 65, most: 64, .. })));
}
