//! A repository of two files, compiled for a push: YAML, header and
//! interpolation, includes, extends, references, rules, variables.
#![no_main]

use fleet_language::{
    Changes, Commit, Context, Files, HostCoupling, PipelineSource, Project, Ref, RefKind, User,
    compile, lint, render,
};
use fleet_model::ProjectId;
use libfuzzer_sys::fuzz_target;

const STYLE: render::Style = render::Style {
    color: false,
    width: 80,
};

/// Splits the root file from the one it may include.
const NEXT_FILE: &str = "\n=====\n";

struct Repository<'a>(&'a str);

impl Files for Repository<'_> {
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        (path == "more.yml").then(|| self.0.as_bytes().to_vec())
    }

    fn paths(&self) -> Vec<String> {
        ["more.yml", "src/main.rs", "docs/a/b.md"].map(str::to_owned).into()
    }
}

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let (root, more) = text.split_once(NEXT_FILE).unwrap_or((&text, ""));
    let files = Repository(more);
    let context = push();
    limits::within(data, || {
        let linted = lint((".gitlab-ci.yml", root), None, &files);
        let first = compile((".gitlab-ci.yml", root), &context, &files);
        let second = compile((".gitlab-ci.yml", root), &context, &files);
        assert_eq!(first.plan, second.plan, "the same input, another plan");
        assert_eq!(first.diagnostics, second.diagnostics);
        assert!(first.plan.is_some() || !first.diagnostics.is_empty());
        let some = linted.diagnostics.len().min(20);
        drop(render::render(&linted.diagnostics[..some], &linted.sources, STYLE));
    });
});

fn push() -> Context {
    Context {
        source: PipelineSource::Push,
        reference: Ref {
            name: "main".into(),
            kind: RefKind::Branch,
            protected: true,
        },
        commit: Commit::default(),
        before_sha: "0".repeat(40),
        project: Project {
            id: ProjectId(1),
            path: "group/project".into(),
            title: "project".into(),
            default_branch: "main".into(),
            config_path: ".gitlab-ci.yml".into(),
            visibility: "private".into(),
            host_coupling: HostCoupling::Warn,
        },
        user: User::default(),
        server_url: "https://fleet.example".into(),
        created_at: "2026-01-01T00:00:00Z".into(),
        iid: 1,
        project_variables: Vec::new(),
        pipeline_variables: Vec::new(),
        inputs: Vec::new(),
        predefined: Vec::new(),
        changes: Changes::Known(vec!["src/main.rs".into()]),
    }
}
