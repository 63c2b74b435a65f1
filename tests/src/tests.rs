//! The harness itself, against programs whose behaviour is known.

use std::path::Path;

use anyhow::Result;
use rustix::process::Signal;

use crate::{Process, Project, Terminal, wait_for};

const SHELL: &str = "/bin/sh";

#[test]
fn finished_program_gives_exit_code_and_both_streams() -> Result<()> {
    let project = Project::new()?;
    let script = "echo out; echo err >&2; exit 3";
    let finished = project
        .program(Path::new(SHELL))
        .args(["-c", script])
        .finish()?;
    finished.expect_exit(3)?;
    assert_eq!(
        (finished.stdout.as_str(), finished.stderr.as_str()),
        ("out\n", "err\n")
    );
    assert!(finished.expect_exit(0).is_err() && finished.expect_text("other").is_err());
    Ok(())
}

#[test]
fn memory_limit_stops_a_program_that_takes_more() -> Result<()> {
    let project = Project::new()?;
    let take = |mebibytes: u64| {
        let script = format!("x=$(printf '%0{}d' 0)", mebibytes << 20);
        project
            .program(Path::new("/bin/bash"))
            .args(["-c", &script])
            .limit_memory(100 << 20)
    };
    take(1).finish()?.expect_exit(0)?;
    assert!(take(200).finish()?.expect_exit(0).is_err());
    Ok(())
}

#[test]
fn process_left_in_a_session_of_its_own_is_seen_until_it_ends() -> Result<()> {
    let project = Project::new()?;
    let script = "setsid sleep 7777 & until [ -e /proc/$! ]; do :; done; echo $!";
    let running = project
        .program(Path::new(SHELL))
        .args(["-c", script])
        .start()?;
    let pid: i32 = wait_for("the number", || Ok(running.stdout()?.trim().parse().ok()))?;
    running.finish()?.expect_exit(0)?;
    wait_for("the process to be seen", || {
        Ok(project
            .processes()?
            .iter()
            .any(|one| one.pid == pid)
            .then_some(()))
    })?;

    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        rustix::process::kill_process(pid, Signal::KILL)?;
    }
    project.expect_nothing_left()?;
    assert_eq!(Process::find(pid), None);
    Ok(())
}

#[test]
fn snapshot_shows_every_kind_of_change() -> Result<()> {
    let project = Project::new()?;
    project.write("file", "one")?;
    project.commit("first")?;
    let before = project.snapshot()?;
    assert_eq!(project.snapshot()?, before);

    let changes: [&dyn Fn() -> Result<()>; 4] = [
        &|| project.write("file", "two"),
        &|| project.git(&["add", "file"]).map(|_| ()),
        &|| project.git(&["stash"]).map(|_| ()),
        &|| project.git(&["checkout", "-q", "-b", "other"]).map(|_| ()),
    ];
    let mut last = before;
    for change in changes {
        change()?;
        let now = project.snapshot()?;
        assert_ne!(now, last);
        last = now;
    }
    Ok(())
}

#[test]
fn terminal_gives_exit_code_long_lines_and_colours() -> Result<()> {
    let project = Project::new()?;
    let script = "printf '%050d\\n' 7; printf '\\033[31mred\\033[0m\\n'; exit 4";
    let command = project.program(Path::new(SHELL)).args(["-c", script]);
    let terminal = Terminal::start(&command, 40, 10)?;
    assert_eq!(terminal.finish()?, 4);
    assert_eq!(terminal.text()?, [format!("{:050}", 7), "red".to_owned()]);
    assert!(terminal.coloured()?.contains("\x1b[31m"));
    terminal.close()
}

#[test]
fn terminal_passes_keys() -> Result<()> {
    let project = Project::new()?;
    let script = "trap 'exit 5' INT; echo ready; while :; do sleep 0.01; done";
    let command = project.program(Path::new(SHELL)).args(["-c", script]);
    let terminal = Terminal::start(&command, 40, 10)?;
    wait_for("the program to start", || {
        Ok((terminal.text()? == ["ready"]).then_some(()))
    })?;
    terminal.press("C-c")?;
    assert_eq!(terminal.finish()?, 5);
    terminal.close()
}
