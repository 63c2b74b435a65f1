//! Expansion of a whole set, nested references included.

use std::collections::BTreeMap;
use std::fmt;

use fleet_model::Variable;

use super::expand::{Escapes, Piece, Pieces, Unknown};
use super::references;

/// All values of a job together. No process could be given much more as its
/// environment.
const MAX_EXPANDED_BYTES: usize = 1 << 20;

/// Expands a set for a field of the pipeline that the server works out (globs,
/// the names of environments): raw and file variables insert their values.
///
/// The result is sorted so that each variable stands behind those it refers to;
/// the last of a name still wins, but it may be another one than before.
///
/// # Errors
/// Nothing is expanded if the set is [`Error::Circular`] or [`Error::TooLarge`].
pub fn expand_for_server<'v>(
    variables: impl IntoIterator<Item = &'v Variable>,
    unknown: Unknown,
) -> Result<Vec<Variable>, Error> {
    let variables: Vec<&Variable> = variables.into_iter().collect();
    expand_all(&variables, unknown, Deferred::Nothing)
}

/// Expands a job's set as it is sent to its agent: references to unknown, raw
/// and file variables stay for the agent's own pass, which knows dotenv
/// variables and the paths of files.
///
/// # Errors
/// As [`expand_for_server`].
pub fn expand_for_job<'v>(
    variables: impl IntoIterator<Item = &'v Variable>,
) -> Result<Vec<Variable>, Error> {
    let variables: Vec<&Variable> = variables.into_iter().collect();
    expand_all(&variables, Unknown::Keep, Deferred::RawAndFile)
}

/// Whether [`expand_for_job`] would do, without the work of it: most variables refer
/// to none, and a set is asked about for every job.
///
/// # Errors
/// As [`expand_for_server`].
pub fn check_for_job(variables: &[&Variable]) -> Result<(), Error> {
    let referring: Vec<&Variable> = variables
        .iter()
        .copied()
        .filter(|variable| !variable.raw && variable.value.contains(['$', '%']))
        .collect();
    let order = order(&referring)?;
    let is_plain = |it: &&&Variable| it.raw || !it.value.contains(['$', '%']);
    let plain = variables.iter().filter(is_plain).map(|it| it.value.len());
    let longest = plain.clone().max().unwrap_or(0);
    let mut at_most: usize = plain.sum();
    let mut bounds: BTreeMap<&str, usize> = BTreeMap::new();
    for index in order {
        let variable = referring[index];
        let inserted = references(&variable.value).map(|name| {
            let known = bounds.get(name).copied().unwrap_or(0);
            known.max(longest)
        });
        let bound = inserted.fold(variable.value.len(), usize::saturating_add);
        at_most = at_most.saturating_add(bound);
        let known = bounds.entry(&variable.key).or_default();
        *known = bound.max(*known);
    }
    if at_most <= MAX_EXPANDED_BYTES {
        return Ok(());
    }
    expand_for_job(variables.iter().copied()).map(drop)
}

/// Why a set cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// Variables refer to one another in circles; the names of each circle.
    Circular(Vec<Vec<String>>),
    /// The values are more than 1 MiB.
    TooLarge,
}

impl fmt::Display for Error {
    /// GitLab's text, without the job in front.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Circular(circles) => {
                f.write_str("circular variable reference detected: ")?;
                for (index, circle) in circles.iter().enumerate() {
                    let separator = if index == 0 { "" } else { ", " };
                    write!(f, "{separator}{circle:?}")?;
                }
                Ok(())
            }
            Error::TooLarge => f.write_str("the variables are larger than 1 MiB"),
        }
    }
}

impl std::error::Error for Error {}

/// Whose references are left to the agent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deferred {
    Nothing,
    RawAndFile,
}

/// The places of the variables, what one refers to before it.
fn order(variables: &[&Variable]) -> Result<Vec<usize>, Error> {
    let components = Sort::new(variables).components();
    let circles: Vec<Vec<String>> = components
        .iter()
        .filter(|component| component.len() > 1)
        .map(|component| {
            component
                .iter()
                .map(|&index| variables[index].key.clone())
                .collect()
        })
        .collect();
    if !circles.is_empty() {
        return Err(Error::Circular(circles));
    }
    Ok(components.into_iter().flatten().collect())
}

fn expand_all(
    variables: &[&Variable],
    unknown: Unknown,
    deferred: Deferred,
) -> Result<Vec<Variable>, Error> {
    let order = order(variables)?;
    let mut size = 0_usize;
    let mut expanded: Vec<Variable> = Vec::with_capacity(variables.len());
    let mut latest: BTreeMap<&str, usize> = BTreeMap::new();
    for index in order {
        let mut variable = Variable::clone(variables[index]);
        if variable.raw {
            size = size.saturating_add(variable.value.len());
        } else {
            let mut value = String::new();
            for piece in Pieces::new(&variables[index].value, Escapes::Doubled) {
                let inserted = match piece {
                    Piece::Text(text) => text,
                    Piece::Reference { name, written } => {
                        match latest.get(name).map(|&at| &expanded[at]) {
                            Some(found)
                                if deferred == Deferred::RawAndFile
                                    && (found.raw || found.file) =>
                            {
                                written
                            }
                            Some(found) => &found.value,
                            None if unknown == Unknown::Keep => written,
                            None => "",
                        }
                    }
                };
                size = size.saturating_add(inserted.len());
                if size > MAX_EXPANDED_BYTES {
                    return Err(Error::TooLarge);
                }
                value.push_str(inserted);
            }
            variable.value = value;
        }
        if size > MAX_EXPANDED_BYTES {
            return Err(Error::TooLarge);
        }
        latest.insert(&variables[index].key, expanded.len());
        expanded.push(variable);
    }
    Ok(expanded)
}

/// Tarjan's strongly connected components, in the order Ruby's `TSort` gives
/// them: what a variable refers to comes before it.
struct Sort {
    /// Of each variable those of the names it refers to, in order.
    children: Vec<Vec<usize>>,
}

impl Sort {
    fn new(variables: &[&Variable]) -> Sort {
        let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, variable) in variables.iter().enumerate() {
            by_name.entry(&variable.key).or_default().push(index);
        }
        let children = variables
            .iter()
            .map(|variable| {
                let mut names: Vec<&str> = Vec::new();
                if !variable.raw {
                    for name in references(&variable.value) {
                        if by_name.contains_key(name) && !names.contains(&name) {
                            names.push(name);
                        }
                    }
                }
                names
                    .into_iter()
                    .flat_map(|name| by_name[name].iter().copied())
                    .collect()
            })
            .collect();
        Sort { children }
    }

    /// Without recursion: a chain of references may be as long as a file.
    fn components(&self) -> Vec<Vec<usize>> {
        const UNSEEN: usize = usize::MAX;
        const DONE: usize = usize::MAX - 1;
        let mut number = vec![UNSEEN; self.children.len()];
        let mut stack: Vec<usize> = Vec::new();
        let mut components = Vec::new();
        for root in 0..self.children.len() {
            if number[root] != UNSEEN {
                continue;
            }
            // Node, its next child, the lowest number seen from it.
            let mut path = vec![(root, 0, stack.len())];
            number[root] = stack.len();
            stack.push(root);
            while let Some((node, next, low)) = path.last_mut() {
                if let Some(&child) = self.children[*node].get(*next) {
                    *next += 1;
                    match number[child] {
                        UNSEEN => {
                            number[child] = stack.len();
                            path.push((child, 0, stack.len()));
                            stack.push(child);
                        }
                        DONE => {}
                        seen => *low = (*low).min(seen),
                    }
                    continue;
                }
                let (node, low) = (*node, *low);
                path.pop();
                if let Some((_, _, parent_low)) = path.last_mut() {
                    *parent_low = (*parent_low).min(low);
                }
                if low == number[node] {
                    let component = stack.split_off(low);
                    component.iter().for_each(|&member| number[member] = DONE);
                    components.push(component);
                }
            }
        }
        components
    }
}
