//! One governed call: as the guard saw it, and as it was judged.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Bound, Lease, Masking};
use crate::authorizer::Standing;
use crate::chain::Chain;
use crate::decision::{Decision, Reason, code};
use crate::keys::Owner;
use crate::principal::EntryId;
use crate::request::{DeclaredTool, Request, ToolName};
use crate::store::StoreError;

/// One call, as the guard saw it.
#[derive(Debug)]
pub struct Call<'a> {
    /// The tool's name as the caller gave it.
    pub tool: &'a str,
    /// What is asked; the reasons why it cannot be judged where it cannot.
    pub request: Result<Request, Vec<Reason>>,
    /// Arguments passed by reference, unjudged: name and type, for the record.
    pub by_type: &'a [(Box<str>, String)],
    /// What the body gets and the canonical form leaves out, such as a datetime's zone: a yes is
    /// bound to it.
    pub beside: &'a [u8],
    /// How arguments are recorded.
    pub masking: &'a Masking,
    /// The chain in force.
    pub bound: Option<&'a Bound>,
    /// Why there is none, or what speaks against it before anything is looked at.
    pub against: Option<Reason>,
    /// The entry of the call that this one is made in.
    pub parent: Option<EntryId>,
    /// What the tool declares, where it does: policies are held to it before they judge its calls.
    pub declared: Option<&'a Arc<DeclaredTool>>,
    /// The names of the credentials that it needs.
    pub credentials: &'a [Box<str>],
}

/// A judged call.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The decision.
    pub decision: Decision,
    /// The decision's entry; `None` if it could not be recorded.
    pub entry: Option<EntryId>,
    /// All entries below this index must be durable for the decision's to be.
    pub upto: u64,
    /// Whether the caller must wait for that before the tool runs.
    pub must_wait: bool,
    /// Why it could not be recorded.
    pub cause: Option<StoreError>,
    /// How its arguments are recorded, where a policy masks more of them than the tool does.
    pub masking: Option<Arc<Masking>>,
    /// What it was lent.
    pub leases: Vec<Arc<Lease>>,
    pub(super) owner: Option<Owner>,
    pub(super) under: Option<Under>,
}

/// What an allowed call runs under.
#[derive(Debug, Clone)]
pub(super) struct Under {
    pub(super) chain: Arc<Chain>,
    pub(super) tool: ToolName,
    pub(super) epoch: u64,
    pub(super) standing: Arc<Standing>,
}

/// The deny of a call that cannot be recorded.
pub(super) fn unrecorded(error: &StoreError) -> Judged {
    let (code, message): (&'static str, Cow<'static, str>) = match error {
        StoreError::Closed | StoreError::Forked => (code::ENGINE_CLOSED, error.to_string().into()),
        StoreError::Attached { .. } => (
            code::STORE_ATTACHED,
            "another process holds the store, and calls are judged and recorded there".into(),
        ),
        other => (code::STORE_UNAVAILABLE, other.to_string().into()),
    };
    Judged {
        decision: Decision::deny(vec![Reason::new(code, message)]),
        entry: None,
        upto: 0,
        must_wait: false,
        cause: Some(error.clone()),
        masking: None,
        leases: Vec::new(),
        owner: None,
        under: None,
    }
}
