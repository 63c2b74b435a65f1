//! Reports: one gzip member for each file.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use flate2::{Compression, GzBuilder};

use super::beneath::Root;
use super::pack::{PackError, regular};

/// Writes `files` one after the other, each with its name and path.
pub(super) fn write(
    root: &Root,
    files: &BTreeSet<OsString>,
    level: Option<Compression>,
    out: &mut File,
) -> Result<(), PackError> {
    let mut out = BufWriter::new(out);
    for path in files {
        let path = Path::new(path);
        let (stat, mut file) = regular(root, path)?;
        let name = path.file_name().unwrap_or_default();
        let mut member = GzBuilder::new()
            .filename(header_text(name.as_bytes()))
            .comment(header_text(path.as_os_str().as_bytes()))
            .mtime(u32::try_from(stat.st_mtime).unwrap_or(0))
            .write(&mut out, level.unwrap_or(Compression::none()));
        io::copy(&mut file, &mut member)
            .and_then(|_| member.finish())
            .map_err(|source| PackError::File {
                path: path.to_owned(),
                source,
            })?;
    }
    out.flush().map_err(|source| PackError::File {
        path: "gzip".into(),
        source,
    })
}

/// A gzip header holds Latin-1; other names are escaped, with a mark.
fn header_text(name: &[u8]) -> String {
    let plain = |byte: u8| byte.is_ascii() && !byte.is_ascii_control() && byte != b'%';
    let mut text = String::new();
    if !name.iter().all(|&byte| plain(byte)) {
        text.push_str("e:");
    }
    for &byte in name {
        if plain(byte) {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").expect("a String takes any text");
        }
    }
    text
}
