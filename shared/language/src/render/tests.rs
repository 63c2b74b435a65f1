use serde_json::json;

use super::*;

const PLAIN: Style = Style {
    color: false,
    width: 100,
};

fn sources(text: &str) -> (Sources, FileId) {
    let mut sources = Sources::default();
    let file = sources.add(".gitlab-ci.yml", text);
    (sources, file)
}

fn span(file: FileId, range: Range<usize>) -> Option<Span> {
    let at = |at: usize| u32::try_from(at).unwrap();
    Some(Span {
        file,
        start: at(range.start),
        end: at(range.end),
    })
}

#[test]
fn people_see_line_place_and_help() {
    let (sources, file) = sources("build:\n  stage: é\n  scirpt: make\n");
    let at = sources.get(file).unwrap().text.find("scirpt").unwrap();
    let diagnostics = [
        Diagnostic::error(
            "no-jobs",
            "jobs config should contain at least one visible job",
            None,
        ),
        Diagnostic::error(
            "unknown-key",
            "jobs:build config contains unknown keys: scirpt",
            span(file, at..at + 6),
        )
        .help("did you mean `script`?"),
        Diagnostic::warning("stage", "an odd stage", span(file, 16..18)),
        Diagnostic::warning("stage", "an odd stage", span(file, 16..18)),
    ];
    insta::assert_snapshot!(render(&diagnostics, &sources, PLAIN), @r"
    warning[stage]: an odd stage
     --> .gitlab-ci.yml:2:10
      |
    2 |   stage: é
      |          ^

    error[unknown-key]: jobs:build config contains unknown keys: scirpt
     --> .gitlab-ci.yml:3:3
      |
    3 |   scirpt: make
      |   ^^^^^^
      |
      = help: did you mean `script`?

    error[no-jobs]: jobs config should contain at least one visible job
    ");
    assert_eq!(
        short(&diagnostics[1], &sources),
        ".gitlab-ci.yml:3:3: error: jobs:build config contains unknown keys: scirpt"
    );
    assert_eq!(
        short(&diagnostics[0], &sources),
        "error: jobs config should contain at least one visible job"
    );
    assert!(
        render(
            &diagnostics,
            &sources,
            Style {
                color: true,
                width: 80
            }
        )
        .contains("\u{1b}[")
    );
}

#[test]
fn a_span_over_several_lines_shows_its_first() {
    let (sources, file) = sources("a:\n  b: c\n  d: e\nf: g\n");
    let diagnostics = [Diagnostic::error("x", "message", span(file, 5..16))];
    insta::assert_snapshot!(render(&diagnostics, &sources, PLAIN), @r"
    error[x]: message
     --> .gitlab-ci.yml:2:3
      |
    2 |   b: c
      |   ^^^^
    ");
}

#[test]
fn long_lines_and_names_stay_short() {
    let line = format!("a: [{}", "é, ".repeat(700_000));
    let (sources, file) = sources(&line);
    let diagnostics: Vec<Diagnostic> = (0..5)
        .map(|n| {
            let at = 4 + n * 4 * 50_000;
            Diagnostic::error("x", "m".repeat(100_000), span(file, at..line.len()))
        })
        .collect();
    let text = render(&diagnostics, &sources, PLAIN);
    assert!(text.len() < 5 * 3_000, "{}", text.len());
    assert!(text.contains(".gitlab-ci.yml:1:150005"), "{text}");
}

#[test]
fn a_file_cannot_steer_the_terminal() {
    let (sources, file) = sources("a: \"\u{1b}[31m\u{202e}x\"\ty\r\n");
    let diagnostics =
        [Diagnostic::error("x", "key \u{1b}[2J\u{202e}", span(file, 3..12)).help("\u{7}")];
    let text = render(&diagnostics, &sources, PLAIN);
    assert!(
        !text.contains(['\u{1b}', '\u{202e}', '\u{7}', '\r']),
        "{text}"
    );
    assert!(!short(&diagnostics[0], &sources).contains('\u{1b}'));
}

#[test]
fn programs_get_places_from_one() {
    let (mut sources, file) = sources("é: [x\n");
    let include = span(file, 0..2).unwrap();
    let included = sources.include("ci/a b.yml", "x\n", include);
    let diagnostics = [
        Diagnostic::warning("no-effect", "everywhere", None).note("nowhere", None),
        Diagnostic::error("yaml-syntax", "unclosed", span(file, 4..6)).help("close it"),
        Diagnostic::error("unknown-key", "wrong", span(included, 0..1)).note("x", None),
    ];
    assert_eq!(
        json(&diagnostics, &sources),
        json!([
            {
                "file": ".gitlab-ci.yml", "line": 1, "column": 4, "end_line": 1, "end_column": 6,
                "severity": "error", "code": "yaml-syntax", "message": "unclosed",
                "help": "close it", "job": null, "notes": [],
            },
            {
                "file": "ci/a b.yml", "line": 1, "column": 1, "end_line": 1, "end_column": 2,
                "severity": "error", "code": "unknown-key", "message": "wrong", "help": null,
                "job": null, "notes": [
                    {"message": "x", "file": null, "line": null, "column": null},
                    {"message": "included here", "file": ".gitlab-ci.yml", "line": 1, "column": 1},
                ],
            },
            {
                "file": null, "line": null, "column": null, "end_line": null, "end_column": null,
                "severity": "warning", "code": "no-effect", "message": "everywhere",
                "help": null, "job": null,
                "notes": [{"message": "nowhere", "file": null, "line": null, "column": null}],
            },
        ])
    );
    let log = sarif(&diagnostics, &sources);
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let ids: Vec<&str> = rules.iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["no-effect", "unknown-key", "yaml-syntax"]);
    let results = run["results"].as_array().unwrap();
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
    }
    assert_eq!(
        results[0]["locations"][0]["physicalLocation"]["region"],
        json!({"startLine": 1, "startColumn": 4, "endLine": 1, "endColumn": 6})
    );
    assert_eq!(results[0]["message"]["text"], "unclosed\nhelp: close it");
    let related = &results[1]["relatedLocations"][0];
    assert_eq!(related["message"]["text"], "included here");
    let place = &results[1]["locations"][0]["physicalLocation"]["artifactLocation"];
    assert_eq!(place["uri"], "ci/a%20b.yml");
    assert_eq!(results[2]["locations"], json!([]));
}

#[test]
fn places_outside_of_files_are_left_out() {
    let (sources, file) = sources("é\n");
    for range in [1..1, 90..99, 0..1] {
        let diagnostics = [Diagnostic::error("x", "message", span(file, range))];
        assert!(render(&diagnostics, &sources, PLAIN).starts_with("error[x]: message"));
    }
    let diagnostics = [Diagnostic::error("x", "message", span(FileId(7), 0..1))];
    assert_eq!(render(&diagnostics, &sources, PLAIN), "error[x]: message\n");
}
