//! The typed configuration: every key checked, `default`, `inherit` and
//! `parallel` applied; nothing in it depends on the event.

use std::time::Duration;

use fleet_model::{
    AllowFailure, Artifact, ArtifactWhen, AutoCancel, EnvironmentAction, Hook, Image, Retry,
    Service, Variable, When,
};

use super::trigger::{Trigger, Upstream};
use crate::{Span, expression::Expression};

/// What a configuration says, before an event decides what of it runs.
#[derive(Clone, Debug)]
pub struct Config {
    /// All stages in order, `.pre` and `.post` at the edges.
    pub stages: Vec<String>,
    /// The global variables, in order of the file; no name twice.
    pub variables: Vec<Variable>,
    /// `workflow`.
    pub workflow: Workflow,
    /// The jobs that can be created, in order of the file; parallel ones stand
    /// for themselves, in the place of the job they come from.
    pub jobs: Vec<Job>,
}

/// `workflow`.
#[derive(Clone, Debug, Default)]
pub struct Workflow {
    /// `workflow:name`, unexpanded.
    pub name: Option<String>,
    /// The rules; none: the key is absent. Their `when` is `always` or `never`.
    pub rules: Option<Vec<Rule>>,
    /// `workflow:auto_cancel`.
    pub auto_cancel: AutoCancel,
}

/// A job that may be created.
#[derive(Clone, Debug)]
pub struct Job {
    /// Where its name stands.
    pub span: Span,
    /// The name, unique in the configuration; of one instance of a parallel
    /// job: with its index or its values.
    pub name: String,
    /// What it is an instance of.
    pub parallel: Option<Parallel>,
    /// What it starts instead of running a script.
    pub trigger: Option<Trigger>,
    /// The project whose pipeline's status it has; it runs no script either.
    pub upstream: Option<Upstream>,
    /// One of [`Config::stages`].
    pub stage: String,
    /// `before_script`, then `script`, flat.
    pub script: Vec<String>,
    /// Where the entries of [`Job::script`] stand.
    pub places: Vec<Span>,
    /// `after_script`, flat.
    pub after_script: Vec<String>,
    /// The rules; none: the key is absent and [`Job::only`] and [`Job::except`]
    /// decide.
    pub rules: Option<Vec<Rule>>,
    /// All clauses must hold. GitLab's default (`branches`, `tags`) is filled in
    /// where it applies; none: nothing is asked.
    pub only: Option<Policy>,
    /// No clause may hold.
    pub except: Option<Policy>,
    /// The job's own variables, those of its matrix last; no name twice.
    pub variables: Vec<Variable>,
    /// Which global variables (with those of workflow rules) it sees.
    pub inherit_variables: InheritVariables,
    /// `when`; rules may replace it.
    pub when: When,
    /// `allow_failure`; none: not stated.
    pub allow_failure: Option<AllowFailure>,
    /// `needs`, instances of parallel jobs named one by one; none: the key is
    /// absent and the job waits for all earlier stages.
    pub needs: Option<Vec<Need>>,
    /// Needs of jobs of other pipelines: their artifacts.
    pub cross_needs: Vec<CrossNeed>,
    /// `dependencies`, instances named one by one; none: the key is absent.
    pub dependencies: Option<Vec<String>>,
    /// What a person is asked before a manual start.
    pub manual_confirmation: Option<String>,
    /// `interruptible`; false where it is not stated.
    pub interruptible: bool,
    /// Unexpanded.
    pub tags: Vec<String>,
    /// Unexpanded.
    pub resource_group: Option<String>,
    /// `environment`.
    pub environment: Option<Environment>,
    /// The pattern without its slashes.
    pub coverage: Option<String>,
    /// `retry`.
    pub retry: Retry,
    /// `timeout`.
    pub timeout: Option<Duration>,
    /// `image`.
    pub image: Option<Image>,
    /// `services`.
    pub services: Vec<Service>,
    /// The archive and the reports, one upload each.
    pub artifacts: Vec<Artifact>,
    /// `cache`.
    pub caches: Vec<Cache>,
    /// `hooks`.
    pub hooks: Vec<Hook>,
}

/// Which instance of a parallel job this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parallel {
    /// The name in the file.
    pub base_name: String,
    /// `CI_NODE_INDEX`, from 1.
    pub index: u32,
    /// `CI_NODE_TOTAL`.
    pub total: u32,
    /// The matrix variables in order of the file (also part of
    /// [`Job::variables`]); empty with `parallel: <number>`.
    pub matrix: Vec<(String, String)>,
}

/// A rule of a job or of the workflow. All present clauses must hold.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Where it stands.
    pub span: Span,
    /// `if`; none: true.
    pub condition: Option<Expression>,
    /// `changes`; none: true.
    pub changes: Option<RuleChanges>,
    /// `exists`; none: true.
    pub exists: Option<RuleExists>,
    /// `when`; none: the job's own (workflow: `always`).
    pub when: Option<RuleWhen>,
    /// `allow_failure`; none: the job's own.
    pub allow_failure: Option<bool>,
    /// `interruptible`; none: the job's own.
    pub interruptible: Option<bool>,
    /// Over those of the job (workflow: over the global ones).
    pub variables: Vec<Variable>,
    /// Instead of those of the job; none: the job's own.
    pub needs: Option<Vec<Need>>,
    /// `auto_cancel` of a workflow rule, all of it; none: the workflow's own.
    pub auto_cancel: Option<AutoCancel>,
}

/// `rules:changes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleChanges {
    /// Globs, unexpanded.
    pub paths: Vec<String>,
    /// What the commit is compared with, unexpanded; none: what the event
    /// changed.
    pub compare_to: Option<String>,
}

/// `rules:exists`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleExists {
    /// Globs, unexpanded.
    pub paths: Vec<String>,
    /// Another project whose files are meant, unexpanded.
    pub project: Option<String>,
    /// Its branch, tag or commit, unexpanded; none: its default branch.
    pub reference: Option<String>,
}

/// `rules:when`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleWhen {
    /// The job is left out (workflow: no pipeline).
    Never,
    /// It is in, and runs so.
    Run(When),
}

/// `only` or `except`. A clause holds when any of its elements does; an absent
/// clause is not asked.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Ref names, patterns and keywords, as written (`branches`, `/^v/i@g/p`).
    pub refs: Option<Vec<String>>,
    /// Expressions.
    pub variables: Option<Vec<Expression>>,
    /// Globs, never expanded.
    pub changes: Option<Vec<String>>,
    /// `kubernetes: active`.
    pub kubernetes: bool,
}

/// `inherit:variables`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum InheritVariables {
    /// All of them.
    #[default]
    All,
    /// These.
    Only(Vec<String>),
    /// None of them.
    Nothing,
}

/// One job that another needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// Where it is asked for.
    pub span: Span,
    /// The name of a job of the configuration (of one instance, if parallel).
    /// An optional need may name none.
    pub job: String,
    /// Its artifacts are wanted.
    pub artifacts: bool,
    /// It may be missing.
    pub optional: bool,
}

/// A job of another pipeline whose artifacts are wanted; all texts unexpanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrossNeed {
    /// Where it is asked for.
    pub span: Span,
    /// The pipeline.
    pub source: CrossSource,
    /// The job's name there.
    pub job: String,
    /// Its artifacts are wanted; without them nothing is asked for.
    pub artifacts: bool,
    /// They may be missing.
    pub optional: bool,
}

/// Where a needed job outside this pipeline is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CrossSource {
    /// A pipeline of this project: its id, mostly in a variable.
    Pipeline(String),
    /// The last successful pipeline of a ref of a project.
    Project {
        /// Its path.
        project: String,
        /// The branch or tag.
        reference: String,
    },
}

/// `environment`, all texts unexpanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// Where it stands.
    pub span: Span,
    /// The name.
    pub name: String,
    /// The address.
    pub url: Option<String>,
    /// What the job does to it.
    pub action: EnvironmentAction,
    /// The job that stops it; exists.
    pub on_stop: Option<String>,
    /// A duration or a reference.
    pub auto_stop_in: Option<String>,
    /// As written; none: guessed from the name.
    pub deployment_tier: Option<String>,
}

/// One cache, all texts unexpanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// What it is kept under.
    pub key: CacheKey,
    /// Tried in order when there is nothing under the key.
    pub fallback_keys: Vec<String>,
    /// Globs.
    pub paths: Vec<String>,
    /// All that git does not track.
    pub untracked: bool,
    /// `pull-push`, `pull`, `push` or a reference.
    pub policy: String,
    /// After which result it is saved.
    pub when: ArtifactWhen,
    /// Protected and other refs share it.
    pub unprotect: bool,
}

/// `cache:key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheKey {
    /// As written; `default` where nothing is.
    Text(String),
    /// From the content of files.
    Files {
        /// One or two paths or globs.
        files: Vec<String>,
        /// Written as `files_commits`.
        by_commit: bool,
        /// What the digest is put behind; none: the cache's index and, unless by
        /// commit, the files' names.
        prefix: Option<String>,
    },
}
