//! The engine and its administrative verbs as Python classes.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::approvals::Approval;
use super::convert::{Dict, FilePath, Flag, Own, Text, Whole};
use super::endings::{self, Halt, Revocation};
use super::guard::{attributes, bind_named};
use super::lifecycle::{Agents, Humans, Tasks};
use super::opening::{above_zero, durability_of, master, open, schedule, standing_at};
use super::people::{Grant, agent_id, human_id, text_of};
use super::policy::Policies;
use super::review::Review;
use super::trail::Trail;
use super::values::{Decision, limits_of, scope_of};
use super::vault::Vault;
use super::{convert, enter, errors, watch};
use crate::clock::Source;
use crate::engine::{
    Engine as Core, MAX_SHADOW, MasterSource, NewAccess, NewGrant, Options, Spans, TaskChoice,
};
use crate::principal::{Handle, HumanId, TaskId};

/// More than any chain has hops.
const MAX_STATEMENTS: usize = 256;

/// One engine: one authority, one tenant, one store.
#[pyclass(frozen, subclass, weakref, module = "answerable._core", name = "Engine")]
pub(super) struct Engine {
    pub(super) core: Arc<Core>,
    frozen: Option<Arc<AtomicI64>>,
}

impl Engine {
    /// Another handle of an engine.
    pub(super) fn of(core: Arc<Core>) -> Self {
        Self { core, frozen: None }
    }
}

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(
        signature = (path, *, durability=Text("before"), flush_ms=Whole(50), master_key=None, clock=None, max_hops=Whole(8), approval_ttl=None, approval_wait=None, attach=None, accept_restore=None, repair=Flag(false), policy_shadow=None, retention=None),
        text_signature = "(path, *, durability='before', flush_ms=50, master_key=None, clock=None, max_hops=8, approval_ttl=None, approval_wait=None, attach=None, accept_restore=None, repair=False, policy_shadow=None, retention=None)"
    )]
    #[allow(clippy::too_many_arguments)] // Each is one option of the opening.
    fn new(
        py: Python<'_>,
        path: FilePath,
        durability: Text<'_>,
        flush_ms: Whole<1, 10_000>,
        master_key: Option<&Bound<'_, PyAny>>,
        clock: Option<&Bound<'_, PyAny>>,
        max_hops: Whole<1, 64>,
        approval_ttl: Option<&Bound<'_, PyAny>>,
        approval_wait: Option<&Bound<'_, PyAny>>,
        attach: Option<&Bound<'_, PyAny>>,
        accept_restore: Option<Text<'_>>,
        repair: Flag,
        policy_shadow: Option<Whole<1, { MAX_SHADOW as u64 }>>,
        retention: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let durability = durability_of(py, &durability)?;
        let master = match master_key {
            None => MasterSource::File,
            Some(given) => MasterSource::Given(master(py, given)?),
        };
        let frozen = clock.map(|at| standing_at(py, at)).transpose()?;
        let options = Options {
            durability,
            flush: Duration::from_millis(flush_ms.0),
            master,
            clock: frozen.clone().map_or(Source::System, Source::Fixed),
            max_hops: max_hops.get(),
            approval_ttl: above_zero(py, "approval_ttl", approval_ttl)?
                .unwrap_or(Options::default().approval_ttl),
            approval_wait: above_zero(py, "approval_wait", approval_wait)?,
            accept_restore: accept_restore.map(|reason| (reason.to_string(), None)),
            repair: repair.0,
            policy_shadow: policy_shadow.and_then(|every| u32::try_from(every.0).ok()),
            retention: retention.map_or(Ok(Vec::new()), |given| schedule(py, given))?,
            ..Options::default()
        };
        let core = open(py, &path.0, attach, options)?;
        Ok(Self { core, frozen })
    }

    /// The authority's public key, as PASERK text: enough to verify the trail with.
    #[getter]
    fn authority(&self) -> String {
        self.core.authority().paserk()
    }

    /// The store's folder.
    #[getter]
    fn path(&self) -> PathBuf {
        self.core.path().to_path_buf()
    }

    /// The durability mode.
    #[getter]
    fn durability(&self) -> &'static str {
        self.core.durability().word()
    }

    #[getter]
    fn humans(&self) -> Humans {
        Humans(self.core.clone())
    }

    #[getter]
    fn agents(&self) -> Agents {
        Agents(self.core.clone())
    }

    #[getter]
    fn tasks(&self) -> Tasks {
        Tasks(self.core.clone())
    }

    /// The policies: load, read, check, replay.
    #[getter]
    fn policies(&self) -> Policies {
        Policies(self.core.clone())
    }

    #[getter]
    fn trail(&self) -> Trail {
        Trail(self.core.clone())
    }

    /// Copies the live store into a new folder; answers how many records it has.
    fn backup(&self, py: Python<'_>, path: FilePath) -> PyResult<u64> {
        enter(py, || self.core.backup(&path.0))
    }

    /// The vault, without the providers that only Python knows.
    #[getter]
    fn _vault(&self) -> Vault {
        Vault(self.core.clone())
    }

    /// Makes a root grant for a human.
    #[pyo3(
        signature = (human, agent, *, task, scope, ttl, limits=None, max_depth=Whole(0), by=None),
        text_signature = "($self, human, agent, *, task, scope, ttl, limits=None, max_depth=0, by=None)"
    )]
    #[allow(clippy::too_many_arguments)] // The public face's own.
    fn grant(
        &self,
        py: Python<'_>,
        human: &Bound<'_, PyAny>,
        agent: &Bound<'_, PyAny>,
        task: &Bound<'_, PyAny>,
        scope: &Bound<'_, PyAny>,
        ttl: &Bound<'_, PyAny>,
        limits: Option<&Bound<'_, PyAny>>,
        max_depth: Whole<0, 255>,
        by: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Grant> {
        let sentence = text_of(task, "the task's sentence, or the id of an open task")?;
        let task = match sentence.parse::<TaskId>() {
            Ok(id) => TaskChoice::Open(id),
            Err(_) => TaskChoice::New(sentence),
        };
        let new = NewGrant {
            human: human_id(py, &self.core, human)?,
            agent: agent_id(py, &self.core, agent)?,
            task,
            scope: scope_of(scope)?,
            limits: limits.map(limits_of).transpose()?.unwrap_or_default(),
            ttl: convert::duration(ttl).map_err(|why| errors::invalid(py, &why, ""))?,
            further_hops: max_depth.get(),
            by: by_of(py, &self.core, by)?,
        };
        let held = enter(py, || self.core.grant(new))?;
        Ok(Grant { held, engine: self.core.clone() })
    }

    /// Asks a human for a further grant to a grant's holder, for its task.
    #[pyo3(signature = (grant, *, scope, reason, ttl, limits=None))]
    fn request_access(
        &self,
        py: Python<'_>,
        grant: Own<'_, Grant>,
        scope: &Bound<'_, PyAny>,
        reason: Text<'_>,
        ttl: &Bound<'_, PyAny>,
        limits: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Approval> {
        let grant = grant.0.get();
        if !Arc::ptr_eq(&grant.engine, &self.core) {
            return Err(errors::invalid(py, "the grant belongs to another engine", ""));
        }
        let new = NewAccess {
            scope: scope_of(scope)?,
            limits: limits.map(limits_of).transpose()?.unwrap_or_default(),
            reason: reason.to_string(),
            ttl: convert::duration(ttl).map_err(|why| errors::invalid(py, &why, ""))?,
        };
        let held = grant.held.clone();
        let told = enter(py, || self.core.request_access(&held, new))?;
        Ok(Approval::told(told, &self.core))
    }

    /// Verifies a chain's text and takes it up.
    #[pyo3(signature = (token, *, statements=None))]
    fn accept(
        &self,
        py: Python<'_>,
        token: &Bound<'_, PyAny>,
        statements: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Grant> {
        let statements = statements.map(statements_of).transpose()?.unwrap_or_default();
        let token = text_of(token, "a grant's token")?;
        let held = enter(py, || self.core.accept(&token, statements))?;
        Ok(Grant { held, engine: self.core.clone() })
    }

    /// The grant that a handle stands for.
    fn by_handle(&self, py: Python<'_>, handle: &Bound<'_, PyAny>) -> PyResult<Grant> {
        let text = text_of(handle, "a handle")?;
        // The text is not repeated: it may be something else that nobody is to see.
        let handle = text.parse::<Handle>().map_err(|_| {
            errors::invalid(py, "that is no handle", "engine.handle(grant) makes one")
        })?;
        let held = enter(py, || self.core.by_handle(&handle))?;
        Ok(Grant { held, engine: self.core.clone() })
    }

    /// Judges a call without running or recording anything.
    #[pyo3(signature = (tool, *, resource=None, arguments=None, grant=None, own=None))]
    fn check(
        &self,
        py: Python<'_>,
        tool: Text<'_>,
        resource: Option<Text<'_>>,
        arguments: Option<Dict<'_>>,
        grant: Option<Own<'_, Grant>>,
        own: Option<Dict<'_>>,
    ) -> PyResult<Decision> {
        let tool = &*tool;
        let resource = resource.as_deref();
        let mut request = bind_named(tool, resource, arguments.as_ref().map(|dict| &dict.0));
        if let (Ok(request), Some(own)) = (&mut request, own) {
            request.own = Some(Arc::new(attributes(py, &own.0, None)?));
        }
        let decision = match &request {
            Ok(request) => {
                let held = grant.map(|grant| grant.0.get().held.clone());
                py.detach(|| self.core.check_call(held.as_deref(), request))
            }
            Err(reasons) => crate::decision::Decision::deny(reasons.clone()),
        };
        Ok(Decision::new(&decision, tool, None))
    }

    /// Revokes a grant, task, agent or human, and everything below it.
    #[pyo3(signature = (target, *, reason, by=None))]
    fn revoke(
        &self,
        py: Python<'_>,
        target: &Bound<'_, PyAny>,
        reason: Text<'_>,
        by: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Revocation> {
        let reason = &*reason;
        let by = by_of(py, &self.core, by)?;
        let target = endings::target_of(py, &self.core, target)?;
        let revoked = enter(py, || self.core.revoke(&target, reason, by))?;
        Ok(Revocation::new(&self.core, revoked))
    }

    /// Halts everything, or one agent, all of one owner, or the tools that a pattern matches.
    #[pyo3(signature = (*, reason, agent=None, owner=None, tool=None, by=None))]
    fn halt(
        &self,
        py: Python<'_>,
        reason: Text<'_>,
        agent: Option<&Bound<'_, PyAny>>,
        owner: Option<&Bound<'_, PyAny>>,
        tool: Option<Text<'_>>,
        by: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<String> {
        let reason = &*reason;
        let tool = tool.map(|text| text.to_string());
        let target = endings::halted_of(py, &self.core, agent, owner, tool)?;
        let by = by_of(py, &self.core, by)?;
        Ok(enter(py, || self.core.halt(target, reason, by))?.to_string())
    }

    /// Lifts a halt; the targets are those of `halt`.
    #[pyo3(signature = (*, reason=None, agent=None, owner=None, tool=None, by=None))]
    fn unhalt(
        &self,
        py: Python<'_>,
        reason: Option<Text<'_>>,
        agent: Option<&Bound<'_, PyAny>>,
        owner: Option<&Bound<'_, PyAny>>,
        tool: Option<Text<'_>>,
        by: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<String> {
        let reason = reason.as_deref();
        let tool = tool.map(|text| text.to_string());
        let target = endings::halted_of(py, &self.core, agent, owner, tool)?;
        let by = by_of(py, &self.core, by)?;
        Ok(enter(py, || self.core.unhalt(&target, reason, by))?.to_string())
    }

    /// Looks through all agents and grants, and how they were used; reads the whole trail.
    #[pyo3(signature = (*, dormant=None, recent=None))]
    fn review(
        &self,
        py: Python<'_>,
        dormant: Option<&Bound<'_, PyAny>>,
        recent: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Review> {
        let span = |given: Option<&Bound<'_, PyAny>>, usual: i64| match given.map(convert::duration)
        {
            None => Ok(usual),
            Some(Ok(span)) if span > 0 => Ok(span),
            Some(Ok(_)) => Err(errors::invalid(py, "a span of time is above zero", "")),
            Some(Err(why)) => Err(errors::invalid(py, &why, "")),
        };
        let usual = Spans::default();
        let spans =
            Spans { dormant: span(dormant, usual.dormant)?, recent: span(recent, usual.recent)? };
        let inner = enter(py, || self.core.review(spans))?;
        Ok(Review { inner, core: self.core.clone() })
    }

    /// What is counted, in the text that Prometheus reads.
    fn metrics(&self, py: Python<'_>) -> PyResult<String> {
        Ok(watch::exposition(&enter(py, || self.core.metrics())?))
    }

    /// What is counted, as dicts.
    fn samples<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let samples = enter(py, || self.core.metrics())?;
        watch::samples(py, &samples)
    }

    /// The halts in force.
    fn halts(&self, py: Python<'_>) -> PyResult<Vec<Halt>> {
        enter(py, || Ok(self.core.here()?))?;
        Ok(self.core.halts().into_iter().map(Halt).collect())
    }

    /// The authority's key that signs now, as PASERK text; `authority` until it is rotated.
    #[getter]
    fn signing_key(&self, py: Python<'_>) -> PyResult<String> {
        enter(py, || Ok(self.core.here()?))?;
        Ok(self.core.signing_key().paserk())
    }

    /// Gives the authority another key, named by the present one; answers the entry's id.
    #[pyo3(signature = (*, reason, overlap=None, by=None))]
    fn rotate_authority(
        &self,
        py: Python<'_>,
        reason: Text<'_>,
        overlap: Option<&Bound<'_, PyAny>>,
        by: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<String> {
        let reason = &*reason;
        let overlap = overlap.map(convert::duration).transpose();
        let overlap = overlap.map_err(|why| errors::invalid(py, &why, ""))?;
        let by = by_of(py, &self.core, by)?;
        Ok(enter(py, || self.core.rotate_authority(overlap, reason, by))?.to_string())
    }

    /// Gives the trail another checkpoint key; answers the entry's id.
    #[pyo3(signature = (*, reason, by=None))]
    fn rotate_checkpoint_key(
        &self,
        py: Python<'_>,
        reason: Text<'_>,
        by: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<String> {
        let reason = &*reason;
        let by = by_of(py, &self.core, by)?;
        Ok(enter(py, || self.core.rotate_checkpoint_key(reason, by))?.to_string())
    }

    /// Sets the time of an engine that was opened with a fixed clock.
    fn set_clock(&self, py: Python<'_>, at: &Bound<'_, PyAny>) -> PyResult<()> {
        let Some(frozen) = &self.frozen else {
            let hint = "open the engine with clock=, in tests";
            return Err(errors::invalid(py, "this engine goes by the machine's clock", hint));
        };
        let at = convert::moment(at, frozen.load(Ordering::Acquire));
        frozen.store(at.map_err(|why| errors::invalid(py, &why, ""))?, Ordering::Release);
        Ok(())
    }

    /// Writes all that was appended and lets the store go. Closing twice is no error.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        enter(py, || self.core.close())
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        _kind: &Bound<'_, PyAny>,
        _error: &Bound<'_, PyAny>,
        _trace: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.close(py)
    }

    fn __repr__(&self) -> String {
        format!("{:?}", self.core)
    }

    fn __reduce__(&self, py: Python<'_>) -> PyResult<()> {
        Err(errors::invalid(py, "an engine cannot be pickled", "open the store where it is used"))
    }
}

/// What each hop stated: a list of texts, `None` where it is not known.
fn statements_of(given: &Bound<'_, PyAny>) -> PyResult<Vec<Option<String>>> {
    const WHAT: &str = "a list of statements, each text or None";
    convert::gone_through(given, MAX_STATEMENTS, WHAT)?
        .into_iter()
        .map(|item| if item.is_none() { Ok(None) } else { text_of(&item, WHAT).map(Some) })
        .collect()
}

pub(super) fn by_of(
    py: Python<'_>,
    core: &Core,
    by: Option<&Bound<'_, PyAny>>,
) -> PyResult<Option<HumanId>> {
    by.map(|by| human_id(py, core, by)).transpose()
}
