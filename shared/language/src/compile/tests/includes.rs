//! Includes of every form, from a small world.

use std::{collections::BTreeMap, time::Duration};

use fleet_model::IncludeKind;

use super::{Repository, check};
use crate::{
    Fetch, Reach, Severity,
    fetch::{Address, Component, Failed, Opened, Template, Why, pick_version},
};

/// What there is outside of the repository, by its whole address.
struct World;

/// Of the project `group/lib`: `ref:path` and the text.
const PROJECT: &[(&str, &str)] = &[
    ("HEAD:/build.yml", "build: {script: make}"),
    (
        "HEAD:/chain.yml",
        "include: {local: build.yml}\nchain: {script: x}",
    ),
    ("HEAD:/empty.yml", " \n"),
    ("v1:/build.yml", "old build: {script: make}"),
    (
        "1.2.0:templates/scan.yml",
        "spec:\n  inputs:\n    stage: {default: test}\n  component: [name, sha, version, reference]\n\
         ---\n\"scan $[[ component.name ]] $[[ component.version ]]\":\n  stage: $[[ inputs.stage ]]\n  \
         script: scan $[[ component.reference ]] $[[ component.sha ]]",
    ),
    (
        "1.2.0:templates/deep/template.yml",
        "include: {local: templates/parts.yml}\ndeep: {extends: .part}",
    ),
    ("1.2.0:templates/parts.yml", ".part: {script: deep}"),
    (
        "1.2.0:templates/wide.yml",
        "spec: {include: [{local: inputs.yml}]}\n---\nj: {script: x}",
    ),
    ("1.1.0:templates/scan.yml", "scan old: {script: x}"),
    ("2.0.0-rc.1:templates/scan.yml", "scan new: {script: x}"),
];

const TAGS: [&str; 3] = ["1.1.0", "1.2.0", "2.0.0-rc.1"];

fn at(reference: &str) -> Box<Repository> {
    let files = PROJECT.iter().filter_map(|(place, text)| {
        let (of, path) = place.split_once(':')?;
        let path = path.trim_start_matches('/').to_owned();
        (of == reference).then(|| (path, (*text).to_owned()))
    });
    Box::new(Repository(files.collect()))
}

impl Fetch for World {
    fn project(&self, path: &str, reference: Option<&str>) -> Result<Opened, Failed> {
        let reference = reference.unwrap_or("HEAD");
        match (path, reference) {
            ("group/lib", "HEAD" | "v1") => Ok(Opened {
                commit: format!("commit of {reference}"),
                files: at(reference),
            }),
            ("group/lib", _) => Err(Failed::new(Why::NoReference)),
            _ => Err(Failed::new(Why::Missing)),
        }
    }

    fn remote(&self, url: &str, cache: Option<Duration>) -> Result<Vec<u8>, Failed> {
        match url {
            "https://files.example/a.yml" => Ok(b"remote: {script: x}".to_vec()),
            "https://files.example/cached.yml" => {
                let age = cache.unwrap_or_default().as_secs();
                Ok(format!("\"{age} seconds\": {{script: x}}").into_bytes())
            }
            "https://files.example/local.yml" => Ok(b"include: {local: a.yml}".to_vec()),
            "https://files.example/slow.yml" => Err(Failed::new(Why::Timeout { attempts: 3 })),
            "https://files.example/ages.yml" => Err(Failed::new(Why::Deadline)),
            "https://files.example/broken.yml" => Ok(b"a: [".to_vec()),
            _ => Err(Failed::new(Why::Status {
                code: 404,
                attempts: 1,
            })),
        }
    }

    fn template(&self, name: &str) -> Result<Template, Failed> {
        let content = match name {
            "Jobs/Test.gitlab-ci.yml" => {
                "include: {template: Jobs/Base.gitlab-ci.yml}\n\
                                          test: {extends: .base}"
            }
            "Jobs/Base.gitlab-ci.yml" => ".base: {script: base}",
            _ => return Err(Failed::new(Why::Missing).help("no folder of templates is set")),
        };
        Ok(Template {
            commit: Some("commit of the set".to_owned()),
            content: content.as_bytes().to_vec(),
        })
    }

    fn component(&self, address: &Address) -> Result<Component, Failed> {
        if address.project != "group/lib" {
            return Err(Failed::new(Why::Missing));
        }
        let version = pick_version(&address.reference, TAGS);
        let named = TAGS.iter().find(|tag| **tag == address.reference);
        let Some(tag) = version.or(named.copied()) else {
            return Err(Failed::new(Why::NoReference));
        };
        Ok(Component {
            commit: format!("commit of {tag}"),
            version: Some(tag.to_owned()),
            files: at(tag),
        })
    }
}

/// The repository's own files.
const OWN: &[(&str, &str)] = &[
    ("a.yml", "local: {script: x}"),
    (
        "given.yml",
        "spec: {inputs: {name: , count: {type: number, default: 1}}}\n---\n\
         \"$[[ inputs.name ]]\":\n  script: x\n  parallel: $[[ inputs.count ]]",
    ),
    (
        "wide.yml",
        "spec:\n  include: [{local: inputs.yml}]\n  inputs: {own: {default: o}}\n---\n\
         \"$[[ inputs.own ]] $[[ inputs.shared ]]\": {script: x}",
    ),
    ("inputs.yml", "inputs: {shared: {default: s}}"),
    (
        "twice.yml",
        "spec:\n  include: inputs.yml\n  inputs: {shared: }\n---\nj: {script: x}",
    ),
    ("odd.yml", "spec: {include: a.yml}\n---\nj: {script: x}"),
];

/// The jobs, or the errors, of a file in that world.
fn outcome(yaml: &str) -> Result<Vec<String>, Vec<String>> {
    let files = OWN
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
    let files = Repository(files.collect());
    let reach = Reach {
        files: &files,
        fetch: &World,
    };
    let (compiled, config) = check((".gitlab-ci.yml", yaml), None, reach);
    if let Some(config) = config {
        let mut names: Vec<String> = config.jobs.iter().map(|job| job.name.clone()).collect();
        names.retain(|name| !name.starts_with('.'));
        return Ok(names);
    }
    let errors = compiled.diagnostics.into_iter();
    let errors = errors.filter(|it| it.severity == Severity::Error);
    Err(errors.map(|it| it.message).collect())
}

#[test]
fn every_form_brings_its_jobs() {
    let rows: &[(&str, &[&str])] = &[
        ("{include: a.yml}", &["local"]),
        ("{include: {local: /a.yml}}", &["local"]),
        (
            "{include: {project: Group/Lib, file: build.yml}}",
            &["build"],
        ),
        (
            "{include: {project: group/lib, file: /chain.yml}}",
            &["build", "chain"],
        ),
        (
            "{include: {project: group/lib, ref: v1, file: [build.yml]}}",
            &["old build"],
        ),
        ("{include: 'https://files.example/a.yml'}", &["remote"]),
        (
            "{include: {remote: 'https://files.example/a.yml'}}",
            &["remote"],
        ),
        (
            "{include: {remote: 'https://files.example/cached.yml', cache: 5 minutes}}",
            &["300 seconds"],
        ),
        (
            "{include: {remote: 'https://files.example/cached.yml', cache: true}}",
            &["3600 seconds"],
        ),
        ("{include: {template: Jobs/Test.gitlab-ci.yml}}", &["test"]),
        (
            "{include: {component: h.example/group/lib/scan@1}}",
            &["scan scan 1.2.0"],
        ),
        (
            "{include: {component: h.example/group/lib/scan@~latest, inputs: {stage: build}}}",
            &["scan scan 1.2.0"],
        ),
        (
            "{include: {component: h.example/group/lib/scan@1.1}}",
            &["scan old"],
        ),
        (
            "{include: {component: $CI_SERVER_FQDN/group/lib/scan@2.0.0-rc.1}}",
            &["scan new"],
        ),
        (
            "{include: {component: h.example/group/lib/deep@1.2.0}}",
            &["deep"],
        ),
        (
            "{include: {local: given.yml, inputs: {name: n, count: 2}}}",
            &["n 1/2", "n 2/2"],
        ),
        (
            "{include: [{local: given.yml, inputs: {name: n}}, {local: given.yml, inputs: {name: m}}]}",
            &["n 1/1", "m 1/1"],
        ),
        (
            "{include: [{local: wide.yml}, {local: wide.yml, inputs: {shared: t}}]}",
            &["o s", "o t"],
        ),
        (
            "{include: [{local: a.yml, rules: [{when: never}]}], j: {script: x}}",
            &["j"],
        ),
        (
            "{include: {local: a.yml, rules: [{exists: [wide.yml]}]}}",
            &["local"],
        ),
        ("{include: [], j: {script: x}}", &["j"]),
    ];
    for (yaml, jobs) in rows {
        let expected: Vec<String> = jobs.iter().map(|job| (*job).to_owned()).collect();
        assert_eq!(outcome(yaml), Ok(expected), "{yaml}");
    }
}

#[test]
fn what_cannot_be_had_is_told_in_gitlabs_words() {
    let rows = [
        (
            "{include: {project: group/other, file: a.yml}}",
            "Project `group/other` not found or access denied! Make sure any includes in the \
             pipeline configuration are correctly defined.",
        ),
        (
            "{include: {project: group/lib, ref: v9, file: a.yml}}",
            "Project `group/lib` reference `v9` does not exist!",
        ),
        (
            "{include: {project: group/lib, file: a.yml}}",
            "Project `group/lib` file `a.yml` does not exist!",
        ),
        (
            "{include: {project: group/lib, file: empty.yml}}",
            "Project `group/lib` file `empty.yml` is empty!",
        ),
        (
            "{include: 'https://files.example/none.yml'}",
            "Remote file `https://files.example/none.yml` could not be fetched after 1 attempt \
             because of HTTP code `404` error!",
        ),
        (
            "{include: 'https://files.example/slow.yml'}",
            "Remote file `https://files.example/slow.yml` could not be fetched after 3 attempts \
             because of a timeout error!",
        ),
        (
            "{include: ['https://files.example/ages.yml', a.yml]}",
            "Request timed out when fetching configuration files.",
        ),
        (
            "{include: 'https://files.example/local.yml'}",
            "Local file `a.yml` does not have project!",
        ),
        (
            "{include: {remote: 'https://files.example/a.yml', integrity: sha256-YWJj}}",
            "Remote file `https://files.example/a.yml` failed integrity check!",
        ),
        (
            "{include: {remote: 'https://files.example/a.yml', integrity: md5-YWJj}}",
            "include config integrity hash must start with 'sha256-'",
        ),
        (
            "{include: {remote: 'https://files.example/a.yml', cache: 10 seconds}}",
            "include cache must be at least 1 minute",
        ),
        (
            "{include: {template: Jobs/None.gitlab-ci.yml}}",
            "Included file `Jobs/None.gitlab-ci.yml` is empty or does not exist!",
        ),
        (
            "{include: {template: Jobs/None.yml}}",
            "Template file `Jobs/None.yml` is not a valid location!",
        ),
        (
            "{include: {component: h.example/group/other/scan@1}}",
            "Component 'h.example/group/other/scan@1' - project does not exist or you don't have \
             sufficient permissions",
        ),
        (
            "{include: {component: h.example/group/lib/scan@9}}",
            "Component 'h.example/group/lib/scan@9' - content not found",
        ),
        (
            "{include: {component: h.example/group/lib/scam@1}}",
            "Component 'h.example/group/lib/scam@1' - content not found",
        ),
        (
            "{include: {component: scan}}",
            "Component 'scan' - the component path is not supported",
        ),
        (
            "{include: {component: h.example/group/lib/wide@1}}",
            "Component `h.example/group/lib/wide@1` cannot use `spec:include`. This keyword is \
             not supported in components",
        ),
        (
            "{include: {local: given.yml}}",
            "`given.yml`: `name` input: required value has not been provided",
        ),
        (
            "{include: {local: twice.yml, inputs: {shared: s}}}",
            "`twice.yml`: Input keys must be unique across all included files and inline \
             specifications.",
        ),
        (
            "{include: {local: odd.yml}}",
            "`odd.yml`: header:spec:include config contains unknown keys: local",
        ),
    ];
    for (yaml, sentence) in rows {
        let errors = outcome(yaml).unwrap_err();
        assert_eq!(errors[0], sentence, "{yaml}: {errors:?}");
    }
    let errors = outcome("{include: 'https://files.example/broken.yml'}").unwrap_err();
    assert!(
        errors[0].starts_with("`https://files.example/broken.yml`: "),
        "{errors:?}"
    );
}

#[test]
fn what_was_included_is_recorded_with_its_commit_and_hash() {
    let yaml = "include:\n- {project: group/lib, file: build.yml}\n\
                - {component: h.example/group/lib/scan@1}\n- {local: a.yml}\n";
    let files = Repository(BTreeMap::from([(
        "a.yml".to_owned(),
        "l: {script: x}".to_owned(),
    )]));
    let reach = Reach {
        files: &files,
        fetch: &World,
    };
    let (compiled, _) = check((".gitlab-ci.yml", yaml), None, reach);
    let told: Vec<_> = compiled
        .included
        .iter()
        .map(|it| {
            (
                it.kind,
                it.location.as_str(),
                it.commit.as_deref(),
                it.version.as_deref(),
            )
        })
        .collect();
    let component = "h.example/group/lib/scan@1";
    assert_eq!(
        told,
        [
            (
                IncludeKind::Project,
                "build.yml",
                Some("commit of HEAD"),
                None
            ),
            (
                IncludeKind::Component,
                component,
                Some("commit of 1.2.0"),
                Some("1.2.0")
            ),
            (IncludeKind::Local, "a.yml", None, None),
        ]
    );
    assert!(compiled.included.iter().all(|it| it.sha256.len() == 64));
}
