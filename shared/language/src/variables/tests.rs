use std::collections::BTreeMap;

use fleet_model::Variable;
use serde_json::{Value as Json, json};

use super::{
    Index, Unknown, check_for_job, expand, expand_for_job, expand_for_server, inherit, merge,
    predefined, slug,
};

const VECTORS: &str = include_str!("../../tests/vectors/slugs-and-variables.txt");

/// The rows of a kind; fails if there are none.
fn rows(kind: &str) -> Vec<Json> {
    let rows: Vec<Json> = VECTORS
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| serde_json::from_str::<Json>(line).unwrap())
        .filter(|row| row["kind"] == kind)
        .collect();
    assert!(!rows.is_empty(), "no rows of kind {kind}");
    rows
}

/// A variable of a row. There is none without a value here; GitLab's own reads
/// as an empty one wherever it is referred to.
fn variable(row: &Json) -> Variable {
    let flag = |name: &str| row[name].as_bool().unwrap_or(false);
    Variable {
        masked: flag("masked"),
        raw: flag("raw"),
        file: flag("file"),
        ..Variable::new(
            row["key"].as_str().unwrap(),
            row["value"].as_str().unwrap_or_default(),
        )
    }
}

fn variables(rows: &Json) -> Vec<Variable> {
    rows.as_array().unwrap().iter().map(variable).collect()
}

fn pairs(variables: &[Variable]) -> Json {
    variables
        .iter()
        .map(|variable| json!([variable.key, variable.value]))
        .collect()
}

fn without_null(pairs: &Json) -> Json {
    let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
    pairs
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| json!([text(&pair[0]), text(&pair[1])]))
        .collect()
}

fn check_names(kind: &str, name: impl Fn(&str) -> String) {
    for row in rows(kind) {
        assert_eq!(
            name(row["in"].as_str().unwrap()),
            row["out"].as_str().unwrap(),
            "{row}"
        );
    }
}

#[test]
fn slugs_are_gitlabs() {
    check_names("slug", slug::slug);
}

#[test]
fn environment_slugs_are_gitlabs() {
    check_names("env_slug", slug::environment);
}

#[test]
fn group_names_are_gitlabs() {
    check_names("group_name", slug::group);
}

#[test]
fn tiers_are_guessed_from_names() {
    for (name, tier) in [
        ("production", "production"),
        ("PROD", "production"),
        ("live", "production"),
        ("staging", "staging"),
        ("stg", "staging"),
        ("demo", "staging"),
        ("qa", "testing"),
        ("acceptance", "testing"),
        ("review/x", "development"),
        ("dev", "development"),
        ("canary", "other"),
        ("integration", "testing"),
    ] {
        assert_eq!(slug::deployment_tier(name), tier, "{name}");
    }
}

#[test]
fn one_text_expands_as_gitlabs() {
    for row in rows("expand") {
        let text = row["in"].as_str().unwrap();
        let vars: BTreeMap<&str, &str> = row["vars"]
            .as_object()
            .unwrap()
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
            .collect();
        let lookup = |name: &str| vars.get(name).copied();
        assert_eq!(
            expand(text, Unknown::Empty, lookup),
            row["expand"].as_str().unwrap(),
            "{row}"
        );
        let kept = expand(text, Unknown::Keep, lookup);
        assert_eq!(kept, row["expand_existing"].as_str().unwrap(), "{row}");
    }
}

#[test]
fn a_list_expands_one_text_as_gitlabs() {
    for row in rows("expand_list") {
        let text = row["in"].as_str().unwrap();
        let list = variables(&row["vars"]);
        let index = Index::new(&list);
        let expected = |key: &str| row[key].as_str().unwrap().to_owned();
        assert_eq!(
            index.expand(text, Unknown::Empty),
            expected("expand"),
            "{row}"
        );
        assert_eq!(
            index.expand(text, Unknown::Keep),
            expected("expand_existing"),
            "{row}"
        );
        // What leaves file variables alone leaves them out of the list.
        let no_files: Vec<Variable> = list.iter().filter(|v| !v.file).cloned().collect();
        let kept = Index::new(&no_files).expand(text, Unknown::Keep);
        assert_eq!(kept, expected("expand_existing_no_file"), "{row}");
        assert_eq!(kept, expected("expand_no_file"), "{row}");
        let unmasked = index
            .expand_unmasked(text)
            .unwrap_or_else(|error| format!("error: {error}"));
        assert_eq!(unmasked, expected("fail_on_masked"), "{row}");
    }
}

#[test]
fn references_are_those_gitlab_finds() {
    for row in rows("refs") {
        // Null and an empty list are one to us: nothing to expand.
        let expected: Vec<&str> = row["out"]
            .as_array()
            .map(|names| names.iter().filter_map(Json::as_str).collect())
            .unwrap_or_default();
        if row["raw"] != true {
            let found: Vec<&str> = super::references(row["in"].as_str().unwrap()).collect();
            assert_eq!(found, expected, "{row}");
        }
    }
}

/// What is checked without expanding is what expanding finds.
fn check(set: &[Variable]) {
    let found = check_for_job(&set.iter().collect::<Vec<_>>());
    assert_eq!(found, expand_for_job(set).map(drop));
}

#[test]
fn whole_sets_expand_as_gitlabs() {
    for row in rows("set") {
        let set = variables(&row["vars"]);
        check(&set);
        if let Some(error) = row["error"].as_str() {
            assert_eq!(
                expand_for_job(&set).unwrap_err().to_string(),
                error,
                "{row}"
            );
            let server = expand_for_server(&set, Unknown::Empty);
            assert_eq!(server.unwrap_err().to_string(), error, "{row}");
            continue;
        }
        let server = expand_for_server(&set, Unknown::Empty).unwrap();
        assert_eq!(
            pairs(&server),
            without_null(&row["server"]),
            "server of {row}"
        );
        let kept = row.get("keep_undefined").unwrap_or(&row["server"]);
        let keeping = expand_for_server(&set, Unknown::Keep).unwrap();
        assert_eq!(
            pairs(&keeping),
            without_null(kept),
            "keep_undefined of {row}"
        );
        let job = expand_for_job(&set).unwrap();
        assert_eq!(pairs(&job), without_null(&row["job"]), "job of {row}");
    }
}

#[test]
fn global_and_job_variables_merge_as_gitlabs() {
    for row in rows("inherit") {
        let sees = |name: &str| match &row["inherit"] {
            Json::Bool(all) => *all,
            names => names.as_array().unwrap().iter().any(|one| one == name),
        };
        let merged = inherit(&variables(&row["global"]), &variables(&row["job"]), sees);
        assert_eq!(merged, variables(&row["out"]), "{row}");
    }
    for row in rows("merge") {
        let merged = merge(&variables(&row["current"]), &variables(&row["new"]));
        assert_eq!(merged, variables(&row["out"]), "{row}");
    }
}

#[test]
fn every_kind_of_row_is_tested() {
    let tested = [
        "slug",
        "env_slug",
        "group_name",
        "expand",
        "expand_list",
        "refs",
        "set",
        "inherit",
        "merge",
    ];
    for line in VECTORS.lines().filter(|line| !line.starts_with('#')) {
        let row: Json = serde_json::from_str(line).unwrap();
        assert!(tested.contains(&row["kind"].as_str().unwrap()), "{row}");
    }
}

#[test]
fn a_set_that_doubles_itself_is_refused() {
    let mut set: Vec<Variable> = (0..60)
        .map(|n| Variable::new(format!("V{n}"), format!("$V{0}$V{0}", n + 1)))
        .collect();
    set.push(Variable::new("V60", "0123456789"));
    assert_eq!(expand_for_job(&set), Err(super::Error::TooLarge));
    check(&set);
}

#[test]
fn a_job_has_at_most_a_mebibyte_of_values() {
    let of = |bytes| {
        vec![
            Variable::new("A", "x".repeat(bytes)).raw(),
            Variable::new("B", "y"),
        ]
    };
    assert!(expand_for_job(&of((1 << 20) - 1)).is_ok());
    assert_eq!(expand_for_job(&of(1 << 20)), Err(super::Error::TooLarge));
    check(&of((1 << 20) - 1));
    check(&of(1 << 20));
}

#[test]
fn a_long_chain_of_references_is_no_recursion() {
    let mut set: Vec<Variable> = (0..50_000)
        .map(|n| Variable::new(format!("V{n}"), format!("$V{}", n + 1)))
        .collect();
    set.push(Variable::new("V50000", "x"));
    let expanded = expand_for_job(&set).unwrap();
    assert!(expanded.iter().all(|variable| variable.value == "x"));
}

proptest::proptest! {
    #[test]
    fn an_expanded_set_holds_the_same_names(
        values in proptest::collection::vec(("[ABC]", r#"([$%{}ABCä]|\$[ABC]|\$\{[ABCN]\}){0,6}"#), 0..6),
    ) {
        let set: Vec<Variable> =
            values.iter().map(|(key, value)| Variable::new(key, value)).collect();
        check(&set);
        if let Ok(expanded) = expand_for_server(&set, Unknown::Keep) {
            let sorted = |set: &[Variable]| {
                let mut keys: Vec<String> = set.iter().map(|variable| variable.key.clone()).collect();
                keys.sort();
                keys
            };
            proptest::prop_assert_eq!(sorted(&set), sorted(&expanded));
        }
    }
}

/// Source, kind of ref, whether it is protected; `CI_PIPELINE_SOURCE`, and which of
/// `CI_COMMIT_BRANCH`, `CI_COMMIT_TAG` are set.
#[test]
fn each_source_sets_what_rules_ask_for() {
    use crate::{PipelineSource as Source, Ref, RefKind};
    let rows = [
        (Source::Push, RefKind::Branch, "push", Some("x/Y"), None),
        (Source::Push, RefKind::Tag, "push", None, Some("x/Y")),
        (
            Source::MergeRequestEvent,
            RefKind::MergeRequest,
            "merge_request_event",
            None,
            None,
        ),
        (
            Source::Schedule,
            RefKind::Branch,
            "schedule",
            Some("x/Y"),
            None,
        ),
        (
            Source::Schedule,
            RefKind::Tag,
            "schedule",
            None,
            Some("x/Y"),
        ),
        (Source::Web, RefKind::Branch, "web", Some("x/Y"), None),
        (Source::Api, RefKind::Branch, "api", Some("x/Y"), None),
        (
            Source::Trigger,
            RefKind::Branch,
            "trigger",
            Some("x/Y"),
            None,
        ),
        (
            Source::Pipeline,
            RefKind::Branch,
            "pipeline",
            Some("x/Y"),
            None,
        ),
        (
            Source::Pipeline,
            RefKind::Tag,
            "pipeline",
            None,
            Some("x/Y"),
        ),
        (
            Source::ParentPipeline,
            RefKind::Branch,
            "parent_pipeline",
            Some("x/Y"),
            None,
        ),
        (
            Source::ParentPipeline,
            RefKind::MergeRequest,
            "parent_pipeline",
            None,
            None,
        ),
    ];
    for (source, kind, word, branch, tag) in rows {
        let context = crate::Context {
            source,
            reference: Ref {
                name: "x/Y".to_owned(),
                kind,
                protected: true,
            },
            ..crate::evaluate::tests::push()
        };
        let all = predefined::for_pipeline(&context);
        let value = |name: &str| {
            let found = all.iter().rfind(|it| it.key == name);
            found.map(|it| it.value.as_str())
        };
        let row = format!("{source:?} of {kind:?}");
        assert_eq!(value("CI_PIPELINE_SOURCE"), Some(word), "{row}");
        assert_eq!(value("CI_COMMIT_BRANCH"), branch, "{row}");
        assert_eq!(value("CI_COMMIT_TAG"), tag, "{row}");
        assert_eq!(value("CI_BUILD_TAG"), tag, "{row}");
        for (name, expected) in [
            ("CI_COMMIT_REF_NAME", "x/Y"),
            ("CI_COMMIT_REF_SLUG", "x-y"),
            ("CI_BUILD_REF_NAME", "x/Y"),
            ("CI_COMMIT_REF_PROTECTED", "true"),
            ("CI_DEFAULT_BRANCH", "main"),
            ("CI_CONFIG_PATH", ".gitlab-ci.yml"),
            ("CI", "true"),
            ("GITLAB_CI", "true"),
            ("CI_SERVER_NAME", "GitLab"),
        ] {
            assert_eq!(value(name), Some(expected), "{row}: {name}");
        }
        // What is known only of a pipeline or a job that is there.
        for name in [
            "CI_PIPELINE_ID",
            "CI_PIPELINE_URL",
            "CI_JOB_ID",
            "CI_JOB_TOKEN",
        ] {
            assert_eq!(value(name), None, "{row}: {name}");
        }
        let triggered = (source == Source::Trigger).then_some("true");
        assert_eq!(value("CI_PIPELINE_TRIGGERED"), triggered, "{row}");
    }
}
