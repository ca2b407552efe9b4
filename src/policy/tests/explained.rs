//! Explanations: what decided, what nearly did, and the smallest change.

use super::*;

fn explain(policies: &str, asked: &Asked) -> (PolicySet, Explanation) {
    let set = load(policies);
    let explanation = set.bind(&facts()).explain(&asked.call());
    (set, explanation)
}

fn transfer(amount: f64) -> Asked {
    ask(
        "pay.transfer",
        "account/travel-1",
        &[("amount", Value::float(amount).unwrap()), ("memo", Value::str("deposit"))],
    )
}

fn words(explanation: &Explanation) -> Vec<String> {
    explanation.changes.iter().map(ToString::to_string).collect()
}

#[test]
fn a_forbid_says_which_value_it_minds() {
    let (set, why) = explain(
        r#"@id("all") permit(principal, action, resource);
           @id("cap") forbid(principal, action == Action::"pay.transfer", resource)
             when { context.arguments.amount.greaterThan(decimal("500.0")) && !context.approved };"#,
        &transfer(800.5),
    );
    assert_eq!(why.verdict.effect(), Effect::Forbid);
    assert_eq!(words(&why), ["`context.arguments.amount` would have to be at most 500.0"]);
    let cap =
        why.decided.iter().find(|d| set.policy(d.policy).unwrap().id.as_ref() == "cap").unwrap();
    let [first, second] = &cap.conjuncts[..] else { panic!("{cap:?}") };
    assert_eq!(first.text, r#"context.arguments.amount.greaterThan(decimal("500.0"))"#);
    assert_eq!((first.line, first.column), (3, 21));
    assert_eq!(first.outcome, Outcome::Holds);
    assert_eq!(first.values[0].path, "context.arguments.amount");
    assert_eq!(first.values[0].argument(), Some("amount"));
    assert_eq!(first.values[0].value.as_deref(), Some("decimal(\"800.5000\")"));
    assert_eq!(second.text, "unless context.approved");
    assert!(why.near.is_empty());
}

#[test]
fn the_nearest_permit_says_what_it_lacks() {
    let (set, why) = explain(
        r#"@id("far") permit(principal == Agent::"other", action == Action::"pay.transfer", resource == Resource::"x");
           @id("near") permit(principal in Group::"robots", action == Action::"pay.transfer", resource in Resource::"account")
             when { context.arguments has memo && context.arguments.memo like "trip *" };
           @id("elsewhere") permit(principal, action == Action::"search", resource);"#,
        &transfer(1.0),
    );
    let ids: Vec<_> =
        why.near.iter().map(|n| set.policy(n.policy).unwrap().id.to_string()).collect();
    assert_eq!(ids, ["near", "far"]);
    assert_eq!(words(&why), ["`context.arguments.memo` would have to be like \"trip *\""]);
    assert_eq!(why.near[0].conjuncts.len(), 2);
    assert_eq!(why.near[0].conjuncts[1].outcome, Outcome::Fails);
    assert_eq!(why.near[1].scope.len(), 2);
    assert_eq!(why.near[1].scope[0].has, "Agent::\"booker\"");
}

#[test]
fn each_comparison_has_its_words() {
    for (condition, change) in [
        (
            r#"context.arguments.amount.lessThan(decimal("5.0"))"#,
            "`context.arguments.amount` would have to be less than 5.0",
        ),
        (
            r#"decimal("5.0").greaterThanOrEqual(context.arguments.amount)"#,
            "`context.arguments.amount` would have to be at most 5.0",
        ),
        ("context.chain.depth < 2", "`context.chain.depth` would have to be less than 2"),
        ("context.chain.depth > 4", "`context.chain.depth` would have to be more than 4"),
        ("5 <= context.chain.depth", "`context.chain.depth` would have to be at least 5"),
        ("context.approved", "`context.approved` would have to be true"),
        (r#"context.host == "a""#, "`context.host` would have to be \"a\""),
        (r#"context.host != "build-7""#, "`context.host` would have to be other than \"build-7\""),
        (
            r#"["a", "b"].contains(context.host)"#,
            "`context.host` would have to be one of [\"a\", \"b\"]",
        ),
        (
            r#"context.human in Group::"board""#,
            "`context.human` would have to be in Group::\"board\"",
        ),
        ("context.arguments has count", "`context.arguments.count` would have to be given"),
        (r#"context.host == "a" || context.approved"#, "`context.host` would have to be \"a\""),
        (r#"!(context.chain.depth == 2)"#, "`context.chain.depth` would have to be other than 2"),
    ] {
        let text = format!(
            "@id(\"p\") permit(principal, action == Action::\"pay.transfer\", resource) when {{ {condition} }};"
        );
        let (_, why) = explain(&text, &transfer(80.0));
        assert_eq!(words(&why), [change], "{condition}");
        // The same asked of a forbid by `unless`.
        let text = format!(
            "@id(\"all\") permit(principal, action, resource);\n@id(\"f\") forbid(principal, action == Action::\"pay.transfer\", resource) unless {{ {condition} }};"
        );
        let (_, why) = explain(&text, &transfer(80.0));
        assert_eq!(words(&why), [change], "unless {condition}");
    }
}

#[test]
fn a_change_that_is_told_would_have_allowed_it() {
    let policies = r#"@id("p") permit(principal, action == Action::"pay.transfer", resource)
        when { context.arguments.amount.lessThanOrEqual(decimal("20.0")) };"#;
    let (_, why) = explain(policies, &transfer(80.0));
    assert_eq!(words(&why), ["`context.arguments.amount` would have to be at most 20.0"]);
    let (_, why) = explain(policies, &transfer(20.0));
    assert_eq!(why.verdict.effect(), Effect::Permit);
    assert!(why.changes.is_empty());
}

#[test]
fn what_fails_says_so() {
    let (_, why) = explain(
        r#"@id("all") permit(principal, action, resource);
           @id("f") forbid(principal, action == Action::"pay.transfer", resource)
             when { context.arguments has memo && context.arguments.amount.greaterThan(decimal("1.0")) };"#,
        &transfer(100.000_01),
    );
    assert_eq!(why.verdict.effect(), Effect::Forbid);
    let failed = why.decided.iter().find(|d| d.effect == Effect::Forbid).unwrap();
    let last = failed.conjuncts.last().unwrap();
    assert!(
        matches!(&last.outcome, Outcome::Errs(message) if message.contains("`amount` has more digits")),
        "{last:?}"
    );
    assert_eq!(last.values[0].value, None);
}
