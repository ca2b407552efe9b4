use super::*;

#[test]
fn conf() {
    let dir = tempfile::tempdir().unwrap();
    let db = Config::new().path(dir.path()).segment_size(SEGMENT).open().unwrap();
    drop(db);
    eprintln!("CONF {:?}", fs::read(dir.path().join("conf")).unwrap());
}
