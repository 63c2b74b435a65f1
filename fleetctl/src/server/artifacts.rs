//! `fleetctl job artifacts`: the archive unpacked into a folder, another file as it is.
//!
//! Names in it come from a job and are not trusted; nothing is written outside of the
//! folder.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fleet_agent::artifact::{Limits, extract};
use fleet_proto::v1;
use serde_json::json;
use tonic::Streaming;

use crate::client::Client;
use crate::output::{Json, Printer};
use crate::view::clean;
use crate::{Exit, Failure};

/// What an archive may hold; no server takes larger ones.
const LIMITS: Limits = Limits {
    entries: 1_000_000,
    bytes: 1 << 40,
};

/// The type of the file that holds what `artifacts:paths` names.
const ARCHIVE: &str = "archive";

/// Fetches a job's artifacts of a type into a folder.
///
/// # Errors
/// There are none, or they cannot be written.
pub(super) async fn fetch(
    job: u64,
    dir: Option<PathBuf>,
    kind: Option<String>,
    client: &Client,
    out: &Printer,
) -> Result<Exit, Failure> {
    let dir = dir.unwrap_or_else(|| PathBuf::from(format!("artifacts-{job}")));
    let request = v1::ReadArtifactRequest {
        job,
        r#type: kind.unwrap_or_default(),
    };
    let mut stream = client.call(client.jobs().read_artifact(request)).await?;
    let broken = |status: tonic::Status| client.failure(&status.into());
    let first = stream.message().await.map_err(broken)?.unwrap_or_default();
    let about = first
        .file
        .ok_or_else(|| Failure::new(Exit::Failed, format!("job {job}: the server sent no file")))?;
    fs::create_dir_all(&dir).with_context(|| format!("make the folder {}", dir.display()))?;
    let mut file = nameless(&dir)?;
    let read = client
        .within(
            &format!("the artifacts of job {job}"),
            receive(&mut stream, &first.data, &mut file),
        )
        .await?
        .map_err(|error| match error {
            Broken::Stream(status) => broken(status),
            Broken::Disk(error) => anyhow::Error::from(error)
                .context(format!("write into {}", dir.display()))
                .into(),
        })?;
    if read != about.size {
        return Err(Failure::new(
            Exit::Failed,
            format!(
                "job {job}: {read} of {} bytes of {} came. Try: again",
                about.size,
                clean(&about.filename)
            ),
        ));
    }
    let (line, files) = put(file, &about, &dir, out)?;
    out.done(
        &json!({ "artifact": about.json(), "path": dir, "files": files }),
        &dir.display().to_string(),
        &line,
    )
}

/// Puts what came to its place; says what it did and how many files there are.
fn put(
    mut file: File,
    about: &v1::ArtifactFile,
    dir: &Path,
    out: &Printer,
) -> Result<(String, usize), Failure> {
    file.rewind().context("read what came")?;
    let shown = dir.display();
    if about.r#type == ARCHIVE && about.filename.ends_with(".zip") {
        let mut report = |line: fleet_agent::log::Line| {
            out.hint(&clean(&String::from_utf8_lossy(&line.to_bytes())));
        };
        let count = extract(file, dir, LIMITS, &mut report)
            .with_context(|| format!("unpack the artifacts into {shown}"))?;
        let files = if count == 1 { "file" } else { "files" };
        return Ok((format!("{shown}: {count} {files}"), count));
    }
    let path = dir.join(file_name(&about.filename, &about.r#type));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .and_then(|mut to| std::io::copy(&mut file, &mut to));
    match written {
        Ok(_) => Ok((format!("{}: {}", path.display(), size(about.size)), 1)),
        Err(error) => Err(Failure::new(
            Exit::Failed,
            format!(
                "cannot write {}: {error}. Try: --dir with another folder",
                path.display()
            ),
        )),
    }
}

/// A file for the while: it has no name, so that nothing of it stays whatever happens.
fn nameless(dir: &Path) -> Result<File, Failure> {
    let path = dir.join(format!(".fleetctl-{}", std::process::id()));
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .with_context(|| format!("write into {}", dir.display()))?;
    fs::remove_file(&path).with_context(|| format!("write into {}", dir.display()))?;
    Ok(file)
}

enum Broken {
    Stream(tonic::Status),
    Disk(std::io::Error),
}

/// Writes all that comes; returns how much it was.
async fn receive(
    stream: &mut Streaming<v1::ArtifactChunk>,
    first: &[u8],
    file: &mut File,
) -> Result<u64, Broken> {
    file.write_all(first).map_err(Broken::Disk)?;
    let mut read = first.len() as u64;
    while let Some(chunk) = stream.message().await.map_err(Broken::Stream)? {
        file.write_all(&chunk.data).map_err(Broken::Disk)?;
        read += chunk.data.len() as u64;
    }
    Ok(read)
}

/// The name of a file in its folder: the last part of what the job called it.
fn file_name(given: &str, kind: &str) -> String {
    let last = given.rsplit('/').next().unwrap_or_default();
    let name = clean(last);
    if name.is_empty() || name == "." || name == ".." {
        format!("{}.bin", clean(kind).replace('/', "-"))
    } else {
        name
    }
}

/// Bytes for people: `812 B`, `4.0 KiB`, `1.5 GiB`.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut tenths = bytes.saturating_mul(10) / 1024;
    for unit in UNITS {
        if tenths < 10 * 1024 {
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
        tenths /= 1024;
    }
    format!("{} EiB", tenths / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_lands_in_its_folder_whatever_it_is_called() {
        for (given, name) in [
            ("junit.xml.gz", "junit.xml.gz"),
            ("../../etc/passwd", "passwd"),
            ("..", "junit.bin"),
            ("a/..", "junit.bin"),
            ("", "junit.bin"),
            ("re\x1b[2Jport\n.xml", "report .xml"),
        ] {
            assert_eq!(file_name(given, "junit"), name, "{given:?}");
        }
    }

    #[test]
    fn sizes_are_short() {
        for (bytes, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (4096, "4.0 KiB"),
            (1_610_612_736, "1.5 GiB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
        assert!(!size(u64::MAX).is_empty());
    }
}
