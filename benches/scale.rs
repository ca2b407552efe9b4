//! What many agents and grants in one store cost: times and memory of issuing, opening, looking up,
//! retiring and reviewing, and a warm governed call beside the same with ten agents, in one run.
//!
//! `cargo bench --bench scale` takes 2,000 agents and 20,000 grants; `-- --full` 100,000 and
//! 1,000,000, `-- --agents N --grants N` others; with `-- --smoke` it only shows that it runs.
//! `-- --keep FOLDER` leaves the store in a folder, and `-- --on FOLDER` measures on such a store
//! instead of filling one: once, because its first agent is retired.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, missing_docs)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use answerable::canonical::Map;
use answerable::engine::{
    Bound, Call, Delegation, Durability, Engine, Masking, NewGrant, Options, Outcome, Spans,
    TaskChoice,
};
use answerable::principal::{AgentId, Assurance, HumanId};
use answerable::registry::NewHuman;
use answerable::request::{Request, ToolName};
use answerable::scope::Scope;

const HOUR: i64 = 3_600_000_000;
/// How many grants lie below the agent that is retired.
const BELOW: usize = 10_000;
/// How many callers issue at once: they share the disk's writes.
const THREADS: usize = 32;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let given = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse::<usize>().ok()
    };
    let is = |name: &str| arguments.iter().any(|argument| argument == name);
    let (agents, grants, below) = match (is("--smoke"), is("--full")) {
        (true, _) => (20, 200, 20),
        (_, true) => (100_000, 1_000_000, BELOW),
        _ => (2_000, 20_000, BELOW.min(2_000)),
    };
    let agents = given("--agents").unwrap_or(agents);
    let grants = given("--grants").unwrap_or(grants);
    let named = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).map(PathBuf::from)
    };
    let folder = tempfile::Builder::new().prefix("bench").tempdir_in(env!("CARGO_TARGET_TMPDIR"));
    let folder = folder.unwrap();
    println!("{agents} agents, {grants} grants, {below} of them below one agent");
    let few = Few::new(&folder.path().join("few"));
    let path = match (named("--on"), named("--keep")) {
        (Some(on), _) => on.join("many"),
        (None, Some(keep)) => keep.join("many"),
        (None, None) => folder.path().join("many"),
    };
    if named("--on").is_none() {
        fill(&path, agents, grants, below);
    }

    let before = resident();
    let engine = timed("open", || open(&path));
    println!("{:<44} {:>9.1} MiB", "resident after opening, more than before", resident() - before);
    println!("{:<44} {:>9.1} MiB", "store on disk", size(&path));
    timed("merge and index what is left over", || engine.library.settle().unwrap());
    let token = first_grant(&engine);
    let root = timed("take up a grant by its token", || engine.accept(&token, vec![]).unwrap());
    let id = root.chain().root().payload.id.to_string();
    timed("tell of a grant by its id", || engine.inspect(&id).unwrap());
    timed("tell of it again", || engine.inspect(&id).unwrap());
    each("find a grant's digest by its id", 1_000, || {
        engine.grant_digest(&id).unwrap();
    });
    let name = format!("agent-{}", agents / 2);
    each("find an agent by its name", 1_000, || {
        engine.find_agent(&name).unwrap();
    });
    // In turns: whatever else the machine does falls on both.
    let mut samples = [Vec::new(), Vec::new()];
    for _ in 0..if below < 100 { 3 } else { 101 } {
        for (held, (engine, bound)) in
            samples.iter_mut().zip([(&engine, &root), (&few.engine, &few.bound)])
        {
            let started = Instant::now();
            (0..200).for_each(|_| call(engine, bound));
            held.push(started.elapsed().as_secs_f64() * 1e6 / 200.0);
        }
    }
    let [many, ten] = samples.map(median);
    println!("{:<44} {many:>9.2} µs", "a warm governed call, with these");
    println!("{:<44} {ten:>9.2} µs", "the same with ten agents");
    println!("{:<44} {:>9.2} ×", "  ratio", many / ten);
    let review = timed("review", || engine.review(Spans::default()).unwrap());
    println!("{:<44} {:>9}", "  agents looked at", review.agents.len());
    let holder = root.chain().root().payload.holder.agent;
    timed("retire the agent with those below it", || {
        engine.retire_agent(&holder, "done", None).unwrap();
    });
    let denied = judged(&engine, &root);
    assert!(!denied, "what is retired is denied");
    timed("a turn of housekeeping, with nothing to do", || engine.keep_house().unwrap());
    println!("{:<44} {:>9.1} MiB", "resident at the end", resident());
    timed("close", || engine.close().unwrap());
}

fn open(path: &Path) -> Arc<Engine> {
    let options = Options { durability: Durability::Relaxed, ..Options::default() };
    Engine::open(path, options).unwrap()
}

fn scope() -> Scope {
    serde_json::from_str(r#"[{"tool":"pay.*","resource":["account/travel-*"]}]"#).unwrap()
}

fn human(engine: &Engine) -> HumanId {
    let new = NewHuman {
        account: "alice@example.com",
        issuer: "local",
        name: None,
        assurance: Assurance::Asserted,
        by: None,
    };
    engine.register_human(&new).unwrap().id
}

fn issue(engine: &Engine, owner: HumanId, name: &str) -> AgentId {
    engine.issue_agent(name, owner, "pays invoices", ceiling(), 8 * HOUR, None, None).unwrap().id
}

fn ceiling() -> Scope {
    serde_json::from_str(r#"[{"tool":"pay.*"}]"#).unwrap()
}

fn grant(engine: &Engine, human: HumanId, agent: AgentId) -> Arc<Bound> {
    engine
        .grant(NewGrant {
            human,
            agent,
            task: TaskChoice::New("Pay what is due".to_owned()),
            scope: scope(),
            limits: vec![],
            ttl: HOUR,
            further_hops: 2,
            by: None,
        })
        .unwrap()
}

struct Few {
    engine: Arc<Engine>,
    bound: Arc<Bound>,
}

impl Few {
    fn new(path: &Path) -> Self {
        let engine = open(path);
        let alice = human(&engine);
        let agents: Vec<AgentId> =
            (0..10).map(|number| issue(&engine, alice, &format!("agent-{number}"))).collect();
        let bound = grant(&engine, alice, agents[0]);
        Self { engine, bound }
    }
}

/// Makes the store.
fn fill(path: &Path, agents: usize, grants: usize, below: usize) {
    let engine = open(path);
    let alice = human(&engine);
    engine.operator().unwrap();
    let ids: Vec<std::sync::OnceLock<AgentId>> = (0..agents).map(|_| Default::default()).collect();
    shared("issue an agent", agents, |number| {
        ids[number].set(issue(&engine, alice, &format!("agent-{number}"))).unwrap();
    });
    println!("{:<44} {:>9.1} MiB", "resident with these agents", resident());
    let of = |number: usize| *ids[number % agents].get().unwrap();
    let root = grant(&engine, alice, of(0));
    shared("delegate a grant", below, |number| {
        let new = Delegation {
            agent: of(number + 1),
            scope: scope(),
            limits: vec![],
            ttl: None,
            further_hops: 0,
            statement: None,
        };
        engine.delegate(&root, new, None).unwrap();
    });
    shared("make a grant", grants.saturating_sub(below + 1), |number| {
        grant(&engine, alice, of(number));
    });
    println!("{:<44} {:>9.1} MiB", "resident with these grants", resident());
    timed("close", || engine.close().unwrap());
}

/// The token of the first grant that was made: the one with those below it.
fn first_grant(engine: &Engine) -> String {
    let mut token = None;
    engine
        .each_entry(0, &mut |entry| {
            token = entry.value_text("token").map(str::to_owned);
            Ok(token.is_none())
        })
        .unwrap();
    token.unwrap()
}

/// Does something so many times from many threads, and prints what each took and how many a second.
fn shared(name: &str, count: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    let last = std::sync::OnceLock::new();
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        break;
                    }
                    if number == count - count / 10 {
                        last.set(started.elapsed().as_secs_f64()).unwrap();
                    }
                    work(number);
                }
            });
        }
    });
    let took = started.elapsed().as_secs_f64();
    let per_second = count as f64 / took;
    // What is super-linear shows in the last tenth.
    let tenth = took - last.get().copied().unwrap_or(0.0);
    let late = tenth * 1e6 / (count / 10).max(1) as f64;
    let each = took * 1e6 / count as f64;
    println!("{name:<44} {each:>9.1} µs {late:>9.1} µs late {per_second:>9.0} /s {took:>9.1} s");
}

fn judged(engine: &Engine, bound: &Bound) -> bool {
    let masking = Masking::default();
    let call = Call {
        tool: "pay.transfer",
        request: Ok(request()),
        by_type: &[],
        beside: &[],
        masking: &masking,
        bound: Some(bound),
        against: None,
        parent: None,
        declared: None,
        credentials: &[],
    };
    let judged = engine.judge(&call);
    let allowed = judged.decision.reasons.is_empty();
    if allowed {
        engine.finish(&judged, 1, &Outcome::Returned(Err("str".to_owned()))).unwrap();
    }
    allowed
}

fn request() -> Request {
    let mut request = Request::new(ToolName::parse("pay.transfer").unwrap(), Map::new());
    request.resource =
        Some(answerable::request::Resource::parse("account/travel-1").expect("a resource"));
    request
}

fn call(engine: &Engine, bound: &Bound) {
    assert!(judged(engine, bound));
}

fn timed<R>(name: &str, work: impl FnOnce() -> R) -> R {
    let started = Instant::now();
    let result = work();
    let took = started.elapsed();
    if took < Duration::from_millis(10) {
        println!("{name:<44} {:>9.1} µs", took.as_secs_f64() * 1e6);
    } else {
        println!("{name:<44} {:>9.2} s", took.as_secs_f64());
    }
    result
}

fn each(name: &str, count: u32, work: impl Fn()) {
    let started = Instant::now();
    (0..count).for_each(|_| work());
    println!("{name:<44} {:>9.2} µs", started.elapsed().as_secs_f64() * 1e6 / f64::from(count));
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

/// What the process holds in memory, in MiB.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

/// What a folder holds, in MiB.
fn size(folder: &Path) -> f64 {
    let mut bytes = 0;
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => bytes += entry.metadata().unwrap().len(),
            }
        }
    }
    bytes as f64 / 1024.0 / 1024.0
}
