//! What configurations include that is not of their own repository: other projects
//! here, as far as whoever starts the pipeline may see them; templates and components
//! from where the settings say; addresses that they allow.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fleet_fetch::{Allowed, Remote};
use fleet_language::fetch::{
    Address, Component, Failed, Opened, Template, Version, Why, pick_version,
};
use fleet_language::{Fetch, Files};
use tokio::runtime;

use super::git::Error;
use super::mirror::Mirrors;
use super::names;
use super::objects::{AtCommit, Failure, Objects, Stop};
use super::repositories::{Ref, Repositories, Repository};
use crate::catalog::{Catalog, Principal, Project};

/// Where includes may come from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// The folder or the project with the templates.
    pub(crate) templates: Option<String>,
    /// Addresses that may be asked.
    pub(crate) remote: Allowed,
    /// Hosts of components, and the groups here that stand for them.
    pub(crate) hosts: Vec<(String, String)>,
    /// Where copies of remote files are kept.
    pub(crate) copies: PathBuf,
}

/// Knows all of it; cheap to clone.
#[derive(Clone)]
pub(crate) struct Includes(Arc<Inner>);

struct Inner {
    catalog: Catalog,
    repositories: Repositories,
    mirrors: Arc<Mirrors>,
    /// `fleet.example:8443`: what components of this fleet are addressed by.
    host: String,
    settings: Settings,
}

impl Includes {
    pub(super) fn new(
        catalog: Catalog,
        repositories: Repositories,
        mirrors: Arc<Mirrors>,
        url: &str,
        settings: Settings,
    ) -> Includes {
        let host = url.split_once("://").map_or(url, |(_, host)| host);
        Includes(Arc::new(Inner {
            catalog,
            repositories,
            mirrors,
            host: host.trim_end_matches('/').to_owned(),
            settings,
        }))
    }

    /// For one configuration, on behalf of whoever has this token. It blocks: not for
    /// the runtime's own threads.
    pub(crate) fn reach(
        &self,
        token: &str,
        runtime: runtime::Handle,
        stop: Stop,
        failure: Failure,
    ) -> Elsewhere {
        Elsewhere {
            asker: self.0.catalog.principal_of_token(token),
            remote: Remote::new(
                self.0.settings.remote.clone(),
                self.0.settings.copies.clone(),
            ),
            runtime,
            includes: self.clone(),
            stop,
            failure,
        }
    }
}

/// Everything but the own repository, as one configuration may include it.
pub(crate) struct Elsewhere {
    includes: Includes,
    /// None: their token is gone, so they see nothing.
    asker: Option<Principal>,
    remote: Remote,
    runtime: runtime::Handle,
    stop: Stop,
    failure: Failure,
}

impl Elsewhere {
    /// A project here that the asker may see.
    fn visible(&self, path: &str) -> Result<Project, Failed> {
        let project = self.includes.0.catalog.project(path);
        let asker = self.asker.as_ref();
        project
            .filter(|it| asker.is_some_and(|asker| Catalog::role(asker, it).is_some()))
            .ok_or_else(|| Failed::new(Why::Missing))
    }

    /// Its repository; that of a mirror as it is at this moment.
    fn repository(&self, project: &Project) -> Result<Repository, Failed> {
        let Inner {
            repositories,
            mirrors,
            ..
        } = &*self.includes.0;
        let opened = repositories.of(project.id, &project.default_branch);
        let repository = self.runtime.block_on(opened).map_err(|it| broken(&it))?;
        if let Some(address) = &project.mirror {
            let fetched = mirrors.fetch(project.id, &repository, address);
            let fetched = self.runtime.block_on(fetched);
            fetched.map_err(|words| Failed::new(Why::Internal(words)))?;
        }
        Ok(repository)
    }

    fn refs(&self, repository: &Repository, only: Option<&[&str]>) -> Result<Vec<Ref>, Failed> {
        let refs = self.runtime.block_on(repository.refs(only));
        refs.map_err(|error| broken(&error))
    }

    /// The files at a tag, a branch or a commit: in this order, as git looks for names.
    fn open(&self, repository: &Repository, reference: &str) -> Result<Opened, Failed> {
        let unknown = || Failed::new(Why::NoReference);
        let mut objects = repository.objects(self.stop.clone());
        let full = ["tags", "heads"].map(|kind| format!("refs/{kind}/{reference}"));
        let object = if names::is_object(reference) {
            reference.to_owned()
        } else if full.iter().all(|name| names::check(name).is_ok()) {
            let wanted = full.each_ref().map(String::as_str);
            let found = self.refs(repository, Some(&wanted))?;
            let of = |name: &str| found.iter().find(|it| it.name == name);
            let found = of(&full[0]).or(of(&full[1])).ok_or_else(unknown)?;
            found.object.clone()
        } else {
            return Err(unknown());
        };
        let commit = objects.commit(&object).map_err(|error| broken(&error))?;
        let commit = commit.ok_or_else(unknown)?.sha;
        Ok(Opened {
            files: self.files(objects, &commit),
            commit,
        })
    }

    fn files(&self, objects: Objects, commit: &str) -> Box<dyn Files> {
        Box::new(AtCommit::new(objects, commit, self.failure.clone()))
    }

    /// Where a component's project is here.
    fn place(&self, address: &Address) -> Option<String> {
        let Address { host, project, .. } = address;
        if host.is_empty() || host.eq_ignore_ascii_case(&self.includes.0.host) {
            return Some(project.clone());
        }
        let hosts = &self.includes.0.settings.hosts;
        let known = hosts.iter().find(|(it, _)| it.eq_ignore_ascii_case(host));
        known.map(|(_, group)| format!("{group}/{project}"))
    }
}

impl Fetch for Elsewhere {
    fn project(&self, path: &str, reference: Option<&str>) -> Result<Opened, Failed> {
        let project = self.visible(path)?;
        let repository = self.repository(&project)?;
        self.open(&repository, reference.unwrap_or(&project.default_branch))
    }

    fn remote(&self, url: &str, cache: Option<Duration>) -> Result<Vec<u8>, Failed> {
        self.remote.get(url, cache)
    }

    fn template(&self, name: &str) -> Result<Template, Failed> {
        let Some(place) = &self.includes.0.settings.templates else {
            let help = "no templates are set up: the coordinator's setting include-templates says \
                        where they are";
            return Err(Failed::new(Why::Unconfigured).help(help));
        };
        let (commit, files) = if place.starts_with('/') {
            let folder = fleet_fetch::Repository::at(place.as_ref()).ok_or_else(|| {
                let words = "the folder of the setting include-templates is not there";
                Failed::new(Why::Internal(words.to_owned()))
            })?;
            (None, folder.open(None)?.files)
        } else {
            // Templates are everybody's, whoever may see the project they lie in.
            let project = self.includes.0.catalog.project(place).ok_or_else(|| {
                let words = "the project of the setting include-templates is not there";
                Failed::new(Why::Internal(words.to_owned()))
            })?;
            let repository = self.repository(&project)?;
            let opened = self.open(&repository, &project.default_branch)?;
            (Some(opened.commit), opened.files)
        };
        let content = fleet_fetch::template(files.as_ref(), name);
        Ok(Template {
            commit,
            content: content.ok_or_else(|| Failed::new(Why::Missing))?,
        })
    }

    fn component(&self, address: &Address) -> Result<Component, Failed> {
        let Some(path) = self.place(address) else {
            let help = format!(
                "the components of this fleet are at {}; the coordinator's setting include-host \
                 says which group stands for another host",
                self.includes.0.host
            );
            return Err(Failed::new(Why::Unconfigured).help(help));
        };
        let project = self.visible(&path)?;
        let repository = self.repository(&project)?;
        let refs = self.refs(&repository, None)?;
        let tags = || {
            refs.iter()
                .filter_map(|it| it.name.strip_prefix("refs/tags/"))
        };
        let picked = pick_version(&address.reference, tags());
        let reference = picked.unwrap_or(&address.reference);
        let is_release = Version::parse(reference).is_some() && tags().any(|tag| tag == reference);
        let opened = self.open(&repository, reference)?;
        Ok(Component {
            commit: opened.commit,
            version: is_release.then(|| reference.to_owned()),
            files: opened.files,
        })
    }
}

/// What only the coordinator's log says all of.
fn broken(error: &Error) -> Failed {
    tracing::error!(error = error as &dyn std::error::Error, "git does not work");
    let words = "its repository cannot be read now; the coordinator's log says more";
    Failed::new(Why::Internal(words.to_owned()))
}
