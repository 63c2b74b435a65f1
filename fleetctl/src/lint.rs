//! `fleetctl lint`: errors and warnings with their places.

use fleet_language::render::{json, render, sarif};
use fleet_language::{Compiled, Diagnostic, Severity, Sources};

use crate::cli::{self, Global, LintOutput, Place};
use crate::project::Project;
use crate::{Exit, Failure, findings};

/// Checks files and prints what was found.
pub(crate) fn run(arguments: &cli::Lint, global: Global) -> Result<Exit, Failure> {
    let projects = if arguments.files.is_empty() {
        vec![Project::find(&Place {
            dir: arguments.dir.clone(),
            file: None,
        })?]
    } else {
        arguments
            .files
            .iter()
            .map(|file| Project::of_file(file))
            .collect::<Result<_, _>>()?
    };
    let mut checked = Vec::new();
    for project in &projects {
        let text = project.config_text()?;
        let root = (project.config_name(), text);
        checked.push(fleet_language::lint(
            (&root.0, &root.1),
            None,
            &project.files(),
        ));
    }
    match arguments.output {
        LintOutput::Text => print_text(&checked, global)?,
        LintOutput::Json => print_value(&checked, json)?,
        LintOutput::Sarif => print_value(&checked, sarif)?,
    }
    let worst = checked
        .iter()
        .flat_map(|one| &one.diagnostics)
        .map(|finding| finding.severity)
        .max();
    Ok(match worst {
        Some(Severity::Error) => Exit::Usage,
        Some(Severity::Warning) if arguments.strict => Exit::Usage,
        _ => Exit::Done,
    })
}

fn print_text(checked: &[Compiled], global: Global) -> Result<(), Failure> {
    let mut text = String::new();
    for one in checked {
        let found = render(&one.diagnostics, &one.sources, findings::style(global));
        if !found.is_empty() && !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&found);
    }
    let count = |severity| {
        checked
            .iter()
            .flat_map(|one| &one.diagnostics)
            .filter(|one| one.severity == severity)
            .count()
    };
    crate::print(text.as_bytes())?;
    if !global.quiet {
        let files = in_words(checked.len(), "file");
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        let (errors, warnings) = (in_words(errors, "error"), in_words(warnings, "warning"));
        let notes = match count(Severity::Note) {
            0 => String::new(),
            notes => format!(", {}", in_words(notes, "note")),
        };
        eprintln!("{files}: {errors}, {warnings}{notes}");
    }
    Ok(())
}

/// Findings of all files in one document.
fn print_value(
    checked: &[Compiled],
    write: fn(&[Diagnostic], &Sources) -> serde_json::Value,
) -> Result<(), Failure> {
    let mut values = checked
        .iter()
        .map(|one| write(&one.diagnostics, &one.sources));
    let mut all = values.next().unwrap_or_default();
    for value in values {
        // A list of findings, or a document with a list of runs.
        let (list, more) = match value {
            serde_json::Value::Array(more) => (Some(&mut all), more),
            mut document => match document.get_mut("runs").map(serde_json::Value::take) {
                Some(serde_json::Value::Array(more)) => (all.get_mut("runs"), more),
                _ => (None, Vec::new()),
            },
        };
        if let Some(list) = list.and_then(serde_json::Value::as_array_mut) {
            list.extend(more);
        }
    }
    crate::print(format!("{all}\n").as_bytes())?;
    Ok(())
}

fn in_words(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}
