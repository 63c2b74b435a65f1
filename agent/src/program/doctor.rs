//! `fleet-agent doctor`: whether this host can run jobs, and what to mend.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fleet_proto::v1;
use fleet_proto::v1::agent_service_client::AgentServiceClient;
use rustix::fs::statvfs;
use tonic::{Code, Status};

use super::failure::Failure;
use super::settings::Run;
use crate::date::{self, Date};
use crate::executor::{self, Mark};
use crate::identity::Identity;

/// How long the coordinator has to answer.
const ANSWERED_WITHIN: Duration = Duration::from_secs(15);
/// The coordinator refuses agents whose clock is off by more than ten minutes.
const CLOCK_FAILS: i64 = 600;
const CLOCK_WARNS: i64 = 30;
/// Below this a job can hardly be checked out ...
const DISK_FAILS: u64 = 100 << 20;
/// ... and below this it may well fill the disk.
const DISK_WARNS: u64 = 1 << 30;

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    Ok(String),
    Warn(String),
    Fail(String),
}

pub(super) async fn doctor(run: Run) -> Result<(), Failure> {
    let state = std::path::absolute(&run.state_dir).map_err(Failure::failed)?;
    let builds = run
        .builds_dir
        .clone()
        .unwrap_or_else(|| state.join("builds"));
    let mut findings = vec![("identity", identity(&state, SystemTime::now()))];
    findings.extend(coordinator(&run, &state).await);
    findings.extend([
        (
            "git",
            program(Command::new("git").arg("--version"), "git", "install git"),
        ),
        ("shell", shell(&run)),
        ("processes", processes()),
        ("state folder", disk(&state)),
        ("builds folder", disk(&builds)),
    ]);
    findings.extend(engine(&run).await);
    let mut report = String::new();
    for (what, found) in &findings {
        let (word, text) = match found {
            Found::Ok(text) => ("ok", text),
            Found::Warn(text) => ("warn", text),
            Found::Fail(text) => ("fail", text),
        };
        report.push_str(&format!("{word:<5} {what:<14} {text}\n"));
    }
    super::print(&report)?;
    let failed = findings
        .iter()
        .filter(|(_, found)| matches!(found, Found::Fail(_)));
    match failed.count() {
        0 => Ok(()),
        1 => Err(Failure::failed(
            "this host cannot run jobs: one check failed",
        )),
        count => Err(Failure::failed(format!(
            "this host cannot run jobs: {count} checks failed"
        ))),
    }
}

/// The Docker engine, where jobs run in its containers.
async fn engine(run: &Run) -> Option<(&'static str, Found)> {
    let docker = run.containers.docker()?;
    let asked = tokio::time::timeout(ANSWERED_WITHIN, executor::look(&docker)).await;
    let found = match asked {
        Err(_) => Found::Fail(format!(
            "the Docker engine at {} does not answer",
            docker.socket.display()
        )),
        Ok(Err(error)) => Found::Fail(format!(
            "{error}; start it, let this user use it, or say another one with --docker-host"
        )),
        Ok(Ok(looked)) => {
            let text = format!("version {}", looked.version);
            match &looked.missing[..] {
                [] => Found::Ok(text),
                missing => Found::Warn(format!("{text}; {}", missing.join("; "))),
            }
        }
    };
    Some(("engine", found))
}

fn identity(state: &Path, now: SystemTime) -> Found {
    let identity = match Identity::read(state) {
        Ok(identity) => identity,
        Err(error) => return Found::Fail(error.to_string()),
    };
    let leaf = match identity.leaf() {
        Ok(leaf) => leaf,
        Err(error) => {
            return Found::Fail(format!(
                "{error}: join this host anew (fleet-agent join --force)"
            ));
        }
    };
    let agent = &identity.agent;
    if now < leaf.not_before {
        return Found::Fail(format!(
            "the certificate of agent {agent} is not good yet: set this host's clock"
        ));
    }
    match leaf.not_after.duration_since(now) {
        Ok(left) if !left.is_zero() => Found::Ok(format!(
            "agent {agent}, certificate number {}, good for {} more minutes",
            identity.generation,
            left.as_secs() / 60
        )),
        _ => Found::Fail(format!(
            "the certificate of agent {agent} has expired: join this host anew \
             (fleetctl agent join-token, fleet-agent join --force)"
        )),
    }
}

/// Asks the coordinator for what is not there: it answers those alone whom it knows.
async fn coordinator(run: &Run, state: &Path) -> Vec<(&'static str, Found)> {
    const NAME: &str = "coordinator";
    let Some(server) = &run.server else {
        let text = "its address is not known: join this host, or say --server URL";
        return vec![(NAME, Found::Fail(text.to_owned()))];
    };
    let channel = match Identity::read(state).and_then(|identity| identity.channel(server)) {
        Ok(channel) => channel,
        Err(error) => return vec![(NAME, Found::Fail(format!("not asked: {error}")))],
    };
    let mut client = AgentServiceClient::new(channel);
    let nothing = v1::DownloadArtifactRequest::default();
    let asked = tokio::time::timeout(ANSWERED_WITHIN, client.download_artifact(nothing)).await;
    let answer = match asked {
        Ok(Ok(_)) => Status::ok(""),
        Ok(Err(status)) => status,
        Err(_) => Status::deadline_exceeded("it does not answer"),
    };
    let mut findings = vec![(NAME, reached(server, &answer))];
    let date = answer.metadata().get("date");
    if let Some(theirs) = date.and_then(|date| date.to_str().ok()).and_then(http_date) {
        let ours = SystemTime::now().duration_since(UNIX_EPOCH);
        let ours = i64::try_from(ours.unwrap_or_default().as_secs()).unwrap_or(i64::MAX);
        findings.push(("clock", clock(ours - theirs)));
    }
    findings
}

fn reached(server: &str, answer: &Status) -> Found {
    let text = answer.message();
    match answer.code() {
        Code::Ok | Code::NotFound => Found::Ok(format!("{server} knows this agent")),
        Code::Unauthenticated | Code::PermissionDenied | Code::FailedPrecondition => {
            Found::Fail(format!("{server} refuses this agent: {text}"))
        }
        code => Found::Fail(format!("{server} cannot be reached: {text} ({code:?})")),
    }
}

/// `ahead` in seconds.
fn clock(ahead: i64) -> Found {
    let text = match ahead {
        0 => return Found::Ok("as the coordinator's".to_owned()),
        1.. => format!("{ahead} s before the coordinator's"),
        _ => format!("{} s behind the coordinator's", -ahead),
    };
    match ahead.abs() {
        CLOCK_FAILS.. => Found::Fail(format!(
            "{text}: it is refused so; set it, and keep it by NTP"
        )),
        CLOCK_WARNS.. => Found::Warn(format!("{text}: keep it by NTP")),
        _ => Found::Ok(text),
    }
}

fn shell(run: &Run) -> Found {
    let mut command = Command::new(&run.shell);
    if run.login_shell {
        command.arg("-l");
    }
    command.args(["-c", "echo works"]);
    let name = run.shell.display().to_string();
    program(
        &mut command,
        &name,
        "install it, or say another one with --shell",
    )
}

/// Runs `command`, which has one line to say.
fn program(command: &mut Command, name: &str, mend: &str) -> Found {
    let run = command.stdin(Stdio::null()).output();
    match run {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout);
            let line = text.lines().next_back().unwrap_or_default().trim();
            Found::Ok(format!("{name}: {line}"))
        }
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr);
            Found::Fail(format!(
                "{name} ends with {}: {}",
                output.status,
                text.trim()
            ))
        }
        Err(error) => Found::Fail(format!("{name} cannot be started ({error}): {mend}")),
    }
}

fn processes() -> Found {
    if Mark::new().is_cgroup() {
        return Found::Ok("each job's are held by a cgroup".to_owned());
    }
    Found::Warn(
        "there is no cgroup (version 2) that this program may make others in: a job's process \
         that clears its environment can outlive it; under systemd set Delegate=yes"
            .to_owned(),
    )
}

/// The disk of `folder`, or of the nearest one above that is there.
fn disk(folder: &Path) -> Found {
    let there = folder.ancestors().find(|folder| folder.exists());
    let path = there.map_or_else(|| PathBuf::from("/"), Path::to_owned);
    let shown = folder.display();
    match statvfs(&path) {
        Ok(disk) => space(&shown, disk.f_bavail.saturating_mul(disk.f_frsize)),
        Err(error) => Found::Fail(format!("{shown} cannot be looked at: {error}")),
    }
}

fn space(folder: &dyn Display, free: u64) -> Found {
    let text = format!("{folder} has {} MiB left", free >> 20);
    match free {
        ..DISK_FAILS => Found::Fail(format!("{text}: make room")),
        DISK_FAILS..DISK_WARNS => Found::Warn(format!("{text}: make room")),
        DISK_WARNS.. => Found::Ok(text),
    }
}

/// The Unix time of a date as HTTP has it: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (_, date) = text.strip_suffix(" GMT")?.split_once(", ")?;
    let mut words = date.split([' ', ':']);
    let day = words.next()?.parse().ok()?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|name| *name == month)?;
    let year = words.next()?.parse().ok()?;
    let mut time = || words.next()?.parse().ok();
    Some(date::to_unix(Date {
        year,
        month: u8::try_from(month).ok()? + 1,
        day,
        hour: time()?,
        minute: time()?,
        second: time()?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_judged_by_how_far_off_it_is() {
        assert!(matches!(clock(0), Found::Ok(_)));
        assert!(matches!(clock(-5), Found::Ok(_)));
        assert!(matches!(clock(-31), Found::Warn(_)));
        assert!(matches!(clock(601), Found::Fail(text) if text.starts_with("601 s before")));
    }

    #[test]
    fn little_room_is_warned_of_and_none_fails() {
        assert!(matches!(space(&"/x", 0), Found::Fail(_)));
        assert!(matches!(space(&"/x", DISK_FAILS), Found::Warn(_)));
        assert!(matches!(space(&"/x", DISK_WARNS), Found::Ok(_)));
    }

    #[test]
    fn dates_of_http_are_read() {
        assert_eq!(
            http_date("Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(784_111_777)
        );
        for text in [
            "",
            "GMT",
            "Sun, 06 Nov 1994",
            "Sun, 6 Foo 1994 08:49:37 GMT",
        ] {
            assert_eq!(http_date(text), None, "{text}");
        }
    }

    #[test]
    fn a_program_that_is_not_there_fails_with_the_mend() {
        let found = program(&mut Command::new("/nowhere/x"), "x", "install it");
        assert!(matches!(found, Found::Fail(text) if text.ends_with("install it")));
    }
}
