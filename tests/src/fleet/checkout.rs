//! Somebody's clone of a project, with real git.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::person::Person;
use crate::command::Finished;

/// A clone with a remote `fleet`.
#[derive(Debug)]
pub struct Checkout {
    person: Person,
    folder: PathBuf,
}

impl Checkout {
    /// The one that is there already, or a new one.
    pub(crate) fn new(person: Person, project: &str, url: &str) -> Result<Checkout> {
        let folder = person.home().join("src").join(project);
        fs::create_dir_all(&folder).context("make a clone")?;
        let clone = Checkout { person, folder };
        if !clone.folder.join(".git").exists() {
            clone.git(&["init", "--quiet", "--initial-branch", "main"])?;
            clone.git(&["remote", "add", "fleet", url])?;
        }
        Ok(clone)
    }

    /// The working tree.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.folder
    }

    /// Writes a file of the working tree.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn write(&self, path: &str, text: impl AsRef<[u8]>) -> Result<()> {
        let file = self.folder.join(path);
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        }
        fs::write(&file, text).with_context(|| format!("write {}", file.display()))
    }

    /// Runs git in it, which must work; returns what it printed on stdout.
    ///
    /// # Errors
    /// If git fails, with all that it printed.
    pub fn git(&self, arguments: &[&str]) -> Result<String> {
        let finished = self.try_git(arguments)?;
        ensure!(
            finished.status.success(),
            "git {}: {}",
            arguments.join(" "),
            finished.output()
        );
        Ok(finished.stdout)
    }

    /// Runs git in it, to its end, whatever that is.
    ///
    /// # Errors
    /// If it cannot be started or does not end.
    pub fn try_git(&self, arguments: &[&str]) -> Result<Finished> {
        self.person
            .program("git".as_ref())
            .args(arguments)
            .in_folder(&self.folder)
            .finish()
    }

    /// Commits all that is in the working tree, and returns the commit's name.
    ///
    /// # Errors
    /// If git fails.
    pub fn commit(&self, message: &str) -> Result<String> {
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message])?;
        Ok(self.git(&["rev-parse", "HEAD"])?.trim().to_owned())
    }

    /// Commits a pipeline and pushes it to `main`; returns the commit's name.
    ///
    /// # Errors
    /// If it is refused.
    pub fn push_pipeline(&self, yaml: &str) -> Result<String> {
        self.write(".gitlab-ci.yml", yaml)?;
        let sha = self.commit("pipeline")?;
        self.git(&["push", "--quiet", "fleet", "HEAD:main"])?;
        Ok(sha)
    }

    /// What the remote has: lines of name and ref.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn remote_refs(&self) -> Result<String> {
        self.git(&["ls-remote", "fleet"])
    }
}
