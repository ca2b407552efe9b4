//! Humans: registered, found, let go.

use std::sync::Arc;

use crate::canonical::Value;
use crate::engine::{Engine, EngineError};
use crate::principal::{Assurance, HumanId};
use crate::registry::{Human, Item, Left, NewHuman, Note, Proof};
use crate::trail::entry::kind;

impl Engine {
    /// Registers a human.
    ///
    /// # Errors
    /// As `State::register_human`, and the store's.
    pub fn register_human(&self, new: &NewHuman<'_>) -> Result<Arc<Human>, EngineError> {
        let by = match new.by {
            Some(by) => by,
            None => self.operator()?,
        };
        self.refuse_secrets("the human's account", new.account)?;
        self.refuse_secrets("the human's issuer", new.issuer)?;
        let name = new.name.map(|name| self.plain(name));
        let new = NewHuman { by: Some(by), name: name.as_deref(), ..new.clone() };
        self.transition(|state, now, sealer| {
            let (human, change) = state.register_human(&new, now.at, sealer)?;
            Ok((human, vec![change]))
        })
    }

    /// The operating system's account as a human, asserted: who did what names nobody else.
    ///
    /// # Errors
    /// As `State::register_human`, and the store's.
    pub fn operator(&self) -> Result<HumanId, EngineError> {
        self.here()?;
        let mut operator = self.operator.lock();
        let here =
            |id: &HumanId| self.state.read().human(id).is_some_and(|human| !human.offboarded);
        if let Some(id) = operator.filter(here) {
            return Ok(id);
        }
        let account = os_account();
        let known = self.state.read().account(&account, "os").map(|human| human.id);
        let id = match known {
            Some(id) => id,
            None => {
                let new = NewHuman {
                    account: &account,
                    issuer: "os",
                    name: None,
                    assurance: Assurance::Asserted,
                    by: None,
                };
                self.transition(|state, now, sealer| {
                    let (human, change) = state.register_human(&new, now.at, sealer)?;
                    Ok((human.id, vec![change]))
                })?
            }
        };
        *operator = Some(id);
        Ok(id)
    }

    /// All humans.
    #[must_use]
    pub fn humans(&self) -> Vec<Arc<Human>> {
        self.state.read().humans()
    }

    /// A human by id or account.
    ///
    /// # Errors
    /// `NotFound`, or `Invalid` for an account that several issuers know.
    pub fn find_human(&self, text: &str) -> Result<Arc<Human>, EngineError> {
        self.here()?;
        Ok(self.state.read().find_human(text)?.clone())
    }

    /// Lets a human leave, and proves it: what ended, when, how many.
    ///
    /// Every agent they own is suspended, or transferred to a successor; every grant given for
    /// them is revoked, and with it what was asked for under it or approved by them. The grants that still stood are found by reading the trail's leaves.
    ///
    /// # Errors
    /// As `State::offboard`, and the store's.
    pub fn offboard(
        &self,
        human: HumanId,
        successor: Option<HumanId>,
        reason: &str,
        by: Option<HumanId>,
    ) -> Result<Departure, EngineError> {
        let by = self.who(by)?;
        let reason = &*self.plain(reason);
        // Before anything is transferred: who owns the agents decides whose leases they are.
        let mut leases = Vec::new();
        let mut approvals = Vec::new();
        let left = self.transition(|state, now, sealer| {
            let note = Note { by, reason: Some(reason) };
            leases = self.leases_of(state, &human);
            let (left, mut changes) =
                state.offboard(human, successor, now, note, sealer, &self.signer())?;
            // Here, so that the proof can name them; nothing is left for the transition's own look.
            for (id, change) in self.settle_approvals(state, now.at)? {
                approvals.push((id, change.draft.id));
                changes.push(change);
            }
            Ok((left, changes))
        })?;
        self.anchor();
        let ended: Vec<_> = approvals.iter().map(|(id, _)| *id).collect();
        self.tell_approvals(&ended);
        let mut others = self.standing_grants(&left)?;
        // With a successor an agent's lease for another human goes on: only what ended is proved.
        leases.retain(|lease| lease.is_for(&left.human) || left.successor.is_none());
        others.extend(leases.iter().map(|lease| Item::lease(&lease.entry, &lease.decision)));
        others.extend(approvals.iter().map(|(id, entry)| Item::approval(id, entry)));
        let proof = left.prove(others.clone(), &self.signer())?;
        self.ends(self.transition(|state, _, _| Ok(((), vec![state.proved(&left, &proof)?]))))?;
        let items = left.agents.iter().cloned().chain(others).collect();
        Ok(Departure { left, items, proof })
    }

    /// The grants for a human that stood when they left.
    fn standing_grants(&self, left: &Left) -> Result<Vec<Item>, EngineError> {
        let human = left.human.to_string();
        let entry = left.entry.to_string();
        let mut items = Vec::new();
        self.each_leaf(&mut |leaf| {
            if leaf.id() == entry {
                return Ok(false);
            }
            let until = match leaf.fields.get("until") {
                Some(Value::Datetime(until)) => *until,
                _ => 0,
            };
            if leaf.kind() != kind::GRANT || leaf.text("human") != human || until <= left.at {
                return Ok(true);
            }
            let digest = leaf.fields.get("digest").and_then(Value::as_bytes);
            if let Some(digest) = digest.and_then(|bytes| bytes.try_into().ok())
                && !self.state.read().is_revoked(&digest)
            {
                items.push(Item::grant(leaf.text("grant"), &digest, leaf.id()));
            }
            Ok(true)
        })?;
        Ok(items)
    }
}

/// What became of a human's things when they left.
#[derive(Debug, Clone)]
pub struct Departure {
    /// When, by whom, under which entries.
    pub left: Left,
    /// Every agent, grant, lease and approval.
    pub items: Vec<Item>,
    /// The proof.
    pub proof: Proof,
}

/// The account that runs this process, by name where the system knows one.
fn os_account() -> String {
    let uid = rustix::process::geteuid().as_raw();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().find_map(|line| {
        let mut parts = line.split(':');
        let name = parts.next()?;
        (parts.nth(1)? == uid.to_string()).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| format!("uid-{uid}"))
}
