use fleet_model::{FailureReason, Outcome, RegistryLogin, Token, Variable};

use super::world::{World, after, gone, step, with};

#[tokio::test]
async fn stages_come_in_order_and_nothing_empty_is_shown() {
    let world = World::new();
    let script = ["export A=1", "echo \"A=$A\"", "echo l1\necho l2"];
    let job = after(world.job(&script), &["echo \"A=[$A] $CI_JOB_STATUS\""]);
    let ran = world.run(job).await.succeeds().shows(&[
        "Running with fleet-agent",
        "on host-1",
        "Preparing the \"shell\" executor",
        "Using Shell (bash) executor...",
        "Preparing environment",
        "Running on ",
        "Getting source from Git repository",
        "as detached HEAD (ref is main)...",
        "Executing \"step_script\" stage of the job script",
        "$ export A=1",
        "$ echo \"A=$A\"",
        "A=1",
        "$ echo l1 # collapsed multi-line command",
        "l1",
        "l2",
        "Running after_script",
        "Running after script...",
        "A=[] success",
        "Cleaning up project directory and file based variables",
        "Job succeeded",
    ]);
    assert!(ran.raw.contains("\x1b[32;1m$ export A=1\x1b[0;m\n"));
    let ran = ran
        .hides("Restoring cache")
        .hides("Saving cache")
        .hides("Uploading")
        .hides("Downloading");
    let sections: Vec<&str> = ran
        .raw
        .split('\r')
        .filter_map(|part| part.rsplit_once("section_").map(|(_, marker)| marker))
        .collect();
    let names: Vec<String> = sections
        .iter()
        .map(|marker| {
            let mut parts = marker.splitn(3, ':');
            format!("{} {}", parts.next().unwrap(), parts.nth(1).unwrap())
        })
        .collect();
    let stages = [
        "prepare_executor",
        "prepare_script",
        "get_sources",
        "step_script",
        "after_script",
        "cleanup_file_variables",
    ];
    let expected: Vec<String> = stages
        .iter()
        .flat_map(|s| [format!("start {s}"), format!("end {s}")])
        .collect();
    assert_eq!(names, expected);
}

#[tokio::test]
async fn the_exit_code_of_the_script_is_the_jobs() {
    let world = World::new();
    let job = after(
        world.job(&["echo x > out.txt", "exit 42", "echo never"]),
        &["echo st=$CI_JOB_STATUS; test -f out.txt && echo there"],
    );
    let ran = world
        .run(job)
        .await
        .fails(FailureReason::SCRIPT_FAILURE, 42);
    let ran = ran
        .shows(&["st=failed", "there", "ERROR: Job failed: exit status 42"])
        .hides("$ echo never");
    assert_eq!(ran.finished.message, "exit status 42");
    assert!(ran.raw.contains("section_end:") && ran.raw.contains(":step_script\r"));
}

#[tokio::test]
async fn standard_input_is_empty_and_pipes_fail() {
    let world = World::new();
    let script = [
        "false || echo caught",
        "cat",
        "read X || echo eof",
        "(echo a; exit 3) | cat",
        "echo never",
    ];
    let ran = world
        .run(world.job(&script))
        .await
        .fails(FailureReason::SCRIPT_FAILURE, 3);
    ran.shows(&["caught", "eof", "a"]).hides("$ echo never");
}

#[tokio::test]
async fn values_reach_the_script_byte_for_byte() {
    let world = World::new();
    let odd = "a'b\"c$HOME`id`\\n\nx ";
    let mut job = world.job(&[
        "printf %s \"$V1\" > v1; printf %s \"$V2\" > v2",
        "echo \"[${V3-unset}]\"; printf %s \"$V4\" | wc -c; wc -c < \"$F\"; echo \"$F\"; cp \"$F\" f",
    ]);
    let mut file = Variable::new("F", "line1\nline2").raw();
    file.file = true;
    let long = "y".repeat(100 << 10);
    job.variables = [("V1", odd), ("V2", "世界 🎉"), ("V3", ""), ("V4", &long)]
        .map(|(key, value)| Variable::new(key, value).raw())
        .to_vec();
    job.variables.push(file);
    let path = format!("{}.tmp/F", world.project().display());
    world
        .run(job)
        .await
        .succeeds()
        .shows(&["[]", "102400", "11", &path]);
    let kept = |name: &str| std::fs::read_to_string(world.project().join(name)).unwrap();
    assert_eq!(
        (kept("v1").as_str(), kept("v2").as_str(), kept("f").as_str()),
        (odd, "世界 🎉", "line1\nline2")
    );
    assert!(
        !std::path::Path::new(&path).exists(),
        "the file outlived the job"
    );
}

#[tokio::test]
async fn secrets_show_nowhere() {
    let world = World::new();
    let mut job = world.job(&[
        "echo $S; printf 's3cr'; printf '3t-value\\n' ; echo \"x${S}y${S}\"",
        "echo \"$M\"; echo \"http://h/?private_token=abc&x=1\"; echo glpat-ABCdef_123; echo $S | base64",
        "set -x; echo $S; exit 1",
    ]);
    job.variables = vec![
        Variable::new("S", "s3cr3t-value").masked(),
        Variable::new("M", "line-one\nline-two").masked(),
    ];
    let ran = world
        .run(job)
        .await
        .fails(FailureReason::SCRIPT_FAILURE, 1)
        .shows(&[
            "[MASKED]",
            "x[MASKED]y[MASKED]",
            "[MASKED]",
            "?private_token=[MASKED]&x=1",
            "glpat-[MASKED]",
            "czNjcjN0LXZhbHVlCg==",
            "+ echo [MASKED]",
        ]);
    ran.hides("s3cr3t-value")
        .hides("line-two")
        .hides("token-of-the-job");
}

#[tokio::test]
async fn the_job_knows_where_it_is() {
    let world = World::new();
    let script = [
        "pwd; echo $CI_PROJECT_DIR; echo $CI_BUILDS_DIR; echo $RUNNER_TEMP_PROJECT_DIR",
        "echo $CI_CONCURRENT_ID/$CI_CONCURRENT_PROJECT_ID $CI_SERVER $CI_JOB_STATUS $CI_JOB_TIMEOUT",
        "echo $CI_SHARED_ENVIRONMENT $CI_RUNNER_SHORT_TOKEN ${CI_DISPOSABLE_ENVIRONMENT-none} $FF_TIMESTAMPS",
    ];
    let project = world.project().display().to_string();
    let builds = world.path("builds").display().to_string();
    world.run(world.job(&script)).await.succeeds().shows(&[
        &project,
        &project,
        &builds,
        &format!("{project}.tmp"),
        "0/0 yes running 3600",
        "true host-1 none true",
    ]);
}

#[tokio::test]
async fn what_the_agent_says_of_itself_cannot_be_overridden() {
    let world = World::new();
    let job = with(
        world.job(&["echo $CI_SHARED_ENVIRONMENT $CI_SERVER $FF_SCRIPT_SECTIONS"]),
        &[
            ("CI_SHARED_ENVIRONMENT", "no"),
            ("CI_SERVER", "mine"),
            ("FF_SCRIPT_SECTIONS", "maybe"),
        ],
    );
    world.run(job).await.succeeds().shows(&[
        "WARNING: FF_SCRIPT_SECTIONS: expected bool, got \"maybe\", using false",
        "true mine false",
    ]);
}

#[tokio::test]
async fn names_no_shell_can_export_are_left_out_with_a_warning() {
    let world = World::new();
    let job = with(
        world.job(&["echo $GOOD"]),
        &[("BAD-NAME", "1"), ("GOOD", "2")],
    );
    world.run(job).await.succeeds().shows(&[
        "WARNING: variables that no shell can export are left out: BAD-NAME",
        "2",
    ]);
}

#[tokio::test]
async fn gitlab_env_carries_variables_from_script_to_after_script() {
    let world = World::new();
    let job = after(
        world.job(&["echo 'A=b c' >> $GITLAB_ENV"]),
        &["echo \"<$A>\""],
    );
    world.run(job).await.succeeds().shows(&["<b c>"]);
    world
        .run(after(world.job(&["true"]), &["echo \"<$A>\""]))
        .await
        .succeeds()
        .shows(&["<>"]);
}

#[tokio::test]
async fn steps_run_in_order_until_one_fails() {
    let world = World::new();
    let mut job = world.job(&["echo one"]);
    job.steps.push(step("release", &["echo two ${A}; exit 5"]));
    job.steps.push(step("later", &["echo never"]));
    let ran = world
        .run(with(job, &[("A", "x")]))
        .await
        .fails(FailureReason::SCRIPT_FAILURE, 5);
    ran.shows(&[
        "one",
        "Executing \"step_release\" stage",
        "$ echo two x; exit 5",
        "two x",
    ])
    .hides("never");
}

#[tokio::test]
async fn a_failing_after_script_changes_nothing_unless_asked_to() {
    let world = World::new();
    let job = || after(world.job(&["true"]), &["exit 4"]);
    world
        .run(job())
        .await
        .succeeds()
        .shows(&["WARNING: after_script failed, but job will continue unaffected: exit status 4"]);
    let strict = with(job(), &[("AFTER_SCRIPT_IGNORE_ERRORS", "false")]);
    world
        .run(strict)
        .await
        .fails(FailureReason::SCRIPT_FAILURE, 4);
    let mut both = with(job(), &[("AFTER_SCRIPT_IGNORE_ERRORS", "false")]);
    both.steps[0] = step("script", &["exit 2"]);
    world
        .run(both)
        .await
        .fails(FailureReason::SCRIPT_FAILURE, 2);
}

#[tokio::test]
async fn nothing_of_a_job_is_left_running() {
    let world = World::new();
    let job = world.job(&[
        "setsid bash -c 'trap \"\" TERM; sleep 1000 & echo $! > pid; wait' >/dev/null 2>&1 </dev/null &",
        "until [ -s pid ]; do :; done",
    ]);
    world.run(job).await.succeeds();
    assert!(gone(
        &std::fs::read_to_string(world.project().join("pid")).unwrap()
    ));
}

#[tokio::test]
async fn a_script_killed_by_a_signal_says_so() {
    let world = World::new();
    let ran = world.run(world.job(&["kill -KILL $$"])).await;
    ran.fails(FailureReason::SCRIPT_FAILURE, -1)
        .shows(&["ERROR: Job failed: signal: killed"]);
}

#[tokio::test]
async fn caches_are_said_not_to_be_carried_out() {
    let world = World::new();
    let mut job = with(world.job(&["true"]), &[("K", "lock")]);
    job.caches.push(fleet_model::Cache {
        key: "$K-1".into(),
        fallback_keys: Vec::new(),
        paths: vec!["c/".into()],
        untracked: false,
        policy: "pull-push".into(),
        when: fleet_model::ArtifactWhen::OnSuccess,
    });
    world
        .run(job)
        .await
        .succeeds()
        .shows(&["Restoring cache", "WARNING: cache lock-1 is not restored"]);
}

#[tokio::test]
async fn nul_bytes_are_refused_before_anything_runs() {
    let world = World::new();
    let ran = world.run(world.job(&["echo a\0b"])).await;
    let ran = ran.fails(FailureReason::RUNNER_CONFIGURATION_ERROR, 0);
    assert!(!matches!(ran.finished.outcome, Outcome::Success));
}

#[tokio::test]
async fn a_log_over_its_limit_keeps_its_end() {
    let mut world = World::new();
    world.output_limit = 4096;
    let ran = world
        .run(world.job(&["head -c 3000000 /dev/zero | tr '\\0' x; echo; exit 5"]))
        .await;
    let ran = ran.fails(FailureReason::SCRIPT_FAILURE, 5);
    let ran = ran.shows(&[
        "Job's log exceeded limit of 4096 bytes.",
        "ERROR: Job failed: exit status 5",
    ]);
    assert!(ran.raw.len() < 2_000_000);
}

#[tokio::test]
async fn every_job_has_a_docker_configuration_of_its_own() {
    let world = World::new();
    let mut job = world.job(&[
        "test \"$DOCKER_CONFIG\" = \"$CI_PROJECT_DIR.tmp/.docker\"",
        "cat \"$DOCKER_CONFIG/config.json\"",
        "stat -c %a \"$DOCKER_CONFIG\" \"$DOCKER_CONFIG/config.json\"",
        "mkdir \"$DOCKER_CONFIG/left\"",
    ]);
    job.registries.push(RegistryLogin {
        registry: "reg.example:5000".into(),
        username: "builder".into(),
        password: Token("the-password".into()),
    });
    let config =
        r#"{"auths": {"other.example": {"auth": "dTpzZWNyZXQtd29yZA=="}}, "credsStore": "x"}"#;
    let job = with(job, &[("DOCKER_AUTH_CONFIG", config)]);
    let folder = world.path("builds/0/group/project.tmp/.docker");
    for _again in 0..2 {
        world
            .run(job.clone())
            .await
            .succeeds()
            .shows(&[
                "$DOCKER_AUTH_CONFIG names credential helpers",
                "\"other.example\": {",
                "\"auth\": \"[MASKED]\"",
                "\"reg.example:5000\": {",
                "700",
                "600",
            ])
            .hides("dTpzZWNyZXQtd29yZA==")
            .hides("the-password");
        assert!(!folder.exists());
    }
    let own = with(
        world.job(&["echo \"own=$DOCKER_CONFIG\""]),
        &[("DOCKER_CONFIG", "/some/where")],
    );
    world.run(own).await.succeeds().shows(&["own=/some/where"]);
    let failed = world.job(&["exit 3"]);
    world
        .run(failed)
        .await
        .fails(FailureReason::SCRIPT_FAILURE, 3);
    assert!(!folder.exists());
}
