use std::path::Path;
use std::time::Duration;

use fleet_model::AgentName;
use tempfile::TempDir;
use tokio::sync::watch;

use super::descendants::Descendants;
use super::shell::Host;
use super::*;
use crate::{Settings, Shell as ShellSettings};

/// Never stops anything, or when its sender says so.
struct When(watch::Receiver<Option<Force>>);

impl Stop for When {
    async fn requested(&mut self) -> Force {
        loop {
            if self.0.changed().await.is_err() {
                std::future::pending().await
            }
            if let Some(force) = *self.0.borrow_and_update() {
                return force;
            }
        }
    }
}

fn never() -> When {
    When(watch::channel(None).1)
}

fn settings(folder: &Path, grace: Duration) -> Settings {
    Settings {
        name: AgentName("a".into()),
        slots: 1,
        tags: Vec::new(),
        run_untagged: true,
        builds_dir: folder.to_owned(),
        state_dir: folder.to_owned(),
        shell: ShellSettings {
            program: "bash".into(),
            login: false,
        },
        docker: None,
        graceful_kill: grace,
        output_limit: 1 << 20,
        log: crate::Log::default(),
    }
}

/// How the job's processes are found.
#[derive(Clone, Copy, PartialEq)]
enum Hold {
    Best,
    Cookie,
}

const BOTH: [Hold; 2] = [Hold::Best, Hold::Cookie];

struct Test {
    folder: TempDir,
    host: Host,
}

impl Test {
    async fn new(hold: Hold) -> Test {
        let folder = TempDir::new().unwrap();
        let settings = settings(folder.path(), Duration::from_secs(3600));
        let shell = Shell::new(&settings, Mark::new());
        let mut host = shell.host();
        if hold == Hold::Cookie {
            host.descendants = Descendants::without_cgroup();
        }
        Test { folder, host }
    }

    async fn run(&mut self, program: &str) -> (Ended, String) {
        self.run_until(program, |_| None, &mut watch::channel(None).0)
            .await
    }

    /// Runs `program`; each time it has written, `react` is asked with the
    /// whole output whether it should stop.
    async fn run_until(
        &mut self,
        program: &str,
        react: impl Fn(&str) -> Option<Force> + Send + Sync,
        sender: &mut watch::Sender<Option<Force>>,
    ) -> (Ended, String) {
        let mut stop = When(sender.subscribe());
        let program = format!("cd '{}'\n{program}", self.folder.path().display());
        let mut text = Vec::new();
        let mut output = |bytes: &[u8]| {
            text.extend_from_slice(bytes);
            if let Some(force) = react(&String::from_utf8_lossy(&text)) {
                sender.send_replace(Some(force));
            }
        };
        let ended = self
            .host
            .script(Place::Build, program.as_bytes(), &mut output, &mut stop)
            .await
            .unwrap();
        (ended, String::from_utf8(text).unwrap())
    }

    fn pid_in(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name))
            .unwrap()
            .trim()
            .to_owned()
    }
}

/// Not there, or dead and not yet collected by its parent.
fn gone(pid: &str) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat
            .rsplit(')')
            .next()
            .is_some_and(|rest| rest.starts_with(" Z")),
        Err(_) => true,
    }
}

#[tokio::test]
async fn exit_codes_and_signals_are_told_apart() {
    let mut test = Test::new(Hold::Best).await;
    assert_eq!(test.run("exit 0").await.0, Ended::Exited(0));
    assert_eq!(test.run("exit 42").await.0, Ended::Exited(42));
    assert_eq!(test.run("kill -KILL $$").await.0, Ended::Killed(9));
}

#[tokio::test]
async fn both_outputs_come_in_the_order_written() {
    let mut test = Test::new(Hold::Best).await;
    let program = "for i in 1 2 3; do echo out$i; echo err$i >&2; done";
    assert_eq!(
        test.run(program).await.1,
        "out1\nerr1\nout2\nerr2\nout3\nerr3\n"
    );
}

#[tokio::test]
async fn programs_longer_than_a_pipe_and_output_longer_than_a_buffer_pass() {
    let mut test = Test::new(Hold::Best).await;
    let program = format!(
        ": {}\nhead -c 300000 /dev/zero | tr '\\0' x",
        "y".repeat(200_000)
    );
    let (ended, output) = test.run(&program).await;
    assert_eq!((ended, output.len()), (Ended::Exited(0), 300_000));
}

#[tokio::test]
async fn a_shell_that_ends_before_it_has_read_its_program_is_no_error() {
    let mut test = Test::new(Hold::Best).await;
    let program = format!("exit 3\n: {}", "y".repeat(1_000_000));
    assert_eq!(test.run(&program).await.0, Ended::Exited(3));
}

#[tokio::test]
async fn a_missing_shell_is_named() {
    let folder = TempDir::new().unwrap();
    let mut settings = settings(folder.path(), Duration::ZERO);
    settings.shell.program = "/nowhere/bash".into();
    let mut host = Shell::new(&settings, Mark::new()).host();
    let ended = host
        .script(Place::Build, b"", &mut |_: &[u8]| {}, &mut never())
        .await;
    assert!(
        ended
            .unwrap_err()
            .to_string()
            .starts_with("start /nowhere/bash: ")
    );
}

#[tokio::test]
async fn processes_that_let_go_of_the_output_are_killed_when_the_shell_ends() {
    for hold in BOTH {
        let mut test = Test::new(hold).await;
        // A daemon as of old: a session of its own, twice forked, deaf to signals.
        let program = "setsid bash -c 'trap \"\" TERM HUP; sleep 1000 & echo $! > daemon; wait' \
            >/dev/null 2>&1 </dev/null &\n\
            until [ -s daemon ]; do :; done; echo started";
        let (ended, output) = test.run(program).await;
        assert_eq!((ended, output.as_str()), (Ended::Exited(0), "started\n"));
        assert!(gone(&test.pid_in("daemon")));
    }
}

#[tokio::test]
async fn output_is_awaited_only_for_a_while_after_the_shell_has_ended() {
    for hold in BOTH {
        let mut test = Test::new(hold).await;
        test.host.patience.output_held = Duration::from_millis(1);
        let (ended, _) = test.run("setsid sleep 1000 & echo $! > holder").await;
        assert_eq!(ended, Ended::Exited(0));
        assert!(gone(&test.pid_in("holder")));
    }
}

#[tokio::test]
async fn output_of_a_background_process_still_counts() {
    let mut test = Test::new(Hold::Best).await;
    let program = "mkfifo gate; (read x < gate; echo late) & (exec >&- 2>&-; echo > gate) & exit 0";
    assert_eq!(test.run(program).await.1, "late\n");
}

#[tokio::test]
async fn a_graceful_stop_lets_the_script_clean_up() {
    for hold in BOTH {
        let mut test = Test::new(hold).await;
        let program = "trap 'echo got-term; exit 9' TERM; echo ready; sleep 1000 & wait";
        let stop = |output: &str| output.ends_with("ready\n").then_some(Force::Gracefully);
        let mut sender = watch::channel(None).0;
        let (ended, output) = test.run_until(program, stop, &mut sender).await;
        assert_eq!(
            (ended, output.as_str()),
            (Ended::Stopped, "ready\ngot-term\n")
        );
    }
}

#[tokio::test]
async fn a_graceful_stop_asks_everybody_once() {
    for hold in BOTH {
        let mut test = Test::new(hold).await;
        let program = "trap 'echo one' TERM; setsid bash -c \"trap 'echo two; exit' TERM; echo ready; \
            while :; do sleep 0.01; done\" & until wait; do [ $? = 143 ] || break; done";
        let stop = |output: &str| output.ends_with("ready\n").then_some(Force::Gracefully);
        let mut sender = watch::channel(None).0;
        let (ended, output) = test.run_until(program, stop, &mut sender).await;
        let mut lines: Vec<_> = output
            .lines()
            .filter(|line| *line != "Terminated")
            .collect();
        lines.sort();
        assert_eq!(
            (ended, lines),
            (Ended::Stopped, vec!["one", "ready", "two"])
        );
    }
}

#[tokio::test]
async fn deaf_processes_are_killed_after_the_grace() {
    for hold in BOTH {
        let mut test = Test::new(hold).await;
        test.host.patience.grace = Duration::from_millis(20);
        let program = "trap '' TERM; setsid sleep 1000 & echo $! > other; echo ready; \
            while :; do sleep 1000; done";
        let stop = |output: &str| output.contains("ready").then_some(Force::Gracefully);
        let mut sender = watch::channel(None).0;
        let (ended, _) = test.run_until(program, stop, &mut sender).await;
        assert_eq!(ended, Ended::Stopped);
        assert!(gone(&test.pid_in("other")));
    }
}

#[tokio::test]
async fn a_hard_stop_cuts_the_grace_short() {
    let mut test = Test::new(Hold::Best).await;
    let program = "trap 'echo deaf' TERM; echo ready; while :; do sleep 1000 & wait; done";
    let stop = |output: &str| match output {
        _ if output.contains("deaf") => Some(Force::AtOnce),
        _ => output.contains("ready").then_some(Force::Gracefully),
    };
    let mut sender = watch::channel(None).0;
    assert_eq!(
        test.run_until(program, stop, &mut sender).await.0,
        Ended::Stopped
    );
}

#[tokio::test]
async fn an_abandoned_program_is_killed_with_all_it_started() {
    for hold in BOTH {
        let mut test = Test::new(hold).await;
        let program = format!(
            "cd '{}'; setsid sleep 1000 & echo $! > other; echo $$ > shell; echo ready; sleep 1000",
            test.folder.path().display()
        );
        let (ready, mut is_ready) = watch::channel(false);
        let mut output = |_: &[u8]| {
            ready.send_replace(true);
        };
        let mut stop = never();
        tokio::select! {
            _ = test.host.script(Place::Build, program.as_bytes(), &mut output, &mut stop) => unreachable!(),
            changed = is_ready.changed() => changed.unwrap(),
        }
        let pids = [test.pid_in("shell"), test.pid_in("other")];
        let Test { folder, host } = test;
        drop(host);
        while !pids.iter().all(|pid| gone(pid)) {
            tokio::task::yield_now().await;
        }
        drop(folder);
    }
}

#[tokio::test]
async fn a_job_leaves_no_cgroup() {
    let mut test = Test::new(Hold::Best).await;
    let (_, output) = test.run("cat /proc/self/cgroup").await;
    let Some(name) = output
        .lines()
        .find_map(|line| line.strip_prefix("0::")?.split("/fleet-").nth(1))
    else {
        return; // This host gives no cgroups.
    };
    test.host.destroy().await.unwrap();
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let roots = mounts
        .lines()
        .filter(|l| l.contains(" - cgroup2 "))
        .map(|l| l.split(' ').nth(4).unwrap());
    for root in roots {
        assert!(!Path::new(root).join(format!("fleet-{name}")).exists());
    }
}

#[tokio::test]
async fn jobs_see_neither_the_agents_settings_nor_its_callers_repository() {
    assert!(command::hidden_from_jobs("FLEET_TOKEN".as_ref()));
    assert!(command::hidden_from_jobs("GIT_DIR".as_ref()));
    assert!(!command::hidden_from_jobs("GIT_AUTHOR_NAME".as_ref()));
    assert!(!command::hidden_from_jobs("PATH".as_ref()));
}
