//! What git is told of a server, in the person's own configuration and for this
//! server alone: whose certificates count, and whom to ask for the token.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a credential helper of ours has in it.
const MARK: &str = "context git-credential";

/// The person's git configuration.
pub(super) struct Git {
    program: PathBuf,
    /// Where the configuration is, other than git thinks.
    #[cfg(test)]
    home: Option<PathBuf>,
}

impl Git {
    /// The one of whoever runs this; none where git is not installed.
    pub(super) fn of_person() -> Option<Git> {
        Some(Git {
            program: crate::repository::git_program()?.to_owned(),
            #[cfg(test)]
            home: None,
        })
    }

    /// Tells git of `server`, in place of what it was told before.
    ///
    /// git would hand a token that was accepted to every helper it knows, and some
    /// write it down in clear: for this server there is ours alone.
    pub(super) fn introduce(
        &self,
        server: &str,
        ca_file: Option<&Path>,
        context: &str,
    ) -> io::Result<()> {
        self.forget(server)?;
        if let Some(ca_file) = ca_file {
            let key = format!("http.{server}.sslCAInfo");
            self.config(&[key.as_ref(), ca_file.as_os_str()])?;
        }
        let key = format!("credential.{server}.helper");
        let helper = format!("!{} {MARK} {context}", program());
        self.config(&["--add", &key, ""])?;
        self.config(&["--add", &key, &helper])
    }

    /// Takes back what git was told of `server`, and nothing that others told it.
    pub(super) fn forget(&self, server: &str) -> io::Result<()> {
        let key = format!("credential.{server}.helper");
        if !self.values(&key)?.contains(MARK) {
            return Ok(());
        }
        self.config(&["--unset-all", &key])?;
        let key = format!("http.{server}.sslCAInfo");
        if self.values(&key)?.is_empty() {
            return Ok(());
        }
        self.config(&["--unset-all", &key])
    }

    /// All values of a key, one a line.
    fn values(&self, key: &str) -> io::Result<String> {
        // Where it is not set git says so by its exit code.
        let answer = self.command(&["--get-all", key]).output()?;
        Ok(String::from_utf8_lossy(&answer.stdout).into_owned())
    }

    fn config<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> io::Result<()> {
        let answer = self.command(arguments).output()?;
        if answer.status.success() {
            return Ok(());
        }
        let why = String::from_utf8_lossy(&answer.stderr);
        Err(io::Error::other(format!("git config: {}", why.trim())))
    }

    fn command<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["config", "--global"])
            .args(arguments)
            .env("LC_ALL", "C")
            .stdin(Stdio::null());
        #[cfg(test)]
        if let Some(home) = &self.home {
            command
                .env("HOME", home)
                .env_remove("XDG_CONFIG_HOME")
                .env_remove("GIT_CONFIG_GLOBAL");
        }
        command
    }

    #[cfg(test)]
    pub(super) fn in_home(home: &Path) -> Git {
        Git {
            home: Some(home.to_owned()),
            ..Git::of_person().expect("git is installed")
        }
    }

    #[cfg(test)]
    pub(super) fn list(&self) -> Vec<String> {
        let answer = self.command(&["--list"]).output().unwrap();
        let text = String::from_utf8(answer.stdout).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

/// How git starts this program: by its name where that finds it, so that a newer one
/// in another place is found too.
fn program() -> String {
    const NAME: &str = "fleetctl";
    let Ok(this) = std::env::current_exe() else {
        return NAME.to_owned();
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|dir| dir.join(NAME))
        .find(|file| file.is_file());
    if found.is_some_and(|found| crate::repository::same_file(&found, &this)) {
        return NAME.to_owned();
    }
    quoted(&this.to_string_lossy())
}

/// Text as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
