//! The dotenv report: variables a job hands to the jobs after it.
//!
//! As GitLab reads it: one `KEY=VALUE` a line, split at the first `=`, both
//! sides stripped; no quotes, comments or blank lines.

use fleet_model::Variable;

/// A report must be smaller than this.
pub(super) const LIMIT_BYTES: u64 = 5120;
/// The most any GitLab takes (its default plan: 20).
const MOST_VARIABLES: usize = 150;
const LONGEST_KEY: usize = 255;

/// Why a report is refused, in GitLab's words; the job that uploads it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("Dotenv Artifact Too Big. Maximum Allowable Size: {LIMIT_BYTES}")]
    TooBig,
    #[error("Invalid Format")]
    InvalidFormat,
    #[error("Validation failed: Key can contain only letters, digits and '_'.")]
    InvalidKey,
    #[error("Dotenv files cannot have more than {MOST_VARIABLES} variables")]
    TooMany,
}

/// Reads a report. A key that stands twice has the later value.
pub(super) fn parse(text: &[u8]) -> Result<Vec<Variable>, Error> {
    if text.len() as u64 >= LIMIT_BYTES {
        return Err(Error::TooBig);
    }
    let text = str::from_utf8(text).map_err(|_| Error::InvalidFormat)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut variables: Vec<Variable> = Vec::new();
    for line in text.lines() {
        let (key, value) = line.split_once('=').ok_or(Error::InvalidFormat)?;
        let (key, value) = (key.trim(), value.trim());
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if key.is_empty() || key.len() > LONGEST_KEY || !key.bytes().all(word) {
            return Err(Error::InvalidKey);
        }
        match variables.iter_mut().find(|variable| variable.key == key) {
            Some(earlier) => value.clone_into(&mut earlier.value),
            None => variables.push(Variable::new(key, value)),
        }
    }
    if variables.len() > MOST_VARIABLES {
        return Err(Error::TooMany);
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_read_as_the_vectors_say() {
        let rows = include_str!("../../tests/vectors/runner-dotenv.txt");
        let mut count = 0;
        for row in rows
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
        {
            let row: serde_json::Value = serde_json::from_str(row).unwrap();
            // A long text is abbreviated there: its length is told beside it.
            let text = match row["len"].as_u64() {
                Some(len) => format!("A={}\n", "x".repeat(usize::try_from(len).unwrap() - 3)),
                None => row["text"].as_str().unwrap().to_owned(),
            };
            let parsed = parse(text.as_bytes());
            if row.get("error").is_some() {
                assert!(parsed.is_err(), "{row}");
            } else {
                let vars: std::collections::BTreeMap<String, String> = parsed
                    .unwrap()
                    .into_iter()
                    .map(|var| (var.key, var.value))
                    .collect();
                assert_eq!(serde_json::to_value(vars).unwrap(), row["vars"], "{row}");
            }
            count += 1;
        }
        assert!(count > 25, "the vector file has {count} rows");
    }

    #[test]
    fn a_report_at_the_limit_of_variables_passes_and_one_more_does_not() {
        let report = |count: usize| -> String { (0..count).map(|n| format!("K{n}=1\n")).collect() };
        assert_eq!(
            parse(report(MOST_VARIABLES).as_bytes()).map(|all| all.len()),
            Ok(150)
        );
        assert_eq!(
            parse(report(MOST_VARIABLES + 1).as_bytes()),
            Err(Error::TooMany)
        );
    }
}
