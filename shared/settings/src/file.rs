//! The file: TOML whose keys are flags.

#[cfg(test)]
mod tests;

use std::ops::Range;

use clap::{Arg, ArgAction, Command};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::settings;

/// What is wrong in a file, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// From 1.
    pub(crate) line: usize,
    pub(crate) what: String,
}

pub(crate) fn fill(command: Command, text: &str) -> Result<Command, Wrong> {
    let wrong = |span: Range<usize>, what: String| Wrong {
        line: text
            .bytes()
            .take(span.start)
            .filter(|b| *b == b'\n')
            .count()
            + 1,
        what,
    };
    let table = DeTable::parse(text)
        .map_err(|error| wrong(error.span().unwrap_or(0..0), error.message().to_owned()))?;
    // In the file's order, so that its first mistake is the one that is told.
    let mut entries: Vec<_> = table.into_inner().into_iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let mut command = command;
    for (key, value) in entries {
        let (at, name) = (key.span(), key.into_inner());
        let found = settings(&command).find(|(_, long)| *long == name);
        let Some((arg, _)) = found else {
            return Err(wrong(at, unknown(&command, &name)));
        };
        let values = values(arg, value)
            .map_err(|(span, what)| wrong(span, format!("setting `{name}`: {what}")))?;
        let id = arg.get_id().clone();
        command = command.mut_arg(id, |arg| arg.required(false).default_values(values));
    }
    Ok(command)
}

/// The setting's values as somebody would type them after its flag.
fn values(arg: &Arg, value: Spanned<DeValue<'_>>) -> Result<Vec<String>, (Range<usize>, String)> {
    let span = value.span();
    if matches!(arg.get_action(), ArgAction::SetTrue | ArgAction::SetFalse) {
        return match value.get_ref() {
            DeValue::Boolean(value) => Ok(vec![value.to_string()]),
            other => Err((span, format!("expected true or false, got {}", kind(other)))),
        };
    }
    let many = matches!(arg.get_action(), ArgAction::Append) || arg.get_value_delimiter().is_some();
    let values = match value.into_inner() {
        DeValue::Array(values) if many => values.into_iter().collect(),
        DeValue::Array(_) => return Err((span, "it has one value, not a list".to_owned())),
        value => vec![Spanned::new(span, value)],
    };
    let mut texts = Vec::new();
    for value in values {
        let span = value.span();
        let text = match value.into_inner() {
            DeValue::String(text) => text.into_owned(),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Float(number) => number.to_string(),
            DeValue::Boolean(value) => value.to_string(),
            other => return Err((span, format!("it is no {}", kind(&other)))),
        };
        check(arg, &text).map_err(|what| (span, what))?;
        texts.push(text);
    }
    Ok(texts)
}

/// Checks a value with the flag's own parser.
fn check(arg: &Arg, text: &str) -> Result<(), String> {
    let flag = Arg::new("value")
        .long("value")
        .value_parser(arg.get_value_parser().clone())
        .value_delimiter(arg.get_value_delimiter())
        .action(ArgAction::Append);
    let command = Command::new("settings").no_binary_name(true).arg(flag);
    match command.try_get_matches_from([format!("--value={text}")]) {
        Ok(_) => Ok(()),
        Err(error) => Err(reason(&error, text)),
    }
}

/// What a parser has against a value, without clap's words about flags.
fn reason(error: &clap::Error, text: &str) -> String {
    use clap::error::{ContextKind, ContextValue};
    if let Some(source) = std::error::Error::source(error) {
        return format!("`{text}`: {source}");
    }
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(valid)) if !valid.is_empty() => {
            format!("`{text}` is none of: {}", valid.join(", "))
        }
        _ => format!("`{text}` cannot be its value"),
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) | DeValue::Float(_) => "number",
        DeValue::Boolean(_) => "boolean",
        DeValue::Datetime(_) => "time",
        DeValue::Array(_) => "list",
        DeValue::Table(_) => "table",
    }
}

fn unknown(command: &Command, name: &str) -> String {
    let dashed = name.replace('_', "-");
    let nearest = settings(command)
        .map(|(_, long)| (distance(&dashed, long), long))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= (name.chars().count() / 3).max(1));
    match nearest {
        Some((_, long)) => format!("there is no setting `{name}`: did you mean `{long}`?"),
        None => format!(
            "there is no setting `{name}`: settings are the long flags that {} --help shows",
            command.get_bin_name().unwrap_or(command.get_name())
        ),
    }
}

/// Levenshtein's: letters to add, remove or replace.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    // Nobody mistypes a word of a hundred letters; and a file may hold longer ones.
    for a in left.chars().take(100) {
        let mut diagonal = row[0];
        row[0] += 1;
        for (column, b) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}
