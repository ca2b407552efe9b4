//! Calls under a chain: what policies see of them.

use super::*;

/// Judges one condition on a call; checks the compiled answer against Cedar's where Cedar has one.
fn holds(condition: &str, asked: &Asked) -> Result<bool, String> {
    let set = load(&format!(
        "@id(\"p\") permit(principal, action == Action::\"{}\", resource) when {{ {condition} }};",
        asked.tool
    ));
    let subject = set.bind(&facts());
    let call = asked.call();
    let verdict = subject.judge(&call);
    if let Some(stock) = subject.oracle(&call) {
        assert_eq!(ids(&set, &verdict), ids(&set, &stock), "{condition}");
    }
    match verdict.errors.first() {
        Some(error) => Err(error.message.clone()),
        None => Ok(!verdict.permits.is_empty()),
    }
}

fn transfer() -> Asked {
    ask(
        "pay.transfer",
        "account/travel-1",
        &[
            ("amount", Value::float(80.5).unwrap()),
            ("count", Value::int(3)),
            ("memo", Value::str("deposit")),
            ("tags", Value::List(vec![Value::str("a"), Value::str("b"), Value::str("a")])),
            ("blob", Value::bytes(b"x")),
            ("when", Value::Datetime(NOW)),
            (
                "to",
                Value::Map({
                    let mut map = Map::new();
                    map.insert("iban", Value::str("DE1"));
                    map.insert("fee", Value::int(2));
                    map
                }),
            ),
        ],
    )
}

#[test]
fn all_that_a_call_is_can_be_asked() {
    let asked = transfer();
    for condition in [
        r#"principal == Agent::"booker""#,
        r#"principal.id == "agt_booker" && principal.name == "booker" && principal.purpose like "books *""#,
        r#"principal.owner == Human::"hum_alice" && principal.owner.account == "alice@example.com""#,
        r#"principal in Group::"robots""#,
        r#"context.human in Group::"staff" && context.human in Group::"admins""#,
        r#"context.human.assurance == "oidc" && context.human.issuer like "https://*""#,
        r#"context.task == Task::"tsk_1" && context.task.purpose == "Pay the deposit""#,
        r#"context.tool == Tool::"pay.transfer" && context.tool.dangerous && context.tool.name == "pay.transfer""#,
        r#"context.chain.depth == 2 && context.chain.agents.contains(Agent::"planner")"#,
        r#"context.chain.agents == [Agent::"booker", Agent::"planner"]"#,
        r#"context.chain.age == duration("30m") && context.chain.latest < duration("61s")"#,
        r#"context.chain.issued == datetime("2026-01-05T09:30:00Z")"#,
        r#"context.time == datetime("2026-01-05T10:00:00Z") && context.weekday == 1"#,
        r#"context.time.toTime() >= duration("9h") && context.time.toTime() < duration("17h")"#,
        r#"context.host == "build-7" && !context.approved && !(context has own)"#,
        r#"resource == Resource::"account/travel-1" && resource in Resource::"account""#,
        r#"resource in Group::"cheap" && resource.name like "account/*" && resource.kind == "plain""#,
        r#"action in Action::"pay.*" && action in Action::"pay.**" && action in Action::"**""#,
        r#"context.arguments.amount.lessThan(decimal("80.51")) && context.arguments.amount == decimal("80.5")"#,
        r#"context.arguments has count && context.arguments.count + 1 == 4"#,
        r#"context.arguments has memo && context.arguments.memo like "dep*""#,
        r#"context.arguments has tags && context.arguments.tags.contains("b") && context.arguments.tags == ["b", "a"]"#,
        r#"context.arguments has tags && ["a", "b", "c"].containsAll(context.arguments.tags)"#,
        r#"context.arguments has blob"#,
        r#"context.arguments has when && context.arguments.when == context.time"#,
        r#"context.arguments has to && context.arguments.to.iban == "DE1""#,
        r#"context.arguments has to.fee && context.arguments.to.fee == decimal("2.0")"#,
    ] {
        assert_eq!(holds(condition, &asked), Ok(true), "{condition}");
    }
}

#[test]
fn a_resource_lies_in_what_its_text_lies_in() {
    for (resource, above, expected) in [
        ("account/eu/travel-1", "account", true),
        ("account/eu/travel-1", "account/eu", true),
        ("account/eu/travel-1", "account/e", false),
        ("accounts/eu", "account", false),
        ("path:/data/x", "path:/data", true),
        ("path:/data/x", "path:data", false),
        ("url:https://h.example/a/b", "url:https://h.example", true),
        ("url:https://h.example.evil/a", "url:https://h.example", false),
        ("url:https://h.example/a", "url:https:", false),
    ] {
        let asked = ask("search", resource, &[("query", Value::str("x"))]);
        let condition = format!(r#"resource in Resource::"{above}""#);
        assert_eq!(holds(&condition, &asked), Ok(expected), "{resource} in {above}");
    }
}

#[test]
fn a_tool_nobody_registered_is_in_the_groups_of_its_name() {
    let set = load(
        r#"@id("no") forbid(principal, action in Action::"pay.**", resource) when { context.arguments has secret };
           @id("all") permit(principal, action, resource);"#,
    );
    let subject = set.bind(&facts());
    let asked = ask("pay.eu.steal", "", &[("secret", Value::Bool(true))]);
    let verdict = subject.judge(&asked.call());
    assert_eq!(ids(&set, &verdict), [vec!["all".to_owned()], vec!["no".to_owned()], vec![]]);
    let asked = ask("play.chess", "", &[("secret", Value::Bool(true))]);
    assert_eq!(subject.judge(&asked.call()).effect(), Effect::Permit);
}

#[test]
fn an_argument_without_counterpart_fails_when_it_is_read() {
    let mut asked = transfer();
    asked.arguments.insert("amount", Value::float(100.000_01).unwrap());
    asked.arguments.insert("count", Value::Int("9223372036854775808".parse_int()));
    let set = load(
        r#"@id("f") forbid(principal, action == Action::"pay.transfer", resource)
               when { context.arguments.amount.greaterThan(decimal("100.0")) };
           @id("c") forbid(principal, action == Action::"pay.transfer", resource)
               when { context.arguments has count && context.arguments.count > 5 };
           @id("p") permit(principal, action, resource);"#,
    );
    let subject = set.bind(&facts());
    let verdict = subject.judge(&asked.call());
    assert_eq!(verdict.effect(), Effect::Forbid);
    assert_eq!(verdict.errors.len(), 2, "{verdict:?}");
}

trait ParseInt {
    fn parse_int(&self) -> crate::canonical::Int;
}

impl ParseInt for str {
    fn parse_int(&self) -> crate::canonical::Int {
        crate::canonical::Int::parse(self).unwrap()
    }
}

#[test]
fn a_forbid_that_fails_forbids_and_a_permit_that_fails_does_not_permit() {
    let set = load(
        r#"@id("f") forbid(principal, action == Action::"pay.transfer", resource)
               when { context.arguments has count && context.arguments.count + 9223372036854775807 > 0 };
           @id("p") permit(principal, action, resource);"#,
    );
    let subject = set.bind(&facts());
    let verdict = subject.judge(&transfer().call());
    assert_eq!(ids(&set, &verdict), [vec!["p".to_owned()], vec![], vec!["f".to_owned()]]);
    assert_eq!(verdict.effect(), Effect::Forbid);
    assert_eq!(verdict.plain_effect(), Effect::Permit);
}
