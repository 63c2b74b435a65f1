//! Lists of YAML variables laid over one another.

use std::collections::BTreeSet;

use fleet_model::Variable;

/// A job's own variables over those global ones it sees. No name twice.
///
/// The job's come first, as GitLab lists them.
#[must_use]
pub fn inherit(
    global: &[Variable],
    job: &[Variable],
    sees: impl Fn(&str) -> bool,
) -> Vec<Variable> {
    let seen: Vec<Variable> = global
        .iter()
        .filter(|variable| sees(&variable.key))
        .cloned()
        .collect();
    merge(&seen, job)
}

/// New variables over those there are: the new first, and of a name only the
/// first is kept.
#[must_use]
pub fn merge(current: &[Variable], new: &[Variable]) -> Vec<Variable> {
    let mut names = BTreeSet::new();
    new.iter()
        .chain(current)
        .filter(|variable| names.insert(variable.key.as_str()))
        .cloned()
        .collect()
}
