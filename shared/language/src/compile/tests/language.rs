//! The cases of the language's description, by their numbers there; `S` stands
//! for `script: [x]`.

use fleet_model::When;

use super::{errors, lint};
use crate::config::{Config, InheritVariables, Job};

/// A file and the beginning of its first sentence.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "V2",
        "{b: {stag: build, S}}",
        "jobs:b config contains unknown keys: stag",
    ),
    (
        "V3",
        "{Build: {script: []}}",
        "jobs:build script can't be blank",
    ),
    (
        "V4",
        "{a: hello}",
        "jobs a config should implement the script:, run:, or trigger: keyword",
    ),
    (
        "V5",
        "{.a: {S}}",
        "jobs config should contain at least one visible job",
    ),
    ("V6", "", "Please provide content of .gitlab-ci.yml"),
    ("V7", "- a", "Invalid configuration format"),
    (
        "V8",
        "{a: {S, stage: x}}",
        "a job: chosen stage x does not exist; available stages are .pre, build, test, deploy, \
         .post",
    ),
    (
        "V10",
        "{variables: {D: 2024-01-01}, a: {S}}",
        "Tried to load unspecified class: Date",
    ),
    (
        "V11",
        "{variables: {X: {a: b}}, a: {S}}",
        "variables:x config uses invalid data keys: a",
    ),
    (
        "V12",
        "{variables: {X: [1]}, a: {S}}",
        "variable definition must be either a string or a hash",
    ),
    (
        "V13",
        "{a: {S, variables: {X: {value: 1, description: d}}}}",
        "jobs:a:variables:x config uses invalid data keys: description",
    ),
    (
        "V18",
        "{a: {extends: .nope, S}}",
        "a: unknown keys in `extends` (.nope)",
    ),
    (
        "V19",
        "{.a: {extends: .b}, .b: {extends: .a}, j: {extends: .a, S}}",
        ".a: circular dependency detected in `extends`",
    ),
    (
        "V22",
        "j: {script: !reference [.n, script]}",
        "!reference [\".n\", \"script\"] could not be found",
    ),
    (
        "V23",
        "j: {script: !reference [j, script]}",
        "!reference [\"j\", \"script\"] is part of a circular chain",
    ),
    (
        "V25",
        "{image: a, default: {image: b}, j: {S}}",
        "image is defined in top-level and `default:` entry",
    ),
    (
        "V28",
        "{j: {script: [{echo: hi}]}}",
        "jobs:j:script config should be a string or a nested array of strings up to 10 levels deep",
    ),
    (
        "V29",
        "{j: {S, rules: [{if: \"$X\"}], only: [main]}}",
        "jobs:j config key may not be used with `rules`: only",
    ),
    (
        "V30",
        "{j: {S, rules: [{if: \"$X = 1\"}]}}",
        "jobs:j:rules:rule if invalid expression syntax",
    ),
    (
        "V34",
        "{j: {S, when: delayed}}",
        "jobs:j start in should be a duration",
    ),
    (
        "V35",
        "{j: {S, when: never}}",
        "jobs:j when should be one of: on_success, on_failure, always, manual, delayed",
    ),
    (
        "V36",
        "{j: {S, only: main}}",
        "jobs:j:only has to be either an array of conditions or a hash",
    ),
    ("V43", "{a: {S, needs: [b]}}", "a job: undefined need: b"),
    (
        "V44",
        "{a: {stage: build, S, needs: [t]}, t: {S}}",
        "a job: need t is not defined in current or prior stages",
    ),
    (
        "V45",
        "{a: {S, needs: [b, b]}, b: {S}}",
        "a has the following needs duplicated: b.",
    ),
    (
        "V46",
        "{a: {S, needs: [b]}, b: {S, needs: [a]}}",
        "The pipeline has circular dependencies:",
    ),
    (
        "V51",
        "{a: {S, parallel: 201}}",
        "jobs:a:parallel config must be less than or equal to 200",
    ),
    (
        "V52",
        "{a: {S, cache: {key: \"x/y\", paths: [p]}}}",
        "jobs:a:cache:key config cannot contain the \"/\" character",
    ),
    (
        "V53",
        "{a: {S, cache: [{}, {}, {}, {}, {}]}}",
        "jobs:a:caches config no more than 4 caches can be created",
    ),
    (
        "V54",
        "{a: {S, retry: 3}}",
        "retry config must be less than or equal to 2",
    ),
    (
        "V55",
        "{a: {S, artifacts: {expire_in: soon}}}",
        "jobs:a:artifacts expire in should be a duration",
    ),
    (
        "V56",
        "{a: {S, artifacts: {public: true, access: all}}}",
        "jobs:a:artifacts config these keys cannot be used together: public, access",
    ),
    (
        "V57",
        "{a: {S, trigger: g/p}}",
        "jobs:a config these keys cannot be used together: script, trigger",
    ),
    (
        "V60",
        "{a: {S, environment: {name: p, on_stop: s}}}",
        "a job: on_stop job s is not defined",
    ),
    (
        "V65",
        "{include: {local: a.yml, remote: \"https://h/x.yml\"}, j: {S}}",
        "Each include must use only one of:",
    ),
    (
        "V66",
        "{include: nope.yml, j: {S}}",
        "Local file `nope.yml` does not exist!",
    ),
    (
        "V67",
        "{include: a.txt, j: {S}}",
        "Included file `a.txt` does not have YAML extension!",
    ),
    (
        "V83",
        "{k: {stage: build, S}, l: {stage: build, S}, j: {S, dependencies: [k], needs: [l]}}",
        "jobs:j dependencies the k should be part of needs",
    ),
    (
        "V84",
        "{j: {S, coverage: 'abc'}}",
        "jobs:j:coverage config must be a regular expression with re2 syntax",
    ),
    (
        "V86",
        "{workflow: {rules: [{if: $X, when: manual}]}, j: {S}}",
        "workflow:rules:rule when unknown value: manual",
    ),
    (
        "V87",
        "{j: {S, image: {entrypoint: [\"\"]}}}",
        "jobs:j:image name should be a string",
    ),
];

fn text(short: &str) -> String {
    short
        .replace(", S}", ", script: [x]}")
        .replace("{S}", "{script: [x]}")
        .replace("{S,", "{script: [x],")
        .replace(", S,", ", script: [x],")
}

fn config(short: &str) -> Config {
    let (compiled, config) = lint(&text(short));
    config.unwrap_or_else(|| panic!("{short}: {:?}", compiled.diagnostics))
}

fn names(config: &Config) -> Vec<&str> {
    config.jobs.iter().map(|job| job.name.as_str()).collect()
}

fn only_job(short: &str) -> Job {
    let mut config = config(short);
    assert_eq!(config.jobs.len(), 1, "{short}");
    config.jobs.remove(0)
}

fn pairs(variables: &[fleet_model::Variable]) -> Vec<(&str, &str)> {
    variables
        .iter()
        .map(|it| (it.key.as_str(), it.value.as_str()))
        .collect()
}

#[test]
fn refused_files_tell_gitlabs_sentence_first() {
    for (name, yaml, sentence) in REFUSED {
        let errors = errors(&text(yaml));
        assert!(
            errors.first().is_some_and(|it| it.starts_with(sentence)),
            "{name}: {errors:?}"
        );
    }
}

#[test]
fn stages_have_edges_and_jobs_a_default_stage() {
    let v1 = config("{b: {stage: build, S}, t: {S}}");
    assert_eq!(v1.stages, [".pre", "build", "test", "deploy", ".post"]);
    assert_eq!(
        v1.jobs
            .iter()
            .map(|it| it.stage.as_str())
            .collect::<Vec<_>>(),
        ["build", "test"]
    );
    let v82 = config("{stages: [test, .pre, build], j: {S}}");
    assert_eq!(v82.stages, [".pre", "test", "build", ".post"]);
}

#[test]
fn numbers_in_variables_become_text_as_in_ruby() {
    let v9 = config("{variables: {V: 3.10, O: 0644, Y: yes, D: \"2024-01-01\", T: 1:30}, a: {S}}");
    let expected = [
        ("V", "3.1"),
        ("O", "420"),
        ("Y", "true"),
        ("D", "2024-01-01"),
        ("T", "5400"),
    ];
    assert_eq!(pairs(&v9.variables), expected);
}

#[test]
fn a_merge_key_overrides_what_stands_before_it() {
    let image = |yaml: &str| only_job(yaml).image.map(|image| image.name);
    let v14 = ".t: &t {image: i1, script: [x]}\na:\n  <<: *t\n  image: i2\n";
    let v15 = ".t: &t {image: i1, script: [x]}\na:\n  image: i2\n  <<: *t\n";
    assert_eq!(image(v14).as_deref(), Some("i2"));
    assert_eq!(image(v15).as_deref(), Some("i1"));
}

#[test]
fn templates_merge_maps_and_replace_lists() {
    let v17 = only_job(
        "{.t: {variables: {A: 1, B: 2}, tags: [x]}, \
         a: {extends: .t, variables: {B: 3}, tags: [y], S}}",
    );
    assert_eq!(pairs(&v17.variables), [("A", "1"), ("B", "3")]);
    assert_eq!(v17.tags, ["y"]);
    let v20 = only_job("{.x: {image: i}, .y: {image: j}, a: {extends: [.x, .y], S}}");
    assert_eq!(v20.image.map(|image| image.name).as_deref(), Some("j"));
    let v21 = only_job(
        ".s: {script: [a, b]}\nj:\n  script:\n    - pre\n    - !reference [.s, script]\n    - post\n",
    );
    assert_eq!(v21.script, ["pre", "a", "b", "post"]);
}

#[test]
fn an_empty_list_switches_the_default_off() {
    let v24 = only_job("{default: {image: i, before_script: [p]}, j: {S, before_script: []}}");
    assert_eq!(v24.script, ["x"]);
    assert_eq!(v24.image.map(|image| image.name).as_deref(), Some("i"));
}

#[test]
fn inherit_chooses_defaults_and_variables() {
    let v26 = only_job("{default: {image: i, tags: [t]}, j: {S, inherit: {default: [tags]}}}");
    assert_eq!((v26.image, v26.tags), (None, vec!["t".to_owned()]));
    let v27 = only_job("{variables: {A: 1, B: 2}, j: {S, inherit: {variables: [A]}}}");
    assert_eq!(
        v27.inherit_variables,
        InheritVariables::Only(vec!["A".to_owned()])
    );
}

#[test]
fn a_manual_job_says_nothing_of_its_failure() {
    let v33 = only_job("{j: {S, when: manual}}");
    assert_eq!((v33.when, v33.allow_failure), (When::Manual, None));
}

#[test]
fn branches_and_tags_are_the_default_only_without_rules_of_any_kind() {
    let v37 = only_job("{j: {S}}");
    let refs = v37.only.and_then(|only| only.refs);
    assert_eq!(refs, Some(vec!["branches".to_owned(), "tags".to_owned()]));
    let v38 = only_job("{workflow: {rules: [{when: always}]}, j: {S}}");
    assert!(v38.only.is_none());
    assert!(only_job("{j: {S, rules: [{if: $A}]}}").only.is_none());
}

#[test]
fn a_matrix_multiplies_with_the_last_variable_fastest() {
    let v49 = config("{a: {S, parallel: {matrix: [{OS: [l, w], V: [1, 2]}, {OS: m}]}}}");
    assert_eq!(
        names(&v49),
        ["a: [l, 1]", "a: [l, 2]", "a: [w, 1]", "a: [w, 2]", "a: [m]"]
    );
    let numbers: Vec<_> = v49
        .jobs
        .iter()
        .filter_map(|job| job.parallel.as_ref())
        .map(|it| (it.index, it.total))
        .collect();
    assert_eq!(numbers, [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]);
}

#[test]
fn a_need_of_a_parallel_job_is_a_need_of_all_instances() {
    let v50 = config("{a: {S, parallel: 2}, t: {S, stage: deploy, needs: [a]}}");
    let needs = v50.jobs[2].needs.as_ref().unwrap();
    assert_eq!(
        needs.iter().map(|it| it.job.as_str()).collect::<Vec<_>>(),
        ["a 1/2", "a 2/2"]
    );
}

#[test]
fn missing_image_names_give_both_sentences() {
    let v87 = errors(&text("{j: {S, image: {entrypoint: [\"\"]}}}"));
    assert_eq!(
        v87,
        [
            "jobs:j:image name should be a string",
            "jobs:j:image name can't be blank"
        ]
    );
}

#[test]
fn jobs_tell_their_mistakes_side_by_side_in_order_of_the_file() {
    let yaml =
        "b:\n  script: 5\na:\n  script: x\n  image: 5\nc:\n  script: x\n  foo: 1\nstages: x\n";
    let (compiled, _) = lint(yaml);
    let lines: Vec<usize> = compiled
        .diagnostics
        .iter()
        .filter_map(|it| compiled.sources.locate(it.span?).map(|(_, line, _)| line))
        .collect();
    assert_eq!(lines, [2, 5, 5, 5, 8, 9]);
}

#[test]
fn the_resolved_configuration_has_templates_and_defaults_in_it() {
    let yaml =
        "default: {image: i}\nbefore_script: [b]\n.t: {tags: [t]}\nj: {extends: .t, script: [x]}\n";
    let (compiled, _) = lint(yaml);
    let resolved = compiled.resolved.expect("the file is right").to_json();
    assert_eq!(
        resolved,
        serde_json::json!({
            ".t": {"tags": ["t"]},
            "j": {
                "tags": ["t"], "extends": ".t", "script": ["x"],
                "image": "i", "before_script": ["b"],
            },
        })
    );
}
