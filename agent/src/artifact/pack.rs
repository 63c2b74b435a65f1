//! From a job's folder to the file that is uploaded.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use fleet_model::{Artifact, ArtifactFormat};
use rustix::fs::FileType;

use super::beneath::{Root, kind};
use super::select::{Request, in_git_folder, select, warn_of_git_folder};
use super::{Report, gzip, zip};
use crate::expand::Environment;
use crate::log::Line;

/// Where packing happens.
#[derive(Clone, Copy, Debug)]
pub struct Staging<'a> {
    /// The job's folder; absolute.
    pub project: &'a Path,
    /// Takes the packed file until it is uploaded.
    pub folder: &'a Path,
}

/// A packed artifact.
#[derive(Debug)]
pub struct Packed {
    /// Its bytes, from the first one on; gone when this is dropped.
    pub file: File,
    /// Its name with extension.
    pub filename: String,
    /// Its length in bytes.
    pub size: u64,
}

/// Why an artifact cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The project folder, or the folder that takes the result.
    #[error("open {path}")]
    Folder {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that was found could not be read, or the result not be written.
    #[error("pack {path}")]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A format of single files was given something else.
    #[error("{0} is not a regular file, which this artifact format needs")]
    NotAFile(PathBuf),
    /// A raw artifact is one file.
    #[error("only one file can be sent as raw, {0} were found")]
    NotOneFile(usize),
}

/// Packs what `artifact` asks for; none if there is nothing. Blocking.
///
/// Name and paths are expanded by the shell's rules; what cannot be expanded
/// is used as written, with a warning.
///
/// # Errors
/// [`PackError`]: the job fails then, as with gitlab-runner.
pub fn pack(
    artifact: &Artifact,
    staging: Staging<'_>,
    environment: &Environment,
    report: Report<'_>,
) -> Result<Option<Packed>, PackError> {
    let in_folder = |path: &Path, source| PackError::Folder {
        path: path.to_owned(),
        source,
    };
    let mut expand = |text: &String| {
        environment.expand_words(text).unwrap_or_else(|error| {
            report(Line::Warning(format!("{text}: {error}")));
            text.clone()
        })
    };
    let paths: Vec<String> = artifact.paths.iter().map(&mut expand).collect();
    let exclude: Vec<String> = artifact.exclude.iter().map(&mut expand).collect();
    let name = artifact.name.as_ref().map(&mut expand);

    let root = Root::open(staging.project).map_err(|error| in_folder(staging.project, error))?;
    let request = Request {
        paths: &paths,
        exclude: &exclude,
        untracked: artifact.untracked,
    };
    let mut files = select(&root, staging.project, &request, report);
    files.remove(&OsString::from("."));
    if files.is_empty() {
        report(Line::Error("No files to upload".into()));
        return Ok(None);
    }
    if files.iter().any(|file| in_git_folder(Path::new(file))) {
        warn_of_git_folder("archive", report);
    }

    let mut file =
        tempfile::tempfile_in(staging.folder).map_err(|error| in_folder(staging.folder, error))?;
    let level = compression(environment);
    let extension = match artifact.format {
        ArtifactFormat::Zip => {
            zip::write(&root, &files, level, &mut file, report)?;
            ".zip"
        }
        ArtifactFormat::Gzip => {
            gzip::write(&root, &files, level, &mut file)?;
            ".gz"
        }
        ArtifactFormat::Raw => {
            raw(&root, &files, &mut file)?;
            ""
        }
    };
    let filename = format!("{}{extension}", base_name(name.as_deref()));
    let size = rewind(&mut file).map_err(|source| PackError::File {
        path: filename.clone().into(),
        source,
    })?;
    Ok(Some(Packed {
        file,
        filename,
        size,
    }))
}

/// The last component of `name`, as Go's `path.Base` finds it.
fn base_name(name: Option<&str>) -> &str {
    let Some(name) = name else { return "artifacts" };
    match name.trim_end_matches('/').rsplit('/').next() {
        None | Some("" | ".") => "default",
        Some(base) => base,
    }
}

/// `ARTIFACT_COMPRESSION_LEVEL`; none means stored.
fn compression(environment: &Environment) -> Option<Compression> {
    let level = environment
        .get("ARTIFACT_COMPRESSION_LEVEL")
        .unwrap_or_default();
    match level.to_ascii_lowercase().as_str() {
        "fastest" => None,
        "fast" => Some(Compression::new(1)),
        "slow" => Some(Compression::new(7)),
        "slowest" => Some(Compression::best()),
        _ => Some(Compression::default()),
    }
}

fn raw(root: &Root, files: &BTreeSet<OsString>, out: &mut File) -> Result<(), PackError> {
    let Some(path) = files.first().filter(|_| files.len() == 1) else {
        return Err(PackError::NotOneFile(files.len()));
    };
    let path = Path::new(path);
    let mut file = regular(root, path)?.1;
    io::copy(&mut file, out).map_err(|source| PackError::File {
        path: path.to_owned(),
        source,
    })?;
    Ok(())
}

/// Opens the regular file at `path` and tells about it.
pub(super) fn regular(root: &Root, path: &Path) -> Result<(rustix::fs::Stat, File), PackError> {
    let failed = |source| PackError::File {
        path: path.to_owned(),
        source,
    };
    let stat = root.stat(path).map_err(failed)?;
    if kind(&stat) != FileType::RegularFile {
        return Err(PackError::NotAFile(path.to_owned()));
    }
    let file = root.open_file(path).map_err(failed)?;
    // The open file counts, not what stood there a moment before.
    let stat = rustix::fs::fstat(&file).map_err(|error| failed(error.into()))?;
    if kind(&stat) != FileType::RegularFile {
        return Err(PackError::NotAFile(path.to_owned()));
    }
    Ok((stat, file))
}

fn rewind(file: &mut File) -> io::Result<u64> {
    file.flush()?;
    let size = file.stream_position()?;
    file.rewind()?;
    Ok(size)
}
