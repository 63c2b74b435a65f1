//! Whether a failed attempt is tried again by itself.

use fleet_model::Retry;

/// Attempts that failed for the scheduler's own reasons are tried again this
/// often, whatever the job says. As GitLab does.
const SCHEDULER_RETRIES: u32 = 2;

/// Reasons that no further attempt can mend: those of GitLab, and an image that went
/// with its host.
const NEVER: [&str; 6] = [
    "host_coupling_lost",
    "ci_quota_exceeded",
    "no_matching_runner",
    "missing_dependency_failure",
    "forward_deployment_failure",
    "environment_creation_failure",
];

/// Says whether attempt number `attempt`, which failed for `reason` with the
/// script's `exit_code` (0: none), is followed by another.
pub(crate) fn tries_again(retry: &Retry, attempt: u32, reason: &str, exit_code: i32) -> bool {
    if NEVER.contains(&reason) {
        return false;
    }
    let retries = attempt.saturating_sub(1);
    if reason == "scheduler_failure" && retries < SCHEDULER_RETRIES {
        return true;
    }
    let known_as = known_as(reason);
    let reason_fits = retry
        .when
        .iter()
        .any(|when| when == "always" || when == reason || when == known_as);
    let exit_code_fits = exit_code != 0 && retry.exit_codes.contains(&exit_code);
    let nothing_asked = retry.when.is_empty() && retry.exit_codes.is_empty();
    retries < retry.max && (reason_fits || exit_code_fits || nothing_asked)
}

/// The name under which people who write `retry:when` know a reason.
///
/// gitlab-runner sends these newer names only to servers that ask for them, so
/// in pipeline files they go by the older ones.
fn known_as(reason: &str) -> &str {
    match reason {
        "image_pull_failure" | "runner_external_dependency_failure" => "runner_system_failure",
        "runner_configuration_error" => "script_failure",
        "script_failure"
        | "runner_system_failure"
        | "job_execution_timeout"
        | "api_failure"
        | "stuck_or_timeout_failure"
        | "missing_dependency_failure"
        | "runner_unsupported"
        | "stale_schedule"
        | "archived_failure"
        | "unmet_prerequisites"
        | "scheduler_failure"
        | "data_integrity_failure"
        | "job_execution_server_timeout"
        | "user_blocked"
        | "project_deleted"
        | "pipeline_loop_detected"
        | "trace_size_exceeded"
        | "builds_disabled"
        | "deployment_rejected"
        | "failed_outdated_deployment_job"
        | "protected_environment_failure"
        | "downstream_pipeline_creation_failed"
        | "host_coupling_lost" => reason,
        _ => "unknown_failure",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry(max: u32, when: &[&str], exit_codes: &[i32]) -> Retry {
        Retry {
            max,
            when: when.iter().map(ToString::to_string).collect(),
            exit_codes: exit_codes.to_vec(),
        }
    }

    #[test]
    fn retries_stop_at_max() {
        let twice = retry(2, &["always"], &[]);
        assert!(tries_again(&twice, 1, "script_failure", 1));
        assert!(tries_again(&twice, 2, "script_failure", 1));
        assert!(!tries_again(&twice, 3, "script_failure", 1));
        assert!(!tries_again(&Retry::default(), 1, "script_failure", 1));
    }

    #[test]
    fn only_named_reasons_are_tried_again() {
        let system = retry(2, &["runner_system_failure"], &[]);
        assert!(tries_again(&system, 1, "runner_system_failure", 0));
        assert!(!tries_again(&system, 1, "script_failure", 1));
    }

    #[test]
    fn newer_reasons_count_as_the_older_ones_they_were_split_from() {
        for (when, reason) in [
            ("runner_system_failure", "image_pull_failure"),
            (
                "runner_system_failure",
                "runner_external_dependency_failure",
            ),
            ("script_failure", "runner_configuration_error"),
            ("unknown_failure", "runner_interrupted"),
            ("unknown_failure", "a_name_of_the_future"),
        ] {
            assert!(tries_again(&retry(1, &[when], &[]), 1, reason, 0));
            assert!(tries_again(&retry(1, &[reason], &[]), 1, reason, 0));
        }
    }

    #[test]
    fn exit_codes_alone_exclude_other_failures() {
        let by_code = retry(1, &[], &[3, 137]);
        assert!(tries_again(&by_code, 1, "script_failure", 137));
        assert!(!tries_again(&by_code, 1, "script_failure", 1));
        assert!(!tries_again(&by_code, 1, "runner_system_failure", 0));
    }

    #[test]
    fn number_alone_covers_every_reason() {
        assert!(tries_again(&retry(1, &[], &[]), 1, "script_failure", 1));
    }

    #[test]
    fn some_reasons_are_never_tried_again() {
        for reason in NEVER {
            assert!(!tries_again(
                &retry(2, &["always", reason], &[]),
                1,
                reason,
                0
            ));
        }
    }

    #[test]
    fn scheduler_failure_is_tried_twice_more_whatever_the_job_says() {
        assert!(tries_again(&Retry::default(), 2, "scheduler_failure", 0));
        assert!(!tries_again(&Retry::default(), 3, "scheduler_failure", 0));
    }
}
