//! How much room the store's disk has left.

use std::path::PathBuf;

/// A folder whose filesystem is to keep a reserve free, so that running jobs can
/// end when no new ones are taken in any more.
#[derive(Clone, Debug)]
pub(crate) struct Space {
    folder: PathBuf,
    /// None: 2 % of the filesystem, and 64 MiB at least.
    reserve_bytes: Option<u64>,
}

/// The least that is kept free where nobody said how much.
const LEAST_RESERVE: u64 = 64 << 20;

impl Space {
    /// Watches the filesystem of `folder`; without `reserve_bytes` it keeps 2 %, at
    /// least 64 MiB.
    pub(crate) fn new(folder: PathBuf, reserve_bytes: Option<u64>) -> Space {
        Space {
            folder,
            reserve_bytes,
        }
    }

    /// Bytes this process may still write.
    ///
    /// # Errors
    /// The filesystem does not answer.
    pub(crate) fn free(&self) -> std::io::Result<u64> {
        let (free, _) = self.measure()?;
        Ok(free)
    }

    /// Whether more than the reserve is free.
    ///
    /// # Errors
    /// What is missing and where, in words; also if the filesystem does not answer.
    pub(crate) fn check(&self) -> Result<(), String> {
        let folder = self.folder.display();
        let (free, total) = self
            .measure()
            .map_err(|error| format!("the disk of the coordinator's store: {folder}: {error}"))?;
        let reserve = self
            .reserve_bytes
            .unwrap_or_else(|| (total / 50).max(LEAST_RESERVE));
        if free > reserve {
            return Ok(());
        }
        Err(format!(
            "the disk of the coordinator's store is nearly full: {} free on the filesystem of {folder}, {} are kept for running jobs; no new work is taken in until there is room",
            bytes(free),
            bytes(reserve),
        ))
    }

    fn measure(&self) -> std::io::Result<(u64, u64)> {
        let about = rustix::fs::statvfs(&self.folder)?;
        Ok((
            about.f_bavail.saturating_mul(about.f_frsize),
            about.f_blocks.saturating_mul(about.f_frsize),
        ))
    }
}

/// A size for people: `12.3 MiB`.
pub(crate) fn bytes(number: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if number < 1024 {
        return format!("{number} B");
    }
    let (mut size, mut unit) = (number as f64 / 1024.0, UNITS[0]);
    for next in &UNITS[1..] {
        if size < 1024.0 {
            break;
        }
        (size, unit) = (size / 1024.0, next);
    }
    format!("{size:.1} {unit}")
}
