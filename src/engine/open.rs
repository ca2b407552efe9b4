//! Opening: the first time makes the authority; every other time finds it or refuses.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use super::agree::{KeysFound, agree};
use super::anchor::{Taken, holds_together, kept_file, put_back};
use super::erase::Rewriter;
use super::housekeeping;
use super::keys::{AUTHORITY, CHECKPOINT, Keys, assertion, seal};
use super::mend::Mending;
use super::policies::{restore, restore_tools};
use super::shadow::{self, Shadow};
use super::shown::{MAX_SHOWN, Shown};
use super::wrapping::{Wrapping, unlocked, wrong_master};
use super::{Durability, Engine, EngineError, Library};
use crate::canonical::Value;
use crate::chain::{Anchors, HopCache, MAX_HOPS};
use crate::clock::{Clock, Source};
use crate::keys::{KeyError, KeyRing, MasterKey, RandomPool, SecretKey, write_private_file};
use crate::principal::HumanId;
use crate::recorder::{Head, Recorder};
use crate::registry::{Put, Sealer, State, draft, roots};
use crate::store::{Remedy, RemoteStore, SledStore, Store, StoreError};
use crate::trail::checkpoint::{CheckpointKey, origin_of, sign_authority_statement};
use crate::trail::entry::kind;

/// The file in the store's folder that names the authority, written once it is durable: a store
/// that lost its records is told from a new one, so that a second authority is never made.
const MADE: &str = "AUTHORITY";
/// How much of a limit is reserved at once where calls do not wait for the disk.
const PORTION: u64 = 16;

/// Where the master key comes from.
#[derive(Debug, Clone, Default)]
pub enum MasterSource {
    /// The file `<store>.key` beside the store, made on the first opening.
    #[default]
    File,
    /// Given by the caller.
    Given(MasterKey),
}

/// How an engine is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// When entries must be durable.
    pub durability: Durability,
    /// How long entries may wait for the disk where nobody waits for them.
    pub flush: Duration,
    /// Where the master key comes from.
    pub master: MasterSource,
    /// Where the time comes from.
    pub clock: Source,
    /// How many hops a chain may have.
    pub max_hops: usize,
    /// How long an approval waits for its answer, and its yes for the call, in microseconds.
    pub approval_ttl: i64,
    /// How long a call that asks waits for its answer, in microseconds; not at all if absent.
    pub approval_wait: Option<i64>,
    /// Why, and by whom, an older state of the store is taken up than the checkpoint kept beside it,
    /// or than its log had been durable: recorded. `None` refuses such a store.
    pub accept_restore: Option<(String, Option<HumanId>)>,
    /// Whether what is left over, derived or in the way is put in order first: recorded.
    pub repair: bool,
    /// How many grants made elsewhere are taken up below one root grant in an hour.
    pub max_shown: usize,
    /// One of so many judgements is made a second time by Cedar's own evaluator, 1 to
    /// [`MAX_SHADOW`]; none if absent.
    pub policy_shadow: Option<u32>,
    /// For how long the values of some kinds of entries are kept, in microseconds, 180 days at
    /// least; then housekeeping drops them. Others are kept.
    pub retention: Vec<(String, i64)>,
}

/// The fewest judgements that the shadow check can be told to compare: one of so many.
pub const MAX_SHADOW: u32 = 1_000_000;

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::default(),
            flush: Duration::from_millis(50),
            master: MasterSource::default(),
            clock: Source::default(),
            max_hops: MAX_HOPS,
            approval_ttl: 3_600 * crate::clock::MICROS,
            approval_wait: None,
            accept_restore: None,
            repair: false,
            max_shown: MAX_SHOWN,
            policy_shadow: None,
            retention: Vec::new(),
        }
    }
}

/// The file that holds a store's master key unless it is given.
#[must_use]
pub(super) fn key_file(store: &Path) -> PathBuf {
    let mut name = store.file_name().unwrap_or_default().to_os_string();
    name.push(".key");
    store.with_file_name(name)
}

impl Engine {
    /// Opens the store in a folder; makes it, and the authority, if there is none.
    ///
    /// # Errors
    /// `Store` if it is held by another process, damaged, newer, or without its key; `Key` if the
    /// key file can be read by others.
    pub fn open(path: &Path, options: Options) -> Result<Arc<Self>, EngineError> {
        let path = std::path::absolute(path)
            .map_err(|error| EngineError::Invalid(format!("the store's path: {error}")))?;
        if path.file_name().is_none() {
            return Err(EngineError::Invalid(format!(
                "`{}` cannot hold a store; name a folder of its own",
                path.display()
            )));
        }
        super::retention::check(&options.retention)?;
        look_ahead(&path, &options.master)?;
        let mut mending = options.repair.then(|| Mending::look(&path));
        let started = Clock::new(options.clock.clone(), 0).stamp();
        let restore = options.accept_restore.clone();
        let remedy = Remedy { repair: options.repair, accept_loss: restore.is_some() };
        let (store, remedied) = SledStore::open_with(&path, started, remedy)?;
        let store: Arc<dyn Store> = Arc::new(store);
        if let Some(mending) = &mut mending {
            mending.opened(&remedied.moved);
        }
        let opened = (|| {
            if let Some(mending) = &mut mending {
                mending.tidy(&path)?;
            }
            let put_back = match put_back(&path, &*store)? {
                Some(kept) if store.get(AUTHORITY)?.is_none() => {
                    tracing::warn!(origin = kept.claimed().origin, "a new store in an old place");
                    None
                }
                other => other,
            };
            if let (Some(kept), None) = (&put_back, &restore) {
                return Err(StoreError::PutBack {
                    kept: kept.claimed().size,
                    found: Head::load(&*store)?.frontier.size(),
                }
                .into());
            }
            if remedied.lost.is_some() {
                holds_together(&*store)?;
            }
            let engine = Self::on_store(&path, store.clone(), options)?;
            let _ = engine.kept.set(kept_file(&path));
            let taken = Taken { kept: put_back, lost: remedied.lost };
            if let (true, Some((reason, by))) = (taken.is_older(), restore) {
                engine.accept_restore(&taken, &reason, by)?;
            }
            if let Some(mending) = mending.take() {
                engine.mended(mending)?;
            }
            store.clear_older()?;
            Ok(engine)
        })();
        if opened.is_err()
            && let Err(error) = store.close()
        {
            tracing::warn!(%error, "the store could not be closed");
        }
        opened
    }

    /// Attaches to the engine that another process of this user holds the store in a folder with,
    /// through its socket; `None` if there is no such process, it is this one, or it does not
    /// serve.
    ///
    /// All that reads works as on an engine of one's own, on the state of this moment. What would
    /// change something, and every call, is refused with [`StoreError::Attached`].
    ///
    /// # Errors
    /// As [`Engine::open`], and `Refused` for a socket that is not this user's.
    pub fn attach(path: &Path, options: Options) -> Result<Option<Arc<Self>>, EngineError> {
        let path = std::path::absolute(path)
            .map_err(|error| EngineError::Invalid(format!("the store's path: {error}")))?;
        let Some(store) = RemoteStore::connect(&path)? else { return Ok(None) };
        if store.pid() == std::process::id() {
            // Whoever opened it here goes on with that engine.
            return Ok(None);
        }
        Self::on_store(&path, Arc::new(store), options).map(Some)
    }

    /// Another attached engine on the line of this one, on the state of this moment; `None` if
    /// this one is not attached.
    ///
    /// # Errors
    /// As [`Engine::attach`].
    pub fn attach_anew(&self, options: Options) -> Result<Option<Arc<Self>>, EngineError> {
        if self.store.remote().is_none() {
            return Ok(None);
        }
        self.check()?;
        Self::on_store(&self.path, self.store.clone(), options).map(Some)
    }

    /// The way to the engine's holder, where it is attached.
    #[must_use]
    pub fn holder(&self) -> Option<&RemoteStore> {
        self.store.remote()
    }

    /// Opens over a store that is open already; `path` is where the keys beside it lie. For stores
    /// of other kinds, and for tests.
    ///
    /// # Errors
    /// As [`Engine::open`]. The store stays open.
    pub fn on_store(
        path: &Path,
        store: Arc<dyn Store>,
        options: Options,
    ) -> Result<Arc<Self>, EngineError> {
        if options.policy_shadow.is_some_and(|every| !(1..=MAX_SHADOW).contains(&every)) {
            let what = format!("policy_shadow is a whole number from 1 to {MAX_SHADOW}");
            return Err(EngineError::Invalid(what));
        }
        let fresh = store.get(AUTHORITY)?.is_none();
        if let (true, Some(holder)) = (fresh, store.remote()) {
            return Err(holder.elsewhere().into());
        }
        let made = read_made(&path.join(MADE))?;
        if let (true, Some(made)) = (fresh, &made) {
            let what = format!("the records of its authority {made} are gone");
            return Err(StoreError::Corrupt { what }.into());
        }
        let (master, file) = master_of(&options.master, path, fresh)?;
        let master = unlocked(&master, path, fresh)?;
        let mut wrapping = Wrapping::new(master.clone(), file, path);
        let wrap = wrapping.open(&*store, fresh)?;
        let ring = Arc::new(KeyRing::new(wrap, &master));
        let head = Head::load(&*store)?;
        let clock = Arc::new(Clock::new(options.clock, head.at));
        let authority = match store.get(AUTHORITY)? {
            Some(sealed) => {
                let text = ring.agents().open(&sealed, &assertion("authority"));
                SecretKey::parse(&text.map_err(|_| wrong_master())?)?
            }
            None => SecretKey::generate()?,
        };
        let roots = roots(&*store)?;
        let first = roots.first().map_or_else(|| authority.public(), |root| root.key);
        let authority_id = first.id();
        if let Some(made) = made.as_ref().filter(|made| **made != authority_id) {
            let what = format!(
                "the folder is that of the authority {made}, its records are those of {authority_id}"
            );
            return Err(StoreError::Corrupt { what }.into());
        }
        let checkpoint_seed = match store.get(CHECKPOINT)? {
            Some(sealed) => {
                SecretKey::parse(&ring.agents().open(&sealed, &assertion("checkpoint"))?)?
            }
            None => SecretKey::generate()?,
        };
        let checkpoint_key =
            CheckpointKey::from_seed(&origin_of(&first), &checkpoint_seed.expose_seed())?;
        let durability = options.durability;
        let portion = match durability {
            Durability::Before | Durability::Strict => 1,
            Durability::After | Durability::Relaxed => PORTION,
        };
        let recorder = Arc::new(Recorder::new(
            store.clone(),
            ring.clone(),
            clock.clone(),
            authority_id.clone(),
            head,
            portion,
        ));
        let vault = super::vault::Vault::default();
        recorder.mask_by(vault.redactor.clone());
        vault.redactor.tell_everywhere();
        if fresh {
            first_leaf(&recorder, &ring, &authority, &checkpoint_seed, &checkpoint_key)?;
        }
        if made.is_none() && store.remote().is_none() {
            write_private_file(&path.join(MADE), format!("{authority_id}\n").as_bytes())?;
        }
        if store.remote().is_none() {
            Rewriter {
                store: &*store,
                ring: &ring,
                recorder: &recorder,
                authority_id: &authority_id,
                wrapping: &mut wrapping,
            }
            .run()?;
        }
        let mut state = State::load(&*store, &Sealer::new(&ring, &*store))?;
        let mut anchors = Anchors::default();
        for root in &roots {
            state.know_root(&root.key, root.until);
            anchors.add(root.key, &authority_id);
        }
        state.know_root(&authority.public(), i64::MAX);
        anchors.add(authority.public(), &authority_id);
        state.reserve(checkpoint_seed.public());
        state.set_policies(restore(&*store, &ring));
        let declared = restore_tools(&*store, &ring)?;
        let checkpoint = checkpoint_key.verifier().clone();
        let mut keys = Keys {
            authority: Arc::new(authority),
            roots,
            checkpoints: vec![(0, Arc::new(checkpoint_key))],
            stated: clock.stamp(),
            anchors,
        };
        let began = recorder.durable();
        let library = Arc::new(Library::new(
            path,
            store.clone(),
            ring.clone(),
            recorder.clone(),
            authority_id.clone(),
        ));
        if store.remote().is_none() {
            let found = KeysFound {
                first: &first,
                id: &authority_id,
                roots: &keys.roots,
                present: keys.authority.public(),
                checkpoint: checkpoint.to_string(),
            };
            let newest = agree(&*store, &library, &state, &found)?;
            keys.stated = keys.stated.max(newest);
        }
        let every = match durability {
            // A decision becomes durable while its tool runs.
            Durability::After => Duration::ZERO,
            Durability::Before | Durability::Strict | Durability::Relaxed => options.flush,
        };
        let mut threads = vec![recorder.start(every)?];
        if store.remote().is_none() {
            threads.push(library.start()?);
        }
        // An attached engine judges nothing.
        let every = options.policy_shadow.filter(|_| store.remote().is_none());
        let shadow = every.map(|every| Arc::new(Shadow::new(every)));
        if let Some(shadow) = &shadow {
            threads.push(shadow::start(shadow)?);
        }
        let engine = Arc::new(Self {
            path: path.to_path_buf(),
            store,
            ring,
            clock,
            recorder,
            library,
            epoch: AtomicU64::new(state.epoch()),
            state: RwLock::new(state),
            first_key: first,
            keys: RwLock::new(keys),
            authority_id,
            cache: HopCache::default(),
            durability,
            max_hops: options.max_hops,
            operator: Mutex::new(None),
            adopted: Mutex::default(),
            waiting: super::approvals::Waiting::default(),
            revision: AtomicU64::new(0),
            metrics: super::metrics::Metrics::new(),
            open_approvals: std::sync::atomic::AtomicUsize::new(0),
            approval_ttl: options.approval_ttl,
            approval_wait: options.approval_wait,
            #[cfg(test)]
            asks: Mutex::default(),
            #[cfg(test)]
            version: Mutex::default(),
            #[cfg(test)]
            knows: AtomicBool::new(false),
            shown: Mutex::new(Shown::new(options.max_shown)),
            grants: Mutex::default(),
            declared: RwLock::new(declared),
            loading: Mutex::default(),
            random: RandomPool::default(),
            running: Mutex::default(),
            swept: AtomicU64::default(),
            vault,
            serving: Mutex::default(),
            housekeeping: Mutex::default(),
            threads: Mutex::new(threads),
            shadow,
            retention: Mutex::new(options.retention),
            closed: AtomicBool::new(false),
            kept: std::sync::OnceLock::new(),
            anchored: Mutex::default(),
            began,
            wrapping: Mutex::new(wrapping),
            pid: std::process::id(),
        });
        if let Some(shadow) = &engine.shadow {
            shadow.belongs_to(&engine);
        }
        engine.reopen_approvals()?;
        engine.open_vault()?;
        if engine.store.remote().is_none() {
            housekeeping::first(&engine);
            *engine.housekeeping.lock() = Some(housekeeping::start(&engine)?);
        }
        if engine.store.remote().is_some() {
            tracing::debug!(authority = %engine.authority_id, "attached");
        } else {
            tracing::info!(authority = %engine.authority_id, fresh, "opened");
        }
        Ok(engine)
    }
}

impl Engine {
    /// Names the authority in the folder of a copy, as its last file: a copy without it is none.
    pub(super) fn copy_made(&self, folder: &Path) -> Result<(), EngineError> {
        let text = format!("{}\n", self.authority_id);
        Ok(write_private_file(&folder.join(MADE), text.as_bytes())?)
    }
}

/// Refuses a missing or wrong key before anything in the store's folder is opened: opening it
/// writes. A folder that others may write to is left to the store, which refuses it.
fn look_ahead(path: &Path, master: &MasterSource) -> Result<(), EngineError> {
    let open = std::fs::metadata(path).is_ok_and(|folder| folder.mode() & 0o022 != 0);
    if open || read_made(&path.join(MADE))?.is_none() {
        return Ok(());
    }
    let (master, file) = master_of(master, path, false)?;
    Wrapping::new(unlocked(&master, path, false)?, file, path).check()
}

/// The master key, and its file if the engine keeps it.
fn master_of(
    source: &MasterSource,
    store: &Path,
    fresh: bool,
) -> Result<(MasterKey, Option<PathBuf>), EngineError> {
    match source {
        MasterSource::Given(key) => Ok((key.clone(), None)),
        MasterSource::File => {
            let file = key_file(store);
            Ok((master_file(&file, fresh)?, Some(file)))
        }
    }
}

/// Leaf 0: the authority's signed statement of origin and checkpoint key, with the keys, in one
/// atomic write.
fn first_leaf(
    recorder: &Recorder,
    ring: &KeyRing,
    authority: &SecretKey,
    checkpoint_seed: &SecretKey,
    checkpoint_key: &CheckpointKey,
) -> Result<(), EngineError> {
    let ((), ticket) = recorder.sequence(|slot| {
        let statement = sign_authority_statement(authority, checkpoint_key.verifier(), slot.at())?;
        let entry = draft(kind::KEY)?.with("statement", Value::str(&statement));
        let (wrap_at, wrap) = Wrapping::mark(&ring.wrapping());
        let puts = vec![
            seal(ring, AUTHORITY, authority)?,
            seal(ring, CHECKPOINT, checkpoint_seed)?,
            Put::Set(wrap_at, wrap),
        ];
        slot.push(entry, puts);
        Ok::<(), EngineError>(())
    })?;
    Ok(recorder.wait(ticket.upto)?)
}

fn master_file(path: &Path, fresh: bool) -> Result<MasterKey, EngineError> {
    match path.symlink_metadata() {
        Ok(_) => Ok(MasterKey::load(path)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && fresh => {
            Ok(MasterKey::create(path)?)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(EngineError::Key(KeyError::File {
                path: path.display().to_string(),
                what: "the store's key is not there; restore it from a backup, or give it as master_key= or in ANSWERABLE_MASTER_KEY; without it nothing sealed in the store opens, and a new authority is never made over an old one".to_owned(),
            }))
        }
        Err(error) => Err(EngineError::Key(KeyError::File {
            path: path.display().to_string(),
            what: error.to_string(),
        })),
    }
}

/// The id of the authority that was made in a folder.
fn read_made(path: &Path) -> Result<Option<String>, StoreError> {
    let failed = |what: String| StoreError::Unavailable { what: format!("`{MADE}`: {what}") };
    match std::fs::read(path) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(bytes.get(..bytes.len().min(128)).unwrap_or(&[]));
            Ok(Some(text.trim().to_owned()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error.to_string())),
    }
}
