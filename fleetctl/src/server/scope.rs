//! Which project is meant, and which pipeline and job of it.

use std::path::Path;

use fleet_proto::v1;

use crate::cli::{InProject, JobRef, PipelineRef};
use crate::client::Client;
use crate::repository::git;
use crate::view::clean;
use crate::{Exit, Failure};

/// The remote of a clone that leads to the coordinator.
pub(super) const REMOTE: &str = "fleet";

/// The project that --project or FLEET_PROJECT name, else that of the clone one
/// stands in.
///
/// # Errors
/// Nothing says which.
pub(super) fn project(flag: &InProject) -> Result<String, Failure> {
    named_or_here(flag.project.as_deref())
}

/// The project of this path, else that of the clone one stands in.
pub(super) fn named_or_here(path: Option<&str>) -> Result<String, Failure> {
    // FLEET_PROJECT may be set to nothing.
    if let Some(path) = path.filter(|path| !path.is_empty()) {
        return Ok(path.trim_matches('/').to_owned());
    }
    let url = git(Path::new("."))
        .args(["remote", "get-url", REMOTE])
        .output()
        .ok()
        .filter(|answer| answer.status.success())
        .and_then(|answer| String::from_utf8(answer.stdout).ok());
    let Some(url) = url else {
        return Err(Failure::usage(format!(
            "which project? This folder is no clone with a remote `{REMOTE}`. Try: --project PATH; fleetctl project list"
        )));
    };
    let url = url.trim();
    path_of(url).ok_or_else(|| {
        Failure::usage(format!(
            "the remote `{REMOTE}` leads to {}, which is no project. Try: --project PATH",
            clean(url)
        ))
    })
}

/// The project's path in a remote's URL. The host is not compared: a server may have
/// more than one name.
fn path_of(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let path = rest.split_once('/')?.1.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    (!path.is_empty()).then(|| path.to_owned())
}

/// The pipeline, with its jobs.
pub(super) async fn pipeline(
    which: PipelineRef,
    flag: &InProject,
    client: &Client,
) -> Result<v1::Pipeline, Failure> {
    let request = match which {
        PipelineRef::Id(id) => v1::GetPipelineRequest {
            id,
            project: String::new(),
        },
        PipelineRef::Last => v1::GetPipelineRequest {
            id: 0,
            project: project(flag)?,
        },
    };
    client.call(client.pipelines().get_pipeline(request)).await
}

/// The pipeline's number; asks only where it is not given.
pub(super) async fn pipeline_id(
    which: PipelineRef,
    flag: &InProject,
    client: &Client,
) -> Result<u64, Failure> {
    match which {
        PipelineRef::Id(id) => Ok(id),
        PipelineRef::Last => Ok(pipeline(which, flag, client).await?.id),
    }
}

/// The job's number; asks only where it is not given.
pub(super) async fn job_id(
    which: &JobRef,
    flag: &InProject,
    client: &Client,
) -> Result<u64, Failure> {
    match which {
        JobRef::Id(id) => Ok(*id),
        JobRef::Name(name) => {
            let last = pipeline(PipelineRef::Last, flag, client).await?;
            let names = last.jobs.iter().map(|job| job.name.as_str());
            let place = format!("pipeline {} of {}", last.id, clean(&last.project));
            let index = abbreviated(name, names, "job", &place)?;
            Ok(last.jobs[index].id)
        }
    }
}

/// The place of the one name that is `text`, or begins with it.
///
/// # Errors
/// None does, or several do.
pub(super) fn abbreviated<'a>(
    text: &str,
    names: impl Iterator<Item = &'a str> + Clone,
    noun: &str,
    place: &str,
) -> Result<usize, Failure> {
    if let Some(index) = names.clone().position(|name| name == text) {
        return Ok(index);
    }
    let begin: Vec<(usize, &str)> = names
        .enumerate()
        .filter(|(_, name)| name.starts_with(text))
        .collect();
    match begin.as_slice() {
        [(index, _)] => Ok(*index),
        [] => Err(Failure::not_found(format!(
            "there is no {noun} `{}` in {place}. Try: fleetctl {noun} list",
            clean(text)
        ))),
        several => {
            let names: Vec<String> = several
                .iter()
                .take(10)
                .map(|(_, name)| clean(name))
                .collect();
            Err(Failure::new(
                Exit::Usage,
                format!(
                    "`{}` could be each of these {noun}s in {place}: {}",
                    clean(text),
                    names.join(", ")
                ),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn project_is_read_from_the_remote() {
        for (url, path) in [
            (
                "https://fleet.example.org:8443/web/app.git",
                Some("web/app"),
            ),
            ("https://fleet.example.org:8443/web/app/", Some("web/app")),
            ("https://10.0.0.1:8443/web/sub/app.git", Some("web/sub/app")),
            ("https://anna@fleet.example.org:8443/app.git", Some("app")),
            ("https://fleet.example.org:8443/", None),
            ("https://fleet.example.org:84430/x/y.git", Some("x/y")),
            ("../app.git", None),
        ] {
            assert_eq!(path_of(url).as_deref(), path, "{url}");
        }
    }

    #[test]
    fn beginning_of_a_name_is_enough_where_it_is_unique() {
        let names = ["unit 1/2", "unit 2/2", "build", "build image"];
        let find = |text| abbreviated(text, names.into_iter(), "job", "pipeline 7");
        assert_eq!(find("build").unwrap(), 2);
        assert_eq!(find("build i").unwrap(), 3);
        let several = find("unit").unwrap_err();
        assert_eq!(several.exit(), Exit::Usage);
        assert!(
            several.to_string().contains("unit 1/2, unit 2/2"),
            "{several}"
        );
        assert_eq!(find("deploy").unwrap_err().exit(), Exit::NotFound);
    }
}
