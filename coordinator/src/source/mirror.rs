//! Projects that live elsewhere: their repositories are fetched when somebody asks
//! for a pipeline.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fleet_model::ProjectId;

use super::git::{self, Limits, git, one_line, visible};
use super::names;
use super::repositories::Repository;

const FETCH: Limits = Limits {
    deadline: Duration::from_secs(30 * 60),
    bytes: 1 << 20,
};
const TIDY: Limits = Limits {
    deadline: Duration::from_secs(60),
    bytes: 1 << 20,
};

/// Fetches mirrors, each at most once at a time.
pub(super) struct Mirrors {
    flights: Mutex<HashMap<ProjectId, Arc<Flight>>>,
    /// A file as `git credential-store` reads it, which need not be there.
    credentials: PathBuf,
    transports: Transports,
}

/// How mirrors may be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transports {
    /// `https` and `ssh`.
    Safe,
    /// `http` too, which anybody on the way can read and change.
    Plain,
}

/// The fetches of one project.
#[derive(Default)]
struct Flight {
    begun: AtomicU64,
    last: tokio::sync::Mutex<Last>,
}

/// The number of the newest fetch that ended, and how.
#[derive(Default)]
struct Last {
    number: u64,
    failed: Option<String>,
}

impl Mirrors {
    pub(super) fn new(credentials: PathBuf, transports: Transports) -> Mirrors {
        Mirrors {
            flights: Mutex::default(),
            credentials,
            transports,
        }
    }

    /// Makes branches and tags those that `address` has at this moment or later.
    ///
    /// Who asks while a fetch is under way waits for the next, all of them for the same.
    ///
    /// # Errors
    /// What went wrong, in words, without credentials.
    pub(super) async fn fetch(
        &self,
        project: ProjectId,
        repository: &Repository,
        address: &str,
    ) -> Result<(), String> {
        let flight = {
            let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(flights.entry(project).or_default())
        };
        let before = flight.begun.load(Ordering::Acquire);
        let mut last = flight.last.lock().await;
        if last.number <= before {
            let number = flight.begun.fetch_add(1, Ordering::AcqRel) + 1;
            let done = self.fetch_now(repository, address).await;
            *last = Last {
                number,
                failed: done.err(),
            };
        }
        match &last.failed {
            Some(words) => Err(words.clone()),
            None => Ok(()),
        }
    }

    /// Forgets a project that was deleted.
    pub(super) fn forget(&self, project: ProjectId) {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        flights.remove(&project);
    }

    async fn fetch_now(&self, repository: &Repository, address: &str) -> Result<(), String> {
        const NAME: &str = "fetch";
        check(address, self.transports)?;
        self.check_credentials()?;
        let mut helper = OsString::from("credential.helper=store --file=");
        helper.push(quoted(&self.credentials.to_string_lossy()));
        let mut command = git(repository.path());
        if self.transports == Transports::Plain {
            command.env(git::PROTOCOLS, "https:ssh:http");
        }
        command
            .args(["-c", "http.lowSpeedLimit=1000"])
            .args(["-c", "http.lowSpeedTime=60"])
            .args(["-c", "credential.useHttpPath=true", "-c"])
            .arg(helper)
            .args([NAME, "--quiet", "--prune", "--force", "--no-tags"])
            .args(["--no-write-fetch-head", "--no-recurse-submodules"])
            .args(["--end-of-options", address])
            .args(["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]);
        let failed = |error: git::Error| format!("fetch {address}: {error}");
        let answer = git::run(NAME, command, &[], FETCH).await.map_err(failed)?;
        if !answer.status.success() {
            let words = one_line(&answer.words, answer.status);
            let wants = ["could not read Username", "Authentication failed"];
            let mend = if wants.iter().any(|it| words.contains(it)) {
                let file = self.credentials.display();
                format!(
                    "; it wants credentials: put a line https://USER:TOKEN@HOST/PATH into {file} \
                     on the coordinator's host"
                )
            } else {
                String::new()
            };
            return Err(format!("fetch {address}: {words}{mend}"));
        }
        remove_odd_names(repository).await.map_err(failed)
    }

    /// Secrets that others can read are not used.
    fn check_credentials(&self) -> Result<(), String> {
        let file = &self.credentials;
        match std::fs::metadata(file) {
            Ok(found) if found.permissions().mode() & 0o077 != 0 => Err(format!(
                "{} can be read by others: chmod 600 {}",
                file.display(),
                file.display()
            )),
            _ => Ok(()),
        }
    }
}

/// Removes refs that nobody could push here.
async fn remove_odd_names(repository: &Repository) -> Result<(), git::Error> {
    const NAME: &str = "update-ref";
    let mut orders = String::new();
    for reference in repository.refs(None).await? {
        if let Err(why) = names::check(&reference.name) {
            tracing::warn!(name = reference.name, why, "a ref of a mirror is left out");
            orders.push_str(&format!("delete {}\0\0", reference.name));
        }
    }
    if orders.is_empty() {
        return Ok(());
    }
    let mut command = git(repository.path());
    command.args([NAME, "--stdin", "-z"]);
    let answer = git::run(NAME, command, orders.as_bytes(), TIDY).await?;
    answer.checked(NAME).map(drop)
}

/// Whether git may be given this address. What is wrong is told without the address
/// where that may hold a secret.
fn check(address: &str, transports: Transports) -> Result<(), String> {
    let (scheme, rest) = address.split_once("://").unwrap_or_default();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if user.contains(':') || (!user.is_empty() && scheme != "ssh") {
        return Err(
            "the address of the mirror holds a user name or a password, which everybody could \
             read: set it without"
                .to_owned(),
        );
    }
    let known = match scheme {
        "https" | "ssh" => true,
        "http" => transports == Transports::Plain,
        _ => false,
    };
    if !known {
        return Err(format!(
            "a mirror's address begins with https:// or ssh://, {} does not",
            visible(address)
        ));
    }
    let odd = |c: char| c.is_control() || c.is_whitespace();
    if host.is_empty() || host.starts_with('-') || user.starts_with('-') || address.contains(odd) {
        return Err(format!(
            "{} is no address of a repository",
            visible(address)
        ));
    }
    Ok(())
}

/// A text as one word of the shell that git starts helpers with.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_reach_a_host_are_given_to_git() {
        for address in [
            "https://example.com/g/p.git",
            "https://example.com:8443/g/p",
            "ssh://git@example.com:22/g/p.git",
        ] {
            assert_eq!(check(address, Transports::Safe), Ok(()), "{address}");
        }
        assert_eq!(check("http://example.com/p", Transports::Plain), Ok(()));
        for address in [
            "http://example.com/p",
            "file:///etc",
            "/srv/git/p.git",
            "../p",
            "ext::sh -c id",
            "ext::sh://x -c id",
            "fd::3",
            "git://example.com/p",
            "git@example.com:g/p",
            "--upload-pack=touch /tmp/x",
            "-oProxyCommand=x",
            "ssh://-oProxyCommand=x/p",
            "ssh://-o@example.com/p",
            "ssh://git@-oProxyCommand=x/p",
            "https:///p",
            "https://example.com/\np",
            "https://example.com/a b",
            "",
        ] {
            assert!(check(address, Transports::Safe).is_err(), "{address}");
        }
    }

    #[test]
    fn a_secret_in_an_address_is_not_repeated() {
        for address in [
            "https://user:hunter2@example.com/p",
            "https://hunter2@example.com/p",
            "ssh://git:hunter2@example.com/p",
            "file://a:hunter2@example.com/p",
        ] {
            let words = check(address, Transports::Safe).unwrap_err();
            assert!(!words.contains("hunter2"), "{words}");
        }
    }

    #[test]
    fn paths_are_one_word() {
        assert_eq!(quoted("/a b'c"), r"'/a b'\''c'");
    }
}
