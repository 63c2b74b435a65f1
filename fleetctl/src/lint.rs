//! `fleetctl lint`: errors and warnings with their places, and what they mean.

use std::io::Read as _;
use std::path::Path;

use fleet_language::render::{Style, json, render, sarif};
use fleet_language::{CODES, Compiled, Reach, Severity, code, suggest};
use serde_json::Value;

use crate::cli::{self, Global, Includes, LintOutput, Place};
use crate::project::{MAX_FILE, Project};
use crate::terminal::Terminal;
use crate::{Exit, Failure, includes};

/// Checks files and prints what was found.
pub(crate) fn run(arguments: &cli::Lint, global: Global) -> Result<Exit, Failure> {
    if let Some(code) = &arguments.explain {
        return explain(code.as_deref());
    }
    let mut checked = Vec::new();
    if arguments.files.is_empty() {
        let project = Project::find(&Place {
            dir: arguments.dir.clone(),
            ..Place::default()
        })?;
        let (name, text) = (project.config_name(), project.config_text()?);
        checked.push(check(&project, &name, &text, &arguments.includes)?);
    }
    for file in &arguments.files {
        checked.push(check_file(file, &arguments.includes)?);
    }
    let counts = Counts::of(&checked);
    match arguments.output {
        LintOutput::Text => print_text(&checked, counts, global)?,
        LintOutput::Json => print_value(&as_json(&checked, counts))?,
        LintOutput::Sarif => print_value(&as_sarif(&checked))?,
    }
    Ok(match counts {
        Counts { errors: 1.., .. } => Exit::Usage,
        Counts { warnings: 1.., .. } if arguments.strict => Exit::Failed,
        _ => Exit::Done,
    })
}

/// Checks one file, which is called as it was named: so it is found from here.
fn check_file(file: &Path, includes: &Includes) -> Result<Compiled, Failure> {
    if file != Path::new("-") {
        let project = Project::of_file(file)?;
        let name = file.display().to_string();
        return check(&project, &name, &project.config_text()?, includes);
    }
    let project = Project::find(&Place::default())?;
    let mut text = String::new();
    std::io::stdin()
        .take(MAX_FILE)
        .read_to_string(&mut text)
        .map_err(|error| Failure::usage(format!("read stdin: {error}")))?;
    check(&project, "stdin", &text, includes)
}

fn check(
    project: &Project,
    name: &str,
    text: &str,
    includes: &Includes,
) -> Result<Compiled, Failure> {
    let reach = Reach {
        files: &project.files(),
        fetch: &includes::configured(project, includes)?,
    };
    Ok(fleet_language::lint((name, text), None, reach))
}

/// How many findings there are of each severity.
#[derive(Clone, Copy)]
struct Counts {
    errors: usize,
    warnings: usize,
    notes: usize,
}

impl Counts {
    fn of(checked: &[Compiled]) -> Counts {
        let count = |severity| {
            let all = checked.iter().flat_map(|one| &one.diagnostics);
            all.filter(|one| one.severity == severity).count()
        };
        Counts {
            errors: count(Severity::Error),
            warnings: count(Severity::Warning),
            notes: count(Severity::Note),
        }
    }
}

fn print_text(checked: &[Compiled], counts: Counts, global: Global) -> Result<(), Failure> {
    let terminal = Terminal::stdout(global.no_color);
    let style = Style {
        color: terminal.color,
        width: terminal.columns(),
    };
    let mut text = String::new();
    for one in checked {
        let found = render(&one.diagnostics, &one.sources, style);
        if !found.is_empty() && !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&found);
    }
    crate::print(text.as_bytes())?;
    if !global.quiet {
        let files = in_words(checked.len(), "file");
        let errors = in_words(counts.errors, "error");
        let warnings = in_words(counts.warnings, "warning");
        let notes = match counts.notes {
            0 => String::new(),
            notes => format!(", {}", in_words(notes, "note")),
        };
        let gap = if text.is_empty() { "" } else { "\n" };
        eprintln!("{gap}{files}: {errors}, {warnings}{notes}");
        let all = checked.iter().flat_map(|one| &one.diagnostics);
        if let Some(worst) = all.max_by_key(|one| one.severity) {
            eprintln!("more about one: fleetctl lint --explain {}", worst.code);
        }
    }
    Ok(())
}

/// Findings of all files in one document.
fn as_json(checked: &[Compiled], counts: Counts) -> Value {
    let lists = checked
        .iter()
        .map(|one| json(&one.diagnostics, &one.sources));
    let findings: Vec<Value> = lists
        .flat_map(|list| match list {
            Value::Array(list) => list,
            _ => Vec::new(),
        })
        .collect();
    serde_json::json!({
        "files": checked.len(),
        "errors": counts.errors,
        "warnings": counts.warnings,
        "notes": counts.notes,
        "findings": findings,
    })
}

/// One run for each file.
fn as_sarif(checked: &[Compiled]) -> Value {
    let mut logs = checked
        .iter()
        .map(|one| sarif(&one.diagnostics, &one.sources));
    let mut all = logs.next().unwrap_or_default();
    for mut log in logs {
        if let (Some(Value::Array(runs)), Some(more)) = (
            all.get_mut("runs"),
            log.get_mut("runs").and_then(Value::as_array_mut),
        ) {
            runs.append(more);
        }
    }
    all
}

fn print_value(value: &Value) -> Result<(), Failure> {
    crate::print(format!("{value}\n").as_bytes())?;
    Ok(())
}

/// Prints the page of a code, or the list of all.
fn explain(name: Option<&str>) -> Result<Exit, Failure> {
    let Some(name) = name else {
        let list = CODES
            .iter()
            .map(|code| format!("{:24} {}\n", code.name, code.title()));
        return crate::print(list.collect::<String>().as_bytes());
    };
    let Some(code) = code(name) else {
        let near = suggest::nearest(name, CODES.iter().map(|code| code.name));
        let hint = near.map_or_else(
            || "fleetctl lint --explain lists all".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        return Err(Failure::usage(format!("there is no code `{name}`; {hint}")));
    };
    crate::print(code.page.as_bytes())
}

fn in_words(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}
