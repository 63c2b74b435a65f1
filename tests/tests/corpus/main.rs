//! GitLab's own test data, run against the compiler and the queue.
//!
//! The data is not part of this repository: `tests/run --corpus DIR` names its
//! folder in `FLEET_CORPUS` and runs these tests, which are left out otherwise.

mod pipeline_processing;
mod schema;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use fleet_language::{
    Changes, Commit, Context as Event, Files, PipelineSource, Project, Ref, RefKind, User,
};
use fleet_model::ProjectId;

/// A folder of the corpus.
fn corpus(folder: &str) -> Result<PathBuf> {
    let root = std::env::var_os("FLEET_CORPUS").context("FLEET_CORPUS names no folder")?;
    Ok(Path::new(&root).join(folder))
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("read {}", file.display()))
}

/// A repository with nothing in it but its pipeline file.
struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _path: &str) -> Option<Vec<u8>> {
        None
    }

    fn paths(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A push to the default branch of an ordinary project.
fn push_to_main() -> Event {
    Event {
        source: PipelineSource::Push,
        reference: Ref {
            name: "main".to_owned(),
            kind: RefKind::Branch,
            protected: true,
        },
        commit: Commit {
            sha: "0123456789012345678901234567890123456789".to_owned(),
            message: "change".to_owned(),
            author: "Test <test@example.com>".to_owned(),
            timestamp: "2026-01-01T00:00:00Z".to_owned(),
        },
        before_sha: "0".repeat(40),
        project: Project {
            id: ProjectId(1),
            path: "group/project".to_owned(),
            title: "Project".to_owned(),
            default_branch: "main".to_owned(),
            config_path: ".gitlab-ci.yml".to_owned(),
            visibility: "private".to_owned(),
            host_coupling: fleet_language::HostCoupling::Mend,
        },
        user: User::default(),
        server_url: "https://fleet.example".to_owned(),
        created_at: "2026-01-01T00:00:00Z".to_owned(),
        iid: 1,
        project_variables: Vec::new(),
        pipeline_variables: Vec::new(),
        inputs: Vec::new(),
        predefined: Vec::new(),
        changes: Changes::Unknown,
    }
}
