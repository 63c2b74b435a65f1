//! Programs whose wall clock is off.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// Variables for a program whose wall clock is to be off by `+20m`, `-1d` ...; its
/// monotonic clock is right.
pub(crate) fn shifted(offset: &str) -> Result<[(String, String); 4]> {
    Ok([
        ("LD_PRELOAD", library()?.display().to_string()),
        ("FAKETIME", offset.to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ("DONT_FAKE_MONOTONIC", "1".into()),
    ]
    .map(|(name, value)| (name.to_owned(), value)))
}

fn library() -> Result<PathBuf> {
    for entry in fs::read_dir("/usr/lib").context("list /usr/lib")? {
        let library = entry?.path().join("faketime/libfaketime.so.1");
        if library.is_file() {
            return Ok(library);
        }
    }
    anyhow::bail!("libfaketime.so.1 is missing: install the package libfaketime")
}
