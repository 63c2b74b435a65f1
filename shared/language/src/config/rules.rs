//! `rules` of jobs, of the workflow and of includes.

use super::{
    check::{Checker, Place, is_blank, is_one_of, join, kind, present, shown, strings_of},
    needs::{self, WrittenNeed},
    script,
    timing::{self, WhenWord},
    types::{Rule, RuleChanges, RuleExists, RuleWhen},
    variables::{self, Scope},
    workflow,
};
use crate::{Map, Node, Span, Value, expression::Expression};

/// The keys of `rules:exists`.
pub(super) const EXISTS_KEYS: &[&str] = &["paths", "project", "ref"];

/// The keys of `rules:changes`.
pub(super) const CHANGES_KEYS: &[&str] = &["paths", "compare_to"];

const MAX_PATHS: usize = 50;

/// Whose rules they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A job's.
    Job,
    /// The workflow's.
    Workflow,
    /// An include's.
    Include,
}

impl Owner {
    pub(super) fn keys(self) -> &'static [&'static str] {
        match self {
            Owner::Job => &[
                "if",
                "changes",
                "exists",
                "when",
                "start_in",
                "allow_failure",
                "variables",
                "needs",
                "interruptible",
            ],
            Owner::Workflow => &[
                "if",
                "changes",
                "exists",
                "when",
                "start_in",
                "allow_failure",
                "variables",
                "needs",
                "auto_cancel",
            ],
            Owner::Include => &["if", "changes", "exists", "when"],
        }
    }

    fn words(self) -> &'static [(&'static str, Option<WhenWord>)] {
        match self {
            Owner::Job => &[
                ("on_success", Some(WhenWord::OnSuccess)),
                ("on_failure", Some(WhenWord::OnFailure)),
                ("always", Some(WhenWord::Always)),
                ("never", None),
                ("manual", Some(WhenWord::Manual)),
                ("delayed", Some(WhenWord::Delayed)),
            ],
            Owner::Workflow | Owner::Include => {
                &[("always", Some(WhenWord::Always)), ("never", None)]
            }
        }
    }
}

/// A rule, with its needs as written.
#[derive(Clone, Debug)]
pub(crate) struct WrittenRule {
    pub(crate) rule: Rule,
    pub(super) needs: Option<Vec<WrittenNeed>>,
}

/// Whether a job's `rules` are lists and maps at all; a check of the job itself.
pub(super) fn check_shape(cx: &mut Checker<'_>, place: &Place<'_>, node: &Node) {
    let mut flat = Vec::new();
    let map = |item: &Node| item.as_map().is_some();
    if let Err(culprit) = script::flatten(node, &mut flat, script::MAX_NESTING, &map) {
        let problem = "should be an array containing hashes and arrays of hashes";
        cx.problem(kind::TYPE, place, "rules", problem, culprit.span)
            .help = Some("each rule begins with `- if:` or another key of rules".to_owned());
    }
}

/// A list of rules, nested ones flattened.
pub(crate) fn rules(
    cx: &mut Checker<'_>,
    place: &Place<'_>,
    below: &Place<'_>,
    node: &Node,
    owner: Owner,
) -> Option<Vec<WrittenRule>> {
    match &node.value {
        Value::Seq(items) if items.is_empty() => {
            cx.problem(kind::BLANK, place, "config", "can't be blank", node.span);
            return None;
        }
        Value::Seq(_) => {}
        _ => {
            cx.problem(kind::TYPE, place, "config", "should be an array", node.span);
            return None;
        }
    }
    let mut flat = Vec::new();
    // Accepts everything, so nesting is the only limit and it has none.
    let _ = script::flatten(node, &mut flat, usize::MAX, &|_| true);
    let errors = cx.errors();
    let rules = flat
        .into_iter()
        .filter_map(|item| rule(cx, below, item, owner))
        .collect();
    (cx.errors() == errors).then_some(rules)
}

fn rule(cx: &mut Checker<'_>, place: &Place<'_>, node: &Node, owner: Owner) -> Option<WrittenRule> {
    let errors = cx.errors();
    let map = cx.map(place, node)?;
    if map.entries.is_empty() {
        cx.problem(kind::BLANK, place, "config", "can't be blank", node.span);
        return None;
    }
    cx.known_keys(place, map, owner.keys());
    let condition = present(map, "if").and_then(|node| condition(cx, place, "if", node));
    let when = when(cx, place, map, owner);
    let allow_failure = cx.boolean(place, map, "allow_failure");
    let interruptible = cx.boolean(place, map, "interruptible");
    if cx.errors() > errors {
        return None;
    }

    let changes = present(map, "changes").map(|it| changes(cx, &place.child("changes"), it));
    let exists = present(map, "exists").map(|it| exists(cx, &place.child("exists"), it));
    let variables = present(map, "variables")
        .and_then(|node| variables::variables(cx, &place.child("variables"), node, Scope::Plain));
    let needs = present(map, "needs")
        .map(|node| needs::needs(cx, &place.child("needs"), node, needs::Owner::Rule));
    let auto_cancel = present(map, "auto_cancel")
        .and_then(|node| workflow::auto_cancel(cx, &place.child("auto_cancel"), node));
    if cx.errors() > errors {
        return None;
    }
    let rule = Rule {
        span: node.span,
        condition,
        changes: changes.flatten(),
        exists: exists.flatten(),
        when,
        allow_failure,
        interruptible,
        variables: variables.unwrap_or_default(),
        needs: None,
        auto_cancel,
    };
    Some(WrittenRule {
        rule,
        needs: needs.flatten().map(|needs| needs.jobs),
    })
}

/// The rules, and beside them what each of them needs.
pub(super) fn split(
    rules: Option<Vec<WrittenRule>>,
) -> (Option<Vec<Rule>>, Vec<Option<Vec<WrittenNeed>>>) {
    let Some(rules) = rules else {
        return (None, Vec::new());
    };
    let (rules, needs) = rules
        .into_iter()
        .map(|written| (written.rule, written.needs))
        .unzip();
    (Some(rules), needs)
}

/// An expression; the caret is put where reading stopped.
pub(super) fn condition(
    cx: &mut Checker<'_>,
    place: &Place<'_>,
    attribute: &str,
    node: &Node,
) -> Option<Expression> {
    let text = node.as_str();
    let error = match text.map(|text| cx.expression(text)) {
        Some(Ok(expression)) => return Some(expression),
        Some(Err(error)) => Some(error),
        None => None,
    };
    let span = error.and_then(|error| inside(cx, node, text?, error.offset));
    let problem = "invalid expression syntax";
    let found = cx.problem(
        kind::EXPRESSION,
        place,
        attribute,
        problem,
        span.unwrap_or(node.span),
    );
    found.help = Some(match error {
        Some(error) => match error.hint {
            Some(hint) => format!("{}; {hint}", error.reason),
            None => error.reason.to_owned(),
        },
        None => "write the expression as text".to_owned(),
    });
    None
}

/// The rest of a text from `offset` on, if it stands in its file as it is.
fn inside(cx: &Checker<'_>, node: &Node, text: &str, offset: usize) -> Option<Span> {
    let file = cx.sources.get(node.span.file)?;
    let start = node.span.start as usize;
    let written = file.text.get(start..node.span.end as usize)?;
    let begin = start.checked_add(written.find(text)?)?;
    let at = u32::try_from(begin.checked_add(offset)?).ok()?;
    let end = u32::try_from(begin.checked_add(text.len())?).ok()?;
    (offset > 0 && at < end).then_some(Span {
        file: node.span.file,
        start: at,
        end,
    })
}

fn when(cx: &mut Checker<'_>, place: &Place<'_>, map: &Map, owner: Owner) -> Option<RuleWhen> {
    let Some(node) = present(map, "when") else {
        refuse_start_in(cx, place, map, owner);
        return None;
    };
    let text = node.as_str();
    let Some((_, word)) = owner.words().iter().find(|(word, _)| Some(*word) == text) else {
        let problem = format!("unknown value: {}", shown(node));
        let words = owner.words().iter().map(|(word, _)| (*word).to_owned());
        let help = format!("it is one of: {}", join(words));
        cx.problem(kind::VALUE, place, "when", problem, node.span)
            .help = Some(help);
        return None;
    };
    let Some(word) = word else {
        refuse_start_in(cx, place, map, owner);
        return Some(RuleWhen::Never);
    };
    if *word != WhenWord::Delayed {
        refuse_start_in(cx, place, map, owner);
        return Some(RuleWhen::Run(word.with_delay(None)));
    }
    let delay = map.get("start_in");
    let at = delay.unwrap_or(node);
    if delay.is_none_or(is_blank) {
        cx.problem(kind::BLANK, place, "start_in", "can't be blank", at.span);
    }
    let delay = timing::start_in(cx, place, delay, at);
    Some(RuleWhen::Run(word.with_delay(delay)))
}

/// `start_in` where nothing is delayed; an include does not know the key at all.
fn refuse_start_in(cx: &mut Checker<'_>, place: &Place<'_>, map: &Map, owner: Owner) {
    if let Some(entry) = map.entry("start_in").filter(|_| owner != Owner::Include) {
        let problem = "contains disallowed keys: start_in";
        cx.problem(kind::KEYS, place, "config", problem, entry.key.span)
            .help = Some("`start_in` goes with `when: delayed`".to_owned());
    }
}

fn changes(cx: &mut Checker<'_>, place: &Place<'_>, node: &Node) -> Option<RuleChanges> {
    let map = match &node.value {
        Value::Seq(_) => {
            let paths = few_paths(cx, place, "config", Some(node), node)?;
            return Some(RuleChanges {
                paths,
                compare_to: None,
            });
        }
        Value::Map(map) => map,
        _ => {
            cx.problem(
                kind::TYPE,
                place,
                "",
                "should be an array or a hash",
                node.span,
            );
            return None;
        }
    };
    let errors = cx.errors();
    cx.known_keys(place, map, CHANGES_KEYS);
    require(cx, place, map, &["paths"], node);
    let paths = few_paths(cx, place, "paths", map.get("paths"), node);
    let compare_to = cx.string(place, map, "compare_to");
    (cx.errors() == errors).then_some(RuleChanges {
        paths: paths?,
        compare_to,
    })
}

fn exists(cx: &mut Checker<'_>, place: &Place<'_>, node: &Node) -> Option<RuleExists> {
    let map = match &node.value {
        Value::String(path) => {
            return Some(RuleExists {
                paths: vec![path.clone()],
                project: None,
                reference: None,
            });
        }
        Value::Seq(_) => {
            let paths = few_paths(cx, place, "config", Some(node), node)?;
            return Some(RuleExists {
                paths,
                project: None,
                reference: None,
            });
        }
        Value::Map(map) => map,
        _ => {
            let problem = "should be a string, an array of strings, or a hash";
            cx.problem(kind::TYPE, place, "", problem, node.span);
            return None;
        }
    };
    let errors = cx.errors();
    cx.known_keys(place, map, EXISTS_KEYS);
    if map.get("project").is_some() {
        require(cx, place, map, &["paths"], node);
    }
    if map.get("ref").is_some() {
        require(cx, place, map, &["project"], node);
    }
    let paths = match map.get("paths") {
        None => Some(Vec::new()),
        paths => few_paths(cx, place, "paths", paths, node),
    };
    let reference = cx.string(place, map, "ref");
    let project = cx.string(place, map, "project");
    (cx.errors() == errors).then_some(RuleExists {
        paths: paths?,
        project,
        reference,
    })
}

fn require(cx: &mut Checker<'_>, place: &Place<'_>, map: &Map, keys: &[&str], node: &Node) {
    let missing: Vec<&str> = keys
        .iter()
        .copied()
        .filter(|key| !map.entries.iter().any(|it| is_one_of(&it.key, &[key])))
        .collect();
    if !missing.is_empty() {
        let problem = format!("missing required keys: {}", missing.join(", "));
        cx.problem(kind::MISSING_KEY, place, "config", problem, node.span);
    }
}

/// A list of paths with GitLab's limit. What is no list at all is also too long.
fn few_paths(
    cx: &mut Checker<'_>,
    place: &Place<'_>,
    attribute: &str,
    node: Option<&Node>,
    whole: &Node,
) -> Option<Vec<String>> {
    let paths = node.and_then(strings_of);
    let span = node.unwrap_or(whole).span;
    if paths.is_none() {
        cx.problem(
            kind::TYPE,
            place,
            attribute,
            "should be an array of strings",
            span,
        );
    }
    let absent = node.is_none_or(|node| node.value == Value::Null);
    let long =
        node.is_some_and(|node| matches!(&node.value, Value::Seq(all) if all.len() > MAX_PATHS));
    if absent || long {
        let problem = format!("has too many entries (maximum {MAX_PATHS})");
        cx.problem(kind::LIMIT, place, attribute, problem, span);
        return None;
    }
    paths
}

/// The warning that a last rule without a condition makes pipelines twice.
pub(super) fn warn_about_last(cx: &mut Checker<'_>, place: &Place<'_>, node: &Node) {
    let mut flat = Vec::new();
    // Only rules that passed the checks come here.
    let _ = script::flatten(node, &mut flat, usize::MAX, &|_| true);
    let Some(last) = flat.last() else { return };
    let Some([only]) = last.as_map().map(|map| map.entries.as_slice()) else {
        return;
    };
    if is_one_of(&only.key, &["when"]) && only.value.as_str().is_some_and(|word| word != "never") {
        let message = format!(
            "{place} may allow multiple pipelines to run for a single action due to `rules:when` \
             clause with no `workflow:rules` - read more: https://docs.gitlab.com/ee/ci/jobs/\
             job_troubleshooting.html#job-may-allow-multiple-pipelines-to-run-for-a-single-\
             action-warning"
        );
        cx.warning("multiple-pipelines", message.to_lowercase(), last.span);
    }
}
