//! Laws over random chains: what delegation makes verifies, and what verifies is within.

use answerable::canonical::{Map, Value};
use answerable::grant::Payload;
use answerable::request::{Request, Resource, ToolName};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;

const TOOLS: &[&str] = &["pay.transfer", "pay.refund", "pay.admin.close", "mail.send", "pay"];
const PATTERNS: &[&str] =
    &["**", "pay.**", "pay.*", "pay.transfer", "*.*", "mail.*", "pay.admin.*"];
const RESOURCES: &[&str] = &["account/travel-1", "account/travel-2", "account/x", "file/a/b"];
const REACHES: &[&str] = &["**", "account/**", "account/*", "account/travel-*", "account/travel-1"];
const NAMES: &[&str] = &["amount", "memo", "to"];

fn caveat() -> impl Strategy<Value = Json> {
    prop_oneof![
        Just(json!({ "any": true })),
        Just(json!({ "present": true })),
        Just(json!({ "absent": true })),
        (0..6i64).prop_map(|n| json!({ "at_most": n })),
        (0..6i64).prop_map(|n| json!({ "at_least": n })),
        (0..4i64, 0..4i64).prop_map(|(a, b)| json!({ "between": [a, a + b] })),
        (0..6i64).prop_map(|n| json!({ "equals": n })),
        Just(json!({ "one_of": [1, 2, "a"] })),
        Just(json!({ "starts_with": "a" })),
        Just(json!({ "same_as": "amount" })),
    ]
}

fn capability() -> impl Strategy<Value = Json> {
    let names = proptest::collection::btree_map(select(NAMES), caveat(), 0..3);
    (
        select(PATTERNS),
        proptest::option::of(proptest::collection::vec(select(REACHES), 0..3)),
        proptest::option::of(names),
        proptest::option::of(1..6u64),
    )
        .prop_map(|(tool, resource, names, calls)| {
            let mut capability = json!({ "tool": tool });
            if let Some(resource) = resource {
                capability["resource"] = json!(resource);
            }
            if let Some(names) = names {
                capability["where"] = json!(names);
            }
            if let Some(calls) = calls {
                capability["limits"] = json!([{ "calls": calls }]);
            }
            capability
        })
}

fn scope() -> impl Strategy<Value = Json> {
    proptest::collection::vec(capability(), 0..4).prop_map(Json::Array)
}

fn request() -> impl Strategy<Value = Request> {
    let value = prop_oneof![
        (0..7i64).prop_map(Value::int),
        Just(Value::str("a")),
        Just(Value::str("b")),
        Just(Value::Null),
    ];
    (
        select(TOOLS),
        proptest::option::of(select(RESOURCES)),
        proptest::collection::btree_map(select(NAMES), value, 0..3),
        proptest::sample::subsequence(NAMES, 0..2),
        proptest::sample::subsequence(NAMES, 0..2),
    )
        .prop_map(|(tool, resource, values, template, defaulted)| {
            let mut arguments = Map::new();
            for (name, value) in values {
                arguments.insert(name, value);
            }
            Request {
                tool: ToolName::parse(tool).unwrap(),
                resource: resource.map(|resource| Resource::parse(resource).unwrap()),
                arguments,
                template: template.into_iter().map(Into::into).collect(),
                defaulted: defaulted.into_iter().map(Into::into).collect(),
                own: None,
            }
        })
}

/// One change of a payload that a holder could try.
struct Edit(Box<dyn Fn(&mut Json)>);

impl std::fmt::Debug for Edit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an edit")
    }
}

fn mutation() -> impl Strategy<Value = Edit> {
    fn boxed(edit: impl Fn(&mut Json) + 'static) -> Edit {
        Edit(Box::new(edit))
    }
    prop_oneof![
        scope().prop_map(|scope| boxed(move |p| p["scope"] = scope.clone())),
        (any::<Index>(), capability()).prop_map(|(at, capability)| boxed(move |p| {
            let scope = p["scope"].as_array_mut().unwrap();
            match scope.is_empty() {
                true => scope.push(capability.clone()),
                false => {
                    let at = at.index(scope.len());
                    scope[at] = capability.clone();
                }
            }
        })),
        (any::<Index>(), select(PATTERNS)).prop_map(|(at, tool)| boxed(move |p| {
            let scope = p["scope"].as_array_mut().unwrap();
            if !scope.is_empty() {
                let at = at.index(scope.len());
                scope[at]["tool"] = json!(tool);
            }
        })),
        (any::<Index>(), select(NAMES), caveat()).prop_map(|(at, name, caveat)| boxed(move |p| {
            let scope = p["scope"].as_array_mut().unwrap();
            if !scope.is_empty() {
                let at = at.index(scope.len());
                scope[at]["where"][name] = caveat.clone();
            }
        })),
        (0..6u64).prop_map(|n| boxed(move |p| p["limits"] = json!([{ "calls": n }]))),
        (0..60u32, 0..60u32).prop_map(|(from, until)| boxed(move |p| {
            p["iat"] = json!(format!("2026-11-24T08:{from:02}:00Z"));
            p["exp"] = json!(format!("2026-11-24T08:{until:02}:00Z"));
        })),
        (0..4u8, 0..4u8).prop_map(|(depth, max)| boxed(move |p| {
            p["depth"] = json!(depth);
            p["max_depth"] = json!(max);
        })),
        (1..3u8).prop_map(|n| boxed(move |p| {
            p["human"] = json!(HumanId::from_bytes([n; 16]).to_string());
        })),
        (1..3u8).prop_map(|n| boxed(move |p| {
            p["task"]["id"] = json!(TaskId::from_bytes([n; 16]).to_string());
        })),
        select(vec!["asserted", "oidc", "signed"])
            .prop_map(|word| boxed(move |p| p["assurance"] = json!(word))),
    ]
}

/// What must hold of a hop below another, said anew and apart from the code.
fn is_within(child: &Payload, parent: &Payload, requests: &[Request]) -> Result<(), TestCaseError> {
    prop_assert_eq!(child.human, parent.human);
    prop_assert_eq!(child.assurance, parent.assurance);
    prop_assert_eq!(&child.task, &parent.task);
    prop_assert_eq!(child.depth, parent.depth + 1);
    prop_assert!(child.depth <= child.max_depth && child.max_depth <= parent.max_depth);
    prop_assert!(parent.iat <= child.iat && child.iat < child.exp && child.exp <= parent.exp);
    for request in requests {
        if child.scope.covers(request).is_ok() {
            prop_assert!(parent.scope.covers(request).is_ok(), "{:?}", request);
        }
    }
    for limit in &child.limits {
        let above = parent.limits.iter().find(|above| above.same_meter(limit));
        prop_assert!(above.is_none_or(|above| limit.within(above)));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_delegated_verifies_and_is_within(
        scopes in proptest::collection::vec(scope(), 4),
        kept in proptest::collection::vec(any::<bool>(), 16),
        requests in proptest::collection::vec(request(), 24),
    ) {
        let mut root = root_payload(2);
        root["scope"] = scopes[0].clone();
        root["max_depth"] = json!(3);
        let mut chain = verify(&[sign_root(&secret(AUTHORITY), &root.to_string()).0]).unwrap();
        for (hop, asked) in scopes.iter().enumerate().skip(1) {
            let above = chain.leaf().payload.clone();
            let offer = |scope: Scope| {
                let terms = Terms {
                    holder: Holder { agent: AgentId::from_bytes([hop as u8; 16]), key: secret(2).public() },
                    scope,
                    limits: vec![],
                    from: above.iat,
                    until: above.exp,
                    further_hops: above.max_depth - above.depth - 1,
                    statement: None,
                };
                chain.delegate(&secret(2), terms, MAX_HOPS)
            };
            // A random scope where it happens to be within; else a part of the parent's.
            let part = above.scope.capabilities().iter().zip(&kept[hop..]).filter(|(_, kept)| **kept);
            let part = Scope::new(part.map(|(capability, _)| capability.clone()).collect()).unwrap();
            let below = match offer(serde_json::from_value(asked.clone()).unwrap()) {
                Ok(below) => below,
                Err(refused) => {
                    prop_assert_eq!((refused.hop, refused.error.code()), (hop, "scope_widened"));
                    offer(part).unwrap()
                }
            };
            is_within(&below.leaf().payload, &above, &requests)?;
            chain = below;
        }
        let again = verify_text(&chain.text()).unwrap();
        prop_assert_eq!(again.leaf(), chain.leaf());
        for request in &requests {
            if chain.leaf().payload.scope.covers(request).is_ok() {
                prop_assert!(chain.hops().iter().all(|hop| hop.payload.scope.covers(request).is_ok()));
            }
        }
    }

    #[test]
    fn what_is_mutated_is_refused_or_within(
        above in scope(),
        edits in proptest::collection::vec(mutation(), 1..4),
        requests in proptest::collection::vec(request(), 48),
    ) {
        let mut root = root_payload(2);
        root["scope"] = above;
        let (top, digest) = sign_root(&secret(AUTHORITY), &root.to_string());
        let mut child = child_payload(&root, &digest, 3);
        for edit in &edits {
            edit.0(&mut child);
        }
        let (leaf, _) = sign_child(&secret(2), &child.to_string());
        match verify(&[top, leaf]) {
            Ok(chain) => is_within(&chain.leaf().payload, &chain.root().payload, &requests)?,
            Err(refused) => prop_assert_eq!(refused.hop, 1),
        }
    }
}
