//! Configurations in the manner of large public projects, under several events: which
//! jobs there are. `tests/projects` has them, each with `expected.txt`; what is not of
//! the same repository lies in `elsewhere`.
//!
//! `UPDATE_EXPECTED=1` writes what is there now; read it before it is committed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::evaluate::{EMPTY, FILTERED};
use crate::fetch::{Address, Component, Failed, Opened, Template, Why};
use crate::{
    Changes, Compiled, Context, Fetch, Files, PipelineSource, Reach, Ref, RefKind, Severity,
    compile, lint,
};

/// The files of a folder.
struct Folder(PathBuf);

impl Files for Folder {
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        fs::read(self.0.join(path)).ok()
    }

    fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        let mut folders = vec![self.0.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let path = path.strip_prefix(&self.0).unwrap();
                    paths.push(path.to_str().unwrap().to_owned());
                }
            }
        }
        paths
    }

    fn changed_since(&self, _: &str) -> Option<Vec<String>> {
        Some(vec!["services/api/main.go".to_owned()])
    }
}

struct Elsewhere(PathBuf);

impl Elsewhere {
    fn folder(&self, kind: &str, path: &str) -> Result<Box<Folder>, Failed> {
        let folder = self.0.join(kind).join(path);
        let found = folder.is_dir().then(|| Box::new(Folder(folder)));
        found.ok_or_else(|| Failed::new(Why::Missing))
    }
}

impl Fetch for Elsewhere {
    fn project(&self, path: &str, _: Option<&str>) -> Result<Opened, Failed> {
        Ok(Opened {
            commit: "0".repeat(40),
            files: self.folder("projects", path)?,
        })
    }

    fn remote(&self, url: &str, _: Option<Duration>) -> Result<Vec<u8>, Failed> {
        let path = url.split_once("://").map_or(url, |(_, path)| path);
        fs::read(self.0.join("remote").join(path)).map_err(|_| Failed::new(Why::Missing))
    }

    fn template(&self, name: &str) -> Result<Template, Failed> {
        let content = fs::read(self.0.join("templates").join(name));
        Ok(Template {
            commit: None,
            content: content.map_err(|_| Failed::new(Why::Missing))?,
        })
    }

    fn component(&self, address: &Address) -> Result<Component, Failed> {
        Ok(Component {
            commit: "0".repeat(40),
            version: Some("2.1.0".to_owned()),
            files: self.folder("components", &address.project.to_lowercase())?,
        })
    }
}

fn events() -> Vec<(&'static str, Context)> {
    let push = Context {
        changes: Changes::Known(vec!["src/amd/vulkan/a.c".to_owned(), "app/a.rb".to_owned()]),
        ..crate::evaluate::tests::push()
    };
    let at = |name: &str, kind: RefKind| Context {
        reference: Ref {
            name: name.to_owned(),
            kind,
            protected: false,
        },
        ..push.clone()
    };
    let by = |source: PipelineSource| Context {
        source,
        changes: Changes::Unknown,
        ..push.clone()
    };
    let merge_request = Context {
        source: PipelineSource::MergeRequestEvent,
        predefined: [
            ("CI_MERGE_REQUEST_IID", "7"),
            ("CI_MERGE_REQUEST_EVENT_TYPE", "detached"),
            ("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "main"),
        ]
        .map(|(key, value)| fleet_model::Variable::new(key, value))
        .to_vec(),
        ..at("topic", RefKind::MergeRequest)
    };
    vec![
        ("push to main", push.clone()),
        ("push to topic", at("topic", RefKind::Branch)),
        ("tag v1.2.3", at("v1.2.3", RefKind::Tag)),
        ("merge request", merge_request),
        ("schedule", by(PipelineSource::Schedule)),
        ("web", by(PipelineSource::Web)),
    ]
}

/// Findings, a line each.
fn findings(compiled: &Compiled, out: &mut String) {
    for it in &compiled.diagnostics {
        let place = it.span.and_then(|span| compiled.sources.locate(span));
        let place = place.map_or(String::new(), |(path, line, _)| format!("{path}:{line}: "));
        writeln!(
            out,
            "  {:?} {}: {place}{}",
            it.severity, it.code, it.message
        )
        .unwrap();
    }
}

fn outcome(project: &Path, elsewhere: &Elsewhere) -> String {
    let files = Folder(project.to_owned());
    let reach = Reach {
        files: &files,
        fetch: elsewhere,
    };
    let text = String::from_utf8(files.read(".gitlab-ci.yml").unwrap()).unwrap();
    let root = (".gitlab-ci.yml", text.as_str());
    let mut out = "lint\n".to_owned();
    findings(&lint(root, None, reach), &mut out);
    for (name, context) in events() {
        let compiled = compile(root, &context, reach);
        writeln!(out, "{name}").unwrap();
        if let Some(plan) = &compiled.plan {
            for job in &plan.jobs {
                writeln!(out, "  {}: {}", plan.stages[job.stage], job.name).unwrap();
            }
            continue;
        }
        let mut wrong = compiled.diagnostics.iter();
        let wrong = wrong.find(|it| it.severity == Severity::Error).unwrap();
        match wrong.code {
            EMPTY | FILTERED => writeln!(out, "  none: {}", wrong.code).unwrap(),
            _ => findings(&compiled, &mut out),
        }
    }
    out
}

#[test]
fn projects_have_their_jobs_under_every_event() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/projects");
    let elsewhere = Elsewhere(root.join("elsewhere"));
    let mut different = BTreeMap::new();
    let mut count = 0;
    for entry in fs::read_dir(&root).unwrap() {
        let project = entry.unwrap().path();
        if !project.join(".gitlab-ci.yml").is_file() {
            continue;
        }
        count += 1;
        let found = outcome(&project, &elsewhere);
        let expected = project.join("expected.txt");
        if fs::read_to_string(&expected).is_ok_and(|text| text == found) {
            continue;
        }
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(expected, found).unwrap();
        } else {
            different.insert(project, found);
        }
    }
    assert!(count >= 18, "{count} projects");
    assert!(
        different.is_empty(),
        "run with UPDATE_EXPECTED=1, and read what changed: {different:#?}"
    );
}
