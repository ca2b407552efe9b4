//! Questions to the trail: each answer against a slow, obvious scan, while blocks are merged and
//! entries come, after restarts and kills, and with an index that is missing or was tampered with.
#![cfg(target_os = "linux")]
#![allow(
    missing_docs,
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing
)]

#[path = "support/memory.rs"]
mod memory;
#[path = "recording/world.rs"]
mod world;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use answerable::canonical::{Map, Value};
use answerable::decision::{Effect, Reason};
use answerable::engine::{
    Bound, Call, CountBy, Durability, Engine, Filter, Hits, Masking, Order, Outcome, Query, Walk,
};
use answerable::recorder::keyspace;
use answerable::request::{Request, Resource, ToolName};
use answerable::scope::{ResourcePattern, ToolPattern};
use answerable::store::Store;
use answerable::trail::entry::{Entry, kind};
use answerable::trail::index::Field;
use proptest::prelude::*;
use world::{World, open_folder};

const TOOLS: [&str; 5] = ["pay.transfer", "pay.refund", "mail.send", "mail.list.all", "no tool"];
const RESOURCES: [&str; 8] = [
    "account/a",
    "account/ab/x",
    "account/ab/x/y",
    "path:/data/x",
    "path:data/x",
    "url:https://example.com/a/b",
    "url:https://example.org",
    "id:urn:x",
];
const SCOPE: &str = r#"[{"tool":"pay.transfer"},{"tool":"pay.refund","resource":["account/**"]}]"#;

/// One call, by places in the lists above.
#[derive(Debug, Clone)]
struct Step {
    chain: usize,
    tool: usize,
    resource: usize,
    ends: bool,
    waits: bool,
    later: i64,
    settles: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let parts = (0usize..4, 0usize..5, 0usize..10, any::<bool>(), 0u8..3, 0i64..3, 0u8..40);
    parts.prop_map(|(chain, tool, resource, ends, waits, later, settles)| Step {
        chain,
        tool,
        resource,
        ends,
        waits: waits > 0,
        later,
        settles: settles == 0,
    })
}

/// What is asked, by places in lists of what there is.
fn filter() -> impl Strategy<Value = [usize; 11]> {
    proptest::array::uniform11(prop_oneof![3 => Just(0usize), 2 => 1usize..12])
}

struct Trail {
    world: World,
    chains: Vec<Option<Arc<Bound>>>,
    open: Vec<answerable::engine::Judged>,
}

impl Trail {
    fn new() -> Self {
        let world = World::new(Durability::Relaxed);
        let root = world.grant(SCOPE);
        let narrow = world.grant(r#"[{"tool":"pay.*","resource":["account/a"]}]"#);
        let below =
            root.chain().delegate(&world::key(2), world.terms(world.booker, 3, SCOPE), 8).unwrap();
        let below = world.accept(&below.text());
        Self { world, chains: vec![Some(root), Some(narrow), Some(below), None], open: Vec::new() }
    }

    fn engine(&self) -> &Arc<Engine> {
        &self.world.engine
    }

    fn take(&mut self, step: &Step) {
        self.world.clock.fetch_add(step.later * 1_000_000, Ordering::Relaxed);
        let bound = self.chains[step.chain].clone();
        let judged = call(self.engine(), bound.as_deref(), step);
        if step.waits {
            self.engine().wait(judged.upto).unwrap();
        }
        if judged.decision.effect == Effect::Allow {
            self.open.push(judged);
        }
        if step.ends && !self.open.is_empty() {
            let judged = self.open.swap_remove(step.resource % self.open.len());
            self.engine().finish(&judged, 5, &Outcome::Returned(Ok(Value::int(1)))).unwrap();
        }
        if step.settles {
            self.engine().size().unwrap();
            self.engine().library.settle().unwrap();
        }
    }
}

fn call(engine: &Engine, bound: Option<&Bound>, step: &Step) -> answerable::engine::Judged {
    let tool = TOOLS[step.tool];
    let mut arguments = Map::new();
    arguments.insert("note", Value::str("some text that takes room in a block"));
    let request = ToolName::parse(tool).map(|tool| Request {
        resource: RESOURCES.get(step.resource).map(|text| Resource::parse(text).unwrap()),
        ..Request::new(tool, arguments)
    });
    engine.judge(&Call {
        tool,
        request: request.map_err(|error| {
            vec![Reason {
                code: "invalid_tool".into(),
                hop: None,
                message: error.to_string(),
                allowed: None,
                fix: None,
            }]
        }),
        masking: &Masking::default(),
        bound,
        against: None,
        parent: None,
        by_type: &[],
        beside: &[],
        declared: None,
        credentials: &[],
    })
}

/// Everything there is, the slow way.
fn all(engine: &Engine) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut each = |entry| {
        entries.push(entry);
        Ok(true)
    };
    engine.each_entry(0, &mut each).unwrap();
    for (index, entry) in entries.iter().enumerate() {
        assert_eq!(entry.index, index as u64, "an entry was met twice or not at all");
    }
    entries
}

/// Whether an entry fits: the obvious way.
fn fits(engine: &Engine, filter: &Filter, entry: &Entry) -> bool {
    let same =
        |want: &Option<String>, key: &str| want.as_ref().is_none_or(|want| entry.text(key) == want);
    let reasons = entry.fields.get("reasons").and_then(Value::as_list).unwrap_or_default();
    let resource = entry.value_text("resource").map(|text| Resource::parse(text).unwrap());
    let tool = ToolName::parse(entry.text("tool")).ok().filter(|_| entry.kind() == kind::DECISION);
    (filter.kind.is_some() || entry.kind() != kind::OUTCOME)
        && same(&filter.kind, "kind")
        && same(&filter.human, "human")
        && same(&filter.agent, "agent")
        && same(&filter.task, "task")
        && same(&filter.effect, "effect")
        && same(&filter.action, "action")
        && same(&filter.by, "by")
        && filter.since.is_none_or(|since| entry.at() >= since)
        && filter.until.is_none_or(|until| entry.at() < until)
        && filter.tool.as_ref().is_none_or(|p| tool.as_ref().is_some_and(|tool| p.matches(tool)))
        && filter
            .resource
            .as_ref()
            .is_none_or(|p| resource.is_some() && p.matches(resource.as_ref()))
        && filter.reason.as_ref().is_none_or(|r| reasons.iter().any(|c| c.as_str() == Some(r)))
        && filter.via.as_ref().is_none_or(|via| {
            let agents = entry.digests("chain").into_iter();
            agents
                .map(|d| engine.grant_entry(&d).unwrap().unwrap().text("agent").to_owned())
                .any(|agent| agent == *via)
        })
        && filter.grant.as_ref().is_none_or(|grant| {
            let own = entry.fields.get("digest").and_then(Value::as_bytes);
            entry.digests("chain").contains(grant) || own == Some(grant)
        })
}

/// The filter that a choice stands for: 0 leaves a condition out.
fn chosen(trail: &Trail, choice: &[usize; 11], entries: &[Entry]) -> Filter {
    let pick = |place: usize, from: &[&str]| -> Option<String> {
        choice[place].checked_sub(1).map(|at| from[at % from.len()].to_owned())
    };
    let world = &trail.world;
    let (alice, planner, booker) =
        (world.alice.to_string(), world.planner.to_string(), world.booker.to_string());
    let tasks = entries.iter().map(|entry| entry.text("task")).filter(|task| !task.is_empty());
    let tasks: Vec<&str> = tasks.collect();
    let times: Vec<i64> = entries.iter().map(Entry::at).collect();
    let moment = |place: usize| choice[place].checked_sub(1).map(|at| times[at * 37 % times.len()]);
    let grants: Vec<_> = trail.chains.iter().flatten().map(|c| c.chain().leaf().digest).collect();
    let tools = ["pay.*", "pay.transfer", "**", "mail.**", "*.send", "pay.ref*", "nothing"];
    let resources = [
        "account/a",
        "account/**",
        "account/ab/**",
        "account/*",
        "account/ab*/x",
        "**",
        "path:/**",
        "path:**",
        "url:https://example.com/**",
        "url:https://*/**",
        "url:https://example.org",
        "id:urn:*",
    ];
    Filter {
        human: pick(0, &[&alice, "none", "hum_nobody"]),
        agent: pick(1, &[&planner, &booker]),
        via: pick(2, &[&planner, &booker]),
        tool: pick(3, &tools).map(|text| ToolPattern::parse(&text).unwrap()),
        resource: pick(4, &resources).map(|text| ResourcePattern::parse(&text).unwrap()),
        task: pick(5, &tasks),
        effect: pick(6, &["allow", "deny", "ask"]),
        reason: pick(7, &["tool_not_covered", "no_authority", "resource_not_covered"]),
        kind: pick(8, &["decision", "outcome", "grant", "identity"]),
        grant: choice[9].checked_sub(1).map(|at| grants[at % grants.len()]),
        since: moment(10),
        until: moment(9).filter(|_| choice[8] == 0),
        ..Filter::default()
    }
}

fn walked(engine: &Engine, query: &Query, order: Order) -> Vec<u64> {
    let mut walk = Walk::new(query.clone(), order);
    let mut found = Vec::new();
    while let Some(some) = walk.next_some(&engine.library).unwrap() {
        assert!(some.is_sorted());
        match order {
            Order::Oldest => found.extend(some),
            Order::Newest => found.extend(some.into_iter().rev()),
        }
    }
    found
}

fn check(trail: &Trail, choices: &[[usize; 11]]) {
    let engine = trail.engine();
    let entries = all(engine);
    for choice in choices {
        let filter = chosen(trail, choice, &entries);
        let fit: Vec<&Entry> = entries.iter().filter(|e| fits(engine, &filter, e)).collect();
        let want: Vec<u64> = fit.iter().map(|entry| entry.index).collect();
        let query = engine.query(&filter, None, None).unwrap();
        assert_eq!(walked(engine, &query, Order::Oldest), want, "{filter:?}");
        let mut newest = walked(engine, &query, Order::Newest);
        newest.reverse();
        assert_eq!(newest, want, "{filter:?}");
        assert_eq!(query.count(&engine.library).unwrap(), want.len() as u64);
        let hits = Hits::new(query.clone());
        for count in [0, 1, 3, want.len() + 1] {
            let first = hits.oldest(&engine.library, count).unwrap();
            let last = hits.newest(&engine.library, count).unwrap();
            assert_eq!(first, want[..count.min(want.len())]);
            assert_eq!(last, want[want.len().saturating_sub(count)..]);
        }
        assert_eq!(*hits.all(&engine.library).unwrap(), want);
        // From one entry on and below another.
        let (after, before) = (entries.len() as u64 / 3, entries.len() as u64 * 2 / 3);
        let part = engine.query(&filter, Some(after), Some(before)).unwrap();
        let inside: Vec<u64> =
            want.iter().copied().filter(|i| (after..before).contains(i)).collect();
        assert_eq!(walked(engine, &part, Order::Oldest), inside);
        counts(engine, &query, &fit);
    }
    rows(engine, &entries);
}

fn counts(engine: &Engine, query: &Query, fit: &[&Entry]) {
    for (field, key) in [(Field::Effect, "effect"), (Field::Tool, "tool"), (Field::Agent, "agent")]
    {
        let mut want: HashMap<String, u64> = HashMap::new();
        for entry in fit {
            if entry.fields.get(key).is_some() {
                *want.entry(entry.text(key).to_owned()).or_default() += 1;
            }
        }
        let by = CountBy::Field(field);
        assert_eq!(query.count_by(&engine.library, by).unwrap(), want, "by {key}");
    }
    let mut want: HashMap<String, u64> = HashMap::new();
    let mut minutes: BTreeMap<i64, u64> = BTreeMap::new();
    for entry in fit {
        if let Some(resource) = entry.value_text("resource") {
            *want.entry(resource.to_owned()).or_default() += 1;
        }
        *minutes.entry(entry.at().div_euclid(60_000_000)).or_default() += 1;
    }
    assert_eq!(query.count_by(&engine.library, CountBy::Resource).unwrap(), want);
    let found = query.count_by(&engine.library, CountBy::Time(60_000_000)).unwrap();
    let mut found: Vec<(String, u64)> = found.into_iter().collect();
    found.sort();
    assert_eq!(
        found.iter().map(|f| f.1).collect::<Vec<_>>(),
        minutes.into_values().collect::<Vec<_>>()
    );
}

/// Each decision comes with its own outcome; ids find entries.
fn rows(engine: &Engine, entries: &[Entry]) {
    let places: Vec<u64> = (0..entries.len() as u64).collect();
    for (entry, outcome) in engine.rows_at(&places).unwrap() {
        assert_eq!(entry, entries[entry.index as usize]);
        let ended = entries
            .iter()
            .find(|other| other.kind() == kind::OUTCOME && other.text("decision") == entry.id());
        assert_eq!(outcome.as_ref(), ended);
    }
    for entry in entries.iter().step_by(7) {
        assert_eq!(engine.entry(entry.id()).unwrap().as_ref(), Some(entry));
    }
    assert_eq!(engine.entry("ent_aaaaaaaaaaaaaaaaaaaaaaaaaa").unwrap(), None);
}

fn root(engine: &Engine) -> String {
    engine.checkpoint().unwrap().text().lines().take(3).collect::<Vec<_>>().join("\n")
}

fn blocks(store: &dyn Store) -> usize {
    let mut count = 0;
    let mut each = |_: &[u8], _: &[u8]| {
        count += 1;
        true
    };
    store.scan(keyspace::BLOCK, None, &mut each).unwrap();
    count
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        if std::env::var("ANSWERABLE_CASES").is_ok_and(|cases| cases == "full") { 60 } else { 5 }
    ))]

    #[test]
    fn every_answer_is_that_of_a_scan(
        steps in proptest::collection::vec(step(), 100..260),
        more in proptest::collection::vec(step(), 1..40),
        choices in proptest::collection::vec(filter(), 12),
    ) {
        let mut trail = Trail::new();
        for step in &steps {
            trail.take(step);
        }
        check(&trail, &choices[..4]);
        let (before, small) = (root(trail.engine()), blocks(&*trail.world.store));
        trail.engine().library.settle().unwrap();
        prop_assert_eq!(root(trail.engine()), before, "merging changed the tree");
        prop_assert!(blocks(&*trail.world.store) <= small);
        check(&trail, &choices[4..8]);
        for step in &more {
            trail.take(step);
        }
        prop_assert!(trail.engine().verify(&[]).unwrap().is_ok());
        // After a crash, without the index or with one that somebody changed.
        let index = trail.world.folder.path().join("index");
        let Trail { world, chains, .. } = trail;
        world.engine.close().unwrap();
        if let Some(file) = std::fs::read_dir(&index).ok().and_then(|mut all| all.next()) {
            let path = file.unwrap().path();
            let mut bytes = std::fs::read(&path).unwrap();
            let at = steps.len() * 31 % bytes.len();
            bytes[at] ^= 1;
            std::fs::write(path, bytes).unwrap();
        }
        let trail = Trail { world: world.after_a_crash(Durability::Relaxed), chains, open: vec![] };
        check(&trail, &choices[8..]);
        trail.engine().library.forget();
        check(&trail, &choices[8..10]);
        prop_assert!(trail.engine().verify(&[]).unwrap().is_ok());
    }
}

#[test]
fn merging_makes_few_blocks_of_many() {
    let mut trail = Trail::new();
    let step =
        Step { chain: 0, tool: 0, resource: 0, ends: true, waits: true, later: 1, settles: false };
    for _ in 0..300 {
        trail.take(&step);
    }
    let size = trail.engine().size().unwrap();
    let entries = all(trail.engine());
    trail.engine().library.settle().unwrap();
    assert_eq!(all(trail.engine()), entries, "every value is as it was");
    // How much stays small does not depend on who wrote what when: less than makes one block more.
    let store = &*trail.world.store;
    let merged = store.get(keyspace::MERGED).unwrap().expect("something was merged");
    let merged = u64::from_be_bytes(merged.try_into().unwrap());
    let (mut large, mut small, mut rest) = (Vec::new(), 0, 0);
    let mut each = |key: &[u8], value: &[u8]| {
        match keyspace::first_of(key) {
            first if first < merged => large.push(first),
            _ => (small, rest) = (small + 1, rest + value.len()),
        }
        true
    };
    store.scan(keyspace::BLOCK, None, &mut each).unwrap();
    assert!(rest <= 48 * 1024 && small <= 256, "{small} blocks of {rest} bytes were left");
    assert!(large.len() >= 2, "hardly anything was merged: {merged} of {size} entries");
    // Each decision was waited for, and so came in a block of its own, of 1,000 bytes at most with
    // the outcome before it.
    let ends = large.iter().skip(1).chain([&merged]);
    for (first, end) in large.iter().zip(ends) {
        assert!(end - first >= 40, "a merged block holds {first} to {end} only");
    }
}

#[test]
fn entries_come_while_blocks_are_merged_and_asked_for() {
    let trail = Trail::new();
    let (engine, chains) = (trail.engine().clone(), &trail.chains);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let engine = &engine;
                scope.spawn(move || {
                    for number in 0..400 {
                        let (chain, tool) = (number % 4, number % 3);
                        let step = Step {
                            chain,
                            tool,
                            resource: writer,
                            ends: false,
                            waits: true,
                            later: 0,
                            settles: false,
                        };
                        let judged = call(engine, chains[chain].as_deref(), &step);
                        engine.wait(judged.upto).unwrap();
                        if judged.decision.effect == Effect::Allow {
                            let outcome = Outcome::Returned(Ok(Value::Null));
                            engine.finish(&judged, 1, &outcome).unwrap();
                        }
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                engine.library.settle().unwrap();
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let size = engine.size().unwrap();
                    assert!(all(&engine).len() as u64 >= size);
                    let query = engine.query(&Filter::default(), None, Some(size)).unwrap();
                    let hits = walked(&engine, &query, Order::Oldest);
                    assert!(hits.windows(2).all(|pair| pair[0] < pair[1]));
                    let rows = engine.rows_at(&hits).unwrap();
                    assert_eq!(rows.len(), hits.len());
                    assert!(rows.iter().all(|(entry, _)| entry.kind() != kind::OUTCOME));
                }
            });
        }
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(engine.verify(&[]).unwrap().is_ok());
    check(&trail, &[[0; 11], [0, 0, 0, 2, 0, 0, 1, 0, 0, 0, 0]]);
}

#[test]
fn nothing_of_an_index_opens_under_another_key_or_for_another_trail() {
    let mut trail = Trail::new();
    let step = Step {
        chain: 0,
        tool: 0,
        resource: 0,
        ends: false,
        waits: false,
        later: 0,
        settles: false,
    };
    for _ in 0..300 {
        trail.take(&step);
    }
    let engine = trail.engine();
    engine.entries(&Filter::default()).unwrap();
    let index = trail.world.folder.path().join("index");
    engine.close().unwrap();
    let files: Vec<_> = std::fs::read_dir(&index).unwrap().map(|f| f.unwrap().path()).collect();
    assert_eq!(files.len(), 1);
    let bytes = std::fs::read(&files[0]).unwrap();
    for secret in ["account/a", "note", "some text", "Pay what is due", "alice@example.com"] {
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "`{secret}` stands in the index");
    }
    // A trail of another authority does not take it for its own.
    let other = Trail::new();
    let own = other.world.folder.path().join("index");
    std::fs::create_dir_all(&own).unwrap();
    std::fs::copy(&files[0], own.join(files[0].file_name().unwrap())).unwrap();
    check(&other, &[[0; 11]]);
    // The same files copied, and other entries since: what it covers is not there.
    let Trail { world, chains, .. } = trail;
    let trail = Trail { world: world.after_a_crash(Durability::Relaxed), chains, open: vec![] };
    check(&trail, &[[0; 11]]);
}

// ------------------------------------------------------------------ kills

/// Does nothing unless started by the test below, as the process that is killed.
#[test]
fn child() {
    let Ok(path) = std::env::var("QUESTIONS_CHILD") else { return };
    let engine = open_folder(Path::new(&path), Durability::Before);
    let step =
        Step { chain: 3, tool: 0, resource: 0, ends: false, waits: true, later: 0, settles: false };
    let merging = engine.clone();
    std::thread::spawn(move || while merging.library.settle().is_ok() {});
    println!("READY");
    loop {
        let judged = engine.await_decision(call(&engine, None, &step));
        assert!(judged.decision.reasons.iter().all(|reason| reason.code != "store_unavailable"));
        println!("{}", judged.upto);
    }
}

#[test]
fn a_kill_while_blocks_are_merged_loses_nothing() {
    use std::io::{BufRead, BufReader};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("governance");
    let full = std::env::var("ANSWERABLE_FAULTS").is_ok_and(|level| level == "full");
    let mut acknowledged = 0;
    for round in 0..if full { 30 } else { 4 } {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env("QUESTIONS_CHILD", &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut told = 0;
        for line in lines.map_while(Result::ok) {
            if let Ok(upto) = line.parse::<u64>() {
                acknowledged = acknowledged.max(upto);
                told += 1;
                if told == 150 + round * 13 {
                    child.kill().unwrap();
                }
            }
        }
        child.wait().unwrap();
        assert!(told > 100, "the child died early");
        let engine = open_folder(&path, Durability::Before);
        assert!(engine.size().unwrap() >= acknowledged, "acknowledged entries are gone");
        let entries = all(&engine);
        assert!(entries.len() as u64 >= acknowledged);
        assert!(engine.verify(&[]).unwrap().is_ok());
        let query = engine.query(&Filter::default(), None, None).unwrap();
        assert_eq!(walked(&engine, &query, Order::Newest).len(), entries.len());
        engine.close().unwrap();
    }
    let engine = open_folder(&path, Durability::Before);
    engine.library.settle().unwrap();
    assert!(engine.verify(&[]).unwrap().is_ok());
    engine.close().unwrap();
}
