//! The Python binding: convert, enter, convert. This list is all that crosses.

mod approvals;
mod arrow;
mod convert;
mod endings;
mod engine;
mod entries;
mod entry;
mod errors;
mod files;
mod guard;
mod lifecycle;
mod logging;
mod opening;
mod past;
mod people;
mod policy;
mod policy_case;
mod policy_fault;
mod policy_past;
mod policy_plain;
mod policy_set;
mod receipt;
mod review;
mod serving;
mod story;
mod trail;
mod values;
mod vault;
mod verify;
mod watch;
mod witness;

use pyo3::PyClass;
use pyo3::prelude::*;

/// The binary half of `answerable`.
#[pymodule]
mod _core {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::approvals::{Approval, Approvals};
    #[pymodule_export]
    use super::endings::{Halt, Offboarding, OffboardingItem, Revocation, verify_offboarding};
    #[pymodule_export]
    use super::engine::Engine;
    #[pymodule_export]
    use super::entries::{Entries, EntriesIterator};
    #[pymodule_export]
    use super::entry::Entry;
    #[pymodule_export]
    use super::guard::{Authority, Call, Tool};
    #[pymodule_export]
    use super::lifecycle::{Agents, Humans, Task, Tasks};
    #[pymodule_export]
    use super::logging::{log_flush, log_level, log_to};
    #[pymodule_export]
    use super::opening::close_all;
    #[pymodule_export]
    use super::past::{Could, Reconstruction};
    #[pymodule_export]
    use super::people::{Agent, Grant, Human, SecretKey};
    #[pymodule_export]
    use super::policy::{Policies, declare, forget_declared};
    #[pymodule_export]
    use super::policy_fault::PolicyFault;
    #[pymodule_export]
    use super::policy_past::{PolicyExplanation, PolicyTold, Replay, ReplayedDecision};
    #[pymodule_export]
    use super::policy_plain::judge_cedar;
    #[pymodule_export]
    use super::policy_set::{Policy, PolicyAnswer, PolicyFinding, PolicySet};
    #[pymodule_export]
    use super::receipt::{Receipt, check_receipt};
    #[pymodule_export]
    use super::review::{AgentUse, Finding, Review};
    #[pymodule_export]
    use super::serving::{ask, holder, limits_from_wire, scope_from_wire, serve, to_wire};
    #[pymodule_export]
    use super::story::{Chain, Hop, Story, shown};
    #[pymodule_export]
    use super::trail::Trail;
    #[pymodule_export]
    use super::values::{
        Capability, Caveat, Decision, Limit, Reason, absent, all_of, allow, any_, at_least,
        at_most, between, calls, contains, each, email_at, ends_with, equals, host_in, in_network,
        length, matches, one_of, present, rate, same_as, starts_with, subset_of, total, under,
    };
    #[pymodule_export]
    use super::vault::{CredentialFacts, Lease, Vault};
    #[pymodule_export]
    use super::verify::{Checkpoint, Fault, Report, verify};
    #[pymodule_export]
    use super::watch::{Follower, Rule, Rules};
    #[pymodule_export]
    use super::witness::{Witness, consistent, cosigned_at, read_checkpoint, signed_by};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}

/// Runs core code without holding the interpreter, and maps its error.
fn enter<T: Send>(
    py: Python<'_>,
    body: impl FnOnce() -> Result<T, crate::engine::EngineError> + Send,
) -> PyResult<T> {
    py.detach(body).map_err(|error| errors::engine(py, &error))
}

/// What a notebook shows of a value; `answerable.showing` makes it.
fn notebook<'py, T: PyClass>(value: &Bound<'py, T>, form: &str) -> PyResult<Bound<'py, PyAny>> {
    value.py().import("answerable.showing")?.call_method1(form, (value,))
}
