//! The vault over a store that is looked into and meddled with.

use answerable::engine::{Call, Judged, Lease, Masking};
use answerable::registry::NewCredential;
use answerable::request::{Request, Resource, ToolName};
use answerable::store::{Batch, Store};
use answerable::vault::Secret;

use super::world::{World, arguments, is_allowed};
use answerable::engine::{Bound, Durability};
use std::sync::Arc;

const SECRET: &str = "correct horse battery";

fn put(world: &World, name: &str, secret: &str) {
    let secret = Secret::text(secret).unwrap();
    let new = NewCredential {
        name,
        secret: Ok(&secret),
        for_tools: &["pay.*".to_owned()],
        for_agents: None,
        owner: world.alice,
        expires_at: None,
        by: world.alice,
    };
    world.engine.put_credential(&new).unwrap();
}

fn lease(world: &World, bound: &Bound, name: &str) -> (Judged, Option<Arc<Lease>>) {
    let request = Request {
        resource: Some(Resource::parse("account/a").unwrap()),
        template: vec!["account".into()],
        ..Request::new(ToolName::parse("pay.transfer").unwrap(), arguments())
    };
    let judged = world.engine.judge(&Call {
        tool: "pay.transfer",
        request: Ok(request),
        masking: &Masking::default(),
        bound: Some(bound),
        against: None,
        parent: None,
        by_type: &[],
        beside: &[],
        credentials: &[name.into()],
        declared: None,
    });
    let judged = world.engine.await_decision(judged);
    let lease = judged.leases.first().cloned();
    (judged, lease)
}

/// The place of the only sealed secret.
fn sealed(world: &World) -> (Vec<u8>, Vec<u8>) {
    let mut found = Vec::new();
    let mut each = |key: &[u8], value: &[u8]| {
        found.push((key.to_vec(), value.to_vec()));
        true
    };
    world.store.scan(b"v/s/", None, &mut each).unwrap();
    assert_eq!(found.len(), 1);
    found.remove(0)
}

fn write(world: &World, key: &[u8], value: &[u8]) {
    let mut batch = Batch::new();
    batch.put(key, value);
    world.store.commit(batch).unwrap();
}

#[test]
fn a_flipped_bit_is_told_wherever_it_is() {
    let mut world = World::new(Durability::Before);
    put(&world, "bank", SECRET);
    let (key, value) = sealed(&world);
    for place in [0, 31, 40, value.len() / 2, value.len() - 1] {
        let mut flipped = value.clone();
        flipped[place] ^= 4;
        write(&world, &key, &flipped);
        world = world.after_a_crash(Durability::Before);
        let bound = world.grant(r#"[{"tool":"pay.*"}]"#);
        let (judged, lease) = lease(&world, &bound, "bank");
        let withheld = world.engine.reveal(&judged, &lease.unwrap()).unwrap_err();
        assert_eq!(withheld.code, "credential_damaged", "byte {place}");
        assert!(!withheld.message.contains(SECRET));
    }
    write(&world, &key, &value);
    world = world.after_a_crash(Durability::Before);
    let bound = world.grant(r#"[{"tool":"pay.*"}]"#);
    let (judged, lease) = lease(&world, &bound, "bank");
    let secret = world.engine.reveal(&judged, &lease.unwrap()).unwrap();
    assert_eq!(secret.expose_text(), Some(SECRET));
}

#[test]
fn a_secret_is_not_opened_under_another_name_or_version() {
    let world = World::new(Durability::Before);
    put(&world, "bank", SECRET);
    let (_, value) = sealed(&world);
    put(&world, "mail", "something else");
    write(&world, &[b"v/s/mail/".as_slice(), &1_u32.to_be_bytes()].concat(), &value);
    let copy = World::after_a_crash(world, Durability::Before);
    let bound = copy.grant(r#"[{"tool":"pay.*"}]"#);
    let (judged, lease) = lease(&copy, &bound, "mail");
    assert!(is_allowed(&judged));
    let withheld = copy.engine.reveal(&judged, &lease.unwrap()).unwrap_err();
    assert_eq!(withheld.code, "credential_damaged");
}

#[test]
fn nothing_of_it_lies_in_the_store() {
    let world = World::new(Durability::Before);
    put(&world, "bank", SECRET);
    let secret = Secret::text("another staple entirely").unwrap();
    world.engine.rotate_credential("bank", &secret, 0, None, world.alice).unwrap();
    let (key, _) = sealed(&world);
    assert!(key.ends_with(&2_u32.to_be_bytes()), "the version before is dropped");
    let bound = world.grant(r#"[{"tool":"pay.*"}]"#);
    let (judged, lease) = lease(&world, &bound, "bank");
    let revealed = world.engine.reveal(&judged, &lease.unwrap()).unwrap();
    assert_eq!(revealed.expose(), secret.expose());
    let mut each = |key: &[u8], value: &[u8]| {
        for needle in [SECRET.as_bytes(), secret.expose()] {
            for straw in [key, value] {
                assert!(!straw.windows(needle.len()).any(|window| window == needle));
            }
        }
        true
    };
    world.store.scan(b"", None, &mut each).unwrap();
}
