//! What a witness of checkpoints needs: its key, and the checks of a checkpoint and of a proof.

use data_encoding::{BASE64, HEXLOWER};
use pyo3::prelude::*;

use super::convert::{Text, Texts, Tree, Whole};
use super::errors;
use crate::canonical::Digest;
use crate::engine::shown;
use crate::keys::random;
use crate::trail::checkpoint::{CheckpointVerifier, SignedCheckpoint};
use crate::trail::proof::verify_consistency;
use crate::trail::witness::{WitnessKey, WitnessVerifier};

const PREFIX: &str = "PRIVATE+KEY+";

/// A witness's key: it cosigns checkpoints.
#[pyclass(frozen, module = "answerable._core", name = "Witness")]
pub(super) struct Witness {
    key: WitnessKey,
    seed: zeroize::Zeroizing<[u8; 32]>,
}

#[pymethods]
impl Witness {
    /// From the text that `secret` answered.
    #[new]
    fn new(py: Python<'_>, text: Text<'_>) -> PyResult<Self> {
        let wrong = || errors::invalid(py, "not a witness's secret key", "make one anew");
        let rest = text.trim().strip_prefix(PREFIX).ok_or_else(wrong)?;
        let mut parts = rest.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong());
        };
        let blob = zeroize::Zeroizing::new(BASE64.decode(key.as_bytes()).map_err(|_| wrong())?);
        let Some((4, seed)) = blob.split_first() else { return Err(wrong()) };
        let made = Self::from_seed(py, name, seed.try_into().map_err(|_| wrong())?)?;
        let same = HEXLOWER.encode(&made.key.verifier().key_id()) == id;
        if same { Ok(made) } else { Err(wrong()) }
    }

    /// A new key for a witness of this name.
    #[staticmethod]
    fn generate(py: Python<'_>, name: Text<'_>) -> PyResult<Self> {
        let seed = random().map_err(|error| errors::key(py, &error))?;
        Self::from_seed(py, &name, seed)
    }

    /// The secret key as text: for a private file.
    fn secret(&self) -> String {
        let id = HEXLOWER.encode(&self.key.verifier().key_id());
        let blob = zeroize::Zeroizing::new([&[4][..], &*self.seed].concat());
        format!("{PREFIX}{}+{id}+{}", self.key.verifier().name(), BASE64.encode(&blob))
    }

    /// The C2SP verifier key.
    #[getter]
    fn key(&self) -> String {
        self.key.verifier().to_string()
    }

    /// The cosignature line of a checkpoint at a time.
    fn cosign(
        &self,
        py: Python<'_>,
        note: Text<'_>,
        seconds: Whole<0, { u64::MAX }>,
    ) -> PyResult<String> {
        Ok(self.key.cosign(&parsed(py, &note)?, seconds.0))
    }

    fn __repr__(&self) -> String {
        format!("<witness {}>", self.key.verifier().name())
    }
}

impl Witness {
    fn from_seed(py: Python<'_>, name: &str, seed: [u8; 32]) -> PyResult<Self> {
        let key = WitnessKey::from_seed(name, &seed)
            .map_err(|error| errors::invalid(py, &error.to_string(), ""))?;
        Ok(Self { key, seed: zeroize::Zeroizing::new(seed) })
    }
}

fn parsed(py: Python<'_>, note: &str) -> PyResult<SignedCheckpoint> {
    SignedCheckpoint::parse(note).map_err(|error| errors::invalid(py, &error.to_string(), ""))
}

/// Origin, size and root of a checkpoint, without looking at its signature.
#[pyfunction]
pub(super) fn read_checkpoint(py: Python<'_>, note: Text<'_>) -> PyResult<(String, u64, String)> {
    let note = parsed(py, &note)?;
    let claimed = note.claimed();
    Ok((claimed.origin.clone(), claimed.size, BASE64.encode(&claimed.root)))
}

/// Whether a checkpoint is signed by a log's key, a C2SP verifier key.
#[pyfunction]
pub(super) fn signed_by(py: Python<'_>, note: Text<'_>, key: Text<'_>) -> PyResult<bool> {
    let note = parsed(py, &note)?;
    let key = CheckpointVerifier::parse(&key).map_err(|error| {
        let message = format!("`{}` is no log's key: {error}", shown(&key, 80));
        errors::invalid(py, &message, "give what `answerable trail checkpoint --key` prints")
    })?;
    Ok(note.verify(&key).is_ok())
}

/// When a witness cosigned a checkpoint, in seconds since 1970; None if it did not.
#[pyfunction]
pub(super) fn cosigned_at(py: Python<'_>, note: Text<'_>, key: Text<'_>) -> PyResult<Option<u64>> {
    let key = WitnessVerifier::parse(&key)
        .map_err(|error| errors::invalid(py, &error.to_string(), ""))?;
    Ok(key.cosigned(&parsed(py, &note)?))
}

/// Whether a tree is the beginning of another, by a proof: hashes in base64.
#[pyfunction]
pub(super) fn consistent(py: Python<'_>, old: Tree, new: Tree, proof: Texts) -> PyResult<bool> {
    let hash = |text: &str| -> PyResult<Digest> {
        let bytes = BASE64.decode(text.as_bytes()).ok();
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| errors::invalid(py, "a hash is not the standard base64 of 32 bytes", ""))
    };
    let path: PyResult<Vec<Digest>> = proof.0.iter().map(|text| hash(text)).collect();
    Ok(verify_consistency(old.0, &hash(&old.1)?, new.0, &hash(&new.1)?, &path?).is_ok())
}
