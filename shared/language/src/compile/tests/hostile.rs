//! Small files that ask for much, and large ones.

use std::{collections::BTreeMap, fmt::Write};

use super::{Repository, check, errors, lint};
use crate::Severity;

#[test]
fn references_to_references_stop_at_the_size_limit() {
    let mut yaml = ".a0:\n  v: [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..20 {
        let item = format!("!reference [.a{}, v]", level - 1);
        let items = [item.as_str(); 10].join(", ");
        writeln!(yaml, ".a{level}:\n  v: [{items}]").unwrap();
    }
    yaml.push_str("j:\n  script: !reference [.a19, v]\n");
    assert_eq!(errors(&yaml), ["The parsed YAML is too big"]);
}

#[test]
fn templates_that_double_stop_at_the_size_limit() {
    let mut yaml = ".t0:\n  variables:\n".to_owned();
    for variable in 0..2000 {
        writeln!(yaml, "    V{variable}: x").unwrap();
    }
    for job in 0..1000 {
        writeln!(yaml, "j{job}: {{extends: .t0, script: x}}").unwrap();
    }
    assert_eq!(errors(&yaml), ["The parsed YAML is too big"]);
}

#[test]
fn a_long_chain_of_references_is_refused() {
    let mut yaml = String::new();
    for level in 0..1000 {
        writeln!(yaml, ".a{level}: {{v: !reference [.a{}, v]}}", level + 1).unwrap();
    }
    yaml.push_str(".a1000: {v: [x]}\nj: {script: !reference [.a0, v]}\n");
    assert_eq!(errors(&yaml), ["The parsed YAML is too big"]);
}

#[test]
fn five_thousand_jobs_in_a_chain_are_fine_and_their_circle_is_found() {
    let mut yaml = "j0: {script: x}\n".to_owned();
    for job in 1..5000 {
        writeln!(yaml, "j{job}: {{script: x, needs: [j{}]}}", job - 1).unwrap();
    }
    let (compiled, config) = lint(&yaml);
    assert_eq!(
        config.map(|config| config.jobs.len()),
        Some(5000),
        "{:?}",
        compiled.diagnostics.first()
    );
    let circle = yaml.replacen("j0: {script: x}", "j0: {script: x, needs: [j4999]}", 1);
    let errors = errors(&circle);
    assert!(errors[0].starts_with("The pipeline has circular dependencies: topological sort"));
}

#[test]
fn more_than_twenty_thousand_jobs_are_refused() {
    let mut yaml = String::new();
    for job in 0..101 {
        writeln!(yaml, "j{job}: {{script: x, parallel: 200}}").unwrap();
    }
    let errors = errors(&yaml);
    assert!(errors[0].starts_with("The number of jobs has exceeded the limit of 20000."));
}

#[test]
fn a_matrix_is_counted_before_it_is_made() {
    let values = (0..1000)
        .map(|value| value.to_string())
        .collect::<Vec<_>>()
        .join(", ");
    let mut variables = String::new();
    for name in 0..30 {
        write!(variables, "V{name}: [{values}], ").unwrap();
    }
    let yaml = format!("j: {{script: x, parallel: {{matrix: [{{{variables}}}]}}}}\n");
    assert_eq!(
        errors(&yaml),
        ["jobs:j:parallel:matrix config generates too many jobs (maximum is 200)"]
    );
}

#[test]
fn a_matrix_in_a_need_is_counted_before_it_is_made() {
    let values = (0..1000)
        .map(|value| value.to_string())
        .collect::<Vec<_>>()
        .join(", ");
    let yaml = format!(
        "b: {{stage: build, script: x}}\n\
         j: {{script: x, needs: [{{job: b, parallel: {{matrix: [{{A: [{values}]}}]}}}}]}}\n"
    );
    assert_eq!(errors(&yaml).len(), 1);
}

#[test]
fn big_matrices_that_need_each_other_are_bounded() {
    let names = (0..24).map(|job| format!("b{job}")).collect::<Vec<_>>();
    let mut yaml = String::new();
    for name in &names {
        writeln!(yaml, "{name}: {{stage: build, script: x, parallel: 100}}").unwrap();
        writeln!(
            yaml,
            "t{name}: {{script: x, parallel: 100, needs: [{}]}}",
            names.join(", ")
        )
        .unwrap();
    }
    let errors = errors(&yaml);
    assert!(
        errors[0].starts_with("the needs and dependencies of all jobs together"),
        "{errors:?}"
    );
}

#[test]
fn long_scripts_in_many_instances_are_bounded() {
    let yaml = format!("j: {{script: '{}', parallel: 200}}\n", "x".repeat(1 << 20));
    assert_eq!(errors(&yaml), ["the jobs together hold more than 64 MiB"]);
}

#[test]
fn long_defaults_of_many_jobs_are_bounded() {
    let mut yaml = format!("default: {{before_script: ['{}']}}\n", "x".repeat(200_000));
    for job in 0..4000 {
        writeln!(yaml, "j{job}: {{script: x}}").unwrap();
    }
    assert_eq!(errors(&yaml), ["the jobs together hold more than 64 MiB"]);
}

#[test]
fn an_include_of_itself_ends_at_the_limit() {
    let files = BTreeMap::from([("a.yml".to_owned(), "include: [a.yml, a.yml]\n".to_owned())]);
    let (compiled, _) = check(("x.yml", "include: a.yml\n"), None, &Repository(files));
    let mut errors = compiled
        .diagnostics
        .iter()
        .filter(|it| it.severity == Severity::Error);
    let first = errors.next().map(|it| it.message.as_str());
    assert_eq!(first, Some("Maximum of 150 nested includes are allowed!"));
}

#[test]
fn a_file_that_is_included_again_counts_again() {
    let text = format!(".f: {}\n", "x".repeat(1_900_000));
    let files = BTreeMap::from([("f.yml".to_owned(), text)]);
    let root = format!(
        "include: [{}]\nj: {{script: x}}\n",
        ["f.yml"; 10].join(", ")
    );
    let (compiled, _) = check(("x.yml", &root), None, &Repository(files));
    let messages: Vec<&str> = compiled
        .diagnostics
        .iter()
        .map(|it| it.message.as_str())
        .collect();
    assert_eq!(
        messages,
        ["Total size of combined CI/CD configuration is too big"]
    );
}

#[test]
fn a_pattern_that_matches_its_own_file_ends() {
    let text = "include: '*.yml'\nj: {script: x}\n";
    let files = BTreeMap::from([(".gitlab-ci.yml".to_owned(), text.to_owned())]);
    let (_, config) = check((".gitlab-ci.yml", text), None, &Repository(files));
    assert_eq!(config.map(|config| config.jobs.len()), Some(1));
}

#[test]
fn included_files_have_a_common_size_limit() {
    let files = (0..10).map(|file| {
        let text = format!(".f{file}: {}\n", "x".repeat(1_900_000));
        (format!("f{file}.yml"), text)
    });
    let (compiled, _) = check(
        ("x.yml", "include: '*.yml'\nj: {script: x}\n"),
        None,
        &Repository(files.collect()),
    );
    let messages: Vec<&str> = compiled
        .diagnostics
        .iter()
        .map(|it| it.message.as_str())
        .collect();
    assert_eq!(
        messages,
        ["Total size of combined CI/CD configuration is too big"]
    );
}

#[test]
fn thousands_of_mistakes_take_no_time() {
    let mut yaml = String::new();
    for job in 0..5000 {
        writeln!(
            yaml,
            "job-number-{job}: {{script: x, needs: [job-nomber-{job}]}}"
        )
        .unwrap();
    }
    assert_eq!(errors(&yaml).len(), 5000);
}

#[test]
fn deep_lists_are_refused_and_not_followed() {
    for depth in [11, 60, 99] {
        let yaml = format!(
            "j: {{script: {}x{}}}\n",
            "[".repeat(depth),
            "]".repeat(depth)
        );
        assert_eq!(errors(&yaml).len(), 1, "{depth}");
    }
}
