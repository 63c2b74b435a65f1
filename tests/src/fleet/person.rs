//! People: each with a home, a token, `fleetctl` and git of their own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use super::checkout::Checkout;
use super::network::{HUB, Namespace};
use crate::command::{Command, Finished};

/// Somebody with a token, on the host of the coordinator.
#[derive(Clone, Debug)]
pub struct Person {
    hub: Namespace,
    home: PathBuf,
    output: PathBuf,
    fleetctl: PathBuf,
    /// What they show the coordinator.
    pub token: String,
}

/// What `fleetctl agent join-token` printed.
#[derive(Clone, Debug)]
pub struct JoinToken {
    /// Good for one agent.
    pub token: String,
    /// Whom the agent trusts.
    pub ca_pin: String,
    /// Where it joins.
    pub server: String,
}

impl Person {
    /// Sets up `fleetctl` for the fleet whose CA has this pin.
    pub(crate) fn new(
        hub: Namespace,
        root: &Path,
        fleetctl: PathBuf,
        name: &str,
        token: &str,
        ca_pin: &str,
    ) -> Result<Person> {
        let home = root.join("people").join(name);
        fs::create_dir_all(home.join("tmp")).context("make a home")?;
        let git = format!("[user]\nname = {name}\nemail = {name}@example.com\n");
        fs::write(home.join(".gitconfig"), git).context("write .gitconfig")?;
        let person = Person {
            hub,
            output: home.join("output"),
            home,
            fleetctl,
            token: token.to_owned(),
        };
        let file = person.write("token", token)?;
        let server = format!("https://{HUB}:8443");
        let file = file.display().to_string();
        person.ok(&[
            "context",
            "add",
            "test",
            "--server",
            &server,
            "--token-file",
            &file,
            "--ca-pin",
            ca_pin,
        ])?;
        Ok(person)
    }

    /// Writes a file nobody else can read into their home.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> Result<PathBuf> {
        let file = self.home.join(name);
        fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600))
            .with_context(|| format!("protect {}", file.display()))?;
        Ok(file)
    }

    /// Their home.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Any program, as they would start it.
    #[must_use]
    pub fn program(&self, program: &Path) -> Command {
        let [entry, namespace] = self.hub.entry();
        let mut command =
            Command::new(entry.as_ref(), self.home.clone(), self.output.clone()).args([namespace]);
        for (name, value) in super::environment(&self.home, &self.home.join("tmp")) {
            command = command.env(name, value);
        }
        command.args([program])
    }

    /// `fleetctl` with these words.
    #[must_use]
    pub fn fleetctl(&self, arguments: &[&str]) -> Command {
        self.program(&self.fleetctl).args(arguments)
    }

    /// The same, to its end, whatever that is.
    ///
    /// # Errors
    /// If it cannot be started or does not end.
    pub fn run(&self, arguments: &[&str]) -> Result<Finished> {
        self.fleetctl(arguments).finish()
    }

    /// The same, which must work; returns what it printed on stdout.
    ///
    /// # Errors
    /// If it fails, with all that it printed.
    pub fn ok(&self, arguments: &[&str]) -> Result<String> {
        let finished = self.run(arguments)?;
        finished
            .expect_exit(0)
            .with_context(|| format!("fleetctl {}", arguments.join(" ")))?;
        Ok(finished.stdout)
    }

    /// The same with `-o json`, read.
    ///
    /// # Errors
    /// If it fails, or prints something else.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let mut all = arguments.to_vec();
        all.extend(["-o", "json"]);
        let text = self.ok(&all)?;
        serde_json::from_str(&text)
            .with_context(|| format!("fleetctl {} printed: {text}", all.join(" ")))
    }

    /// A token for one more agent, with further flags.
    ///
    /// # Errors
    /// If it is refused.
    pub fn join_token(&self, flags: &[&str]) -> Result<JoinToken> {
        let mut words = vec!["agent", "join-token"];
        words.extend(flags);
        let answer = self.json(&words)?;
        let text = |name: &str| super::view::text(&answer, name);
        Ok(JoinToken {
            token: text("token")?,
            ca_pin: text("ca_pin")?,
            server: text("server")?,
        })
    }

    /// Their clone with this project as its remote `fleet`; empty at first.
    ///
    /// # Errors
    /// If the project is not there, or git fails.
    pub fn clone_of(&self, project: &str) -> Result<Checkout> {
        let shown = self.json(&["project", "show", project])?;
        Checkout::new(
            self.clone(),
            project,
            &super::view::text(&shown, "git_url")?,
        )
    }
}
