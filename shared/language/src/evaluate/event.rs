//! What clauses are asked about: the event, and the variables of one place.

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use fleet_model::Variable;

use crate::expression::Lookup;
use crate::glob::Glob;
use crate::others::Others;
use crate::pattern::{self, Pattern};
use crate::variables::{self, Index, Unknown};
use crate::{Changes, Context, Diagnostic, Files, Reach};

/// The event, and what is worked out about it at most once: many jobs ask the
/// same.
pub(super) struct Event<'a> {
    pub(super) context: &'a Context,
    pub(super) files: &'a dyn Files,
    pub(super) others: Others<'a>,
    pub(super) patterns: pattern::Cache,
    paths: OnceCell<BTreeSet<String>>,
    changed: Answers,
    exists: Answers,
    /// What rules asked that has no answer.
    wrong: RefCell<Vec<Diagnostic>>,
}

/// Of globs, whether any path matches.
type Answers = RefCell<BTreeMap<String, bool>>;

impl<'a> Event<'a> {
    pub(super) fn new(context: &'a Context, reach: impl Into<Reach<'a>>) -> Event<'a> {
        let reach = reach.into();
        Event {
            context,
            files: reach.files,
            others: Others::new(reach),
            patterns: pattern::Cache::default(),
            paths: OnceCell::new(),
            changed: Answers::default(),
            exists: Answers::default(),
            wrong: RefCell::default(),
        }
    }

    /// Keeps what is wrong with a rule, which does not match then.
    pub(super) fn tell(&self, wrong: Diagnostic) {
        self.wrong.borrow_mut().push(wrong);
    }

    /// What was told.
    ///
    /// # Errors
    /// It, if anything was.
    pub(super) fn all_well(&self) -> Result<(), Vec<Diagnostic>> {
        let wrong = self.wrong.take();
        wrong.is_empty().then_some(()).ok_or(wrong)
    }

    /// All files of the commit, sorted.
    pub(super) fn paths(&self) -> &BTreeSet<String> {
        self.paths
            .get_or_init(|| self.files.paths().into_iter().collect())
    }

    /// Whether a path that changed matches a glob.
    pub(super) fn any_changed(&self, glob: &str) -> bool {
        match &self.context.changes {
            Changes::Unknown => true,
            Changes::Known(paths) => answer(&self.changed, glob, paths),
        }
    }

    /// Whether a file of the commit matches a glob.
    pub(super) fn any_exists(&self, glob: &str) -> bool {
        answer(&self.exists, glob, self.paths())
    }
}

fn answer<'p>(answers: &Answers, glob: &str, paths: impl IntoIterator<Item = &'p String>) -> bool {
    if let Some(&known) = answers.borrow().get(glob) {
        return known;
    }
    let compiled = Glob::new(glob);
    let found = paths.into_iter().any(|path| compiled.is_match(path));
    answers.borrow_mut().insert(glob.to_owned(), found);
    found
}

/// What all jobs of a pipeline see beside their own variables, looked up by name many
/// times.
pub(super) struct Around<'v> {
    /// Predefined: under a job's own.
    under: &'v [Variable],
    /// Over a job's own: who started the pipeline, then its settings.
    over: [&'v [Variable]; 2],
    under_index: Index<'v>,
    over_index: Index<'v>,
}

impl<'v> Around<'v> {
    pub(super) fn new(
        under: &'v [Variable],
        user: &'v [Variable],
        settings: &'v [Variable],
    ) -> Around<'v> {
        Around {
            under,
            over: [user, settings],
            under_index: Index::new(under),
            over_index: Index::new(user.iter().chain(settings)),
        }
    }

    /// With a job's own in their place, lowest precedence first.
    pub(super) fn with(&self, own: &'v [Variable]) -> Vec<&'v Variable> {
        let [user, settings] = self.over;
        let all = self.under.iter().chain(own);
        all.chain(user).chain(settings).collect()
    }
}

/// The variables that are known at one place.
pub(super) struct Scope<'v> {
    around: Option<&'v Around<'v>>,
    own: &'v [Variable],
    index: Index<'v>,
    pub(super) event: &'v Event<'v>,
    kept: OnceCell<Vec<Variable>>,
    emptied: OnceCell<Vec<Variable>>,
}

impl<'v> Scope<'v> {
    /// All there are, lowest precedence first.
    pub(super) fn new(variables: &'v [Variable], event: &'v Event<'v>) -> Scope<'v> {
        Scope {
            around: None,
            own: variables,
            index: Index::new(variables),
            event,
            kept: OnceCell::new(),
            emptied: OnceCell::new(),
        }
    }

    /// A job's own, and what is around them.
    pub(super) fn of_job(
        own: &'v [Variable],
        around: &'v Around<'v>,
        event: &'v Event<'v>,
    ) -> Scope<'v> {
        Scope {
            around: Some(around),
            ..Scope::new(own, event)
        }
    }

    /// All variables, lowest precedence first.
    pub(super) fn variables(&self) -> Vec<&'v Variable> {
        match self.around {
            Some(around) => around.with(self.own),
            None => self.own.iter().collect(),
        }
    }

    fn value(&self, name: &str) -> Option<&'v str> {
        let over = self.around.and_then(|around| around.over_index.value(name));
        let own = || self.index.value(name);
        let under = || {
            self.around
                .and_then(|around| around.under_index.value(name))
        };
        over.or_else(own).or_else(under)
    }

    /// Expands a text in one pass with the values as they are written.
    pub(super) fn expand_once(&self, text: &str, unknown: Unknown) -> String {
        variables::expand(text, unknown, |name| self.value(name))
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
            let all = self.variables();
            variables::expand_for_server(all.iter().copied(), unknown)
                .unwrap_or_else(|_| all.into_iter().cloned().collect())
        });
        Index::new(expanded).expand(text, unknown)
    }
}

/// Values are compared unexpanded.
impl Lookup for Scope<'_> {
    fn variable(&self, name: &str) -> Option<Cow<'_, str>> {
        self.value(name).map(Cow::Borrowed)
    }

    fn is_match(&self, pattern: &Pattern, text: &str) -> bool {
        self.event.patterns.is_match(pattern, text)
    }
}
