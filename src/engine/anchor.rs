//! What keeps the trail honest from outside: the checkpoint kept beside the store, cosignatures,
//! and the proofs that witnesses ask for.
//!
//! The newest checkpoint is kept in `<store>.checkpoint`, beside the store's folder. A store that is
//! older than it, or another, was put back: it is opened only if that is said, and recorded.

use std::path::{Path, PathBuf};

use data_encoding::BASE64;

use super::read::CHECKPOINT;
use super::{Engine, EngineError};
use crate::canonical::{Digest, Value};
use crate::keys::{Owner, replace_private_file};
use crate::principal::HumanId;
use crate::recorder::Head;
use crate::registry::{check_text, draft};
use crate::store::{Batch, Store, StoreError};
use crate::trail::checkpoint::SignedCheckpoint;
use crate::trail::entry::kind;
use crate::trail::merkle::{LeafHashes, consistency, leaf_hash};

use super::receipt::Levels;

/// The file that keeps the newest checkpoint of a store.
#[must_use]
pub(super) fn kept_file(store: &Path) -> PathBuf {
    let mut name = store.file_name().unwrap_or_default().to_os_string();
    name.push(".checkpoint");
    store.with_file_name(name)
}

/// The checkpoint kept beside a store, if the store does not agree with it.
///
/// # Errors
/// `Corrupt` for a kept file that cannot be read, and the store's.
pub(super) fn put_back(
    path: &Path,
    store: &dyn Store,
) -> Result<Option<SignedCheckpoint>, StoreError> {
    let file = kept_file(path);
    let unreadable = |what: String| StoreError::Corrupt {
        what: format!("the checkpoint kept in `{}`: {what}", file.display()),
    };
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error.to_string())),
    };
    let kept = SignedCheckpoint::parse(&text).map_err(|error| unreadable(error.to_string()))?;
    let (size, head) = (kept.claimed().size, Head::load(store)?);
    let had = match store.get(&[CHECKPOINT, &size.to_be_bytes()].concat())? {
        Some(bytes) => SignedCheckpoint::parse(&String::from_utf8_lossy(&bytes)).ok(),
        None => None,
    };
    let agrees = head.frontier.size() >= size
        && had.is_some_and(|had| had.claimed() == kept.claimed())
        && (head.frontier.size() > size || head.frontier.root() == kept.claimed().root);
    Ok((!agrees).then_some(kept))
}

impl Engine {
    /// Keeps a checkpoint beside the store. That it cannot be is told, and hinders nothing.
    pub(super) fn keep(&self, checkpoint: &SignedCheckpoint) {
        if let Some(file) = self.kept.get()
            && let Err(error) = replace_private_file(file, checkpoint.text().as_bytes())
        {
            tracing::warn!(%error, "the newest checkpoint is not kept beside the store");
        }
    }

    /// Records that an older state of the store was taken up on purpose.
    pub(super) fn accept_restore(
        &self,
        kept: &SignedCheckpoint,
        reason: &str,
        by: Option<HumanId>,
    ) -> Result<(), EngineError> {
        check_text("the reason", reason, 4_096)?;
        let by = self.who(by)?;
        let had = self.size()?;
        let number = |size: u64| Value::int(i64::try_from(size).unwrap_or(i64::MAX));
        let claimed = kept.claimed();
        let (_, ticket) = self.recorder.sequence(|slot| {
            let entry = draft(kind::RESTORE)?
                .with("origin", Value::str(&claimed.origin))
                .with("size", number(claimed.size))
                .with("root", Value::bytes(&claimed.root))
                .with("had", number(had))
                .with("by", Value::str(&by.to_string()))
                .beside("reason", Value::str(reason), &Owner::human(by));
            slot.push(entry, Vec::new());
            Ok::<(), EngineError>(())
        })?;
        self.recorder.wait(ticket.upto)?;
        self.checkpoint()?;
        Ok(())
    }

    /// The key that signs checkpoints now, as a C2SP verifier key.
    #[must_use]
    pub fn checkpoint_key(&self) -> String {
        let keys = self.keys.read();
        keys.checkpoints.last().map(|(_, key)| key.verifier().to_string()).unwrap_or_default()
    }

    /// The consistency proof from one size of the trail to another, in base64 (RFC 9162, 2.1.4).
    ///
    /// # Errors
    /// `Invalid` for sizes that the trail does not have, or an old one of zero.
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<String>, EngineError> {
        let mut levels = Levels::default();
        self.each_leaf(&mut |entry| {
            levels.push(leaf_hash(&entry.leaf));
            Ok(levels.len() < new)
        })?;
        let path: Vec<Digest> = consistency(&levels, old, new)
            .map_err(|error| EngineError::Invalid(error.to_string()))?;
        Ok(path.iter().map(|hash| BASE64.encode(hash)).collect())
    }

    /// Takes up the signature lines that witnesses gave for one of the trail's checkpoints, so that
    /// exports and receipts have them.
    ///
    /// # Errors
    /// `Invalid` for a size without a checkpoint, `Checkpoint` for lines that are none.
    pub fn add_cosignatures(
        &self,
        size: u64,
        lines: &str,
    ) -> Result<SignedCheckpoint, EngineError> {
        self.check()?;
        let key = [CHECKPOINT, &size.to_be_bytes()].concat();
        let known = self.store.get(&key)?.ok_or_else(|| {
            EngineError::Invalid(format!("there is no checkpoint over {size} entries"))
        })?;
        let known = SignedCheckpoint::parse(&String::from_utf8_lossy(&known))?;
        let more = known.with_signatures(lines)?;
        let mut batch = Batch::default();
        batch.put(key, more.text().as_bytes());
        self.recorder.commit(batch)?;
        Ok(more)
    }
}
