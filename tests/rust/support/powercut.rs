//! Power cuts, simulated: a recording of every call that changed a folder, and the folders that a
//! cut at any point of it could leave behind.
//!
//! The writer is any command that acknowledges by writing to the file named in `POWERCUT_ACK`. The
//! model: a file's content is durable up to its last `fsync` or `fdatasync`; a name (created,
//! renamed, removed) is durable once its folder was synced; `sync_file_range` is no barrier. Of
//! what came later, [`Survival`] says what the disk kept.
#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What a cut leaves of the calls that no barrier covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survival {
    /// Nothing of it.
    Nothing,
    /// The first few, in order, the last of them torn: a disk that does not reorder.
    Prefix,
    /// Any of them, whole, torn at 512 bytes, or with any of their 4 KiB pages.
    Subset,
}

#[derive(Debug)]
pub enum Op {
    Create { inode: u64, path: PathBuf },
    Truncate { inode: u64, length: usize },
    Write { inode: u64, offset: usize, data: Vec<u8> },
    Rename { inode: u64, from: PathBuf, to: PathBuf },
    Unlink { path: PathBuf },
    Sync { inode: u64 },
    SyncFolder { path: PathBuf },
    MakeFolder { path: PathBuf },
    Ack(Vec<u8>),
    Failed(u64),
}

/// The library to preload, compiled once a run.
pub fn shim() -> &'static Path {
    static SHIM: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = SHIM.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("powercut.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/powercut.c");
        let mut cc = Command::new("cc");
        cc.args(["-O1", "-shared", "-fPIC", "-o"]).arg(&path).arg(source);
        assert!(cc.args(["-ldl", "-lpthread"]).status().expect("a C compiler").success());
        (dir, path)
    });
    path
}

/// Sets a command up to be recorded: `dir` is watched, `log` and `ack` lie outside it.
pub fn watch<'a>(command: &'a mut Command, dir: &Path, log: &Path, ack: &Path) -> &'a mut Command {
    command
        .env("LD_PRELOAD", shim())
        .env("POWERCUT_DIR", dir)
        .env("POWERCUT_LOG", log)
        .env("POWERCUT_ACK", ack)
}

/// Every call of a run, in order.
pub struct Recording {
    dir: PathBuf,
    pub ops: Vec<Op>,
}

impl Recording {
    pub fn read(log: &Path, dir: &Path) -> Self {
        let bytes = fs::read(log).unwrap();
        let mut rest = bytes.as_slice();
        let mut take = |length: usize| {
            let (head, tail) = rest.split_at_checked(length)?;
            rest = tail;
            Some(head)
        };
        let mut ops = Vec::new();
        while let Some(head) = take(25) {
            let long = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().unwrap());
            let short = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap());
            let (inode, number) = (long(1), long(9));
            let path = take(short(17) as usize).unwrap();
            let data = take(short(21) as usize).unwrap().to_vec();
            let path = PathBuf::from(std::str::from_utf8(path).unwrap());
            let length = usize::try_from(number).unwrap();
            ops.push(match head[0] {
                1 => Op::Create { inode, path },
                2 => Op::Truncate { inode, length },
                3 => Op::Write { inode, offset: length, data },
                4 => Op::Rename { inode, from: path, to: String::from_utf8(data).unwrap().into() },
                5 => Op::Unlink { path },
                6 => Op::Sync { inode },
                7 => Op::SyncFolder { path },
                8 => Op::MakeFolder { path },
                9 => Op::Ack(data),
                10 => Op::Failed(number),
                other => panic!("record of kind {other}"),
            });
        }
        Self { dir: dir.to_owned(), ops }
    }

    /// What was acknowledged before the operation `at`.
    pub fn acks(&self, at: usize) -> Vec<u8> {
        let acks = self.ops[..at].iter().filter_map(|op| match op {
            Op::Ack(data) => Some(data.as_slice()),
            _ => None,
        });
        acks.collect::<Vec<_>>().concat()
    }

    /// Builds in `target`, a folder that does not exist, what a cut before the operation `at`
    /// could leave.
    pub fn cut(&self, at: usize, survival: Survival, dice: &mut Dice, target: &Path) {
        let mut disk = Disk::default();
        // Inodes are used again after a file is gone: each file made gets a number of its own.
        let mut current: BTreeMap<u64, usize> = BTreeMap::new();
        for op in &self.ops[..at] {
            match op {
                Op::Create { inode, path } => {
                    let file = disk.files.len();
                    current.insert(*inode, file);
                    disk.files.push(Vec::new());
                    disk.pending.push(Pending::Name { path, file: Some(file) });
                }
                Op::MakeFolder { path } => disk.pending.push(Pending::Folder { path }),
                Op::Truncate { inode, length } => {
                    let file = current[inode];
                    disk.pending.push(Pending::Truncate { file, length: *length });
                }
                Op::Write { inode, offset, data } => {
                    let file = current[inode];
                    disk.pending.push(Pending::Write { file, offset: *offset, data });
                }
                Op::Rename { inode, from, to } => {
                    disk.pending.push(Pending::Rename { from, to, file: current[inode] });
                }
                Op::Unlink { path } => disk.pending.push(Pending::Name { path, file: None }),
                Op::Sync { inode } => {
                    let file = current[inode];
                    disk.settle(|pending| pending.file() == Some(file));
                }
                Op::SyncFolder { path } => disk.settle(|pending| pending.folder() == Some(path)),
                Op::Ack(_) | Op::Failed(_) => {}
            }
        }
        let pending = std::mem::take(&mut disk.pending);
        let kept = dice.below(pending.len() + 1);
        let chance = 1 + dice.below(9);
        for (index, step) in pending.iter().enumerate() {
            let keep = match survival {
                Survival::Nothing => Keep::None,
                Survival::Prefix if index + 1 < kept => Keep::Whole,
                Survival::Prefix if index + 1 == kept => Keep::Head(dice.below(4)),
                Survival::Prefix => Keep::None,
                Survival::Subset if dice.below(10) >= chance => Keep::None,
                Survival::Subset => match dice.below(4) {
                    0 => Keep::Head(dice.below(4)),
                    1 => Keep::Pages(dice.next()),
                    _ => Keep::Whole,
                },
            };
            disk.apply(step, keep);
        }
        disk.build(&self.dir, target);
    }
}

#[derive(Debug, Clone, Copy)]
enum Pending<'a> {
    Name { path: &'a Path, file: Option<usize> },
    Folder { path: &'a Path },
    Rename { from: &'a Path, to: &'a Path, file: usize },
    Truncate { file: usize, length: usize },
    Write { file: usize, offset: usize, data: &'a [u8] },
}

impl Pending<'_> {
    fn file(&self) -> Option<usize> {
        match self {
            Self::Truncate { file, .. } | Self::Write { file, .. } => Some(*file),
            _ => None,
        }
    }

    fn folder(&self) -> Option<&Path> {
        match self {
            Self::Name { path, .. } | Self::Folder { path } | Self::Rename { to: path, .. } => {
                path.parent()
            }
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Keep {
    None,
    Whole,
    /// So many quarters, cut at 512 bytes.
    Head(usize),
    /// The 4 KiB pages whose bit is set.
    Pages(u64),
}

/// What is on the disk for certain, and what may still get there.
#[derive(Default)]
struct Disk<'a> {
    files: Vec<Vec<u8>>,
    names: BTreeMap<PathBuf, Option<usize>>,
    pending: Vec<Pending<'a>>,
}

impl<'a> Disk<'a> {
    fn settle(&mut self, covered: impl Fn(&Pending<'a>) -> bool) {
        let (settled, pending) = std::mem::take(&mut self.pending).into_iter().partition(covered);
        self.pending = pending;
        let settled: Vec<Pending<'a>> = settled;
        for step in &settled {
            self.apply(step, Keep::Whole);
        }
    }

    fn apply(&mut self, step: &Pending<'a>, keep: Keep) {
        if matches!(keep, Keep::None) {
            return;
        }
        match *step {
            Pending::Name { path, file: Some(file) } => {
                self.names.insert(path.to_owned(), Some(file));
            }
            Pending::Name { path, file: None } => {
                self.names.remove(path);
            }
            Pending::Folder { path } => {
                self.names.insert(path.to_owned(), None);
            }
            Pending::Rename { from, to, file } => {
                self.names.remove(from);
                self.names.insert(to.to_owned(), Some(file));
            }
            Pending::Truncate { file, length } => self.files[file].resize(length, 0),
            Pending::Write { file, offset, data } => {
                let mut put = |from: usize, to: usize| {
                    let content = &mut self.files[file];
                    content.resize(content.len().max(offset + to), 0);
                    content[offset + from..offset + to].copy_from_slice(&data[from..to]);
                };
                match keep {
                    Keep::None => {}
                    Keep::Whole => put(0, data.len()),
                    Keep::Head(quarters) => put(0, data.len() * quarters / 4 / 512 * 512),
                    Keep::Pages(bits) => {
                        // Pages of the file, not of the write.
                        let mut from = 0;
                        for page in 0.. {
                            let to = (from + 4096 - (offset + from) % 4096).min(data.len());
                            if bits >> (page % 64) & 1 == 1 {
                                put(from, to);
                            }
                            if to == data.len() {
                                break;
                            }
                            from = to;
                        }
                    }
                }
            }
        }
    }

    fn build(&self, dir: &Path, target: &Path) {
        use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
        let folder = |path: &Path| fs::DirBuilder::new().mode(0o700).create(path).unwrap();
        folder(target);
        // Parents come before what they hold; what lost its parent is lost with it.
        for (path, file) in &self.names {
            let place = match path.strip_prefix(dir).unwrap() {
                inside if inside.as_os_str().is_empty() => continue,
                inside => target.join(inside),
            };
            if !place.parent().unwrap().is_dir() {
                continue;
            }
            match file {
                None => folder(&place),
                Some(file) => {
                    let mut options = fs::OpenOptions::new();
                    let mut made =
                        options.write(true).create_new(true).mode(0o600).open(place).unwrap();
                    std::io::Write::write_all(&mut made, &self.files[*file]).unwrap();
                }
            }
        }
    }
}

/// Numbers that look random and follow from the seed.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }
}
