//! The vault at work: credentials put, rotated and removed; their secrets opened, and known where
//! they must not appear.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::{Engine, EngineError, Lease, Withheld};
use crate::decision::code;
use crate::keys::KeyError;
use crate::principal::{EntryId, HumanId};
use crate::registry::{Held, NewCredential, RegistryError, Sealer, Source, open_secret};
use crate::store::{Batch, StoreError};
use crate::vault::{Redactor, Secret};

/// What the vault holds in memory.
#[derive(Debug, Default)]
pub(super) struct Vault {
    pub(super) redactor: Arc<Redactor>,
    /// Opened secrets by name and version.
    opened: Mutex<HashMap<Box<str>, HashMap<u32, Secret>>>,
    pub(super) live: Mutex<HashMap<EntryId, Weak<Lease>>>,
}

impl Engine {
    /// Puts a credential into the vault.
    ///
    /// # Errors
    /// As `State::put_credential`, and the store's.
    pub fn put_credential(&self, new: &NewCredential<'_>) -> Result<Arc<Held>, EngineError> {
        // Name, patterns and kind are recorded as they are.
        let provider = new.secret.as_ref().err().copied();
        for text in new.for_tools.iter().map(String::as_str).chain([new.name]).chain(provider) {
            self.refuse_secrets("what is said of a credential", text)?;
        }
        if let Ok(secret) = new.secret {
            let own = Redactor::default();
            own.learn(new.name, secret);
            if new
                .for_tools
                .iter()
                .map(String::as_str)
                .chain([new.name])
                .any(|text| own.find(text.as_bytes()).is_some())
            {
                let what = "the credential's name and tools are recorded as they are, and hold its secret; choose others";
                return Err(EngineError::Invalid(what.to_owned()));
            }
        }
        let held = self.transition(|state, now, sealer| {
            let at = now.at;
            let (held, change) = state.put_credential(new, &self.authority_id, at, sealer)?;
            Ok((held, vec![change]))
        })?;
        if let Ok(secret) = new.secret {
            self.vault.learn(new.name, held.facts.current(), secret);
        }
        Ok(held)
    }

    /// Replaces a credential's secret.
    ///
    /// # Errors
    /// As `State::rotate_credential`, and the store's.
    pub fn rotate_credential(
        &self,
        name: &str,
        secret: &Secret,
        overlap: i64,
        expires_at: Option<i64>,
        by: HumanId,
    ) -> Result<Arc<Held>, EngineError> {
        let held = self.transition(|state, now, sealer| {
            let at = now.at;
            let authority = &self.authority_id;
            let (held, change) = state
                .rotate_credential(name, secret, overlap, expires_at, authority, at, by, sealer)?;
            Ok((held, vec![change]))
        })?;
        self.vault.learn(name, held.facts.current(), secret);
        Ok(held)
    }

    /// Removes a credential.
    ///
    /// # Errors
    /// As `State::remove_credential`, and the store's.
    pub fn remove_credential(
        &self,
        name: &str,
        reason: &str,
        by: HumanId,
    ) -> Result<(), EngineError> {
        self.transition(|state, now, sealer| {
            let at = now.at;
            Ok(((), vec![state.remove_credential(name, reason, at, by, sealer)?]))
        })?;
        self.vault.opened.lock().retain(|known, _| **known != *name);
        Ok(())
    }

    /// All credentials, by name, removed ones too.
    #[must_use]
    pub fn credentials(&self) -> Vec<Arc<Held>> {
        self.state.read().credentials()
    }

    /// A credential by name, removed or not.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn credential(&self, name: &str) -> Result<Arc<Held>, EngineError> {
        self.here()?;
        self.state.read().credential(name).cloned().ok_or_else(|| {
            let name = name.chars().take(80).collect();
            RegistryError::NotFound { kind: "credential", name }.into()
        })
    }

    /// The engine's time, in microseconds.
    #[must_use]
    pub fn stamp(&self) -> i64 {
        self.clock.stamp()
    }

    /// Refuses in an engine that is attached to another process's, which knows the secrets.
    ///
    /// # Errors
    /// `Attached`.
    pub fn knows_secrets(&self) -> Result<(), EngineError> {
        match self.store.remote() {
            Some(holder) => Err(holder.elsewhere().into()),
            None => Ok(()),
        }
    }

    pub(super) fn opened(&self, name: &str, version: u32) -> Result<Secret, Withheld> {
        if let Some(secret) = self.vault.known(name, version) {
            return Ok(secret);
        }
        let sealer = Sealer::new(&self.ring, &*self.store);
        let secret = open_secret(&*self.store, &sealer, &self.authority_id, name, version);
        let secret = secret.map_err(|error| withheld(name, &error))?;
        self.vault.learn(name, version, &secret);
        Ok(secret)
    }

    /// Opens what is stored, so that it is known where it must not appear. What does not open is
    /// told when it is asked for.
    pub(super) fn open_vault(&self) -> Result<(), StoreError> {
        if self.store.remote().is_some() {
            // Calls run where the store is held, and so do leases.
            return Ok(());
        }
        let now = self.clock.stamp();
        let mut lapsed = Batch::new();
        for held in self.credentials() {
            let facts = &held.facts;
            if facts.source != Source::Stored || facts.removed_at.is_some() {
                continue;
            }
            for version in &facts.versions {
                let current = version.number == facts.current();
                if !current && version.until.is_none_or(|until| until <= now) {
                    lapsed.delete(crate::registry::secret_at(&facts.name, version.number));
                } else if let Err(withheld) = self.opened(&facts.name, version.number) {
                    tracing::error!(code = withheld.code, "{withheld}");
                }
            }
        }
        // Where another process holds the store, what has lapsed goes there.
        if lapsed.is_empty() || self.store.remote().is_some() {
            return Ok(());
        }
        self.store.commit(lapsed)
    }
}

impl Vault {
    fn learn(&self, name: &str, version: u32, secret: &Secret) {
        self.redactor.learn(name, secret);
        self.opened.lock().entry(name.into()).or_default().insert(version, secret.clone());
    }

    fn known(&self, name: &str, version: u32) -> Option<Secret> {
        self.opened.lock().get(name)?.get(&version).cloned()
    }

    /// Whether nothing has to be read for a lease's secret.
    pub(super) fn has(&self, lease: &Lease) -> bool {
        let opened = self.opened.lock();
        let versions = opened.get(&*lease.credential);
        lease.provider.is_some() || versions.is_some_and(|all| all.contains_key(&lease.version))
    }

    /// Overwrites all that was opened.
    pub(super) fn close(&self) {
        self.redactor.clear();
        self.opened.lock().clear();
        let live = std::mem::take(&mut *self.live.lock());
        live.values().filter_map(Weak::upgrade).for_each(|lease| lease.end());
    }
}

fn withheld(name: &str, error: &RegistryError) -> Withheld {
    let damaged = matches!(
        error,
        RegistryError::Key(KeyError::Sealed)
            | RegistryError::Invalid(_)
            | RegistryError::Store(StoreError::Corrupt { .. })
    );
    if damaged {
        let message = format!(
            "the sealed secret of `{name}` does not open: its bytes were changed, or the key is another one; rotate it, or restore a backup"
        );
        return Withheld { code: "credential_damaged", message };
    }
    let message = format!("the secret of `{name}` cannot be read: {error}");
    Withheld { code: code::CREDENTIAL_UNAVAILABLE, message }
}
