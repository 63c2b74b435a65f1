//! `parallel`: how often a job runs, and with which values.

use super::check::{Checker, Place, kind, present, shown};
use crate::{Map, Node, Value};

/// The keys of `parallel`.
pub(super) const KEYS: &[&str] = &["matrix"];

/// Instances of one job, at most.
const MAX: usize = 200;

/// Variables of one combination, at most; GitLab sets no limit.
const MAX_VARIABLES: usize = 200;

/// The combinations of a matrix, one list for each of its maps: each variable
/// with its values, in order of the file.
pub(super) type Matrix = Vec<Vec<(String, Vec<String>)>>;

/// `parallel` as written.
#[derive(Clone, Debug)]
pub(super) enum Parallel {
    /// This many alike.
    Number(u32),
    /// One for each combination.
    Matrix(Matrix),
}

impl Parallel {
    /// How many jobs come of it.
    pub(super) fn count(&self) -> usize {
        match self {
            Parallel::Number(number) => *number as usize,
            Parallel::Matrix(matrix) => size(matrix),
        }
    }
}

/// `parallel` of a job.
pub(super) fn parallel(cx: &mut Checker<'_>, place: &Place<'_>, node: &Node) -> Option<Parallel> {
    let problem = match &node.value {
        Value::Int(number) if *number < 1 => "must be greater than or equal to 1".to_owned(),
        Value::Int(number) => match u32::try_from(*number) {
            Ok(number) if number as usize <= MAX => return Some(Parallel::Number(number)),
            _ => format!("must be less than or equal to {MAX}"),
        },
        Value::Float(_) => "must be an integer".to_owned(),
        Value::Map(map) => {
            return matrix_of(cx, place, map, node).map(Parallel::Matrix);
        }
        _ => {
            let problem = "should be an integer or a hash";
            cx.problem(kind::TYPE, place, "", problem, node.span);
            return None;
        }
    };
    cx.problem(kind::LIMIT, place, "config", problem, node.span);
    None
}

/// `parallel` of a trigger job, which knows only a matrix.
pub(super) fn matrix(cx: &mut Checker<'_>, place: &Place<'_>, node: &Node) -> Option<Parallel> {
    if let Value::Int(_) = node.value {
        let problem = "cannot use \"parallel: <number>\".";
        cx.problem(kind::VALUE, place, "config", problem, node.span);
        return None;
    }
    parallel(cx, place, node)
}

/// `parallel` of a need: which instances are meant.
pub(super) fn needed_matrix(
    cx: &mut Checker<'_>,
    place: &Place<'_>,
    node: &Node,
) -> Option<Matrix> {
    matrix_of(cx, place, node.as_map()?, node)
}

/// All combinations in the order GitLab numbers them: the last variable of a
/// map changes fastest.
pub(super) fn combinations(matrix: &Matrix) -> Vec<Vec<(String, String)>> {
    let mut all = Vec::new();
    for variables in matrix {
        let mut rows: Vec<Vec<(String, String)>> = vec![Vec::new()];
        for (name, values) in variables {
            let extended = |row: &Vec<(String, String)>| {
                let extended = values.iter().map(|value| {
                    let mut row = row.clone();
                    row.push((name.clone(), value.clone()));
                    row
                });
                extended.collect::<Vec<_>>()
            };
            rows = rows.iter().flat_map(extended).collect();
        }
        all.extend(rows);
    }
    all
}

/// The number of [`combinations`], and at most how many bytes of values are in
/// them.
pub(super) fn weight(matrix: &Matrix) -> (usize, usize) {
    let longest = |values: &Vec<String>| values.iter().map(String::len).max().unwrap_or_default();
    let row = matrix
        .iter()
        .map(|variables| variables.iter().map(|(_, values)| longest(values)).sum())
        .max()
        .unwrap_or(0_usize);
    let count = size(matrix);
    (count, count.saturating_mul(row))
}

/// The number of [`combinations`], without making them.
fn size(matrix: &Matrix) -> usize {
    let of_one = |variables: &Vec<(String, Vec<String>)>| {
        variables.iter().fold(1_usize, |product, (_, values)| {
            product.saturating_mul(values.len())
        })
    };
    matrix
        .iter()
        .fold(0, |sum, variables| sum.saturating_add(of_one(variables)))
}

fn matrix_of(cx: &mut Checker<'_>, place: &Place<'_>, map: &Map, node: &Node) -> Option<Matrix> {
    let errors = cx.errors();
    cx.known_keys(place, map, KEYS);
    if map.get("matrix").is_none() {
        let problem = "missing required keys: matrix";
        cx.problem(kind::MISSING_KEY, place, "config", problem, node.span);
    }
    if cx.errors() > errors {
        return None;
    }
    let Some(list) = present(map, "matrix") else {
        return Some(Matrix::new());
    };
    let place = place.child("matrix");
    let maps: Option<Vec<&Map>> = match &list.value {
        Value::Seq(items) => items.iter().map(Node::as_map).collect(),
        _ => None,
    };
    let Some(maps) = maps else {
        cx.problem(
            kind::TYPE,
            &place,
            "config",
            "should be an array of hashes",
            list.span,
        );
        return None;
    };
    let below = place.child("variables");
    let mut matrix = Matrix::new();
    for map in maps {
        matrix.extend(variables(cx, &below, map, list));
    }
    if size(&matrix) > MAX {
        let problem = format!("generates too many jobs (maximum is {MAX})");
        cx.problem(kind::LIMIT, &place, "config", problem, list.span);
    }
    (cx.errors() == errors).then_some(matrix)
}

fn variables(
    cx: &mut Checker<'_>,
    place: &Place<'_>,
    map: &Map,
    list: &Node,
) -> Option<Vec<(String, Vec<String>)>> {
    if map.entries.is_empty() {
        cx.problem(
            kind::BLANK,
            place,
            "config",
            "requires at least 1 items",
            list.span,
        );
        return None;
    }
    if map.entries.len() > MAX_VARIABLES {
        let problem = format!("has too many variables (maximum is {MAX_VARIABLES})");
        cx.problem(kind::LIMIT, place, "config", problem, list.span);
        return None;
    }
    let scalar = |node: &Node| match &node.value {
        Value::String(_) | Value::Int(_) => node.to_text(),
        _ => None,
    };
    let mut all = Vec::new();
    for entry in &map.entries {
        let values = match &entry.value.value {
            Value::Seq(items) => items.iter().map(scalar).collect(),
            _ => scalar(&entry.value).map(|value| vec![value]),
        };
        match (scalar(&entry.key), values) {
            (Some(name), Some(values)) => all.push((name, values)),
            _ => {
                let problem = "should be a hash of key value pairs, value can be an array";
                let help = format!("quote the values of `{}`", shown(&entry.key));
                cx.problem(kind::TYPE, place, "config", problem, entry.value.span)
                    .help = Some(help);
                return None;
            }
        }
    }
    Some(all)
}
