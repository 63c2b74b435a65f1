//! Why a job is in a pipeline or is not: what each of its rules asked, and found.

use std::borrow::Cow;
use std::cell::RefCell;

use fleet_model::{Variable, When};

use super::event::{Around, Event, Scope};
use super::{policy, rules, seed, workflow};
use crate::config::{Config, Job, Rule, RuleWhen};
use crate::expression::{Expression, Lookup, Value};
use crate::glob::Glob;
use crate::pattern::Pattern;
use crate::variables::Unknown;
use crate::{Changes, Context, Reach, Span};

/// Paths that are told of a clause.
const MOST_PATHS: usize = 5;

/// The decision about one job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The job; of a parallel one its first instance.
    pub job: String,
    /// Whether the workflow's rules want a pipeline.
    pub has_pipeline: bool,
    /// Whether the job's own rules let it in.
    pub is_in: bool,
    /// Rules of the workflow, up to the one that decided.
    pub workflow: Vec<AskedRule>,
    /// Rules of the job, up to the one that decided.
    pub rules: Vec<AskedRule>,
    /// Clauses of `only` and `except`, where the job has those.
    pub policy: Vec<AskedClause>,
}

/// A rule that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedRule {
    /// Its place in the list, from 1.
    pub number: usize,
    /// Where it stands.
    pub span: Span,
    /// Whether all its clauses hold: it decides.
    pub matches: bool,
    /// What it says then: `never`, `manual`; none: the job's own.
    pub when: Option<String>,
    /// Its clauses, up to the first that does not hold. None: it always matches.
    pub clauses: Vec<AskedClause>,
}

/// A clause that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedClause {
    /// `if`, `changes`, `exists`; `only:refs`, `except:variables`.
    pub key: String,
    /// As it is written.
    pub text: String,
    /// Whether it holds.
    pub holds: bool,
    /// The variables it looked at, with their values; none: not set. Those of masked
    /// variables are `[MASKED]`.
    pub variables: Vec<(String, Option<String>)>,
    /// Of paths: some that match.
    pub paths: Vec<String>,
    /// What else is to be known of it.
    pub note: Option<String>,
}

/// Explains a job; none where there is no such job.
pub(crate) fn explain<'r>(
    config: &Config,
    context: &'r Context,
    reach: impl Into<Reach<'r>>,
    name: &str,
) -> Option<Explanation> {
    let is_instance = |job: &&Job| {
        let rest = job.name.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', ':']))
    };
    let exact = config.jobs.iter().find(|job| job.name == name);
    let job = exact.or_else(|| config.jobs.iter().find(is_instance))?;
    let event = Event::new(context, reach);
    let before = workflow::before(config, &event);
    let scope = Scope::new(&before, &event);
    let of_workflow = config.workflow.rules.as_deref().unwrap_or_default();
    let mut explanation = Explanation {
        job: job.name.clone(),
        has_pipeline: false,
        is_in: false,
        workflow: asked(of_workflow, &scope),
        rules: Vec::new(),
        policy: Vec::new(),
    };
    let Ok(pipeline) = workflow::decide(config, &event) else {
        return Some(explanation);
    };
    explanation.has_pipeline = true;
    let around = Around::new(&pipeline.predefined, &pipeline.user, &pipeline.settings);
    explanation.is_in = seed::decide(job, &pipeline, &around, &event).is_ok();
    let own = seed::variables_for_rules(job, &pipeline, &around, &event);
    let scope = Scope::of_job(&own, &around, &event);
    match &job.rules {
        Some(rules) => explanation.rules = asked(rules, &scope),
        None => {
            for (word, written) in [("only", &job.only), ("except", &job.except)] {
                let clauses = written.iter().flat_map(|it| policy::clauses(it, &scope));
                explanation.policy.extend(clauses.map(|clause| AskedClause {
                    key: format!("{word}:{}", clause.key),
                    text: clause.text,
                    holds: clause.holds,
                    variables: Vec::new(),
                    paths: Vec::new(),
                    note: (!clause.found.is_empty()).then_some(clause.found),
                }));
            }
        }
    }
    Some(explanation)
}

/// The rules up to the first that matches.
fn asked(rules: &[Rule], scope: &Scope<'_>) -> Vec<AskedRule> {
    let mut all = Vec::new();
    for (place, rule) in rules.iter().enumerate() {
        let clauses = clauses(rule, scope);
        let matches = clauses.iter().all(|clause| clause.holds);
        all.push(AskedRule {
            number: place + 1,
            span: rule.span,
            matches,
            when: rule.when.map(|when| match when {
                RuleWhen::Never => "never".to_owned(),
                RuleWhen::Run(when) => word(when).to_owned(),
            }),
            clauses,
        });
        if matches {
            break;
        }
    }
    all
}

/// GitLab's word.
fn word(when: When) -> &'static str {
    match when {
        When::OnSuccess => "on_success",
        When::OnFailure => "on_failure",
        When::Always => "always",
        When::Manual => "manual",
        When::Delayed(_) => "delayed",
    }
}

/// A rule's clauses up to the first that does not hold.
fn clauses(rule: &Rule, scope: &Scope<'_>) -> Vec<AskedClause> {
    let mut all = Vec::new();
    if let Some(condition) = &rule.condition {
        all.push(of_condition(condition, scope));
    }
    let goes_on = |all: &[AskedClause]| all.iter().all(|clause| clause.holds);
    if let Some(changes) = rule.changes.as_ref().filter(|_| goes_on(&all)) {
        let (holds, wrong) = verdict(rules::changed(changes, scope));
        let since = changes.compare_to.as_ref();
        let since = since.map(|reference| scope.expand(reference, Unknown::Keep));
        let compared = since
            .as_ref()
            .and_then(|it| scope.event.others.changed(it).ok());
        let (known, note) = match (&compared, &scope.event.context.changes) {
            (Some(paths), _) => (paths.to_vec(), None),
            (None, Changes::Known(paths)) if since.is_none() => (paths.clone(), None),
            (None, Changes::Unknown) if since.is_none() => {
                let note = "what changed is not known for this event, which counts as a change";
                (Vec::new(), Some(note.to_owned()))
            }
            (None, _) => (Vec::new(), None),
        };
        let compared = since.map(|reference| format!(" compared to {reference}"));
        all.push(AskedClause {
            key: "changes".to_owned(),
            text: format!(
                "[{}]{}",
                changes.paths.join(", "),
                compared.unwrap_or_default()
            ),
            holds,
            variables: Vec::new(),
            paths: matching(&rules::expand(&changes.paths, scope), known.iter()),
            note: wrong.or(note),
        });
    }
    if let Some(exists) = rule.exists.as_ref().filter(|_| goes_on(&all)) {
        let (holds, wrong) = verdict(rules::there(exists, scope));
        let globs = rules::expand(&exists.paths, scope);
        let paths = match &exists.project {
            None => matching(&globs, scope.event.paths().iter()),
            Some(_) => Vec::new(),
        };
        let of = exists.project.as_ref().map(|it| format!(" of {it}"));
        all.push(AskedClause {
            key: "exists".to_owned(),
            text: format!("[{}]{}", exists.paths.join(", "), of.unwrap_or_default()),
            holds,
            variables: Vec::new(),
            paths,
            note: wrong,
        });
    }
    all
}

fn verdict(answer: Result<bool, String>) -> (bool, Option<String>) {
    match answer {
        Ok(holds) => (holds, None),
        Err(words) => (false, Some(words)),
    }
}

fn matching<'p>(globs: &[String], paths: impl Iterator<Item = &'p String>) -> Vec<String> {
    let globs: Vec<Glob> = globs.iter().map(|glob| Glob::new(glob)).collect();
    let matching = paths.filter(|path| globs.iter().any(|glob| glob.is_match(path)));
    matching.take(MOST_PATHS).cloned().collect()
}

fn of_condition(condition: &Expression, scope: &Scope<'_>) -> AskedClause {
    let recorder = Recorder {
        scope,
        names: RefCell::default(),
    };
    let holds = condition.truthful(&recorder);
    let known = scope.variables();
    let value = |name: String| {
        let found = known.iter().rfind(|it| it.key == name);
        (name, found.map(|it| shown(it)))
    };
    AskedClause {
        key: "if".to_owned(),
        text: condition.text().to_owned(),
        holds,
        variables: recorder.names.into_inner().into_iter().map(value).collect(),
        paths: Vec::new(),
        note: None,
    }
}

fn shown(variable: &Variable) -> String {
    match variable.masked {
        true => "[MASKED]".to_owned(),
        false => variable.value.clone(),
    }
}

/// Remembers what was looked up.
struct Recorder<'s, 'v> {
    scope: &'s Scope<'v>,
    names: RefCell<Vec<String>>,
}

impl Lookup for Recorder<'_, '_> {
    fn variable(&self, name: &str) -> Option<Cow<'_, str>> {
        let mut names = self.names.borrow_mut();
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
        self.scope.variable(name)
    }

    fn input(&self, name: &str) -> Value<'_> {
        self.scope.input(name)
    }

    fn is_match(&self, pattern: &Pattern, text: &str) -> bool {
        self.scope.is_match(pattern, text)
    }
}
