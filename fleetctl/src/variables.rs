//! Variables people give: on the command line, and in `.fleet/variables.toml`.
//!
//! ```toml
//! COLOR = "blue"
//! API_TOKEN = { value = "…", masked = true }
//! KUBECONFIG = { value = "…", file = true }
//! PATTERN = { value = "$HOME", raw = true }
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use fleet_model::Variable;
use serde::Deserialize;

use crate::Failure;

/// One entry of the file.
#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Value(Scalar),
    Table(Table),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Bool(bool),
    Integer(i64),
    Float(f64),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    value: Scalar,
    #[serde(default)]
    masked: bool,
    #[serde(default)]
    raw: bool,
    #[serde(default)]
    file: bool,
}

/// Reads the file; nothing where it is missing and nobody named it.
///
/// # Errors
/// It is no such file, or holds a secret that others can read.
pub(crate) fn read(path: &Path, is_named: bool) -> Result<Vec<Variable>, Failure> {
    let shown = path.display();
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound && !is_named => return Ok(Vec::new()),
        Err(error) => return Err(Failure::usage(format!("cannot read {shown}: {error}"))),
    };
    let variables = parse(&text).map_err(|why| Failure::usage(format!("{shown}: {why}")))?;
    if variables.iter().any(|variable| variable.masked) {
        let mode = fs::metadata(path).map_or(0, |meta| meta.permissions().mode());
        if mode & 0o077 != 0 {
            return Err(Failure::usage(format!(
                "{shown} holds a masked variable and others can read it. Try: chmod 600 {shown}"
            )));
        }
    }
    Ok(variables)
}

fn parse(text: &str) -> Result<Vec<Variable>, String> {
    let entries: BTreeMap<String, toml::Value> =
        toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
    entries
        .into_iter()
        .map(|(key, value)| {
            check_name(&key)?;
            let entry = value.try_into().map_err(|_| {
                format!(
                    "{key}: expected a value, or a table of `value`, `masked`, `raw` and `file`"
                )
            })?;
            Ok(variable(key, entry))
        })
        .collect()
}

fn variable(key: String, entry: Entry) -> Variable {
    let table = match entry {
        Entry::Value(value) => Table {
            value,
            masked: false,
            raw: false,
            file: false,
        },
        Entry::Table(table) => table,
    };
    let value = match table.value {
        Scalar::Text(text) => text,
        Scalar::Bool(value) => value.to_string(),
        Scalar::Integer(value) => value.to_string(),
        Scalar::Float(value) => value.to_string(),
    };
    let variable = Variable {
        raw: table.raw,
        file: table.file,
        ..Variable::new(key, value)
    };
    if table.masked {
        variable.masked()
    } else {
        variable
    }
}

/// Reads `K=V` of a flag.
pub(crate) fn from_flag(text: &str) -> Result<Variable, String> {
    let (key, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    check_name(key)?;
    Ok(Variable::new(key, value))
}

/// What a shell and GitLab take as a name.
fn check_name(name: &str) -> Result<(), String> {
    let fits = name
        .chars()
        .all(|char| char.is_ascii_alphanumeric() || char == '_');
    if name.is_empty() || !fits || name.starts_with(|first: char| first.is_ascii_digit()) {
        return Err(format!(
            "`{name}` is no name for a variable: letters, digits and _ are"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_tables_are_read() {
        let text = "A = \"x\"\nB = 1\nC = true\nD = { value = \"s\", masked = true, raw = true }\n[E]\nvalue = \"f\"\nfile = true\n";
        let read = parse(text).unwrap();
        assert_eq!(
            read,
            [
                Variable::new("A", "x"),
                Variable::new("B", "1"),
                Variable::new("C", "true"),
                Variable::new("D", "s").masked().raw(),
                Variable {
                    file: true,
                    ..Variable::new("E", "f")
                },
            ]
        );
    }

    #[test]
    fn wrong_entries_are_named() {
        for (text, expected) in [
            ("A = []", "A: expected a value"),
            ("A = { value = 1, mask = true }", "A: expected a value"),
            ("\"a-b\" = 1", "`a-b` is no name"),
            ("A = ", "line 1"),
        ] {
            let why = parse(text).unwrap_err();
            assert!(why.contains(expected), "{text}: {why}");
        }
        assert!(from_flag("A").is_err() && from_flag("=x").is_err() && from_flag("1A=x").is_err());
        assert_eq!(from_flag("A=b=c").unwrap(), Variable::new("A", "b=c"));
    }

    #[test]
    fn secret_that_others_can_read_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "A = { value = 's', masked = true }").unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644)).unwrap();
        let refused = read(file.path(), false).unwrap_err().to_string();
        assert!(refused.contains("chmod 600"), "{refused}");
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(read(file.path(), false).unwrap().len(), 1);
        assert!(read(Path::new("/no/such/file"), false).unwrap().is_empty());
        assert!(read(Path::new("/no/such/file"), true).is_err());
    }
}
