//! Diagnostics for programs.

use serde_json::{Value, json};

use super::{Place, Places, in_order, notes, word};
use crate::{Diagnostic, Sources, code};

/// A list of objects with `file`, `line`, `column`, `end_line`, `end_column`,
/// `severity` (`error`, `warning`, `note`), `code`, `message`, `help`, `job` and
/// `notes`, each with `message`, `file`, `line` and `column`.
///
/// Lines and columns count from 1, columns in characters, the end is behind the last
/// one. What is not known is null. In the order of [`super::render`].
#[must_use]
pub fn json(diagnostics: &[Diagnostic], sources: &Sources) -> Value {
    let mut places = Places::new(sources);
    let items = in_order(diagnostics).into_iter().map(|it| {
        let place = it.span.and_then(|span| places.locate(span));
        let place = place.as_ref();
        let notes = notes(it, &mut places).into_iter().map(|note| {
            let place = note.place.as_ref();
            json!({
                "message": note.message,
                "file": place.map(|place| place.path),
                "line": place.map(|place| place.start.line),
                "column": place.map(|place| place.start.column),
            })
        });
        let notes: Vec<Value> = notes.collect();
        json!({
            "file": place.map(|place| place.path),
            "line": place.map(|place| place.start.line),
            "column": place.map(|place| place.start.column),
            "end_line": place.map(|place| place.end.line),
            "end_column": place.map(|place| place.end.column),
            "severity": word(it.severity),
            "code": it.code,
            "message": it.message,
            "help": it.help,
            "job": it.job,
            "notes": notes,
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
            let mut text = it.message.clone();
            let mut related = Vec::new();
            if let Some(help) = &it.help {
                text.push_str("\nhelp: ");
                text.push_str(help);
            }
            for note in notes(it, &mut places) {
                match &note.place {
                    Some(place) => {
                        let mut location = location(place);
                        location["message"] = json!({ "text": note.message });
                        related.push(location);
                    }
                    None => {
                        text.push_str("\nnote: ");
                        text.push_str(note.message);
                    }
                }
            }
            let mut result = json!({
                "ruleId": it.code,
                "ruleIndex": codes.binary_search(&it.code).unwrap_or_default(),
                "level": word(it.severity),
                "message": { "text": text },
                "locations": locations,
            });
            if !related.is_empty() {
                result["relatedLocations"] = related.into();
            }
            result
        })
        .collect();
    let rules: Vec<Value> = codes.iter().map(|name| rule(name)).collect();
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

/// A code as SARIF's tools show it.
fn rule(name: &str) -> Value {
    let Some(code) = code(name) else {
        return json!({ "id": name });
    };
    json!({
        "id": name,
        "shortDescription": { "text": code.title() },
        "help": {
            "text": format!("fleetctl lint --explain {name}"),
            "markdown": code.page,
        },
        "defaultConfiguration": { "level": word(code.severity) },
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
