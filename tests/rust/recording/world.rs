//! An engine over a store in memory, with agents that sign for themselves.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use answerable::canonical::{Map, Value};
use answerable::clock::Source;
use answerable::decision::Effect;
use answerable::engine::{
    Bound, Call, Durability, Engine, EngineError, Judged, MasterSource, NewGrant, Options,
    TaskChoice,
};
use answerable::grant::{Grant, Holder, Terms};
use answerable::keys::{MasterKey, SecretKey};
use answerable::principal::{AgentId, Assurance, HumanId, TaskId};
use answerable::registry::NewHuman;
use answerable::request::{Request, Resource, ToolName};
use answerable::scope::{Limit, Scope};
use answerable::store::Store;

use crate::memory::Memory;

pub(crate) const HOUR: i64 = 3_600_000_000;
pub(crate) const START: i64 = 1_795_507_200_000_000;
pub(crate) const MODES: [Durability; 4] =
    [Durability::Before, Durability::Strict, Durability::After, Durability::Relaxed];
pub(crate) const PAY: &str = r#"[{"tool":"pay.transfer","resource":["account/*"]}]"#;

pub(crate) fn scope(json: &str) -> Scope {
    serde_json::from_str(json).unwrap()
}

pub(crate) fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32]).unwrap()
}

pub(crate) struct World {
    pub(crate) engine: Arc<Engine>,
    pub(crate) store: Arc<Memory>,
    pub(crate) clock: Arc<AtomicI64>,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) master: MasterKey,
    pub(crate) alice: HumanId,
    pub(crate) planner: AgentId,
    pub(crate) booker: AgentId,
}

pub(crate) fn options(
    master: &MasterKey,
    clock: &Arc<AtomicI64>,
    durability: Durability,
) -> Options {
    Options {
        durability,
        // Long, so that nothing is written that nobody waits for.
        flush: Duration::from_secs(60),
        master: MasterSource::Given(master.clone()),
        clock: Source::Fixed(clock.clone()),
        ..Options::default()
    }
}

/// Registers a human, an agent `planner` with key 2 and an agent `booker` with key 3.
pub(crate) fn people(engine: &Engine) -> (HumanId, AgentId, AgentId) {
    let new = NewHuman {
        account: "alice@example.com",
        issuer: "local",
        name: None,
        assurance: Assurance::Asserted,
        by: None,
    };
    let alice = engine.register_human(&new).unwrap().id;
    let issue = |name: &str, seed: u8, ceiling: &str| {
        let public = Some(key(seed).public());
        let ceiling = scope(ceiling);
        engine.issue_agent(name, alice, "tests", ceiling, 8 * HOUR, public, None).unwrap().id
    };
    let planner = issue("planner", 2, r#"[{"tool":"pay.*"},{"tool":"mail.*"}]"#);
    let booker = issue("booker", 3, r#"[{"tool":"pay.*"}]"#);
    (alice, planner, booker)
}

impl World {
    pub(crate) fn new(durability: Durability) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let master = MasterKey::from_bytes(&[*b"0123456789abcdef"; 2].concat()).unwrap();
        let clock = Arc::new(AtomicI64::new(START));
        let store = Arc::new(Memory::default());
        let options = options(&master, &clock, durability);
        let engine = Engine::on_store(folder.path(), store.clone(), options).unwrap();
        let (alice, planner, booker) = people(&engine);
        Self { engine, store, clock, folder, master, alice, planner, booker }
    }

    /// Opens a copy of what the store holds now, as after a crash.
    pub(crate) fn after_a_crash(self, durability: Durability) -> Self {
        let store = Arc::new(self.store.copy());
        let options = options(&self.master, &self.clock, durability);
        let engine = Engine::on_store(self.folder.path(), store.clone(), options).unwrap();
        Self { engine, store, ..self }
    }

    /// The authority's secret key, as an attacker never has it.
    pub(crate) fn authority(&self) -> SecretKey {
        let sealed = self.store.get(b"k/authority").unwrap().unwrap();
        let inner = std::fs::read(self.folder.path().join("inner.key")).unwrap();
        let inner = data_encoding::BASE64URL_NOPAD.decode(&inner).unwrap();
        let agents = self.master.with_inner(&inner).unwrap().purpose("agent-keys");
        SecretKey::parse(&agents.open(&sealed, "answerable/v1/authority-key").unwrap()).unwrap()
    }

    pub(crate) fn grant(&self, json: &str) -> Arc<Bound> {
        self.limited(json, vec![])
    }

    pub(crate) fn limited(&self, json: &str, limits: Vec<Limit>) -> Arc<Bound> {
        self.try_grant(json, limits).unwrap()
    }

    pub(crate) fn try_grant(
        &self,
        json: &str,
        limits: Vec<Limit>,
    ) -> Result<Arc<Bound>, EngineError> {
        self.engine.grant(NewGrant {
            human: self.alice,
            agent: self.planner,
            task: TaskChoice::New("Pay what is due".to_owned()),
            scope: scope(json),
            limits,
            ttl: HOUR,
            further_hops: 3,
            by: None,
        })
    }

    pub(crate) fn terms(&self, agent: AgentId, seed: u8, json: &str) -> Terms {
        Terms {
            holder: Holder { agent, key: key(seed).public() },
            scope: scope(json),
            limits: vec![],
            from: START,
            until: START + HOUR,
            further_hops: 0,
            statement: None,
        }
    }

    /// A root grant as a dishonest authority could sign it, taken in.
    pub(crate) fn signed(&self, authority: &SecretKey, human: HumanId, terms: Terms) -> Grant {
        let task = TaskId::from_bytes([7; 16]);
        Grant::sign_root(authority, human, Assurance::Asserted, task, "x", terms).unwrap()
    }

    pub(crate) fn accept(&self, text: &str) -> Arc<Bound> {
        self.engine.accept(text, vec![]).unwrap()
    }

    pub(crate) fn call(&self, bound: &Bound) -> Judged {
        call(&self.engine, bound)
    }

    /// The code of the first reason of a denial.
    pub(crate) fn code(&self, bound: &Bound) -> String {
        let judged = self.call(bound);
        assert_eq!(judged.decision.effect, Effect::Deny);
        judged.decision.reasons[0].code.to_string()
    }
}

pub(crate) fn arguments() -> Map {
    let mut arguments = Map::new();
    arguments.insert("account", Value::str("a"));
    arguments
}

/// Judged, not waited for.
pub(crate) fn judge(engine: &Engine, bound: &Bound, arguments: Map) -> Judged {
    let request = Request {
        resource: Some(Resource::parse("account/a").unwrap()),
        template: vec!["account".into()],
        ..Request::new(ToolName::parse("pay.transfer").unwrap(), arguments)
    };
    engine.judge(&Call {
        tool: "pay.transfer",
        request: Ok(request),
        masking: &answerable::engine::Masking::default(),
        bound: Some(bound),
        against: None,
        parent: None,
        declared: None,
        by_type: &[],
        beside: &[],
        credentials: &[],
    })
}

pub(crate) fn call(engine: &Engine, bound: &Bound) -> Judged {
    let judged = judge(engine, bound, arguments());
    engine.await_decision(judged)
}

pub(crate) fn is_allowed(judged: &Judged) -> bool {
    judged.decision.effect == Effect::Allow
}

/// An engine over a folder, for the processes that are killed.
pub(crate) fn open_folder(path: &Path, durability: Durability) -> Arc<Engine> {
    let options = Options { durability, flush: Duration::from_millis(5), ..Options::default() };
    Engine::open(path, options).unwrap()
}
