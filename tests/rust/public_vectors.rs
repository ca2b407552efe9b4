//! Public test vectors, from a folder beside the repository: PASETO v4, PASERK k4, Wycheproof's
//! Ed25519 and CCTV's Ed25519. `ANSWERABLE_VECTORS` names the folder.
#![allow(missing_docs)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr
)]

use std::path::PathBuf;

use answerable::keys::{PublicKey, SecretKey, verify};
use data_encoding::HEXLOWER;
use ed25519_dalek::VerifyingKey;
use pasetors::keys::{AsymmetricPublicKey, AsymmetricSecretKey, SymmetricKey};
use pasetors::paserk::{FormatAsPaserk, Id};
use pasetors::token::UntrustedToken;
use pasetors::version4::{LocalToken, PublicToken, V4};
use pasetors::{Local, Public};
use serde_json::Value as Json;

fn vectors(file: &str) -> Option<Json> {
    let folder = std::env::var_os("ANSWERABLE_VECTORS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors"),
        PathBuf::from,
    );
    if !folder.is_dir() {
        eprintln!("SKIPPED: the public vectors are absent: set ANSWERABLE_VECTORS ({file})");
        return None;
    }
    let text = std::fs::read_to_string(folder.join(file)).unwrap();
    Some(serde_json::from_str(&text).unwrap())
}

fn hex(value: &Json) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

fn text<'a>(value: &'a Json, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn seed(value: &Json) -> Option<[u8; 32]> {
    hex(value).try_into().ok()
}

/// Whether the token opens, as local or as public whichever key the case has, to its payload.
fn opens(case: &Json) -> bool {
    let (footer, assertion) = (text(case, "footer"), text(case, "implicit-assertion"));
    let token = text(case, "token");
    let payload = if case["key"].is_string() {
        let key = SymmetricKey::<V4>::from(&hex(&case["key"])).unwrap();
        let Ok(untrusted) = UntrustedToken::<Local, V4>::try_from(token) else { return false };
        let (footer, assertion) =
            ((!footer.is_empty()).then_some(footer.as_bytes()), Some(assertion.as_bytes()));
        LocalToken::decrypt(&key, &untrusted, footer, assertion)
    } else {
        let key = AsymmetricPublicKey::<V4>::from(&hex(&case["public-key"])).unwrap();
        let Ok(untrusted) = UntrustedToken::<Public, V4>::try_from(token) else { return false };
        let (footer, assertion) =
            ((!footer.is_empty()).then_some(footer.as_bytes()), Some(assertion.as_bytes()));
        PublicToken::verify(&key, &untrusted, footer, assertion)
    };
    payload.is_ok_and(|trusted| trusted.payload() == text(case, "payload"))
}

#[test]
fn paseto_version_4() {
    let Some(vectors) = vectors("paseto/v4.json") else { return };
    let cases = vectors["tests"].as_array().unwrap();
    assert_eq!(cases.len(), 17);
    for case in cases {
        let fails = case["expect-fail"].as_bool().unwrap();
        assert_eq!(opens(case), !fails, "{}", case["name"]);
        let Some(public) = case["public-key"].as_str() else { continue };
        // Our own reader of statements gives the same verdict, and our signer the same token.
        let key = PublicKey::from_bytes(hex(&public.into()).try_into().unwrap()).unwrap();
        let assertion = text(case, "implicit-assertion");
        let statement = verify(&key, text(case, "token"), assertion);
        assert_eq!(statement.is_ok(), !fails, "{}", case["name"]);
        if let Ok(statement) = statement {
            assert_eq!(statement.payload, text(case, "payload"));
            assert_eq!(statement.footer, text(case, "footer").as_bytes());
            let secret = SecretKey::from_seed(&seed(&case["secret-key-seed"]).unwrap()).unwrap();
            let footer = &statement.footer;
            let signed = answerable::keys::sign(&secret, &statement.payload, footer, assertion);
            assert_eq!(signed.unwrap().0, text(case, "token"));
        }
    }
}

#[test]
fn paserk_version_4() {
    let mut ran = 0;
    for kind in ["local", "public", "secret", "lid", "pid", "sid"] {
        let Some(vectors) = vectors(&format!("paserk/k4.{kind}.json")) else { return };
        for case in vectors["tests"].as_array().unwrap() {
            ran += 1;
            let fails = case["expect-fail"].as_bool().unwrap();
            let paserk = text(case, "paserk");
            let key = if case["key"].is_string() { hex(&case["key"]) } else { Vec::new() };
            // The library panics on these; our keys module must refuse and not panic.
            let zero_seed = key.len() == 64 && key[..32] == [0; 32];
            if zero_seed {
                assert!(SecretKey::from_seed(&[0; 32]).is_err());
                assert!(kind != "secret" || SecretKey::parse(paserk).is_err());
                continue;
            }
            let mut out = String::new();
            let written = match kind {
                "local" | "lid" => SymmetricKey::<V4>::from(&key).map(|key| match kind {
                    "local" => key.fmt(&mut out),
                    _ => Id::from(&key).fmt(&mut out),
                }),
                "public" | "pid" => AsymmetricPublicKey::<V4>::from(&key).map(|key| match kind {
                    "public" => key.fmt(&mut out),
                    _ => Id::from(&key).fmt(&mut out),
                }),
                _ => AsymmetricSecretKey::<V4>::from(&key).map(|key| match kind {
                    "secret" => key.fmt(&mut out),
                    _ => Id::from(&key).fmt(&mut out),
                }),
            };
            assert_eq!(written.is_ok() && out == paserk, !fails, "{}", case["name"]);
            let read = match kind {
                "local" => SymmetricKey::<V4>::try_from(paserk).is_ok(),
                "public" => AsymmetricPublicKey::<V4>::try_from(paserk).is_ok(),
                "secret" => SecretKey::parse(paserk).is_ok(),
                _ => continue,
            };
            assert_eq!(read, !fails, "{}", case["name"]);
        }
    }
    assert_eq!(ran, 27);
}

/// What the three readers of signatures say: the one in PASETO, the one of checkpoints, and
/// whether our own type takes the key.
fn verdicts(key: &[u8], message: &[u8], signature: &[u8]) -> (bool, bool, bool) {
    let compact = ed25519_compact::PublicKey::from_slice(key).is_ok_and(|key| {
        ed25519_compact::Signature::from_slice(signature)
            .is_ok_and(|signature| key.verify(message, &signature).is_ok())
    });
    let Ok(bytes) = <[u8; 32]>::try_from(key) else { return (compact, false, false) };
    let strict = VerifyingKey::from_bytes(&bytes).is_ok_and(|key| {
        ed25519_dalek::Signature::from_slice(signature)
            .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok())
    });
    (compact, strict, PublicKey::from_bytes(bytes).is_ok())
}

#[test]
fn wycheproof_ed25519() {
    let Some(vectors) = vectors("ed25519/wycheproof_ed25519_test.json") else { return };
    let (mut all, mut valid) = (0, 0);
    for group in vectors["testGroups"].as_array().unwrap() {
        let key = hex(&group["publicKey"]["pk"]);
        for case in group["tests"].as_array().unwrap() {
            let expected = case["result"] == "valid";
            let (compact, strict, _) = verdicts(&key, &hex(&case["msg"]), &hex(&case["sig"]));
            assert_eq!((compact, strict), (expected, expected), "case {}", case["tcId"]);
            all += 1;
            valid += usize::from(expected);
        }
    }
    assert_eq!((all, valid), (151, 88));
}

#[test]
fn cctv_ed25519() {
    let Some(vectors) = vectors("ed25519/cctv_ed25519vectors.json") else { return };
    let (mut compact_count, mut strict_count, mut ours) = (0, 0, 0);
    let cases = vectors.as_array().unwrap();
    for case in cases {
        let key = hex(&case["key"]);
        let message = text(case, "msg").as_bytes();
        let (compact, strict, taken) = verdicts(&key, message, &hex(&case["sig"]));
        compact_count += usize::from(compact);
        strict_count += usize::from(strict);
        ours += usize::from(compact && taken);
        let flags = case["flags"].as_array().map(Vec::as_slice).unwrap_or_default();
        let has = |flag: &str| flags.iter().any(|one| one == flag);
        if has("low_order_A") || has("non_canonical_A") {
            assert!(!taken, "case {}: a holder's key of this form", case["number"]);
        }
    }
    assert_eq!((cases.len(), compact_count, strict_count), (914, 106, 43));
    // What a statement can be made to accept, once the key itself was taken.
    assert_eq!(ours, OURS);
}

/// How many cases verify in PASETO under a key that our own type takes.
const OURS: usize = 106;
