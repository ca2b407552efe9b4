#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use super::*;
use crate::canonical::{Int, Value};

#[test]
fn tool_names() {
    for text in ["a", "pay.transfer", "A-1._x", &"a".repeat(256)] {
        assert_eq!(ToolName::parse(text).unwrap().as_str(), text);
    }
    for text in ["", ".", "a.", ".a", "a..b", "a b", "a*", "a/b", "é", "pаy", "a\n", "a\0"] {
        assert!(ToolName::parse(text).is_err(), "{text:?}");
    }
    assert!(ToolName::parse(&"a".repeat(257)).is_err());
    assert_ne!(ToolName::parse("Pay").unwrap(), ToolName::parse("pay").unwrap());
    let error = ToolName::parse(&format!("a\n`{}", "x".repeat(99))).unwrap_err();
    assert_eq!(error.code(), "tool_name_malformed");
    let shown = format!("`a\\u{{a}}\\u{{60}}{}…` is not a tool name", "x".repeat(57));
    assert!(error.to_string().starts_with(&shown), "{error}");
    assert!(serde_json::from_str::<ToolName>("\"a..b\"").is_err());
}

#[test]
fn resources_have_one_text() {
    for text in [
        "a",
        "account/travel-1",
        "a b/é",
        "id:urn:isbn/1",
        "path:/data/x",
        "path:data/x.txt",
        "path:C:/x",
        "url:https://example.com",
        "url:https://example.com/a/b;c=1",
        "url:https://example.com:8443/a",
        "url:http://10.0.0.1/a",
        "url:https://[::1]/a",
        "url:s3://bucket/key",
        "path:...",
        "a..b",
    ] {
        let resource = Resource::parse(text).unwrap();
        assert_eq!(resource.as_str(), text);
        let json = serde_json::to_string(&resource).unwrap();
        assert_eq!(serde_json::from_str::<Resource>(&json).unwrap(), resource);
    }
    for text in [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "a/../b",
        "a/./b",
        "a%2e",
        "*",
        "a/*",
        "**",
        "a*",
        "a\\b",
        "a\0",
        "a\nb",
        "a\u{202e}b",
        "a\u{200b}",
        "a\u{feff}",
        "a\u{2028}",
        "a\u{e0041}",
        "a:b",
        "PATH:/a",
        "Url:https://a.com",
        "file:/a",
        "id:",
        "id:a//b",
        "path:",
        "path:/",
        "path://a",
        "path:/a/../b",
        "path:/a/",
        "path:..",
        "url:",
        "url:example.com",
        "url:https:/example.com",
        "url:https:///a",
        "url:https://",
        "url:https://example.com/",
        "url:https://example.com//a",
        "url:https://example.com/../a",
        "url:https://example.com/a?b",
        "url:https://example.com/a#b",
        "url:https://u@example.com/a",
        "url:https://u:p@example.com",
        "url:https://example.com:443/a",
        "url:http://example.com:80",
        "url:https://example.com:/a",
        "url:https://example.com:0443/a",
        "url:https://example.com./a",
        "url:https://127.1/a",
        "url:https://0x7f000001/a",
        "url:https://2130706433/a",
        "url:https://exаmple.com/a",
        "url:https://example.com/é",
        "url:https://example.com/a b",
        "url:https://*.com/a",
        "url:https://evil.com\\@example.com/a",
        "url:HTTPS://example.com/a",
        "url:https://[::ffff:1.2.3.4/a",
        "url:https://[0::1]/a",
        "url://example.com/a",
    ] {
        assert!(Resource::parse(text).is_err(), "{text:?}");
    }
    assert_eq!(
        Resource::parse("url:https://EXAMPLE.com/A").unwrap().as_str(),
        "url:https://example.com/A"
    );
    assert!(serde_json::from_str::<Resource>("\"url:https://EXAMPLE.com/A\"").is_err());
    assert_ne!(Resource::parse("id:a").unwrap(), Resource::parse("a").unwrap());
    assert_ne!(Resource::parse("path:/a").unwrap(), Resource::parse("path:a").unwrap());
    assert!(Resource::parse(&vec!["a"; 64].join("/")).is_ok());
    assert!(Resource::parse(&vec!["a"; 65].join("/")).is_err());
    assert!(Resource::parse(&"a".repeat(4096)).is_ok());
    assert!(Resource::parse(&"a".repeat(4097)).is_err());
}

fn fill(template: &str, value: Value) -> Result<String, RequestError> {
    let mut arguments = Map::new();
    arguments.insert("x", value);
    let template = ResourceTemplate::parse(template).unwrap();
    template.fill(&arguments).map(|r| r.to_string())
}

#[test]
fn a_field_fills_one_segment() {
    assert_eq!(fill("account/{x}", Value::str("travel-1")).unwrap(), "account/travel-1");
    assert_eq!(fill("inv-{x}/a", Value::int(-7)).unwrap(), "inv--7/a");
    assert_eq!(fill("id:{x}", Value::str("a")).unwrap(), "id:a");
    let big = "99999999999999999999";
    assert_eq!(fill("a/{x}", Value::Int(Int::parse(big).unwrap())).unwrap(), format!("a/{big}"));
    assert_eq!(
        fill("a/{x}", Value::Uuid([0xab; 16])).unwrap(),
        "a/abababab-abab-abab-abab-abababababab"
    );
    for text in [
        "",
        "a/b",
        "..",
        "a..b",
        ".",
        "%2e",
        "*",
        "a*",
        "path:a",
        ":",
        "\\",
        "a\nb",
        "a\0",
        "\u{200b}",
        "a\u{202e}",
        "../account/x",
    ] {
        for template in ["account/{x}", "id:account/{x}"] {
            assert!(fill(template, Value::str(text)).is_err(), "{text:?}");
        }
        if text != "." {
            assert!(fill("account/inv-{x}", Value::str(text)).is_err(), "{text:?}");
        }
    }
    for value in [
        Value::Bool(true),
        Value::Null,
        Value::Float(1.0),
        Value::bytes(b"a"),
        Value::List(vec![Value::str("a")]),
        Value::Datetime(0),
    ] {
        let error = fill("account/{x}", value).unwrap_err();
        assert_eq!(error.code(), "template_argument_type");
    }
    assert!(fill("{x}", Value::str(&"a".repeat(1_000_000))).is_err());
    let secret = fill("account/{x}", Value::str("secret/1")).unwrap_err().to_string();
    assert!(!secret.contains("secret"), "an argument may be masked: {secret}");
}

#[test]
fn a_field_of_a_typed_template_fills_many_segments() {
    assert_eq!(fill("path:{x}", Value::str("/data/a.txt")).unwrap(), "path:/data/a.txt");
    assert_eq!(fill("path:/data/{x}", Value::str("a/b")).unwrap(), "path:/data/a/b");
    assert_eq!(fill("url:{x}", Value::str("https://A.com/b")).unwrap(), "url:https://a.com/b");
    assert_eq!(fill("url:https://{x}/b", Value::str("a.com")).unwrap(), "url:https://a.com/b");
    assert_eq!(
        fill("url:https://a.com:{x}/b", Value::int(8443)).unwrap(),
        "url:https://a.com:8443/b"
    );
    for text in
        ["", "/etc/passwd", "../etc", "a/../../etc", "a//b", "a/", "a/./b", "a\0", "a\\b", "%2e"]
    {
        let error = fill("path:/data/{x}", Value::str(text)).unwrap_err();
        assert_eq!(error.code(), "template_argument_value");
        assert!(text.is_empty() || !error.to_string().contains("etc"), "{error}");
    }
    for text in ["u@evil.com", "evil.com?", "evil.com#", "evil.com\\", "", "a.com:443", "/"] {
        assert!(fill("url:https://{x}/b", Value::str(text)).is_err(), "{text:?}");
    }
}

#[test]
fn templates_are_checked_when_read() {
    let template = ResourceTemplate::parse("a/{x}/{y}-{x}").unwrap();
    assert_eq!(template.fields(), &["x".into(), "y".into()]);
    assert_eq!(template.to_string(), "a/{x}/{y}-{x}");
    assert_eq!(template.fill(&Map::new()).unwrap_err().code(), "template_argument_missing");
    assert!(ResourceTemplate::parse("account/main").unwrap().fields().is_empty());
    for text in [
        "",
        "a//{x}",
        "/a/{x}",
        "a/{x}/",
        "a/{}",
        "a/{x",
        "a/x}",
        "a/{x}}",
        "{{x}}",
        "a/{x.y}",
        "a/{x!r}",
        "a/{0}",
        "a/{x}{y}",
        "a/../{x}",
        "a/%/{x}",
        "a/*/{x}",
        "a:{x}",
        "url:{x}?a=1",
        "url:https://u@{x}/a",
        "a\0{x}",
        "a/{x y}",
    ] {
        assert!(ResourceTemplate::parse(text).is_err(), "{text:?}");
    }
    assert!(ResourceTemplate::parse(&"a".repeat(5_000)).is_err());
}
