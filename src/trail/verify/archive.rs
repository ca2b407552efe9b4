//! An archive's folder, read into the verifier: C2SP tlog-tiles, from that specification and
//! `docs/formats.md` alone.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use super::Verifier;
use super::note::Note;
use super::report::{Code, Place, Report, VerifyError};
use super::tree::{self, Hash};
use crate::keys::PublicKey;

const WIDTH: usize = 256;
/// More bytes than 256 leaves and their lengths have.
const MAX_BUNDLE: usize = WIDTH * (2 + u16::MAX as usize);
const MAX_NOTE: usize = 16 * 1024;
/// More entries than anybody archives; a size beyond it is refused before anything is read.
const MAX_SIZE: u64 = 1 << 40;

/// Verifies an archive under the authority's public key: each leaf, each tile against the leaves,
/// the checkpoint over them.
///
/// # Errors
/// `Corrupted` with every fault and its place, `Read` if a file is there and cannot be read.
pub fn verify_archive(
    folder: &Path,
    authority: &PublicKey,
    since: &[&str],
    witnesses: &[&str],
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report, VerifyError> {
    let mut verifier = Verifier::new(authority, since).witnessed_by(witnesses);
    let text = read(&folder.join("checkpoint"), MAX_NOTE)?.unwrap_or_default();
    let text = String::from_utf8(text).unwrap_or_default();
    match Note::parse(&text) {
        Ok(note) if note.size <= MAX_SIZE => {
            verifier.bundles(folder, note.size, progress)?;
            verifier.tiles(folder)?;
            verifier.checkpoint(&text);
        }
        Ok(_) => verifier.fault(Code::BadCheckpoint, Place::default(), "its size is beyond 2^40"),
        Err(what) => {
            let what = format!("the archive's checkpoint: {what}");
            verifier.fault(Code::BadCheckpoint, Place::default(), &what);
        }
    }
    let report = verifier.finish();
    if report.fault_count == 0 { Ok(report) } else { Err(VerifyError::Corrupted(Box::new(report))) }
}

impl Verifier {
    fn bundles(
        &mut self,
        folder: &Path,
        size: u64,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), VerifyError> {
        let mut first = 0_u64;
        while first < size {
            let wide = usize::try_from(size - first).map_or(WIDTH, |left| left.min(WIDTH));
            let last = first + wide as u64 - 1;
            let name = format!("tile/entries/{}", place(first / WIDTH as u64));
            let place = Place { index: Some(first), through: Some(last), ..Place::default() };
            let bytes = tile(folder, &name, wide, MAX_BUNDLE)?;
            let leaves = bytes.as_ref().ok_or("is not there");
            let leaves = leaves.and_then(|(whole, bytes)| split(bytes, *whole, wide));
            match leaves {
                Ok(leaves) => {
                    for (leaf, index) in leaves.iter().zip(first..) {
                        self.leaf(index, leaf, &[]);
                    }
                }
                Err(what) => {
                    self.fault(Code::BadArchive, place.clone(), &format!("`{name}` {what}"));
                    for index in first..=last {
                        self.sequence(index, &place);
                        self.leaves.push([0; 32]);
                    }
                }
            }
            first = last + 1;
            if first.is_multiple_of(1024) || first == size {
                progress(first, size);
            }
        }
        Ok(())
    }

    /// Compares each tile with what the leaves make.
    fn tiles(&mut self, folder: &Path) -> Result<(), VerifyError> {
        let mut row: Vec<Hash> = std::mem::take(&mut self.leaves);
        let mut under = 1_u64;
        for level in 0..8 {
            for (number, hashes) in (0_u64..).zip(row.chunks(WIDTH)) {
                let name = format!("tile/{level}/{}", place(number));
                let first = number.saturating_mul(under).saturating_mul(WIDTH as u64);
                let through = first.saturating_add(under.saturating_mul(hashes.len() as u64)) - 1;
                let place =
                    Place { index: Some(first), through: Some(through), ..Place::default() };
                let wanted = hashes.as_flattened();
                match tile(folder, &name, hashes.len(), WIDTH * 32)? {
                    None => self.fault(Code::BadArchive, place, &format!("`{name}` is not there")),
                    Some((wide, bytes))
                        if bytes.len() == wide * 32
                            && bytes.get(..wanted.len()) == Some(wanted) => {}
                    Some(_) => {
                        let what = format!("`{name}` has other hashes than the leaves below it");
                        self.fault(Code::TileMismatch, place, &what);
                    }
                }
            }
            let next: Vec<Hash> = row
                .chunks_exact(WIDTH)
                .filter_map(|full| tree::roots(full, &[WIDTH as u64]).pop().flatten())
                .collect();
            if level == 0 {
                self.leaves = row;
            }
            if next.is_empty() {
                break;
            }
            (row, under) = (next, under.saturating_mul(WIDTH as u64));
        }
        Ok(())
    }
}

/// The bytes of a tile or bundle of so many, and how many it holds: the partial one, or the full
/// one that took its place.
fn tile(
    folder: &Path,
    name: &str,
    wide: usize,
    most: usize,
) -> Result<Option<(usize, Vec<u8>)>, VerifyError> {
    if wide < WIDTH {
        let partial = read(&folder.join(format!("{name}.p/{wide}")), most)?;
        if partial.is_some() {
            return Ok(partial.map(|bytes| (wide, bytes)));
        }
    }
    Ok(read(&folder.join(name), most)?.map(|bytes| (WIDTH, bytes)))
}

fn read(path: &Path, most: usize) -> Result<Option<Vec<u8>>, VerifyError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind()) => {
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let mut bytes = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// The first `wide` leaves of a bundle, which must hold `whole` and nothing after them.
fn split(bytes: &[u8], whole: usize, wide: usize) -> Result<Vec<&[u8]>, &'static str> {
    let (mut leaves, mut rest) = (Vec::with_capacity(wide), bytes);
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length));
        let (leaf, after) = after.split_at_checked(length).ok_or("ends within an entry")?;
        leaves.push(leaf);
        rest = after;
    }
    if !rest.is_empty() || leaves.len() != whole {
        return Err("does not hold as many entries as it should");
    }
    leaves.truncate(wide);
    Ok(leaves)
}

/// A tile's number as its path has it.
fn place(number: u64) -> String {
    let digits = number.to_string();
    let padded = format!("{digits:0>width$}", width = digits.len().div_ceil(3) * 3);
    let parts: Vec<&str> =
        (0..padded.len()).step_by(3).filter_map(|at| padded.get(at..at + 3)).collect();
    match parts.split_last() {
        Some((last, above)) => {
            let above: String = above.iter().map(|part| format!("x{part}/")).collect();
            format!("{above}{last}")
        }
        None => padded,
    }
}
