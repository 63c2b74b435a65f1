//! `script`, `before_script`, `after_script` and everything else that is a
//! list of commands.

use super::check::{Checker, Place, kind};
use crate::{Node, Span, Value};

/// How deep lists may nest, as in GitLab; `!reference` makes nested ones.
pub(super) const MAX_NESTING: usize = 10;

/// A command, and where it stands.
pub(super) type Placed = (String, Span);

/// A string or nested lists of strings, flattened.
pub(super) fn commands(
    cx: &mut Checker<'_>,
    place: &Place<'_>,
    node: &Node,
) -> Option<Vec<String>> {
    let placed = placed(cx, place, node)?;
    Some(placed.into_iter().map(|(command, _)| command).collect())
}

/// The same with the place of each.
pub(super) fn placed(cx: &mut Checker<'_>, place: &Place<'_>, node: &Node) -> Option<Vec<Placed>> {
    let with_place = |node: &Node| Some((node.as_str()?.to_owned(), node.span));
    if let Some(command) = with_place(node) {
        return Some(vec![command]);
    }
    let mut flat = Vec::new();
    match flatten(node, &mut flat, MAX_NESTING, &|item| {
        item.as_str().is_some()
    }) {
        Ok(()) => Some(flat.into_iter().filter_map(with_place).collect()),
        Err(culprit) => {
            let problem = format!(
                "should be a string or a nested array of strings up to {MAX_NESTING} levels deep"
            );
            let help = help(culprit);
            cx.problem(kind::TYPE, place, "config", problem, culprit.span)
                .help = help;
            None
        }
    }
}

/// Takes the items of nested lists apart. The first item that is neither a
/// list nor `accepted`, or a list beyond `depth`, is the error.
pub(super) fn flatten<'n>(
    node: &'n Node,
    flat: &mut Vec<&'n Node>,
    depth: usize,
    accepted: &dyn Fn(&Node) -> bool,
) -> Result<(), &'n Node> {
    let Value::Seq(items) = &node.value else {
        return Err(node);
    };
    let depth = depth.checked_sub(1).ok_or(node)?;
    for item in items {
        if matches!(item.value, Value::Seq(_)) {
            flatten(item, flat, depth, accepted)?;
        } else if accepted(item) {
            flat.push(item);
        } else {
            return Err(item);
        }
    }
    Ok(())
}

/// What to write instead.
fn help(culprit: &Node) -> Option<String> {
    match &culprit.value {
        Value::Map(map) => {
            let entry = map.entries.first()?;
            let line = match entry.value.to_text() {
                Some(value) => format!("{}: {value}", entry.key.to_text()?),
                None => format!("{}: ...", entry.key.to_text()?),
            };
            let quoted = line.replace('\'', "''");
            Some(format!(
                "`: ` makes this a map; quote the whole line: `- '{quoted}'`"
            ))
        }
        Value::Int(_) | Value::Float(_) | Value::Bool(_) => {
            Some(format!("quote it: `- '{}'`", culprit.to_text()?))
        }
        Value::Null => Some("remove the empty item".to_owned()),
        _ => None,
    }
}
