//! Loading: all or nothing, kept by version, in force at once for all callers and for good.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::compile::{compile, host, texts_of};
use super::folder::Folder;
use crate::authorizer::{Fit, Governed, Rules, Standing};
use crate::decision::{Reason, code};
use crate::engine::{Engine, EngineError};
use crate::keys::KeyRing;
use crate::policy::{LoadFault, PolicySet};
use crate::principal::{EntryId, HumanId};
use crate::registry::{
    InForce, Policies, Put, Texts, Turn, current_policies, declared_tools, keep_texts, keep_tool,
    read_texts,
};
use crate::request::{DeclaredTool, ToolDeclaration, ToolName};
use crate::store::{Batch, MAX_BATCH_BYTES, Store};

/// Policies that were compiled, in force or not.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The policies with their texts.
    pub policies: Arc<InForce>,
    /// The entry that put them in force, if that was now.
    pub entry: Option<EntryId>,
}

impl Engine {
    /// Loads a folder of policies, all or nothing: kept, then in force for every call that is judged
    /// from then on. What they do not permit is denied.
    ///
    /// # Errors
    /// `Policy` with every fault; nothing has changed then. `Invalid` for a folder that cannot be
    /// read, and the store's.
    pub fn load_policies(&self, path: &Path, by: Option<HumanId>) -> Result<Loaded, EngineError> {
        self.check()?;
        let by = self.who(by)?;
        let folder = Folder::read(path)?;
        let _turn = self.loading.lock();
        let texts = texts_of(folder, self.declared());
        let (policies, entry) = self.put_in_force(texts, Turn::Loaded, by)?;
        Ok(Loaded { policies, entry: Some(entry) })
    }

    /// Compiles a folder of policies without putting them in force.
    ///
    /// # Errors
    /// As [`Engine::load_policies`].
    pub fn read_policies(&self, path: &Path) -> Result<Loaded, EngineError> {
        self.check()?;
        let texts = texts_of(Folder::read(path)?, self.declared());
        self.compiled(texts, None)
    }

    /// The policies of a version: those in force without one, or some that were loaded before.
    ///
    /// # Errors
    /// `NotFound` for a version that was never loaded; `Policy` or `Key` if it cannot be read.
    pub fn policies_of(&self, version: Option<&str>) -> Result<Loaded, EngineError> {
        self.check()?;
        let current = self.state.read().policies().clone();
        let version = match (&current, version) {
            (Policies::InForce(now), None) => {
                return Ok(Loaded { policies: now.clone(), entry: None });
            }
            (Policies::InForce(now), Some(version)) if *now.rules.version == *version => {
                return Ok(Loaded { policies: now.clone(), entry: None });
            }
            (Policies::Never, None) => {
                return Err(EngineError::Invalid(
                    "no policies were ever loaded; load some with engine.policies.load, or `answerable policy load`".to_owned(),
                ));
            }
            (Policies::Unreadable { why, .. }, None) => {
                return Err(EngineError::Invalid(format!(
                    "the policies in force cannot be read: {why}; load them again"
                )));
            }
            (_, Some(version)) => version.to_owned(),
        };
        let kept = read_texts(&*self.store, self.ring.policies(), &version)?;
        let texts =
            kept.ok_or_else(|| crate::engine::verbs::not_found("policy version", &version))?;
        self.compiled(texts, Some(&version))
    }

    /// Takes note of what tools declare: policies are held to it from then on.
    ///
    /// # Errors
    /// The store's.
    pub fn declare(&self, tools: &[Arc<DeclaredTool>]) -> Result<(), EngineError> {
        self.check()?;
        let mut batch = Batch::default();
        {
            let mut declared = self.declared.write();
            for tool in tools {
                let name = &tool.declaration.name;
                // Names stand in the store as they are, and its calls are denied.
                if self.secret_in_name(name.as_str()).is_some() {
                    continue;
                }
                let known = declared.get(name).map(|known| known.fingerprint);
                if known == Some(tool.fingerprint) {
                    continue;
                }
                if let Put::Set(key, value) = keep_tool(self.ring.policies(), &tool.declaration)? {
                    batch.put(key, value);
                }
                declared.insert(name.clone(), tool.clone());
            }
        }
        // Where another process holds the store, the tools are those that run there.
        if batch.is_empty() || self.store.remote().is_some() {
            return Ok(());
        }
        Ok(self.recorder.commit(batch)?)
    }

    /// What the tools that this engine has seen declare.
    fn declared(&self) -> Vec<ToolDeclaration> {
        self.declared.read().values().map(|tool| tool.declaration.clone()).collect()
    }

    fn compiled(&self, texts: Texts, version: Option<&str>) -> Result<Loaded, EngineError> {
        let before = self.set_in_force();
        let (rules, groups) =
            compile(&texts, before.as_ref(), version).map_err(EngineError::Policy)?;
        let since = self.clock.stamp();
        let policies = InForce { rules: Arc::new(rules), texts, groups, host: host(), since };
        Ok(Loaded { policies: Arc::new(policies), entry: None })
    }

    fn set_in_force(&self) -> Option<PolicySet> {
        match self.state.read().policies() {
            Policies::InForce(now) => Some(now.rules.set.clone()),
            Policies::Never | Policies::Unreadable { .. } => None,
        }
    }

    /// Compiles and keeps texts, then swaps them in under the sequencing lock.
    fn put_in_force(
        &self,
        texts: Texts,
        turn: Turn,
        by: HumanId,
    ) -> Result<(Arc<InForce>, EntryId), EngineError> {
        let before = self.set_in_force();
        let (rules, groups) =
            compile(&texts, before.as_ref(), None).map_err(EngineError::Policy)?;
        let puts = keep_texts(&*self.store, self.ring.policies(), &rules.version, &texts)?;
        self.commit_all(puts)?;
        let rules = Arc::new(rules);
        self.transition(move |state, moment, _| {
            let now = InForce { rules, texts, groups, host: host(), since: moment.at };
            let now = Arc::new(now);
            let change = state.govern(now.clone(), turn, by)?;
            Ok(((now, change.draft.id), vec![change]))
        })
    }

    /// Writes records in as many batches as they need; they mean nothing until an entry names them.
    fn commit_all(&self, puts: Vec<Put>) -> Result<(), EngineError> {
        let mut batch = Batch::default();
        for put in puts {
            if let Put::Set(key, value) = put {
                if batch.bytes() + key.len() + value.len() > MAX_BATCH_BYTES / 2 {
                    self.recorder.commit(std::mem::take(&mut batch))?;
                }
                batch.put(key, value);
            }
        }
        if batch.is_empty() { Ok(()) } else { Ok(self.recorder.commit(batch)?) }
    }

    /// Whether the policies in force were held to a tool.
    ///
    /// # Errors
    /// What the tool declares, where they were not; `None` where they do not fit it.
    pub(in crate::engine) fn held_to(
        &self,
        standing: &Standing,
        tool: &ToolName,
        declared: Option<&Arc<DeclaredTool>>,
    ) -> Result<(), Option<Arc<DeclaredTool>>> {
        let Governed::By(governing) = standing.governed() else { return Ok(()) };
        let rules = &governing.rules;
        let looked_up = match declared {
            Some(_) => None,
            None if rules.holds(tool) => return Ok(()),
            None => self.declared.read().get(tool).cloned(),
        };
        // A tool that nobody declared is judged by its arguments' own kinds.
        let Some(declared) = declared.or(looked_up.as_ref()) else { return Ok(()) };
        match rules.fit(tool, &declared.fingerprint) {
            Fit::Held => Ok(()),
            Fit::Unfit(_) => Err(None),
            Fit::Unknown => Err(Some(declared.clone())),
        }
    }

    /// Holds the policies in force to a tool that is new to them, and to all others that have been
    /// declared since. Where they do not fit the tool, its calls are denied; others go on.
    pub(in crate::engine) fn hold_to(&self, tool: &Arc<DeclaredTool>) {
        let _turn = self.loading.lock();
        let Policies::InForce(now) = self.state.read().policies().clone() else { return };
        let name = &tool.declaration.name;
        if now.rules.fit(name, &tool.fingerprint) != Fit::Unknown {
            return; // Another call was first.
        }
        if let Err(error) = self.extend(&now, tool) {
            tracing::error!(%error, tool = %name, "policies could not be held to a tool; its calls are denied");
        }
    }

    fn extend(&self, now: &InForce, tool: &Arc<DeclaredTool>) -> Result<(), EngineError> {
        let by = self.operator()?;
        let with = |more: &[ToolDeclaration]| {
            let mut tools: HashMap<ToolName, ToolDeclaration> =
                now.texts.tools.iter().map(|tool| (tool.name.clone(), tool.clone())).collect();
            tools.extend(more.iter().map(|tool| (tool.name.clone(), tool.clone())));
            let mut tools: Vec<ToolDeclaration> = tools.into_values().collect();
            tools.sort_by(|a, b| a.name.cmp(&b.name));
            Texts { tools, ..now.texts.clone() }
        };
        let alone = std::slice::from_ref(&tool.declaration);
        let mut all = self.declared();
        all.retain(|other| other.name != tool.declaration.name);
        all.push(tool.declaration.clone());
        match self.put_in_force(with(&all), Turn::Extended, by) {
            Ok(_) => return Ok(()),
            Err(EngineError::Policy(_)) => {}
            Err(other) => return Err(other),
        }
        match self.put_in_force(with(alone), Turn::Extended, by) {
            Ok(_) => Ok(()),
            Err(EngineError::Policy(faults)) => {
                let why = faults.first().map(ToString::to_string).unwrap_or_default();
                let name = tool.declaration.name.clone();
                let digest = tool.fingerprint;
                self.transition(move |state, _, _| {
                    Ok(((), state.unfit(name, digest, why, by)?.into_iter().collect()))
                })
            }
            Err(other) => Err(other),
        }
    }

    /// The reason for the calls of a tool that the policies do not fit.
    pub(in crate::engine) fn unfit_reason(&self, tool: &ToolName) -> Reason {
        let policies = self.state.read().policies().clone();
        let why = match &policies {
            Policies::InForce(now) => {
                now.rules.unfit().find(|(name, _)| *name == tool).map(|(_, why)| why.to_owned())
            }
            Policies::Never | Policies::Unreadable { .. } => None,
        };
        let why = why.unwrap_or_else(|| "they could not be held to what it declares".to_owned());
        let text = format!("the policies in force do not fit this tool: {why}");
        Reason::new(code::POLICY_ERROR, text)
            .fix("correct the policies, or the tool, and load again")
    }
}

/// What policies the store has kept. Whatever is wrong with them denies everything.
pub(in crate::engine) fn restore(store: &dyn Store, ring: &KeyRing) -> Policies {
    let unreadable = |version: &str, why: String| {
        tracing::error!(version, why, "the policies in force cannot be read; everything is denied");
        Policies::Unreadable { version: version.into(), why: why.into() }
    };
    let (version, since) = match current_policies(store) {
        Ok(None) => return Policies::Never,
        Ok(Some(current)) => current,
        Err(error) => return unreadable("unknown", error.to_string()),
    };
    let texts = match read_texts(store, ring.policies(), &version) {
        Ok(Some(texts)) => texts,
        Ok(None) => return unreadable(&version, "their text is not in the store".to_owned()),
        Err(error) => return unreadable(&version, error.to_string()),
    };
    match compile(&texts, None, Some(&version)) {
        Ok((rules, groups)) => {
            let rules: Arc<Rules> = Arc::new(rules);
            Policies::InForce(Arc::new(InForce { rules, texts, groups, host: host(), since }))
        }
        Err(faults) => {
            let why = faults.first().map(LoadFault::to_string).unwrap_or_default();
            unreadable(&version, why)
        }
    }
}

/// What the tools declared that the store has seen.
pub(in crate::engine) fn restore_tools(
    store: &dyn Store,
    ring: &KeyRing,
) -> Result<HashMap<ToolName, Arc<DeclaredTool>>, EngineError> {
    let all = declared_tools(store, ring.policies())?.into_values();
    Ok(all.map(|tool| (tool.name.clone(), Arc::new(DeclaredTool::new(tool)))).collect())
}
