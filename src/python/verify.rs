//! Checkpoints, verification and its faults as Python values.

use std::fs::File;
use std::io::{BufReader, Read};

use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use super::convert::{FilePath, Text, Texts, expected, gone_through};
use super::files::Digesting;
use super::people::public_key;
use super::{errors, notebook};
use crate::engine::shown;
use crate::trail::checkpoint::SignedCheckpoint;
use crate::trail::verify::{self as verifier, VerifyError};
use crate::trail::witness::WitnessVerifier;

/// How much of a file is read at once, in bytes.
const READ_BYTES: usize = 64 * 1024;

/// More than anybody compares with.
const MAX_CHECKPOINTS: usize = 100_000;
/// More bytes than any checkpoint has.
const MAX_CHECKPOINT: u64 = 1024 * 1024;

/// A signed head of the trail: (origin, size, root), a C2SP checkpoint.
#[pyclass(frozen, module = "answerable", name = "Checkpoint")]
pub(super) struct Checkpoint(pub(super) SignedCheckpoint);

#[pymethods]
impl Checkpoint {
    /// A checkpoint from its text; its signature is checked where it is used.
    #[staticmethod]
    fn parse(py: Python<'_>, text: Text<'_>) -> PyResult<Self> {
        SignedCheckpoint::parse(&text)
            .map(Self)
            .map_err(|error| errors::invalid(py, &error.to_string(), ""))
    }

    #[getter]
    fn text(&self) -> &str {
        self.0.text()
    }

    #[getter]
    fn origin(&self) -> &str {
        &self.0.claimed().origin
    }

    #[getter]
    fn size(&self) -> u64 {
        self.0.claimed().size
    }

    /// The root hash, in hexadecimal.
    #[getter]
    fn root(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.0.claimed().root)
    }

    fn __str__(&self) -> &str {
        self.0.text()
    }

    fn __repr__(&self) -> String {
        format!("<checkpoint of {} entries, root {}>", self.size(), self.root())
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Self>().is_ok_and(|other| other.get().0.text() == self.0.text())
    }

    fn __hash__(&self) -> u64 {
        self.0.claimed().size
    }
}

/// One fault of a trail, with its place and both states.
#[pyclass(frozen, get_all, module = "answerable", name = "Fault")]
#[derive(Clone)]
pub(super) struct Fault {
    code: &'static str,
    what: String,
    place: String,
    line: Option<u64>,
    index: Option<u64>,
    through: Option<u64>,
    entry: Option<String>,
    field: Option<String>,
    expected: Option<String>,
    found: Option<String>,
}

#[pymethods]
impl Fault {
    fn __str__(&self) -> String {
        format!("{} at {}: {}", self.code, self.place, self.what)
    }

    fn __repr__(&self) -> String {
        format!("<fault {} at {}: {}>", self.code, self.place, shown(&self.what, 200))
    }
}

/// What was verified.
#[pyclass(frozen, get_all, module = "answerable", name = "Report")]
pub(super) struct Report {
    size: u64,
    root: String,
    origin: String,
    checkpoints: u64,
    since_agreed: u64,
    kinds: std::collections::BTreeMap<String, u64>,
    unknown_kinds: Vec<String>,
    newest_checkpoint_size: u64,
    unanchored: u64,
    disclosed: u64,
    withheld: u64,
    grants_verified: u64,
    grants_unverified: u64,
    decisions_without_outcome: u64,
    decisions_followed: u64,
    not_followed: u64,
    witnessed: u64,
    file_bytes: Option<u64>,
    file_sha256: Option<String>,
}

#[pymethods]
impl Report {
    fn __str__(&self) -> String {
        let (size, checkpoints, disclosed) = (self.size, self.checkpoints, self.disclosed);
        let plural = if checkpoints == 1 { "" } else { "s" };
        let mut text = format!(
            "verified: {size} entries, {checkpoints} checkpoint{plural}, {disclosed} values as committed"
        );
        let mut note = |count: u64, what: &str| {
            if count > 0 {
                text.push_str(&format!("; {count} {what}"));
            }
        };
        note(self.withheld, "values withheld or erased");
        note(self.grants_unverified, "grants not verified, as their tokens are not shown");
        note(self.not_followed, "allowed calls that name nothing to compare");
        note(self.unanchored, "entries after the newest checkpoint");
        note(self.decisions_without_outcome, "allowed calls without an outcome");
        note(self.unknown_kinds.len() as u64, "kinds of entries unknown to this version");
        text
    }

    fn _repr_html_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        notebook(slf, "html")
    }

    #[pyo3(signature = (include=None, exclude=None))]
    fn _repr_mimebundle_<'py>(
        slf: &Bound<'py, Self>,
        include: Option<&Bound<'py, PyAny>>,
        exclude: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = (include, exclude); // Both forms are small: the front end takes its own.
        notebook(slf, "bundle")
    }

    fn __repr__(&self) -> String {
        format!("<report: {}>", self.__str__())
    }
}

pub(super) fn judge(
    py: Python<'_>,
    report: Result<verifier::Report, VerifyError>,
) -> PyResult<Report> {
    let report = match report {
        Ok(report) => report,
        Err(VerifyError::Read(error)) => {
            return Err(errors::invalid(py, &format!("cannot read the trail: {error}"), ""));
        }
        Err(error @ VerifyError::Corrupted(_)) => {
            let message = error.to_string();
            let VerifyError::Corrupted(report) = error else {
                return Err(errors::invalid(py, &message, ""));
            };
            return Err(judge_faults(py, &message, &report.faults)?);
        }
    };
    Ok(Report {
        size: report.size,
        root: data_encoding::HEXLOWER.encode(&report.root),
        origin: report.origin,
        checkpoints: report.checkpoints,
        since_agreed: report.since_agreed,
        kinds: report.kinds,
        unknown_kinds: report.unknown_kinds,
        newest_checkpoint_size: report.newest_checkpoint_size,
        unanchored: report.unanchored,
        disclosed: report.disclosed,
        withheld: report.withheld,
        grants_verified: report.grants_verified,
        grants_unverified: report.grants_unverified,
        decisions_without_outcome: report.decisions_without_outcome,
        decisions_followed: report.decisions_followed,
        not_followed: report.not_followed,
        witnessed: report.witnessed,
        file_bytes: None,
        file_sha256: None,
    })
}

/// The error that carries faults.
pub(super) fn judge_faults(
    py: Python<'_>,
    message: &str,
    faults: &[verifier::Fault],
) -> PyResult<PyErr> {
    let faults: PyResult<Vec<Py<Fault>>> =
        faults.iter().map(|fault| Py::new(py, fault_of(fault))).collect();
    let faults = PyList::new(py, faults?)?.into_any().unbind();
    let hint = "keep the file as it is: each fault names its place and both states";
    let details = [("faults", faults)];
    Ok(errors::make(py, "TrailCorrupted", message, "trail_corrupted", hint, &details))
}

fn fault_of(fault: &verifier::Fault) -> Fault {
    Fault {
        code: fault.code.slug(),
        what: fault.what.clone(),
        place: fault.place.to_string(),
        line: fault.place.line,
        index: fault.place.index,
        through: fault.place.through,
        entry: fault.place.entry.clone(),
        field: fault.place.field.clone(),
        expected: fault.expected.clone(),
        found: fault.found.clone(),
    }
}

/// Witnesses' verifier keys, each of the form; an empty list asks for nothing and is refused.
pub(super) fn witness_keys(
    py: Python<'_>,
    witnesses: Option<Vec<String>>,
) -> PyResult<Vec<String>> {
    let Some(witnesses) = witnesses else { return Ok(Vec::new()) };
    if witnesses.is_empty() {
        let hint = "leave it out to ask for no witness";
        return Err(errors::invalid(py, "witnesses= is an empty list", hint));
    }
    for text in &witnesses {
        WitnessVerifier::parse(text).map_err(|error| {
            let message = format!("`{}` is no witness's key: {error}", shown(text, 80));
            errors::invalid(py, &message, "give what `answerable witness key` prints")
        })?;
    }
    Ok(witnesses)
}

/// What is called with the progress, if anything.
pub(super) fn progress_of(given: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Py<PyAny>>> {
    match given {
        Some(other) if !other.is_callable() => {
            Err(expected(other, "a function to call with the progress"))
        }
        given => Ok(given.map(|progress| progress.clone().unbind())),
    }
}

/// One checkpoint or several: values, texts, or paths of files that hold a text.
pub(super) fn since_of(since: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<String>> {
    const WHAT: &str = "a checkpoint, its text, a file of it, or a list of these";
    let Some(since) = since else { return Ok(Vec::new()) };
    if let Some(one) = checkpoint_of(since)? {
        return Ok(vec![one]);
    }
    let all: Vec<String> = gone_through(since, MAX_CHECKPOINTS, WHAT)?
        .into_iter()
        .map(|item| checkpoint_of(&item)?.ok_or_else(|| expected(&item, WHAT)))
        .collect::<PyResult<_>>()?;
    if all.is_empty() {
        // Whoever gives a list means to compare: nothing to compare with must not pass for it.
        let hint = "give the checkpoints that were kept, or leave since= out";
        return Err(errors::invalid(since.py(), "there is no checkpoint in since=", hint));
    }
    Ok(all)
}

fn checkpoint_of(given: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    if let Ok(checkpoint) = given.cast::<Checkpoint>() {
        return Ok(Some(checkpoint.get().0.text().to_owned()));
    }
    if let Ok(text) = given.cast::<PyString>() {
        let text = text.to_str().map_err(|_| expected(given, "text without lone surrogates"))?;
        if text.contains('\n') {
            return Ok(Some(text.to_owned()));
        }
    } else if !given.get_type().hasattr("__fspath__")? {
        return Ok(None);
    }
    let path = given.extract::<FilePath>()?.0;
    // A checkpoint is a page at most; a device never ends.
    let read = || {
        let mut text = String::new();
        File::open(&path)?.take(MAX_CHECKPOINT).read_to_string(&mut text)?;
        Ok::<String, std::io::Error>(text)
    };
    read().map(Some).map_err(|error| {
        let message = format!("cannot read the checkpoint {}: {error}", path.display());
        errors::invalid(given.py(), &message, "give a Checkpoint, its text, or a file of it")
    })
}

/// Verifies an exported trail or an archive's folder with the authority's public key alone.
#[pyfunction]
#[pyo3(signature = (path, authority, *, since=None, witnesses=None, progress=None))]
pub(super) fn verify(
    py: Python<'_>,
    path: FilePath,
    authority: Text<'_>,
    since: Option<&Bound<'_, PyAny>>,
    witnesses: Option<Texts>,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<Report> {
    let witnesses = witness_keys(py, witnesses.map(|given| given.0))?;
    let path = path.0;
    let authority = public_key(py, &authority)?;
    let progress = progress_of(progress)?;
    let since = since_of(since)?;
    let folder = path.is_dir();
    // A pipe waits here for who writes to it.
    let file = py.detach(|| File::open(&path)).map_err(|error| {
        let message = format!("cannot read {}: {error}", path.display());
        errors::invalid(py, &message, "give the path of a file that trail.export() wrote")
    })?;
    let (mut failed, mut verified) = (None, None);
    let report = py.detach(|| {
        let since: Vec<&str> = since.iter().map(String::as_str).collect();
        let witnesses: Vec<&str> = witnesses.iter().map(String::as_str).collect();
        let mut tell = |done: u64, of: u64| {
            if let (Some(progress), None) = (&progress, &failed) {
                let told = Python::attach(|py| progress.call1(py, (done, of)).map(|_| ()));
                failed = told.err();
            }
        };
        if folder {
            return verifier::verify_archive(&path, &authority, &since, &witnesses, &mut tell);
        }
        let mut reader = BufReader::with_capacity(READ_BYTES, Digesting::new(file));
        let report =
            verifier::verify_witnessed(&mut reader, &authority, &since, &witnesses, &mut tell);
        // It was sound to its end: all of it has been read.
        verified = Some(reader.into_inner().finish());
        report
    });
    match failed {
        Some(error) => Err(error),
        None => {
            let (file_bytes, file_sha256) = verified.unzip();
            Ok(Report { file_bytes, file_sha256, ..judge(py, report)? })
        }
    }
}
