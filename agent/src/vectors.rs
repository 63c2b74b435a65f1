//! Reading of the vector files that tests go through.

use serde::de::DeserializeOwned;

/// Every row of a vector file: `#` starts a comment, the rest is one JSON
/// value a line.
pub(crate) fn rows<T: DeserializeOwned>(text: &str) -> Vec<T> {
    let rows: Vec<T> = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}")))
        .collect();
    assert!(!rows.is_empty(), "a vector file holds rows");
    rows
}
