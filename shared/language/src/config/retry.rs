//! `retry`, and the exit codes that `allow_failure` shares with it.

use fleet_model::Retry;

use super::check::{Checker, Place, join, kind, present, shown, strings_of};
use crate::{Map, Node, Value};

/// The keys of `retry`.
pub(super) const KEYS: &[&str] = &["max", "when", "exit_codes"];

const MAX: i128 = 2;

/// `always` and the failure reasons that may be named, GitLab's and those of
/// agents.
const REASONS: &[&str] = &[
    "always",
    "unknown_failure",
    "script_failure",
    "api_failure",
    "stuck_or_timeout_failure",
    "runner_system_failure",
    "missing_dependency_failure",
    "runner_unsupported",
    "stale_schedule",
    "job_execution_timeout",
    "archived_failure",
    "unmet_prerequisites",
    "scheduler_failure",
    "data_integrity_failure",
    "forward_deployment_failure",
    "user_blocked",
    "project_deleted",
    "ci_quota_exceeded",
    "pipeline_loop_detected",
    "no_matching_runner",
    "trace_size_exceeded",
    "builds_disabled",
    "environment_creation_failure",
    "deployment_rejected",
    "failed_outdated_deployment_job",
    "job_router_failure",
    "job_token_expired",
    "job_execution_server_timeout",
    "insufficient_bridge_permissions",
    "downstream_bridge_project_not_found",
    "invalid_bridge_trigger",
    "bridge_pipeline_is_child_pipeline",
    "downstream_pipeline_creation_failed",
    "protected_environment_failure",
    "secrets_provider_not_found",
    "reached_max_descendant_pipelines_depth",
    "ip_restriction_failure",
    "reached_max_pipeline_hierarchy_size",
    "reached_downstream_pipeline_trigger_rate_limit",
    "upstream_bridge_project_not_found",
    "image_pull_failure",
    "runner_configuration_error",
    "runner_external_dependency_failure",
    "runner_interrupted",
];

/// `retry`: a number or a map. GitLab's sentences do not name the job.
pub(super) fn retry(cx: &mut Checker<'_>, node: &Node) -> Option<Retry> {
    let place = Place::ROOT.child("retry");
    match &node.value {
        Value::Int(max) => {
            let max = in_range(cx, &place, "config", *max, node)?;
            Some(Retry {
                max,
                when: vec!["always".to_owned()],
                exit_codes: Vec::new(),
            })
        }
        Value::Map(map) => {
            let errors = cx.errors();
            cx.known_keys(&place, map, KEYS);
            let max = max(cx, &place, map);
            let when = when(cx, &place, map);
            let codes = exit_codes(cx, &place, map);
            if cx.errors() > errors {
                return None;
            }
            let default = if codes.is_some() {
                Vec::new()
            } else {
                vec!["always".to_owned()]
            };
            Some(Retry {
                max: max.unwrap_or_default(),
                when: when.unwrap_or(default),
                exit_codes: codes.unwrap_or_default(),
            })
        }
        _ => {
            let problem = "has to be either an integer or a hash";
            cx.problem(kind::TYPE, &place, "config", problem, node.span);
            None
        }
    }
}

/// `exit_codes`: a number or a list of numbers.
pub(super) fn exit_codes(cx: &mut Checker<'_>, place: &Place<'_>, map: &Map) -> Option<Vec<i32>> {
    let node = present(map, "exit_codes")?;
    let code = |node: &Node| match node.value {
        Value::Int(code) => i32::try_from(code).ok(),
        _ => None,
    };
    let codes = match &node.value {
        Value::Seq(items) => items.iter().map(code).collect(),
        _ => code(node).map(|code| vec![code]),
    };
    if codes.is_none() {
        let problem = "should be an array of integers or an integer";
        cx.problem(kind::TYPE, place, "exit_codes", problem, node.span);
    }
    codes
}

fn max(cx: &mut Checker<'_>, place: &Place<'_>, map: &Map) -> Option<u32> {
    let node = present(map, "max")?;
    let number = match &node.value {
        Value::Int(number) => Some(*number),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    match number {
        Some(number) => in_range(cx, place, "max", number, node),
        None => {
            let float = matches!(node.value, Value::Float(_))
                || node
                    .as_str()
                    .is_some_and(|text| text.parse::<f64>().is_ok());
            let problem = if float {
                "must be an integer"
            } else {
                "is not a number"
            };
            cx.problem(kind::TYPE, place, "max", problem, node.span);
            None
        }
    }
}

fn in_range(
    cx: &mut Checker<'_>,
    place: &Place<'_>,
    attribute: &str,
    number: i128,
    node: &Node,
) -> Option<u32> {
    let problem = if number > MAX {
        format!("must be less than or equal to {MAX}")
    } else if number < 0 {
        "must be greater than or equal to 0".to_owned()
    } else {
        return u32::try_from(number).ok();
    };
    cx.problem(kind::LIMIT, place, attribute, problem, node.span);
    None
}

fn when(cx: &mut Checker<'_>, place: &Place<'_>, map: &Map) -> Option<Vec<String>> {
    let node = present(map, "when")?;
    if let Some(reason) = node.as_str() {
        if !REASONS.contains(&reason) {
            let problem = "is not included in the list";
            cx.problem(kind::VALUE, place, "when", problem, node.span);
        }
        return Some(vec![reason.to_owned()]);
    }
    let reasons = strings_of(node);
    if reasons.is_none() {
        let problem = "should be an array of strings or a string";
        cx.problem(kind::TYPE, place, "when", problem, node.span);
    }
    if let Value::Seq(items) = &node.value {
        let known = |item: &&Node| item.as_str().is_some_and(|text| REASONS.contains(&text));
        let unknown = join(items.iter().filter(|item| !known(item)).map(shown));
        if !unknown.is_empty() {
            let problem = format!("contains unknown values: {unknown}");
            cx.problem(kind::VALUE, place, "when", problem, node.span);
        }
    }
    reasons
}
