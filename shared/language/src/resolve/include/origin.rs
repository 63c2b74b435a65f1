//! Where a file came from: what its own includes mean by `local`.

use std::{cell::OnceCell, collections::BTreeSet};

use crate::Files;

/// The repository and commit of a file, if it has any.
pub(super) struct Origin<'a> {
    /// Tells it from all others.
    pub(super) id: usize,
    files: Repository<'a>,
    /// How the repository's files are called before their path, and behind it.
    names: (String, String),
    /// The project's path and the commit; none for the repository that is compiled.
    pub(super) project: Option<(String, String)>,
    /// The release it is, for components.
    pub(super) version: Option<String>,
    paths: OnceCell<BTreeSet<String>>,
}

enum Repository<'a> {
    /// That which is compiled.
    Own(&'a dyn Files),
    Other(Box<dyn Files>),
    None,
}

impl<'a> Origin<'a> {
    /// The repository that is compiled.
    pub(super) fn root(files: &'a dyn Files) -> Origin<'a> {
        Origin::new(0, Repository::Own(files), (String::new(), String::new()))
    }

    /// No repository.
    pub(super) fn nowhere() -> Origin<'a> {
        Origin::new(usize::MAX, Repository::None, (String::new(), String::new()))
    }

    /// Another project at a commit, which was named by `reference`.
    pub(super) fn project(
        id: usize,
        project: &str,
        reference: Option<&str>,
        commit: String,
        version: Option<String>,
        files: Box<dyn Files>,
    ) -> Origin<'a> {
        let behind = reference.map(|reference| format!("@{reference}"));
        let names = (format!("{project}/"), behind.unwrap_or_default());
        Origin {
            project: Some((project.to_owned(), commit)),
            version,
            ..Origin::new(id, Repository::Other(files), names)
        }
    }

    fn new(id: usize, files: Repository<'a>, names: (String, String)) -> Origin<'a> {
        Origin {
            id,
            files,
            names,
            project: None,
            version: None,
            paths: OnceCell::new(),
        }
    }

    pub(super) fn files(&self) -> Option<&dyn Files> {
        match &self.files {
            Repository::Own(files) => Some(*files),
            Repository::Other(files) => Some(files.as_ref()),
            Repository::None => None,
        }
    }

    /// All paths; listed once.
    pub(super) fn paths(&self) -> &BTreeSet<String> {
        self.paths.get_or_init(|| {
            let files = self.files();
            files.map_or_else(BTreeSet::new, |files| files.paths().into_iter().collect())
        })
    }

    /// How a file of it is called among all files of the configuration.
    pub(super) fn name_of(&self, path: &str) -> String {
        let (before, behind) = &self.names;
        format!("{before}{path}{behind}")
    }
}
