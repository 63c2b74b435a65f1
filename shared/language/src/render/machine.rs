//! Diagnostics for programs.

use serde_json::{Value, json};

use super::{Place, Places, in_order, word};
use crate::{Diagnostic, Severity, Sources};

/// A list of objects with `path`, `line`, `column`, `end_line`, `end_column`,
/// `severity` (`error`, `warning`), `code`, `message` and `help`; lines and columns
/// count from 1, columns in characters, the end is behind the last one. What is not
/// known is null. In the order of [`super::render`].
#[must_use]
pub fn json(diagnostics: &[Diagnostic], sources: &Sources) -> Value {
    let mut places = Places::new(sources);
    let items = in_order(diagnostics).into_iter().map(|it| {
        let place = it.span.and_then(|span| places.locate(span));
        let place = place.as_ref();
        json!({
            "path": place.map(|place| place.path),
            "line": place.map(|place| place.start.line),
            "column": place.map(|place| place.start.column),
            "end_line": place.map(|place| place.end.line),
            "end_column": place.map(|place| place.end.column),
            "severity": word(it.severity),
            "code": it.code,
            "message": it.message,
            "help": it.help,
        })
    });
    items.collect()
}

/// A SARIF 2.1.0 log with one run, for editors and code review tools.
#[must_use]
pub fn sarif(diagnostics: &[Diagnostic], sources: &Sources) -> Value {
    let ordered = in_order(diagnostics);
    let mut codes: Vec<&str> = ordered.iter().map(|it| it.code).collect();
    codes.sort_unstable();
    codes.dedup();
    let mut places = Places::new(sources);
    let results: Vec<Value> = ordered
        .into_iter()
        .map(|it| {
            let place = it.span.and_then(|span| places.locate(span));
            let locations: Vec<Value> = place.iter().map(location).collect();
            let help = it
                .help
                .as_ref()
                .map(|help| format!("\n{help}"))
                .unwrap_or_default();
            json!({
                "ruleId": it.code,
                "level": match it.severity {
                    Severity::Error => "error",
                    Severity::Warning => "warning",
                    Severity::Note => "note",
                },
                "message": { "text": format!("{}{help}", it.message) },
                "locations": locations,
            })
        })
        .collect();
    let rules: Vec<Value> = codes
        .into_iter()
        .map(|code| json!({ "id": code }))
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "fleet",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn location(place: &Place<'_>) -> Value {
    json!({
        "physicalLocation": {
            "artifactLocation": { "uri": uri(place.path) },
            "region": {
                "startLine": place.start.line,
                "startColumn": place.start.column,
                "endLine": place.end.line,
                "endColumn": place.end.column,
            },
        },
    })
}

/// A path as a relative reference: what a URI may not hold is percent-encoded.
fn uri(path: &str) -> String {
    let mut out = String::new();
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
