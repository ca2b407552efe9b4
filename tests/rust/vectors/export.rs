//! Exported trails: one that is sound, and tampered ones with the faults that must be found.

use answerable::canonical::{Map, Value};
use answerable::clock::render_instant;
use answerable::keys::PublicKey;
use answerable::trail::checkpoint::{CheckpointKey, origin_of};
use answerable::trail::merkle::{Frontier, leaf_hash};
use answerable::trail::verify::{Fault, Report, VerifyError, verify};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value as Json, json};

use crate::trail::{
    Entry, Keys, START, checkpoint, checkpoint_line, entries, entry, header, id, line, lines,
    revocation,
};
use crate::{committed, committed_json};

struct Case {
    name: &'static str,
    text: String,
    authority: PublicKey,
    since: Vec<String>,
}

/// The cases; line n of the sound export is `lines[n]`, its entry n - 1.
#[allow(clippy::too_many_lines)]
fn cases() -> Vec<Case> {
    let keys = Keys::new(1);
    let sizes = [4, 8, 12];
    let all = entries(&keys);
    let sound = lines(&keys, &all, &sizes);
    let since = |size| checkpoint(&keys, &all, size);
    let mut out: Vec<Case> = Vec::new();
    let mut add = |name, lines: Vec<String>, since: Vec<String>| {
        let text = lines.join("\n") + "\n";
        out.push(Case { name, text, authority: keys.authority(), since });
    };
    let edit = |at: usize, from: &str, to: &str| {
        let mut lines = sound.clone();
        assert!(lines[at].contains(from), "{at}: {from}");
        lines[at] = lines[at].replacen(from, to, 1);
        lines
    };
    let change = |at: usize, change: &dyn Fn(&mut Entry)| {
        let mut entries = all.clone();
        change(&mut entries[at]);
        entries
    };
    // All hashes, checkpoints and the header made anew, by the holder of all keys.
    let remade = |entries: &[Entry]| lines(&keys, entries, &sizes);

    add("sound", sound.clone(), vec![]);
    add("sound_since", sound.clone(), vec![since(4), since(12), since(8), since(1)]);
    let mut withheld = sound.clone();
    withheld[4] = withheld[4].split(r#","values""#).next().unwrap().to_owned() + "}";
    add("sound_withheld", withheld, vec![]);
    let mut cosigned = sound.clone();
    let witness = "\u{2014} witness.example/w1 AAAAAAAAAAAAAAAA\n";
    cosigned[15] = checkpoint_line(&(since(8) + witness));
    add("sound_cosigned", cosigned, vec![]);
    add("sound_other_spelling", edit(4, r#":80.0"#, r#": 8.00E1"#), vec![]);
    add("sound_without_checkpoints", lines(&keys, &all, &[]), vec![]);

    add("edited_leaf", edit(4, "pay.transfer", "pay.refund"), vec![]);
    let mut refund = sound.clone();
    refund[4] = line(3, &change(3, &|e| e.leaf.insert("tool", Value::str("pay.refund")))[3]);
    add("edited_leaf_rehashed", refund, vec![]);
    let hash = sound[4].split(r#""hash":""#).nth(1).unwrap()[..43].to_owned();
    let other_hash = sound[5].split(r#""hash":""#).nth(1).unwrap()[..43].to_owned();
    add("edited_hash", edit(4, &hash, &other_hash), vec![]);
    add("edited_value", edit(4, ":80.0", ":8.0"), vec![]);
    add("edited_value_type", edit(4, ":80.0", ":80"), vec![]);
    let salt = sound[4].split(r#""salt":""#).nth(1).unwrap()[..22].to_owned();
    add("edited_salt", edit(4, &salt, "AAAAAAAAAAAAAAAAAAAAAA"), vec![]);
    add(
        "value_moved_to_another_field",
        edit(4, r#","resource":{"salt""#, r#","res":{"salt""#),
        vec![],
    );

    let mut dropped = sound.clone();
    dropped.remove(4);
    add("dropped", dropped.clone(), vec![]);
    dropped[0] = header(&keys, 12, 3);
    add("dropped_header_adjusted", dropped, vec![]);
    let mut first = sound.clone();
    first.remove(1);
    add("dropped_first", first, vec![]);
    let mut swapped = sound.clone();
    swapped.swap(7, 8);
    add("swapped", swapped, vec![]);
    let mut later = sound.clone();
    let moved = later.remove(7);
    later.insert(10, moved);
    add("moved_later", later, vec![]);
    let forged = entry(40, "decision", &[("effect", Value::str("deny"))], &[]);
    let mut inserted = sound.clone();
    inserted.insert(
        8,
        line(7, &{
            let mut forged = forged.clone();
            forged.leaf.insert("at", all[6].leaf.get("at").unwrap().clone());
            forged
        }),
    );
    add("inserted", inserted, vec![]);
    let mut renumbered = all.clone();
    renumbered.insert(7, {
        let mut forged = forged.clone();
        forged.leaf.insert("at", all[6].leaf.get("at").unwrap().clone());
        forged
    });
    let mut renumbered = lines(&keys, &renumbered, &[]);
    renumbered.extend_from_slice(&sound[14..]);
    renumbered[0] = header(&keys, 14, 3);
    add("inserted_renumbered", renumbered, vec![]);
    let mut duplicated = sound.clone();
    duplicated.insert(8, sound[7].clone());
    add("duplicated", duplicated, vec![]);
    add("wrong_index", edit(7, r#""index":6"#, r#""index":600"#), vec![]);

    let mut cut = sound.clone();
    cut.drain(9..14);
    add("cut_tail", cut.clone(), vec![]);
    cut[0] = header(&keys, 8, 3);
    add("cut_tail_header_adjusted", cut.clone(), vec![]);
    let rolled_back = lines(&keys, &all[..8], &[4, 8]);
    add("rolled_back_unseen", rolled_back.clone(), vec![]);
    add("rolled_back", rolled_back, vec![since(12)]);
    add("rolled_back_over_a_rotation", lines(&keys, &all[..4], &[4]), vec![since(12)]);
    add("header_size", edit(0, r#""size":13"#, r#""size":14"#), vec![]);
    let mut fewer = sound.clone();
    fewer.pop();
    add("checkpoint_dropped", fewer, vec![]);
    add("header_missing", sound[1..].to_vec(), vec![]);
    add("header_format", edit(0, r#""format":1"#, r#""format":2"#), vec![]);
    add("header_key", edit(0, r#""format":1"#, r#""format":1,"extra":1"#), vec![]);

    add("checkpoint_size_edited", edit(15, r"\n8\n", r"\n9\n"), vec![]);
    let mut forged_key = sound.clone();
    let stranger = Keys::new(9);
    let signed = CheckpointKey::from_seed(&origin_of(&keys.authority()), &[77; 32]).unwrap();
    forged_key[16] = checkpoint_line(signed.sign(12, [5; 32]).text());
    add("checkpoint_of_another_key", forged_key, vec![]);
    let mut old_key = sound.clone();
    let root = {
        let mut tree = Frontier::new();
        for entry in &all[..12] {
            tree.append(leaf_hash(&Value::Map(entry.leaf.clone()).encode())).unwrap();
        }
        tree.root()
    };
    old_key[16] = checkpoint_line(keys.first.sign(12, root).text());
    add("checkpoint_of_the_old_key", old_key, vec![]);
    let mut wrong_root = sound.clone();
    wrong_root[16] = checkpoint_line(keys.second.sign(12, [5; 32]).text());
    add("checkpoint_of_another_root", wrong_root, vec![]);
    let mut unordered = sound.clone();
    unordered.swap(15, 16);
    add("checkpoints_unordered", unordered, vec![]);
    add("checkpoint_unreadable", edit(15, r"\n8\n", r"\n08\n"), vec![]);
    let mut early = sound.clone();
    early.swap(13, 14);
    add("entry_after_checkpoint", early, vec![]);

    let other = change(5, &|e| e.leaf.insert("note", Value::Null));
    add("rewritten", remade(&other), vec![since(4), since(8), since(12)]);
    add("rewritten_unseen", remade(&other), vec![]);
    add("since_not_a_checkpoint", sound.clone(), vec!["x".to_owned()]);
    let foreign = checkpoint(&stranger, &entries(&stranger), 8);
    add("since_of_another_trail", sound.clone(), vec![foreign]);
    add(
        "header_authority",
        edit(0, &keys.authority().paserk(), &stranger.authority().paserk()),
        vec![],
    );
    let (ours, theirs) = (origin_of(&keys.authority()), origin_of(&stranger.authority()));
    add("header_origin", edit(0, &ours, &theirs), vec![]);
    add("another_trail", lines(&stranger, &entries(&stranger), &sizes), vec![]);

    let first = all[0].leaf.get("statement").unwrap().clone();
    add(
        "old_statement_again",
        remade(&change(7, &|e| {
            e.leaf.insert("kind", Value::str("key"));
            e.leaf.insert("statement", first.clone());
        })),
        vec![],
    );
    add(
        "statement_of_another_authority",
        remade(&change(7, &|e| {
            e.leaf.insert("kind", Value::str("key"));
            e.leaf.insert("statement", stranger.statement(&stranger.first, START + 2_000_000));
        })),
        vec![],
    );
    add("duplicate_id", remade(&change(7, &|e| e.leaf.insert("id", Value::str(&id(2))))), vec![]);
    add(
        "time_backwards",
        remade(&change(7, &|e| e.leaf.insert("at", Value::Datetime(START)))),
        vec![],
    );
    add("newer_format", remade(&change(7, &|e| e.leaf.insert("v", Value::int(2)))), vec![]);
    add(
        "kind_missing",
        remade(&change(7, &|e| {
            e.leaf.remove("kind");
        })),
        vec![],
    );
    add(
        "id_of_another_kind",
        remade(&change(7, &|e| e.leaf.insert("id", Value::str("agt_x")))),
        vec![],
    );
    add(
        "commitment_of_31_bytes",
        remade(&change(12, &|e| {
            let mut commitments = Map::new();
            commitments.insert("reason", Value::bytes(&[1; 31]));
            e.leaf.insert("commitments", Value::Map(commitments));
        })),
        vec![],
    );
    let revoked = |name, key: &answerable::keys::SecretKey, number, changes: &[(&str, &str)]| {
        let fields = revocation(key, number, changes);
        let all = change(12, &|e| {
            for (field, value) in &fields {
                e.leaf.insert(field, value.clone());
            }
        });
        (name, remade(&all))
    };
    let other = BASE64URL_NOPAD.encode(&[8; 32]);
    for (name, lines) in [
        revoked("revocation_by_another_key", &stranger.root, 12, &[]),
        revoked("revocation_of_another_entry", &keys.root, 11, &[]),
        revoked("revocation_of_another_grant", &keys.root, 12, &[("digest", other.as_str())]),
        revoked("revocation_with_more", &keys.root, 12, &[("more", "x")]),
        revoked(
            "revocation_at_another_time",
            &keys.root,
            12,
            &[("at", "2026-11-24T01:02:03.000000Z")],
        ),
    ] {
        add(name, lines, vec![]);
    }
    add(
        "revocation_unsigned",
        remade(&change(12, &|e| {
            e.leaf.remove("statement");
        })),
        vec![],
    );
    add(
        "revocation_of_nothing",
        remade(&change(12, &|e| {
            e.leaf.remove("digest");
        })),
        vec![],
    );
    let to = |of: u8| move |e: &mut Entry| e.leaf.insert("decision", Value::str(&id(of)));
    add("outcome_of_nothing", remade(&change(11, &to(1))), vec![]);
    add("outcome_of_a_later_decision", remade(&change(4, &to(9))), vec![]);
    add("outcome_of_a_denial", remade(&change(11, &to(6))), vec![]);
    add("outcome_of_a_question", remade(&change(11, &to(8))), vec![]);
    add("second_outcome", remade(&change(11, &to(3))), vec![]);

    add("key_twice", edit(8, r#""sky":"grey""#, r#""sky":"grey","sky":"grey""#), vec![]);
    add("line_of_garbage", edit(8, "{", "["), vec![]);
    add("extra_key_in_line", edit(8, r#"{"index""#, r#"{"more":1,"index""#), vec![]);
    add(
        "blank_line",
        {
            let mut lines = sound.clone();
            lines.insert(14, String::new());
            lines
        },
        vec![],
    );
    add("line_after_the_end", [&sound[..], &["{}".to_owned()]].concat(), vec![]);
    add("empty_trail", lines(&keys, &[], &[]), vec![]);
    let whole = sound.join("\n");
    out.push(Case {
        name: "last_line_unended",
        text: whole,
        authority: keys.authority(),
        since: vec![],
    });
    out.push(Case {
        name: "empty_file",
        text: String::new(),
        authority: keys.authority(),
        since: vec![],
    });
    let text = sound.join("\n") + "\n";
    out.push(Case {
        name: "other_authority",
        text,
        authority: stranger.authority(),
        since: vec![],
    });
    out
}

fn run(text: &str, authority: &PublicKey, since: &[String]) -> Report {
    let since: Vec<&str> = since.iter().map(String::as_str).collect();
    match verify(text.as_bytes(), authority, &since, &mut |_, _| {}) {
        Ok(report) => report,
        Err(VerifyError::Corrupted(report)) => *report,
        Err(error) => panic!("{error}"),
    }
}

fn shown(fault: &Fault) -> Json {
    let mut out = json!({"code": fault.code.slug()});
    let place = &fault.place;
    for (key, number) in [("line", place.line), ("index", place.index), ("through", place.through)]
    {
        if let Some(number) = number {
            out[key] = json!(number);
        }
    }
    for (key, text) in [("entry", &place.entry), ("field", &place.field)] {
        if let Some(text) = text {
            out[key] = json!(text);
        }
    }
    out
}

fn verdict(report: &Report) -> Json {
    json!({
        "size": report.size,
        "root": BASE64URL_NOPAD.encode(&report.root),
        "checkpoints": report.checkpoints,
        "since_agreed": report.since_agreed,
        "kinds": report.kinds,
        "unknown_kinds": report.unknown_kinds,
        "newest_checkpoint_size": report.newest_checkpoint_size,
        "unanchored": report.unanchored,
        "disclosed": report.disclosed,
        "withheld": report.withheld,
        "decisions_without_outcome": report.decisions_without_outcome,
        "faults": report.faults.iter().map(shown).collect::<Vec<_>>(),
    })
}

#[test]
fn exports() {
    let mut listed = Vec::new();
    for case in cases() {
        let report = run(&case.text, &case.authority, &case.since);
        assert_eq!(
            report.faults.is_empty(),
            case.name.starts_with("sound") || case.name.ends_with("_unseen"),
            "{}: {:#?}",
            case.name,
            report.faults
        );
        let file = format!("export/{}.jsonl", case.name);
        committed(&file, &case.text);
        listed.push(json!({
            "name": case.name,
            "file": file,
            "authority": case.authority.paserk(),
            "since": case.since,
            "verdict": verdict(&report),
        }));
    }
    assert!(listed.len() > 40);
    let listed = committed_json("export/cases.json", &json!(listed));
    for case in listed.as_array().unwrap() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
        let text = std::fs::read_to_string(path.join(case["file"].as_str().unwrap())).unwrap();
        let authority = PublicKey::parse(case["authority"].as_str().unwrap()).unwrap();
        let since: Vec<String> = serde_json::from_value(case["since"].clone()).unwrap();
        assert_eq!(verdict(&run(&text, &authority, &since)), case["verdict"], "{}", case["name"]);
    }
}

#[test]
fn any_flipped_bit_of_an_export_is_found() {
    let keys = Keys::new(1);
    let all = entries(&keys);
    let sound = lines(&keys, &all[..6], &[6]).join("\n") + "\n";
    let since = [checkpoint(&keys, &all, 6)];
    // Each bit takes a check of signatures: a sample by default.
    let step =
        if std::env::var("ANSWERABLE_CASES").is_ok_and(|cases| cases == "full") { 1 } else { 251 };
    for at in (0..sound.len() * 8).step_by(step) {
        let mut bytes = sound.clone().into_bytes();
        bytes[at / 8] ^= 1 << (at % 8);
        let since: Vec<&str> = since.iter().map(String::as_str).collect();
        let found = verify(bytes.as_slice(), &keys.authority(), &since, &mut |_, _| {});
        assert!(matches!(found, Err(VerifyError::Corrupted(_))), "bit {at}");
    }
}

#[test]
fn times_are_those_stated() {
    assert_eq!(render_instant(START).unwrap(), "2026-11-24T01:02:03.000000Z");
}
