//! A store that another process of the same user holds: what is read comes from there.
//!
//! Nothing is written through it: a change is asked for by name and made by the holder's engine.

use std::io::{self, ErrorKind};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::Mutex;

use super::folder::unavailable;
use super::socket::{
    self, Ask, DONE, Hello, MAX_ANSWER, MAX_REQUEST, PAGE_KEYS, PROTOCOL, Refusal,
};
use super::{Batch, Store, StoreError, Visit};

/// How long an answer may take: longer than the holder waits for its disk.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many keys the first page of a scan asks for; each later one for four times as many.
const FIRST_PAGE: u32 = 16;

/// A store that is read through its holder's socket.
#[derive(Debug)]
pub struct RemoteStore {
    path: PathBuf,
    process: u32,
    authority: String,
    line: Mutex<Line>,
}

#[derive(Debug)]
struct Line {
    stream: Option<UnixStream>,
    hello: Hello,
    closed: bool,
}

impl RemoteStore {
    /// Reaches the holder of the store in a folder; `None` if it has no socket, or is gone.
    ///
    /// # Errors
    /// `Refused` where what lies there is not a socket of this user's, or the holder speaks
    /// otherwise; `Unavailable` where it does not answer.
    pub fn connect(path: &Path) -> Result<Option<Self>, StoreError> {
        let Some((stream, hello)) = greet(path)? else { return Ok(None) };
        let authority = hello.authority.clone();
        let line = Mutex::new(Line { stream: Some(stream), hello, closed: false });
        Ok(Some(Self { path: path.to_owned(), process: std::process::id(), authority, line }))
    }

    /// The holder's process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.line.lock().hello.pid
    }

    /// Makes the holder write all that it appended.
    ///
    /// # Errors
    /// The holder's, or `Unavailable` if it is gone.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.ask(Ask::Flush, &[]).map(drop)
    }

    /// Two numbers that stand for the holder's state: while they are the same, it is.
    ///
    /// # Errors
    /// `Unavailable` if the holder is gone.
    pub fn version(&self) -> Result<(u64, u64), StoreError> {
        let answer = self.ask(Ask::Changes, &[])?;
        let (run, epoch) = answer.split_first_chunk().ok_or_else(garbled)?;
        let epoch = epoch.try_into().map_err(|_| garbled())?;
        Ok((u64::from_be_bytes(*run), u64::from_be_bytes(epoch)))
    }

    /// Makes the holder sign a checkpoint; answers its text.
    ///
    /// # Errors
    /// The holder's, or `Unavailable` if it is gone.
    pub fn checkpoint(&self) -> Result<String, StoreError> {
        String::from_utf8(self.ask(Ask::Checkpoint, &[])?).map_err(|_| garbled())
    }

    /// Asks the holder for a change of state, as text that the holder's binding understands.
    ///
    /// # Errors
    /// `Unavailable` if the holder is gone; where that is only seen after it was asked, nobody
    /// knows here whether it was done.
    pub fn verb(&self, text: &str) -> Result<String, StoreError> {
        if text.len() >= MAX_REQUEST {
            return Err(StoreError::Refused {
                what: format!("a request has at most {MAX_REQUEST} bytes, this one {}", text.len()),
            });
        }
        // A line that has gone dead is found here, where it can be replaced.
        self.ask(Ask::Hello, &[])?;
        let answer = self.once(Ask::Verb, text.as_bytes())?;
        String::from_utf8(answer).map_err(|_| garbled())
    }

    /// What a change of state is answered with that was not asked of the holder.
    #[must_use]
    pub fn elsewhere(&self) -> StoreError {
        StoreError::Attached { pid: self.pid(), path: self.path.clone() }
    }

    fn alive(&self) -> Result<(), StoreError> {
        if std::process::id() == self.process { Ok(()) } else { Err(StoreError::Forked) }
    }

    /// Asks for what may be asked twice: a line that has gone dead is replaced once.
    fn ask(&self, ask: Ask, body: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.alive()?;
        let mut line = self.line.lock();
        if let Some(stream) = &mut line.stream {
            match exchange(stream, ask, body) {
                Ok(answer) => return settle(answer),
                Err(error) => tracing::debug!(%error, "the holder's line is replaced"),
            }
            line.stream = None;
        }
        if line.closed {
            return Err(StoreError::Closed);
        }
        let (stream, hello) = greet(&self.path)?.ok_or_else(|| self.gone())?;
        if hello.authority != self.authority {
            return Err(StoreError::Refused {
                what: "another store lies in the folder now; open it again".to_owned(),
            });
        }
        line.hello = hello;
        let stream = line.stream.insert(stream);
        match exchange(stream, ask, body) {
            Ok(answer) => settle(answer),
            Err(error) => {
                line.stream = None;
                Err(unavailable("get an answer of its holder", &error))
            }
        }
    }

    /// Asks for what must not be asked twice.
    fn once(&self, ask: Ask, body: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.alive()?;
        let mut line = self.line.lock();
        let stream = line.stream.as_mut().ok_or_else(|| self.gone())?;
        match exchange(stream, ask, body) {
            Ok(answer) => settle(answer),
            Err(error) => {
                line.stream = None;
                Err(StoreError::Unavailable {
                    what: format!(
                        "its holder gave no answer ({error}); whether it was done stands in the trail"
                    ),
                })
            }
        }
    }

    fn gone(&self) -> StoreError {
        StoreError::Unavailable {
            what: format!("the process that held `{}` is gone", self.path.display()),
        }
    }

    fn walk(
        &self,
        ask: Ask,
        prefix: &[u8],
        from: Option<&[u8]>,
        each: &mut Visit,
    ) -> Result<(), StoreError> {
        let mut from = from.map(<[u8]>::to_vec);
        let mut keys = FIRST_PAGE;
        loop {
            let body = socket::write_range(keys, prefix, from.as_deref()).ok_or_else(garbled)?;
            let answer = self.ask(ask, &body)?;
            let (more, mut page) = answer.split_first().ok_or_else(garbled)?;
            let mut last = None;
            while !page.is_empty() {
                let (key, value) = socket::read_pair(&mut page).ok_or_else(garbled)?;
                if !key.starts_with(prefix) {
                    return Err(garbled());
                }
                if !each(key, value) {
                    return Ok(());
                }
                last = Some(key);
            }
            let Some(last) = last.filter(|_| *more == 1) else { return Ok(()) };
            let mut next = last.to_vec();
            if ask == Ask::Scan {
                next.push(0); // The first key after it.
            }
            from = Some(next);
            keys = keys.saturating_mul(4).min(PAGE_KEYS);
        }
    }
}

impl Store for RemoteStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let mut answer = self.ask(Ask::Get, key)?;
        match answer.first() {
            Some(1) => {
                answer.remove(0);
                Ok(Some(answer))
            }
            Some(0) => Ok(None),
            _ => Err(garbled()),
        }
    }

    fn scan(&self, prefix: &[u8], from: Option<&[u8]>, each: &mut Visit) -> Result<(), StoreError> {
        self.walk(Ask::Scan, prefix, from, each)
    }

    fn scan_back(
        &self,
        prefix: &[u8],
        before: Option<&[u8]>,
        each: &mut Visit,
    ) -> Result<(), StoreError> {
        self.walk(Ask::ScanBack, prefix, before, each)
    }

    fn commit(&self, _: Batch) -> Result<(), StoreError> {
        self.alive()?;
        Err(self.elsewhere())
    }

    fn close(&self) -> Result<(), StoreError> {
        self.alive()?;
        let mut line = self.line.lock();
        line.stream = None;
        line.closed = true;
        Ok(())
    }

    fn remote(&self) -> Option<&RemoteStore> {
        Some(self)
    }
}

/// Connects, and hears who is there.
fn greet(path: &Path) -> Result<Option<(UnixStream, Hello)>, StoreError> {
    let Some(mut stream) = socket::connect(path)? else { return Ok(None) };
    let failed = |error: io::Error| unavailable("get an answer of its holder", &error);
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
    let answer = settle(exchange(&mut stream, Ask::Hello, &[]).map_err(failed)?)?;
    let hello: Hello = serde_json::from_slice(&answer).map_err(|_| garbled())?;
    if hello.protocol != PROTOCOL {
        return Err(StoreError::Refused {
            what: format!(
                "its holder, process {}, runs version {} of answerable and this one is {}: use the same",
                hello.pid,
                hello.version.escape_debug(),
                env!("CARGO_PKG_VERSION")
            ),
        });
    }
    Ok(Some((stream, hello)))
}

fn exchange(stream: &mut UnixStream, ask: Ask, body: &[u8]) -> io::Result<(u8, Vec<u8>)> {
    let sent = socket::send(stream, ask as u8, body);
    match (sent, socket::receive(stream, MAX_ANSWER)) {
        (_, Ok(Some(answer))) => Ok(answer), // A refusal may come before anything was taken.
        (Err(error), _) | (_, Err(error)) => Err(error),
        (Ok(()), Ok(None)) => Err(ErrorKind::UnexpectedEof.into()),
    }
}

fn settle((status, body): (u8, Vec<u8>)) -> Result<Vec<u8>, StoreError> {
    if status == DONE {
        return Ok(body);
    }
    let refusal: Refusal = serde_json::from_slice(&body).map_err(|_| garbled())?;
    Err(match &*refusal.code {
        "store_corrupt" => StoreError::Corrupt { what: refusal.what },
        "store_cut_short" => StoreError::CutShort { what: refusal.what },
        "store_refused" => StoreError::Refused { what: refusal.what },
        _ => StoreError::Unavailable { what: refusal.what },
    })
}

fn garbled() -> StoreError {
    StoreError::Unavailable { what: "its holder's answer cannot be read".to_owned() }
}
