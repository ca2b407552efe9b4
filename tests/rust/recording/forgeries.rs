//! Chains whose signatures verify and that are denied all the same.

use answerable::canonical::{Map, Value};
use answerable::engine::{Delegation, Durability, Engine, EngineError, Outcome};
use answerable::keys;
use answerable::principal::{AgentId, HumanId};
use answerable::registry::Target;
use answerable::scope::Limit;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::memory::Memory;
use crate::world::*;

#[test]
fn the_holder_must_be_the_registered_agent_with_its_key() {
    let world = World::new(Durability::Before);
    let authority = world.authority();
    let root = |agent, seed| {
        let terms = world.terms(agent, seed, PAY);
        world.accept(&world.signed(&authority, world.alice, terms).token)
    };
    assert!(is_allowed(&world.call(&root(world.planner, 2))));
    assert_eq!(world.code(&root(world.planner, 3)), "holder_key_unknown");
    assert_eq!(world.code(&root(world.planner, 77)), "holder_key_unknown");
    assert_eq!(world.code(&root(AgentId::from_bytes([9; 16]), 2)), "unknown_agent");
    let nobody = HumanId::from_bytes([9; 16]);
    let grant = world.signed(&authority, nobody, world.terms(world.planner, 2, PAY));
    assert_eq!(world.code(&world.accept(&grant.token)), "unknown_human");

    // The same of a hop below, and the hop is told.
    let top = world.grant(PAY);
    for (agent, seed, code) in [
        (world.booker, 3, None),
        (world.booker, 2, Some("holder_key_unknown")),
        (world.planner, 3, Some("holder_key_unknown")),
        (AgentId::from_bytes([9; 16]), 3, Some("unknown_agent")),
    ] {
        let terms = world.terms(agent, seed, PAY);
        let below = top.chain().delegate(&key(2), terms, 8).unwrap();
        let judged = world.call(&world.accept(&below.text()));
        match code {
            None => assert!(is_allowed(&judged)),
            Some(code) => {
                assert_eq!(judged.decision.reasons[0].code, code);
                assert_eq!(judged.decision.reasons[0].hop, Some(1));
            }
        }
    }
}

#[test]
fn offline_delegation_does_not_reach_beyond_the_ceiling() {
    let world = World::new(Durability::Before);
    let wide = world.grant(r#"[{"tool":"pay.*"},{"tool":"mail.*"}]"#);
    // The planner may send mail; the booker never, whatever the planner signs.
    let terms = world.terms(world.booker, 3, r#"[{"tool":"pay.*"},{"tool":"mail.send"}]"#);
    let below = wide.chain().delegate(&key(2), terms, 8).unwrap();
    let bound = world.accept(&below.text());
    let judged = world.call(&bound);
    assert_eq!(judged.decision.reasons[0].code, "beyond_ceiling");
    assert_eq!(judged.decision.reasons[0].hop, Some(1));
    // With the engine it is refused at once.
    let new = Delegation {
        agent: world.booker,
        scope: scope(r#"[{"tool":"mail.send"}]"#),
        limits: vec![],
        ttl: None,
        further_hops: 0,
        statement: None,
    };
    let refused = world.engine.delegate(&wide, new, Some(&key(2))).unwrap_err();
    assert!(refused.to_string().contains("ceiling"), "{refused}");
}

#[test]
fn another_engines_chain_is_denied() {
    // Another authority with this one's people, as if its ids had been copied.
    let world = World::new(Durability::Before);
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Memory::default());
    let options = options(&world.master, &world.clock, Durability::Before);
    let other = Engine::on_store(folder.path(), store.clone(), options).unwrap();
    let theirs = World { engine: other, store, folder, ..World::new(Durability::Before) };
    let grant = theirs.signed(&theirs.authority(), world.alice, world.terms(world.planner, 2, PAY));
    assert!(matches!(
        world.engine.accept(&grant.token, vec![]),
        Err(EngineError::Grant(refused)) if refused.error.code() == "unknown_authority"
    ));
    // Verified there and used here.
    let bound = theirs.accept(&grant.token);
    assert_eq!(world.code(&bound), "unknown_authority");
}

#[test]
fn the_id_of_a_grant_cannot_be_taken_over() {
    for known_here in [true, false] {
        let world = World::new(Durability::Before);
        let top = world.grant(PAY);
        // The planner signs a grant of its own that carries its parent's id, to catch the
        // revocation that names it.
        let honest = top.chain().delegate(&key(2), world.terms(world.booker, 3, PAY), 8).unwrap();
        let mut payload = honest.leaf().payload.clone();
        payload.id = top.chain().root().payload.id;
        let text = serde_json::to_string(&payload).unwrap();
        let purpose = answerable::grant::assertion(&world.engine.authority().id());
        let (token, _) = keys::sign(&key(2), &text, b"", &purpose).unwrap();
        let forged = format!("{}~{token}", top.chain().text());
        let world = if known_here { world } else { world.after_a_crash(Durability::Before) };
        let refused = world.engine.accept(&forged, vec![]).unwrap_err();
        assert!(refused.to_string().contains("belongs to another grant"), "{refused}");

        let id = top.chain().root().payload.id.to_string();
        let digest = world.engine.grant_digest(&id).unwrap();
        assert_eq!(digest, top.chain().root().digest);
        world.engine.revoke(&Target::Grant(digest, None), "stolen", None).unwrap();
        assert_eq!(world.code(&world.accept(&top.chain().text())), "revoked");
    }
}

#[test]
fn time_cannot_be_turned_back() {
    let world = World::new(Durability::Before);
    let grant = world.grant(PAY);
    assert!(is_allowed(&world.call(&grant)));
    world.clock.store(START + HOUR - 1, Ordering::SeqCst);
    assert!(is_allowed(&world.call(&grant)));
    world.clock.store(START + HOUR, Ordering::SeqCst);
    assert_eq!(world.code(&grant), "expired");
    // Back by a little: the highest time seen counts. By more: nothing is judged at all.
    world.clock.store(START + HOUR - 1_000_000, Ordering::SeqCst);
    assert_eq!(world.code(&grant), "expired");
    world.clock.store(START, Ordering::SeqCst);
    assert_eq!(world.code(&grant), "clock_behind");
    assert!(world.try_grant(PAY, vec![]).is_err());
    // Also after the engine was opened again: the mark lies in the store.
    let world = world.after_a_crash(Durability::Before);
    let again = world.accept(&grant.chain().text());
    assert_eq!(world.code(&again), "clock_behind");
    world.clock.store(START + HOUR - 1_000_000, Ordering::SeqCst);
    assert_eq!(world.code(&again), "expired");
    // And no entry's time runs backwards.
    let mut last = 0;
    let forward = |entry: answerable::trail::entry::Entry| {
        assert!(entry.at() >= last);
        last = entry.at();
        Ok(true)
    };
    let mut forward = forward;
    world.engine.each_entry(0, &mut forward).unwrap();
}

#[test]
fn the_hop_of_an_agent_whose_term_ended_is_told() {
    let world = World::new(Durability::Before);
    let authority = world.authority();
    let mut terms = world.terms(AgentId::from_bytes([9; 16]), 9, PAY);
    terms.until = START + 20 * HOUR;
    terms.further_hops = 1;
    let root = world.signed(&authority, world.alice, terms);
    let chain = world.accept(&root.token).chain().clone();
    let mut terms = world.terms(world.booker, 3, PAY);
    terms.until = START + 20 * HOUR;
    let bound = world.accept(&chain.delegate(&key(9), terms, 8).unwrap().text());
    world.clock.store(START + 9 * HOUR, Ordering::SeqCst);
    let judged = world.call(&bound);
    let ended = judged.decision.reasons.iter().find(|reason| reason.code == "agent_expired");
    assert_eq!(ended.unwrap().hop, Some(1));
}

#[test]
fn hostile_sizes_do_not_stop_the_engine() {
    for mode in [Durability::Before, Durability::Relaxed] {
        let world = World::new(mode);
        let grant = world.grant(PAY);
        let many = |n: usize, value: &Value| -> Map {
            let mut map = arguments();
            for at in 0..n {
                map.insert(&format!("argument{at:05}"), value.clone());
            }
            map
        };
        // Small in memory, large in JSON; many names; long names; control characters.
        let empty_tuples = Value::List(vec![Value::Tuple(vec![]); 4_000]);
        let mut hostile = vec![
            many(3, &Value::List(vec![Value::Null; 8_000])),
            many(3, &empty_tuples),
            many(3, &Value::str(&"\u{1}".repeat(8_000))),
            many(5_000, &Value::Null),
            many(300, &Value::str(&"x".repeat(8_000))),
        ];
        let mut keys = Map::new();
        for at in 0..200 {
            keys.insert(&format!("{}{at}", "\u{2}".repeat(40)), Value::Null);
        }
        hostile.push(many(3, &Value::Map(keys)));
        let mut long = arguments();
        long.insert(&"\u{3}".repeat(60_000), Value::Null);
        hostile.push(long);
        for arguments in hostile {
            let judged = world.engine.await_decision(judge(&world.engine, &grant, arguments));
            assert!(is_allowed(&judged), "{:?}", judged.decision);
            for result in [&empty_tuples, &Value::str(&"\u{1}".repeat(60_000))] {
                let outcome = Outcome::Returned(Ok(result.clone()));
                world.engine.finish(&judged, 1, &outcome).unwrap();
            }
            let outcome = Outcome::Raised("\u{1}".repeat(9_000), "\u{1}".repeat(9_000));
            world.engine.finish(&judged, 1, &outcome).unwrap();
        }
        // A denial with everything against it.
        let mut chain = grant.chain().clone();
        for _ in 0..3 {
            let mut terms = world.terms(AgentId::from_bytes([9; 16]), 2, PAY);
            terms.further_hops = chain.leaf().payload.max_depth - chain.leaf().payload.depth - 1;
            chain = chain.delegate(&key(2), terms, 8).unwrap();
        }
        let below = world.accept(&chain.text());
        for hop in chain.hops() {
            world.engine.revoke(&Target::Grant(hop.digest, None), "x", None).unwrap();
        }
        let long = many(3, &Value::str(&"\"".repeat(8_000)));
        assert!(!is_allowed(&world.engine.await_decision(judge(&world.engine, &below, long))));
        // Statements and ceilings are bounded, too.
        let again = world.grant(PAY);
        let new = Delegation {
            agent: world.booker,
            scope: scope(PAY),
            limits: vec![],
            ttl: None,
            further_hops: 0,
            statement: Some("x".repeat(60_000)),
        };
        assert!(world.engine.delegate(&again, new, Some(&key(2))).is_err());
        let reach: Vec<String> = (0..60).map(|n| format!("a/{}{n}", "x".repeat(900))).collect();
        let wide = serde_json::json!([{ "tool": "**", "resource": reach }]).to_string();
        let issued =
            world.engine.issue_agent("wide", world.alice, "tests", scope(&wide), HOUR, None, None);
        assert!(issued.is_err());
        // More limits than a batch of the store could hold.
        let limits = (1..1_100).map(|n| Limit::rate(1, n).unwrap()).collect();
        assert!(world.try_grant(PAY, limits).is_err());
        // All of that was recorded, and the engine is well.
        assert!(is_allowed(&world.call(&again)));
        world.engine.checkpoint().unwrap();
        world.engine.each_entry(0, &mut |_| Ok(true)).unwrap();
        world.engine.close().unwrap();
    }
}
