//! The one way to the git program.
//!
//! What it is told comes from pushers and forges, so it asks nobody anything, runs
//! no hook, reads no configuration but the repository's own and what is said here,
//! and speaks to other hosts only where a mirror wants it to.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

/// Bytes kept of what git says on stderr.
pub(super) const MOST_WORDS: usize = 16 << 10;

/// What is not taken from this process's environment does not reach git.
const PASSED_ON: [&str; 15] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "SSH_AUTH_SOCK",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
];

/// The variable with the transports that git may use; what it lists alone counts.
pub(super) const PROTOCOLS: &str = "GIT_ALLOW_PROTOCOL";

const SETTINGS: [&str; 8] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "protocol.ext.allow=never",
    "protocol.file.allow=never",
    "safe.bareRepository=explicit",
    "transfer.fsckObjects=true",
    "gc.auto=0",
    "maintenance.auto=false",
];

/// Why git did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It cannot be started.
    #[error("start git: {0}; it must be installed on the coordinator's host")]
    Start(#[source] io::Error),
    /// Reading or writing its pipes, or files of the repository, failed.
    #[error("{what} {}", path.display())]
    File {
        /// What was attempted.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// It ended with an error.
    #[error("git {command}: {words}")]
    Failed {
        /// Which of its commands.
        command: &'static str,
        /// What it said, without secrets.
        words: String,
    },
    /// It took too long, and was killed.
    #[error("git {command} did not end within {} s", deadline.as_secs())]
    Slow {
        /// Which of its commands.
        command: &'static str,
        /// What it was given.
        deadline: Duration,
    },
    /// Its answer was larger than anything useful, and it was killed.
    #[error("git {command} answered more than {most} bytes")]
    TooMuch {
        /// Which of its commands.
        command: &'static str,
        /// What is taken.
        most: usize,
    },
}

impl Error {
    pub(super) fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        move |source| Error::File {
            what,
            path: path.to_owned(),
            source,
        }
    }
}

/// A git command on the repository in the folder `repository`, which it is told of
/// and does not look for.
///
/// Its stdin is empty, its stdout and stderr are piped.
pub(super) fn git(repository: &Path) -> Command {
    let mut command = bare(repository);
    command.env("GIT_DIR", repository);
    command
}

/// A git command that takes its repository as its last argument.
pub(super) fn service(repository: &Path) -> Command {
    bare(repository)
}

fn bare(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .env_clear()
        .envs(
            PASSED_ON
                .iter()
                .filter_map(|name| Some((name, std::env::var_os(name)?))),
        )
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_ATTR_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env(PROTOCOLS, "https:ssh")
        .env(
            "GIT_SSH_COMMAND",
            "ssh -o BatchMode=yes -o ConnectTimeout=15",
        )
        .env("LC_ALL", "C");
    for setting in SETTINGS {
        command.args(["-c", setting]);
    }
    // A data folder on a volume may belong to another user than the daemon runs as.
    let mut safe = std::ffi::OsString::from("safe.directory=");
    safe.push(folder);
    command.args([OsStr::new("-c"), &safe]);
    command
}

/// What a command may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) deadline: Duration,
    /// Of its stdout.
    pub(super) bytes: usize,
}

/// What a command answered.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: ExitStatus,
    pub(super) stdout: Vec<u8>,
    /// The start of its stderr.
    pub(super) words: String,
}

impl Answer {
    /// The answer of a command that ended well.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub(super) fn checked(self, command: &'static str) -> Result<Vec<u8>, Error> {
        if self.status.success() {
            return Ok(self.stdout);
        }
        Err(Error::Failed {
            command,
            words: one_line(&self.words, self.status),
        })
    }
}

/// Runs a command to its end; it is killed if this is dropped.
///
/// # Errors
/// All but [`Error::Failed`].
pub(super) async fn run(
    name: &'static str,
    command: Command,
    input: &[u8],
    limits: Limits,
) -> Result<Answer, Error> {
    let work = talk(name, command, input, limits.bytes);
    match tokio::time::timeout(limits.deadline, work).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::Slow {
            command: name,
            deadline: limits.deadline,
        }),
    }
}

/// Starts a command that is killed when it is dropped, apart from signals meant for
/// this process.
pub(super) fn spawn(command: Command) -> Result<tokio::process::Child, Error> {
    let mut command = tokio::process::Command::from(command);
    command
        .kill_on_drop(true)
        .process_group(0)
        .spawn()
        .map_err(Error::Start)
}

async fn talk(
    name: &'static str,
    mut command: Command,
    input: &[u8],
    most: usize,
) -> Result<Answer, Error> {
    if !input.is_empty() {
        command.stdin(Stdio::piped());
    }
    let folder = command.get_current_dir().map(Path::to_owned);
    let mut child = spawn(command)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            // Git may end before it has read all; its status says whether that is bad.
            let _unread = stdin.write_all(input).await;
        }
    };
    let ((), stdout, words) = tokio::join!(write, at_most(stdout, most), start_of(stderr));
    let in_folder = |source| Error::File {
        what: "run git in",
        path: folder.clone().unwrap_or_default(),
        source,
    };
    let (stdout, whole) = stdout.map_err(in_folder)?;
    if !whole {
        return Err(Error::TooMuch {
            command: name,
            most,
        });
    }
    let words = words.map_err(in_folder)?;
    Ok(Answer {
        status: child.wait().await.map_err(in_folder)?,
        stdout,
        words: String::from_utf8_lossy(&words).into_owned(),
    })
}

/// The first `most` bytes, and whether that is all there is. What follows is not
/// read: its writer is stuck, or ends by the closed pipe.
async fn at_most(from: Option<impl AsyncRead + Unpin>, most: usize) -> io::Result<(Vec<u8>, bool)> {
    let mut taken = Vec::new();
    if let Some(from) = from {
        let one_more = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
        from.take(one_more).read_to_end(&mut taken).await?;
    }
    let whole = taken.len() <= most;
    taken.truncate(most);
    Ok((taken, whole))
}

/// The first [`MOST_WORDS`]; the rest is read and forgotten, so that git does not die
/// of its own words.
async fn start_of(from: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut taken = Vec::new();
    if let Some(mut from) = from {
        (&mut from)
            .take(MOST_WORDS as u64)
            .read_to_end(&mut taken)
            .await?;
        tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
    }
    Ok(taken)
}

/// Git's words on one line; its status where it said nothing.
pub(super) fn one_line(words: &str, status: ExitStatus) -> String {
    let line = visible(&words.trim().replace('\n', "; "));
    if line.is_empty() {
        status.to_string()
    } else {
        line
    }
}

/// Text for one line of a terminal: control characters are replaced.
pub(crate) fn visible(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
