//! The key ring: one data key for each human, and one a day for values that belong to no human.
//!
//! Data keys lie in the store, wrapped under the wrapping key, which lies outside it. Erasing a
//! human is dropping their data key and replacing the wrapping key, so that neither today's keys
//! nor old files open what was erased.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::{KeyError, SealKey};
use crate::canonical::Digest;

/// Whose key a value lies under.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner(Arc<str>);

impl Owner {
    /// By the text of a human's id.
    #[must_use]
    pub fn human(id: impl fmt::Display) -> Self {
        Self(id.to_string().into())
    }

    /// The day (UTC) of an instant in microseconds.
    #[must_use]
    pub fn day(micros: i64) -> Self {
        let text = crate::clock::render_seconds(micros).unwrap_or_default();
        Self(format!("day_{}", text.get(..10).unwrap_or("0000-00-00")).into())
    }

    /// From the text that stands in a block.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        Self(text.into())
    }

    /// The same owner's other key, which records of the store lie under: values of the trail can be
    /// sealed anew under another key without them.
    #[must_use]
    pub fn of_records(&self) -> Self {
        Self(format!("record/{}", self.0).into())
    }

    /// The text that stands in a block.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// What the ring needs from the store: a wrapped key, `None` if there is none.
pub type LoadWrapped<'a> = &'a dyn Fn(&Owner) -> Result<Option<Vec<u8>>, KeyError>;

/// The key that data keys are wrapped under.
struct Wrap {
    now: SealKey,
    /// The one before, for those who read a wrapped key just before it was replaced.
    before: Option<SealKey>,
}

/// Data keys by owner, and the keys derived from the master key for other uses.
pub struct KeyRing {
    wrap: RwLock<Wrap>,
    requests: SealKey,
    agents: SealKey,
    policies: SealKey,
    open: Mutex<HashMap<Owner, SealKey>>,
}

impl KeyRing {
    /// A ring under a wrapping key and a master key.
    #[must_use]
    pub fn new(wrap: SealKey, master: &super::MasterKey) -> Self {
        Self {
            wrap: RwLock::new(Wrap { now: wrap, before: None }),
            requests: master.purpose("request-digests"),
            agents: master.purpose("agent-keys"),
            policies: master.purpose("policies"),
            open: Mutex::new(HashMap::new()),
        }
    }

    /// The key that agents' and the authority's secret keys are sealed under.
    #[must_use]
    pub fn agents(&self) -> &SealKey {
        &self.agents
    }

    /// The key that policies, and what tools declare, are sealed under.
    #[must_use]
    pub fn policies(&self) -> &SealKey {
        &self.policies
    }

    /// The keyed digest of a request.
    #[must_use]
    pub fn request_digest(&self, parts: &[&[u8]]) -> Digest {
        self.requests.digest("answerable/v1/request", parts)
    }

    /// The keyed digest of a request that a human is asked about.
    #[must_use]
    pub fn approval_digest(&self, parts: &[&[u8]]) -> Digest {
        self.requests.digest("answerable/v1/approval", parts)
    }

    /// The keyed digest of what a limit has counted.
    #[must_use]
    pub fn meter_digest(&self, parts: &[&[u8]]) -> Digest {
        self.requests.digest("answerable/v1/meter", parts)
    }

    /// The keyed digest of a name that stays taken when it is forgotten itself.
    #[must_use]
    pub fn name_digest(&self, name: &str) -> Digest {
        self.requests.digest("answerable/v1/agent-name", &[name.as_bytes()])
    }

    /// The owner's data key, if there is one.
    ///
    /// # Errors
    /// `Sealed` if it was wrapped under another key, or what `load` answered.
    pub fn find(&self, owner: &Owner, load: LoadWrapped<'_>) -> Result<Option<SealKey>, KeyError> {
        if let Some(key) = self.open.lock().get(owner) {
            return Ok(Some(key.clone()));
        }
        let Some(wrapped) = load(owner)? else { return Ok(None) };
        let wrap = self.wrap.read();
        let opened = unwrap_key(&wrap.now, owner, &wrapped);
        let key = match (opened, &wrap.before) {
            // Read just before it was replaced: good for what was read then, and not kept.
            (Err(KeyError::Sealed), Some(before)) => {
                return Ok(Some(unwrap_key(before, owner, &wrapped)?));
            }
            (opened, _) => opened?,
        };
        self.open.lock().insert(owner.clone(), key.clone());
        Ok(Some(key))
    }

    /// The owner's data key, made if there is none: then also its wrapped form, to be stored
    /// together with the first value under it.
    ///
    /// # Errors
    /// As [`KeyRing::find`], and `Random`.
    pub fn find_or_make(
        &self,
        owner: &Owner,
        load: LoadWrapped<'_>,
    ) -> Result<(SealKey, Option<Vec<u8>>), KeyError> {
        if let Some(key) = self.find(owner, load)? {
            return Ok((key, None));
        }
        let key = SealKey::generate()?;
        let wrapped = wrap_key(&self.wrap.read().now, owner, &key)?;
        self.open.lock().insert(owner.clone(), key.clone());
        Ok((key, Some(wrapped)))
    }

    /// The key that data keys are wrapped under.
    #[must_use]
    pub fn wrapping(&self) -> SealKey {
        self.wrap.read().now.clone()
    }

    /// Puts another wrapping key in force, and forgets every opened key. Nobody may be making a
    /// data key meanwhile.
    pub fn rewrap(&self, next: SealKey) {
        let mut wrap = self.wrap.write();
        wrap.before = Some(std::mem::replace(&mut wrap.now, next));
        self.open.lock().clear();
    }

    /// Forgets the wrapping key before the one in force.
    pub fn settle(&self) {
        self.wrap.write().before = None;
    }

    /// Forgets an owner's opened key: after its wrapped form could not be stored, or was erased.
    pub fn forget(&self, owner: &Owner) {
        self.open.lock().remove(owner);
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<key ring>")
    }
}

/// Wraps an owner's data key.
///
/// # Errors
/// `Sealed` or `Random`.
pub fn wrap_key(wrap: &SealKey, owner: &Owner, key: &SealKey) -> Result<Vec<u8>, KeyError> {
    wrap.seal(&key.expose_text(), &wrap_assertion(owner))
}

/// Opens an owner's wrapped data key.
///
/// # Errors
/// `Sealed` if it was wrapped under another key.
pub fn unwrap_key(wrap: &SealKey, owner: &Owner, wrapped: &[u8]) -> Result<SealKey, KeyError> {
    SealKey::from_text(&wrap.open(wrapped, &wrap_assertion(owner))?)
}

fn wrap_assertion(owner: &Owner) -> String {
    format!("answerable/v1/data-key/{}", owner.text())
}
