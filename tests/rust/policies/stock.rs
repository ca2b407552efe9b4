//! One request through both: the compiled path, and cedar-policy's own Authorizer.

use std::collections::{BTreeSet, HashMap};
use std::str::FromStr;

use answerable::policy::{Effect, Link, PlainBundle, PlainRequest, PlainSet, Verdict};
use cedar_policy::{
    Authorizer, Context, Decision, Entities, EntityId, EntityTypeName, EntityUid, PolicyId,
    PolicySet, Request, SlotId,
};

/// An entity: type and id.
pub(crate) type Uid = (String, String);

#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) principal: Uid,
    pub(crate) action: Uid,
    pub(crate) resource: Uid,
    pub(crate) context: String,
}

/// Effect, determining ids, erroring ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) allows: bool,
    pub(crate) determining: BTreeSet<String>,
    pub(crate) errors: BTreeSet<String>,
}

pub(crate) struct Both {
    pub(crate) ours: PlainSet,
    policies: PolicySet,
    entities: Entities,
}

impl Both {
    /// `None` where stock Cedar does not take the input; then ours must not either.
    pub(crate) fn load(bundle: &PlainBundle) -> Option<Self> {
        let ours = PlainSet::load(bundle);
        let Some((policies, entities)) = stock(bundle) else {
            assert!(ours.is_err(), "only stock Cedar refuses:\n{}", bundle.policies);
            return None;
        };
        let ours = ours
            .unwrap_or_else(|faults| panic!("only we refuse: {}\n{}", faults[0], bundle.policies));
        Some(Self { ours, policies, entities })
    }

    pub(crate) fn stock(&self, asked: &Asked) -> Answer {
        let uid = |(kind, id): &Uid| {
            EntityUid::from_type_name_and_id(
                EntityTypeName::from_str(kind).unwrap(),
                EntityId::new(id),
            )
        };
        let context = Context::from_json_str(&asked.context, None).unwrap();
        let request = Request::new(
            uid(&asked.principal),
            uid(&asked.action),
            uid(&asked.resource),
            context,
            None,
        )
        .unwrap();
        let response = Authorizer::new().is_authorized(&request, &self.policies, &self.entities);
        let diagnostics = response.diagnostics();
        Answer {
            allows: response.decision() == Decision::Allow,
            determining: diagnostics.reason().map(ToString::to_string).collect(),
            errors: diagnostics
                .errors()
                .map(|error| match error {
                    cedar_policy::AuthorizationError::PolicyEvaluationError(error) => {
                        error.policy_id().to_string()
                    }
                })
                .collect(),
        }
    }

    pub(crate) fn ours(&self, asked: &Asked) -> Answer {
        self.answer(&self.ours.judge(&request(asked)).unwrap())
    }

    /// Ours by Cedar's evaluator, on entities that went through our graph.
    pub(crate) fn returned(&self, asked: &Asked) -> Answer {
        self.answer(&self.ours.oracle(&request(asked)).unwrap())
    }

    fn answer(&self, verdict: &Verdict) -> Answer {
        let id = |policy| self.ours.policy(policy).unwrap().id.to_string();
        let allows = verdict.plain_effect() == Effect::Permit;
        let determining = if allows { &verdict.permits } else { &verdict.forbids };
        Answer {
            allows,
            determining: determining.iter().map(id).collect(),
            errors: verdict.errors.iter().map(|error| id(error.policy)).collect(),
        }
    }

    /// The answer, once both agree on it.
    pub(crate) fn agree(&self, asked: &Asked) -> Result<Answer, String> {
        let (stock, ours) = (self.stock(asked), self.ours(asked));
        if stock == ours { Ok(stock) } else { Err(format!("stock {stock:?}\nours  {ours:?}")) }
    }
}

fn request(asked: &Asked) -> PlainRequest<'_> {
    fn pair(uid: &Uid) -> (&str, &str) {
        (&uid.0, &uid.1)
    }
    PlainRequest {
        principal: pair(&asked.principal),
        action: pair(&asked.action),
        resource: pair(&asked.resource),
        context: &asked.context,
        validate: false,
    }
}

fn stock(bundle: &PlainBundle) -> Option<(PolicySet, Entities)> {
    let mut policies = PolicySet::from_str(&bundle.policies).ok()?;
    for link in &bundle.links {
        policies.link(PolicyId::new(&link.template), PolicyId::new(&link.id), slots(link)).ok()?;
    }
    Some((policies, Entities::from_json_str(&bundle.entities, None).ok()?))
}

fn slots(link: &Link) -> HashMap<SlotId, EntityUid> {
    [(SlotId::principal(), &link.principal), (SlotId::resource(), &link.resource)]
        .into_iter()
        .filter_map(|(slot, text)| Some((slot, text.as_ref()?.parse().unwrap())))
        .collect()
}
