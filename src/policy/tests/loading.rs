//! Loading: all or nothing, each fault with its place.

use super::*;

fn faults(policies: &str) -> Vec<String> {
    match PolicySet::load(&bundle(policies), None) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn a_wrong_name_is_refused_with_its_place_and_a_suggestion() {
    for (text, place, parts) in [
        (
            "@id(\"a\")\npermit(principal, action == Action::\"pay.transfer\", resource)\n  when { context.arguments.amuont.lessThan(decimal(\"1.0\")) };",
            "rules.cedar:3:10:",
            &["amuont", "`amount`"][..],
        ),
        (
            "@id(\"a\") permit(principal, action == Action::\"pay.transfr\", resource);",
            "rules.cedar:1:",
            &["pay.transfr", "pay.transfer"],
        ),
        (
            "@id(\"a\") permit(principal == Agnt::\"x\", action, resource);",
            "rules.cedar:1:",
            &["Agnt", "Agent"],
        ),
        (
            "@id(\"a\") permit(principal, action == Action::\"search\", resource) when { context.arguments.query > 3 };",
            "rules.cedar:1:",
            &["String"],
        ),
        ("@id(\"a\")\npermit(principal, action, resource", "rules.cedar:2:", &["unexpected end"]),
    ] {
        let found = faults(text);
        assert!(!found.is_empty(), "{text}");
        assert!(found[0].starts_with(place), "{}", found[0]);
        for part in parts {
            assert!(found[0].contains(part), "{part}: {}", found[0]);
        }
    }
}

#[test]
fn ids_are_required_and_unique() {
    let found = faults("permit(principal, action, resource);");
    assert!(found[0].contains("a policy without an id"), "{found:?}");
    let found = faults(
        "@id(\"a\") permit(principal, action, resource);\n@id(\"a\") forbid(principal, action, resource);",
    );
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with("rules.cedar:2:1: the id `a` is taken by rules.cedar:1"),
        "{found:?}"
    );
}

#[test]
fn all_faults_are_found_at_once() {
    let found = faults(
        "@id(\"a\") permit(principal, action == Action::\"nope\", resource);\n@id(\"b\") permit(principal == Nope::\"x\", action, resource);",
    );
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn entities_must_fit_the_schema_and_not_lie_in_themselves() {
    for (text, part) in [
        (r#"[{"uid": {"type": "Humann", "id": "x"}, "attrs": {}, "parents": []}]"#, "Humann"),
        (
            r#"[{"uid": {"type": "Human", "id": "x"}, "attrs": {"shoe": 44}, "parents": []}]"#,
            "shoe",
        ),
        (
            r#"[{"uid": {"type": "Group", "id": "a"}, "attrs": {}, "parents": [{"type": "Group", "id": "b"}]},
             {"uid": {"type": "Group", "id": "b"}, "attrs": {}, "parents": [{"type": "Group", "id": "a"}]}]"#,
            "lies in itself",
        ),
        ("[", "EOF"),
    ] {
        let mut bundle = bundle("@id(\"a\") permit(principal, action, resource);");
        bundle.entities.push(source("more.json", text));
        let faults = PolicySet::load(&bundle, None).unwrap_err();
        assert!(faults[0].to_string().contains(part), "{}", faults[0]);
    }
}

#[test]
fn a_deployment_has_its_own_attributes() {
    let mut bundle = bundle(
        r#"@id("a") permit(principal, action, resource)
            when { context has own.region && context.own.region == "eu" && context.human has own && context.human.own.level > 3 };"#,
    );
    bundle.schemas.push(source(
        "own.cedarschema",
        "type ContextAttributes = { region?: String };\ntype HumanAttributes = { level: Long };",
    ));
    bundle.entities = vec![source(
        "e.json",
        r#"[{"uid": {"type": "Human", "id": "hum_alice"}, "attrs": {"own": {"level": 4}}, "parents": []}]"#,
    )];
    let set = PolicySet::load(&bundle, None).unwrap();
    let subject = set.bind(&facts());
    let mut asked = ask("search", "", &[("query", Value::str("x"))]);
    assert_eq!(subject.judge(&asked.call()).effect(), Effect::Forbid);
    let mut own = Map::new();
    own.insert("region", Value::str("eu"));
    asked.own = Some(own);
    assert_eq!(subject.judge(&asked.call()).effect(), Effect::Permit);
}

#[test]
fn the_version_covers_policies_entities_and_schema_and_nothing_else() {
    let text = "@id(\"a\") permit(principal, action, resource);\n@id(\"b\") forbid(principal, action, resource) when { context.approved };";
    let version = |bundle: &Bundle| *PolicySet::load(bundle, None).unwrap().version();
    let first = version(&bundle(text));
    // The same in other files, another order, with comments.
    let mut other = bundle(
        "// why\n@id(\"b\")   forbid(principal, action, resource) when { context.approved };",
    );
    other.policies.push(source("z.cedar", "@id(\"a\") permit(principal, action, resource);"));
    assert_eq!(version(&other), first);
    let mut changed = bundle(text);
    changed.entities.clear();
    assert_ne!(version(&changed), first);
    let mut changed = bundle(text);
    changed.tools[0].arguments.pop();
    assert_ne!(version(&changed), first);
    assert_ne!(version(&bundle(&text.replace("context.approved", "!context.approved"))), first);
    assert_ne!(version(&bundle(&text.replace("\"b\"", "\"c\""))), first);
}

#[test]
fn a_template_is_linked() {
    let mut bundle = bundle(
        r#"@id("t") permit(principal in ?principal, action, resource == ?resource) when { context.approved == false };"#,
    );
    bundle.links.push(Link {
        id: "t1".to_owned(),
        template: "t".to_owned(),
        principal: Some("Group::\"robots\"".to_owned()),
        resource: Some("Resource::\"account/travel-1\"".to_owned()),
    });
    let set = PolicySet::load(&bundle, None).unwrap();
    let subject = set.bind(&facts());
    let asked = ask("search", "account/travel-1", &[("query", Value::str("x"))]);
    assert_eq!(ids(&set, &subject.judge(&asked.call()))[0], ["t1"]);
    let asked = ask("search", "account/travel-2", &[("query", Value::str("x"))]);
    assert_eq!(ids(&set, &subject.judge(&asked.call()))[0], Vec::<String>::new());
    bundle.links[0].resource = None;
    assert!(PolicySet::load(&bundle, None).is_err());
    bundle.links[0].resource = Some("Nope::\"x\"".to_owned());
    assert!(PolicySet::load(&bundle, None).is_err());
}

#[test]
fn what_was_checked_before_is_not_checked_again() {
    let text = "@id(\"a\") permit(principal, action, resource) when { context.approved };";
    let before = PolicySet::load(&bundle(text), None).unwrap();
    let more = format!(
        "{text}\n@id(\"b\") forbid(principal, action == Action::\"search\", resource) when {{ context.arguments.query == \"x\" }};"
    );
    let after = PolicySet::load(&bundle(&more), Some(&before)).unwrap();
    assert_eq!(after.version(), PolicySet::load(&bundle(&more), None).unwrap().version());
    // A tool that changed is checked anew.
    let mut changed = bundle(&more);
    changed.tools.retain(|tool| tool.name != "search");
    changed.tools.push(tool("search", vec![argument("query", ArgumentType::Long, true)], false));
    assert!(PolicySet::load(&changed, Some(&after)).is_err());
}
