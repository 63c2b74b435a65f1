//! The rows of `tests/vectors/rules.txt`.

use std::time::Duration;

use fleet_model::{AllowFailure, Variable, When};
use serde_json::{Map, Value as Json, json};

use super::super::event::{Around, Event, Scope};
use super::super::policy::{Origin, refs_match};
use super::super::{clause, rules, seed, workflow};
use super::{SPAN, Tree, config, job, push, rule, tree};
use crate::config::{Need, Policy, Rule, RuleChanges, RuleExists, RuleWhen};
use crate::expression::Expression;
use crate::pattern::Cache;
use crate::variables::Unknown;
use crate::{Changes, Context, Diagnostic, Files, RefKind};

const VECTORS: &str = include_str!("../../../tests/vectors/rules.txt");

/// Rows that are answered in another way: a text in them, how many there are,
/// and why.
const DEVIATIONS: [(&str, usize, &str); 4] = [
    (r#"["a/"],"files":[".env""#, 1, BISECTION),
    (r#"["docs/y/"],"files":[".env""#, 1, BISECTION),
    (r#"["a/"],"files":["a/x","b/y","c/z"]"#, 1, BISECTION),
    (r#"["a/"],"files":["a/x","b"]"#, 1, BISECTION),
];
const BISECTION: &str = "GitLab misses folders that are there; the file's header leaves it open";

#[test]
fn only_known_rows_deviate() {
    for (text, count, why) in DEVIATIONS {
        let rows = VECTORS
            .lines()
            .filter(|line| line.starts_with('{') && line.contains(text));
        assert_eq!(rows.count(), count, "{text}: {why}");
    }
}

fn rows(kind: &str) -> Vec<Json> {
    let start = format!(r#"{{"kind":"{kind}""#);
    let rows: Vec<Json> = VECTORS
        .lines()
        .filter(|line| line.starts_with(&start))
        .filter(|line| !DEVIATIONS.iter().any(|(text, _, _)| line.contains(text)))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(!rows.is_empty(), "no rows of kind {kind}");
    rows
}

fn strings(value: &Json) -> Vec<String> {
    match value {
        Json::String(one) => vec![one.clone()],
        list => list
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one.as_str().unwrap().to_owned())
            .collect(),
    }
}

fn changes(value: &Json) -> Changes {
    if value.is_null() {
        Changes::Unknown
    } else {
        Changes::Known(strings(value))
    }
}

fn vars(value: &Json) -> Vec<Variable> {
    let none = Map::new();
    let vars = value.as_object().unwrap_or(&none);
    vars.iter()
        .map(|(key, value)| Variable::new(key, value.as_str().unwrap()))
        .collect()
}

/// A repository that every ref is of, unless it begins with `bad`.
struct Compared {
    files: Tree,
    since: Vec<String>,
}

impl Files for Compared {
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.files.read(path)
    }

    fn paths(&self) -> Vec<String> {
        self.files.paths()
    }

    fn changed_since(&self, reference: &str) -> Option<Vec<String>> {
        (!reference.starts_with("bad")).then(|| self.since.clone())
    }
}

fn numbered(prefix: &str, count: usize, suffix: &str) -> Vec<String> {
    (1..=count)
        .map(|n| format!("{prefix}{n}{suffix}"))
        .collect()
}

#[test]
fn changes_hold_as_in_gitlab() {
    for row in rows("changes") {
        let (globs, changed) = match row["note"].as_str() {
            None => (strings(&row["globs"]), changes(&row["changed"])),
            Some(note) if note.contains("p251") => (
                numbered("g", 200, ""),
                Changes::Known(numbered("p", 251, "")),
            ),
            Some(note) if note.contains("p250") => (
                numbered("g", 200, ""),
                Changes::Known(numbered("p", 250, "")),
            ),
            Some(_) => (
                vec!["g".to_owned(); 200],
                Changes::Known(numbered("p", 300, "")),
            ),
        };
        let variables = vars(&row["vars"]);
        let context = Context {
            changes: changed,
            ..push()
        };
        let files = Compared {
            files: tree(&[]),
            since: row.get("since").map(strings).unwrap_or_default(),
        };
        let event = Event::new(&context, &files);
        let asked = RuleChanges {
            paths: globs,
            compare_to: row["compare_to"].as_str().map(str::to_owned),
        };
        let result = match rules::changed(&asked, &Scope::new(&variables, &event)) {
            Ok(holds) => Json::from(holds),
            Err(words) => Json::from(format!("error: {words}")),
        };
        assert_eq!(result, row["result"], "{row}");
    }
}

#[test]
fn exists_holds_as_in_gitlab() {
    for row in rows("exists") {
        let (globs, files) = match row["note"].as_str() {
            None => {
                let variables = vars(&row["vars"]);
                let (context, files) = (push(), tree(&[]));
                let event = Event::new(&context, &files);
                let scope = Scope::new(&variables, &event);
                let globs = strings(&row["globs"]);
                let globs = globs
                    .iter()
                    .map(|glob| scope.expand(glob, Unknown::Keep))
                    .collect();
                (globs, strings(&row["files"]))
            }
            Some(note) if note.contains("1001") => {
                (numbered("g/", 50, "*"), numbered("p/", 1001, ""))
            }
            Some(_) => (numbered("g/", 50, "*"), numbered("p/", 1000, "")),
        };
        let files = files.into_iter().collect();
        let expected = row["result"].as_bool().unwrap();
        assert_eq!(clause::exists(&globs, &files), expected, "{row}");
    }
}

#[test]
fn only_changes_holds_as_in_gitlab() {
    for row in rows("only_changes") {
        let globs = strings(&row["globs"]);
        let holds = clause::changed(&globs, &changes(&row["changed"]));
        assert_eq!(holds, row["result"].as_bool().unwrap(), "{row}");
    }
}

#[test]
fn only_refs_hold_as_in_gitlab() {
    for row in rows("refs") {
        let origin = Origin {
            reference: row["ref"].as_str().unwrap(),
            kind: match row["ref_kind"].as_str().unwrap() {
                "branch" => RefKind::Branch,
                "tag" => RefKind::Tag,
                _ => RefKind::MergeRequest,
            },
            source: row["source"].as_str().unwrap(),
            project: "group/project",
        };
        let holds = refs_match(&strings(&row["refs"]), origin, &Cache::default());
        assert_eq!(holds, row["result"].as_bool().unwrap(), "{row}");
    }
}

#[test]
fn whole_rule_lists_decide_as_in_gitlab() {
    for row in rows("rules") {
        let context = Context {
            changes: changes(&row["changed"]),
            project_variables: vars(&row["vars"]),
            ..push()
        };
        let files = strings(&row["files"]);
        let files = Compared {
            files: tree(&files.iter().map(String::as_str).collect::<Vec<_>>()),
            since: row["changed"]
                .as_array()
                .map(|_| strings(&row["changed"]))
                .unwrap_or_default(),
        };
        let mut job = job("j", "test");
        job.when = when(row["default_when"].as_str().unwrap(), None);
        job.rules = row["rules"]
            .as_array()
            .map(|rules| rules.iter().map(read_rule).collect());
        let event = Event::new(&context, &files);
        let pipeline = workflow::decide(&config(&["test"], Vec::new()), &event).unwrap();
        let around = Around::new(&pipeline.predefined, &pipeline.user, &pipeline.settings);
        let mut result = match seed::decide(&job, &pipeline, &around, &event) {
            Err(_) => json!({ "included": false, "when": "never" }),
            Ok(decision) => written(&decision, row["rules"].is_array()),
        };
        if let Err(wrong) = event.all_well() {
            let bare = |it: Diagnostic| {
                let problem = it.message.strip_prefix("Failed to parse rule for j: ");
                Json::from(problem.unwrap())
            };
            result["errors"] = wrong.into_iter().map(bare).collect();
        }
        assert_eq!(result, row["result"], "{row}");
    }
}

fn read_rule(json: &Json) -> Rule {
    let paths = |value: &Json| strings(value.get("paths").unwrap_or(value));
    let when = json["when"].as_str().map(|word| match word {
        "never" => RuleWhen::Never,
        word => RuleWhen::Run(when(word, json["start_in"].as_str())),
    });
    Rule {
        // What the check of the configuration refuses is false in GitLab.
        condition: json["if"].as_str().map(|text| {
            Expression::parse(text).unwrap_or_else(|_| Expression::parse("null").unwrap())
        }),
        changes: json.get("changes").map(|value| RuleChanges {
            paths: paths(value),
            compare_to: value["compare_to"].as_str().map(str::to_owned),
        }),
        exists: json.get("exists").map(|value| RuleExists {
            paths: paths(value),
            project: None,
            reference: None,
        }),
        when,
        allow_failure: json["allow_failure"].as_bool(),
        interruptible: json["interruptible"].as_bool(),
        variables: vars(&json["variables"]),
        needs: json.get("needs").map(|needs| {
            let needs = needs["job"].as_array().unwrap().iter();
            let need = |need: &Json| Need {
                span: SPAN,
                job: need["name"].as_str().unwrap().to_owned(),
                artifacts: need["artifacts"].as_bool().unwrap(),
                optional: need["optional"].as_bool().unwrap(),
            };
            needs.map(need).collect()
        }),
        ..rule()
    }
}

fn when(word: &str, start_in: Option<&str>) -> When {
    match word {
        "on_success" => When::OnSuccess,
        "on_failure" => When::OnFailure,
        "always" => When::Always,
        "manual" => When::Manual,
        "delayed" => {
            assert_eq!(start_in, Some("5m"));
            When::Delayed(Duration::from_secs(300))
        }
        _ => panic!("{word}"),
    }
}

/// A decision as GitLab's result reads: what the rule says, and no defaults.
fn written(decision: &seed::Decision<'_>, by_rule: bool) -> Json {
    let mut result = json!({ "included": true });
    result["when"] = match decision.when {
        When::OnSuccess => "on_success",
        When::OnFailure => "on_failure",
        When::Always => "always",
        When::Manual => "manual",
        When::Delayed(_) => "delayed",
    }
    .into();
    if let When::Delayed(_) = decision.when {
        result["start_in"] = "5m".into();
    }
    let Some(rule) = decision.rule else {
        assert!(!by_rule);
        return result;
    };
    if let Some(allowed) = rule.allow_failure {
        result["allow_failure"] = allowed.into();
        assert_eq!(decision.allow_failure() == AllowFailure::Yes, allowed);
    }
    if let Some(interruptible) = rule.interruptible {
        result["interruptible"] = interruptible.into();
    }
    if !rule.variables.is_empty() {
        result["variables"] = rule
            .variables
            .iter()
            .map(|variable| (variable.key.clone(), Json::from(variable.value.as_str())))
            .collect::<Map<_, _>>()
            .into();
    }
    if let Some(needs) = &rule.needs {
        let need = |need: &Need| json!({ "name": need.job, "artifacts": need.artifacts, "optional": need.optional });
        result["needs"] = json!({ "job": needs.iter().map(need).collect::<Vec<_>>() });
    }
    result
}

#[test]
fn an_empty_policy_asks_nothing() {
    let (context, files) = (push(), tree(&[]));
    let event = Event::new(&context, &files);
    let scope = Scope::new(&[], &event);
    assert!(super::super::policy::unmet(&Policy::default(), &scope).is_none());
    assert!(super::super::policy::met(&Policy::default(), &scope).is_none());
}
