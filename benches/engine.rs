//! What the hot paths cost, and what durability costs beside a raw file: medians and 99th
//! percentiles, measured in one run so that their ratios mean something. It asserts nothing.
//!
//! `cargo bench --bench engine`; with `-- --smoke` it only shows that it runs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, missing_docs)]

use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex};
use std::time::{Duration, Instant};

use answerable::authorizer::{AgentFacts, Facts, Governed, HumanFacts, Standing, authorize};
use answerable::canonical::{Digest, Map, Value};
use answerable::chain::{Anchors, Chain, HopCache, MAX_HOPS, UnverifiedChain};
use answerable::clock::{Clock, Source};
use answerable::engine::{Call, Durability, Engine, NewGrant, Options, Outcome, TaskChoice};
use answerable::grant::{Grant, Holder, Terms};
use answerable::keys::{KeyRing, MasterKey, Owner, PublicKey, SealKey, SecretKey, random};
use answerable::principal::{AgentId, Assurance, EntryId, HumanId, Status, TaskId};
use answerable::recorder::{Head, Recorder};
use answerable::registry::NewHuman;
use answerable::request::{Request, Resource, ToolName};
use answerable::scope::{Scope, ToolPattern};
use answerable::store::SledStore;
use answerable::trail::block::pack;
use answerable::trail::entry::{Draft, kind};

const START: i64 = 1_795_507_200_000_000;
const HOUR: i64 = 3_600_000_000;
const SCOPE: &str = r#"[
    {"tool":"travel.search"},
    {"tool":"pay.transfer","resource":["account/travel-*"],
     "where":{"amount":{"at_most":500},"memo":{"any":true}}}
]"#;

fn main() {
    // Cargo passes `--bench`.
    let smoke = std::env::args().any(|argument| argument == "--smoke");
    let budget = Duration::from_millis(if smoke { 30 } else { 1_500 });
    println!("{:<44} {:>12} {:>12} {:>12}", "", "median", "p99", "ops/s");
    pure(budget);
    recorded(budget);
    durable(budget * 2);
}

/// Times an operation in samples of about 20 µs or one operation, and prints it.
fn measure(name: &str, budget: Duration, mut operation: impl FnMut()) -> f64 {
    let started = Instant::now();
    let mut once = 0u32;
    while started.elapsed() < budget / 10 {
        operation();
        once += 1;
    }
    let each = started.elapsed().as_nanos() as f64 / f64::from(once);
    let in_sample = (20_000.0 / each).max(1.0) as u32;
    let mut samples = Vec::new();
    let started = Instant::now();
    while started.elapsed() < budget {
        let sample = Instant::now();
        for _ in 0..in_sample {
            operation();
        }
        samples.push(sample.elapsed().as_nanos() as f64 / f64::from(in_sample));
    }
    print(name, &mut samples, None)
}

/// Prints one line; answers the median in nanoseconds.
fn print(name: &str, samples: &mut [f64], rate: Option<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    let at = |part: f64| samples[((samples.len() - 1) as f64 * part) as usize];
    let (median, p99) = (at(0.5), at(0.99));
    let rate = rate.unwrap_or(1e9 / median);
    println!("{name:<44} {:>9.2} µs {:>9.2} µs {rate:>12.0}", median / 1e3, p99 / 1e3);
    median
}

fn scope() -> Scope {
    serde_json::from_str(SCOPE).unwrap()
}

fn request() -> Request {
    let mut arguments = Map::new();
    arguments.insert("account", Value::str("travel-1"));
    arguments.insert("amount", Value::int(80));
    arguments.insert("memo", Value::str("deposit"));
    Request {
        resource: Some(Resource::parse("account/travel-1").unwrap()),
        template: vec!["account".into()],
        ..Request::new(ToolName::parse("pay.transfer").unwrap(), arguments)
    }
}

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32]).unwrap()
}

/// A chain of so many hops; hop n is held by agent n with key n + 2.
fn chain(hops: u8) -> Chain {
    let authority = key(1);
    let terms = |hop: u8| Terms {
        holder: Holder { agent: AgentId::from_bytes([hop; 16]), key: key(hop + 2).public() },
        scope: scope(),
        limits: vec![],
        from: START,
        until: START + HOUR,
        further_hops: hops - hop - 1,
        statement: None,
    };
    let (human, task) = (HumanId::from_bytes([1; 16]), TaskId::from_bytes([1; 16]));
    let root = Grant::sign_root(&authority, human, Assurance::Oidc, task, "Book", terms(0));
    let mut chain = Chain::from_root(root.unwrap(), authority.public().id());
    for hop in 1..hops {
        chain = chain.delegate(&key(hop + 1), terms(hop), MAX_HOPS).unwrap();
    }
    chain
}

/// A registry in which everybody is well.
struct Well(Scope);

impl Facts for Well {
    fn agent(&self, id: &AgentId) -> Option<AgentFacts<'_>> {
        let key: PublicKey = key(id.as_bytes()[0] + 2).public();
        let (status, expires_at) = (Status::Active, START + HOUR);
        Some(AgentFacts {
            name: "agent",
            status,
            expires_at,
            key,
            key_made: None,
            overlaps: &[],
            cut: None,
            owner_left: false,
            halted: false,
            owner_halted: false,
            ceiling: &self.0,
        })
    }

    fn human(&self, _: &HumanId) -> Option<HumanFacts<'_>> {
        Some(HumanFacts { name: "Alice", offboarded: false, cut: None })
    }

    fn is_revoked(&self, _: &Digest) -> bool {
        false
    }

    fn is_ended(&self, _: &TaskId) -> bool {
        false
    }

    fn root_key_until(&self, _: &str) -> Option<i64> {
        Some(i64::MAX)
    }

    fn all_halted(&self) -> bool {
        false
    }

    fn owner_halted(&self, _: &HumanId) -> bool {
        false
    }

    fn halted_tools(&self) -> Arc<[ToolPattern]> {
        Arc::new([])
    }

    fn governed(&self, _: &Chain, _: Option<&str>) -> Governed {
        Governed::Free
    }
}

fn pure(budget: Duration) {
    let (scope, request) = (scope(), request());
    measure("scope covers a request", budget, || {
        assert!(black_box(&scope).covers(black_box(&request)).is_ok());
    });
    for hops in [1, 3, 5] {
        let chain = chain(hops);
        let standing = Standing::of(&chain, &Well(scope.clone()), None);
        measure(&format!("authorize, standing known, depth {hops}"), budget, || {
            let judged =
                authorize(&chain, &standing, black_box(&request), None, &|_: &str| false, START);
            assert!(judged.is_allow());
        });
    }
    let anchors = Anchors::one(key(1).public());
    let verify = |text: &str, cache: &HopCache| {
        let parsed = UnverifiedChain::parse(text, MAX_HOPS).unwrap();
        black_box(parsed.verify(&anchors, cache).unwrap());
    };
    for hops in [1, 3, 5] {
        let text = chain(hops).text();
        let cold = measure(&format!("verify a chain, cold, depth {hops}"), budget, || {
            verify(&text, &HopCache::default());
        });
        let cache = HopCache::default();
        let warm = measure(&format!("verify a chain, warm, depth {hops}"), budget, || {
            verify(&text, &cache);
        });
        println!("{:<44} {:>9.1} ×", "  cold to warm", cold / warm);
    }
}

fn folder() -> tempfile::TempDir {
    // Beside the build, which lies on a disk; the folder for temporary files may not.
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn open(path: &Path, durability: Durability) -> (Arc<Engine>, String) {
    let engine = Engine::open(path, Options { durability, ..Options::default() }).unwrap();
    let new = NewHuman {
        account: "alice@example.com",
        issuer: "local",
        name: None,
        assurance: Assurance::Asserted,
        by: None,
    };
    let human = engine.register_human(&new).unwrap().id;
    let ttl = 8 * HOUR;
    let agent = engine.issue_agent("planner", human, "benches", scope(), ttl, None, None).unwrap();
    let grant = engine.grant(NewGrant {
        human,
        agent: agent.id,
        task: TaskChoice::New("Book the offsite".to_owned()),
        scope: scope(),
        limits: vec![],
        ttl: HOUR,
        further_hops: 0,
        by: None,
    });
    let text = grant.unwrap().chain().text();
    (engine, text)
}

fn recorded(budget: Duration) {
    for durability in [Durability::Relaxed, Durability::Before] {
        let folder = folder();
        let (engine, text) = open(&folder.path().join("store"), durability);
        let bound = engine.accept(&text, vec![]).unwrap();
        let name = format!("judge and finish, {}", durability.word());
        measure(&name, budget, || {
            let call = Call {
                tool: "pay.transfer",
                request: Ok(request()),
                by_type: &[],
                beside: &[],
                credentials: &[],
                masking: &answerable::engine::Masking::default(),
                bound: Some(&bound),
                against: None,
                parent: None,
                declared: None,
            };
            let judged = engine.await_decision(engine.judge(&call));
            assert!(judged.decision.reasons.is_empty());
            let outcome = Outcome::Returned(Ok(Value::str("done")));
            engine.finish(&judged, 12, &outcome).unwrap();
        });
        engine.close().unwrap();
    }
}

/// A decision's entry as the engine writes it.
fn draft(owner: &Owner) -> Draft {
    let mut arguments = Map::new();
    for name in ["account", "amount", "memo"] {
        arguments.insert(name, Value::List(vec![Value::str("keep"), Value::str("deposit")]));
    }
    let id = EntryId::from_bytes(random().unwrap());
    Draft::new(id, kind::DECISION, random().unwrap())
        .with("human", Value::str(&HumanId::from_bytes([1; 16]).to_string()))
        .with("agent", Value::str(&AgentId::from_bytes([1; 16]).to_string()))
        .with("task", Value::str(&TaskId::from_bytes([1; 16]).to_string()))
        .with("chain", Value::List(vec![Value::bytes(&[1; 32]); 2]))
        .with("effect", Value::str("allow"))
        .with("reasons", Value::List(vec![]))
        .with("policy", Value::str("none"))
        .with("tool", Value::str("pay.transfer"))
        .beside("resource", Value::str("account/travel-1"), owner)
        .beside("arguments", Value::Map(arguments), owner)
        .beside("request", Value::bytes(&[1; 32]), owner)
}

/// Runs an append on so many threads for a time; answers every duration and the rate.
fn on_threads(threads: usize, budget: Duration, append: &(dyn Fn() + Sync)) -> (Vec<f64>, f64) {
    let (stop, start) = (AtomicBool::new(false), Barrier::new(threads + 1));
    let samples = Mutex::new(Vec::new());
    let took = std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut own = Vec::new();
                start.wait();
                while !stop.load(Ordering::Relaxed) {
                    let sample = Instant::now();
                    append();
                    own.push(sample.elapsed().as_nanos() as f64);
                }
                samples.lock().unwrap().append(&mut own);
            });
        }
        start.wait();
        let started = Instant::now();
        std::thread::sleep(budget);
        stop.store(true, Ordering::Relaxed);
        started
    });
    let took = took.elapsed().as_secs_f64();
    let samples = samples.into_inner().unwrap();
    let rate = samples.len() as f64 / took;
    (samples, rate)
}

fn durable(budget: Duration) {
    let owner = Owner::human(HumanId::from_bytes([1; 16]));
    let seal = SealKey::generate().unwrap();
    let one = draft(&owner);
    let leaf = one.leaf(START);
    let block = pack("x", 0, &[(&one, leaf)], &mut |_| Ok(seal.clone())).unwrap();
    println!("a durable entry, of {} bytes packed alone:", block.len());
    for threads in [1, 8, 64] {
        let folder = folder();
        let store = Arc::new(SledStore::open(folder.path().join("store"), START).unwrap());
        let master = MasterKey::generate().unwrap();
        let ring = Arc::new(KeyRing::new(SealKey::generate().unwrap(), &master));
        let clock = Arc::new(Clock::new(Source::System, 0));
        let head = Head::load(&*store).unwrap();
        let recorder = Recorder::new(store, ring, clock, "x".to_owned(), head, 1);
        let (mut samples, rate) = on_threads(threads, budget, &|| {
            let draft = draft(&owner);
            let push = |slot: &mut answerable::recorder::Slot<'_>| {
                slot.push(draft, Vec::new());
                Ok::<(), answerable::store::StoreError>(())
            };
            let ((), ticket) = recorder.sequence(push).unwrap();
            recorder.wait(ticket.upto).unwrap();
        });
        print(&format!("recorder, {threads} threads"), &mut samples, Some(rate));

        let raw = Raw::new(&folder.path().join("raw"));
        let (mut samples, raw_rate) = on_threads(threads, budget, &|| raw.append(&block));
        print(&format!("raw write and fdatasync, {threads} threads"), &mut samples, Some(raw_rate));
        println!("{:<44} {:>9.2} ×", "  recorder to raw, by ops/s", rate / raw_rate);
    }
}

/// A file with group commit and nothing else: whoever comes first writes for all that wait.
struct Raw {
    state: Mutex<Queue>,
    written: Condvar,
    file: Mutex<File>,
}

#[derive(Default)]
struct Queue {
    bytes: Vec<u8>,
    appended: u64,
    durable: u64,
    writing: bool,
}

impl Raw {
    fn new(path: &Path) -> Self {
        let file = Mutex::new(File::create(path).unwrap());
        Self { state: Mutex::default(), written: Condvar::new(), file }
    }

    fn append(&self, bytes: &[u8]) {
        let mut state = self.state.lock().unwrap();
        state.bytes.extend_from_slice(bytes);
        state.appended += 1;
        let own = state.appended;
        while state.durable < own && state.writing {
            state = self.written.wait(state).unwrap();
        }
        if state.durable >= own {
            return;
        }
        state.writing = true;
        let (bytes, upto) = (std::mem::take(&mut state.bytes), state.appended);
        drop(state);
        let mut file = self.file.lock().unwrap();
        file.write_all(&bytes).unwrap();
        file.sync_data().unwrap();
        drop(file);
        let mut state = self.state.lock().unwrap();
        (state.durable, state.writing) = (upto, false);
        drop(state);
        self.written.notify_all();
    }
}
