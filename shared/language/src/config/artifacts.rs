//! `artifacts`: the archive and the reports.

use fleet_model::{Artifact, ArtifactFormat, ArtifactWhen};

use super::{
    check::{Checker, Place, is_blank, kind, present, strings_of},
    no_runtime::NoRuntime,
};
use crate::{Map, Node, Value, duration};

pub(super) const KEYS: &[&str] = &[
    "name",
    "untracked",
    "paths",
    "reports",
    "when",
    "expire_in",
    "expose_as",
    "exclude",
    "public",
    "access",
];

/// The three words of `artifacts:when` and `cache:when`.
pub(super) const WHEN: &[(&str, ArtifactWhen)] = &[
    ("on_success", ArtifactWhen::OnSuccess),
    ("on_failure", ArtifactWhen::OnFailure),
    ("always", ArtifactWhen::Always),
];
pub(super) const WHEN_PROBLEM: &str = "should be one of: on_success, on_failure, always";

/// Each report with its packing and its file's name, as GitLab stores them.
const REPORTS: &[(&str, ArtifactFormat, &str)] = &[
    (
        "accessibility",
        ArtifactFormat::Raw,
        "gl-accessibility.json",
    ),
    ("annotations", ArtifactFormat::Gzip, "gl-annotations.json"),
    (
        "api_fuzzing",
        ArtifactFormat::Raw,
        "gl-api-fuzzing-report.json",
    ),
    (
        "browser_performance",
        ArtifactFormat::Raw,
        "browser-performance.json",
    ),
    (
        "cluster_image_scanning",
        ArtifactFormat::Raw,
        "gl-cluster-image-scanning-report.json",
    ),
    (
        "codequality",
        ArtifactFormat::Raw,
        "gl-code-quality-report.json",
    ),
    (
        "container_scanning",
        ArtifactFormat::Raw,
        "gl-container-scanning-report.json",
    ),
    (
        "coverage_fuzzing",
        ArtifactFormat::Raw,
        "gl-coverage-fuzzing.json",
    ),
    ("cyclonedx", ArtifactFormat::Gzip, "gl-sbom.cdx.json"),
    ("dast", ArtifactFormat::Raw, "gl-dast-report.json"),
    (
        "dependency_scanning",
        ArtifactFormat::Raw,
        "gl-dependency-scanning-report.json",
    ),
    ("dotenv", ArtifactFormat::Gzip, ".env"),
    ("junit", ArtifactFormat::Gzip, "junit.xml"),
    (
        "license_scanning",
        ArtifactFormat::Raw,
        "gl-license-scanning-report.json",
    ),
    (
        "load_performance",
        ArtifactFormat::Raw,
        "load-performance.json",
    ),
    ("lsif", ArtifactFormat::Zip, "lsif.json"),
    ("metrics", ArtifactFormat::Gzip, "metrics.txt"),
    ("performance", ArtifactFormat::Raw, "performance.json"),
    (
        "repository_xray",
        ArtifactFormat::Gzip,
        "gl-repository-xray.json",
    ),
    ("requirements", ArtifactFormat::Raw, "requirements.json"),
    (
        "requirements_v2",
        ArtifactFormat::Raw,
        "requirements_v2.json",
    ),
    ("sarif", ArtifactFormat::Raw, "gl-sarif-report.json"),
    ("sast", ArtifactFormat::Raw, "gl-sast-report.json"),
    (
        "secret_detection",
        ArtifactFormat::Raw,
        "gl-secret-detection-report.json",
    ),
    ("terraform", ArtifactFormat::Raw, "tfplan.json"),
];

/// Formats of `coverage_report`, with the file's name.
const COVERAGE_FORMATS: &[(&str, &str)] = &[
    ("cobertura", "cobertura-coverage.xml"),
    ("jacoco", "jacoco-coverage.xml"),
];

/// `artifacts`: what is uploaded, in order.
pub(super) fn artifacts(
    cx: &mut Checker<'_>,
    place: &Place<'_>,
    node: &Node,
) -> Option<Vec<Artifact>> {
    let errors = cx.errors();
    let map = cx.map(place, node)?;
    cx.known_keys(place, map, KEYS);
    cx.exclusive_keys(place, map, &["public", "access"]);
    let name = cx.string(place, map, "name");
    let untracked = cx.boolean(place, map, "untracked").unwrap_or_default();
    let paths = cx.strings(place, map, "paths");
    let exclude = cx.strings(place, map, "exclude").unwrap_or_default();
    let when = cx
        .word(place, map, "when", WHEN, WHEN_PROBLEM)
        .unwrap_or_default();
    let expire_in = expire_in(cx, place, map);
    exposure(cx, place, map);
    let reports = present(map, "reports");
    if let Some(reports) = reports.filter(|node| node.as_map().is_none()) {
        cx.problem(
            kind::TYPE,
            place,
            "reports",
            "should be a hash",
            reports.span,
        );
    }
    if cx.errors() > errors {
        return None;
    }

    let mut all = Vec::new();
    if paths.is_some() || untracked {
        all.push(Artifact {
            name,
            paths: paths.unwrap_or_default(),
            exclude,
            untracked,
            when,
            kind: "archive".to_owned(),
            format: ArtifactFormat::Zip,
            expire_in: expire_in.clone(),
        });
    }
    if let Some(map) = reports.and_then(Node::as_map) {
        all.extend(self::reports(cx, &place.child("reports"), map, expire_in)?);
    }
    Some(all)
}

/// Adds a path to the archive, which is made if there is none.
pub(super) fn add_path(artifacts: &mut Vec<Artifact>, path: &str) {
    match artifacts
        .iter_mut()
        .find(|artifact| artifact.kind == "archive")
    {
        Some(archive) if archive.paths.iter().any(|have| have == path) => {}
        Some(archive) => archive.paths.push(path.to_owned()),
        None => artifacts.insert(
            0,
            Artifact {
                name: None,
                paths: vec![path.to_owned()],
                exclude: Vec::new(),
                untracked: false,
                when: ArtifactWhen::OnSuccess,
                kind: "archive".to_owned(),
                format: ArtifactFormat::Zip,
                expire_in: None,
            },
        ),
    }
}

fn expire_in(cx: &mut Checker<'_>, place: &Place<'_>, map: &Map) -> Option<String> {
    let node = present(map, "expire_in")?;
    let text = node.as_str().unwrap_or_default();
    if !text.eq_ignore_ascii_case("never") && duration::parse(text).is_err() {
        cx.problem(
            kind::VALUE,
            place,
            "expire_in",
            "should be a duration",
            node.span,
        )
        .help = Some("for example: 1 week, 3 days 4 hours, never".to_owned());
    }
    Some(text.to_owned())
}

/// `expose_as`, `public`, `access`: who sees it in GitLab's pages.
fn exposure(cx: &mut Checker<'_>, place: &Place<'_>, map: &Map) {
    cx.boolean(place, map, "public");
    let access = &[
        ("none", ()),
        ("developer", ()),
        ("maintainer", ()),
        ("all", ()),
    ];
    let problem = "should be one of: none, developer, maintainer, all";
    cx.word(place, map, "access", access, problem);
    for key in ["public", "access", "expose_as"] {
        if let Some(node) = present(map, key) {
            cx.no_runtime(NoRuntime::ArtifactAccess, &place.child(key), node.span);
        }
    }

    let Some(node) = present(map, "expose_as") else {
        return;
    };
    if let Some(text) = cx.string(place, map, "expose_as") {
        if text.chars().count() > 100 {
            let problem = "is too long (maximum is 100 characters)";
            cx.problem(kind::LIMIT, place, "expose_as", problem, node.span);
        }
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let starts = text.chars().next().is_some_and(word);
        if !starts || !text.chars().all(|c| word(c) || c == '-' || c == ' ') {
            let problem = "can contain only letters, digits, '-', '_' and spaces";
            cx.problem(kind::VALUE, place, "expose_as", problem, node.span);
        }
    }
    match map.get("paths") {
        None => {
            cx.problem(kind::BLANK, place, "paths", "can't be blank", node.span);
        }
        Some(paths) if is_blank(paths) => {
            cx.problem(kind::BLANK, place, "paths", "can't be blank", paths.span);
        }
        Some(paths) => {
            let starred = |path: &String| path.contains('*');
            if strings_of(paths).is_some_and(|paths| paths.iter().any(starred)) {
                let problem = "can't contain '*' when used with 'expose_as'";
                cx.problem(kind::VALUE, place, "paths", problem, paths.span);
            }
        }
    }
}

fn reports(
    cx: &mut Checker<'_>,
    place: &Place<'_>,
    map: &Map,
    expire_in: Option<String>,
) -> Option<Vec<Artifact>> {
    let errors = cx.errors();
    let mut names: Vec<&str> = REPORTS.iter().map(|(name, ..)| *name).collect();
    names.push("coverage_report");
    cx.known_keys(place, map, &names);
    let report = |kind: &str, format, file: &str, paths| Artifact {
        name: Some(file.to_owned()),
        paths,
        exclude: Vec::new(),
        untracked: false,
        when: ArtifactWhen::Always,
        kind: kind.to_owned(),
        format,
        expire_in: expire_in.clone(),
    };
    let mut all = Vec::new();
    for entry in &map.entries {
        let key = entry.key.as_str();
        let known = REPORTS.iter().find(|(name, ..)| key == Some(*name));
        let Some((name, format, file)) = known else {
            continue;
        };
        let paths = match &entry.value.value {
            Value::Null => continue,
            Value::String(path) => Some(vec![path.clone()]),
            _ => strings_of(&entry.value),
        };
        match paths {
            Some(paths) => all.push(report(name, *format, file, paths)),
            None => {
                let problem = "should be an array of strings or a string";
                cx.problem(kind::TYPE, place, name, problem, entry.value.span);
            }
        }
    }
    if cx.errors() > errors {
        return None;
    }
    if let Some(node) = present(map, "coverage_report") {
        let (format, file, path) = coverage_report(cx, &place.child("coverage_report"), node)?;
        all.push(report(format, ArtifactFormat::Gzip, file, vec![path]));
    }
    Some(all)
}

fn coverage_report(
    cx: &mut Checker<'_>,
    place: &Place<'_>,
    node: &Node,
) -> Option<(&'static str, &'static str, String)> {
    let errors = cx.errors();
    let empty = Map::default();
    let map = cx.map(place, node).unwrap_or(&empty);
    cx.known_keys(place, map, &["coverage_format", "path"]);
    let format = map.get("coverage_format");
    if format.is_none_or(is_blank) {
        let span = format.unwrap_or(node).span;
        cx.problem(
            kind::BLANK,
            place,
            "coverage_format",
            "can't be blank",
            span,
        );
    }
    let known = format
        .and_then(Node::as_str)
        .and_then(|name| COVERAGE_FORMATS.iter().find(|(known, _)| *known == name));
    if known.is_none() {
        let span = format.unwrap_or(node).span;
        let problem = "must be one of supported formats: cobertura, jacoco.";
        cx.problem(kind::VALUE, place, "coverage_format", problem, span);
    }
    let path = map.get("path");
    if path.is_none_or(is_blank) {
        let span = path.unwrap_or(node).span;
        cx.problem(kind::BLANK, place, "path", "can't be blank", span);
    }
    if path.and_then(Node::as_str).is_none() {
        let span = path.unwrap_or(node).span;
        cx.problem(kind::TYPE, place, "path", "should be a string", span);
    }
    if cx.errors() > errors {
        return None;
    }
    let (format, file) = known?;
    Some((format, file, path?.as_str()?.to_owned()))
}
