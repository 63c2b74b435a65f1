//! What an agent finds when it starts: leases of the one before it.

use std::io;
use std::path::Path;

use fleet_model::Fence;
use fleet_proto::v1;

use super::folder::Folder;
use super::follow::remove_secrets;
use crate::executor::{self, Alive, Mark};

/// A lease that an earlier agent took.
pub(crate) struct Left {
    pub(crate) fence: Fence,
    pub(crate) folder: Folder,
    /// None: it is damaged, so nobody knows where its job works.
    pub(crate) record: Option<v1::LeaseRecord>,
}

impl Left {
    /// All leases in the folder `leases`. What is of an earlier boot of the host,
    /// or never began, is removed.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(crate) fn look(leases: &Path, boot_id: &str) -> io::Result<Vec<Left>> {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(leases)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(fence) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let folder = Folder::new(entry.path());
            let (of_now, of_before) = match folder.record() {
                Ok(Some(record)) if record.boot_id == boot_id => (Some(Some(record)), None),
                Ok(other) => (None, other),
                Err(error) => {
                    tracing::error!(
                        fence,
                        error = &error as &dyn std::error::Error,
                        "the record of a lease cannot be read: its job may run anywhere, so \
                         others get folders that no job had"
                    );
                    (Some(None), None)
                }
            };
            if let Some(record) = of_now {
                all.push(Left {
                    fence: Fence(fence),
                    folder,
                    record,
                });
                continue;
            }
            // A supervisor that is only about to begin finds no folder, or no lock.
            if let Some(_locked) = folder.lock()? {
                if let Some(record) = of_before {
                    remove_secrets(&record);
                }
                std::fs::remove_dir_all(folder.path())?;
            } else if let Some(record) = wait_for_record(&folder) {
                all.push(Left {
                    fence: Fence(fence),
                    folder,
                    record: Some(record),
                });
            }
        }
        Ok(all)
    }
}

/// The jobs of all leases in the folder `leases`.
///
/// # Errors
/// One of them cannot be read: nobody knows what is its job's.
pub(crate) fn alive(leases: &Path) -> io::Result<Vec<Alive>> {
    let mut alive = Vec::new();
    for entry in std::fs::read_dir(leases)? {
        let damaged = |error: &dyn std::fmt::Display| {
            io::Error::other(format!("the record of a lease cannot be read: {error}"))
        };
        let record = Folder::new(entry?.path()).record();
        if let Some(record) = record.map_err(|error| damaged(&error))? {
            alive.push(Alive {
                mark: record.mark.parse().map_err(|error| damaged(&error))?,
                slot: record.slot,
            });
        }
    }
    Ok(alive)
}

/// Removes what jobs have left that ran inside an agent which was killed, with the
/// leases in the folder `leases`: processes, containers, files of variables and logins.
/// Returns how many jobs had left something.
///
/// # Errors
/// What could not be removed, in words; the rest is.
pub(crate) async fn remove_left(
    leases: &Path,
    docker: Option<&crate::Docker>,
) -> Result<usize, String> {
    let Ok(entries) = std::fs::read_dir(leases) else {
        return Ok(0);
    };
    let (mut jobs, mut left) = (0, Ok(()));
    for entry in entries.flatten() {
        let folder = Folder::new(entry.path());
        let Ok(Some(record)) = folder.record() else {
            continue;
        };
        jobs += 1;
        match remove_one(&record, docker).await {
            Ok(()) => left = left.and(folder.remove_record().map_err(|error| error.to_string())),
            Err(words) => left = Err(words),
        }
    }
    left.map(|()| jobs)
}

async fn remove_one(
    record: &v1::LeaseRecord,
    docker: Option<&crate::Docker>,
) -> Result<(), String> {
    let mark: Mark = record
        .mark
        .parse()
        .map_err(|error| format!("read the record of a lease: {error}"))?;
    if record.boot_id == crate::clock::boot_id() {
        mark.kill().await.map_err(|error| error.to_string())?;
    }
    if let Some(docker) = docker {
        let removed = executor::remove_left(docker, &mark).await;
        removed.map_err(|error| error.to_string())?;
    }
    remove_secrets(record);
    Ok(())
}

/// The record of a supervisor that has the lock: it is about to write it.
fn wait_for_record(folder: &Folder) -> Option<v1::LeaseRecord> {
    for _ in 0..500 {
        if let Ok(Some(record)) = folder.record() {
            return Some(record);
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    None
}
