//! Values taken out of a block: its leaves, and what they commit to, stay byte for byte.

use super::block::{BlockError, MERGED_FORMAT};
use super::sealed::{Part, Place};
use crate::canonical::{Map, Value, decode};
use crate::keys::{Owner, SealKey};

/// An owner's data key, and the one that their values are to lie under from now on.
pub type Rekey<'a> = dyn FnMut(&Owner) -> Option<(SealKey, SealKey)> + 'a;

/// The owners that have values in a block.
///
/// # Errors
/// `Damaged` for bytes that are no block.
pub fn owners(bytes: &[u8]) -> Result<Vec<Owner>, BlockError> {
    let (_, sealed, _) = parts(bytes)?;
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
    let (_, sealed, shown) = parts(bytes)?;
    match part_of(&sealed, shown.as_ref(), owner.text()) {
        Some(part) => part.offsets(Place { authority_id, first, owner }, key),
        None => Ok(Vec::new()),
    }
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
    let (mut block, sealed, shown) = parts(bytes)?;
    let apart = shown.is_some();
    let (mut kept, mut kept_shown) = (Map::new(), Map::new());
    for (name, body) in sealed.iter() {
        let owner = Owner::from_text(name);
        if gone(&owner) {
            continue;
        }
        let Some(part) = part_of(&sealed, shown.as_ref(), name) else {
            // Damaged: it was closed before and stays so.
            kept.insert(name, body.clone());
            continue;
        };
        let place = Place { authority_id, first, owner: &owner };
        let part = match rekey(&owner) {
            None => part,
            Some((old, new)) => match part.items(place, &old) {
                Err(_) => part, // Damaged as well.
                Ok(mut items) => {
                    items.retain(|item| !dropped(item.0));
                    if items.is_empty() {
                        continue;
                    }
                    match apart {
                        true => Part::apart(place, items, &new)?,
                        false => Part::together(place, &items, &new)?,
                    }
                }
            },
        };
        kept.insert(name, Value::bytes(&part.body));
        if let Some(texts) = part.shown {
            kept_shown.insert(name, Value::bytes(&texts));
        }
    }
    block.insert("sealed", Value::Map(kept));
    if apart {
        block.insert("shown", Value::Map(kept_shown));
    }
    Ok(Value::Map(block).encode())
}

/// What a block says beside what is sealed, what is sealed, and what of that lists show, where it
/// lies apart.
fn parts(bytes: &[u8]) -> Result<(Map, Map, Option<Map>), BlockError> {
    let value = decode(bytes).map_err(|error| BlockError::Damaged(error.to_string()))?;
    let Value::Map(mut block) = value else { return Err(damaged("it is no map")) };
    let Some(Value::Map(sealed)) = block.remove("sealed") else {
        return Err(damaged("it has no sealed part"));
    };
    let apart = block.get("v").and_then(Value::as_i64) == Some(MERGED_FORMAT);
    match (apart, block.remove("shown")) {
        (false, _) => Ok((block, sealed, None)),
        (true, Some(Value::Map(shown))) => Ok((block, sealed, Some(shown))),
        (true, _) => Err(damaged("what it shows is no map")),
    }
}

fn part_of(sealed: &Map, shown: Option<&Map>, owner: &str) -> Option<Part> {
    let body = sealed.get(owner)?.as_bytes()?.into();
    let shown = match shown.and_then(|shown| shown.get(owner)) {
        Some(shown) => Some(shown.as_bytes()?.into()),
        None => None,
    };
    Some(Part { body, shown })
}

fn damaged(what: &str) -> BlockError {
    BlockError::Damaged(what.to_owned())
}
