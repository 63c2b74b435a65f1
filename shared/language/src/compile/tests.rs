//! GitLab's own verdicts over small configurations, row by row.

mod attributes;
mod hints;
mod hostile;
mod includes;
mod language;
mod no_runtime;
mod open_world;
mod projects;
mod triggers;
mod values;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::{Compiled, check};
use crate::{Context, Diagnostic, Files, Severity, config::Config, inputs};

const VECTORS: &str = include_str!("../../tests/vectors/config-errors.txt");

/// Rows where Fleet differs on purpose: `yaml`, tab, the reason.
const DEVIATIONS: &str = include_str!("../../tests/vectors/config-errors.deviations.txt");

/// Mistakes at which GitLab stops and we go on: what they are about is looked at
/// one after the other there.
const STOPS_GITLAB: &[&str] = &[
    "conflicting-keys",
    "extends-cycle",
    "include",
    "invalid-extends",
    "later-stage",
    "on-stop",
    "reference",
    "unknown-extends",
    "unknown-job",
    "unknown-stage",
];

/// A repository of a few files.
struct Repository(BTreeMap<String, String>);

impl Files for Repository {
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.0.get(path).map(|text| text.clone().into_bytes())
    }

    fn paths(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}

fn repository(row: &Json) -> Repository {
    let files = row["files"].as_object().into_iter().flatten();
    Repository(
        files
            .map(|(path, text)| (path.clone(), text.as_str().unwrap().to_owned()))
            .collect(),
    )
}

fn rows() -> impl Iterator<Item = Json> {
    rows_of(VECTORS)
}

fn rows_of(text: &str) -> impl Iterator<Item = Json> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| serde_json::from_str(line).unwrap())
}

fn texts(row: &Json, key: &str) -> Vec<String> {
    let list = row[key].as_array().into_iter().flatten();
    list.map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn run(row: &Json) -> (Compiled, Option<Config>) {
    let yaml = row["yaml"].as_str().unwrap();
    let given = row["inputs"].as_object();
    let context = given.map(|given| Context {
        inputs: given.clone().into_iter().collect(),
        ..crate::evaluate::tests::push()
    });
    let root = (".gitlab-ci.yml", yaml);
    check(root, context.as_ref(), &repository(row))
}

/// What is wrong with inputs GitLab tells in one sentence: the first three mistakes, the
/// included file's name before the first alone.
fn joined(mistakes: &[&Diagnostic]) -> Option<String> {
    const CODES: [&str; 3] = [inputs::HEADER, inputs::INPUT, inputs::INTERPOLATION];
    if !mistakes.iter().all(|it| CODES.contains(&it.code)) {
        return None;
    }
    let (first, others) = mistakes.split_first()?;
    let file = first.message.split_once(".yml`: ").map(|(name, _)| name);
    let file = file.map(|name| format!("{name}.yml`: "));
    let mut sentence = first.message.clone();
    for other in others.iter().take(2) {
        let text = other.message.as_str();
        let bare = file.as_deref().and_then(|file| text.strip_prefix(file));
        sentence = format!("{sentence}, {}", bare.unwrap_or(text));
    }
    Some(sentence)
}

/// Checks a file that stands alone.
fn lint(yaml: &str) -> (Compiled, Option<Config>) {
    check((".gitlab-ci.yml", yaml), None, &Repository(BTreeMap::new()))
}

/// The errors of a file that stands alone.
fn errors(yaml: &str) -> Vec<String> {
    let (compiled, _) = lint(yaml);
    let errors = compiled
        .diagnostics
        .into_iter()
        .filter(|it| it.severity == Severity::Error);
    errors.map(|it| it.message).collect()
}

/// What differs between GitLab and us in one row.
fn difference(row: &Json) -> Option<String> {
    let (compiled, config) = run(row);
    let errors = compiled
        .diagnostics
        .iter()
        .filter(|it| it.severity == Severity::Error);
    let mistakes: Vec<&Diagnostic> = errors.collect();
    assert_eq!(config.is_some(), mistakes.is_empty(), "{row}");
    let own: Vec<&str> = mistakes.iter().map(|it| it.message.as_str()).collect();
    let expected = texts(row, "errors");
    let valid = row["valid"] == true;
    if valid && !own.is_empty() {
        return Some(format!("refused: {own:?}"));
    }
    if !valid && own.is_empty() {
        return Some(format!("accepted, not {expected:?}"));
    }
    if !valid {
        // `...`: refused, in words that cannot be compared; none: it crashes.
        if expected.is_empty() || expected.iter().any(|it| it == "...") {
            return None;
        }
        if let (Some(own), [expected]) = (joined(&mistakes), &expected[..]) {
            // Of an input that is no map GitLab says so twice.
            let same = *expected == own || *expected == format!("{own}, {own}");
            return (!same).then(|| format!("{own:?}, not {expected:?}"));
        }
        let expected: BTreeSet<String> = expected.iter().map(|text| without_place(text)).collect();
        let told: BTreeSet<String> = own.iter().map(|text| (*text).to_owned()).collect();
        // Where GitLab stops at the first, we go on.
        let same = told == expected
            || own
                .first()
                .is_some_and(|first| expected.len() == 1 && expected.contains(*first))
                && mistakes.iter().all(|it| STOPS_GITLAB.contains(&it.code));
        return (!same).then(|| format!("{own:?}, not {expected:?}"));
    }

    let warnings: Vec<&str> = compiled
        .diagnostics
        .iter()
        .filter(|it| it.code == "multiple-pipelines")
        .map(|it| it.message.as_str())
        .collect();
    if warnings != texts(row, "warnings") {
        return Some(format!("warnings {warnings:?}"));
    }
    let config = config.expect("there are no errors");
    let jobs: Vec<&str> = config.jobs.iter().map(|job| job.name.as_str()).collect();
    if jobs != texts(row, "jobs") {
        return Some(format!("jobs {jobs:?}"));
    }
    attributes::difference(&row["attrs"], &config)
}

/// A sentence of GitLab's YAML loader without the place in it; our places are
/// spans.
fn without_place(text: &str) -> String {
    let Some((before, after)) = text.split_once("(<unknown>): ") else {
        return text.to_owned();
    };
    let what = after
        .rsplit_once(" at line ")
        .map_or(after, |(what, _)| what);
    format!("{before}{what}")
}

#[test]
fn verdicts_sentences_and_jobs_are_those_of_gitlab() {
    let deviations: BTreeMap<&str, &str> = DEVIATIONS
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.split_once('\t').expect("a row, a tab, a reason"))
        .collect();
    let mut used = BTreeSet::new();
    let mut failed = Vec::new();
    for row in rows() {
        let name = row["yaml"].to_string();
        let found = difference(&row);
        let Some(difference) = found else { continue };
        if deviations.contains_key(name.as_str()) {
            used.insert(name);
        } else {
            failed.push(format!("{name}\n    {difference}"));
        }
    }
    let stale: Vec<&&str> = deviations
        .keys()
        .filter(|name| !used.contains(**name))
        .collect();
    assert!(stale.is_empty(), "no deviation any more: {stale:#?}");
    assert!(
        failed.is_empty(),
        "{} rows differ:\n{}",
        failed.len(),
        failed.join("\n")
    );
}

#[test]
fn rows_of_the_description_hold() {
    let rows = rows_of(include_str!("../../tests/vectors/language.txt"));
    let failed = rows.filter_map(|row| {
        let difference = difference(&row)?;
        Some(format!("{}: {difference}", row["row"]))
    });
    assert_eq!(failed.collect::<Vec<_>>(), Vec::<String>::new());
}
