//! A small disk that can be filled.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::network::run;

/// A file system of its own at a folder.
#[derive(Debug)]
pub struct Disk {
    place: PathBuf,
}

impl Disk {
    /// Mounts one of this size, in bytes, at a folder that is made.
    ///
    /// # Errors
    /// If that is not allowed.
    pub fn mount(place: &Path, size: u64) -> Result<Disk> {
        fs::create_dir_all(place).with_context(|| format!("make {}", place.display()))?;
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size},mode=0700")])
            .arg("tmpfs")
            .arg(place))?;
        Ok(Disk {
            place: place.to_owned(),
        })
    }

    /// Takes all the room but so many bytes.
    ///
    /// # Errors
    /// If it cannot be written for another reason than that it is full.
    pub fn fill(&self, leave: u64) -> Result<()> {
        let stat = rustix::fs::statvfs(&self.place).context("look at a disk")?;
        let free = stat.f_bavail * stat.f_frsize;
        let mut left = free.saturating_sub(leave);
        let mut ballast = File::create(self.ballast()).context("fill a disk")?;
        let block = vec![0; 1 << 20];
        // The last bytes may be taken by others meanwhile: then it is full too.
        while left > 0 {
            let part = usize::try_from(left).map_or(block.len(), |left| left.min(block.len()));
            match ballast.write(&block[..part]) {
                Ok(written) => left -= written as u64,
                Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error).context("fill a disk"),
            }
        }
        Ok(())
    }

    /// Gives it back.
    ///
    /// # Errors
    /// If the disk was not filled.
    pub fn free(&self) -> Result<()> {
        fs::remove_file(self.ballast()).context("free a disk")
    }

    fn ballast(&self) -> PathBuf {
        self.place.join("ballast")
    }
}
