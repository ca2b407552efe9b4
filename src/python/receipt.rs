//! Receipts for Python: made from the trail, verified without it.

use std::fmt::Write as _;
use std::io::Write as _;

use pyo3::prelude::*;

use super::convert::{FilePath, Text};
use super::files::create_own;
use super::people::public_key;
use super::verify::judge_faults;
use super::{enter, errors, notebook};
use crate::engine::{EngineError, Receipt as Core, describe};
use crate::trail::verify::{MAX_RECEIPT_BYTES, VerifyError, verify_receipt as check};

/// What convinces a third party of one entry, or of all that was done for a task.
#[pyclass(frozen, module = "answerable", name = "Receipt")]
pub(super) struct Receipt(pub(super) Core);

#[pymethods]
impl Receipt {
    /// The JSON text.
    #[getter]
    fn text(&self) -> &str {
        &self.0.text
    }

    /// The C2SP tlog-proof of what it is about.
    #[getter]
    fn proof(&self) -> &str {
        &self.0.proof
    }

    /// Writes the JSON text to a file, which its owner alone may read.
    fn save(&self, py: Python<'_>, path: FilePath) -> PyResult<()> {
        let path = path.0;
        enter(py, || {
            let write = || create_own(&path)?.write_all(self.0.text.as_bytes());
            write().map_err(|error: std::io::Error| {
                EngineError::Invalid(format!("cannot write {}: {error}", path.display()))
            })
        })
    }

    fn __len__(&self) -> usize {
        self.0.entries
    }

    /// The JSON in ASCII: printed, nothing in it acts, and it verifies as the text does.
    fn __str__(&self) -> String {
        let mut made = String::with_capacity(self.0.text.len());
        for c in self.0.text.chars() {
            if c.is_ascii() && c != '\u{7f}' {
                made.push(c);
            } else {
                // Outside of its strings, which hold what others wrote, JSON is ASCII.
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(made, "\\u{unit:04x}");
                }
            }
        }
        made
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
        format!("<receipt of {} entries, {} bytes>", self.0.entries, self.0.text.len())
    }
}

/// Verifies a receipt's text and answers what was verified, as JSON.
#[pyfunction]
pub(super) fn check_receipt(
    py: Python<'_>,
    text: Text<'_>,
    authority: Text<'_>,
) -> PyResult<String> {
    let text = &*text;
    let key = public_key(py, &authority)?;
    if text.len() > MAX_RECEIPT_BYTES {
        return Err(errors::invalid(py, "the receipt is larger than 64 MiB", ""));
    }
    let shown = match py.detach(|| check(text, &key)) {
        Ok(shown) => shown,
        Err(VerifyError::Read(error)) => {
            return Err(errors::invalid(py, &error.to_string(), ""));
        }
        Err(error @ VerifyError::Corrupted(_)) => {
            let message = error.to_string().replacen("the trail has", "the receipt has", 1);
            let VerifyError::Corrupted(report) = error else {
                return Err(errors::invalid(py, &message, ""));
            };
            return Err(judge_faults(py, &message, &report.faults)?);
        }
    };
    let grants: serde_json::Map<String, serde_json::Value> = shown
        .grants
        .iter()
        .map(|(digest, payload)| {
            let scope: Vec<String> = payload.scope.capabilities().iter().map(describe).collect();
            let limits: Vec<String> = payload.limits.iter().map(ToString::to_string).collect();
            let told = serde_json::json!({ "scope": scope, "limits": limits });
            (data_encoding::BASE64URL_NOPAD.encode(digest), told)
        })
        .collect();
    let report = &shown.report;
    let told = serde_json::json!({
        "size": report.size,
        "root": data_encoding::HEXLOWER.encode(&report.root),
        "followed": report.decisions_followed,
        "disclosed": report.disclosed,
        "withheld": report.withheld,
        "grants": grants,
    });
    Ok(told.to_string())
}
