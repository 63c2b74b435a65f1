use std::path::Path;
use std::time::Duration;

use fleet_model::AgentName;
use tempfile::TempDir;
use tokio::sync::watch;

use super::descendants::Hold;
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
        graceful_kill: grace,
        output_limit: 1 << 20,
    }
}

const BOTH: [Hold; 2] = [Hold::Best, Hold::Cookie];

struct Test {
    folder: TempDir,
    host: Host,
}

impl Test {
    async fn new(hold: Hold) -> Test {
        Test::with(hold, Duration::from_secs(30), Duration::from_secs(10)).await
    }

    async fn with(hold: Hold, grace: Duration, output_held: Duration) -> Test {
        let folder = TempDir::new().unwrap();
        let shell = Shell::with(&settings(folder.path(), grace), hold, 0, output_held);
        Test { folder, host: shell.prepare().await.unwrap() }
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
    let mut host = Shell::new(&settings).prepare().await.unwrap();
    let ended = host
        .script(Place::Build, b"", &mut |_| {}, &mut never())
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
        let brief = Duration::from_millis(1);
        let mut test = Test::with(hold, Duration::from_secs(30), brief).await;
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
        let stop = |output: &str| output.contains("ready").then_some(Force::Gracefully);
        let mut sender = watch::channel(None).0;
        let (ended, output) = test.run_until(program, stop, &mut sender).await;
        assert_eq!(
            (ended, output.as_str()),
            (Ended::Stopped, "ready\ngot-term\n")
        );
    }
}

#[tokio::test]
async fn deaf_processes_are_killed_after_the_grace() {
    for hold in BOTH {
        let mut test = Test::with(hold, Duration::from_millis(20), Duration::from_secs(10)).await;
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
    let mut test = Test::with(Hold::Best, Duration::from_secs(3600), Duration::from_secs(10)).await;
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
async fn a_program_leaves_no_cgroup() {
    let mut test = Test::new(Hold::Best).await;
    let (_, output) = test.run("cat /proc/self/cgroup").await;
    let Some(name) = output
        .lines()
        .find_map(|line| line.strip_prefix("0::")?.split("/fleet-").nth(1))
    else {
        return; // This host gives no cgroups.
    };
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

#[tokio::test]
async fn shells_kept_ready_are_used_once_and_die_with_their_executor() {
    let folder = TempDir::new().unwrap();
    let shell = Shell::kept_ready(&settings(folder.path(), Duration::ZERO));
    let mut host = shell.prepare().await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let mut text = Vec::new();
        let mut output = |bytes: &[u8]| text.extend_from_slice(bytes);
        let program = b"echo $$";
        let ended = host.script(Place::Build, program, &mut output, &mut never()).await.unwrap();
        assert_eq!(ended, Ended::Exited(0));
        seen.push(String::from_utf8(text).unwrap());
        assert!(gone(seen.last().unwrap().trim()));
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 3);
    let mut waiting = shell.take().await.unwrap();
    let pid = waiting.id().unwrap().to_string();
    assert!(waiting.is_running() && !gone(&pid));
    drop(waiting);
    while !gone(&pid) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_shell_that_died_while_it_waited_is_replaced() {
    let folder = TempDir::new().unwrap();
    let shell = Shell::kept_ready(&settings(folder.path(), Duration::ZERO));
    let waiting = shell.take().await.unwrap();
    let pid = waiting.id().unwrap();
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    while !gone(&pid.as_raw_nonzero().to_string()) {
        tokio::task::yield_now().await;
    }
    shell.put_back(waiting);
    let mut host = shell.prepare().await.unwrap();
    let ended = host.script(Place::Build, b"exit 7", &mut |_| {}, &mut never()).await;
    assert_eq!(ended.unwrap(), Ended::Exited(7));
}
