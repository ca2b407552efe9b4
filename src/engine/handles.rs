//! What outlives a pause: handles, which a framework may write down in place of a chain, and
//! claims, which let a call that is resumed run once.
//!
//! Neither is in the trail: a handle gives nothing that its grant does not, and what runs under it
//! is judged and recorded as any call.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Bound, Engine, EngineError};
use crate::canonical::{Digest, digest};
use crate::keys::{Owner, random};
use crate::principal::{Handle, HumanId};
use crate::registry::{Put, RegistryError, Sealer};
use crate::store::{Batch, StoreError};

/// Handles, by the digest of their 16 bytes.
const HANDLES: &[u8] = b"hd/";
/// Claims, by the keyed digest of chain and call.
const CLAIMS: &[u8] = b"cl/";
/// One in so many looks for those that have lapsed.
const SWEEP_EVERY: u64 = 64;
/// How many lapsed records of each kind one sweep drops.
const SWEPT: usize = 400;

/// What a claim on a call came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Nobody has it: the call may run, and is to be settled.
    New,
    /// It runs now.
    Running,
    /// It has returned.
    Ended,
    /// It began in a process that is gone, and whether it took effect is not known.
    Unknown,
}

impl Claim {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Running => "running",
            Self::Ended => "ended",
            Self::Unknown => "unknown",
        }
    }
}

/// What lies under a handle.
#[derive(Serialize, Deserialize)]
struct Held {
    token: String,
    statements: Vec<Option<String>>,
}

impl Engine {
    /// Makes a handle for a chain: 128 random bits that lapse with it, kept only as a digest.
    ///
    /// # Errors
    /// `Invalid` for a chain too long to be kept, and the store's.
    pub fn handle(&self, bound: &Bound) -> Result<Handle, EngineError> {
        self.check()?;
        let handle = Handle::from_bytes(random()?);
        let leaf = &bound.chain().leaf().payload;
        let held = Held { token: bound.chain().text(), statements: bound.statements().to_vec() };
        let text = serde_json::to_string(&held)
            .map_err(|error| EngineError::Invalid(error.to_string()))?;
        let at = handle_key(&handle);
        let mut sealer = Sealer::new(&self.ring, &*self.store);
        let sealed = sealer.seal(&Owner::human(leaf.human), &text, &name_of(&at))?;
        let value = [leaf.exp.to_be_bytes().as_slice(), leaf.human.as_bytes(), &sealed].concat();
        if value.len() > crate::store::MAX_VALUE {
            return Err(EngineError::Invalid(
                "the chain is too long to be kept under a handle; delegate with shorter scopes"
                    .to_owned(),
            ));
        }
        let mut batch = Batch::new();
        for put in sealer.take_made() {
            if let Put::Set(key, value) = put {
                batch.put(key, value);
            }
        }
        batch.put(at, value);
        self.sweep(&mut batch)?;
        self.recorder.commit(batch)?;
        Ok(handle)
    }

    /// The chain that a handle stands for, verified anew.
    ///
    /// # Errors
    /// `NotFound` if there is no such handle, or its grant has run out; as [`Engine::accept`]
    /// otherwise.
    pub fn by_handle(&self, handle: &Handle) -> Result<Arc<Bound>, EngineError> {
        self.check()?;
        let gone = || RegistryError::NotFound { kind: "handle", name: "…".to_owned() };
        let at = handle_key(handle);
        let Some(value) = self.store.get(&at)? else { return Err(gone().into()) };
        let (until, rest) = value.split_first_chunk::<8>().ok_or_else(damaged)?;
        let (human, sealed) = rest.split_first_chunk::<16>().ok_or_else(damaged)?;
        if self.now()? >= i64::from_be_bytes(*until) {
            return Err(gone().into());
        }
        let owner = Owner::human(HumanId::from_bytes(*human));
        let sealer = Sealer::new(&self.ring, &*self.store);
        let text = sealer.open(&owner, sealed, &name_of(&at))?.ok_or_else(gone)?;
        let held: Held = serde_json::from_str(&text).map_err(|_| damaged())?;
        self.accept(&held.token, held.statements)
    }

    /// Claims a call of a chain, named by bytes that say which it is: durable when it returns.
    ///
    /// # Errors
    /// The store's.
    pub fn claim(&self, bound: &Bound, call: &[u8]) -> Result<Claim, EngineError> {
        self.check()?;
        let key = self.claim_key(bound, call);
        if !self.running.lock().insert(key) {
            return Ok(Claim::Running);
        }
        let claimed = self.claimed(&key, bound);
        if claimed != Ok(Claim::New) {
            self.running.lock().remove(&key);
        }
        claimed
    }

    /// Ends a claim: the call returned and must not run again, or it may.
    ///
    /// # Errors
    /// The store's: then the call counts as begun.
    pub fn settle_claim(
        &self,
        bound: &Bound,
        call: &[u8],
        returned: bool,
    ) -> Result<(), EngineError> {
        self.check()?;
        let key = self.claim_key(bound, call);
        let mut batch = Batch::new();
        if returned {
            batch.put(claim_at(&key), claim_value(bound, Claim::Ended));
        } else {
            batch.delete(claim_at(&key));
        }
        let settled = self.recorder.commit(batch);
        self.running.lock().remove(&key);
        Ok(settled?)
    }

    fn claimed(&self, key: &Digest, bound: &Bound) -> Result<Claim, EngineError> {
        if let Some(value) = self.store.get(&claim_at(key))? {
            return Ok(match value.last() {
                Some(1) => Claim::Ended,
                _ => Claim::Unknown,
            });
        }
        let mut batch = Batch::new();
        batch.put(claim_at(key), claim_value(bound, Claim::Running));
        self.sweep(&mut batch)?;
        self.recorder.commit(batch)?;
        Ok(Claim::New)
    }

    fn claim_key(&self, bound: &Bound, call: &[u8]) -> Digest {
        self.ring.request_digest(&[b"claim", &bound.chain().leaf().digest, call])
    }

    /// Now and then drops what has lapsed: nothing can run under it any more.
    fn sweep(&self, batch: &mut Batch) -> Result<(), EngineError> {
        let count = self.swept.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if !count.is_multiple_of(SWEEP_EVERY) {
            return Ok(());
        }
        let now = self.now()?;
        for prefix in [HANDLES, CLAIMS] {
            let mut left = SWEPT;
            self.store.scan(prefix, None, &mut |key, value| {
                let until = value.first_chunk::<8>().map(|until| i64::from_be_bytes(*until));
                if until.is_some_and(|until| until <= now) {
                    batch.delete(key);
                    left -= 1;
                }
                left > 0
            })?;
        }
        Ok(())
    }
}

fn handle_key(handle: &Handle) -> Vec<u8> {
    let digest = digest("answerable/v1/handle", &[handle.as_bytes()]);
    [HANDLES, digest.as_slice()].concat()
}

/// What a sealed record is bound to: where it lies.
fn name_of(at: &[u8]) -> String {
    format!("handle/{}", data_encoding::HEXLOWER.encode(at))
}

fn claim_at(key: &Digest) -> Vec<u8> {
    [CLAIMS, key.as_slice()].concat()
}

fn claim_value(bound: &Bound, claim: Claim) -> Vec<u8> {
    let mut value = bound.chain().leaf().payload.exp.to_be_bytes().to_vec();
    value.push(u8::from(claim == Claim::Ended));
    value
}

fn damaged() -> StoreError {
    StoreError::Corrupt { what: "the record of a handle".to_owned() }
}
