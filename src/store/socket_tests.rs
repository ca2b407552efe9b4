use std::io::Cursor;

use super::*;

#[test]
fn a_message_is_read_as_it_was_sent() -> io::Result<()> {
    let (mut here, mut there) = UnixStream::pair()?;
    send(&mut here, 7, b"body")?;
    drop(here);
    assert_eq!(receive(&mut there, 5)?, Some((7, b"body".to_vec())));
    assert_eq!(receive(&mut there, 5)?, None);
    Ok(())
}

#[test]
fn lengths_that_lie_are_refused_before_anything_is_allocated() {
    let of = |bytes: &[u8]| receive(&mut Cursor::new(bytes.to_vec()), 1024).map_err(|e| e.kind());
    assert_eq!(of(&[0xff, 0xff, 0xff, 0xff, 1]), Err(ErrorKind::InvalidData));
    assert_eq!(of(&[0, 0, 4, 1, 1]), Err(ErrorKind::InvalidData));
    assert_eq!(of(&[0, 0, 0, 0]), Err(ErrorKind::InvalidData));
    assert_eq!(of(&[0, 0, 0, 9, 1, 2]), Err(ErrorKind::UnexpectedEof));
    assert_eq!(of(&[0, 0]), Err(ErrorKind::UnexpectedEof));
    assert_eq!(of(&[]), Ok(None));
}

#[test]
fn a_range_is_read_as_it_was_written() {
    for from in [None, Some(&b""[..]), Some(&b"b/\xff"[..])] {
        let body = write_range(16, b"b/", from).unwrap_or_default();
        assert_eq!(read_range(&body), Some((16, &b"b/"[..], from)));
    }
    let many = write_range(u32::MAX, b"", None).unwrap_or_default();
    assert_eq!(read_range(&many), Some((PAGE_KEYS, &b""[..], None)));
    for cut in [&b""[..], b"\0\0\0\x10", b"\0\0\0\x10\0\x09b/\0", b"\0\0\0\x10\0\x02b/\0x"] {
        assert_eq!(read_range(cut), None, "{cut:?}");
    }
}

#[test]
fn pairs_are_read_as_they_were_written_and_a_cut_page_is_not() {
    let mut page = Vec::new();
    assert!(write_pair(&mut page, b"k", b"value").is_some());
    assert!(write_pair(&mut page, b"", b"").is_some());
    let mut rest = page.as_slice();
    assert_eq!(read_pair(&mut rest), Some((&b"k"[..], &b"value"[..])));
    assert_eq!(read_pair(&mut rest), Some((&b""[..], &b""[..])));
    assert!(rest.is_empty());
    let mut cut = page.get(..8).unwrap_or_default();
    assert_eq!(read_pair(&mut cut), None);
}

#[test]
fn a_path_of_any_length_carries_a_socket() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let deep = folder.path().join("d".repeat(120));
    fs::create_dir(&deep)?;
    fs::set_permissions(&deep, fs::Permissions::from_mode(0o700))?;
    for folder in [folder.path(), deep.as_path()] {
        let listener = listen(folder)?;
        let mode = fs::symlink_metadata(folder.join(SOCKET))?.mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(connect(folder)?.is_some());
        let (taken, _) = listener.accept()?;
        assert_eq!(peer(&taken)?, Some(std::process::id()));
        drop(listener);
        // A dead holder's socket is no holder, and the next one takes its place.
        assert!(connect(folder)?.is_none());
        let _next = listen(folder)?;
        assert!(connect(folder)?.is_some());
        unlink(folder);
        assert!(connect(folder)?.is_none());
    }
    Ok(())
}

#[test]
fn what_is_no_socket_of_ours_is_refused() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let (store, other) = (folder.path().join("store"), folder.path().join("other"));
    for path in [&store, &other] {
        fs::create_dir(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    }
    let _listener = listen(&other)?;
    let refused = |store: &Path| matches!(connect(store), Err(StoreError::Refused { .. }));
    std::os::unix::fs::symlink(other.join(SOCKET), store.join(SOCKET))?;
    assert!(refused(&store), "a link");
    fs::remove_file(store.join(SOCKET))?;
    fs::write(store.join(SOCKET), b"")?;
    assert!(refused(&store), "a file");
    fs::set_permissions(other.join(SOCKET), fs::Permissions::from_mode(0o666))?;
    assert!(refused(&other), "open to others");
    fs::set_permissions(other.join(SOCKET), fs::Permissions::from_mode(0o600))?;
    fs::set_permissions(&other, fs::Permissions::from_mode(0o777))?;
    assert!(refused(&other), "in a folder of everybody");
    Ok(())
}
