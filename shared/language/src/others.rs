//! What rules ask of other commits: `changes:compare_to`, `exists:project`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::Reach;
use crate::fetch::Why;

/// Answers each question once.
pub(crate) struct Others<'a> {
    reach: Reach<'a>,
    compared: RefCell<BTreeMap<String, Option<Rc<Vec<String>>>>>,
    projects: RefCell<BTreeMap<At, Result<Paths, String>>>,
}

/// A project, and a ref of it.
type At = (String, Option<String>);

/// The paths of a commit, sorted.
type Paths = Rc<BTreeSet<String>>;

impl<'a> Others<'a> {
    pub(crate) fn new(reach: Reach<'a>) -> Others<'a> {
        Others {
            reach,
            compared: RefCell::default(),
            projects: RefCell::default(),
        }
    }

    /// The paths that changed since the commit parted from a ref.
    ///
    /// # Errors
    /// GitLab's words: there is no such ref.
    pub(crate) fn changed(&self, reference: &str) -> Result<Rc<Vec<String>>, String> {
        let mut compared = self.compared.borrow_mut();
        let known = compared
            .entry(reference.to_owned())
            .or_insert_with(|| self.reach.files.changed_since(reference).map(Rc::new));
        known
            .clone()
            .ok_or_else(|| "rules:changes:compare_to is not a valid ref".to_owned())
    }

    /// The paths of another project at a ref, or at the head of its default branch.
    ///
    /// # Errors
    /// GitLab's words: there is no such project or ref.
    pub(crate) fn paths(&self, project: &str, reference: Option<&str>) -> Result<Paths, String> {
        let key = (project.to_lowercase(), reference.map(str::to_owned));
        if let Some(known) = self.projects.borrow().get(&key) {
            return known.clone();
        }
        let opened = self.reach.fetch.project(&key.0, reference);
        let paths = match opened {
            Ok(opened) => Ok(Rc::new(opened.files.paths().into_iter().collect())),
            Err(failed) => Err(match (failed.why, reference) {
                (Why::NoReference, Some(reference)) => format!(
                    "rules:exists:ref `{reference}` is not a valid ref in project `{project}`"
                ),
                _ => format!("rules:exists:project `{project}` not found or access denied"),
            }),
        };
        self.projects.borrow_mut().insert(key, paths.clone());
        paths
    }
}
