//! Where a job's files are.

use std::path::{Path, PathBuf};

use super::Job;
use super::failure::Failure;

/// The folders of one job; absolute, and text, since the job sees them as
/// variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Folders {
    /// `CI_BUILDS_DIR`.
    pub(super) builds: String,
    /// `CI_PROJECT_DIR`.
    pub(super) project: String,
    /// Beside it: file variables and what else must not lie in the project.
    pub(super) temporary: String,
    /// The agent's own, for archives on their way.
    pub(super) transfer: PathBuf,
}

impl Folders {
    /// The folders of `job`: `<builds>/<slot>/<project path>`, so that no two
    /// running jobs share one.
    pub(super) fn of(job: &Job) -> Result<Folders, Failure> {
        let builds = text(&job.settings.builds_dir)?;
        let spec = &job.spec;
        // Jobs that want an empty folder have one of their own, so that they do
        // not cost others their checkout.
        let wants_empty = spec.variables.iter().rfind(|v| v.key == "GIT_STRATEGY");
        let suffix = if wants_empty.is_some_and(|v| v.value == "empty") {
            "-empty"
        } else {
            ""
        };
        let path = clean(&spec.project_path).unwrap_or_else(|| format!("project-{}", spec.project));
        let project = format!("{builds}/{}/{path}{suffix}", job.slot);
        let lease = Path::new("leases").join(job.fence.to_string());
        Ok(Folders {
            temporary: format!("{project}.tmp"),
            project,
            builds: builds.to_owned(),
            transfer: job.settings.state_dir.join(lease).join("transfer"),
        })
    }
}

fn text(path: &Path) -> Result<&str, Failure> {
    let text = path.to_str().filter(|_| path.is_absolute());
    let text = text
        .map(|text| text.trim_end_matches('/'))
        .filter(|text| !text.is_empty());
    text.ok_or_else(|| {
        Failure::System(format!(
            "builds_dir {} is no absolute path in UTF-8",
            path.display()
        ))
    })
}

/// `path` if it names a folder below another one for certain.
fn clean(path: &str) -> Option<String> {
    let path = path.strip_suffix(".git").unwrap_or(path);
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .collect();
    let safe = !path.starts_with('/')
        && !parts.is_empty()
        && path.len() <= 1024
        && parts
            .iter()
            .all(|part| !matches!(*part, ".." | ".git") && part.len() <= 200)
        && !path.chars().any(char::is_control);
    safe.then(|| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn project_paths_stay_below_the_builds_folder() {
        assert_eq!(
            clean("group/sub/project.git").as_deref(),
            Some("group/sub/project")
        );
        assert_eq!(clean("a//./b").as_deref(), Some("a/b"));
        for path in [
            "",
            ".",
            "/etc",
            "../x",
            "a/../../x",
            "a/..",
            "a/.git/b",
            "a\0b",
            "a\nb",
        ] {
            assert_eq!(clean(path), None, "{path:?}");
        }
    }
}
