//! Who can write the store's files takes single records out, renames them, puts older ones back and
//! makes others up, without any key: each is found when the store is opened.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

#[path = "support/memory.rs"]
mod memory;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use answerable::canonical::{Map, Value};
use answerable::decision::Effect;
use answerable::engine::{
    Bound, Call, Engine, EngineError, Masking, MasterSource, NewAccess, NewGrant, Options,
    TaskChoice,
};
use answerable::keys::MasterKey;
use answerable::principal::{AgentId, ApprovalId, Assurance, HumanId};
use answerable::registry::{
    Halted, NewCredential, NewHuman, NewRule, Rotation, Stage, Target, Then,
};
use answerable::request::{Request, ToolName};
use answerable::store::{Batch, Store, StoreError};
use answerable::vault::Secret;
use memory::Memory;

const HOUR: i64 = 3_600_000_000;
const POLICIES: &str = r#"
@id("all") permit (principal, action, resource);
@id("ask") @advice("ask") permit (principal, action, resource);
"#;

/// The records that say what is in force, by how their keys begin.
const FAMILIES: [&[u8]; 16] = [
    b"h/",
    b"a/",
    b"ak/",
    b"r/g/",
    b"r/a/",
    b"r/h/",
    b"te/",
    b"x/",
    b"ap/",
    b"ai/",
    b"aa/",
    b"pc/",
    b"v/c/",
    b"ru/",
    b"au/",
    b"k/authority",
];

type Records = BTreeMap<Vec<u8>, Vec<u8>>;

struct World {
    folder: tempfile::TempDir,
    master: MasterKey,
    store: Arc<Memory>,
    engine: Arc<Engine>,
    /// What the records were after each step.
    steps: Vec<Records>,
}

fn records(store: &Memory) -> Records {
    let mut all = Records::new();
    store
        .scan(&[], None, &mut |key, value| {
            if FAMILIES.iter().any(|family| key.starts_with(family)) {
                all.insert(key.to_vec(), value.to_vec());
            }
            true
        })
        .unwrap();
    all
}

fn open(world: &Path, master: &MasterKey, store: &Memory) -> Result<Arc<Engine>, EngineError> {
    let options = Options { master: MasterSource::Given(master.clone()), ..Options::default() };
    Engine::on_store(world, Arc::new(store.copy()), options)
}

fn scope() -> answerable::scope::Scope {
    serde_json::from_str(r#"[{"tool":"pay.*"}]"#).unwrap()
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let master = MasterKey::from_bytes(&[*b"0123456789abcdef"; 2].concat()).unwrap();
        let store = Arc::new(Memory::default());
        let options = Options { master: MasterSource::Given(master.clone()), ..Options::default() };
        let engine = Engine::on_store(folder.path(), store.clone(), options).unwrap();
        Self { folder, master, store, engine, steps: Vec::new() }
    }

    fn step<R>(&mut self, take: impl FnOnce(&Engine) -> Result<R, EngineError>) -> R {
        let taken = take(&self.engine).unwrap();
        self.steps.push(records(&self.store));
        taken
    }

    fn human(&mut self, account: &str) -> HumanId {
        let (name, by, assurance) = (None, None, Assurance::Asserted);
        let new = NewHuman { account, issuer: "local", name, assurance, by };
        self.step(|engine| engine.register_human(&new)).id
    }

    fn agent(&mut self, name: &str, owner: HumanId) -> AgentId {
        self.step(|e| e.issue_agent(name, owner, "tests", scope(), 8 * HOUR, None, None)).id
    }

    fn grant(&mut self, human: HumanId, agent: AgentId) -> Arc<Bound> {
        let new = NewGrant {
            human,
            agent,
            task: TaskChoice::New("pay".to_owned()),
            scope: scope(),
            limits: vec![],
            ttl: HOUR,
            further_hops: 1,
            by: None,
        };
        self.step(|engine| engine.grant(new))
    }

    /// A call that asks, or one whose yes is used; the approval that it names.
    fn big(&mut self, bound: &Bound, amount: i64) -> (Effect, ApprovalId) {
        let judged = big(&self.engine, bound, amount);
        self.steps.push(records(&self.store));
        judged
    }
}

fn big(engine: &Engine, bound: &Bound, amount: i64) -> (Effect, ApprovalId) {
    let mut arguments = Map::new();
    arguments.insert("amount", Value::int(amount));
    let request = Request::new(ToolName::parse("pay.big").unwrap(), arguments);
    let masking = Masking::default();
    let judged = engine.await_decision(engine.judge(&Call {
        tool: "pay.big",
        request: Ok(request),
        by_type: &[],
        beside: &[],
        masking: &masking,
        bound: Some(bound),
        against: None,
        parent: None,
        declared: None,
        credentials: &[],
    }));
    (judged.decision.effect, judged.decision.approval.unwrap())
}

/// A store in which something of each family has changed at least once.
fn lived() -> World {
    let mut world = World::new();
    let (alice, bob) = (world.human("alice"), world.human("bob"));
    let (carol, dave) = (world.human("carol"), world.human("dave"));
    let reason = "a test";
    let [payer, idle, old, keyed] =
        ["payer", "idle", "old", "keyed"].map(|name| world.agent(name, alice));
    let of_carol = world.agent("hers", carol);
    let grants = [(); 5].map(|()| world.grant(alice, payer));
    let hers = world.grant(carol, of_carol);
    world.step(|e| e.suspend_agent(&idle, reason, None));
    world.step(|e| e.resume_agent(&idle, None, None));
    world.step(|e| e.suspend_agent(&idle, reason, None));
    world.step(|e| e.transfer_agent(&idle, bob, None, None));
    world.step(|e| e.renew_agent(&keyed, 9 * HOUR, None, None));
    for overlap in [Some(HOUR), Some(2 * HOUR), None, Some(HOUR)] {
        world.step(|e| e.rotate_agent(&keyed, Rotation { key: None, overlap }, None, None));
    }
    world.step(|e| e.retire_agent(&old, reason, None));
    let digest = grants[0].chain().leaf().digest;
    world.step(|e| e.revoke(&Target::Grant(digest, None), reason, None));
    world.step(|e| e.revoke(&Target::Agent(keyed), reason, None));
    world.step(|e| e.revoke(&Target::Agent(keyed), reason, None));
    world.step(|e| e.revoke(&Target::Human(bob), reason, None));
    world.step(|e| e.end_task(grants[1].chain().root().payload.task.id, reason, None));
    let task = grants[2].chain().root().payload.task.id;
    world.step(|e| e.revoke(&Target::Task(task), reason, None));
    for target in [Halted::Agent(idle), Halted::Owner(bob), Halted::Tool("pay.never".to_owned())] {
        world.step(|e| e.halt(target, reason, None));
    }
    world.step(|e| e.halt(Halted::Everything, reason, None));
    world.step(|e| e.unhalt(&Halted::Everything, None, None));
    let file = world.folder.path().join("p.cedar");
    for text in [
        format!("{POLICIES}// first\n@id(\"more\") permit (principal, action, resource);"),
        POLICIES.to_owned(),
    ] {
        std::fs::write(&file, text).unwrap();
        world.step(|engine| engine.load_policies(&file, None));
    }
    // Asked, refused, approved, used, and approved once more; and one that ends with her grant.
    let held = &grants[3];
    let asked: Vec<_> = (0..4).map(|amount| world.big(held, amount).1).collect();
    world.step(|e| e.answer(&asked[1], false, alice, None));
    world.step(|e| e.answer(&asked[2], true, alice, None));
    world.step(|e| e.answer(&asked[3], true, alice, None));
    assert_eq!(world.big(held, 2), (Effect::Allow, asked[2]));
    world.big(&hers, 9);
    let access =
        NewAccess { scope: scope(), limits: vec![], reason: reason.to_owned(), ttl: HOUR / 2 };
    let access = world.step(|e| e.request_access(&grants[4], access)).approval.id;
    world.step(|e| e.answer(&access, true, alice, None));
    world.step(|e| e.offboard(carol, None, reason, None));
    world.step(|e| e.offboard(dave, Some(alice), reason, None));
    let tools = ["pay.*".to_owned()];
    for name in ["bank", "post"] {
        let secret = Secret::text("open sesame").unwrap();
        let new = NewCredential {
            name,
            secret: Ok(&secret),
            for_tools: &tools,
            for_agents: Some(vec![payer]),
            owner: alice,
            expires_at: None,
            by: alice,
        };
        world.step(|engine| engine.put_credential(&new));
        for overlap in [HOUR, 0] {
            world.step(|e| e.rotate_credential(name, &secret, overlap, None, alice));
        }
    }
    world.step(|engine| engine.remove_credential("post", reason, alice));
    let rule = NewRule {
        on: None,
        severity: "high",
        then: Then::Suspend,
        url: None,
        secret: None,
        reason,
    };
    let rule = [(); 2].map(|()| world.step(|engine| engine.set_rule(&rule, None)).id);
    world.step(|engine| engine.remove_rule(&rule[0], reason, None));
    world.step(|engine| engine.rotate_authority(Some(HOUR), reason, None));
    world.step(|engine| engine.rotate_authority(None, reason, None));
    world.step(|engine| engine.rotate_checkpoint_key(reason, None));
    world
}

/// Opens a copy of the store with one record changed.
fn with(world: &World, change: impl FnOnce(&mut Batch)) -> Result<Arc<Engine>, EngineError> {
    let store = world.store.copy();
    let mut batch = Batch::new();
    change(&mut batch);
    store.commit(batch).unwrap();
    open(world.folder.path(), &world.master, &store)
}

#[track_caller]
fn is_refused(world: &World, what: &str, key: &[u8], change: impl FnOnce(&mut Batch)) {
    let key = String::from_utf8_lossy(key).into_owned();
    match with(world, change) {
        Err(EngineError::Store(StoreError::Corrupt { what: told })) => {
            assert!(!told.is_empty(), "{what} {key}");
        }
        Err(other) => assert!(!what.is_empty(), "{what} {key}: {other}"),
        Ok(_) => panic!("{what}: the store opens with the record {key:?} changed"),
    }
}

#[test]
fn a_record_that_is_taken_out_or_renamed_is_found() {
    let world = lived();
    open(world.folder.path(), &world.master, &world.store).unwrap();
    let now = records(&world.store);
    for family in FAMILIES {
        assert!(now.keys().any(|key| key.starts_with(family)), "{family:?}");
    }
    for (key, value) in &now {
        is_refused(&world, "removed", key, |batch| {
            batch.delete(key.clone());
        });
        for at in [0, key.len() - 1] {
            let mut other = key.clone();
            other[at] ^= 1;
            is_refused(&world, "renamed", key, |batch| {
                batch.delete(key.clone()).put(other, value.clone());
            });
        }
    }
}

#[test]
fn an_older_record_that_is_put_back_is_found() {
    let world = lived();
    let now = records(&world.store);
    let mut tried = BTreeSet::new();
    for older in &world.steps {
        for (key, value) in older {
            let differs = now.get(key) != Some(value);
            if differs && tried.insert((key.clone(), value.clone())) {
                is_refused(&world, "put back", key, |batch| {
                    batch.put(key.clone(), value.clone());
                });
            }
        }
    }
    let families = FAMILIES.iter().filter(|f| tried.iter().any(|(key, _)| key.starts_with(f)));
    // The others are only ever written once.
    let changed: Vec<&[u8]> = families.copied().collect();
    let expected: [&[u8]; 9] =
        [b"h/", b"a/", b"r/a/", b"x/", b"ap/", b"pc/", b"v/c/", b"ru/", b"k/authority"];
    assert!(expected.iter().all(|family| changed.contains(family)), "{changed:?}");
}

#[test]
fn a_record_of_another_is_found() {
    let world = lived();
    let now = records(&world.store);
    for (key, value) in &now {
        for (other, its) in &now {
            let alike = FAMILIES.iter().any(|f| key.starts_with(f) && other.starts_with(f));
            // Where nothing but the key tells, as of a revoked grant, nothing is changed by it.
            if alike && value != its {
                is_refused(&world, "another's", key, |batch| {
                    batch.put(key.clone(), its.clone());
                });
            }
        }
        let made_up = [&key[..key.len() - 3], b"new"].concat();
        // Of some there is one, under a name; a halt of what cannot be read halts everything.
        let named = [&b"k/"[..], b"pc/", b"x/agent/", b"x/owner/"];
        if !named.iter().any(|name| key.starts_with(name)) {
            is_refused(&world, "made up", key, |batch| {
                batch.put(made_up, value.clone());
            });
        }
    }
}

#[test]
fn a_yes_that_was_used_is_not_open_again() {
    let world = lived();
    // Of the records that were: the yes before it was used, and without what closed it.
    let approved = world.steps.iter().flat_map(|step| step.iter()).find(|(key, value)| {
        key.starts_with(b"ap/")
            && String::from_utf8_lossy(value).contains("\"stage\":\"approved\"")
            && !records(&world.store).contains_key(*key)
    });
    let (key, value) = approved.unwrap();
    let id: [u8; 16] = key[3..].try_into().unwrap();
    let found = with(&world, |batch| {
        batch.put(key.clone(), value.clone()).delete([b"ac/", &id[..]].concat());
    });
    let told = found.unwrap_err().to_string();
    assert!(told.contains("used it"), "{told}");
    assert_eq!(Stage::parse("used"), Some(Stage::Used));
}

#[test]
fn what_is_found_names_the_record_and_the_entry() {
    let world = lived();
    let now = records(&world.store);
    let key = now.keys().find(|key| key.starts_with(b"r/g/")).unwrap();
    let told = with(&world, |batch| {
        batch.delete(key.clone());
    });
    let told = told.unwrap_err().to_string();
    assert!(told.contains(&data_encoding::HEXLOWER.encode(&key[4..])), "{told}");
    let entry = told.split("entry ").nth(1).unwrap();
    let (place, rest) = entry.split_once(' ').unwrap();
    let place: u64 = place.parse().unwrap();
    let leaf = world.engine.entry_at(place).unwrap().unwrap();
    assert_eq!(leaf.text("target"), "grant");
    assert!(rest.starts_with(&format!("({})", leaf.id())), "{told}");
}

/// A store in which a grant's limits, one of each kind, were drawn on three times.
fn drawn() -> (World, String) {
    let mut world = World::new();
    let alice = world.human("alice");
    let payer = world.agent("payer", alice);
    let limits = r#"[{"calls":5},{"rate":{"calls":5,"per_us":3600000000}},{"total":{"argument":"amount","max":50}}]"#;
    let new = NewGrant {
        human: alice,
        agent: payer,
        task: TaskChoice::New("pay".to_owned()),
        scope: scope(),
        limits: serde_json::from_str(limits).unwrap(),
        ttl: HOUR,
        further_hops: 0,
        by: None,
    };
    let bound = world.step(|engine| engine.grant(new));
    for _ in 0..3 {
        assert_eq!(pay(&world.engine, &bound).0, Effect::Allow);
        world.steps.push(counters(&world.store));
    }
    (world, bound.chain().text())
}

fn pay(engine: &Engine, bound: &Bound) -> (Effect, String) {
    let mut arguments = Map::new();
    arguments.insert("amount", Value::int(10));
    let request = Request::new(ToolName::parse("pay.out").unwrap(), arguments);
    let masking = Masking::default();
    let judged = engine.await_decision(engine.judge(&Call {
        tool: "pay.out",
        request: Ok(request),
        by_type: &[],
        beside: &[],
        masking: &masking,
        bound: Some(bound),
        against: None,
        parent: None,
        declared: None,
        credentials: &[],
    }));
    let reason = judged.decision.reasons.first().map(|reason| reason.message.to_string());
    (judged.decision.effect, reason.unwrap_or_default())
}

fn counters(store: &Memory) -> Records {
    let mut all = Records::new();
    store
        .scan(b"l/", None, &mut |key, value| {
            all.insert(key.to_vec(), value.to_vec());
            true
        })
        .unwrap();
    all
}

/// What becomes of the next call once the store, with this changed, was opened anew.
fn next_call(world: &World, token: &str, change: impl FnOnce(&mut Batch)) -> (Effect, String) {
    let engine = with(world, change).unwrap();
    let bound = engine.accept(token, vec![]).unwrap();
    pay(&engine, &bound)
}

#[test]
fn what_was_counted_of_a_limit_cannot_be_taken_back() {
    let (world, token) = drawn();
    let now = counters(&world.store);
    assert_eq!(now.len(), 3);
    assert_eq!(next_call(&world, &token, |_| {}).0, Effect::Allow);
    let denied = |what: &str, key: &[u8], change: &dyn Fn(&mut Batch)| {
        let (effect, reason) = next_call(&world, &token, change);
        assert_eq!(effect, Effect::Deny, "{what} {key:?}");
        assert!(reason.contains("is not what the trail says"), "{what} {key:?}: {reason}");
    };
    let older: Vec<&Records> = world.steps.iter().rev().skip(1).take(2).collect();
    for (key, value) in &now {
        let other = [&key[..key.len() - 1], &[9]].concat();
        denied("removed", key, &|batch| {
            batch.delete(key.clone());
        });
        denied("renamed", key, &|batch| {
            batch.delete(key.clone()).put(other.clone(), value.clone());
        });
        for records in &older {
            assert_ne!(records[key], *value);
            denied("put back", key, &|batch| {
                batch.put(key.clone(), records[key].clone());
            });
        }
    }
}

#[test]
fn a_total_that_was_written_by_another_hand_is_found() {
    let (world, token) = drawn();
    let now = counters(&world.store);
    let older = world.steps.iter().rev().nth(2).unwrap();
    // The total's is the last: its place is the third of the grant's limits.
    let (key, value) = now.last_key_value().unwrap();
    let split = value.len() - 40;
    let was = &older[key];
    // Less, at the place and with the digest of what is there; and as it was written before there
    // were either.
    let edited = [&was[..was.len() - 40], &value[split..]].concat();
    let bare = Value::Decimal(answerable::canonical::Decimal::new(false, "0", 0).unwrap()).encode();
    for forged in [edited, bare, value[..split].to_vec()] {
        let (effect, reason) = next_call(&world, &token, |batch| {
            batch.put(key.clone(), forged.clone());
        });
        assert_eq!(effect, Effect::Deny, "{forged:?}");
        assert!(reason.contains("is not what the trail says"), "{reason}");
    }
}

#[test]
fn a_grants_limits_hold_over_reopenings() {
    let (world, token) = drawn();
    let mut store = world.store.copy();
    // Two of the five are left, however often it is opened in between.
    for left in [true, true, false] {
        let options =
            Options { master: MasterSource::Given(world.master.clone()), ..Options::default() };
        let shared = Arc::new(store);
        let engine = Engine::on_store(world.folder.path(), shared.clone(), options).unwrap();
        let bound = engine.accept(&token, vec![]).unwrap();
        assert_eq!(pay(&engine, &bound).0 == Effect::Allow, left);
        engine.close().unwrap();
        store = shared.copy();
    }
}

#[test]
fn what_is_kept_of_the_trail_beside_the_index_is_held_to_as_well() {
    let mut world = World::new();
    let alice = world.human("alice");
    let payer = world.agent("payer", alice);
    let bound = world.grant(alice, payer);
    let digest = bound.chain().leaf().digest;
    world.step(|engine| engine.revoke(&Target::Grant(digest, None), "a test", None));
    let place = world.engine.size().unwrap() - 1;
    for _ in 0..1_100 {
        world.engine.halt(Halted::Everything, "a test", None).unwrap();
        world.engine.unhalt(&Halted::Everything, None, None).unwrap();
    }
    world.engine.close().unwrap();
    let file = world.folder.path().join("index/in-force");
    let bytes = std::fs::read(&file).unwrap();
    // With the file as it is given: whoever closes writes it anew.
    let opens = |kept: Option<&[u8]>, change: &dyn Fn(&mut Batch)| {
        match kept {
            Some(bytes) => std::fs::write(&file, bytes).unwrap(),
            None => std::fs::remove_file(&file).unwrap_or_default(),
        }
        with(&world, change).map(|engine| {
            let _ = engine.close();
        })
    };
    let gone = |batch: &mut Batch| {
        batch.delete([&b"r/g/"[..], &digest].concat());
    };
    // Blocks may have been merged meanwhile.
    let mut block = Vec::new();
    let before = [&b"b/"[..], &(place + 1).to_be_bytes()].concat();
    let mut last = |key: &[u8], _: &[u8]| {
        block = key.to_vec();
        false
    };
    world.store.scan_back(b"b/", Some(&before), &mut last).unwrap();
    let untold = |batch: &mut Batch| {
        batch.delete(block.clone());
    };
    // It is what is read, and its end is of this trail.
    opens(Some(&bytes), &|_| {}).unwrap();
    assert!(opens(Some(&bytes), &gone).is_err());
    opens(Some(&bytes), &untold).unwrap();
    // Changed in any byte, or without it, the trail itself is read.
    let mut other = bytes.clone();
    other[40] ^= 1;
    for kept in [Some(other.as_slice()), Some(&bytes[..bytes.len() - 1]), None] {
        opens(kept, &|_| {}).unwrap();
        assert!(opens(kept, &gone).is_err());
        assert!(opens(kept, &untold).is_err());
    }
}
