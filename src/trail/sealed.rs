//! What is sealed beside the leaves of a block: for each owner all values, and in merged blocks the
//! texts that lists show in a part of their own, so that whoever lists entries opens little else.
//!
//! `docs/formats.md`, section "Blocks", is normative.

use std::borrow::Cow;

use data_encoding::BASE64URL_NOPAD;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::block::BlockError;
use crate::canonical::{Map, Salt, Value};
use crate::keys::{KeyError, Owner, SealKey};

/// The field whose text lists show.
const SHOWN: &str = "resource";

/// Values of one entry under one owner: its offset in the block, the owner's salt, the values.
#[derive(Serialize, Deserialize)]
pub(super) struct Item(pub(super) u32, pub(super) String, pub(super) Values);

/// A map in its JSON rendering.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Values(pub(super) Value);

impl Item {
    pub(super) fn new(offset: u32, salt: &Salt, values: Map) -> Self {
        Self(offset, BASE64URL_NOPAD.encode(salt), Values(Value::Map(values)))
    }

    /// The salt and the values.
    pub(super) fn open(self) -> Result<(Salt, Map), BlockError> {
        let damaged = |what: &str| BlockError::Damaged(what.to_owned());
        let salt = BASE64URL_NOPAD.decode(self.1.as_bytes()).unwrap_or_default();
        let salt = salt.try_into().map_err(|_| damaged("a salt has 16 bytes"))?;
        match self.2.0 {
            Value::Map(values) => Ok((salt, values)),
            _ => Err(damaged("an entry's values are no map")),
        }
    }
}

/// The text of an entry that lists show: its offset in the block, the text.
#[derive(Serialize, Deserialize)]
struct Text<'a>(u32, #[serde(borrow)] Cow<'a, str>);

/// An entry's values, of which only what lists show is looked at.
#[derive(Deserialize)]
struct Light<'a>(u32, IgnoredAny, #[serde(borrow)] LightValues<'a>);

#[derive(Deserialize)]
struct LightValues<'a> {
    #[serde(borrow, default)]
    resource: Option<Cow<'a, str>>,
}

/// Where something is sealed: whose trail, the index of the block's first leaf, the owner.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) authority_id: &'a str,
    pub(super) first: u64,
    pub(super) owner: &'a Owner,
}

impl Place<'_> {
    fn assertion(&self, what: &str) -> String {
        let Self { authority_id, first, owner } = self;
        format!("answerable/v1/{what}/{authority_id}/{first}/{}", owner.text())
    }

    fn open(&self, what: &str, body: &[u8], key: &SealKey) -> Result<Zeroizing<String>, KeyError> {
        key.open(body, &self.assertion(what))
    }

    fn seal<T: Serialize>(
        &self,
        what: &str,
        items: &[T],
        key: &SealKey,
    ) -> Result<Box<[u8]>, KeyError> {
        let text = Zeroizing::new(serde_json::to_string(items).map_err(|_| KeyError::Sealed)?);
        Ok(key.seal(&text, &self.assertion(what))?.into())
    }
}

const ALL: &str = "block";
const LISTED: &str = "shown";

/// What is sealed for one owner.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) body: Box<[u8]>,
    /// The texts that lists show, where these lie apart and there are any.
    pub(super) shown: Option<Box<[u8]>>,
}

impl Part {
    /// Seals all of it together.
    pub(super) fn together(
        place: Place<'_>,
        items: &[Item],
        key: &SealKey,
    ) -> Result<Self, KeyError> {
        Ok(Self { body: place.seal(ALL, items, key)?, shown: None })
    }

    /// Seals the texts that lists show apart from the rest.
    pub(super) fn apart(
        place: Place<'_>,
        mut items: Vec<Item>,
        key: &SealKey,
    ) -> Result<Self, KeyError> {
        let mut texts = Vec::new();
        for Item(offset, _, Values(values)) in &mut items {
            if let Value::Map(values) = values
                && values.get(SHOWN).and_then(Value::as_str).is_some()
                && let Some(Value::Str(text)) = values.remove(SHOWN)
            {
                texts.push(Text(*offset, text.into_string().into()));
            }
        }
        let shown = (!texts.is_empty()).then(|| place.seal(LISTED, &texts, key)).transpose()?;
        Ok(Self { body: place.seal(ALL, &items, key)?, shown })
    }

    /// All values, in the order of their entries.
    pub(super) fn items(&self, place: Place<'_>, key: &SealKey) -> Result<Vec<Item>, BlockError> {
        let text = place.open(ALL, &self.body, key)?;
        let mut items: Vec<Item> = serde_json::from_str(&text).map_err(damaged)?;
        if let Some(shown) = &self.shown {
            let text = place.open(LISTED, shown, key)?;
            let texts: Vec<Text<'_>> = serde_json::from_str(&text).map_err(damaged)?;
            for Text(offset, text) in texts {
                let at = items.binary_search_by_key(&offset, |item| item.0);
                let item = at.ok().and_then(|at| items.get_mut(at));
                match item {
                    Some(Item(_, _, Values(Value::Map(values)))) => {
                        values.insert(SHOWN, Value::Str(text.into()));
                    }
                    _ => return Err(BlockError::Damaged("a text belongs to no values".to_owned())),
                }
            }
        }
        Ok(items)
    }

    /// The offsets of the entries with values.
    pub(super) fn offsets(&self, place: Place<'_>, key: &SealKey) -> Result<Vec<u32>, BlockError> {
        let text = place.open(ALL, &self.body, key)?;
        let items: Vec<Light<'_>> = serde_json::from_str(&text).map_err(damaged)?;
        Ok(items.iter().map(|item| item.0).collect())
    }

    /// Calls `each` with the offset of each entry that lists show a text of, and that text; `apart`
    /// says that these lie apart.
    pub(super) fn each_shown(
        &self,
        place: Place<'_>,
        key: &SealKey,
        apart: bool,
        each: &mut dyn FnMut(u32, &str),
    ) -> Result<(), BlockError> {
        if apart {
            let Some(shown) = &self.shown else { return Ok(()) };
            let text = place.open(LISTED, shown, key)?;
            let texts: Vec<Text<'_>> = serde_json::from_str(&text).map_err(damaged)?;
            for Text(offset, text) in &texts {
                each(*offset, text);
            }
            return Ok(());
        }
        let text = place.open(ALL, &self.body, key)?;
        let items: Vec<Light<'_>> = serde_json::from_str(&text).map_err(damaged)?;
        for Light(offset, _, values) in &items {
            if let Some(text) = &values.resource {
                each(*offset, text);
            }
        }
        Ok(())
    }
}

#[allow(clippy::needless_pass_by_value)] // As `map_err` gives it.
fn damaged(error: serde_json::Error) -> BlockError {
    BlockError::Damaged(error.to_string())
}

#[cfg(test)]
#[path = "sealed_tests.rs"]
mod tests;
