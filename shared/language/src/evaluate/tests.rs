mod downstream;
mod files;
mod plans;
mod variables;
mod vectors;

use fleet_model::{Artifact, ArtifactFormat, ArtifactWhen, ProjectId, Retry, Variable, When};

use super::{Evaluation, plan};
use crate::config::{Config, InheritVariables, Job, Need, Policy, Rule, RuleWhen, Workflow};
use crate::expression::Expression;
use crate::{
    Changes, Commit, Context, FileId, Files, HostCoupling, PipelineSource, Project, Ref, RefKind,
    Span, User,
};

const SPAN: Span = Span {
    file: FileId(0),
    start: 0,
    end: 0,
};

struct Tree(Vec<(String, Vec<u8>)>);

impl Files for Tree {
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.0
            .iter()
            .find(|(own, _)| own == path)
            .map(|(_, content)| content.clone())
    }

    fn paths(&self) -> Vec<String> {
        self.0.iter().map(|(path, _)| path.clone()).collect()
    }
}

fn tree(paths: &[&str]) -> Tree {
    Tree(
        paths
            .iter()
            .map(|path| (path.to_string(), path.as_bytes().to_vec()))
            .collect(),
    )
}

/// A push of `main`; nothing is known of what changed.
/// A push to `main`.
pub(crate) fn push() -> Context {
    Context {
        source: PipelineSource::Push,
        reference: Ref {
            name: "main".to_owned(),
            kind: RefKind::Branch,
            protected: true,
        },
        commit: Commit {
            sha: "0123456789abcdef0123456789abcdef01234567".to_owned(),
            message: "One\n\nTwo\n".to_owned(),
            author: "A <a@example.com>".to_owned(),
            timestamp: "2026-11-23T10:00:00Z".to_owned(),
        },
        before_sha: "0".repeat(40),
        project: Project {
            id: ProjectId(7),
            path: "group/sub/app".to_owned(),
            title: "App".to_owned(),
            default_branch: "main".to_owned(),
            config_path: ".gitlab-ci.yml".to_owned(),
            visibility: "private".to_owned(),
            host_coupling: HostCoupling::default(),
        },
        user: User {
            id: 3,
            login: "ann".to_owned(),
            name: "Ann".to_owned(),
            email: "ann@example.com".to_owned(),
        },
        server_url: "https://fleet.example:8443".to_owned(),
        created_at: "2026-11-23T10:00:00Z".to_owned(),
        iid: 12,
        project_variables: Vec::new(),
        pipeline_variables: Vec::new(),
        inputs: Vec::new(),
        predefined: Vec::new(),
        changes: Changes::Unknown,
    }
}

fn on_ref(name: &str, kind: RefKind) -> Context {
    Context {
        reference: Ref {
            name: name.to_owned(),
            kind,
            protected: false,
        },
        ..push()
    }
}

fn config(stages: &[&str], jobs: Vec<Job>) -> Config {
    let stages = [".pre"].iter().chain(stages).chain(&[".post"]);
    Config {
        stages: stages.map(|stage| stage.to_string()).collect(),
        variables: Vec::new(),
        workflow: Workflow::default(),
        jobs,
    }
}

/// A job that is always in.
fn job(name: &str, stage: &str) -> Job {
    Job {
        span: SPAN,
        name: name.to_owned(),
        parallel: None,
        trigger: None,
        upstream: None,
        stage: stage.to_owned(),
        script: vec!["x".to_owned()],
        places: vec![SPAN],
        after_script: Vec::new(),
        rules: None,
        only: None,
        except: None,
        variables: Vec::new(),
        inherit_variables: InheritVariables::All,
        when: When::OnSuccess,
        allow_failure: None,
        needs: None,
        cross_needs: Vec::new(),
        dependencies: None,
        manual_confirmation: None,
        interruptible: false,
        tags: Vec::new(),
        resource_group: None,
        environment: None,
        coverage: None,
        retry: Retry::default(),
        timeout: None,
        image: None,
        services: Vec::new(),
        artifacts: Vec::new(),
        caches: Vec::new(),
        hooks: Vec::new(),
    }
}

fn with_artifacts(job: Job) -> Job {
    let archive = Artifact {
        name: None,
        paths: vec!["out".to_owned()],
        exclude: Vec::new(),
        untracked: false,
        when: ArtifactWhen::OnSuccess,
        kind: "archive".to_owned(),
        format: ArtifactFormat::Zip,
        expire_in: None,
    };
    Job {
        artifacts: vec![archive],
        ..job
    }
}

fn need(job: &str) -> Need {
    Need {
        span: SPAN,
        job: job.to_owned(),
        artifacts: true,
        optional: false,
    }
}

/// A rule without clauses.
fn rule() -> Rule {
    Rule {
        span: SPAN,
        condition: None,
        changes: None,
        exists: None,
        when: None,
        allow_failure: None,
        interruptible: None,
        variables: Vec::new(),
        needs: None,
        auto_cancel: None,
    }
}

fn rule_if(condition: &str, when: RuleWhen) -> Rule {
    Rule {
        condition: Some(Expression::parse(condition).unwrap()),
        when: Some(when),
        ..rule()
    }
}

fn never() -> Vec<Rule> {
    vec![Rule {
        when: Some(RuleWhen::Never),
        ..rule()
    }]
}

fn refs(names: &[&str]) -> Option<Policy> {
    let refs = names.iter().map(|name| name.to_string()).collect();
    Some(Policy {
        refs: Some(refs),
        ..Policy::default()
    })
}

fn variable(key: &str, value: &str) -> Variable {
    Variable::new(key, value)
}

fn evaluate(config: &Config, context: &Context) -> Evaluation {
    plan(config, context, &tree(&[]))
}

fn names(evaluation: &Evaluation) -> Vec<&str> {
    let plan = evaluation
        .plan
        .as_ref()
        .unwrap_or_else(|| panic!("{:?}", evaluation.diagnostics));
    plan.jobs.iter().map(|job| job.name.as_str()).collect()
}

/// The message of the only diagnostic, where there is no plan.
fn refusal(evaluation: &Evaluation) -> &str {
    assert!(evaluation.plan.is_none());
    assert_eq!(
        evaluation.diagnostics.len(),
        1,
        "{:?}",
        evaluation.diagnostics
    );
    &evaluation.diagnostics[0].message
}
