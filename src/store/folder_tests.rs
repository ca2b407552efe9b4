#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use super::*;

fn take(path: &Path) -> Result<Attempt, StoreError> {
    Folder::take(path, 7)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

#[test]
fn a_new_folder_is_private_and_says_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b");
    let Ok(Attempt::Taken(folder)) = take(&path) else { panic!("not taken") };
    assert_eq!(fs::read_to_string(path.join("FORMAT")).unwrap(), "answerable store 1\n");
    assert_eq!(mode(&path), 0o700);
    for name in ["FORMAT", "LOCK", "holder.json"] {
        assert_eq!(mode(&path.join(name)), 0o600, "{name}");
    }
    let held = take(&path);
    let Ok(Attempt::Held(Some(holder))) = held else { panic!("{held:?}") };
    assert_eq!((holder.pid, holder.started), (std::process::id(), 7));
    folder.release();
    assert!(!path.join("holder.json").exists());
    assert!(matches!(take(&path), Ok(Attempt::Taken(_))));
}

#[test]
fn a_holder_that_is_gone_is_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let mut gone = std::process::Command::new("true").spawn().unwrap();
    gone.wait().unwrap();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let write = |pid: u32, host: &str| {
        let text = serde_json::to_vec(&Holder { pid, host: host.to_owned(), started: 1 }).unwrap();
        fs::write(dir.path().join(HOLDER_FILE), text).unwrap();
        holder(dir.path()).map(|holder| holder.pid)
    };
    assert_eq!(write(gone.id(), &host), None);
    assert_eq!(write(gone.id(), "elsewhere"), Some(gone.id()));
    assert_eq!(write(std::process::id(), &host), Some(std::process::id()));
    assert_eq!(write(0, &host), None);
    fs::write(dir.path().join(HOLDER_FILE), b"{\"pid\":").unwrap();
    assert_eq!(holder(dir.path()), None);
}

#[test]
fn what_is_not_a_store_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.txt"), "years of work").unwrap();
    assert_eq!(take(dir.path()).unwrap_err().code(), "store_refused");
    assert_eq!(names(dir.path()).unwrap(), ["thesis.txt"]);
    assert_eq!(take(&dir.path().join("thesis.txt")).unwrap_err().code(), "store_refused");
}

#[test]
fn a_creation_cut_short_is_taken_up_again() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(".new-FORMAT"), "answ").unwrap();
    fs::write(dir.path().join("LOCK"), "").unwrap();
    tighten(&dir.path().join("LOCK")).unwrap();
    assert!(matches!(take(dir.path()), Ok(Attempt::Taken(_))));
}

#[test]
fn formats() {
    let dir = tempfile::tempdir().unwrap();
    let write = |text: &str| {
        fs::write(dir.path().join("FORMAT"), text).unwrap();
        tighten(&dir.path().join("FORMAT")).unwrap();
        take(dir.path()).map(|_| ())
    };
    assert_eq!(write("answerable store 2\n"), Err(StoreError::TooNew { found: 2, supported: 1 }));
    for text in ["", "answerable store", "answerable store x\n", "answerable store 0\n", "hello"] {
        assert_eq!(write(text).unwrap_err().code(), "store_corrupt", "{text}");
    }
    assert_eq!(write("answerable store 1\n"), Ok(()));
}

#[test]
fn links_and_open_doors_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let Ok(Attempt::Taken(folder)) = take(&path) else { panic!("not taken") };
    folder.release();

    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(take(&link).unwrap_err().to_string().contains("symbolic link"));

    for (name, wide, own) in [("", 0o770, 0o700), ("FORMAT", 0o602, 0o600), ("LOCK", 0o660, 0o600)]
    {
        let place = if name.is_empty() { path.clone() } else { path.join(name) };
        fs::set_permissions(&place, fs::Permissions::from_mode(wide)).unwrap();
        assert!(take(&path).unwrap_err().to_string().contains("others may write"), "{name}");
        fs::set_permissions(&place, fs::Permissions::from_mode(own)).unwrap();
    }
    fs::remove_file(path.join("LOCK")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("elsewhere"), path.join("LOCK")).unwrap();
    assert_eq!(take(&path).unwrap_err().code(), "store_unavailable");
    assert!(!dir.path().join("elsewhere").exists());
}

#[test]
fn a_folder_of_somebody_else_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    fs::create_dir(&path).unwrap();
    if std::os::unix::fs::chown(&path, Some(12_345), None).is_err() {
        // Only root can give a folder away.
        return;
    }
    assert!(take(&path).unwrap_err().to_string().contains("belongs to user 12345"));
}
