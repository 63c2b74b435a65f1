mod forms;
mod seed;
mod shells;

use std::collections::BTreeMap;

use fleet_model::{PlannedJob, ProjectId, Variable};

use super::HostCoupling;
use crate::render::{Style, render};
use crate::{
    Changes, Commit, Compiled, Context, Files, PipelineSource, Project, Ref, RefKind, User,
    compile, lint,
};

/// A repository without other files.
struct Alone;

impl Files for Alone {
    fn read(&self, _path: &str) -> Option<Vec<u8>> {
        None
    }

    fn paths(&self) -> Vec<String> {
        Vec::new()
    }
}

fn context(branch: &str, host_coupling: HostCoupling) -> Context {
    Context {
        source: PipelineSource::Push,
        reference: Ref {
            name: branch.to_owned(),
            kind: RefKind::Branch,
            protected: true,
        },
        commit: Commit {
            sha: "0123456789abcdef0123456789abcdef01234567".to_owned(),
            message: "One\n".to_owned(),
            ..Commit::default()
        },
        before_sha: "0".repeat(40),
        project: Project {
            id: ProjectId(7),
            path: "group/app".to_owned(),
            title: "App".to_owned(),
            default_branch: "master".to_owned(),
            config_path: ".gitlab-ci.yml".to_owned(),
            visibility: "private".to_owned(),
            host_coupling,
        },
        user: User::default(),
        server_url: "https://fleet.example".to_owned(),
        created_at: "2026-11-23T10:00:00Z".to_owned(),
        iid: 12,
        project_variables: vec![Variable::new("GOOGLE_PROJECT_ID", "adtech")],
        pipeline_variables: Vec::new(),
        inputs: Vec::new(),
        predefined: Vec::new(),
        changes: Changes::Unknown,
    }
}

fn compiled(yaml: &str, branch: &str, wanted: HostCoupling) -> Compiled {
    compile((".gitlab-ci.yml", yaml), &context(branch, wanted), &Alone)
}

/// Everything that is said, as people see it.
fn said(compiled: &Compiled) -> String {
    let plain = Style {
        color: false,
        width: 400,
    };
    render(&compiled.diagnostics, &compiled.sources, plain)
}

fn jobs(compiled: &Compiled) -> BTreeMap<&str, &PlannedJob> {
    let plan = compiled
        .plan
        .as_ref()
        .unwrap_or_else(|| panic!("{}", said(compiled)));
    let jobs = plan.jobs.iter();
    jobs.map(|job| (job.name.as_str(), job)).collect()
}

/// Two jobs: what one does, and what the other one after it.
fn pair(build: &[&str], after: &[&str]) -> String {
    let list = |lines: &[&str]| {
        let lines = lines.iter().map(|line| format!("{line:?}"));
        lines.collect::<Vec<_>>().join(", ")
    };
    format!(
        "stages: [one, two]\nvariables: {{IMAGE: registry.example/app}}\nbuild: {{stage: one, \
         script: [{}]}}\nafter: {{stage: two, script: [{}]}}\n",
        list(build),
        list(after)
    )
}

/// What becomes of the second of two jobs.
#[derive(Debug, PartialEq, Eq)]
enum Became {
    /// As it was.
    Same,
    /// Its script was mended to this.
    Mended(Vec<String>),
    Pinned,
}

fn became(build: &[&str], after: &[&str]) -> Became {
    let compiled = compiled(&pair(build, after), "master", HostCoupling::Mend);
    let job = jobs(&compiled)["after"];
    let codes: Vec<&str> = compiled.diagnostics.iter().map(|it| it.code).collect();
    if job.pinned_to.is_some() {
        assert_eq!(codes, [super::UNPUSHED]);
        assert_eq!(job.pinned_to, Some(0));
        assert_eq!(job.script, after);
        Became::Pinned
    } else if job.script == after {
        assert!(codes.is_empty(), "{}", said(&compiled));
        Became::Same
    } else {
        assert!(codes.contains(&super::PUSHED));
        Became::Mended(job.script.clone())
    }
}

fn linted(yaml: &str) -> String {
    said(&lint((".gitlab-ci.yml", yaml), None, &Alone))
}
