//! Serving the same user's other processes while the store is held here.
//!
//! A thread takes in connections to the socket in the store's folder, and each has a thread of its
//! own: what is read is answered from the store, a change of state is handed on by name to whoever
//! was given at the start. No lock of the engine is held while something is sent or waited for,
//! and there are few connections, small requests and short waits: nobody at the other end holds
//! up a call.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

use super::wrapping::Wrapping;
use super::{Engine, EngineError};
use crate::clock::Stopwatch;
use crate::store::StoreError;
use crate::store::socket::{
    self, Ask, DONE, Hello, MAX_ANSWER, MAX_REQUEST, PAGE_BYTES, PROTOCOL, REFUSED, Refusal,
};

/// How many connections there may be; one more is told so and closed.
const CONNECTIONS: usize = 16;
/// How long a connection may ask nothing.
const IDLE: Duration = Duration::from_secs(120);
/// How long the rest of a request may take once it began, and an answer to be taken.
const HURRY: Duration = Duration::from_secs(10);
/// How long the listener rests after the operating system refused it a connection.
const PAUSE: Duration = Duration::from_millis(50);

/// What makes changes of state: it is given the text of a request and answers the text of the
/// answer, or a code and a sentence.
pub type Verbs = dyn Fn(&str) -> Result<String, (String, String)> + Send + Sync;

/// The socket of an engine, and its threads.
pub(super) struct Serving {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    engine: Weak<Engine>,
    folder: PathBuf,
    /// Random: the epochs of two holders are not compared.
    run: u64,
    verbs: Box<Verbs>,
    ending: AtomicBool,
    numbers: AtomicU64,
    connections: Mutex<HashMap<u64, Connection>>,
}

/// A connection and its thread: both are needed to end it.
struct Connection {
    stream: UnixStream,
    thread: JoinHandle<()>,
}

impl Engine {
    /// Serves other processes of the same user through a socket in the store's folder, until the
    /// engine is closed: they read, and `verbs` makes the changes that they ask for.
    ///
    /// Where the store was not opened by [`Engine::open`], is served already, or the operating
    /// system does not tell who is at the other end, nothing happens.
    ///
    /// # Errors
    /// `Unavailable` if the socket or its thread cannot be made.
    pub fn serve(self: &Arc<Self>, verbs: Box<Verbs>) -> Result<(), EngineError> {
        self.check()?;
        let mut serving = self.serving.lock();
        if serving.is_some() || self.store.remote().is_some() || !cfg!(target_os = "linux") {
            return Ok(());
        }
        let failed = |error: io::Error| StoreError::Unavailable { what: error.to_string() };
        let listener = socket::listen(&self.path)?;
        let mut run = [0; 8];
        getrandom::fill(&mut run)
            .map_err(|error| StoreError::Unavailable { what: error.to_string() })?;
        let shared = Arc::new(Shared {
            engine: Arc::downgrade(self),
            folder: self.path.clone(),
            run: u64::from_be_bytes(run),
            verbs,
            ending: AtomicBool::new(false),
            numbers: AtomicU64::new(0),
            connections: Mutex::default(),
        });
        let own = shared.clone();
        let thread = std::thread::Builder::new()
            .name("answerable-socket".to_owned())
            .spawn(move || own.listen(&listener))
            .map_err(failed)?;
        *serving = Some(Serving { shared, thread: Some(thread) });
        Ok(())
    }
}

impl Serving {
    /// Takes the socket away and ends every connection. Waits for what is being done, if `join`.
    pub(super) fn end(mut self, join: bool) {
        self.shared.ending.store(true, Ordering::Release);
        // Wakes the listener, which then sees that it ends.
        if let Err(error) = socket::wake(&self.shared.folder) {
            tracing::debug!(%error, "the socket's thread was not woken");
            self.thread = None;
        }
        socket::unlink(&self.shared.folder);
        let threads: Vec<_> = {
            let mut connections = self.shared.connections.lock();
            connections
                .drain()
                .map(|(_, Connection { stream, thread })| {
                    // One that ended by itself is closed already.
                    let _ = stream.shutdown(Shutdown::Both);
                    thread
                })
                .collect()
        };
        if join {
            let me = std::thread::current().id();
            for thread in self.thread.into_iter().chain(threads) {
                if thread.thread().id() != me {
                    // A panic in it has ended its connection, and nothing else.
                    let _ = thread.join();
                }
            }
        }
    }
}

impl Shared {
    fn listen(self: &Arc<Self>, listener: &UnixListener) {
        loop {
            let taken = listener.accept();
            if self.ending.load(Ordering::Acquire) {
                return;
            }
            match taken {
                Ok((stream, _)) => self.take(stream),
                Err(error) => {
                    tracing::warn!(%error, "a connection to the store's socket failed");
                    std::thread::sleep(PAUSE);
                }
            }
        }
    }

    /// Gives a connection of this user's a thread of its own.
    fn take(self: &Arc<Self>, mut stream: UnixStream) {
        let timed = stream.set_write_timeout(Some(HURRY)).is_ok();
        let pid = match socket::peer(&stream) {
            Ok(Some(pid)) if timed => pid,
            // Another user is told nothing.
            Ok(_) => return tracing::warn!("another user at the store's socket was refused"),
            Err(error) => return tracing::warn!(%error, "a connection was refused"),
        };
        let Ok(kept) = stream.try_clone() else { return };
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let mut connections = self.connections.lock();
        if connections.len() >= CONNECTIONS {
            drop(connections);
            let what = format!("{CONNECTIONS} others speak with the holder; try again later");
            refuse(&mut stream, "store_unavailable", what);
            return;
        }
        if self.ending.load(Ordering::Acquire) {
            return;
        }
        let own = self.clone();
        let thread =
            std::thread::Builder::new().name("answerable-peer".to_owned()).spawn(move || {
                tracing::debug!(pid, "a process attached");
                if let Err(error) = own.speak(&mut stream) {
                    tracing::debug!(pid, %error, "an attached process was let go");
                }
                own.connections.lock().remove(&number);
            });
        match thread {
            // It cannot have removed itself yet: the lock is ours.
            Ok(thread) => drop(connections.insert(number, Connection { stream: kept, thread })),
            Err(error) => tracing::warn!(%error, "no thread for an attached process"),
        }
    }

    /// Answers until the other end has had enough, or breaks a rule.
    fn speak(&self, stream: &mut UnixStream) -> io::Result<()> {
        while !self.ending.load(Ordering::Acquire) {
            let mut patient = Patient { stream, begun: None };
            let Some((verb, body)) = socket::receive(&mut patient, MAX_REQUEST)? else {
                return Ok(());
            };
            let Some(ask) = Ask::parse(verb) else {
                refuse(stream, "store_refused", "there is no such request".to_owned());
                return Err(ErrorKind::InvalidData.into());
            };
            match self.answer(ask, &body) {
                Ok(answer) if answer.len() < MAX_ANSWER => socket::send(stream, DONE, &answer)?,
                Ok(_) => refuse(stream, "store_refused", "the answer is too large".to_owned()),
                Err(refusal) => refuse(stream, &refusal.code, refusal.what),
            }
        }
        Ok(())
    }

    fn answer(&self, ask: Ask, body: &[u8]) -> Result<Vec<u8>, Refusal> {
        if ask == Ask::Verb {
            let text = std::str::from_utf8(body).map_err(|_| malformed())?;
            return (self.verbs)(text)
                .map(String::into_bytes)
                .map_err(|(code, what)| Refusal { code, what });
        }
        let engine = self.engine.upgrade().ok_or_else(closed)?;
        let failed = |error: StoreError| Refusal::from(&error);
        match ask {
            Ask::Hello => serde_json::to_vec(&Hello {
                protocol: PROTOCOL,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                pid: std::process::id(),
                authority: engine.authority_id.clone(),
            })
            .map_err(|_| malformed()),
            Ask::Get => {
                let value = engine.store.get(body).map_err(failed)?;
                Ok(value.map_or_else(|| vec![0], |value| [&[1], value.as_slice()].concat()))
            }
            Ask::Scan | Ask::ScanBack => page(&engine, ask, body),
            Ask::Flush => engine.recorder.flush().map(|_| Vec::new()).map_err(failed),
            Ask::Changes => {
                // In this order: all changes up to it can then be read.
                let changes = engine.recorder.changes();
                let changes = changes.wrapping_add(engine.revision.load(Ordering::Acquire));
                engine.recorder.flush().map_err(failed)?;
                // An erasure exchanges the key under which all is read.
                let (_, mark) = Wrapping::mark(&engine.ring.wrapping());
                let keyed = mark.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
                Ok([(self.run ^ keyed).to_be_bytes(), changes.to_be_bytes()].concat())
            }
            Ask::Checkpoint => match engine.checkpoint() {
                Ok(signed) => Ok(signed.text().as_bytes().to_vec()),
                Err(EngineError::Store(error)) => Err(Refusal::from(&error)),
                Err(error) => {
                    Err(Refusal { code: "store_unavailable".to_owned(), what: error.to_string() })
                }
            },
            Ask::Verb => Err(malformed()),
        }
    }
}

/// A page of a scan: so many keys, or so many bytes.
fn page(engine: &Engine, ask: Ask, body: &[u8]) -> Result<Vec<u8>, Refusal> {
    let (keys, prefix, from) = socket::read_range(body).ok_or_else(malformed)?;
    let mut page = vec![0];
    let mut count = 0;
    let mut more = false;
    let mut each = |key: &[u8], value: &[u8]| {
        if count >= keys || page.len() >= PAGE_BYTES {
            more = true;
            return false;
        }
        count += 1;
        socket::write_pair(&mut page, key, value).is_some()
    };
    let scanned = match ask {
        Ask::ScanBack => engine.store.scan_back(prefix, from, &mut each),
        _ => engine.store.scan(prefix, from, &mut each),
    };
    scanned.map_err(|error| Refusal::from(&error))?;
    if let Some(first) = page.first_mut() {
        *first = more.into();
    }
    Ok(page)
}

/// A reader that waits long for a request to begin, and not long for the rest of it.
struct Patient<'a> {
    stream: &'a mut UnixStream,
    begun: Option<Stopwatch>,
}

impl Read for Patient<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = match &self.begun {
            None => IDLE,
            Some(begun) => {
                let spent = Duration::from_micros(begun.micros().unsigned_abs());
                HURRY
                    .checked_sub(spent)
                    .filter(|left| !left.is_zero())
                    .ok_or(ErrorKind::TimedOut)?
            }
        };
        self.stream.set_read_timeout(Some(left))?;
        let count = self.stream.read(into)?;
        self.begun.get_or_insert_with(Stopwatch::start);
        Ok(count)
    }
}

impl From<&StoreError> for Refusal {
    fn from(error: &StoreError) -> Self {
        let what = match error {
            StoreError::Unavailable { what }
            | StoreError::Corrupt { what }
            | StoreError::CutShort { what }
            | StoreError::Refused { what } => what.clone(),
            other => other.to_string(),
        };
        Self { code: error.code().to_owned(), what }
    }
}

fn refuse(stream: &mut UnixStream, code: &str, what: String) {
    let refusal = Refusal { code: code.to_owned(), what };
    let sent = serde_json::to_vec(&refusal)
        .map_err(io::Error::from)
        .and_then(|body| socket::send(stream, REFUSED, &body));
    if let Err(error) = sent {
        tracing::debug!(%error, "a refusal was not taken");
    }
}

fn malformed() -> Refusal {
    Refusal { code: "store_refused".to_owned(), what: "the request cannot be read".to_owned() }
}

fn closed() -> Refusal {
    Refusal { code: "store_unavailable".to_owned(), what: "its holder is closing it".to_owned() }
}
