//! What clauses are asked about: the event, and the variables of one place.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use fleet_model::Variable;

use crate::variables::{self, Index, Unknown};
use crate::{Context, Files};

/// The event, and what is worked out about it at most once.
pub(super) struct Event<'a> {
    pub(super) context: &'a Context,
    pub(super) files: &'a dyn Files,
    paths: OnceCell<BTreeSet<String>>,
}

impl<'a> Event<'a> {
    pub(super) fn new(context: &'a Context, files: &'a dyn Files) -> Event<'a> {
        Event {
            context,
            files,
            paths: OnceCell::new(),
        }
    }

    /// All files of the commit, sorted.
    pub(super) fn paths(&self) -> &BTreeSet<String> {
        self.paths
            .get_or_init(|| self.files.paths().into_iter().collect())
    }
}

/// The variables that are known at one place.
pub(super) struct Scope<'v> {
    variables: &'v [Variable],
    /// Unexpanded, as expressions compare them.
    pub(super) index: Index<'v>,
    kept: OnceCell<Vec<Variable>>,
    emptied: OnceCell<Vec<Variable>>,
}

impl<'v> Scope<'v> {
    pub(super) fn new(variables: &'v [Variable]) -> Scope<'v> {
        Scope {
            variables,
            index: Index::new(variables),
            kept: OnceCell::new(),
            emptied: OnceCell::new(),
        }
    }

    /// Expands a text with the values of the whole set, expanded themselves; as
    /// they are if they go round in circles, which is reported elsewhere.
    pub(super) fn expand(&self, text: &str, unknown: Unknown) -> String {
        if !text.contains(['$', '%']) {
            return text.to_owned();
        }
        let expanded = match unknown {
            Unknown::Keep => &self.kept,
            Unknown::Empty => &self.emptied,
        }
        .get_or_init(|| {
            let all = self.variables.to_vec();
            variables::expand_for_server(all, unknown).unwrap_or_else(|_| self.variables.to_vec())
        });
        Index::new(expanded).expand(text, unknown)
    }
}
