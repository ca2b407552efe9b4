//! What the vault keeps out of every record: secrets masked in what is said, refused in what must
//! stay to the byte.

use std::borrow::Cow;

use super::{Engine, EngineError};
use crate::canonical::Value;
use crate::decision::{Decision, Reason, code};

/// The least of the bounds that texts have, in bytes.
const LEAST_BOUND: usize = 128;

impl Engine {
    /// What somebody says in words (a reason, a note, a purpose), without any secret that the vault
    /// knows: so it is stored, recorded and told. Never longer than given, but for short ones.
    pub(super) fn plain<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let Some(mut clean) = self.redact(text) else { return Cow::Borrowed(text) };
        tracing::warn!("a secret of the vault was written into a text; it is masked there");
        // What is within its bounds stays so: no revocation fails for what it was said with.
        let most = text.len().max(LEAST_BOUND);
        if clean.len() > most {
            let end = (0..=most).rev().find(|at| clean.is_char_boundary(*at)).unwrap_or(0);
            clean.truncate(end);
        }
        Cow::Owned(clean)
    }

    /// Refuses a secret of the vault in what must stay to the byte: names that others look up,
    /// and scopes.
    pub(super) fn refuse_secrets(&self, what: &str, text: &str) -> Result<(), EngineError> {
        match self.vault.redactor.find(text.as_bytes()) {
            None => Ok(()),
            Some(name) => Err(EngineError::Invalid(format!(
                "{what} holds the secret of the credential `{name}`; leave it out, a tool gets it with credential=\"{name}\""
            ))),
        }
    }

    /// As [`Engine::refuse_secrets`], for a scope and limits.
    pub(super) fn refuse_secrets_in(
        &self,
        what: &str,
        value: &impl serde::Serialize,
    ) -> Result<(), EngineError> {
        if self.vault.redactor.is_empty() {
            return Ok(());
        }
        let text = serde_json::to_string(value)
            .map_err(|error| EngineError::Invalid(error.to_string()))?;
        self.refuse_secrets(what, &text)
    }

    /// A text without any secret that the vault knows.
    #[must_use]
    pub fn redact(&self, text: &str) -> Option<String> {
        self.vault.redactor.scrub(text)
    }

    /// A value without any secret that the vault knows.
    #[must_use]
    pub fn redact_value(&self, value: &Value) -> Option<Value> {
        self.vault.redactor.veil(value)
    }

    /// What speaks against a call by its tool's name: names stand in leaves as they are, and this
    /// one holds a secret of the vault.
    pub(super) fn secret_in_name(&self, tool: &str) -> Option<Reason> {
        let name = self.vault.redactor.find(tool.as_bytes())?;
        let text = format!("the tool's name holds the secret of the credential `{name}`");
        Some(Reason::new(code::UNKNOWN_TOOL, text).fix("give the tool another name"))
    }

    /// Reasons without any secret that the vault knows.
    pub(super) fn redact_reasons(&self, decision: &mut Decision) {
        if self.vault.redactor.is_empty() {
            return;
        }
        for reason in &mut decision.reasons {
            let texts = [Some(&mut reason.message), reason.allowed.as_mut(), reason.fix.as_mut()];
            for text in texts.into_iter().flatten() {
                if let Some(clean) = self.vault.redactor.scrub(text) {
                    *text = clean;
                }
            }
        }
    }
}
