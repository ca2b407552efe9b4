//! Values taken out of a block: its leaves, and what they commit to, stay byte for byte.

use super::block::{BlockError, SealedItem, assertion};
use crate::canonical::{Map, Value, decode};
use crate::keys::{KeyError, Owner, SealKey};

/// An owner's data key, and the one that their values are to lie under from now on.
pub type Rekey<'a> = dyn FnMut(&Owner) -> Option<(SealKey, SealKey)> + 'a;

/// The owners that have values in a block.
///
/// # Errors
/// `Damaged` for bytes that are no block.
pub fn owners(bytes: &[u8]) -> Result<Vec<Owner>, BlockError> {
    let (_, sealed) = parts(bytes)?;
    Ok(sealed.iter().map(|(owner, _)| Owner::from_text(owner)).collect())
}

/// The offsets of the entries that an owner has values of in a block.
///
/// # Errors
/// `Damaged` for bytes that are no block, `Key` if the values do not open.
pub fn offsets(
    authority_id: &str,
    first: u64,
    bytes: &[u8],
    owner: &Owner,
    key: &SealKey,
) -> Result<Vec<u32>, BlockError> {
    let (_, sealed) = parts(bytes)?;
    let Some(body) = sealed.get(owner.text()).and_then(Value::as_bytes) else {
        return Ok(Vec::new());
    };
    let text = key.open(body, &assertion(authority_id, first, owner))?;
    Ok(items(&text)?.iter().map(|item| item.0).collect())
}

/// The block without the values of owners that are `gone` and of entries at offsets that are
/// `dropped`; the values of owners that `rekey` answers keys for are sealed under the new one.
///
/// # Errors
/// `Damaged` for bytes that are no block, `Key` if values cannot be sealed.
pub fn amend(
    authority_id: &str,
    first: u64,
    bytes: &[u8],
    gone: &dyn Fn(&Owner) -> bool,
    dropped: &dyn Fn(u32) -> bool,
    rekey: &mut Rekey<'_>,
) -> Result<Vec<u8>, BlockError> {
    let (mut block, sealed) = parts(bytes)?;
    let mut kept = Map::new();
    for (name, body) in sealed.iter() {
        let owner = Owner::from_text(name);
        if gone(&owner) {
            continue;
        }
        let Some((old, new)) = rekey(&owner) else {
            kept.insert(name, body.clone());
            continue;
        };
        let assertion = assertion(authority_id, first, &owner);
        let Ok(text) = old.open(body.as_bytes().unwrap_or_default(), &assertion) else {
            // Damaged: it was closed before and stays so.
            kept.insert(name, body.clone());
            continue;
        };
        let mut items = items(&text)?;
        items.retain(|item| !dropped(item.0));
        if items.is_empty() {
            continue;
        }
        let text = serde_json::to_string(&items).map_err(|_| KeyError::Sealed)?;
        kept.insert(name, Value::bytes(&new.seal(&text, &assertion)?));
    }
    block.insert("sealed", Value::Map(kept));
    Ok(Value::Map(block).encode())
}

fn parts(bytes: &[u8]) -> Result<(Map, Map), BlockError> {
    let damaged = |what: &str| BlockError::Damaged(what.to_owned());
    let value = decode(bytes).map_err(|error| BlockError::Damaged(error.to_string()))?;
    let Value::Map(mut block) = value else { return Err(damaged("it is no map")) };
    match block.remove("sealed") {
        Some(Value::Map(sealed)) => Ok((block, sealed)),
        _ => Err(damaged("it has no sealed part")),
    }
}

fn items(text: &str) -> Result<Vec<SealedItem>, BlockError> {
    serde_json::from_str(text).map_err(|error| BlockError::Damaged(error.to_string()))
}
