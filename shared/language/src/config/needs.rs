//! `needs`, before the names of parallel jobs are resolved.

use super::{
    check::{Checker, Place, is_blank, kind, present},
    parallel::{self, Matrix},
    script,
};
use crate::{Map, Node, Span, Value};

/// Needs of other pipelines in one job, at most.
const MAX_CROSS_PIPELINE: usize = 5;

/// Where needs stand; decides which kinds are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A job.
    Job,
    /// A rule: only jobs of this pipeline.
    Rule,
}

/// One need as written.
#[derive(Clone, Debug)]
pub(super) struct WrittenNeed {
    pub(super) span: Span,
    pub(super) job: String,
    pub(super) artifacts: bool,
    pub(super) optional: bool,
    /// Which instances of a parallel job; none: all.
    pub(super) matrix: Option<Matrix>,
}

/// `needs`: a map, or a list of names and maps.
pub(super) fn needs(
    cx: &mut Checker<'_>,
    place: &Place<'_>,
    node: &Node,
    owner: Owner,
) -> Option<Vec<WrittenNeed>> {
    let errors = cx.errors();
    let mut items = Vec::new();
    match &node.value {
        Value::Map(map) if map.entries.is_empty() => {
            cx.problem(
                kind::BLANK,
                place,
                "config",
                "can not be an empty hash",
                node.span,
            );
        }
        Value::Map(_) => items.push(node),
        Value::Seq(_) => {
            // Accepts everything, so nesting is the only limit and it has none.
            let _ = script::flatten(node, &mut items, usize::MAX, &|_| true);
            items.retain(|item| item.value != Value::Null);
        }
        _ => {
            cx.problem(
                kind::TYPE,
                place,
                "config",
                "can only be a hash or an array",
                node.span,
            )
            .help = Some("write a list: `needs: [job]`".to_owned());
        }
    }
    let numbered = |item: &&Node| {
        let parallel = item.as_map().and_then(|map| present(map, "parallel"));
        parallel
            .filter(|node| node.as_map().is_none())
            .map(|node| node.span)
    };
    if let Some(span) = items.iter().find_map(numbered) {
        let problem = "cannot use \"parallel: <number>\".";
        cx.problem(kind::VALUE, place, "config", problem, span);
    }
    if cx.errors() > errors {
        return None;
    }

    let below = place.child("need");
    let mut needs = Vec::new();
    let mut elsewhere = Vec::new();
    for item in items {
        match item.as_map() {
            Some(map) if is_elsewhere(map) => elsewhere.push(item),
            _ => needs.extend(need(cx, &below, item)),
        }
    }
    needs_elsewhere(cx, place, &elsewhere, owner);
    (cx.errors() == errors).then_some(needs)
}

fn is_elsewhere(map: &Map) -> bool {
    map.get("pipeline").is_some() || map.get("project").is_some()
}

/// Needs of other pipelines and projects.
fn needs_elsewhere(cx: &mut Checker<'_>, place: &Place<'_>, items: &[&Node], owner: Owner) {
    let Some(first) = items.first() else { return };
    if owner == Owner::Rule {
        let problem = "uses invalid types: cross_dependency";
        cx.problem(kind::VALUE, place, "config", problem, first.span);
        return;
    }
    if items.len() > MAX_CROSS_PIPELINE {
        let problem = format!("must be less than or equal to {MAX_CROSS_PIPELINE}");
        cx.problem(kind::LIMIT, place, "config", problem, first.span);
    }
    for item in items {
        let project = item
            .as_map()
            .is_some_and(|map| map.get("project").is_some());
        let what = if project {
            "needs:project"
        } else {
            "needs:pipeline"
        };
        cx.unsupported(what, item.span);
    }
}

fn need(cx: &mut Checker<'_>, place: &Place<'_>, node: &Node) -> Option<WrittenNeed> {
    if let Some(job) = node.as_str() {
        if is_blank(node) {
            cx.problem(kind::BLANK, place, "config", "can't be blank", node.span);
        }
        let job = job.to_owned();
        let need = WrittenNeed {
            span: node.span,
            job,
            artifacts: true,
            optional: false,
            matrix: None,
        };
        return Some(need);
    }
    let Some((map, job)) = node.as_map().and_then(|map| Some((map, map.get("job")?))) else {
        cx.problem(kind::TYPE, place, "", "has an unsupported type", node.span)
            .help = Some("a need is a job's name, or a map with the key `job`".to_owned());
        return None;
    };
    cx.known_keys(place, map, &["job", "artifacts", "optional", "parallel"]);
    if job.as_str().is_none() {
        cx.problem(kind::TYPE, place, "job", "should be a string", job.span);
    }
    if is_blank(job) {
        cx.problem(kind::BLANK, place, "job", "can't be blank", job.span);
    }
    let artifacts = cx.boolean(place, map, "artifacts").unwrap_or(true);
    let optional = cx.boolean(place, map, "optional").unwrap_or_default();
    let matrix = present(map, "parallel")
        .and_then(|node| parallel::needed_matrix(cx, &place.child("parallel"), node));
    let name = job.as_str().unwrap_or_default().to_owned();
    Some(WrittenNeed {
        span: job.span,
        job: name,
        artifacts,
        optional,
        matrix,
    })
}
