//! What keeps the trail honest from outside: the checkpoint kept beside the store, cosignatures,
//! and the proofs that witnesses ask for.
//!
//! The newest checkpoint is kept in `<store>.checkpoint`, beside the store's folder, and renewed
//! whenever authority is taken back. A store that is
//! older than it, or another, was put back: it is opened only if that is said, and recorded.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;

use super::read::CHECKPOINT;
use super::{Engine, EngineError};
use crate::canonical::{Digest, Value};
use crate::keys::{Owner, replace_private_file};
use crate::principal::HumanId;
use crate::recorder::{Head, keyspace};
use crate::registry::{check_text, draft};
use crate::store::{Batch, Store, StoreError, settled};
use crate::trail::block::Block;
use crate::trail::checkpoint::{CheckpointError, SignedCheckpoint};
use crate::trail::entry::kind;
use crate::trail::merkle::{Frontier, LeafHashes, consistency, leaf_hash};
use crate::trail::witness::WitnessVerifier;

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

/// Whether what a log that was cut short holds is a trail: all records can be read, and the entries
/// follow each other up to the head and make its root.
///
/// # Errors
/// `Corrupt` if it does not, and the store's.
pub(super) fn holds_together(store: &dyn Store) -> Result<(), StoreError> {
    let apart =
        || StoreError::Corrupt { what: "what can be read of its log is no whole trail".to_owned() };
    let head = Head::load(store)?;
    let mut found = Ok(Frontier::new());
    store.scan(&[], None, &mut |key, value| {
        if key.starts_with(keyspace::BLOCK)
            && let Ok(frontier) = &mut found
            && followed(frontier, keyspace::first_of(key), value).is_none()
        {
            found = Err(apart());
        }
        found.is_ok()
    })?;
    let found = found?;
    if found.size() == head.frontier.size() && found.root() == head.frontier.root() {
        return Ok(());
    }
    Err(apart())
}

/// Adds the leaves of a block, if it is one and begins where the last ended.
fn followed(frontier: &mut Frontier, first: u64, bytes: &[u8]) -> Option<()> {
    let block = Block::read(first, bytes).ok().filter(|_| first == frontier.size())?;
    block.leaves().try_for_each(|leaf| frontier.append(leaf_hash(leaf))).ok()
}

/// The older state that is taken up.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// The checkpoint kept beside the store, if the store does not agree with it.
    pub(super) kept: Option<SignedCheckpoint>,
    /// How many bytes of its log are gone on without.
    pub(super) lost: Option<u64>,
}

impl Taken {
    /// Whether it is older at all.
    pub(super) fn is_older(&self) -> bool {
        self.kept.is_some() || self.lost.is_some()
    }
}

/// Which checkpoints this process made.
#[derive(Debug, Default)]
pub(super) struct Anchored {
    /// The size of the newest one that is kept beside the store.
    size: u64,
    /// The sizes of those that nobody was given, the oldest first. Two of them stay in the store:
    /// the file beside it names one of them, whenever the process ends.
    own: VecDeque<u64>,
}

impl Engine {
    /// Keeps a checkpoint beside the store. That it cannot be is told, and hinders nothing.
    fn keep(&self, anchored: &mut Anchored, checkpoint: &SignedCheckpoint) {
        let size = checkpoint.claimed().size;
        if size < anchored.size {
            return;
        }
        match self.kept.get().map(|file| replace_private_file(file, checkpoint.text().as_bytes())) {
            Some(Err(error)) => {
                tracing::warn!(%error, "the newest checkpoint is not kept beside the store");
            }
            Some(Ok(())) => anchored.size = size,
            None => {}
        }
    }

    /// Signs a tree's head and keeps the checkpoint.
    pub(super) fn sign(&self, frontier: &Frontier) -> Result<SignedCheckpoint, EngineError> {
        let mut anchored = self.anchored.lock();
        let (signed, _) = self.sign_within(&mut anchored, frontier, None)?;
        // Somebody has it from here on, so it stays.
        anchored.own.retain(|size| *size != frontier.size());
        Ok(signed)
    }

    /// Keeps a checkpoint over all that is durable beside the store, once something has ended: an
    /// older folder in the place of this one is known by it. That it cannot be is told and hinders
    /// nothing: what has ended has ended.
    pub(super) fn anchor(&self) {
        if self.kept.get().is_none() {
            return;
        }
        let durable = self.recorder.durable();
        let mut anchored = self.anchored.lock();
        if anchored.size >= durable {
            // Another one did, for both.
            return;
        }
        if let Err(error) = self.anchor_within(&mut anchored) {
            tracing::warn!(%error, "the newest checkpoint is not kept beside the store");
        }
    }

    fn anchor_within(&self, anchored: &mut Anchored) -> Result<(), EngineError> {
        let frontier = self.recorder.flush()?;
        let old = anchored.own.front().copied().filter(|_| anchored.own.len() > 1);
        let (signed, fresh) = self.sign_within(anchored, &frontier, old)?;
        if fresh {
            if old.is_some() {
                anchored.own.pop_front();
            }
            anchored.own.push_back(signed.claimed().size);
        }
        Ok(())
    }

    /// Signs a tree's head, in the place of another checkpoint; answers whether it is new.
    fn sign_within(
        &self,
        anchored: &mut Anchored,
        frontier: &Frontier,
        old: Option<u64>,
    ) -> Result<(SignedCheckpoint, bool), EngineError> {
        if let Some(holder) = self.store.remote() {
            return Ok((SignedCheckpoint::parse(&holder.checkpoint()?)?, false));
        }
        let at = |size: u64| [CHECKPOINT, &size.to_be_bytes()].concat();
        let key = self.keys.read().checkpoint(frontier.size());
        let key = key.ok_or_else(|| EngineError::Invalid("the trail is empty".to_owned()))?;
        let signed = key.sign(frontier.size(), frontier.root());
        // One that is there already may have been cosigned since.
        let there = self.store.get(&at(frontier.size()))?;
        let there = there.map(|text| String::from_utf8_lossy(&text).into_owned());
        let there = there.and_then(|text| SignedCheckpoint::parse(&text).ok());
        if let Some(there) = there.filter(|there| there.text().starts_with(signed.text())) {
            self.keep(anchored, &there);
            return Ok((there, false));
        }
        let mut batch = Batch::default();
        if let Some(old) = old {
            batch.delete(at(old));
        }
        batch.put(at(frontier.size()), signed.text().as_bytes());
        self.recorder.commit(batch)?;
        self.keep(anchored, &signed);
        Ok((signed, true))
    }

    /// Records that an older state of the store was taken up on purpose.
    pub(super) fn accept_restore(
        &self,
        taken: &Taken,
        reason: &str,
        by: Option<HumanId>,
    ) -> Result<(), EngineError> {
        check_text("the reason", reason, 4_096)?;
        let by = self.who(by)?;
        let had = self.size()?;
        let number = |size: u64| Value::int(i64::try_from(size).unwrap_or(i64::MAX));
        let (_, ticket) = self.recorder.sequence(|slot| {
            let mut entry = draft(kind::RESTORE)?;
            if let Some(claimed) = taken.kept.as_ref().map(SignedCheckpoint::claimed) {
                entry = entry
                    .with("origin", Value::str(&claimed.origin))
                    .with("size", number(claimed.size))
                    .with("root", Value::bytes(&claimed.root));
            }
            if let Some(lost) = taken.lost {
                entry = entry.with("lost", number(lost));
            }
            let entry = entry
                .with("had", number(had))
                .with("by", Value::str(&by.to_string()))
                .beside("reason", Value::str(reason), &Owner::human(by));
            slot.push(entry, Vec::new());
            Ok::<(), EngineError>(())
        })?;
        self.recorder.wait(ticket.upto)?;
        if taken.lost.is_some() {
            settled(&self.path)?;
        }
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
    /// exports and receipts have them; with a witness's key, its cosignature and nothing else.
    ///
    /// # Errors
    /// `Invalid` for a size without a checkpoint, for lines that are none, or none by the key.
    pub fn add_cosignatures(
        &self,
        size: u64,
        lines: &str,
        witness: Option<&str>,
    ) -> Result<SignedCheckpoint, EngineError> {
        self.check()?;
        let wrong = |error: CheckpointError| EngineError::Invalid(error.to_string());
        let witness = witness.map(WitnessVerifier::parse).transpose().map_err(wrong)?;
        let key = [CHECKPOINT, &size.to_be_bytes()].concat();
        let known = self.store.get(&key)?.ok_or_else(|| {
            EngineError::Invalid(format!("there is no checkpoint over {size} entries"))
        })?;
        let known = SignedCheckpoint::parse(&String::from_utf8_lossy(&known))?;
        let more = known.with_signatures(lines, witness.as_ref()).map_err(wrong)?;
        let mut batch = Batch::default();
        batch.put(key, more.text().as_bytes());
        let mut anchored = self.anchored.lock();
        self.recorder.commit(batch)?;
        anchored.own.retain(|own| *own != size);
        Ok(more)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use crate::engine::Options;
    use crate::registry::Halted;
    use crate::store::SledStore;

    #[test]
    fn a_trail_holds_together_or_a_part_of_it_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store");
        let engine = Engine::open(&path, Options::default()).unwrap();
        engine.halt(Halted::Everything, "a test", None).unwrap();
        engine.unhalt(&Halted::Everything, None, None).unwrap();
        engine.close().unwrap();
        let store = SledStore::open(&path, 0).unwrap();
        holds_together(&store).unwrap();
        let mut blocks = Vec::new();
        store
            .scan(keyspace::BLOCK, None, &mut |key, value| {
                blocks.push((key.to_vec(), value.to_vec()));
                true
            })
            .unwrap();
        for (key, value) in &blocks {
            let mut without = Batch::new();
            without.delete(key.clone());
            store.commit(without).unwrap();
            assert!(matches!(holds_together(&store), Err(StoreError::Corrupt { .. })));
            let mut with = Batch::new();
            with.put(key.clone(), value.clone());
            store.commit(with).unwrap();
            holds_together(&store).unwrap();
        }
        assert!(!blocks.is_empty());
        store.close().unwrap();
    }
}
