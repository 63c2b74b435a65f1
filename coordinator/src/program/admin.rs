//! The socket in the data folder, for whoever has the machine: root, and the user
//! the coordinator runs as. The kernel says who is at the other end.
//!
//! A request is one line of JSON, `{"do":"create-admin-token","user":"ann"}` or
//! `{"do":"backup"}`. The answer is one line, `{"token":…}`; for a backup all its
//! lines. In the place of any line may stand `{"error":…}`; it is the last then.

use std::future::Future;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::store::{self, Snapshot};

/// Connections at once; others wait.
const CONNECTIONS: usize = 8;

/// The most bytes of a request.
const MOST_REQUEST: u64 = 64 << 10;

/// A request is there within this, and a reader takes something within this.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Request {
    CreateAdminToken { user: String },
    Backup {},
}

/// What is answered, but to [`Request::Backup`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answer {
    Token(String),
    Error(String),
}

/// Does what is asked over the socket. Errors are for whoever asked, in words.
pub(crate) trait Handler: Send + Sync + 'static {
    /// Makes a token that may all, for `user`; gives its secret once it is durable.
    fn create_admin_token(
        &self,
        user: String,
    ) -> impl Future<Output = Result<String, String>> + Send;

    /// All records that are durable now.
    fn snapshot(&self) -> impl Future<Output = Result<Snapshot, String>> + Send;
}

/// Opens the socket. Only the process that holds the store's lock may: it replaces
/// what a coordinator left that was killed.
///
/// # Errors
/// It cannot be made there.
pub(crate) fn listen(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers until `stop`; what was begun is ended.
pub(crate) async fn serve(
    listener: UnixListener,
    handler: Arc<impl Handler>,
    stop: CancellationToken,
) {
    let (tasks, places) = (TaskTracker::new(), Arc::new(Semaphore::new(CONNECTIONS)));
    loop {
        let place = tokio::select! {
            place = places.clone().acquire_owned() => place,
            () = stop.cancelled() => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let handler = handler.clone();
                tasks.spawn(async move {
                    if let Err(error) = answer(stream, &*handler).await {
                        warn!(%error, "a command was not answered");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "the socket for commands");
                // Out of descriptors, most likely: more tries at once change nothing.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    tasks.close();
    tasks.wait().await;
}

async fn answer(mut stream: UnixStream, handler: &impl Handler) -> io::Result<()> {
    let caller = stream.peer_cred()?.uid();
    // Read in any case: an answer is lost to somebody who still writes.
    let request = tokio::time::timeout(PATIENCE, request(&mut stream)).await;
    let answer = if caller != 0 && caller != rustix::process::geteuid().as_raw() {
        warn!(caller, "a command of somebody else was refused");
        Answer::Error("only root and the coordinator's own user may ask".to_owned())
    } else {
        match request {
            Ok(Ok(Request::CreateAdminToken { user })) => {
                match handler.create_admin_token(user).await {
                    Ok(secret) => Answer::Token(secret),
                    Err(error) => Answer::Error(error),
                }
            }
            Ok(Ok(Request::Backup {})) => match handler.snapshot().await {
                Ok(snapshot) => return send(stream, snapshot).await,
                Err(error) => Answer::Error(error),
            },
            Ok(Err(error)) => Answer::Error(format!("the request cannot be read: {error}")),
            Err(_) => Answer::Error("no request came".to_owned()),
        }
    };
    let line = line(&answer);
    tokio::time::timeout(PATIENCE, stream.write_all(&line)).await??;
    stream.shutdown().await
}

async fn request(stream: &mut UnixStream) -> io::Result<Request> {
    let mut text = Vec::new();
    let mut lines = BufReader::new(stream.take(MOST_REQUEST));
    lines.read_until(b'\n', &mut text).await?;
    Ok(serde_json::from_slice(&text)?)
}

/// Sends a backup from a thread that may wait for disk and reader.
async fn send(stream: UnixStream, snapshot: Snapshot) -> io::Result<()> {
    let stream = stream.into_std()?;
    let sent = tokio::task::spawn_blocking(move || {
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut out = BufWriter::new(stream);
        match store::write(snapshot, &mut out) {
            Ok(_) => {}
            Err(store::Unsent::Out(error)) => return Err(error),
            Err(store::Unsent::Store(error)) => {
                out.write_all(&line(&Answer::Error(error.to_string())))?;
            }
        }
        out.flush()
    });
    sent.await.map_err(io::Error::other)?
}

fn line(answer: &Answer) -> Vec<u8> {
    let mut line = serde_json::to_vec(answer).expect("an answer is one text");
    line.push(b'\n');
    line
}
