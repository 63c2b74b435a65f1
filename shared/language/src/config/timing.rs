//! `when`, `start_in` and `timeout`.

use std::time::Duration;

use fleet_model::When;

use super::check::{Checker, Place, is_blank, kind, present};
use crate::{Map, Node, duration};

const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// GitLab's month: a twelfth of 365.2425 days.
const MONTH: Duration = Duration::from_secs(2_629_746);

/// A `when` before its delay is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WhenWord {
    OnSuccess,
    OnFailure,
    Always,
    Manual,
    Delayed,
}

impl WhenWord {
    /// Joined with its delay, which only `delayed` has.
    pub(super) fn with_delay(self, delay: Option<Duration>) -> When {
        match self {
            WhenWord::OnSuccess => When::OnSuccess,
            WhenWord::OnFailure => When::OnFailure,
            WhenWord::Always => When::Always,
            WhenWord::Manual => When::Manual,
            WhenWord::Delayed => When::Delayed(delay.unwrap_or_default()),
        }
    }
}

/// The words of `when` in a job.
pub(super) const WORDS: &[(&str, WhenWord)] = &[
    ("on_success", WhenWord::OnSuccess),
    ("on_failure", WhenWord::OnFailure),
    ("always", WhenWord::Always),
    ("manual", WhenWord::Manual),
    ("delayed", WhenWord::Delayed),
];

/// `when` and `start_in` of a job.
pub(super) fn when(cx: &mut Checker<'_>, place: &Place<'_>, map: &Map) -> When {
    let problem = "should be one of: on_success, on_failure, always, manual, delayed";
    let word = cx
        .word(place, map, "when", WORDS, problem)
        .unwrap_or(WhenWord::OnSuccess);
    if map.get("when").and_then(Node::as_str) == Some("never")
        && let Some(found) = cx.diagnostics.last_mut()
    {
        found.help = Some("`when: never` belongs in a rule".to_owned());
    }
    let delay = present(map, "start_in");
    let has_rules = map.get("rules").is_some();
    if let Some(delay) = delay
        && (word != WhenWord::Delayed || has_rules)
    {
        if !is_blank(delay) {
            let help =
                "`start_in` goes with `when: delayed`, in the same rule where there are rules";
            cx.problem(kind::KEYS, place, "start_in", "must be blank", delay.span)
                .help = Some(help.to_owned());
        }
        return word.with_delay(None);
    }
    if word != WhenWord::Delayed {
        return word.with_delay(None);
    }
    let at = delay.or_else(|| map.get("when"));
    word.with_delay(at.and_then(|at| start_in(cx, place, delay, at)))
}

/// `when` of a trigger job, which nothing delays.
pub(super) fn when_of_trigger(cx: &mut Checker<'_>, place: &Place<'_>, map: &Map) -> When {
    let words: Vec<(&str, WhenWord)> = WORDS
        .iter()
        .copied()
        .filter(|(_, word)| *word != WhenWord::Delayed)
        .collect();
    let problem = "should be one of: on_success, on_failure, always, manual";
    cx.word(place, map, "when", &words, problem)
        .unwrap_or(WhenWord::OnSuccess)
        .with_delay(None)
}

/// A `start_in` that must be there; `at` is where to complain.
pub(super) fn start_in(
    cx: &mut Checker<'_>,
    place: &Place<'_>,
    node: Option<&Node>,
    at: &Node,
) -> Option<Duration> {
    limited(cx, place, "start_in", node, at, WEEK)
}

/// `timeout`.
pub(super) fn timeout(cx: &mut Checker<'_>, place: &Place<'_>, node: &Node) -> Option<Duration> {
    limited(cx, place, "config", Some(node), node, MONTH)
}

/// A duration with a limit; an unreadable one is also beyond it, says GitLab.
fn limited(
    cx: &mut Checker<'_>,
    place: &Place<'_>,
    attribute: &str,
    node: Option<&Node>,
    at: &Node,
    limit: Duration,
) -> Option<Duration> {
    let seconds = node
        .and_then(Node::as_str)
        .and_then(|text| duration::parse(text).ok());
    let parsed = seconds.map(|it| Duration::try_from_secs_f64(it).unwrap_or(Duration::MAX));
    if parsed.is_none() {
        cx.problem(
            kind::VALUE,
            place,
            attribute,
            "should be a duration",
            at.span,
        )
        .help = Some("for example: 30 minutes, 1h 30m; as text, not as a number".to_owned());
    }
    if parsed.is_none_or(|duration| duration > limit) {
        cx.problem(
            kind::LIMIT,
            place,
            attribute,
            "should not exceed the limit",
            at.span,
        );
        return None;
    }
    parsed
}
