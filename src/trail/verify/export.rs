//! An exported trail, read line by line into the verifier.

use std::io::{BufRead, ErrorKind};

use data_encoding::BASE64URL_NOPAD;

use super::json::{self, Json};
use super::report::{Code, Place, Report, VerifyError};
use super::{Disclosed, Verifier, bytes};
use crate::keys::PublicKey;

/// The longest line that is looked at, in bytes without its end.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// How many bytes may be of lines that cannot be read, and how many lines may be at fault, before
/// the rest is not looked at: a device or a pipe may never end.
const MAX_UNREAD_BYTES: usize = 64 << 20;
const MAX_AT_FAULT: u64 = 1 << 20;

/// How many entries lie between two calls of `progress`.
const PROGRESS_EVERY: u64 = 1_024;

/// Verifies an exported trail under the authority's public key. `since` are signed notes of
/// checkpoints that left the machine earlier; `progress` is told entries done and stated.
///
/// # Errors
/// `Corrupted` with every fault and its place, `Read` if the file cannot be read.
pub fn verify(
    reader: impl BufRead,
    authority: &PublicKey,
    since: &[&str],
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report, VerifyError> {
    verify_witnessed(reader, authority, since, &[], progress)
}

/// As [`verify`], and asks that each of these witnesses cosigned a checkpoint of the trail: C2SP
/// verifier keys of type 4.
///
/// # Errors
/// As [`verify`].
pub fn verify_witnessed(
    mut reader: impl BufRead,
    authority: &PublicKey,
    since: &[&str],
    witnesses: &[&str],
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report, VerifyError> {
    let mut export = Export {
        verifier: Verifier::new(authority, since).witnessed_by(witnesses),
        header: None,
        entries: 0,
        checkpoints: 0,
        unread: 0,
    };
    let mut number = 0u64;
    let mut line = Vec::new();
    let (mut passed, mut at_fault) = (MAX_UNREAD_BYTES, 0u64);
    while let Some(whole) = read_line(&mut reader, &mut line, &mut passed)? {
        number += 1;
        export.verifier.line = Some(number);
        let (before, unread) = (export.verifier.report.fault_count, export.unread);
        export.line(number, &line, whole);
        at_fault += u64::from(export.verifier.report.fault_count > before);
        if export.unread > unread {
            passed = passed.saturating_sub(line.len());
        }
        if passed == 0 || at_fault >= MAX_AT_FAULT {
            export.fault(Code::BadLine, "too much of the file is no export: the rest is not read");
            break;
        }
        if export.entries.is_multiple_of(PROGRESS_EVERY) && export.checkpoints == 0 {
            progress(export.entries, export.header.map_or(0, |(size, _)| size));
        }
    }
    progress(export.entries, export.header.map_or(0, |(size, _)| size));
    let report = export.finish(number);
    if report.fault_count == 0 { Ok(report) } else { Err(VerifyError::Corrupted(Box::new(report))) }
}

/// How a line ended.
#[derive(Clone, Copy, PartialEq)]
enum Whole {
    Yes,
    TooLong,
    Unended,
}

fn read_line(
    reader: &mut impl BufRead,
    line: &mut Vec<u8>,
    passed: &mut usize,
) -> Result<Option<Whole>, std::io::Error> {
    line.clear();
    let mut any = false;
    let mut too_long = false;
    loop {
        let chunk = match reader.fill_buf() {
            Ok(chunk) => chunk,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if chunk.is_empty() {
            return Ok(any.then_some(if too_long { Whole::TooLong } else { Whole::Unended }));
        }
        any = true;
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let part = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
        too_long |= line.len() + part.len() > MAX_LINE_BYTES;
        if !too_long {
            line.extend_from_slice(part);
        }
        let used = end.map_or(chunk.len(), |at| at + 1);
        if too_long {
            *passed = passed.saturating_sub(used);
        }
        reader.consume(used);
        if *passed == 0 {
            return Ok(Some(Whole::TooLong));
        }
        if end.is_some() {
            return Ok(Some(if too_long { Whole::TooLong } else { Whole::Yes }));
        }
    }
}

struct Export {
    verifier: Verifier,
    /// The size and the number of checkpoints that the header states.
    header: Option<(u64, u64)>,
    entries: u64,
    checkpoints: u64,
    /// How many lines could not be read as what an export holds.
    unread: u64,
}

impl Export {
    fn line(&mut self, number: u64, line: &[u8], whole: Whole) {
        let parsed = match (whole, std::str::from_utf8(line)) {
            (Whole::TooLong, _) => Err("it is longer than 1 MiB".to_owned()),
            (Whole::Unended, _) => Err("the last line does not end".to_owned()),
            (Whole::Yes, Err(_)) => Err("it is not UTF-8".to_owned()),
            (Whole::Yes, Ok(text)) => json::parse(text),
        };
        let fields = parsed.and_then(|value| value.object().ok_or("not an object".to_owned()));
        let has = |fields: &[(String, Json)], key| fields.iter().any(|(name, _)| name == key);
        match fields {
            Ok(fields) if number == 1 && has(&fields, "answerable") => self.header(fields),
            fields => {
                if number == 1 {
                    self.fault(Code::BadHeader, "the first line is not an export's header");
                }
                match fields {
                    Ok(fields) if has(&fields, "leaf") => self.entry(fields),
                    Ok(fields) if has(&fields, "checkpoint") => self.checkpoint(fields),
                    Ok(_) => {
                        self.unread += 1;
                        self.fault(Code::BadLine, "it is neither an entry nor a checkpoint");
                    }
                    Err(_) if number == 1 => {}
                    Err(what) if self.checkpoints > 0 => {
                        self.unread += 1;
                        self.fault(Code::BadLine, &what);
                    }
                    Err(what) => {
                        self.unread += 1;
                        self.entries += 1;
                        self.verifier.unreadable(None, &what);
                    }
                }
            }
        }
    }

    fn header(&mut self, fields: Vec<(String, Json)>) {
        let mut fields = Fields(fields);
        let format = fields.take("answerable").zip(fields.take("format"));
        let known = format.is_some_and(|(name, format)| {
            name.text() == Some("trail") && format.count() == Some(1)
        });
        let size = fields.take("size").and_then(|size| size.count());
        let checkpoints = fields.take("checkpoints").and_then(|count| count.count());
        let (authority, origin) = (fields.take("authority"), fields.take("origin"));
        let claims =
            authority.as_ref().and_then(Json::text).zip(origin.as_ref().and_then(Json::text));
        self.header = size.zip(checkpoints);
        let (Some((authority, origin)), true, Some(_)) =
            (claims, known && fields.0.is_empty(), self.header)
        else {
            return self
                .fault(Code::BadHeader, "the header is not of format 1 of a trail's export");
        };
        let place = || Place { line: Some(1), ..Place::default() };
        let expected = self.verifier.authority.paserk();
        if authority != expected {
            let what = "the header names another authority";
            self.verifier.differ(Code::OtherAuthority, place(), what, &expected, authority);
        }
        let expected = self.verifier.report.origin.clone();
        if origin != expected {
            let what = "the header names another origin";
            self.verifier.differ(Code::OtherOrigin, place(), what, &expected, origin);
        }
    }

    fn entry(&mut self, fields: Vec<(String, Json)>) {
        self.entries += 1;
        if self.checkpoints > 0 {
            self.fault(Code::BadLine, "an entry follows a checkpoint");
        }
        let mut fields = Fields(fields);
        let index = fields.take("index").and_then(|index| index.count());
        let leaf = fields.take("leaf").map(|leaf| bytes::encode(&leaf));
        let stated = fields.take("hash");
        let stated = stated.as_ref().and_then(Json::text).and_then(hash);
        let values = fields.take("values").map_or(Ok(Vec::new()), values);
        let (at, leaf, stated, values) = match (index, leaf, stated, values) {
            (Some(at), Some(Ok(leaf)), Some(stated), Ok(values)) if fields.0.is_empty() => {
                (at, leaf, stated, values)
            }
            (_, Some(Err(what)), _, _) => {
                return self.verifier.unreadable(index, &format!("its leaf: {what}"));
            }
            (_, _, _, Err(what)) => {
                return self.verifier.unreadable(index, &format!("its values: {what}"));
            }
            _ => return self.verifier.unreadable(index, "it is not of an entry's form"),
        };
        let shown: Vec<Disclosed<'_>> = values
            .iter()
            .map(|(field, salt, value)| Disclosed { field, salt: *salt, value })
            .collect();
        let found = self.verifier.leaf(at, &leaf, &shown);
        if found != stated {
            let line = self.verifier.line;
            let entry = super::id_of(&leaf);
            let place = Place { line, index: Some(at), entry, ..Place::default() };
            let what = "the leaf is not the one that its stated hash is of";
            let (stated, found) = (BASE64URL_NOPAD.encode(&stated), BASE64URL_NOPAD.encode(&found));
            self.verifier.differ(Code::LeafHash, place, what, &stated, &found);
        }
    }

    fn checkpoint(&mut self, fields: Vec<(String, Json)>) {
        self.checkpoints += 1;
        match fields.as_slice() {
            [(_, Json::Text(text))] => self.verifier.checkpoint(text),
            _ => self.fault(Code::BadLine, "it is not of a checkpoint's form"),
        }
    }

    fn finish(mut self, lines: u64) -> Report {
        if lines == 0 {
            self.fault(Code::BadHeader, "the file is empty");
        }
        if let Some((size, checkpoints)) = self.header {
            for (word, stated, found) in
                [("entries", size, self.entries), ("checkpoints", checkpoints, self.checkpoints)]
            {
                if stated != found {
                    let place = Place { line: Some(1), ..Place::default() };
                    let what = format!("the header states another number of {word}");
                    let (stated, found) = (stated.to_string(), found.to_string());
                    self.verifier.differ(Code::CountMismatch, place, &what, &stated, &found);
                }
            }
        }
        self.verifier.finish()
    }

    fn fault(&mut self, code: Code, what: &str) {
        let place = Place { line: self.verifier.line, ..Place::default() };
        self.verifier.fault(code, place, what);
    }
}

/// The fields of a line, taken one by one.
pub(super) struct Fields(pub(super) Vec<(String, Json)>);

impl Fields {
    pub(super) fn take(&mut self, key: &str) -> Option<Json> {
        let at = self.0.iter().position(|(name, _)| name == key)?;
        Some(self.0.swap_remove(at).1)
    }
}

pub(super) fn hash(text: &str) -> Option<[u8; 32]> {
    BASE64URL_NOPAD.decode(text.as_bytes()).ok()?.try_into().ok()
}

/// The values of an entry's line: field, salt and canonical bytes.
pub(super) type Values = Vec<(String, [u8; 16], Vec<u8>)>;

pub(super) fn values(shown: Json) -> Result<Values, String> {
    let mut out = Vec::new();
    for (field, shown) in shown.object().ok_or("not an object")? {
        let mut shown = Fields(shown.object().ok_or("not an object")?);
        let salt = shown.take("salt").ok_or("a salt is missing")?;
        let salt = salt.text().and_then(|text| BASE64URL_NOPAD.decode(text.as_bytes()).ok());
        let salt = salt.and_then(|bytes| bytes.try_into().ok()).ok_or("a salt is not 16 bytes")?;
        let value = bytes::encode(&shown.take("value").ok_or("a value is missing")?)?;
        if !shown.0.is_empty() {
            return Err("a value has more than salt and value".to_owned());
        }
        out.push((field, salt, value));
    }
    Ok(out)
}
