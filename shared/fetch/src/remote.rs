//! Files behind addresses: `include: remote`.
//!
//! What is fetched is chosen by whoever writes a configuration, so a server could be
//! made to ask its own network. Only https goes, to addresses that were looked at
//! after the name was resolved and are then connected to, redirects included; what
//! comes back is never shown.

use std::io::Read as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use fleet_language::fetch::{Failed, Why};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Error};

use crate::address;
use crate::copies::Copies;

/// Times a file is tried, as GitLab does, unless the answer is about the request.
const ATTEMPTS: u32 = 3;
const CONNECT: Duration = Duration::from_secs(5);
const WHOLE: Duration = Duration::from_secs(10);
/// All files of one configuration together.
const TOGETHER: Duration = Duration::from_secs(30);
const REDIRECTS: u32 = 3;
/// Bytes of a file: one more than the compiler takes, which says so.
const MOST: u64 = (2 << 20) + 1;

/// Which addresses may be asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// What they begin with: `https://files.example/ci/`; `https://` is all of them.
    pub prefixes: Vec<String>,
    /// Whether hosts of private networks and this host may be asked too.
    pub private: bool,
}

impl Allowed {
    /// Whether an address begins with one of the prefixes, as a whole host or folder.
    fn covers(&self, url: &str) -> bool {
        self.prefixes.iter().any(|prefix| {
            url.strip_prefix(prefix.as_str()).is_some_and(|rest| {
                prefix.ends_with('/') || rest.is_empty() || rest.starts_with(['/', '?'])
            })
        })
    }
}

/// Gets files from addresses.
#[derive(Debug)]
pub struct Remote {
    allowed: Arc<Allowed>,
    agent: OnceLock<Agent>,
    copies: Copies,
    /// When the files of this configuration have to be here.
    deadline: Mutex<Option<Instant>>,
}

impl Remote {
    /// For one configuration; copies are kept in a folder.
    #[must_use]
    pub fn new(allowed: Allowed, copies: PathBuf) -> Remote {
        Remote {
            allowed: Arc::new(allowed),
            agent: OnceLock::new(),
            copies: Copies::new(copies),
            deadline: Mutex::new(None),
        }
    }

    /// Gets a file; a copy does that is not older than `cache`.
    ///
    /// # Errors
    /// [`Failed`]: it may not or cannot be had.
    pub fn get(&self, url: &str, cache: Option<Duration>) -> Result<Vec<u8>, Failed> {
        self.check(url).map_err(Failure::told)?;
        if let Some(copy) = cache.and_then(|age| self.copies.get(url, age)) {
            return Ok(copy);
        }
        let content = self.tried(url)?;
        if cache.is_some() {
            // A copy is a convenience: without it the file is fetched again.
            let _ = self.copies.put(url, &content);
        }
        Ok(content)
    }

    fn tried(&self, url: &str) -> Result<Vec<u8>, Failed> {
        let deadline = *self
            .deadline
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert_with(|| Instant::now() + TOGETHER);
        let mut attempts = 0;
        loop {
            attempts += 1;
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Failed::new(Why::Deadline));
            }
            let why = match self.once(url, left.min(WHOLE)) {
                Ok(content) => return Ok(content),
                Err(failure) => failure,
            };
            let is_last = attempts == ATTEMPTS;
            let why = match why {
                Failure::Status(code) if code < 500 || is_last => Why::Status { code, attempts },
                Failure::Timeout if is_last => Why::Timeout { attempts },
                Failure::Socket if is_last => Why::Socket { attempts },
                Failure::Status(_) | Failure::Timeout | Failure::Socket => continue,
                other => return Err(other.told()),
            };
            return Err(Failed::new(why));
        }
    }

    /// Whether an address may be asked.
    fn check(&self, url: &str) -> Result<(), Failure> {
        if !url.starts_with("https://") {
            return Err(Failure::Blocked("only https:// is fetched"));
        }
        let uri: Uri = url.parse().map_err(|_| Failure::Address)?;
        if uri.authority().is_none_or(|it| it.as_str().contains('@')) {
            return Err(Failure::Blocked("its address holds a user"));
        }
        if !self.allowed.covers(url) {
            return Err(Failure::Blocked("its address is not allowed here"));
        }
        Ok(())
    }

    /// Asks, and follows redirects as far as they may be.
    fn once(&self, url: &str, within: Duration) -> Result<Vec<u8>, Failure> {
        let deadline = Instant::now() + within;
        let agent = self.agent.get_or_init(|| agent(&self.allowed));
        let mut url = url.to_owned();
        for _ in 0..=REDIRECTS {
            let left = deadline.saturating_duration_since(Instant::now());
            let request = agent.get(&url).config().timeout_global(Some(left)).build();
            let mut response = request.call().map_err(|error| Failure::of(&error))?;
            let code = response.status().as_u16();
            if code == 200 {
                let body = response.body_mut().as_reader();
                return content(body);
            }
            let leads_to = response.headers().get("location");
            let leads_to = leads_to.and_then(|value| value.to_str().ok());
            match leads_to.filter(|_| matches!(code, 301 | 302 | 303 | 307 | 308)) {
                None => return Err(Failure::Status(code)),
                Some(location) => url = joined(&url, location),
            }
            self.check(&url).map_err(|failure| match failure {
                Failure::Blocked(_) => {
                    Failure::Blocked("it leads to an address that is not allowed here")
                }
                other => other,
            })?;
        }
        Err(Failure::Blocked("it leads elsewhere too often"))
    }
}

fn content(body: impl std::io::Read) -> Result<Vec<u8>, Failure> {
    let mut content = Vec::new();
    match body.take(MOST).read_to_end(&mut content) {
        Ok(_) => Ok(content),
        Err(error) if error.kind() == std::io::ErrorKind::TimedOut => Err(Failure::Timeout),
        Err(_) => Err(Failure::Socket),
    }
}

/// Where a redirect of an address leads.
fn joined(url: &str, location: &str) -> String {
    if location.contains("://") {
        return location.to_owned();
    }
    if location.starts_with("//") {
        return format!("https:{location}");
    }
    let path = url.strip_prefix("https://").unwrap_or(url);
    let host = path.split(['/', '?', '#']).next().unwrap_or_default();
    if location.starts_with('/') {
        return format!("https://{host}{location}");
    }
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let folder = path.rsplit_once('/').map_or(path, |(folder, _)| folder);
    format!("{folder}/{location}")
}

enum Failure {
    Status(u16),
    Timeout,
    Socket,
    Http,
    Address,
    Blocked(&'static str),
}

impl Failure {
    fn of(error: &Error) -> Failure {
        const PRIVATE: &str = "its host is of a private network";
        match error {
            Error::StatusCode(code) => Failure::Status(*code),
            Error::Timeout(_) => Failure::Timeout,
            Error::Io(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                Failure::Blocked(PRIVATE)
            }
            Error::Io(_) | Error::HostNotFound | Error::ConnectionFailed => Failure::Socket,
            Error::Tls(_) | Error::Rustls(_) => Failure::Socket,
            _ => Failure::Http,
        }
    }

    /// As of the first time it was tried.
    fn told(self) -> Failed {
        let attempts = 1;
        Failed::new(match self {
            Failure::Status(code) => Why::Status { code, attempts },
            Failure::Timeout => Why::Timeout { attempts },
            Failure::Socket => Why::Socket { attempts },
            Failure::Http => Why::Http,
            Failure::Address => Why::Address,
            Failure::Blocked(reason) => Why::Blocked(reason.to_owned()),
        })
    }
}

fn agent(allowed: &Arc<Allowed>) -> Agent {
    let roots = rustls_native_certs::load_native_certs().certs;
    let roots: Vec<Certificate<'static>> = roots
        .iter()
        .map(|root| Certificate::from_der(root).to_owned())
        .collect();
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&roots))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    let config = Config::builder()
        .tls_config(tls)
        .https_only(true)
        .http_status_as_error(false)
        .max_redirects(0)
        // A proxy would be asked for what is looked at here.
        .proxy(None)
        .timeout_connect(Some(CONNECT))
        .user_agent("fleet")
        .build();
    let resolver = Looking {
        allowed: Arc::clone(allowed),
    };
    Agent::with_parts(config, DefaultConnector::default(), resolver)
}

/// Resolves names to addresses that may be connected to.
#[derive(Debug)]
struct Looking {
    allowed: Arc<Allowed>,
}

impl Resolver for Looking {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let found = DefaultResolver::default().resolve(uri, config, timeout)?;
        let may = |it: &&SocketAddr| self.allowed.private || address::is_public(it.ip());
        let mut kept = self.empty();
        for address in found.iter().filter(may) {
            kept.push(*address);
        }
        if kept.is_empty() {
            let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
            return Err(Error::Io(denied));
        }
        Ok(kept)
    }
}

#[cfg(test)]
mod tests;
