//! A human leaves: everything of theirs ends, and a signed proof says what, when and how many.
//!
//! `docs/formats.md`, section "Offboarding proofs", is normative for the proof.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde::{Deserialize, Serialize};

use super::{
    Change, Moment, Note, Put, RegistryError, Sealer, Signer, State, Target, check_text, draft,
    statement_assertion,
};
use crate::canonical::{Digest, Map, Value, digest, from_json, to_json};
use crate::clock::render_instant;
use crate::keys::{self, KeyError, Owner, PublicKey};
use crate::principal::{ApprovalId, EntryId, HumanId, Status};
use crate::trail::entry::kind;
use crate::trail::verify;

/// How often an authority's key may have been handed over.
const MAX_HANDOVERS: usize = 1_000;
/// The largest proof that is looked at, in bytes.
const MAX_PROOF_BYTES: usize = 64 * 1024 * 1024;

/// One thing that ended when a human left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// `agent`, `grant`, `lease` or `approval`.
    pub kind: String,
    /// The agent's, grant's or approval's id; a lease's entry.
    pub id: String,
    /// What became of it: `suspended`, `transferred`, `suspended before`, `revoked`, `ended`.
    pub action: String,
    /// The entry that says so; a grant's own entry, which the revocation ends.
    pub entry: String,
    /// The grant's digest, in hexadecimal.
    pub digest: Option<String>,
}

/// What the departure changed at once.
#[derive(Debug, Clone)]
pub struct Left {
    /// Who left.
    pub human: HumanId,
    /// Who has their agents now.
    pub successor: Option<HumanId>,
    /// Who saw to it.
    pub by: HumanId,
    /// When, in microseconds.
    pub at: i64,
    /// The entry of the departure.
    pub entry: EntryId,
    /// The entry that revokes all grants given for them.
    pub revocation: EntryId,
    /// Their agents.
    pub agents: Vec<Item>,
}

/// A departure, read back from its proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offboarding {
    /// The id of who left.
    pub human: String,
    /// The id of who has their agents now.
    pub successor: Option<String>,
    /// The id of who saw to it.
    pub by: String,
    /// When, RFC 3339.
    pub at: String,
    /// The entry of the departure.
    pub entry: String,
    /// The entry that revokes all grants given for them.
    pub revocation: String,
    /// How many agents.
    pub agents: u64,
    /// How many grants that still stood.
    pub grants: u64,
    /// How many leases of credentials that ran.
    pub leases: u64,
    /// How many approvals that were open.
    pub approvals: u64,
    /// Each of them.
    pub items: Vec<Item>,
}

/// A proof: its text, and the statement that the trail holds too.
#[derive(Debug, Clone)]
pub struct Proof {
    /// The JSON text.
    pub text: String,
    /// The signed statement in it.
    pub statement: String,
}

/// The signed part of a proof. Field order is the order in which it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    v: u8,
    human: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    successor: Option<String>,
    by: String,
    at: String,
    entry: String,
    revocation: String,
    agents: u64,
    grants: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    leases: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    approvals: u64,
    items: String,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // The form that serde calls.
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Item {
    fn value(&self) -> Value {
        let mut map = Map::new();
        map.insert("kind", Value::str(&self.kind));
        map.insert("id", Value::str(&self.id));
        map.insert("action", Value::str(&self.action));
        map.insert("entry", Value::str(&self.entry));
        if let Some(digest) = &self.digest {
            map.insert("digest", Value::str(digest));
        }
        Value::Map(map)
    }

    fn read(value: &Value) -> Option<Self> {
        let map = value.as_map()?;
        let text = |key: &str| map.get(key).and_then(Value::as_str).map(str::to_owned);
        let digest = text("digest");
        let expected = if digest.is_some() { 5 } else { 4 };
        if map.len() != expected {
            return None;
        }
        Some(Self {
            kind: text("kind")?,
            id: text("id")?,
            action: text("action")?,
            entry: text("entry")?,
            digest,
        })
    }

    /// A grant that stood when its human left.
    #[must_use]
    pub fn grant(id: &str, digest: &Digest, entry: &str) -> Self {
        Self {
            kind: "grant".to_owned(),
            id: id.to_owned(),
            action: "revoked".to_owned(),
            entry: entry.to_owned(),
            digest: Some(HEXLOWER.encode(digest)),
        }
    }

    /// A credential's lease that ran when its human left; `decision` allowed its call.
    #[must_use]
    pub fn lease(lease: &EntryId, decision: &EntryId) -> Self {
        Self {
            kind: "lease".to_owned(),
            id: lease.to_string(),
            action: "ended".to_owned(),
            entry: decision.to_string(),
            digest: None,
        }
    }

    /// An approval that was open when its human, or who had given it, left; `entry` says so.
    #[must_use]
    pub fn approval(id: &ApprovalId, entry: &EntryId) -> Self {
        Self {
            kind: "approval".to_owned(),
            id: id.to_string(),
            action: "ended".to_owned(),
            entry: entry.to_string(),
            digest: None,
        }
    }
}

impl State {
    /// Lets a human leave: suspends or transfers every agent they own, revokes every grant given
    /// for them. May be repeated where a crash left it unfinished.
    ///
    /// # Errors
    /// `NotFound`, or `Illegal` if they have left with nothing of theirs remaining, or the
    /// successor is themselves or has left.
    pub fn offboard(
        &mut self,
        id: HumanId,
        successor: Option<HumanId>,
        now: Moment,
        note: Note<'_>,
        sealer: &mut Sealer<'_>,
        signer: &Signer,
    ) -> Result<(Left, Vec<Change>), RegistryError> {
        let reason = note.reason.unwrap_or_default();
        check_text("the reason", reason, 4_096)?;
        let human = self
            .humans
            .get(&id)
            .cloned()
            .ok_or_else(|| RegistryError::NotFound { kind: "human", name: id.to_string() })?;
        if let Some(successor) = &successor {
            if *successor == id {
                return Err(RegistryError::Illegal(
                    "nobody is their own successor; name another human".to_owned(),
                ));
            }
            self.may_own(successor)?;
        }
        let mut agents = self.agents_of(&id);
        agents.retain(|agent| agent.status != Status::Retired);
        if human.offboarded && !agents.iter().any(|agent| agent.status == Status::Active) {
            return Err(RegistryError::Illegal(format!("`{}` has left already", human.display())));
        }
        let puts = self.leave(&id, sealer)?;
        let draft = draft(kind::IDENTITY)?
            .with("action", Value::str("offboarded"))
            .with("human", Value::str(&id.to_string()))
            .with_some("successor", successor.map(|id| Value::str(&id.to_string())))
            .with("by", Value::str(&note.by.to_string()))
            .beside("reason", Value::str(reason), &Owner::human(note.by));
        let entry = draft.id;
        let mut changes = vec![Change { draft, puts }];
        let ended = self.revoke(&Target::Human(id), now, note.by, reason, signer)?;
        let revocation = ended.draft.id;
        changes.push(ended);
        let mut items = Vec::new();
        for agent in agents {
            let (action, changed) = match successor {
                Some(to) => {
                    ("transferred", Some(self.transfer_agent(&agent.id, to, note, sealer)?))
                }
                None if agent.status == Status::Active => {
                    ("suspended", Some(self.suspend_agent(&agent.id, note, sealer)?))
                }
                None => ("suspended before", None),
            };
            let of = changed.as_ref().map_or(entry, |(_, change)| change.draft.id);
            items.push(Item {
                kind: "agent".to_owned(),
                id: agent.id.to_string(),
                action: action.to_owned(),
                entry: of.to_string(),
                digest: None,
            });
            changes.extend(changed.map(|(_, change)| change));
        }
        let at = now.at;
        let left = Left { human: id, successor, by: note.by, at, entry, revocation, agents: items };
        Ok((left, changes))
    }

    /// The entry that keeps an offboarding proof's statement.
    ///
    /// # Errors
    /// `Random` if the operating system gives no random bytes.
    pub fn proved(&self, left: &Left, proof: &Proof) -> Result<Change, RegistryError> {
        let draft = draft(kind::IDENTITY)?
            .with("action", Value::str("offboarding_proved"))
            .with("human", Value::str(&left.human.to_string()))
            .with("by", Value::str(&left.by.to_string()))
            .with("statement", Value::str(&proof.statement));
        Ok(Change { draft, puts: Vec::<Put>::new() })
    }
}

impl Left {
    /// Signs the proof of a departure; `others` are the grants that still stood, the leases that
    /// ran and the approvals that were open.
    ///
    /// # Errors
    /// `Key` if signing fails.
    pub fn prove(&self, others: Vec<Item>, signer: &Signer) -> Result<Proof, RegistryError> {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let of = |kind: &str| count(others.iter().filter(|item| item.kind == kind).count());
        let (agents, standing, leases) = (count(self.agents.len()), of("grant"), of("lease"));
        let approvals = of("approval");
        let items: Vec<Value> = self.agents.iter().chain(&others).map(Item::value).collect();
        let items = Value::List(items);
        let statement = Statement {
            v: 1,
            human: self.human.to_string(),
            successor: self.successor.map(|id| id.to_string()),
            by: self.by.to_string(),
            at: render_instant(self.at).ok_or(KeyError::Malformed("its time has no text"))?,
            entry: self.entry.to_string(),
            revocation: self.revocation.to_string(),
            agents,
            grants: standing,
            leases,
            approvals,
            items: items_digest(&items),
        };
        let statement = signer.sign("offboarding", &statement)?;
        let mut proof = Map::new();
        proof.insert("answerable", Value::str("offboarding"));
        proof.insert("format", Value::int(1));
        proof.insert("authority_id", Value::str(&signer.authority_id));
        let handovers = signer.handovers.iter().map(|token| Value::str(token)).collect();
        proof.insert("handovers", Value::List(handovers));
        proof.insert("statement", Value::str(&statement));
        proof.insert("items", items);
        Ok(Proof { text: to_json(&Value::Map(proof)), statement })
    }
}

fn items_digest(items: &Value) -> String {
    BASE64URL_NOPAD.encode(&digest("answerable/v1/offboarding-items", &[&items.encode()]))
}

/// Checks an offboarding proof with the authority's public key alone.
///
/// # Errors
/// What is wrong with it, in words.
pub fn verify_offboarding(text: &str, authority: &PublicKey) -> Result<Offboarding, String> {
    if text.len() > MAX_PROOF_BYTES {
        return Err("it is larger than 64 MiB".to_owned());
    }
    let value = from_json(text).map_err(|error| format!("it is not JSON of the form: {error}"))?;
    let map = value.as_map().ok_or("it is not an object")?;
    let field = |key: &str| map.get(key).and_then(Value::as_str);
    if map.len() != 6 || field("answerable") != Some("offboarding") {
        return Err("it is no offboarding proof".to_owned());
    }
    if map.get("format").and_then(Value::as_i64) != Some(1) {
        return Err("it is of another format than 1".to_owned());
    }
    if field("authority_id") != Some(&authority.id()) {
        return Err("it names another authority".to_owned());
    }
    let handovers = map.get("handovers").and_then(Value::as_list).ok_or("it holds no handovers")?;
    let mut key = *authority;
    for handover in handovers.iter().take(MAX_HANDOVERS + 1) {
        let token = handover.as_str().ok_or("a handover is not text")?;
        key = verify::handover(&key, &authority.id(), token)
            .ok_or("a handover of the authority's key does not verify")?;
    }
    if handovers.len() > MAX_HANDOVERS {
        return Err(format!("it has more than {MAX_HANDOVERS} handovers"));
    }
    let token = field("statement").ok_or("it holds no statement")?;
    let assertion = statement_assertion("offboarding", &authority.id());
    let signed = keys::verify(&key, token, &assertion)
        .map_err(|error| format!("its statement does not verify: {error}"))?;
    if !signed.footer.is_empty() {
        return Err("its statement has a footer".to_owned());
    }
    let statement: Statement = serde_json::from_str(&signed.payload)
        .map_err(|_| "its statement is not of the form".to_owned())?;
    if statement.v != 1 {
        return Err("its statement is of another version".to_owned());
    }
    let list = map.get("items").ok_or("it holds no items")?;
    if items_digest(list) != statement.items {
        return Err("its items are not those that were signed".to_owned());
    }
    let items: Option<Vec<Item>> =
        list.as_list().unwrap_or_default().iter().map(Item::read).collect();
    let items = items.ok_or("an item is not of the form")?;
    let of = |kind: &str| items.iter().filter(|item| item.kind == kind).count() as u64;
    let counted = [of("agent"), of("grant"), of("lease"), of("approval")];
    if counted != [statement.agents, statement.grants, statement.leases, statement.approvals]
        || counted.iter().sum::<u64>() != items.len() as u64
    {
        return Err("its items are not as many as were signed".to_owned());
    }
    Ok(Offboarding {
        human: statement.human,
        successor: statement.successor,
        by: statement.by,
        at: statement.at,
        entry: statement.entry,
        revocation: statement.revocation,
        agents: statement.agents,
        grants: statement.grants,
        leases: statement.leases,
        approvals: statement.approvals,
        items,
    })
}
