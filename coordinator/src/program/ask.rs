//! Asking a running coordinator over its socket.

use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::admin::{Answer, Request};
use super::failure::Failure;
use crate::settings::Serve;
use crate::store;

/// A coordinator that is slower than this is stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// Has a token made that may all; gives its secret.
pub(super) fn create_admin_token(settings: &Serve, user: &str) -> Result<String, Failure> {
    let user = user.to_owned();
    let Some(mut lines) = ask(settings, &Request::CreateAdminToken { user })? else {
        return Err(Failure::failed(format!(
            "no coordinator runs on {}: start it (fleet-coordinator serve), or say which with --data-dir or --config",
            settings.data_dir.display()
        )));
    };
    let mut line = String::new();
    lines.read_line(&mut line).map_err(unanswered)?;
    match serde_json::from_str(&line) {
        Ok(Answer::Token(secret)) => Ok(secret),
        Ok(Answer::Error(error)) => Err(Failure::failed(error)),
        Err(error) => Err(unanswered(error.into())),
    }
}

/// Has a backup sent and writes it to `file`; gives how many records. None: no
/// coordinator runs there.
pub(super) fn backup(settings: &Serve, file: &Path) -> Result<Option<u64>, Failure> {
    match ask(settings, &Request::Backup {})? {
        Some(lines) => match store::receive(lines, file) {
            Ok(records) => Ok(Some(records)),
            Err(error) => Err(Failure::failed(error)),
        },
        None => Ok(None),
    }
}

fn ask(settings: &Serve, request: &Request) -> Result<Option<BufReader<UnixStream>>, Failure> {
    let path = settings.admin_socket();
    let mut stream = match UnixStream::connect(&path) {
        Ok(stream) => stream,
        Err(error) if is_nobody_there(&error) => return Ok(None),
        Err(error) => {
            return Err(Failure::failed(format!(
                "cannot reach the coordinator at {}: {error}; root may, and the user it runs as",
                path.display()
            )));
        }
    };
    let mut line = serde_json::to_vec(request).expect("a request is texts");
    line.push(b'\n');
    stream
        .set_read_timeout(Some(PATIENCE))
        .and_then(|()| stream.write_all(&line))
        .map_err(unanswered)?;
    Ok(Some(BufReader::new(stream)))
}

/// A socket that is not there, or that a coordinator left that was killed.
fn is_nobody_there(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::ConnectionRefused
    )
}

fn unanswered(error: io::Error) -> Failure {
    Failure::failed(error).context("the coordinator did not answer")
}
