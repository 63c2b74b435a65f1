//! Every code has a page, every page a code, and every example does what its page
//! says.
//!
//! `UPDATE_DOCS=1 cargo test -p fleet-language pages` writes what is printed for the
//! examples into the pages.

mod cases;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::render::{Style, render};
use crate::{Compiled, Context, Diagnostic, Files, compile, evaluate, lint};

/// These need a large file, or an account of what Fleet does not do.
const WITHOUT_EXAMPLE: &[&str] = &[
    "no-effect",
    "patterns-too-large",
    "too-big",
    "too-many-jobs",
    "variables-too-large",
    "yaml-too-big",
];

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors")
}

#[test]
fn table_and_pages_name_the_same_codes() {
    let names: Vec<&str> = CODES.iter().map(|code| code.name).collect();
    assert!(names.is_sorted(), "the table is searched by name");
    let pages: BTreeSet<String> = fs::read_dir(docs())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "README.md")
        .collect();
    let expected: BTreeSet<String> = names.iter().map(|name| format!("{name}.md")).collect();
    assert_eq!(pages, expected);
    for code in CODES {
        let heading = format!("# {}: {}", code.name, code.title());
        assert_eq!(code.page.lines().next(), Some(heading.as_str()));
        assert_ne!(code.title(), "", "{}", code.name);
    }
    assert_eq!(code("unknown-key").unwrap().name, "unknown-key");
    assert_eq!(code("unknown"), None);
}

#[test]
fn the_overview_lists_all_pages() {
    let mut overview = String::from(
        "# Errors and warnings\n\nWhat `fleetctl lint` and a push say about a `.gitlab-ci.yml`; \
         `fleetctl lint --explain CODE` shows a page in the terminal.\n\n| code | about |\n|---|---|\n",
    );
    for code in CODES {
        overview.push_str(&format!(
            "| [{0}]({0}.md) | {1} |\n",
            code.name,
            code.title()
        ));
    }
    let path = docs().join("README.md");
    if is_update() {
        fs::write(&path, &overview).unwrap();
    }
    assert_eq!(fs::read_to_string(path).unwrap(), overview, "{UPDATE}");
}

/// Codes are literals where findings are made, or constants in `kind`.
#[test]
fn every_code_that_is_used_is_in_the_table() {
    let mut files = Vec::new();
    sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut files,
    );
    let makes = regex::Regex::new(
        r#"(?:\b(?:error|warning|note|tell|refuse|new)\(\s*(?:\w+,\s*)?|(?:pub|pub\(\w+\)) const [A-Z_]+: &str = |const CODE: &str = |\bError::\w+(?:\([^)]*\))? => )"([a-z]+(?:-[a-z]+)*)"[,;]"#,
    )
    .unwrap();
    let mut used = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for found in makes.captures_iter(&text) {
            let name = found[1].to_owned();
            assert!(
                code(&name).is_some() || NO_CODES.contains(&name.as_str()),
                "{}: `{name}` is in no table: add it to diagnostic/codes.rs, and docs/errors/{name}.md",
                file.display()
            );
            used.insert(name);
        }
    }
    assert!(used.len() > 30, "found only {used:?}");
}

/// What the search takes for a code and is none.
const NO_CODES: &[&str] = &[];

fn sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "tests" {
            sources(&path, files);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            files.push(path);
        }
    }
}

const UPDATE: &str = "run UPDATE_DOCS=1 cargo test -p fleet-language pages";

fn is_update() -> bool {
    std::env::var_os("UPDATE_DOCS").is_some()
}

#[test]
fn examples_of_pages_do_what_they_say() {
    let mut wrong = Vec::new();
    for code in CODES {
        let path = docs().join(format!("{}.md", code.name));
        let page = fs::read_to_string(&path).unwrap();
        let example = Example::of(&page);
        let Some(example) = example else {
            if !WITHOUT_EXAMPLE.contains(&code.name) {
                wrong.push(format!("{} has no example", code.name));
            }
            continue;
        };
        let found = findings(&example.wrong);
        let style = Style {
            color: false,
            width: 100,
        };
        let printed = render(&found.diagnostics, &found.sources, style);
        if !found.diagnostics.iter().any(|it| it.code == code.name) {
            wrong.push(format!("{}: the wrong one gives\n{printed}", code.name));
        }
        if example.printed != printed {
            if is_update() {
                let old = format!("```text\n{}```\n", example.printed);
                let new = format!("```text\n{printed}```\n");
                fs::write(&path, page.replace(&old, &new)).unwrap();
            } else {
                wrong.push(format!("{}: {UPDATE}", code.name));
            }
        }
        let found = findings(&example.right);
        if !found.diagnostics.is_empty() {
            let printed = render(&found.diagnostics, &found.sources, style);
            wrong.push(format!("{}: the right one gives\n{printed}", code.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What lint says, and where that is nothing a push.
fn findings(files: &Repository) -> Compiled {
    let root = (".gitlab-ci.yml", files.0[".gitlab-ci.yml"].as_str());
    let context: Context = evaluate::tests::push();
    let linted = lint(root, None, files);
    if linted.diagnostics.is_empty() {
        compile(root, &context, files)
    } else {
        linted
    }
}

/// The blocks of a page.
struct Example {
    wrong: Repository,
    printed: String,
    right: Repository,
}

struct Repository(BTreeMap<String, String>);

impl Example {
    fn of(page: &str) -> Option<Example> {
        let (_, example) = page.split_once("## Wrong\n")?;
        let (wrong, right) = example.split_once("## Right\n")?;
        Some(Example {
            wrong: Repository::of(wrong),
            printed: blocks(wrong, "text").concat(),
            right: Repository::of(right),
        })
    }
}

impl Repository {
    /// A block that begins with `# path.yml` is that file.
    fn of(section: &str) -> Repository {
        let blocks = blocks(section, "yaml").into_iter();
        Repository(
            blocks
                .map(|block| {
                    let first = block.lines().next().unwrap_or_default();
                    let path = first.strip_prefix("# ").filter(|it| it.ends_with(".yml"));
                    (path.unwrap_or(".gitlab-ci.yml").to_owned(), block)
                })
                .collect(),
        )
    }
}

impl Files for Repository {
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.0.get(path).map(|text| text.clone().into_bytes())
    }

    fn paths(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}

fn blocks(section: &str, language: &str) -> Vec<String> {
    let start = format!("```{language}\n");
    let rest = section.split(start.as_str()).skip(1);
    rest.map(|block| block.split("```").next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn no_finding_is_worse_than_its_code() {
    let too_bad =
        |found: &Diagnostic| code(found.code).is_none_or(|code| found.severity > code.severity);
    for yaml in [
        "a: {script: [x: y]}",
        "a: {scirpt: x}",
        "variables: {A: 1.10}\na: {script: x}",
    ] {
        let found = lint((".gitlab-ci.yml", yaml), None, &Repository(BTreeMap::new()));
        assert!(
            !found.diagnostics.iter().any(too_bad),
            "{:?}",
            found.diagnostics
        );
    }
}
