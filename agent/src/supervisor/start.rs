//! Starting supervisors. One is always ready: a process that only waits for its
//! assignment costs a job nothing of the time it takes to start one.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use fleet_proto::v1;
use fleet_proto::v1::supervisor_order::Order;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use super::folder::Folder;
use super::follow::order;
use super::run::workplace;
use crate::Settings;
use crate::program::SUPERVISE;

/// What systemd says to the agent alone.
const AGENTS_OWN: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"];

/// Starts the supervisors of an agent's jobs.
#[derive(Clone, Debug)]
pub(crate) struct Starter {
    /// Waits on its standard input; ends when this process does.
    spare: Arc<Mutex<Option<Child>>>,
    server: Arc<str>,
}

impl Starter {
    /// One whose supervisors move artifacts to and from `server`.
    pub(crate) fn new(server: &str) -> Starter {
        let starter = Starter {
            spare: Arc::default(),
            server: server.into(),
        };
        starter.keep_spare();
        starter
    }

    /// Gives `lease` to a supervisor.
    ///
    /// # Errors
    /// None can be started.
    pub(crate) async fn start(
        &self,
        folder: &Folder,
        lease: v1::Lease,
        slots: (u32, u32),
        settings: &Settings,
    ) -> io::Result<Child> {
        let assignment = order(Order::Assignment(v1::Assignment {
            lease: Some(lease),
            slot: slots.0,
            project_slot: slots.1,
            workplace: Some(workplace(settings, &self.server)),
            lease_dir: folder.path().as_os_str().as_bytes().to_vec().into(),
        }));
        let spare = self.take_spare();
        let assigned = match spare {
            Some(mut spare) => assign(&mut spare, &assignment).await.map(|()| spare),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        let child = match assigned {
            Ok(child) => child,
            // There is none, or somebody killed it: it has begun nothing.
            Err(_) => {
                let mut child = spawn()?;
                assign(&mut child, &assignment).await?;
                child
            }
        };
        self.keep_spare();
        Ok(child)
    }

    fn take_spare(&self) -> Option<Child> {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        spare.take()
    }

    /// Without one the next job starts its own, and says why it cannot.
    fn keep_spare(&self) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.is_none() {
            *spare = spawn().ok();
        }
    }
}

async fn assign(supervisor: &mut Child, assignment: &[u8]) -> io::Result<()> {
    let Some(mut stdin) = supervisor.stdin.take() else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    stdin.write_all(assignment).await?;
    stdin.shutdown().await
}

fn spawn() -> io::Result<Child> {
    // The program that runs, also where its file was replaced by a newer one.
    let mut command = Command::new("/proc/self/exe");
    for own in AGENTS_OWN {
        command.env_remove(own);
    }
    command
        .arg0("fleet-agent")
        .arg(SUPERVISE)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
}
