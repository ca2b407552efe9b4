#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

fn key(byte: u8) -> SecretKey {
    SecretKey::from_seed(&[byte; 32]).unwrap()
}

#[test]
fn a_statement_holds_for_its_key_bytes_and_purpose_only() {
    let (token, digest) = sign(&key(1), r#"{"a":1}"#, b"foot", "purpose").unwrap();
    let read = verify(&key(1).public(), &token, "purpose").unwrap();
    assert_eq!((read.payload.as_str(), read.digest), (r#"{"a":1}"#, digest));
    assert_eq!(untrusted_footer(&token).unwrap(), b"foot");
    assert_eq!(verify(&key(2).public(), &token, "purpose"), Err(KeyError::Signature));
    assert_eq!(verify(&key(1).public(), &token, "other"), Err(KeyError::Signature));
    let bytes = token.as_bytes();
    for at in 0..bytes.len() {
        let mut changed = bytes.to_vec();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        if changed != bytes {
            let text = String::from_utf8(changed).unwrap();
            assert!(verify(&key(1).public(), &text, "purpose").is_err(), "byte {at}");
        }
    }
}

#[test]
fn a_statement_has_one_spelling() {
    let (token, _) = sign(&key(1), "x", b"", "p").unwrap();
    for other in [
        format!("{token}."),
        format!("{token}.."),
        format!("{token}="),
        format!("{token} "),
        format!(" {token}"),
        format!("{token}\n"),
        format!("{token}.a.b"),
        token.replacen("v4.public", "v3.public", 1),
        token.replacen("v4.public", "v4.local", 1),
        format!("{token}ä"),
        "v4.public.".to_owned(),
        "v4.public.AAAA".to_owned(),
        String::new(),
        "v4.public.".to_owned() + &"A".repeat(20_000),
    ] {
        assert!(verify(&key(1).public(), &other, "p").is_err(), "{other:.60}");
    }
    assert!(sign(&key(1), &"x".repeat(20_000), b"", "p").is_err());
    assert!(sign(&key(1), "", b"", "p").is_err());
}

#[test]
fn keys_are_read_strictly() {
    let key = key(7);
    assert_eq!(SecretKey::parse(&key.expose_paserk()).unwrap().public(), key.public());
    assert_eq!(PublicKey::parse(&key.public().paserk()).unwrap(), key.public());
    assert!(key.public().id().starts_with("k4.pid."));
    assert_eq!(format!("{key:?}"), format!("<secret key of {}>", key.public().id()));
    assert!(SecretKey::from_seed(&[0; 32]).is_err());
    let zero = format!("k4.secret.{}", data_encoding::BASE64URL_NOPAD.encode(&[0; 64]));
    assert!(SecretKey::parse(&zero).is_err());
    let mut both = key.expose_seed().to_vec();
    both.extend_from_slice(SecretKey::from_seed(&[8; 32]).unwrap().public().as_bytes());
    let spliced = format!("k4.secret.{}", data_encoding::BASE64URL_NOPAD.encode(&both));
    assert!(SecretKey::parse(&spliced).is_err());
}

#[test]
fn small_order_and_non_canonical_keys_are_refused() {
    // The eight points of small order and their non-canonical spellings, from the literature on
    // Ed25519 edge cases ("Taming the many EdDSAs", table 6).
    for hex in [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    ] {
        let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
        assert!(PublicKey::from_bytes(bytes.try_into().unwrap()).is_err(), "{hex}");
    }
}

#[test]
fn sealed_text_opens_under_its_key_and_assertion_only() {
    let key = SealKey::generate().unwrap();
    let sealed = key.seal("secret", "name v1").unwrap();
    assert_eq!(&**key.open(&sealed, "name v1").unwrap(), "secret");
    assert!(key.open(&sealed, "name v2").is_err());
    assert!(SealKey::generate().unwrap().open(&sealed, "name v1").is_err());
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert!(key.open(&changed, "name v1").is_err(), "byte {at}");
    }
    assert!(key.open(&[], "name v1").is_err());
    assert_eq!(SealKey::from_text(&key.expose_text()).unwrap().expose_text(), key.expose_text());
    assert_ne!(key.derive("a").expose_text(), key.derive("b").expose_text());
}

#[test]
fn a_key_file_that_others_can_read_or_replace_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.key");
    let made = MasterKey::create(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let read = MasterKey::load(&path).unwrap();
    assert_eq!(read.purpose("x").expose_text(), made.purpose("x").expose_text());
    assert!(MasterKey::create(&path).is_err(), "never overwritten");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(MasterKey::load(&path).unwrap_err().to_string().contains("chmod 600"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(MasterKey::load(&path).unwrap_err().to_string().contains("chmod go-w"));
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let link = folder.path().join("link.key");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(MasterKey::load(&link).is_err());
    fs::write(&path, "k4.local.AAAA").unwrap();
    assert!(MasterKey::load(&path).unwrap_err().to_string().contains("backup"));
    assert!(MasterKey::from_bytes(&[5; 32]).is_err());
}

#[test]
fn a_key_file_appears_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.key");
    // What an attempt cut short leaves behind stands in nobody's way.
    fs::write(dir.path().join(".new-store.key"), "k4.loc").unwrap();
    MasterKey::create(&path).unwrap();
    assert!(MasterKey::load(&path).is_ok());
    assert!(!dir.path().join(".new-store.key").exists());
    let before = fs::read(&path).unwrap();
    assert!(MasterKey::create(&path).is_err());
    assert_eq!(fs::read(&path).unwrap(), before);
}
