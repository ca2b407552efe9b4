//! Chains: grants from the authority to the holder, each within the one before.
//!
//! [`UnverifiedChain`] is text of the right shape; only [`UnverifiedChain::verify`] turns it into a
//! [`Chain`], so that forgetting to verify does not compile.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::canonical::{Digest, digest};
use crate::grant::{Grant, GrantError, Terms, assertion, check_link, footer_key_id};
use crate::keys::{MAX_TOKEN_BYTES, PublicKey, SecretKey, untrusted_footer};

/// The longest chain, in bytes of its text.
pub const MAX_CHAIN_BYTES: usize = 64 * 1024;
/// How many hops a chain may have unless configured.
pub const MAX_HOPS: usize = 8;

const SEPARATOR: char = '~';

/// Why a chain was refused: the hop, counted from 0 at the root, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("hop {hop}: {error}")]
pub struct InvalidGrant {
    /// The hop, 0 for the root grant.
    pub hop: usize,
    /// What is wrong.
    #[source]
    pub error: GrantError,
}

/// The authorities that are trusted, by the id of their key.
#[derive(Debug, Clone, Default)]
pub struct Anchors(Vec<Anchor>);

/// One key of an authority.
#[derive(Debug, Clone)]
struct Anchor {
    /// The key's id, which a root grant's footer names.
    id: String,
    key: PublicKey,
    /// The id of the authority's first key, which is the authority's.
    authority_id: String,
}

impl Anchors {
    /// One authority.
    #[must_use]
    pub fn one(key: PublicKey) -> Self {
        Self(vec![Anchor { id: key.id(), key, authority_id: key.id() }])
    }

    /// Adds a further key of an authority, by the authority's id.
    pub fn add(&mut self, key: PublicKey, authority_id: &str) {
        self.0.push(Anchor { id: key.id(), key, authority_id: authority_id.to_owned() });
    }

    fn find(&self, id: &str) -> Option<&Anchor> {
        self.0.iter().find(|anchor| anchor.id == id)
    }
}

/// Grants that were verified before, by key, assertion and whole token; failures are never kept.
#[derive(Debug, Default)]
pub struct HopCache(Mutex<Verified>);

#[derive(Debug, Default)]
struct Verified {
    grants: HashMap<Digest, Arc<Grant>>,
    bytes: usize,
}

impl HopCache {
    /// How many bytes of tokens are remembered.
    const CAPACITY: usize = 8 * 1024 * 1024;

    fn key(token: &str, key: &PublicKey, authority_id: &str, root: bool) -> Digest {
        let assertion = assertion(authority_id);
        digest(
            "answerable/v1/hop-cache",
            &[key.as_bytes(), assertion.as_bytes(), &[u8::from(root)], token.as_bytes()],
        )
    }

    fn verify(
        &self,
        token: &str,
        key: &PublicKey,
        authority_id: &str,
        root: bool,
    ) -> Result<Arc<Grant>, GrantError> {
        let at = Self::key(token, key, authority_id, root);
        if let Some(grant) = self.0.lock().grants.get(&at) {
            return Ok(grant.clone());
        }
        let grant = Arc::new(Grant::verify(token, key, authority_id, root)?);
        let mut known = self.0.lock();
        if known.bytes + token.len() > Self::CAPACITY {
            // A full cache starts anew: bounded memory, and no bookkeeping on the way in.
            *known = Verified::default();
        }
        if known.grants.insert(at, grant.clone()).is_none() {
            known.bytes += token.len();
        }
        Ok(grant)
    }
}

/// Text that has the shape of a chain.
#[derive(Debug, Clone)]
pub struct UnverifiedChain {
    hops: Vec<String>,
}

impl UnverifiedChain {
    /// Splits a chain's text, within the budgets of bytes and hops.
    ///
    /// # Errors
    /// `TooLarge` over a budget, `Malformed` for an empty chain or hop.
    pub fn parse(text: &str, max_hops: usize) -> Result<Self, InvalidGrant> {
        let wrong = |hop, error| InvalidGrant { hop, error };
        if text.len() > MAX_CHAIN_BYTES {
            let what = format!("a chain may have {MAX_CHAIN_BYTES} bytes, this has {}", text.len());
            return Err(wrong(0, GrantError::TooLarge(what)));
        }
        let mut hops = Vec::new();
        for (hop, token) in text.split(SEPARATOR).enumerate() {
            if hop >= max_hops {
                let what = format!("a chain may have {max_hops} hops");
                return Err(wrong(hop, GrantError::TooLarge(what)));
            }
            if token.len() > MAX_TOKEN_BYTES {
                let what = format!("a hop may have {MAX_TOKEN_BYTES} bytes");
                return Err(wrong(hop, GrantError::TooLarge(what)));
            }
            if token.is_empty() {
                return Err(wrong(hop, GrantError::Malformed("it is empty".to_owned())));
            }
            hops.push(token.to_owned());
        }
        Ok(Self { hops })
    }

    /// Checks every signature and that each hop is within the one before.
    ///
    /// Times are checked against the clock by the authorizer, at each call.
    ///
    /// # Errors
    /// The first hop that is refused, and why.
    pub fn verify(self, anchors: &Anchors, cache: &HopCache) -> Result<Chain, InvalidGrant> {
        let mut hops: Vec<Arc<Grant>> = Vec::with_capacity(self.hops.len());
        let (mut authority_id, mut root_key_id) = (String::new(), String::new());
        for (hop, token) in self.hops.iter().enumerate() {
            let wrong = |error| InvalidGrant { hop, error };
            let grant = match hops.last() {
                None => {
                    let footer = untrusted_footer(token)
                        .map_err(|error| wrong(GrantError::Malformed(error.to_string())))?;
                    let id = footer_key_id(&footer).ok_or_else(|| {
                        wrong(GrantError::Malformed("its footer names no key".to_owned()))
                    })?;
                    let anchor = anchors
                        .find(id)
                        .ok_or_else(|| wrong(GrantError::UnknownAuthority(id.to_owned())))?;
                    authority_id.clone_from(&anchor.authority_id);
                    root_key_id.clone_from(&anchor.id);
                    cache.verify(token, &anchor.key, &authority_id, true).map_err(wrong)?
                }
                Some(parent) => {
                    let key = parent.payload.holder.key;
                    let grant = cache.verify(token, &key, &authority_id, false).map_err(wrong)?;
                    check_link(&parent.digest, &parent.payload, &grant.payload).map_err(wrong)?;
                    grant
                }
            };
            hops.push(grant);
        }
        Chain::of(hops, authority_id, root_key_id)
            .ok_or(InvalidGrant { hop: 0, error: GrantError::Malformed("it is empty".to_owned()) })
    }
}

/// A verified chain.
#[derive(Debug, Clone)]
pub struct Chain {
    root: Arc<Grant>,
    leaf: Arc<Grant>,
    hops: Vec<Arc<Grant>>,
    authority_id: String,
    root_key_id: String,
    /// The places in the trail at which this engine made the hops, as far as that is known.
    made: Arc<[Option<u64>]>,
}

impl Chain {
    /// A chain of one root grant that was signed here.
    #[must_use]
    pub fn from_root(root: Grant, authority_id: String) -> Self {
        let root = Arc::new(root);
        let root_key_id = authority_id.clone();
        let hops = vec![root.clone()];
        let made = Arc::new([]);
        Self { root: root.clone(), leaf: root, hops, authority_id, root_key_id, made }
    }

    /// Says which of the authority's keys signed the root grant; its first one otherwise.
    #[must_use]
    pub fn by_key(mut self, root_key_id: String) -> Self {
        self.root_key_id = root_key_id;
        self
    }

    fn of(hops: Vec<Arc<Grant>>, authority_id: String, root_key_id: String) -> Option<Self> {
        let (root, leaf) = (hops.first()?.clone(), hops.last()?.clone());
        Some(Self { root, leaf, hops, authority_id, root_key_id, made: Arc::new([]) })
    }

    /// Signs one more hop with the holder's key.
    ///
    /// # Errors
    /// The first way in which it would not be within this chain, as the new hop's refusal.
    pub fn delegate(
        &self,
        holder_key: &SecretKey,
        terms: Terms,
        max_hops: usize,
    ) -> Result<Self, InvalidGrant> {
        let hop = self.hops.len();
        let wrong = |error| InvalidGrant { hop, error };
        if hop >= max_hops {
            return Err(wrong(GrantError::TooLarge(format!("a chain may have {max_hops} hops"))));
        }
        let child = self.leaf.sign_child(holder_key, &self.authority_id, terms).map_err(wrong)?;
        let size: usize = self.hops.iter().map(|hop| hop.token.len() + 1).sum();
        if size + child.token.len() > MAX_CHAIN_BYTES {
            let what = format!("a chain may have {MAX_CHAIN_BYTES} bytes");
            return Err(wrong(GrantError::TooLarge(what)));
        }
        let leaf = Arc::new(child);
        let mut hops = self.hops.clone();
        hops.push(leaf.clone());
        let (authority_id, root_key_id) = (self.authority_id.clone(), self.root_key_id.clone());
        let made = self.made.clone();
        Ok(Self { root: self.root.clone(), leaf, hops, authority_id, root_key_id, made })
    }

    /// Says at which places of the trail this engine made the hops, from the root; `None` for one
    /// that was made elsewhere. A revocation ends what is not known to be newer.
    #[must_use]
    pub fn made_at(mut self, made: Vec<Option<u64>>) -> Self {
        self.made = made.into();
        self
    }

    /// The place of the trail at which this engine made a hop, if it did and that is known.
    #[must_use]
    pub fn made(&self, hop: usize) -> Option<u64> {
        self.made.get(hop).copied().flatten()
    }

    /// The hops, from the root grant to the leaf.
    #[must_use]
    pub fn hops(&self) -> &[Arc<Grant>] {
        &self.hops
    }

    /// The grant signed by the authority.
    #[must_use]
    pub fn root(&self) -> &Grant {
        &self.root
    }

    /// The grant in use.
    #[must_use]
    pub fn leaf(&self) -> &Grant {
        &self.leaf
    }

    /// The id of the authority's key that signed the root grant.
    #[must_use]
    pub fn root_key_id(&self) -> &str {
        &self.root_key_id
    }

    /// The id of the authority: that of its first key.
    #[must_use]
    pub fn authority_id(&self) -> &str {
        &self.authority_id
    }

    /// Whether this chain is `other` or below it.
    #[must_use]
    pub fn extends(&self, other: &Self) -> bool {
        self.hops.len() >= other.hops.len()
            && self.hops.iter().zip(&other.hops).all(|(a, b)| a.digest == b.digest)
    }

    /// The chain's text: tokens joined by `~`.
    #[must_use]
    pub fn text(&self) -> String {
        let tokens: Vec<&str> = self.hops.iter().map(|hop| &*hop.token).collect();
        tokens.join("~")
    }
}
