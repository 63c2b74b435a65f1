//! What a person wrote down of where includes are found.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::Allowed;

/// The file `includes.toml`.
///
/// ```toml
/// templates = "../gitlab"                       # a folder, or the address of a repository
/// remote = ["https://files.example/ci/"]        # addresses that may be fetched
///
/// [projects]
/// "group/lib" = "../lib"                        # for include:project
/// "group/*" = "https://git.example/group/*.git"
/// "gitlab.example/components/*" = "https://git.example/components/*.git"
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Sources {
    templates: Option<String>,
    #[serde(default)]
    remote: Vec<String>,
    #[serde(default)]
    private_addresses: bool,
    #[serde(default)]
    projects: BTreeMap<String, String>,
    /// The folder that paths are relative to.
    #[serde(skip)]
    base: PathBuf,
}

/// Where a project is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On this disk.
    Path(PathBuf),
    /// Elsewhere, for git.
    Url(String),
}

impl Sources {
    /// Reads a file; none where there is none.
    ///
    /// # Errors
    /// In words: it cannot be read, or is not such a file.
    pub fn read(path: &Path) -> Result<Option<Sources>, String> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("read {}: {error}", path.display())),
        };
        let base = path.parent().unwrap_or(Path::new("")).to_owned();
        let sources = Sources::parse(&text, base);
        let sources = sources.map_err(|words| format!("{}: {words}", path.display()))?;
        Ok(Some(sources))
    }

    /// Reads a text, with paths that are relative to a folder.
    ///
    /// # Errors
    /// In words: what is wrong, and where.
    pub fn parse(text: &str, base: PathBuf) -> Result<Sources, String> {
        let sources: Sources =
            toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        if let Some(odd) = sources.remote.iter().find(|it| !it.starts_with("https://")) {
            return Err(format!(
                "remote: `{odd}` does not begin with https://, and nothing else is fetched"
            ));
        }
        let stars = |text: &str| text.matches('*').count();
        for (name, place) in &sources.projects {
            if stars(name) > 1 || (stars(name) == 1 && !name.ends_with("/*") && name != "*") {
                return Err(format!(
                    "projects: `{name}`: a `*` stands for the rest of a path: \"group/*\""
                ));
            }
            if stars(place) > stars(name) {
                return Err(format!(
                    "projects: `{name}`: `{place}` has a `*`, and the name has none"
                ));
            }
        }
        Ok(Sources { base, ..sources })
    }

    /// Puts these over others: what both say is as here.
    #[must_use]
    pub fn over(self, others: Sources) -> Sources {
        let of = |sources: &Sources, place: &str| match sources.place(place) {
            Place::Path(path) => path.to_string_lossy().into_owned(),
            Place::Url(url) => url,
        };
        let mut projects: BTreeMap<String, String> = BTreeMap::new();
        for sources in [&others, &self] {
            let named = sources.projects.iter();
            projects.extend(named.map(|(name, place)| (name.clone(), of(sources, place))));
        }
        let templates = self.templates.as_deref().map(|it| of(&self, it));
        let templates = templates.or_else(|| others.templates.as_deref().map(|it| of(&others, it)));
        Sources {
            templates,
            remote: self.remote.into_iter().chain(others.remote).collect(),
            private_addresses: self.private_addresses || others.private_addresses,
            projects,
            base: self.base,
        }
    }

    /// Where the templates are, if anybody said so.
    #[must_use]
    pub fn templates(&self) -> Option<Place> {
        self.templates.as_deref().map(|it| self.place(it))
    }

    /// Which addresses may be fetched.
    #[must_use]
    pub fn remote(&self) -> Allowed {
        Allowed {
            prefixes: self.remote.clone(),
            private: self.private_addresses,
        }
    }

    /// Where a project is, if anybody said so: by its own name, else by the longest
    /// name with a `*`.
    #[must_use]
    pub fn project(&self, path: &str) -> Option<Place> {
        let own = |(name, _): &(&String, &String)| name.eq_ignore_ascii_case(path);
        if let Some((_, place)) = self.projects.iter().find(own) {
            return Some(self.place(place));
        }
        let fits = |(name, place): (&String, &String)| {
            let prefix = name.strip_suffix('*')?;
            let start = path.get(..prefix.len())?;
            let rest = path.get(prefix.len()..).filter(|rest| !rest.is_empty())?;
            let place = place.replace('*', rest);
            start
                .eq_ignore_ascii_case(prefix)
                .then_some((prefix.len(), place))
        };
        let found = self.projects.iter().filter_map(fits);
        let (_, place) = found.max_by_key(|(length, _)| *length)?;
        Some(self.place(&place))
    }

    fn place(&self, text: &str) -> Place {
        // `git@host:path` is an address too; a path with a colon can begin with `./`.
        let is_short = text
            .split_once(':')
            .is_some_and(|(host, _)| host.contains('@') && !host.contains('/'));
        if text.contains("://") || is_short {
            return Place::Url(text.to_owned());
        }
        Place::Path(self.base.join(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(text: &str) -> Result<Sources, String> {
        Sources::parse(text, PathBuf::from("/p/.fleet"))
    }

    #[test]
    fn the_longest_name_says_where_a_project_is() {
        let sources = sources(
            "[projects]\n\"*\" = \"https://git.example/*.git\"\n\"group/*\" = \"../../*\"\n\
             \"group/lib\" = \"git@git.example:lib.git\"\n",
        )
        .unwrap();
        let url = |text: &str| Some(Place::Url(text.to_owned()));
        assert_eq!(
            sources.project("other/x"),
            url("https://git.example/other/x.git")
        );
        assert_eq!(sources.project("Group/Lib"), url("git@git.example:lib.git"));
        let path = PathBuf::from("/p/.fleet/../../app/x");
        assert_eq!(sources.project("group/app/x"), Some(Place::Path(path)));
        assert_eq!(Sources::default().project("group/lib"), None);
    }

    #[test]
    fn files_that_are_wrong_say_where() {
        for (text, words) in [
            ("remote = [\"http://h/\"]", "does not begin with https://"),
            ("tempaltes = \"x\"", "unknown field `tempaltes`"),
            (
                "[projects]\n\"g*\" = \"x\"",
                "a `*` stands for the rest of a path",
            ),
            ("[projects]\n\"g\" = \"x/*\"", "and the name has none"),
        ] {
            let told = sources(text).unwrap_err();
            assert!(told.contains(words), "{told}");
        }
    }

    #[test]
    fn a_projects_file_goes_over_that_of_its_user() {
        let own = Sources::parse("[projects]\na = \"x\"", PathBuf::from("/own")).unwrap();
        let users =
            "templates = \"t\"\nremote = [\"https://h/\"]\n[projects]\na = \"y\"\nb = \"z\"";
        let users = Sources::parse(users, PathBuf::from("/users")).unwrap();
        let both = own.over(users);
        let path = |text: &str| Some(Place::Path(PathBuf::from(text)));
        assert_eq!(both.project("a"), path("/own/x"));
        assert_eq!(both.project("b"), path("/users/z"));
        assert_eq!(both.templates(), path("/users/t"));
        assert_eq!(both.remote().prefixes, ["https://h/"]);
    }
}
