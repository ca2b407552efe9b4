//! The holder's socket: where it lies, who may speak through it, and how a message is framed.
//!
//! One process holds a store. Others of the same user reach it through a Unix socket in the
//! store's folder. A request is `length, verb, body`, an answer `length, status, body`; the length
//! is four bytes, big-endian, and counts what follows it. The format of the bodies is fixed by
//! [`PROTOCOL`]: both ends are of versions that know the same one, or they part.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use super::StoreError;
use super::folder::unavailable;

/// What both ends must agree on.
pub(crate) const PROTOCOL: u32 = 1;
/// The largest request, in bytes after the length.
pub(crate) const MAX_REQUEST: usize = 1024 * 1024;
/// The largest answer, in bytes after the length.
pub(crate) const MAX_ANSWER: usize = 8 * 1024 * 1024;
/// How many bytes of keys and values one page of a scan may hold before it ends.
pub(crate) const PAGE_BYTES: usize = 1024 * 1024;
/// How many keys one page of a scan may hold.
pub(crate) const PAGE_KEYS: u32 = 1024;

/// The socket in the store's folder.
const SOCKET: &str = "holder.sock";
/// It is made under this name and moved into place once it is closed to others.
pub(super) const UNFINISHED: &str = ".new-holder.sock";
/// The longest path that the operating system takes for a socket, with room for its end.
const LONGEST: usize = 100;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Ask {
    /// Who is there: answered with [`Hello`].
    Hello = 1,
    /// The value under a key.
    Get = 2,
    /// A page of keys, ascending.
    Scan = 3,
    /// A page of keys, descending.
    ScanBack = 4,
    /// To write all that was appended.
    Flush = 5,
    /// Two numbers that stand for the state of all but the calls.
    Changes = 6,
    /// A checkpoint, signed now.
    Checkpoint = 7,
    /// A change of state, by name.
    Verb = 8,
}

impl Ask {
    /// By its byte.
    pub(crate) fn parse(byte: u8) -> Option<Self> {
        [
            Self::Hello,
            Self::Get,
            Self::Scan,
            Self::ScanBack,
            Self::Flush,
            Self::Changes,
            Self::Checkpoint,
            Self::Verb,
        ]
        .into_iter()
        .find(|ask| *ask as u8 == byte)
    }
}

/// How an answer begins: it is what was asked for.
pub(crate) const DONE: u8 = 0;
/// How an answer begins: a [`Refusal`].
pub(crate) const REFUSED: u8 = 1;

/// Who answers.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Hello {
    pub(crate) protocol: u32,
    /// The version of the holder's program.
    pub(crate) version: String,
    /// The holder's process.
    pub(crate) pid: u32,
    /// The authority's id.
    pub(crate) authority: String,
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Refusal {
    /// The stable code.
    pub(crate) code: String,
    /// What happened, in a sentence.
    pub(crate) what: String,
}

/// Binds the socket in a folder whose lock is ours: whatever lies there is a dead holder's.
///
/// # Errors
/// `Unavailable`.
pub(crate) fn listen(folder: &Path) -> Result<UnixListener, StoreError> {
    let failed = |error: io::Error| unavailable("make its socket", &error);
    let unfinished = folder.join(UNFINISHED);
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = short(folder, UNFINISHED, |path| UnixListener::bind(path)).map_err(failed)?;
    fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    fs::rename(&unfinished, folder.join(SOCKET)).map_err(failed)?;
    Ok(listener)
}

/// Connects once and lets go, so that whoever accepts looks up.
///
/// # Errors
/// What the operating system says.
pub(crate) fn wake(folder: &Path) -> io::Result<()> {
    short(folder, SOCKET, |path| UnixStream::connect(path)).map(drop)
}

/// Takes the socket away.
pub(crate) fn unlink(folder: &Path) {
    if let Err(error) = fs::remove_file(folder.join(SOCKET)) {
        tracing::debug!(%error, "socket not removed");
    }
}

/// Connects to the holder of the store in a folder; `None` if it has no socket, or nobody answers.
///
/// # Errors
/// `Refused` where what lies there is not a socket of ours, or another user answers.
pub(super) fn connect(folder: &Path) -> Result<Option<UnixStream>, StoreError> {
    let socket = folder.join(SOCKET);
    let failed = |error: io::Error| unavailable("reach its holder", &error);
    let data = match fs::symlink_metadata(&socket) {
        Ok(data) => data,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let above = fs::symlink_metadata(folder).map_err(failed)?;
    let me = rustix::process::geteuid().as_raw();
    let kept = above.is_dir() && above.uid() == me && above.mode() & 0o022 == 0;
    if !kept || !data.file_type().is_socket() || data.uid() != me || data.mode() & 0o177 != 0 {
        return Err(StoreError::Refused {
            what: format!(
                "`{}` is not the socket of a holder of yours: it must be a socket that only you can use, in a folder that only you may write to; look at who made it, then remove it",
                socket.display()
            ),
        });
    }
    let stream = match short(folder, SOCKET, |path| UnixStream::connect(path)) {
        Ok(stream) => stream,
        // A dead holder's; the next one replaces it.
        Err(error)
            if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(failed(error)),
    };
    if peer(&stream)?.is_none() {
        return Err(StoreError::Refused {
            what: format!("behind `{}` another user answers; remove it", socket.display()),
        });
    }
    Ok(Some(stream))
}

/// The process at the other end, if it is one of this user.
///
/// # Errors
/// `Unavailable` where the operating system does not say.
pub(crate) fn peer(stream: &UnixStream) -> Result<Option<u32>, StoreError> {
    #[cfg(target_os = "linux")]
    {
        let peer = rustix::net::sockopt::socket_peercred(stream.as_fd())
            .map_err(|error| unavailable("see who is at the other end", &error.into()))?;
        let same = peer.uid == rustix::process::geteuid();
        Ok(same.then(|| u32::try_from(peer.pid.as_raw_nonzero().get()).unwrap_or_default()))
    }
    #[cfg(not(target_os = "linux"))]
    {
        // Who cannot be told from others is not served.
        let _ = stream;
        Ok(None)
    }
}

/// Calls with a path to `name` in the folder that is short enough for a socket.
fn short<T>(folder: &Path, name: &str, call: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let path = folder.join(name);
    if path.as_os_str().len() <= LONGEST {
        return call(&path);
    }
    let folder = fs::File::open(folder)?;
    call(&PathBuf::from(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd())))
}

/// Writes one message.
pub(crate) fn send(stream: &mut UnixStream, first: u8, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len().saturating_add(1))
        .map_err(|_| io::Error::new(ErrorKind::InvalidInput, "the message is too large"))?;
    let mut message = Vec::with_capacity(body.len().saturating_add(5));
    message.extend_from_slice(&length.to_be_bytes());
    message.push(first);
    message.extend_from_slice(body);
    stream.write_all(&message)
}

/// Reads one message of at most `most` bytes: its first byte and the rest. `None` at the end.
pub(crate) fn receive(stream: &mut impl Read, most: usize) -> io::Result<Option<(u8, Vec<u8>)>> {
    let mut length = [0; 4];
    let mut got = 0;
    while let Some(rest) = length.get_mut(got..).filter(|rest| !rest.is_empty()) {
        match stream.read(rest) {
            Ok(0) if got == 0 => return Ok(None),
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => got = got.saturating_add(count),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let length = u32::from_be_bytes(length) as usize;
    if length == 0 || length > most {
        return Err(io::Error::new(
            ErrorKind::InvalidData,
            "a message of a length that is refused",
        ));
    }
    let mut body = Vec::new();
    // What is allocated follows what has come.
    let read = stream.take(length as u64).read_to_end(&mut body)?;
    if read != length {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    let first = body.remove(0);
    Ok(Some((first, body)))
}

/// The body of a scan: how many keys at most, the prefix, and where to go on.
pub(crate) fn write_range(keys: u32, prefix: &[u8], from: Option<&[u8]>) -> Option<Vec<u8>> {
    let mut body = keys.to_be_bytes().to_vec();
    body.extend_from_slice(&u16::try_from(prefix.len()).ok()?.to_be_bytes());
    body.extend_from_slice(prefix);
    if let Some(from) = from {
        body.push(1);
        body.extend_from_slice(from);
    } else {
        body.push(0);
    }
    Some(body)
}

/// What [`write_range`] wrote.
pub(crate) type Range<'a> = (u32, &'a [u8], Option<&'a [u8]>);

/// Reads what [`write_range`] wrote.
pub(crate) fn read_range(body: &[u8]) -> Option<Range<'_>> {
    let (keys, rest) = body.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let (prefix, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    let from = match rest.split_first()? {
        (1, from) => Some(from),
        (0, []) => None,
        _ => return None,
    };
    let keys = u32::from_be_bytes(*keys).clamp(1, PAGE_KEYS);
    Some((keys, prefix, from))
}

/// Adds a key and its value to a page; its first byte says whether there may be more.
pub(crate) fn write_pair(page: &mut Vec<u8>, key: &[u8], value: &[u8]) -> Option<()> {
    page.extend_from_slice(&u16::try_from(key.len()).ok()?.to_be_bytes());
    page.extend_from_slice(&u32::try_from(value.len()).ok()?.to_be_bytes());
    page.extend_from_slice(key);
    page.extend_from_slice(value);
    Some(())
}

/// Takes a key and its value off a page.
pub(super) fn read_pair<'a>(page: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let (key_length, rest) = page.split_first_chunk::<2>()?;
    let (value_length, rest) = rest.split_first_chunk::<4>()?;
    let (key, rest) = rest.split_at_checked(u16::from_be_bytes(*key_length).into())?;
    let (value, rest) =
        rest.split_at_checked(usize::try_from(u32::from_be_bytes(*value_length)).ok()?)?;
    *page = rest;
    Some((key, value))
}

#[cfg(test)]
#[path = "socket_tests.rs"]
mod tests;
