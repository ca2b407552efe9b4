//! Opening holds the store's records to the trail: what a record says is in force must be what the
//! entries say, both ways. A difference is damage, named with the entry, and nothing opens.
//!
//! Few entries change what is in force, and the index finds them; whatever it does not cover is
//! read. What is too much to compare at once is compared when it is first used: limits in
//! `counting.rs`, grants by their ids here.

use data_encoding::HEXLOWER;
use serde::Deserialize;

use super::{Engine, EngineError, Library};
use crate::canonical::{Digest, Raw, Value};
use crate::clock::{MAX_BEHIND_MICROS, parse_instant};
use crate::keys::{self, PublicKey};
use crate::principal::GrantId;
use crate::recorder::{Head, keyspace};
use crate::registry::{
    Approval, Known, Replay, Root, STATE_ACTION, STATE_KINDS, Stage, State, Unrecorded, asked_key,
};
use crate::store::{Store, StoreError};
use crate::trail::block::Block;
use crate::trail::entry::kind;
use crate::trail::index::{Field, Term};

/// The keys as the records have them.
pub(super) struct KeysFound<'a> {
    /// The authority's first key.
    pub(super) first: &'a PublicKey,
    /// The authority's id.
    pub(super) id: &'a str,
    /// The keys before the present one, the first one first.
    pub(super) roots: &'a [Root],
    /// The key that signs now.
    pub(super) present: PublicKey,
    /// The checkpoint key's verifier, as text.
    pub(super) checkpoint: String,
}

/// What the leaves that change what is in force are found by.
pub(super) fn in_force() -> Vec<Term> {
    let mut terms = STATE_KINDS.map(|kind| Term::new(Field::Kind, kind.as_bytes())).to_vec();
    terms.push(Term::new(Field::Action, STATE_ACTION.as_bytes()));
    terms
}

/// Whether a leaf is one of them.
pub(super) fn says_in_force(keys: &[(&str, Raw<'_>)]) -> bool {
    let is = |name: &str, any: &[&str]| {
        let raw = keys.iter().find(|(key, _)| *key == name).and_then(|(_, raw)| raw.text());
        raw.is_some_and(|text| any.contains(&text))
    };
    is("kind", &STATE_KINDS) || is("action", &[STATE_ACTION])
}

/// Holds the records to the trail. Nothing of the store is changed. Answers the time of the newest
/// statement of the authority's keys, which may be later than its entry's.
///
/// # Errors
/// `Corrupt`, naming the record and the entry; the store's.
pub(super) fn agree(
    store: &dyn Store,
    library: &Library,
    state: &State,
    keys: &KeysFound<'_>,
) -> Result<i64, EngineError> {
    let head = Head::load(store)?;
    let size = head.frontier.size();
    ends_at_head(store, &head)?;
    let mut replay = Replay::default();
    library.each_in_force(size, &mut |place, _, keys| Ok(replay.take(place, keys)?))?;
    let newest = compare_keys(&replay, keys)?;
    let unrecorded = replay.compare(state, store, head.at)?;
    for one in &unrecorded {
        // Housekeeping drops it once no clock that is accepted can bring the grant back.
        let until = grant_until(library, &one.digest, size)?;
        if until.is_none_or(|until| until > head.at.saturating_sub(MAX_BEHIND_MICROS)) {
            return Err(unrevoked(one).into());
        }
    }
    Ok(newest)
}

fn unrevoked(one: &Unrecorded) -> StoreError {
    let digest = HEXLOWER.encode(&one.digest);
    differs(
        &format!("the grant {digest}"),
        &format!("{} revokes it, and the record of that is gone", one.said),
    )
}

fn differs(record: &str, says: &str) -> StoreError {
    StoreError::Corrupt {
        what: format!("the record of {record} is not what the trail says: {says}"),
    }
}

/// Whether the last block ends where the head says, at the time that it says: by that time clocks
/// are held back.
fn ends_at_head(store: &dyn Store, head: &Head) -> Result<(), EngineError> {
    let mut last = None;
    store.scan_back(keyspace::BLOCK, None, &mut |key, value| {
        last = Some(Block::read(keyspace::first_of(key), value));
        false
    })?;
    let (mut end, mut at) = (0, 0);
    if let Some(block) = last.transpose()? {
        end = block.end();
        let leaf = block.leaf(end.saturating_sub(1)).unwrap_or_default();
        crate::canonical::each_key(leaf, &mut |key, raw: Raw<'_>| {
            if key == "at" {
                at = raw.datetime().unwrap_or_default();
            }
        })
        .map_err(|error| crate::trail::block::BlockError::Damaged(error.to_string()))?;
    }
    if (end, at) == (head.frontier.size(), head.at) {
        return Ok(());
    }
    let says = format!(
        "it has {end} entries, the record {}, or they end at another time",
        head.frontier.size()
    );
    Err(differs("the trail's end", &says).into())
}

/// Until when a grant holds, by its entry; `None` where the trail has none of it.
fn grant_until(library: &Library, digest: &Digest, size: u64) -> Result<Option<i64>, EngineError> {
    let mut until = None;
    let term = Term::digest(Field::Grant, digest);
    library.each_told(&[term], (0, size), &mut |_, _, keys| {
        let get = |name: &str| keys.iter().find(|(key, _)| *key == name).map(|(_, raw)| *raw);
        let is = get("kind").and_then(Raw::text) == Some(kind::GRANT);
        if is && get("digest").and_then(Raw::bytes) == Some(digest.as_slice()) {
            until = get("until").and_then(Raw::datetime);
        }
        Ok(())
    })?;
    Ok(until)
}

#[derive(Deserialize)]
struct Stated {
    authority: String,
    checkpoint_key: String,
    #[serde(default)]
    until: Option<String>,
    at: String,
}

/// Follows the authority's statements from its first key on. Answers the time of the newest.
fn compare_keys(replay: &Replay, found: &KeysFound<'_>) -> Result<i64, StoreError> {
    let assertion = format!("answerable/v1/authority/{}", found.id);
    let mut key = *found.first;
    let mut roots = found.roots.iter();
    let (mut checkpoint, mut newest) = (String::new(), 0);
    for statement in replay.statements() {
        let differs =
            |what: &str| differs("the authority's keys", &format!("{} {what}", statement.said));
        let signed = keys::verify(&key, &statement.text, &assertion);
        let signed = signed.map_err(|_| differs("is not signed by the key before it"))?;
        let stated: Stated = serde_json::from_str(&signed.payload)
            .map_err(|_| differs("says nothing that can be read"))?;
        checkpoint = stated.checkpoint_key;
        newest = parse_instant(&stated.at).unwrap_or_default().max(newest);
        let Some(until) = stated.until else { continue };
        let next = PublicKey::parse(&stated.authority);
        let next = next.map_err(|_| differs("names a key that is none"))?;
        let root =
            roots.next().ok_or_else(|| differs("replaces a key, and the record of it is gone"))?;
        let same = root.key == key
            && Some(root.until) == parse_instant(&until)
            && *root.handover == *statement.text;
        if !same {
            return Err(differs("replaces a key, and the record of it says otherwise"));
        }
        key = next;
    }
    if roots.next().is_some() {
        return Err(differs("the authority's keys", "no entry replaces one, the record does"));
    }
    if key != found.present || checkpoint != found.checkpoint {
        return Err(differs("the authority's keys", "the ones in force are others"));
    }
    Ok(newest)
}

impl Engine {
    /// Whether an open approval is for the request that its entry asked about, as far as that can
    /// still be told; a yes that a decision has used is not open any more.
    ///
    /// # Errors
    /// `Corrupt` where it is for another, or was used; the store's.
    pub(super) fn approval_agrees(&self, approval: &Approval) -> Result<bool, EngineError> {
        let record = format!("the approval {}", approval.id);
        let asked = self.index_at(&asked_key(&approval.id))?;
        let entry = asked.map(|place| self.entry_at(place)).transpose()?.flatten();
        let told = entry.as_ref().and_then(|entry| entry.value("request"));
        let Some(told) = told.and_then(Value::as_bytes) else { return Ok(false) };
        if told != approval.digest.as_slice() {
            let what = format!("entry {} asks for another request", asked.unwrap_or_default());
            return Err(differs(&record, &what).into());
        }
        if approval.stage == Stage::Approved
            && let Some(place) = self.used_by(approval, asked.unwrap_or_default())?
        {
            let what = format!("entry {place} used it, the record says that it is open");
            return Err(differs(&record, &what).into());
        }
        Ok(true)
    }

    /// The place of the decision that used a yes.
    fn used_by(&self, approval: &Approval, from: u64) -> Result<Option<u64>, EngineError> {
        let (mut used, id) = (None, approval.id.to_string());
        let term = Term::digest(Field::Grant, &approval.leaf);
        self.library.each_told(
            &[term],
            (from, self.recorder.durable()),
            &mut |place, _, keys| {
                let text = |name: &str| {
                    keys.iter().find(|(key, _)| *key == name).and_then(|(_, raw)| raw.text())
                };
                let decision = text("kind") == Some(kind::DECISION);
                if decision && text("effect") == Some("allow") && text("approval") == Some(&id) {
                    used = Some(place);
                }
                Ok(())
            },
        )?;
        Ok(used)
    }

    /// The grant that an entry of the trail makes, if it is there: by what a record says of its
    /// place, which the entry must bear out.
    ///
    /// # Errors
    /// `Corrupt` where the entry there is another's; the store's.
    pub(super) fn grant_made_at(&self, id: &GrantId, known: &Known) -> Result<(), StoreError> {
        let Some(place) = known.made else { return Ok(()) };
        let says = |what: &str| differs(&format!("the grant {id}"), what);
        let block = self.library.block_of(place).map_err(|error| match error {
            EngineError::Store(error) => error,
            other => StoreError::Corrupt { what: other.to_string() },
        })?;
        let leaf = block.as_ref().and_then(|block| block.leaf(place)).unwrap_or_default();
        let (mut digest, mut offline) = (false, false);
        let read = crate::canonical::each_key(leaf, &mut |key, raw: Raw<'_>| match key {
            "digest" => digest = raw.bytes() == Some(known.digest.as_slice()),
            "offline" => offline = true,
            _ => {}
        });
        if read.is_ok() && digest && !offline {
            return Ok(());
        }
        Err(says(&format!("entry {place} does not make it, the record says so")))
    }
}
