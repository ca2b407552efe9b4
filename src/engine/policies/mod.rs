//! Policies around the engine: loaded, kept, held to tools, looked through, tried on the past.

mod case;
mod check;
mod compile;
mod explain;
mod folder;
mod load;
mod replay;
#[cfg(test)]
mod tests;

pub use case::{Answer, Case, CaseHuman};
pub use check::PolicyFinding;
pub use explain::{Part, PolicyStory, PolicyTold};
pub use folder::{Folder, MAX_POLICY_BYTES};
pub use load::Loaded;
pub(super) use load::{restore, restore_tools};
pub use replay::{Replay, Replayed};
