//! Reads a folder of policies: all of it as it stood at one time, or nothing.

use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::super::EngineError;
use crate::policy::LoadFault;

/// The most bytes of all files of a folder together.
pub const MAX_POLICY_BYTES: u64 = 8 * 1024 * 1024;
/// The most files of a folder.
const MAX_FILES: usize = 1_000;
/// How deep folders may nest.
const MAX_DEPTH: usize = 4;
/// How many names of a folder are looked at.
const MAX_NAMES: usize = 10_000;

/// What a folder holds, by the files' names relative to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folder {
    /// The policies: `*.cedar`.
    pub policies: Vec<(String, String)>,
    /// The entities: `*.json`, in Cedar's form.
    pub entities: Vec<(String, String)>,
    /// Types of one's own: `*.cedarschema`.
    pub schemas: Vec<(String, String)>,
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mark {
    path: PathBuf,
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Mark {
    fn of(path: &Path, meta: &Metadata) -> Self {
        Self {
            path: path.to_owned(),
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            changed: (meta.mtime(), meta.mtime_nsec()),
        }
    }
}

impl Folder {
    /// Reads a folder, or one `.cedar` file.
    ///
    /// # Errors
    /// `Invalid` where it is no such place, is too large or changes while it is read; `Policy` for a
    /// file that is not UTF-8 and for a folder without any policy file.
    pub fn read(path: &Path) -> Result<Self, EngineError> {
        let root = fs::metadata(path).map_err(|error| unreadable(path, &error.to_string()))?;
        let found = marks(path, &root)?;
        let total: u64 = found.iter().map(|mark| mark.size).sum();
        if total > MAX_POLICY_BYTES {
            return Err(EngineError::Invalid(format!(
                "the policies in `{}` have {total} bytes, and at most {MAX_POLICY_BYTES} are loaded; \
                 leave out what is no policy, and divide large entity files",
                path.display()
            )));
        }
        let mut folder = Self::default();
        for mark in &found {
            let name =
                mark.path.strip_prefix(path).ok().filter(|rest| !rest.as_os_str().is_empty());
            let name = name.or_else(|| mark.path.file_name().map(Path::new)).unwrap_or(&mark.path);
            let name = name.to_string_lossy().into_owned();
            let text = read_text(&mark.path, &name)?;
            match kind_of(&mark.path) {
                Some(Kind::Policies) => folder.policies.push((name, text)),
                Some(Kind::Entities) => folder.entities.push((name, text)),
                Some(Kind::Schema) => folder.schemas.push((name, text)),
                None => {}
            }
        }
        if marks(path, &root)? != found {
            return Err(EngineError::Invalid(format!(
                "`{}` changed while it was read; load it again once it is written, or write it \
                 elsewhere and rename it",
                path.display()
            )));
        }
        if folder.policies.is_empty() {
            return Err(EngineError::Policy(vec![LoadFault {
                source: path.display().to_string(),
                line: 0,
                column: 0,
                message: "there is no file named `*.cedar`, so nothing would be permitted".into(),
                suggestion: Some(
                    "name the folder that holds the policies; to permit nothing, load a forbid of \
                     everything"
                        .into(),
                ),
            }]));
        }
        Ok(folder)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Policies,
    Entities,
    Schema,
}

fn kind_of(path: &Path) -> Option<Kind> {
    match path.extension()?.to_str()? {
        "cedar" => Some(Kind::Policies),
        "json" => Some(Kind::Entities),
        "cedarschema" => Some(Kind::Schema),
        _ => None,
    }
}

/// The files that are loaded, in the order of their names. Names that begin with a dot are left out:
/// editors and mounts keep their own things there.
fn marks(path: &Path, root: &Metadata) -> Result<Vec<Mark>, EngineError> {
    if root.is_file() {
        if kind_of(path) != Some(Kind::Policies) {
            return Err(unreadable(path, "it is not named `*.cedar`"));
        }
        let now = fs::metadata(path).map_err(|error| unreadable(path, &error.to_string()))?;
        return Ok(vec![Mark::of(path, &now)]);
    }
    let mut found = Vec::new();
    let mut names = 0;
    walk(path, 0, &mut names, &mut found)?;
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn walk(
    path: &Path,
    depth: usize,
    names: &mut usize,
    found: &mut Vec<Mark>,
) -> Result<(), EngineError> {
    if depth > MAX_DEPTH {
        return Err(unreadable(path, &format!("folders nest deeper than {MAX_DEPTH} in it")));
    }
    let failed = |error: std::io::Error| unreadable(path, &error.to_string());
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        *names += 1;
        if *names > MAX_NAMES {
            return Err(unreadable(path, &format!("it holds more than {MAX_NAMES} names")));
        }
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        // Links are followed: mounted configuration is made of them.
        let below = entry.path();
        let wanted = kind_of(&below).is_some();
        let meta = match fs::metadata(&below) {
            Ok(meta) => meta,
            Err(error) if wanted => return Err(unreadable(&below, &error.to_string())),
            Err(_) => continue,
        };
        if meta.is_dir() {
            walk(&below, depth + 1, names, found)?;
        } else if wanted {
            if !meta.is_file() {
                return Err(unreadable(&below, "it is not a file"));
            }
            if found.len() == MAX_FILES {
                return Err(unreadable(path, &format!("it holds more than {MAX_FILES} files")));
            }
            found.push(Mark::of(&below, &meta));
        }
    }
    Ok(())
}

fn read_text(path: &Path, name: &str) -> Result<String, EngineError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| unreadable(path, &error.to_string()))?;
    file.take(MAX_POLICY_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(path, &error.to_string()))?;
    if bytes.len() as u64 > MAX_POLICY_BYTES {
        return Err(unreadable(path, &format!("it has more than {MAX_POLICY_BYTES} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let sound = error.utf8_error().valid_up_to();
        let before = error.as_bytes().get(..sound).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        EngineError::Policy(vec![LoadFault {
            source: name.to_owned(),
            line,
            column: 0,
            message: "it is not UTF-8 text".into(),
            suggestion: Some("save it as UTF-8".into()),
        }])
    })
}

fn unreadable(path: &Path, what: &str) -> EngineError {
    EngineError::Invalid(format!(
        "the policies in `{}` cannot be read: {what}; name a folder that holds `*.cedar` files, or \
         one such file, that this account may read",
        path.display()
    ))
}
