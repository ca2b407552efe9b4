//! How the fields of a grant's payload are spelled.

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Deserializer, Serializer, de};

use crate::clock::{parse_seconds, render_seconds};

pub(super) mod seconds {
    use super::{Deserialize, Deserializer, Serializer, de, parse_seconds, render_seconds};

    pub(in crate::grant) fn serialize<S: Serializer>(
        micros: &i64,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match render_seconds(*micros) {
            Some(text) => serializer.serialize_str(&text),
            None => Err(serde::ser::Error::custom("a time outside the years 0 to 9999")),
        }
    }

    pub(in crate::grant) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<i64, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        parse_seconds(&text)
            .ok_or_else(|| de::Error::custom("a time is not of the form 2026-11-24T08:00:00Z"))
    }
}

pub(super) mod base64url {
    use super::{BASE64URL_NOPAD, Deserialize, Deserializer, Serializer, de};

    pub(in crate::grant) fn serialize<S: Serializer, const N: usize>(
        bytes: &[u8; N],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64URL_NOPAD.encode(bytes))
    }

    pub(in crate::grant) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        deserializer: D,
    ) -> Result<[u8; N], D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok();
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| de::Error::custom(format!("expected {N} bytes in base64url")))
    }
}

pub(super) mod base64url_option {
    use super::{Deserializer, Serializer, base64url};

    pub(in crate::grant) fn serialize<S: Serializer, const N: usize>(
        bytes: &Option<[u8; N]>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => base64url::serialize(bytes, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(in crate::grant) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        deserializer: D,
    ) -> Result<Option<[u8; N]>, D::Error> {
        // Present means bytes: `null` is refused, so that absence has one spelling.
        base64url::deserialize(deserializer).map(Some)
    }
}
