//! What somebody should look at in policies, and in the scopes beside them.

use std::collections::{BTreeMap, BTreeSet};

use super::compile::{compile, host, texts_of, uid};
use super::folder::Folder;
use super::load::Loaded;
use crate::canonical::Value;
use crate::engine::{Engine, EngineError, Severity};
use crate::policy::{Effect, Lint, Weight, lint};
use crate::principal::Status;
use crate::registry::InForce;
use crate::request::ToolDeclaration;
use crate::scope::Scope;
use crate::trail::entry::kind;

/// How many grants are opened to see what they leave open.
const MAX_GRANTS: usize = 10_000;

/// Something that somebody should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFinding {
    /// The stable slug.
    pub code: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// The file, or what else it is about.
    pub source: String,
    /// The line, from 1; 0 where it has no place in a file.
    pub line: usize,
    /// The id of the policy, where it is about one.
    pub policy: Option<String>,
    /// What it is.
    pub message: String,
    /// What would settle it.
    pub fix: String,
}

impl Loaded {
    /// Compiles a folder without an engine, held to these tools.
    ///
    /// # Errors
    /// `Policy` with every fault.
    pub fn read(folder: Folder, tools: Vec<ToolDeclaration>) -> Result<Self, EngineError> {
        let texts = texts_of(folder, tools);
        let (rules, groups) = compile(&texts, None, None).map_err(EngineError::Policy)?;
        let policies = InForce { rules: rules.into(), texts, groups, host: host(), since: 0 };
        Ok(Self { policies: policies.into(), entry: None })
    }

    /// Looks through the policies.
    #[must_use]
    pub fn findings(&self) -> Vec<PolicyFinding> {
        let rules = &self.policies.rules;
        let mut found: Vec<PolicyFinding> =
            lint(&rules.set).into_iter().map(|lint| self.told(lint)).collect();
        found.extend(self.unknown_groups());
        for (tool, why) in rules.unfit() {
            found.push(PolicyFinding {
                code: "unfit_tool",
                severity: Severity::High,
                source: tool.to_string(),
                line: 0,
                policy: None,
                message: format!(
                    "the policies do not fit `{tool}`, and its calls are denied: {why}"
                ),
                fix: "correct the policies, or the tool, and load again".to_owned(),
            });
        }
        found.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        found
    }

    fn told(&self, lint: Lint) -> PolicyFinding {
        let policy = lint.policy.and_then(|policy| self.policies.rules.set.policy(policy));
        PolicyFinding {
            code: lint.code,
            severity: match lint.weight {
                Weight::Info => Severity::Info,
                Weight::Low => Severity::Low,
                Weight::Medium => Severity::Medium,
                Weight::High => Severity::High,
            },
            source: policy.map(|policy| policy.source.clone()).unwrap_or_default(),
            line: policy.map_or(0, |policy| policy.line),
            policy: policy.map(|policy| policy.id.to_string()),
            message: lint.message,
            fix: lint.fix,
        }
    }

    /// Groups that a policy names and no entity file has: nobody is in them.
    fn unknown_groups(&self) -> Vec<PolicyFinding> {
        let mut known = BTreeSet::new();
        for (_, text) in &self.policies.texts.entities {
            let Ok(serde_json::Value::Array(entities)) = serde_json::from_str(text) else {
                continue;
            };
            for entity in &entities {
                let parents = entity.get("parents").and_then(serde_json::Value::as_array);
                let own = uid(entity.get("uid")).into_iter();
                for (kind, id) in
                    own.chain(parents.into_iter().flatten().filter_map(|p| uid(Some(p))))
                {
                    if kind == "Group" {
                        known.insert(id.to_owned());
                    }
                }
            }
        }
        let mut found = Vec::new();
        for policy in self.policies.rules.set.policies() {
            for group in named_groups(&policy.text) {
                if known.contains(&group) {
                    continue;
                }
                let forbids = policy.effect == Effect::Forbid;
                found.push(PolicyFinding {
                    code: "unknown_group",
                    severity: if forbids { Severity::High } else { Severity::Medium },
                    source: policy.source.clone(),
                    line: policy.line,
                    policy: Some(policy.id.to_string()),
                    message: format!(
                        "`{}` names Group::\"{group}\", which no entity file has: nobody is in it",
                        policy.id
                    ),
                    fix: "give it members in entities.json, or correct the name".to_owned(),
                });
            }
        }
        found
    }
}

/// The groups that a policy's text names.
fn named_groups(text: &str) -> BTreeSet<String> {
    let mut groups = BTreeSet::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("Group::\"") {
        rest = after;
        if let Some((name, _)) = after.split_once('"') {
            groups.insert(name.to_owned());
        }
    }
    groups
}

impl Engine {
    /// Dangerous tools that agents may be granted, or were, with any arguments.
    ///
    /// # Errors
    /// The store's, or `Block` for a damaged one.
    pub fn scope_findings(&self, loaded: &Loaded) -> Result<Vec<PolicyFinding>, EngineError> {
        let tools = loaded.policies.texts.tools.iter();
        let dangerous: Vec<&ToolDeclaration> =
            tools.filter(|tool| tool.dangerous && !tool.arguments.is_empty()).collect();
        if dangerous.is_empty() {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for agent in self.state.read().agents() {
            if agent.status == Status::Retired {
                continue;
            }
            for tool in open(&agent.ceiling, &dangerous) {
                found.push(PolicyFinding {
                    code: "dangerous_in_ceiling",
                    severity: Severity::Info,
                    source: format!("agent {}", agent.name),
                    line: 0,
                    policy: None,
                    message: format!(
                        "`{}` may be granted the dangerous tool `{tool}` with any arguments",
                        agent.name
                    ),
                    fix: "issue it with a ceiling that has where={…} on the tool".to_owned(),
                });
            }
        }
        let now = self.clock.stamp();
        let mut standing = Vec::new();
        self.each_leaf(&mut |leaf| {
            let until = leaf.fields.get("until");
            if leaf.kind() == kind::GRANT
                && matches!(until, Some(Value::Datetime(until)) if *until > now)
                && let Some(digest) = leaf.fields.get("digest").and_then(Value::as_bytes)
                && let Ok(digest) = <[u8; 32]>::try_from(digest)
            {
                standing.push((leaf.text("grant").to_owned(), digest));
            }
            Ok(standing.len() < MAX_GRANTS)
        })?;
        let mut by_tool: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (id, digest) in standing {
            if self.state.read().is_revoked(&digest) {
                continue;
            }
            let Some(chain) = self.chain_of(&digest)? else { continue };
            for tool in open(&chain.leaf().payload.scope, &dangerous) {
                by_tool.entry(tool).or_default().push(id.clone());
            }
        }
        for (tool, grants) in by_tool {
            let first = grants.first().cloned().unwrap_or_default();
            let count = grants.len();
            found.push(PolicyFinding {
                code: "dangerous_in_grant",
                severity: Severity::Medium,
                source: format!("grant {first}"),
                line: 0,
                policy: None,
                message: format!(
                    "the dangerous tool `{tool}` is granted with any arguments in {count} grants that \
                     stand, {first} among them"
                ),
                fix: "grant it with where={…}, or forbid by policy what must not be".to_owned(),
            });
        }
        Ok(found)
    }
}

/// The dangerous tools that a scope reaches with any arguments.
fn open(scope: &Scope, dangerous: &[&ToolDeclaration]) -> Vec<String> {
    let open = scope.capabilities().iter().filter(|capability| capability.where_().is_none());
    let patterns: Vec<_> = open.map(|capability| capability.tool()).collect();
    let reached = |tool: &&&ToolDeclaration| patterns.iter().any(|p| p.matches(&tool.name));
    dangerous.iter().filter(reached).map(|tool| tool.name.to_string()).collect()
}
