#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use super::super::amend::{amend, offsets, owners};
use super::super::block::{Block, MERGED_FORMAT, PACKED_FORMAT, merge, pack};
use super::super::entry::{Draft, Opened};
use super::*;
use crate::canonical::decode;
use crate::principal::EntryId;

const AUTHORITY: &str = "k4.pid.test";
const FIRST: u64 = 7;

/// The keys of the owners that there are.
type Keys = BTreeMap<Owner, SealKey>;

fn keys() -> Keys {
    let names = ["hum_a", "hum_b", "hum_c"];
    names.map(|name| (Owner::from_text(name), SealKey::generate().unwrap())).into()
}

fn resource_of(place: u64) -> String {
    format!("customer/\"{place}\" ⇒ é")
}

/// Ten entries of three owners: all have a note, the last one of each three no resource.
fn drafts() -> Vec<Draft> {
    let draft = |place: u8| {
        let owner = Owner::from_text(["hum_a", "hum_b", "hum_c"][usize::from(place) % 3]);
        let draft = Draft::new(EntryId::from_bytes([place; 16]), "decision", [place + 1; 16])
            .beside("note", Value::str(&format!("note {place}")), &owner);
        match place % 3 {
            2 => draft,
            _ => draft.beside("resource", Value::str(&resource_of(u64::from(place))), &owner),
        }
    };
    (0..10).map(draft).collect()
}

/// Blocks as entries are recorded, of two and three entries.
fn recorded(keys: &Keys) -> Vec<Block> {
    let drafts = drafts();
    let with_leaves: Vec<(&Draft, Vec<u8>)> = drafts.iter().map(|d| (d, d.leaf(5))).collect();
    let mut first = FIRST;
    [&with_leaves[..2], &with_leaves[2..5], &with_leaves[5..7], &with_leaves[7..]]
        .map(|some| {
            let key_of = &mut |owner: &Owner| Ok(keys[owner].clone());
            let bytes = pack(AUTHORITY, first, some, key_of).unwrap();
            let block = Block::read(first, &bytes).unwrap();
            first = block.end();
            block
        })
        .into()
}

fn merged(keys: &Keys) -> Vec<u8> {
    let key_of = &mut |owner: &Owner| Ok(keys.get(owner).cloned());
    merge(AUTHORITY, &recorded(keys), key_of).unwrap().encode()
}

fn values(block: &Block, keys: &Keys) -> Vec<Vec<Opened>> {
    let key_of = &mut |owner: &Owner| Ok(keys.get(owner).cloned());
    block.values_of(AUTHORITY, key_of, &vec![true; block.len()]).unwrap()
}

fn shown(block: &Block, keys: &Keys) -> BTreeMap<u64, String> {
    let key_of = &mut |owner: &Owner| Ok(keys.get(owner).cloned());
    let mut found = BTreeMap::new();
    block
        .each_shown(AUTHORITY, key_of, &|_| true, &mut |offset, text| {
            assert!(found.insert(u64::from(offset), text.to_owned()).is_none());
        })
        .unwrap();
    found
}

fn expected(of: impl Fn(u64) -> bool) -> BTreeMap<u64, String> {
    let some = (0..10).filter(|place| place % 3 != 2 && of(*place));
    some.map(|place| (place, resource_of(place))).collect()
}

fn part<'a>(block: &'a Map, name: &str) -> &'a Map {
    block.get(name).and_then(Value::as_map).unwrap()
}

fn map_of(bytes: &[u8]) -> Map {
    match decode(bytes).unwrap() {
        Value::Map(map) => map,
        other => panic!("{other:?}"),
    }
}

/// The block as it was merged before: all values of an owner together.
fn packed(bytes: &[u8], keys: &Keys) -> Vec<u8> {
    let mut block = map_of(bytes);
    let (bodies, texts) = (part(&block, "sealed").clone(), part(&block, "shown").clone());
    let mut sealed = Map::new();
    for (name, body) in bodies.iter() {
        let owner = Owner::from_text(name);
        let place = Place { authority_id: AUTHORITY, first: FIRST, owner: &owner };
        let shown = texts.get(name).map(|texts| texts.as_bytes().unwrap().into());
        let part = Part { body: body.as_bytes().unwrap().into(), shown };
        let items = part.items(place, &keys[&owner]).unwrap();
        let together = Part::together(place, &items, &keys[&owner]).unwrap();
        sealed.insert(name, Value::bytes(&together.body));
    }
    block.remove("shown");
    block.insert("v", Value::int(PACKED_FORMAT));
    block.insert("sealed", Value::Map(sealed));
    Value::Map(block).encode()
}

#[test]
fn a_merged_block_holds_what_its_parts_held() {
    let keys = keys();
    let parts: Vec<_> = recorded(&keys).iter().flat_map(|block| values(block, &keys)).collect();
    assert!(parts.iter().flatten().any(|opened| &*opened.field == "resource"));
    let bytes = merged(&keys);
    assert_eq!(map_of(&bytes).get("v").and_then(Value::as_i64), Some(MERGED_FORMAT));
    let block = Block::read(FIRST, &bytes).unwrap();
    assert_eq!(values(&block, &keys), parts);
    assert_eq!(shown(&block, &keys), expected(|_| true));
    // Merged once more, it is the same.
    let key_of = &mut |owner: &Owner| Ok(keys.get(owner).cloned());
    let again = merge(AUTHORITY, &[block], key_of).unwrap();
    assert_eq!(values(&again, &keys), parts);
    assert_eq!(shown(&again, &keys), expected(|_| true));
}

#[test]
fn blocks_of_all_formats_show_alike() {
    let keys = keys();
    let bytes = merged(&keys);
    let (now, before) = (Block::read(FIRST, &bytes), Block::read(FIRST, &packed(&bytes, &keys)));
    let (now, before) = (now.unwrap(), before.unwrap());
    assert_eq!(values(&now, &keys), values(&before, &keys));
    assert_eq!(shown(&now, &keys), shown(&before, &keys));
    let mut parts = BTreeMap::new();
    for block in recorded(&keys) {
        let some = shown(&block, &keys).into_iter();
        parts.extend(some.map(|(offset, text)| (block.first() - FIRST + offset, text)));
    }
    assert_eq!(parts, shown(&now, &keys));
    // One that was merged before becomes one of now.
    let key_of = &mut |owner: &Owner| Ok(keys.get(owner).cloned());
    let again = merge(AUTHORITY, &[before], key_of).unwrap().encode();
    assert_eq!(map_of(&again).get("v").and_then(Value::as_i64), Some(MERGED_FORMAT));
    assert_eq!(shown(&Block::read(FIRST, &again).unwrap(), &keys), expected(|_| true));
}

#[test]
fn what_lists_show_lies_in_its_own_part_only() {
    let keys = keys();
    let block = map_of(&merged(&keys));
    for (owner, key) in &keys {
        let place = Place { authority_id: AUTHORITY, first: FIRST, owner };
        let body = part(&block, "sealed").get(owner.text()).unwrap().as_bytes().unwrap();
        let all = place.open(ALL, body, key).unwrap();
        assert!(all.contains("note") && !all.contains("customer"), "{}", *all);
        let Some(texts) = part(&block, "shown").get(owner.text()) else {
            assert_eq!(owner.text(), "hum_c", "who has no resource shows none");
            continue;
        };
        let texts = texts.as_bytes().unwrap();
        let text = place.open(LISTED, texts, key).unwrap();
        assert!(text.contains("customer") && !text.contains("note"), "{}", *text);
        // Neither opens as the other, nor in another block, nor for another owner.
        assert_eq!(place.open(ALL, texts, key).unwrap_err(), KeyError::Sealed);
        assert_eq!(place.open(LISTED, body, key).unwrap_err(), KeyError::Sealed);
        let elsewhere = Place { first: FIRST + 1, ..place };
        assert_eq!(elsewhere.open(LISTED, texts, key).unwrap_err(), KeyError::Sealed);
        let another = Owner::from_text("hum_x");
        let others = Place { owner: &another, ..place };
        assert_eq!(others.open(LISTED, texts, key).unwrap_err(), KeyError::Sealed);
    }
}

#[test]
fn what_an_owner_without_a_key_had_is_closed_and_goes_with_a_merge() {
    let mut keys = keys();
    let block = Block::read(FIRST, &merged(&keys)).unwrap();
    keys.remove(&Owner::from_text("hum_a"));
    assert_eq!(shown(&block, &keys), expected(|place| place % 3 != 0));
    assert!(values(&block, &keys).iter().step_by(3).all(Vec::is_empty));
    let key_of = &mut |owner: &Owner| Ok(keys.get(owner).cloned());
    let bytes = merge(AUTHORITY, &[block], key_of).unwrap().encode();
    for name in ["sealed", "shown", "places"] {
        assert!(part(&map_of(&bytes), name).get("hum_a").is_none(), "{name}");
    }
    assert_eq!(owners(&bytes).unwrap(), keys.keys().cloned().collect::<Vec<_>>());
}

#[test]
fn both_parts_go_with_their_owner() {
    let keys = keys();
    let gone = |owner: &Owner| owner.text() == "hum_b";
    let bytes = amend(AUTHORITY, FIRST, &merged(&keys), &gone, &|_| false, &mut |_| None).unwrap();
    for name in ["sealed", "shown"] {
        assert!(part(&map_of(&bytes), name).get("hum_b").is_none(), "{name}");
    }
    let block = Block::read(FIRST, &bytes).unwrap();
    assert_eq!(shown(&block, &keys), expected(|place| place % 3 != 1));
}

#[test]
fn both_parts_of_an_entry_go_and_the_others_lie_under_the_new_key() {
    let old = keys();
    let a = Owner::from_text("hum_a");
    let mut new = old.clone();
    new.insert(a.clone(), SealKey::generate().unwrap());
    let rekey =
        &mut |owner: &Owner| (*owner == a).then(|| (old[owner].clone(), new[owner].clone()));
    let whole = merged(&old);
    for before in [whole.clone(), packed(&whole, &old)] {
        let version = map_of(&before).get("v").cloned();
        let bytes =
            amend(AUTHORITY, FIRST, &before, &|_| false, &|offset| offset == 3, rekey).unwrap();
        assert_eq!(map_of(&bytes).get("v").cloned(), version, "the format stays");
        let block = Block::read(FIRST, &bytes).unwrap();
        assert_eq!(shown(&block, &new), expected(|place| place != 3));
        let left = values(&block, &new);
        let mut all = values(&Block::read(FIRST, &whole).unwrap(), &old);
        all[3].clear();
        assert_eq!(left, all);
        assert_eq!(offsets(AUTHORITY, FIRST, &bytes, &a, &new[&a]).unwrap(), [0, 6, 9]);
        // The key of before opens neither part.
        let key_of = &mut |owner: &Owner| Ok(old.get(owner).cloned());
        let refused = block.each_shown(AUTHORITY, key_of, &|_| true, &mut |_, _| {});
        assert_eq!(refused, Err(BlockError::Key(KeyError::Sealed)));
    }
}

#[test]
fn damaged_parts_are_told_from_missing_ones() {
    let keys = keys();
    let key_of = &mut |owner: &Owner| Ok(keys.get(owner).cloned());
    let whole = map_of(&merged(&keys));
    let read = |block: &Map| Block::read(FIRST, &Value::Map(block.clone()).encode());
    let mut block = whole.clone();
    block.remove("shown");
    assert!(matches!(read(&block), Err(BlockError::Damaged(_))));
    block.insert("v", Value::int(MERGED_FORMAT + 1));
    assert_eq!(read(&block).unwrap_err(), BlockError::Newer(MERGED_FORMAT + 1));
    let mut texts = part(&whole, "shown").clone();
    let mut bytes = texts.get("hum_a").unwrap().as_bytes().unwrap().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    texts.insert("hum_a", Value::bytes(&bytes));
    let mut block = whole;
    block.insert("shown", Value::Map(texts));
    let block = read(&block).unwrap();
    let refused = block.values_of(AUTHORITY, key_of, &[true; 10]);
    assert_eq!(refused, Err(BlockError::Key(KeyError::Sealed)));
}
