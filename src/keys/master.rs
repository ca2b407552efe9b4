//! The master key: what seals everything else at rest, kept outside the store.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use data_encoding::BASE64URL_NOPAD;
use zeroize::Zeroizing;

use super::{KeyError, SealKey, random};

const PREFIX: &str = "k4.local.";

/// The key that all keys at rest are sealed under, each purpose under a key derived from it.
///
/// What is given, or lies in a key file, is the outer key. It seals the inner one, of which all
/// other keys are derived, so that the outer one can be replaced. Stores of before have no inner
/// key: all is derived of the outer one.
///
/// A key file holds a second secret, which each erasure replaces: what the master key alone opens
/// must not be enough to open old copies of the store.
#[derive(Debug, Clone)]
pub struct MasterKey {
    key: SealKey,
    /// The inner key, once it was opened.
    inner: Option<SealKey>,
    /// The secrets of erasures: today's first, then the one before while an erasure is under way.
    erasures: Vec<SealKey>,
    /// What takes its place in the key file, while that is under way.
    next: Option<Box<Self>>,
}

/// What the inner key is sealed with.
const INNER: &str = "answerable/v1/inner-key";
/// What the line of a key file begins with from which on it is the next one.
const NEXT: &str = "next ";
/// What the lines of a key file after the first begin with.
const ERASURE: &str = "erasure ";

impl MasterKey {
    /// A new random key.
    ///
    /// # Errors
    /// `Random` if the operating system gives no random bytes.
    pub fn generate() -> Result<Self, KeyError> {
        Ok(Self::alone(SealKey::generate()?))
    }

    /// From 32 bytes.
    ///
    /// # Errors
    /// `Malformed` for any other length, and for 32 equal bytes, which are a mistake.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let bytes: [u8; 32] =
            bytes.try_into().map_err(|_| KeyError::Malformed("a master key has 32 bytes"))?;
        if bytes.windows(2).all(|pair| matches!(pair, [a, b] if a == b)) {
            return Err(KeyError::Malformed("a master key of 32 equal bytes protects nothing"));
        }
        Ok(Self::alone(SealKey::from_bytes(bytes)))
    }

    fn alone(key: SealKey) -> Self {
        Self { key, inner: None, erasures: Vec::new(), next: None }
    }

    /// From PASERK text, `k4.local.…`, or the text of a key file.
    ///
    /// # Errors
    /// `Malformed` for any other text.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        const WRONG: KeyError = KeyError::Malformed("expected text such as `k4.local.…` (PASERK)");
        let mut lines = text.trim().lines();
        let decode = |line: &str| -> Result<Zeroizing<Vec<u8>>, KeyError> {
            let body = line.trim().strip_prefix(PREFIX).ok_or(WRONG)?;
            Ok(Zeroizing::new(BASE64URL_NOPAD.decode(body.as_bytes()).map_err(|_| WRONG)?))
        };
        let mut master = Self::from_bytes(&decode(lines.next().ok_or(WRONG)?)?)?;
        for line in lines {
            if let Some(key) = line.strip_prefix(NEXT).filter(|_| master.next.is_none()) {
                master.next = Some(Box::new(Self::from_bytes(&decode(key)?)?));
                continue;
            }
            let bytes = decode(line.strip_prefix(ERASURE).ok_or(WRONG)?)?;
            let bytes = bytes.as_slice().try_into().map_err(|_| WRONG)?;
            let erasures = match &mut master.next {
                Some(next) => &mut next.erasures,
                None => &mut master.erasures,
            };
            erasures.push(SealKey::from_bytes(bytes));
        }
        Ok(master)
    }

    /// A new key for a key file, with a secret for erasures, over the same inner key.
    ///
    /// # Errors
    /// `Random` if the operating system gives no random bytes.
    pub fn fresh_over(&self) -> Result<Self, KeyError> {
        let made = Self::generate()?.with_erasure()?;
        Ok(Self { inner: self.inner.clone(), ..made })
    }

    /// Another outer key over the same inner key.
    #[must_use]
    pub fn over(&self, outer: &Self) -> Self {
        Self { inner: self.inner.clone(), next: None, ..outer.clone() }
    }

    /// With what takes its place in the key file, until that is so.
    #[must_use]
    pub fn before(&self, next: &Self) -> Self {
        Self { next: Some(Box::new(next.clone())), ..self.clone() }
    }

    /// Whether its key file tells of what was to take its place.
    #[must_use]
    pub fn has_next(&self) -> bool {
        self.next.is_some()
    }

    /// Whether all is derived of an inner key.
    #[must_use]
    pub fn has_inner(&self) -> bool {
        self.inner.is_some()
    }

    /// Makes an inner key.
    ///
    /// # Errors
    /// `Random` if the operating system gives no random bytes.
    pub fn with_new_inner(&self) -> Result<Self, KeyError> {
        Ok(Self { inner: Some(SealKey::generate()?), ..self.clone() })
    }

    /// The inner key sealed under the outer one.
    ///
    /// # Errors
    /// `Sealed` if there is none.
    pub fn seal_inner(&self) -> Result<Vec<u8>, KeyError> {
        let inner = self.inner.as_ref().ok_or(KeyError::Sealed)?;
        self.key.derive("inner").seal(&inner.expose_text(), INNER)
    }

    /// With the inner key that was sealed under the outer one, or under the one that was to take
    /// its place: then that is it.
    ///
    /// # Errors
    /// `Sealed` if neither opens it.
    pub fn with_inner(&self, sealed: &[u8]) -> Result<Self, KeyError> {
        let opened = |outer: &Self| {
            let text = outer.key.derive("inner").open(sealed, INNER)?;
            Ok::<_, KeyError>(Self { inner: Some(SealKey::from_text(&text)?), ..outer.clone() })
        };
        match (opened(self), &self.next) {
            (Err(KeyError::Sealed), Some(next)) => opened(next).map(|next| next.before(&next)),
            (made, _) => made,
        }
    }

    /// With a new secret for an erasure, before the one that is today's.
    ///
    /// # Errors
    /// `Random` if the operating system gives no random bytes.
    pub fn with_erasure(&self) -> Result<Self, KeyError> {
        let mut next = self.clone();
        next.erasures.insert(0, SealKey::generate()?);
        Ok(next)
    }

    /// How many secrets of erasures it has.
    #[must_use]
    pub fn count(&self) -> usize {
        self.erasures.len()
    }

    /// With one of its secrets of erasures alone, by its place among [`MasterKey::wrapping`].
    #[must_use]
    pub fn only(&self, place: usize) -> Self {
        let kept = self.erasures.get(place).cloned();
        Self { erasures: kept.into_iter().collect(), next: None, ..self.clone() }
    }

    /// Replaces the key file it was read from.
    ///
    /// # Errors
    /// `File` if it cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), KeyError> {
        check_private_file(path)?;
        replace_private_file(path, self.text().as_bytes())
    }

    /// Writes a key file, in the place of one of ours that may be there.
    ///
    /// # Errors
    /// `File` if it cannot be written, or others can read the one that is there.
    pub fn replace(&self, path: &Path) -> Result<(), KeyError> {
        if path.symlink_metadata().is_ok() {
            check_private_file(path)?;
        }
        replace_private_file(path, self.text().as_bytes())
    }

    /// Whether another is the same outer key.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let id = |of: &Self| of.key.digest("answerable/v1/same-key", &[]);
        id(self) == id(other)
    }

    /// The text of a key file.
    fn text(&self) -> Zeroizing<String> {
        let secret = |key: &SealKey| format!("{PREFIX}{}\n", &*key.expose_text());
        let mut text = Zeroizing::new(secret(&self.key));
        for erasure in &self.erasures {
            text.push_str(ERASURE);
            text.push_str(&Zeroizing::new(secret(erasure)));
        }
        if let Some(next) = &self.next {
            text.push_str(NEXT);
            text.push_str(&next.text());
        }
        text
    }

    /// Reads a key file, after checking that only its owner can.
    ///
    /// # Errors
    /// `File` if it cannot be read, is not ours, or others can read or replace it.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        check_private_file(path)?;
        let text = Zeroizing::new(fs::read_to_string(path).map_err(|e| file_error(path, &e))?);
        Self::parse(&text).map_err(|error| KeyError::File {
            path: path.display().to_string(),
            what: format!("{error}; restore it from a backup"),
        })
    }

    /// Makes a new key and writes it to a new file that only its owner can read.
    ///
    /// # Errors
    /// `File` if it exists already or cannot be written safely.
    pub fn create(path: &Path) -> Result<Self, KeyError> {
        let made = Self::from_bytes(&*Zeroizing::new(random::<32>()?))?.with_erasure()?;
        write_private_file(path, made.text().as_bytes())?;
        check_private_file(path)?;
        Ok(made)
    }

    /// The key for one purpose.
    #[must_use]
    pub fn purpose(&self, purpose: &str) -> SealKey {
        self.inner.as_ref().unwrap_or(&self.key).derive(purpose)
    }

    /// The keys that the wrapping key may be sealed under, today's first: one for each secret of an
    /// erasure, or one of the master key alone where it has none.
    #[must_use]
    pub fn wrapping(&self) -> Vec<SealKey> {
        let alone = self.purpose("wrap");
        let each = self.erasures.iter().map(|erasure| {
            let text = erasure.expose_text();
            SealKey::from_bytes(alone.digest("answerable/v1/wrap-erasure", &[text.as_bytes()]))
        });
        let each: Vec<SealKey> = each.collect();
        if each.is_empty() { vec![alone] } else { each }
    }
}

/// Writes a new file with mode 0600, whole or not at all, durable before this returns. What is
/// left of an attempt cut short, `.new-<name>`, is written over.
///
/// # Errors
/// `File` if it exists already or cannot be written.
pub fn write_private_file(path: &Path, bytes: &[u8]) -> Result<(), KeyError> {
    if path.symlink_metadata().is_ok() {
        return Err(file_error(path, &std::io::ErrorKind::AlreadyExists.into()));
    }
    replace_private_file(path, bytes)
}

/// As [`write_private_file`], in the place of a file that may be there.
///
/// # Errors
/// `File` if it cannot be written.
pub fn replace_private_file(path: &Path, bytes: &[u8]) -> Result<(), KeyError> {
    let parent = parent(path);
    check_folder(parent)?;
    let mut name = OsString::from(".new-");
    name.push(path.file_name().unwrap_or_default());
    let unfinished = path.with_file_name(name);
    let written = (|| {
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        fs::File::open(parent)?.sync_all()
    })();
    written.map_err(|error| file_error(path, &error))
}

/// Checks that a file is a plain one, ours, closed to others, in a folder that only we can change.
///
/// # Errors
/// `File` with what is wrong and what to do.
pub fn check_private_file(path: &Path) -> Result<(), KeyError> {
    let wrong = |what: String| KeyError::File { path: path.display().to_string(), what };
    let meta = fs::symlink_metadata(path).map_err(|error| file_error(path, &error))?;
    if !meta.is_file() {
        return Err(wrong("expected a plain file, not a link or a folder".to_owned()));
    }
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(wrong("it belongs to another user; a key file must be your own".to_owned()));
    }
    if meta.mode() & 0o077 != 0 {
        let mode = meta.mode() & 0o777;
        return Err(wrong(format!(
            "its mode is {mode:04o}, so others can read it; run chmod 600 on it, and replace the key if they may have"
        )));
    }
    check_folder(parent(path))
}

fn check_folder(folder: &Path) -> Result<(), KeyError> {
    let wrong =
        |what: &str| KeyError::File { path: folder.display().to_string(), what: what.to_owned() };
    let meta = fs::metadata(folder).map_err(|error| file_error(folder, &error))?;
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(wrong(
            "the folder belongs to another user, who could replace the key in it; keep the key in a folder of your own, or give it as master_key= or ANSWERABLE_MASTER_KEY",
        ));
    }
    if meta.mode() & 0o022 != 0 && meta.mode() & 0o1000 == 0 {
        return Err(wrong(
            "others can write to the folder, so they could replace the key in it; run chmod go-w on it",
        ));
    }
    Ok(())
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn file_error(path: &Path, error: &std::io::Error) -> KeyError {
    KeyError::File { path: path.display().to_string(), what: error.to_string().to_lowercase() }
}
