//! `fleetctl variable` and `fleetctl secret`: the same, but that a secret's value cannot
//! be read again.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use fleet_proto::v1;
use serde_json::{Value, json};

use super::scope;
use crate::cli::{self, SecretVerb, VariableScope, VariableVerb};
use crate::client::Client;
use crate::output::{Cell, Column, Json, Printer, Shown, time};
use crate::{Exit, Failure};

/// More is refused before it is sent: no server takes it.
const MOST_BYTES: u64 = 1024 * 1024;

pub(super) async fn variable(
    verb: VariableVerb,
    whose: &VariableScope,
    client: &Client,
    out: &Printer,
) -> Result<Exit, Failure> {
    let whose = wire(whose)?;
    match verb {
        VariableVerb::Set(arguments) => {
            let variable = v1::ProjectVariable {
                masked: arguments.masked,
                ..read(&arguments.value)?
            };
            set(variable, whose, client, out).await
        }
        VariableVerb::List => {
            let answer = list(whose, false, client).await?;
            out.list(&answer)
        }
        VariableVerb::Delete { which } => {
            delete(which.name, which.environment, whose, client, out).await
        }
    }
}

pub(super) async fn secret(
    verb: SecretVerb,
    whose: &VariableScope,
    client: &Client,
    out: &Printer,
) -> Result<Exit, Failure> {
    let whose = wire(whose)?;
    match verb {
        SecretVerb::Set(arguments) => {
            if arguments.value.value.is_some() {
                out.hint("warning: shells remember what is typed, and other programs on this host can see it. Try: - or --file");
            }
            let variable = v1::ProjectVariable {
                hidden: true,
                masked: !arguments.no_mask,
                ..read(&arguments.value)?
            };
            set(variable, whose, client, out).await
        }
        SecretVerb::List => {
            let answer = list(whose, true, client).await?;
            let secrets: Vec<Secret> = answer.into_iter().map(Secret).collect();
            out.list(&secrets)
        }
        SecretVerb::Delete { which } => {
            delete(which.name, which.environment, whose, client, out).await
        }
    }
}

/// Whose it is, on the wire.
pub(super) fn wire(whose: &VariableScope) -> Result<v1::Scope, Failure> {
    match (&whose.group, whose.instance) {
        (Some(_), true) => Err(Failure::usage("--group and --instance exclude each other")),
        (Some(group), false) => Ok(v1::Scope {
            project: String::new(),
            group: group.trim_matches('/').to_owned(),
        }),
        (None, true) => Ok(v1::Scope::default()),
        (None, false) => Ok(v1::Scope {
            project: scope::project(&whose.project)?,
            group: String::new(),
        }),
    }
}

async fn set(
    variable: v1::ProjectVariable,
    whose: v1::Scope,
    client: &Client,
    out: &Printer,
) -> Result<Exit, Failure> {
    let place = place(&whose);
    let request = v1::SetVariableRequest {
        scope: Some(whose),
        variable: Some(variable),
    };
    let variable = client
        .call(client.variables().set_variable(request))
        .await?;
    let environment = match variable.environment.as_str() {
        "" | "*" => String::new(),
        environment => format!(" for environment {environment}"),
    };
    out.done(
        &variable.json(),
        &variable.key,
        &format!("{} is set {place}{environment}", variable.key),
    )
}

async fn list(
    whose: v1::Scope,
    hidden: bool,
    client: &Client,
) -> Result<Vec<v1::ProjectVariable>, Failure> {
    let request = v1::ListVariablesRequest {
        scope: Some(whose),
        hidden,
    };
    let answer = client
        .call(client.variables().list_variables(request))
        .await?;
    Ok(answer.variables)
}

async fn delete(
    key: String,
    environment: String,
    whose: v1::Scope,
    client: &Client,
    out: &Printer,
) -> Result<Exit, Failure> {
    let line = format!("{key} is deleted {}", place(&whose));
    let json = json!({ "key": key, "environment": environment });
    let request = v1::DeleteVariableRequest {
        scope: Some(whose),
        key: key.clone(),
        environment,
    };
    client
        .call(client.variables().delete_variable(request))
        .await?;
    out.done(&json, &key, &line)
}

/// Whose it is, in words.
pub(super) fn place(whose: &v1::Scope) -> String {
    if !whose.project.is_empty() {
        format!("in project {}", whose.project)
    } else if !whose.group.is_empty() {
        format!("in group {}", whose.group)
    } else {
        "for the whole instance".to_owned()
    }
}

/// The variable, with its value from where the flags say.
fn read(value: &cli::Value) -> Result<v1::ProjectVariable, Failure> {
    let is_stdin = value.stdin.is_some() || value.file.as_deref() == Some(Path::new("-"));
    let text = if is_stdin {
        let mut text = text(io::stdin().lock(), "stdin")?;
        // What `echo` adds is not meant; a file's last byte is.
        if value.stdin.is_some() && text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        text
    } else if let Some(file) = &value.file {
        let shown = file.display().to_string();
        let opened = File::open(file)
            .map_err(|error| Failure::usage(format!("cannot read {shown}: {error}")))?;
        text(opened, &shown)?
    } else if let Some(text) = &value.value {
        text.clone()
    } else {
        return Err(Failure::usage(format!(
            "{} has no value. Try: --value VALUE, --file FILE, or - for stdin",
            value.name
        )));
    };
    Ok(v1::ProjectVariable {
        key: value.name.clone(),
        value: text,
        protected: value.protected,
        raw: value.raw,
        file: value.kind == cli::Kind::File,
        environment: value.environment.clone(),
        ..v1::ProjectVariable::default()
    })
}

/// All there is to read, if it is a text.
pub(super) fn text(from: impl Read, shown: &str) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    from.take(MOST_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::usage(format!("cannot read {shown}: {error}")))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(Failure::usage(format!(
            "{shown} holds more than a variable may: 1 MiB"
        )));
    }
    String::from_utf8(bytes).map_err(|_| {
        Failure::usage(format!(
            "{shown} is no text. Try: base64, and decode it in the job"
        ))
    })
}

/// What is special about a variable.
fn flags(variable: &v1::ProjectVariable) -> String {
    let flags = [
        (variable.masked, "masked"),
        (variable.protected, "protected"),
        (variable.raw, "raw"),
        (variable.file, "file"),
    ];
    let flags: Vec<&str> = flags
        .into_iter()
        .filter(|(is_set, _)| *is_set)
        .map(|(_, word)| word)
        .collect();
    flags.join(",")
}

impl Shown for v1::ProjectVariable {
    const NOUN: &'static str = "variable";
    const COLUMNS: &'static [Column] = &[
        Column::left("KEY"),
        Column::left("VALUE"),
        Column::left("ENVIRONMENT"),
        Column::left("FLAGS"),
        Column::right("CHANGED"),
    ];

    fn cells(&self, now: u64) -> Vec<Cell> {
        vec![
            Cell::plain(&self.key),
            Cell::plain(&self.value),
            Cell::plain(&self.environment),
            Cell::plain(flags(self)),
            Cell::plain(time::ago(self.updated_at, now)),
        ]
    }
}

/// A variable without its value.
struct Secret(v1::ProjectVariable);

impl Shown for Secret {
    const NOUN: &'static str = "secret";
    const COLUMNS: &'static [Column] = &[
        Column::left("KEY"),
        Column::left("ENVIRONMENT"),
        Column::left("FLAGS"),
        Column::right("CHANGED"),
    ];

    fn cells(&self, now: u64) -> Vec<Cell> {
        vec![
            Cell::plain(&self.0.key),
            Cell::plain(&self.0.environment),
            Cell::plain(flags(&self.0)),
            Cell::plain(time::ago(self.0.updated_at, now)),
        ]
    }
}

impl Json for Secret {
    fn json(&self) -> Value {
        self.0.json()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_is_taken_to_the_last_byte_and_must_be_text() {
        assert_eq!(text(&b"a\n\n"[..], "f").unwrap(), "a\n\n");
        assert!(
            text(&b"\xff"[..], "f")
                .unwrap_err()
                .to_string()
                .contains("base64")
        );
        let much = vec![b'x'; MOST_BYTES as usize + 1];
        assert!(
            text(much.as_slice(), "f")
                .unwrap_err()
                .to_string()
                .contains("1 MiB")
        );
    }

    #[test]
    fn secrets_value_is_in_no_table() {
        let secret = Secret(v1::ProjectVariable {
            key: "TOKEN".into(),
            value: "left-by-mistake".into(),
            hidden: true,
            masked: true,
            ..v1::ProjectVariable::default()
        });
        assert!(!format!("{:?}", secret.cells(0)).contains("mistake"));
        assert!(!secret.json().to_string().contains("mistake"));
    }
}
