//! [`Fetch`] for what [`Sources`] say.

use std::path::PathBuf;
use std::time::Duration;

use fleet_language::fetch::{
    Address, Component, Failed, Opened, Template, Version, Why, pick_version,
};
use fleet_language::{Fetch, Files};

use crate::mirror::Mirrors;
use crate::{Place, Remote, Repository, Sources};

/// Where GitLab's own repository keeps its templates.
const TEMPLATES_OF_GITLAB: &str = "lib/gitlab/ci/templates";

/// A template of a set of files: at its top, or where GitLab's own repository has them.
#[must_use]
pub fn template(files: &dyn Files, name: &str) -> Option<Vec<u8>> {
    let inner = format!("{TEMPLATES_OF_GITLAB}/{name}");
    files.read(name).or_else(|| files.read(&inner))
}

/// What is found where somebody said it is.
#[derive(Debug)]
pub struct Configured {
    sources: Sources,
    /// How people call the file that the sources are from.
    file: String,
    mirrors: Mirrors,
    remote: Remote,
}

impl Configured {
    /// For one configuration. `file` is the name of the sources' file in hints; mirrors
    /// and copies are kept in `cache`.
    #[must_use]
    pub fn new(sources: Sources, file: String, cache: &std::path::Path) -> Configured {
        let remote = Remote::new(sources.remote(), cache.join("remote"));
        Configured {
            sources,
            file,
            mirrors: Mirrors::new(cache.join("repositories")),
            remote,
        }
    }

    /// The repository at a place that has what `has` looks for, if it has it at all.
    fn repository(
        &self,
        place: Place,
        has: impl Fn(&Repository) -> bool,
    ) -> Result<Repository, Failed> {
        match place {
            Place::Url(url) => self.mirrors.get(&url, has),
            Place::Path(path) => Repository::at(&path).ok_or_else(|| self.not_there(path)),
        }
    }

    fn not_there(&self, path: PathBuf) -> Failed {
        let help = format!(
            "{} says it is {}, which is no folder",
            self.file,
            path.display()
        );
        Failed::new(Why::Missing).help(help)
    }

    fn unconfigured(&self, what: &str, example: &str) -> Failed {
        let help = format!("say where {what} in {}: `{example}`", self.file);
        Failed::new(Why::Unconfigured).help(help)
    }
}

impl Fetch for Configured {
    fn project(&self, path: &str, reference: Option<&str>) -> Result<Opened, Failed> {
        let Some(place) = self.sources.project(path) else {
            let example = format!("[projects] \"{path}\" = \"../{}\"", last_part(path));
            return Err(self.unconfigured("it is", &example));
        };
        let repository = self.repository(place, |it| it.open(reference).is_ok())?;
        let reading = repository.open(reference)?;
        Ok(Opened {
            commit: reading.commit,
            files: reading.files,
        })
    }

    fn remote(&self, url: &str, cache: Option<Duration>) -> Result<Vec<u8>, Failed> {
        self.remote.get(url, cache).map_err(|failed| {
            let is_unknown = matches!(failed.why, Why::Blocked(_)) && failed.help.is_none();
            if !is_unknown || !url.starts_with("https://") {
                return failed;
            }
            let folder = url.rsplit_once('/').map_or(url, |(folder, _)| folder);
            let example = format!("remote = [\"{folder}/\"]");
            failed.help(format!("allow it in {}: `{example}`", self.file))
        })
    }

    fn template(&self, name: &str) -> Result<Template, Failed> {
        let Some(place) = self.sources.templates() else {
            let example = "templates = \"../gitlab/lib/gitlab/ci/templates\"";
            return Err(self.unconfigured("templates are", example));
        };
        let reading = self.repository(place, |_| true)?.open(None)?;
        let content = template(reading.files.as_ref(), name);
        let is_commit = reading.commit.bytes().any(|it| it != b'0');
        Ok(Template {
            commit: is_commit.then_some(reading.commit),
            content: content.ok_or_else(|| Failed::new(Why::Missing))?,
        })
    }

    fn component(&self, address: &Address) -> Result<Component, Failed> {
        let whole = format!("{}/{}", address.host, address.project);
        let place = self.sources.project(&whole);
        let Some(place) = place.or_else(|| self.sources.project(&address.project)) else {
            let example = format!("[projects] \"{whole}\" = \"../{}\"", last_part(&whole));
            return Err(self.unconfigured("it is", &example));
        };
        let tag = |repository: &Repository| -> Result<Option<String>, Failed> {
            let tags = repository.tags()?;
            let picked = pick_version(&address.reference, tags.iter().map(String::as_str));
            Ok(picked.map(str::to_owned))
        };
        let has = |repository: &Repository| {
            let tag = tag(repository).ok().flatten();
            tag.is_some() || repository.open(Some(&address.reference)).is_ok()
        };
        let repository = self.repository(place, has)?;
        let picked = tag(&repository)?;
        let reference = picked.as_deref().unwrap_or(&address.reference);
        let is_release = picked.is_some()
            || (Version::parse(reference).is_some()
                && repository.tags()?.iter().any(|tag| tag == reference));
        let reading = repository.open(Some(reference))?;
        Ok(Component {
            commit: reading.commit,
            version: is_release.then(|| reference.to_owned()),
            files: reading.files,
        })
    }
}

fn last_part(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests;
