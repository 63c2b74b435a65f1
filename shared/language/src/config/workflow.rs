//! `workflow`.

use fleet_model::{AutoCancel, OnJobFailure, OnNewCommit};

use super::{
    check::{Checker, Place, kind, present},
    rules::{self, Owner},
    types::Workflow,
};
use crate::{Map, Node};

/// The keys of `workflow:auto_cancel`.
pub(super) const AUTO_CANCEL_KEYS: &[&str] = &["on_new_commit", "on_job_failure"];

/// The keys of `workflow`.
pub(super) const KEYS: &[&str] = &["name", "rules", "auto_cancel"];

const MAX_NAME: usize = 255;

/// `workflow`; with its rules' needs left out, which mean nothing there.
pub(super) fn workflow(cx: &mut Checker<'_>, node: &Node) -> Option<Workflow> {
    let place = Place::ROOT.child("workflow");
    let errors = cx.errors();
    let map = cx.map(&place, node)?;
    cx.known_keys(&place, map, KEYS);
    let name = name(cx, &place, map);
    if cx.errors() > errors {
        return None;
    }
    let below = place.child("rules");
    let rules = present(map, "rules").map(|node| {
        let rules = rules::rules(cx, &below, &below.child("rule"), node, Owner::Workflow)?;
        Some(rules.into_iter().map(|written| written.rule).collect())
    });
    let auto_cancel = present(map, "auto_cancel")
        .map(|node| self::auto_cancel(cx, &place.child("auto_cancel"), node));
    (cx.errors() == errors).then_some(Workflow {
        name,
        rules: rules.flatten(),
        auto_cancel: auto_cancel.flatten().unwrap_or_default(),
    })
}

/// Whether there is a key `workflow:rules`, whatever it holds.
pub(super) fn has_rules(node: Option<&Node>) -> bool {
    node.and_then(Node::as_map)
        .is_some_and(|map| map.get("rules").is_some())
}

fn name(cx: &mut Checker<'_>, place: &Place<'_>, map: &Map) -> Option<String> {
    let text = cx.string(place, map, "name")?;
    if text.chars().count() > MAX_NAME
        && let Some(node) = map.get("name")
    {
        let problem = format!("is too long (maximum is {MAX_NAME} characters)");
        cx.problem(kind::LIMIT, place, "name", problem, node.span);
    }
    Some(text.trim().to_owned())
}

/// `auto_cancel`: what a job's failure and a newer pipeline do.
pub(super) fn auto_cancel(
    cx: &mut Checker<'_>,
    place: &Place<'_>,
    node: &Node,
) -> Option<AutoCancel> {
    let errors = cx.errors();
    let map = cx.map(place, node)?;
    cx.known_keys(place, map, AUTO_CANCEL_KEYS);
    let words = &[
        ("conservative", OnNewCommit::Conservative),
        ("interruptible", OnNewCommit::Interruptible),
        ("none", OnNewCommit::None),
    ];
    let problem = "must be one of: conservative, interruptible, none";
    let on_new_commit = cx.word(place, map, "on_new_commit", words, problem);
    let words = &[("none", OnJobFailure::None), ("all", OnJobFailure::All)];
    let on_job_failure = cx.word(
        place,
        map,
        "on_job_failure",
        words,
        "must be one of: none, all",
    );
    (cx.errors() == errors).then(|| AutoCancel {
        on_job_failure: on_job_failure.unwrap_or_default(),
        on_new_commit: on_new_commit.unwrap_or_default(),
    })
}
