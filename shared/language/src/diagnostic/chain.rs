//! How a place came to belong to a job, and mistakes of a template told once.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Diagnostic, Note, Sources};
use crate::{FileId, Map, Node, Span, Value};

/// Jobs that are named where several share a mistake.
const MAX_NAMED: usize = 5;

/// Tells of each finding about a job that stands in another entry how the job gets
/// it: the chain of `extends`, or at least which job it is.
pub(crate) fn explain(diagnostics: &mut [Diagnostic], sources: &Sources, root: &Map) {
    let mut outlines: BTreeMap<FileId, Vec<(u32, String)>> = BTreeMap::new();
    let mut entries = None;
    for found in diagnostics {
        let (Some(job), Some(span)) = (&found.job, found.span) else {
            continue;
        };
        let outline = outlines.entry(span.file).or_insert_with(|| {
            let text = sources.get(span.file).map_or("", |file| &file.text);
            outline(text)
        });
        let at = outline.partition_point(|(start, _)| *start <= span.start);
        let Some((_, owner)) = at.checked_sub(1).and_then(|at| outline.get(at)) else {
            continue;
        };
        if owner == job {
            continue;
        }
        let entries = entries.get_or_insert_with(|| by_name(root));
        found.notes.extend(links(entries, job, owner));
    }
}

/// Where the top-level entries of a file begin, and their names. Only of block style:
/// what is written on one line needs no explanation.
fn outline(text: &str) -> Vec<(u32, String)> {
    let mut entries = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let at = start;
        start += line.len();
        let is_key = !line.starts_with([' ', '\t', '#', '-', '{', '[', '}', ']', '\r', '\n', '%']);
        let Some((name, _)) = line.split_once(':').filter(|_| is_key) else {
            continue;
        };
        let name = name.trim().trim_matches(['"', '\'']);
        if let Ok(at) = u32::try_from(at) {
            entries.push((at, name.to_owned()));
        }
    }
    entries
}

fn by_name(root: &Map) -> HashMap<&str, (Span, &Node)> {
    let entry = |entry: &'_ crate::Entry| entry.key.span;
    root.entries
        .iter()
        .filter_map(|it| Some((it.key.as_str()?, (entry(it), &it.value))))
        .collect()
}

/// The way from a job to the template it has something from.
fn links(entries: &HashMap<&str, (Span, &Node)>, job: &str, owner: &str) -> Vec<Note> {
    // Breadth first: the shortest way is the one people think of.
    let mut from: BTreeMap<&str, (&str, Span)> = BTreeMap::new();
    let mut seen = BTreeSet::from([job]);
    let mut layer = vec![job];
    while !layer.is_empty() && !from.contains_key(owner) {
        let mut next = Vec::new();
        for name in layer {
            for (base, span) in bases(entries, name) {
                if seen.insert(base) {
                    from.insert(base, (name, span));
                    next.push(base);
                }
            }
        }
        layer = next;
    }
    let mut notes = Vec::new();
    let mut at = owner;
    while let Some((user, span)) = from.get(at) {
        notes.push(Note {
            message: format!("`{user}` extends `{at}`"),
            span: Some(*span),
        });
        at = user;
    }
    if notes.is_empty()
        && let Some((span, _)) = entries.get(job)
    {
        notes.push(Note {
            message: format!("in the job `{job}`"),
            span: Some(*span),
        });
    }
    notes.reverse();
    notes
}

fn bases<'r>(entries: &HashMap<&str, (Span, &'r Node)>, name: &str) -> Vec<(&'r str, Span)> {
    let extends = entries
        .get(name)
        .and_then(|(_, node)| node.as_map()?.get("extends"));
    let names = match extends.map(|node| (&node.value, node)) {
        Some((Value::Seq(items), _)) => items.iter().collect(),
        Some((_, node)) => vec![node],
        None => Vec::new(),
    };
    let text = |node: &'r Node| Some((node.as_str()?, node.span));
    names.into_iter().filter_map(text).collect()
}

/// Leaves one of those findings that say the same of several jobs at one place, with
/// the other jobs in a note.
pub(crate) fn once(diagnostics: &mut Vec<Diagnostic>) {
    let mut firsts: HashMap<(&'static str, Span, String), usize> = HashMap::new();
    let mut others: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    let mut kept: Vec<Diagnostic> = Vec::with_capacity(diagnostics.len());
    for found in std::mem::take(diagnostics) {
        if let (Some(job), Some(span)) = (&found.job, found.span) {
            let key = (found.code, span, without_name(&found.message, job));
            if let Some(first) = firsts.get(&key) {
                others.entry(*first).or_default().push(job.clone());
                continue;
            }
            firsts.insert(key, kept.len());
        }
        kept.push(found);
    }
    for (first, jobs) in others {
        let Some(found) = kept.get_mut(first) else {
            continue;
        };
        let mut names: Vec<&str> = Vec::new();
        for job in &jobs {
            let is_new = found.job.as_ref() != Some(job) && !names.contains(&job.as_str());
            if is_new && names.len() <= MAX_NAMED {
                names.push(job);
            }
        }
        if names.is_empty() {
            continue;
        }
        let listed: Vec<String> = names
            .iter()
            .take(MAX_NAMED)
            .map(|name| format!("`{name}`"))
            .collect();
        let more = match jobs.len().saturating_sub(MAX_NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let what = if names.len() == 1 { "job" } else { "jobs" };
        found.notes.push(Note {
            message: format!("the same in the {what} {}{more}", listed.join(", ")),
            span: None,
        });
    }
    *diagnostics = kept;
}

/// A sentence with the job's name left out: it is where GitLab's sentences begin, in
/// lower case behind `jobs:`, or stands in quotes.
fn without_name(message: &str, job: &str) -> String {
    let lower = format!("jobs:{}", job.to_lowercase());
    if let Some(rest) = [lower.as_str(), job]
        .into_iter()
        .find_map(|name| message.strip_prefix(name))
    {
        return rest.to_owned();
    }
    message.replacen(&format!("`{job}`"), "\0", 1)
}
