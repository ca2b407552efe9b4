//! Verifies an exported trail with the authority's public key, and nothing else of the engine.
//!
//! ```console
//! $ cargo run --example verify_trail -- trail.jsonl k4.public.… [checkpoint …] [--witness KEY …]
//! ```
//!
//! It exits with 0 if the trail is sound, 1 if it has faults, 2 if it could not look.

#![allow(clippy::print_stdout, clippy::print_stderr)] // What a command line is for.

use std::fs::{self, File};
use std::io::BufReader;
use std::process::ExitCode;

use answerable::keys::PublicKey;
use answerable::trail::verify::{VerifyError, verify_witnessed};

fn main() -> ExitCode {
    match run() {
        Ok(sound) => ExitCode::from(u8::from(!sound)),
        Err(what) => {
            eprintln!("{what}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool, String> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: verify_trail FILE AUTHORITY [CHECKPOINT …] [--witness KEY …]";
    let (file, authority) = arguments.next().zip(arguments.next()).ok_or(usage)?;
    let authority = PublicKey::parse(&authority).map_err(|error| error.to_string())?;
    let (mut since, mut witnesses) = (Vec::new(), Vec::new());
    while let Some(argument) = arguments.next() {
        if argument == "--witness" {
            witnesses.push(arguments.next().ok_or(usage)?);
        } else {
            since.push(fs::read_to_string(&argument).map_err(|e| format!("{argument}: {e}"))?);
        }
    }
    let since: Vec<&str> = since.iter().map(String::as_str).collect();
    let witnesses: Vec<&str> = witnesses.iter().map(String::as_str).collect();
    let reader = BufReader::new(File::open(&file).map_err(|error| format!("{file}: {error}"))?);
    match verify_witnessed(reader, &authority, &since, &witnesses, &mut |_, _| {}) {
        Ok(report) => {
            println!(
                "sound: {} entries, {} checkpoints, {} of those to compare with, {} grants, {} allowed calls followed",
                report.size,
                report.checkpoints,
                report.since_agreed,
                report.grants_verified,
                report.decisions_followed,
            );
            Ok(true)
        }
        Err(VerifyError::Corrupted(report)) => {
            for fault in &report.faults {
                println!("{fault}");
            }
            Ok(false)
        }
        Err(error) => Err(error.to_string()),
    }
}
