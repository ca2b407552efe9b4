//! Principals and ids: who there is. Ids are random; names are looked up beside them.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE32_NOPAD, Encoding};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::keys::PublicKey;

/// Why text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {kind} id: expected `{prefix}` and 26 characters of a-z, 2-7")]
pub struct IdError {
    text: String,
    kind: &'static str,
    prefix: &'static str,
}

fn render(prefix: &str, bytes: &[u8; 16]) -> String {
    format!("{prefix}{}", BASE32_NOPAD.encode(bytes).to_ascii_lowercase())
}

fn parse(prefix: &str, text: &str) -> Option<[u8; 16]> {
    let body = text.strip_prefix(prefix)?;
    if body.len() != 26 || body.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    // Strict: trailing bits must be zero, so each id has one text.
    let strict: &Encoding = &BASE32_NOPAD;
    strict.decode(body.to_ascii_uppercase().as_bytes()).ok()?.try_into().ok()
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident, $prefix:literal, $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; 16]);

        impl $name {
            /// What its text starts with.
            pub const PREFIX: &'static str = $prefix;

            /// From 16 random bytes.
            #[must_use]
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The 16 bytes.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&render($prefix, &self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                parse($prefix, text).map(Self).ok_or_else(|| IdError {
                    text: text.chars().take(60).collect(),
                    kind: $kind,
                    prefix: $prefix,
                })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// A human.
    HumanId, "hum_", "human";
    /// An agent.
    AgentId, "agt_", "agent";
    /// A grant.
    GrantId, "gnt_", "grant";
    /// A task.
    TaskId, "tsk_", "task";
    /// An entry of the trail.
    EntryId, "ent_", "entry";
    /// An approval.
    ApprovalId, "apr_", "approval";
    /// A rule.
    RuleId, "rul_", "rule";
    /// A credential in the vault.
    CredentialId, "crd_", "credential";
    /// What a framework may write down in place of a chain. It stands nowhere in the trail.
    Handle, "hdl_", "handle";
}

/// How sure we are of a human.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Assurance {
    /// An operator said so.
    Asserted,
    /// An identity provider said so (OpenID Connect).
    Oidc,
    /// The human's own key signed.
    Signed,
}

impl Assurance {
    /// The word on the wire.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Asserted => "asserted",
            Self::Oidc => "oidc",
            Self::Signed => "signed",
        }
    }
}

/// The state of an agent's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// May hold grants and act.
    Active,
    /// May not act until it is resumed.
    Suspended,
    /// Ended for good.
    Retired,
}

impl Status {
    /// The word on the wire.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Retired => "retired",
        }
    }
}

/// A key that was replaced, and until when grants to it are honoured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlap {
    /// The key.
    pub key: PublicKey,
    /// Until when, in microseconds.
    pub until: i64,
    /// The place of the entry with which this engine made it; absent for a key of the agent's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<u64>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_id_has_one_text() {
        let id = AgentId::from_bytes([7; 16]);
        let text = id.to_string();
        assert_eq!(text.len(), 30);
        assert_eq!(text.parse::<AgentId>().unwrap(), id);
        assert!(text.parse::<HumanId>().is_err());
        assert!(text.to_uppercase().parse::<AgentId>().is_err());
        // The last character carries two bits that must be zero.
        let last = text.replace(char::is_whitespace, "");
        let changed = format!("{}b", &last[..last.len() - 1]);
        assert!(changed.parse::<AgentId>().is_err() || changed == text);
        assert!(format!("{text}=").parse::<AgentId>().is_err());
    }
}
