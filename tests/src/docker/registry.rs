//! A Docker registry in the hub of a test.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::certificates::Authority;
use crate::fleet::HUB;
use crate::fleet::daemon::{Daemon, Recipe};
use crate::fleet::network::Namespace;
use crate::wait::wait_for;

/// Somebody a registry knows by password.
#[derive(Clone, Debug)]
pub struct Account {
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
}

/// Whom a registry lets in.
#[derive(Clone, Debug)]
pub enum Login {
    /// Anybody.
    None,
    /// Whoever has one of these passwords.
    Passwords(Vec<Account>),
    /// Whoever brings a token that a token server signed.
    Tokens {
        /// Where clients get tokens: a URL.
        realm: String,
        /// The registry's name in a token.
        service: String,
        /// The token server's name in a token.
        issuer: String,
        /// The certificates whose keys sign, in PEM.
        certificates: String,
    },
}

/// `docker-registry serve` with TLS, which can be stopped and started again.
pub struct Registry {
    hub: Namespace,
    port: u16,
    authority: Authority,
    folder: PathBuf,
    log: PathBuf,
    daemon: Option<Daemon>,
}

impl Registry {
    /// Sets one up on the hub at this port, with its files in a folder that is
    /// made, and starts it.
    pub(crate) fn start(hub: Namespace, port: u16, login: &Login, root: &Path) -> Result<Registry> {
        let folder = root.join(format!("registry-{port}"));
        fs::create_dir_all(&folder).context("make a folder for a registry")?;
        let authority = Authority::in_folder(&root.join("authority"))?;
        let mut registry = Registry {
            hub,
            port,
            authority,
            log: root.join(format!("logs/registry-{port}.log")),
            folder,
            daemon: None,
        };
        registry.configure(login)?;
        registry.resume()?;
        Ok(registry)
    }

    fn configure(&self, login: &Login) -> Result<()> {
        let name = format!("registry-{}", self.port);
        let (certificate, key) = self.authority.issue(&name, HUB)?;
        let auth = match login {
            Login::None => Value::Null,
            Login::Passwords(accounts) => {
                let file = self.folder.join("htpasswd");
                let lines: Vec<String> = accounts.iter().map(entry).collect::<Result<_>>()?;
                fs::write(&file, lines.join("\n") + "\n").context("write passwords")?;
                json!({"htpasswd": {"realm": "test", "path": file}})
            }
            Login::Tokens {
                realm,
                service,
                issuer,
                certificates,
            } => {
                let file = self.folder.join("tokens.pem");
                fs::write(&file, certificates).context("write certificates")?;
                json!({"token": {
                    "realm": realm, "service": service, "issuer": issuer,
                    "rootcertbundle": file,
                }})
            }
        };
        let settings = json!({
            "version": "0.1",
            "log": {"level": "info"},
            "storage": {
                "filesystem": {"rootdirectory": self.folder.join("data")},
                "delete": {"enabled": true},
            },
            "http": {
                "addr": self.host(),
                "secret": "of this test",
                "tls": {"certificate": certificate, "key": key},
            },
            "auth": auth,
        });
        // YAML takes JSON.
        fs::write(self.settings(), settings.to_string()).context("write a registry's settings")
    }

    fn settings(&self) -> PathBuf {
        self.folder.join("config.yml")
    }

    /// Its address, as image names have it.
    #[must_use]
    pub fn host(&self) -> String {
        format!("{HUB}:{}", self.port)
    }

    /// The certificate of the authority that signed its own, in PEM.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.authority.certificate()
    }

    /// What it says: a line for each request.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Stops it: nobody answers at its address.
    ///
    /// # Errors
    /// If it does not run.
    pub fn stop(&mut self) -> Result<()> {
        self.daemon.take().context("no registry runs")?.kill()
    }

    /// Starts it again with all that it has.
    ///
    /// # Errors
    /// If it runs, or ends instead.
    pub fn resume(&mut self) -> Result<()> {
        ensure!(self.daemon.is_none(), "the registry runs already");
        let mut words = self.hub.entry().to_vec();
        words.extend(["docker-registry", "serve"].map(str::to_owned));
        words.push(self.settings().display().to_string());
        let mut daemon = Daemon::start(&Recipe {
            words,
            environment: crate::fleet::environment(&self.folder, Path::new("/tmp")),
            folder: self.folder.clone(),
            log: self.log.clone(),
        })?;
        let connect = || Ok(TcpStream::connect(self.host())?);
        wait_for("the registry to listen", || {
            if !daemon.is_alive()? {
                bail!("the registry ended; see {}", self.log.display());
            }
            Ok(self.hub.inside(connect).ok())
        })?;
        self.daemon = Some(daemon);
        Ok(())
    }

    /// The tags a repository has; none where it was never pushed to.
    ///
    /// # Errors
    /// If its files cannot be read.
    pub fn tags(&self, repository: &str) -> Result<Vec<String>> {
        let tags = self
            .folder
            .join("data/docker/registry/v2/repositories")
            .join(repository)
            .join("_manifests/tags");
        if !tags.exists() {
            return Ok(Vec::new());
        }
        let mut names: Vec<String> = fs::read_dir(&tags)
            .context("list tags")?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<Result<_>>()?;
        names.sort();
        Ok(names)
    }
}

/// A line of `htpasswd`; registries take bcrypt alone.
fn entry(account: &Account) -> Result<String> {
    let output = Command::new("htpasswd")
        .args(["-Bbn", &account.user, &account.password])
        .output()
        .context("start htpasswd")?;
    ensure!(
        output.status.success(),
        "htpasswd: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

impl Account {
    /// Somebody with a password.
    #[must_use]
    pub fn new(user: &str, password: &str) -> Account {
        Account {
            user: user.to_owned(),
            password: password.to_owned(),
        }
    }
}

/// What a fleet's own token server is, from what `registry trust -o json` says.
impl TryFrom<&Value> for Login {
    type Error = anyhow::Error;

    fn try_from(told: &Value) -> Result<Login> {
        let text = |name: &str| crate::fleet::text(told, name);
        Ok(Login::Tokens {
            realm: text("realm")?,
            service: text("service")?,
            issuer: text("issuer")?,
            certificates: text("certificate")?,
        })
    }
}
