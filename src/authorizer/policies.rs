//! Policies in a judgement: what they say of one request, in effect, words and ids.
//!
//! A forbid that holds denies; one that errs denies too, because nobody knows what it would have
//! said. A permit that errs permits nothing. A permit with `@advice("ask")` asks, whatever other
//! permits hold beside it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::canonical::{Digest, digest};
use crate::decision::{Reason, code};
use crate::policy::{
    Call, Cause, Change, Effect, Explanation, Policies, PolicyError, PolicyRef, PolicySet, Subject,
    Verdict,
};
use crate::request::{Request, ToolName, shorten};

/// How many policies a decision names of each kind.
const MAX_NAMED: usize = 64;

/// Above how many policies a denial is not searched for the smallest change that would help: it
/// takes as long as a hundred denials, and whoever is denied can ask again and again.
const MAX_EXPLAINED: usize = 2_000;

/// What policies are in force, prepared once for all calls.
#[derive(Debug)]
pub struct Rules {
    /// The compiled policies.
    pub set: PolicySet,
    /// Their version, as entries name it: of their texts and of the tools they were held to.
    pub version: Arc<str>,
    /// The digest of their texts alone.
    pub texts: Digest,
    /// What each asks for beside its effect, in the order of the set.
    marks: Vec<Mark>,
    /// Whether any of them masks an argument.
    any_masks: bool,
    /// The tools that they were held to, by what each declared.
    tools: HashMap<ToolName, Digest>,
    /// The tools that they do not fit, by what each declared, and why.
    unfit: HashMap<ToolName, (Digest, String)>,
    /// Whether they were found to be answered wrongly: nothing is allowed under them.
    distrusted: bool,
}

/// What a policy's annotations ask for.
#[derive(Debug, Clone)]
struct Mark {
    id: Arc<str>,
    asks: bool,
    masks: Box<[Box<str>]>,
}

impl Rules {
    /// Prepares a set that was compiled from texts of this digest, held to these tools.
    #[must_use]
    pub fn new(
        set: PolicySet,
        version: Arc<str>,
        texts: Digest,
        tools: HashMap<ToolName, Digest>,
    ) -> Self {
        let marks = set.policies().iter().map(|policy| Mark {
            id: policy.id.as_ref().into(),
            asks: policy.effect == Effect::Permit && policy.annotation("advice") == Some("ask"),
            masks: masks(policy.annotation("mask")),
        });
        let marks: Vec<Mark> = marks.collect();
        let any_masks = marks.iter().any(|mark| !mark.masks.is_empty());
        let unfit = HashMap::new();
        Self { marks, any_masks, set, version, texts, tools, unfit, distrusted: false }
    }

    /// The same, with a tool that they do not fit: its calls are denied.
    #[must_use]
    pub fn without(&self, tool: ToolName, declared: Digest, why: String) -> Self {
        let mut again = self.again();
        again.unfit.insert(tool, (declared, why));
        again
    }

    /// The same, under which nothing is allowed: the compiled form was seen to differ from Cedar's
    /// own evaluator.
    #[must_use]
    pub fn without_trust(&self) -> Self {
        Self { distrusted: true, ..self.again() }
    }

    fn again(&self) -> Self {
        Self {
            set: self.set.clone(),
            version: self.version.clone(),
            texts: self.texts,
            marks: self.marks.clone(),
            any_masks: self.any_masks,
            tools: self.tools.clone(),
            unfit: self.unfit.clone(),
            distrusted: self.distrusted,
        }
    }

    /// Why nothing is allowed under them; `None` if nothing speaks against it.
    #[must_use]
    pub fn against(&self) -> Option<Reason> {
        self.distrusted.then(answered_wrongly)
    }

    /// The digest of what decides the calls of a tool here: the texts, and what the tool declared.
    /// Other tools come and go without it.
    #[must_use]
    pub fn basis(&self, tool: &ToolName) -> Digest {
        let declared = self.tools.get(tool).map(Digest::as_slice).unwrap_or_default();
        let unfit = self.unfit.get(tool).map(|(declared, _)| declared.as_slice());
        let parts: [&[u8]; 4] =
            [&self.texts, tool.as_str().as_bytes(), declared, unfit.unwrap_or_default()];
        digest("answerable/v1/policy-basis", &parts)
    }

    /// Whether the policies were held to a tool as it is declared.
    #[must_use]
    pub fn fit(&self, tool: &ToolName, declared: &Digest) -> Fit<'_> {
        match self.unfit.get(tool) {
            Some((digest, why)) if digest == declared => Fit::Unfit(why),
            _ if self.tools.get(tool) == Some(declared) => Fit::Held,
            _ => Fit::Unknown,
        }
    }

    /// The tools that the policies do not fit, and why.
    pub fn unfit(&self) -> impl Iterator<Item = (&ToolName, &str)> {
        self.unfit.iter().map(|(tool, (_, why))| (tool, why.as_str()))
    }

    /// Whether the policies were held to a tool of this name.
    #[must_use]
    pub fn holds(&self, tool: &ToolName) -> bool {
        self.tools.contains_key(tool)
    }

    /// The names of all arguments that any policy masks.
    pub fn all_masks(&self) -> impl Iterator<Item = &str> {
        self.marks.iter().flat_map(|mark| mark.masks.iter().map(|name| &**name))
    }

    fn mark(&self, policy: PolicyRef) -> Option<&Mark> {
        self.marks.get(policy.place())
    }
}

/// Whether policies were held to a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit<'a> {
    /// They were, and speak of it rightly.
    Held,
    /// They were, and do not fit it; why.
    Unfit(&'a str),
    /// They never were.
    Unknown,
}

/// The names in `@mask("a, b")`.
pub(crate) fn masks(annotation: Option<&str>) -> Box<[Box<str>]> {
    let names = annotation.into_iter().flat_map(|text| text.split(','));
    names.map(str::trim).filter(|name| !name.is_empty()).map(Into::into).collect()
}

/// What governs the calls under a chain beside its scopes.
#[derive(Debug, Clone)]
pub enum Governed {
    /// No policies were ever loaded: the scopes alone decide.
    Free,
    /// These policies.
    By(Arc<Governing>),
    /// Policies that cannot be read any more: nothing is allowed. Their version, and what is wrong.
    Unreadable(Arc<str>, Arc<str>),
}

/// Policies, bound to what one chain says of itself.
#[derive(Debug)]
pub struct Governing {
    /// The policies.
    pub rules: Arc<Rules>,
    /// They and the chain.
    pub subject: Subject,
    /// The machine's name.
    pub host: Arc<str>,
}

impl PartialEq for Governed {
    /// Whether the same policies govern: what a chain says of itself follows from the chain.
    fn eq(&self, other: &Self) -> bool {
        self.version() == other.version()
    }
}

impl Governed {
    /// The policies' version, if any were ever loaded.
    #[must_use]
    pub fn version(&self) -> Option<&Arc<str>> {
        match self {
            Self::Free => None,
            Self::By(governing) => Some(&governing.rules.version),
            Self::Unreadable(version, _) => Some(version),
        }
    }
}

/// What policies say of one request.
#[derive(Debug)]
pub struct Say<'a> {
    governing: &'a Governing,
    request: &'a Request,
    now: i64,
    approved: bool,
    verdict: Verdict,
}

impl Governing {
    /// Asks the policies; `approved` says whether a human's yes to this very request stands.
    #[must_use]
    pub fn say<'a>(&'a self, request: &'a Request, now: i64, approved: bool) -> Say<'a> {
        let verdict = self.subject.judge(&self.call(request, now, approved));
        Say { governing: self, request, now, approved, verdict }
    }

    /// A request as the policies see it.
    #[must_use]
    pub fn call<'a>(&'a self, request: &'a Request, now: i64, approved: bool) -> Call<'a> {
        Call {
            tool: &request.tool,
            resource: request.resource.as_ref(),
            arguments: &request.arguments,
            now,
            host: &self.host,
            own: request.own.as_deref(),
            approved,
        }
    }
}

/// A change in words that a caller can act on; `None` for one of what is masked.
fn told_change(change: &Change, masked: &dyn Fn(&str) -> bool) -> Option<String> {
    let to = shorten(&change.to, 200);
    match change.path.strip_prefix("context.arguments.") {
        // What a policy compares a secret with may be the secret.
        Some(argument) if masked(argument) => None,
        Some(argument) => Some(format!("give `{argument}`: {to}")),
        None if change.path == "context.arguments" => None,
        None => Some(format!("`{}` would have to be {to}", change.path)),
    }
}

/// The reason where the compiled policies and Cedar's own evaluator were seen to differ.
#[must_use]
pub fn answered_wrongly() -> Reason {
    let text = "the policies were found to be answered wrongly: the compiled form and Cedar's own evaluator differ, so nothing is allowed under them";
    let fix = "load other policies; the review names those that the two differ on";
    Reason::new(code::POLICY_ERROR, text).fix(fix)
}

/// The reason where policies that were loaded cannot be asked.
#[must_use]
pub fn unreadable(why: &str) -> Reason {
    let text = format!("the policies in force cannot be asked: {why}");
    Reason::new(code::POLICY_ERROR, text)
        .fix("load the policies again with engine.policies.load, or `answerable policy load`")
}

impl Say<'_> {
    /// What they say, whole.
    #[must_use]
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// The names of the arguments that policies have masked whose scope admits the call: whatever
    /// their conditions say of it, or cannot say.
    pub fn masks(&self) -> impl Iterator<Item = &str> {
        let rules = &self.governing.rules;
        let concerning = rules.any_masks.then(|| {
            let call = self.governing.call(self.request, self.now, self.approved);
            self.governing.subject.concerning(&call)
        });
        let places: Vec<PolicyRef> = concerning.iter().flat_map(Policies::iter).collect();
        let marks = places.into_iter().filter_map(|policy| rules.mark(policy));
        marks.flat_map(|mark| mark.masks.iter().map(|name| &**name))
    }

    /// The ids of the policies that decided: the forbids that hold, else the permits that do; none
    /// where one that could not be evaluated denies.
    #[must_use]
    pub fn deciding(&self) -> Vec<Arc<str>> {
        match self.verdict.effect() {
            Effect::Permit if self.failed_asks().next().is_some() => Vec::new(),
            Effect::Permit => self.ids(self.verdict.permits.iter()),
            Effect::Forbid => self.ids(self.verdict.forbids.iter()),
        }
    }

    /// The ids of the policies that could not be evaluated.
    #[must_use]
    pub fn erring(&self) -> Vec<Arc<str>> {
        self.ids(self.verdict.errors.iter().map(|error| error.policy))
    }

    fn ids(&self, policies: impl Iterator<Item = PolicyRef>) -> Vec<Arc<str>> {
        let marks = policies.filter_map(|policy| self.governing.rules.mark(policy));
        marks.take(MAX_NAMED).map(|mark| mark.id.clone()).collect()
    }

    fn errors(&self, effect: Effect) -> impl Iterator<Item = &PolicyError> {
        self.verdict.errors.iter().filter(move |error| error.effect == effect)
    }

    /// The policies that would have a human asked and could not be evaluated. Another permit may
    /// allow the call, but whether a human has to be asked about it cannot be told: so it is denied.
    fn failed_asks(&self) -> impl Iterator<Item = &PolicyError> {
        let asks = |policy| self.governing.rules.mark(policy).is_some_and(|mark| mark.asks);
        self.errors(Effect::Permit).filter(move |error| asks(error.policy))
    }

    /// Why a human must be asked, if nothing else speaks against the call.
    #[must_use]
    pub fn asks(&self) -> Option<Reason> {
        let rules = &self.governing.rules;
        let asking =
            self.verdict.permits.iter().find(|p| rules.mark(*p).is_some_and(|mark| mark.asks))?;
        let policy = rules.set.policy(asking)?;
        let told = policy.annotation("reason").map(|reason| shorten(reason, 400));
        let text = told.unwrap_or_else(|| "a human must approve this call first".to_owned());
        let text = format!("{text} (policy `{}`)", policy.id);
        Some(Reason::new(code::APPROVAL_REQUIRED, text))
    }

    /// What speaks against the call, what decides first.
    #[must_use]
    pub fn reasons(&self, masked: &dyn Fn(&str) -> bool) -> Vec<Reason> {
        let mut reasons = Vec::new();
        let set = &self.governing.rules.set;
        if self.verdict.effect() == Effect::Permit {
            reasons.extend(self.failed_asks().map(|error| self.error_reason(error)));
            reasons.truncate(MAX_NAMED);
            return reasons;
        }
        let changes = self.changes(masked);
        for policy in self.verdict.forbids.iter().filter_map(|policy| set.policy(policy)) {
            let text = match policy.annotation("reason") {
                Some(reason) => format!("{} (policy `{}`)", shorten(reason, 400), policy.id),
                None => format!("the policy `{}` forbids it", policy.id),
            };
            let usual = "ask whoever keeps the policies; no grant and no approval lifts a forbid";
            let fix = changes.clone().unwrap_or_else(|| usual.to_owned());
            reasons.push(Reason::new(code::FORBIDDEN, text).fix(fix));
        }
        reasons.extend(self.errors(Effect::Forbid).map(|error| self.error_reason(error)));
        if self.verdict.permits.is_empty() {
            reasons.push(self.not_permitted(changes));
            reasons.extend(self.errors(Effect::Permit).map(|error| self.error_reason(error)));
        }
        reasons.truncate(MAX_NAMED);
        reasons
    }

    fn not_permitted(&self, changes: Option<String>) -> Reason {
        let usual = "ask whoever keeps the policies for a permit";
        Reason::new(code::NOT_PERMITTED, "no policy permits it")
            .fix(changes.unwrap_or_else(|| usual.to_owned()))
    }

    /// Why the verdict is what it is: slow, for denials and explanations.
    #[must_use]
    pub fn explanation(&self) -> Explanation {
        let call = self.governing.call(self.request, self.now, self.approved);
        self.governing.subject.explain(&call)
    }

    /// The smallest changes that would have allowed the call, in words; `None` where none is known,
    /// and where they would tell of what is masked.
    fn changes(&self, masked: &dyn Fn(&str) -> bool) -> Option<String> {
        if self.governing.rules.set.policies().len() > MAX_EXPLAINED {
            return None;
        }
        let changes = self.explanation().changes;
        let all: Option<Vec<String>> =
            changes.iter().take(4).map(|change| told_change(change, masked)).collect();
        all.filter(|all| !all.is_empty()).map(|all| all.join(" and "))
    }

    /// A policy that could not be evaluated. What the evaluator says of it may hold values.
    fn error_reason(&self, error: &PolicyError) -> Reason {
        let policy = self.governing.rules.set.policy(error.policy);
        let id = policy.map_or("unknown", |policy| &policy.id);
        let asks = self.governing.rules.mark(error.policy).is_some_and(|mark| mark.asks);
        let so = match error.effect {
            Effect::Permit if asks => "so whether a human has to be asked cannot be told",
            Effect::Permit => "so it permits nothing",
            Effect::Forbid => "and a forbid that cannot be evaluated forbids",
        };
        let (why, fix) = match &error.cause {
            Cause::Unfit(name, why) => (
                match name {
                    Some(name) => format!("the argument `{}` {why}", shorten(name, 100)),
                    None => format!("an argument {why}"),
                },
                "pass the arguments as the tool declares them",
            ),
            Cause::Absent(Some(name)) => (
                format!("it reads `{}`, which is not there", shorten(name, 100)),
                "give it, or ask whoever keeps the policies to test for it with `has`",
            ),
            Cause::Absent(None) => (
                "something that it reads is not there".to_owned(),
                "ask whoever keeps the policies to test for it with `has`",
            ),
            Cause::Overflow => (
                "a calculation goes beyond 64 bits".to_owned(),
                "pass smaller numbers, or ask whoever keeps the policies",
            ),
            Cause::Malformed => (
                "a text that it reads is no decimal, address, instant or duration".to_owned(),
                "write the text as the policy reads it",
            ),
            Cause::Kind => (
                "something that it reads is of another kind than it expects".to_owned(),
                "pass the arguments as the tool declares them",
            ),
        };
        let text = format!("the policy `{id}` could not be evaluated, {so}: {why}");
        Reason::new(code::POLICY_ERROR, text).fix(fix)
    }
}
