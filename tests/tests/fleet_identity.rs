//! Who may be an agent: what is tried, and what both sides and the audit log say.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use fleet_tests::fleet::{Fleet, JoinToken, Setup};
use fleet_tests::wait_for;
use serde_json::Value;

const PROJECT: &str = "group/app";

#[test]
fn join_token_is_good_for_one_agent() -> Result<()> {
    Setup::hosts(2).prepared(|fleet| {
        fleet.coordinator.start()?;
        let token = fleet.admin()?.join_token(&[])?;
        fleet.hosts[0].join(&token)?;
        expect_audit(fleet, "join", "ok", "")?;
        expect_join_refused(fleet, 1, &token)?;
        expect_audit(fleet, "join", "denied", "used")
    })
}

#[test]
fn join_token_that_expired_is_refused() -> Result<()> {
    Setup::hosts(1).prepared(|fleet| {
        fleet.coordinator.start()?;
        let token = fleet.admin()?.join_token(&["--ttl", "1s"])?;
        let until = SystemTime::now() + Duration::from_millis(1500);
        wait_for("the token to expire", || {
            Ok((SystemTime::now() > until).then_some(()))
        })?;
        expect_join_refused(fleet, 0, &token)?;
        expect_audit(fleet, "join", "denied", "expired")
    })
}

#[test]
fn join_token_for_another_name_is_refused() -> Result<()> {
    Setup::hosts(1).prepared(|fleet| {
        fleet.coordinator.start()?;
        let token = fleet.admin()?.join_token(&["--name", "other"])?;
        expect_join_refused(fleet, 0, &token)?;
        expect_audit(fleet, "join", "denied", "other")
    })
}

#[test]
fn join_stops_before_it_sends_the_token_to_another_coordinator() -> Result<()> {
    Setup::hosts(1).prepared(|fleet| {
        fleet.coordinator.start()?;
        let mut token = fleet.admin()?.join_token(&[])?;
        let right = token.ca_pin.clone();
        token.ca_pin = format!("sha256:{}", "0".repeat(64));
        let refused = fleet.hosts[0].try_join(&token)?;
        ensure!(!refused.status.success());
        refused.expect_text("pin")?;
        // It was not used up.
        token.ca_pin = right;
        fleet.hosts[0].join(&token)
    })
}

/// Joining is refused in words that do not tell a thief what was wrong.
fn expect_join_refused(fleet: &Fleet, host: usize, token: &JoinToken) -> Result<()> {
    let refused = fleet.hosts[host].try_join(token)?;
    ensure!(!refused.status.success(), "{}", refused.output());
    refused.expect_text("token")?;
    refused.expect_text("fleetctl agent join-token")
}

#[test]
fn certificate_of_another_authority_is_refused() -> Result<()> {
    Setup::hosts(1).prepared(|fleet| {
        fleet.coordinator.start()?;
        let admin = fleet.admin()?;
        fleet.hosts[0].join(&admin.join_token(&[])?)?;
        forge(&fleet.hosts[0].state().join("identity"))?;
        fleet.hosts[0].start()?;
        expect_said(&fleet.hosts[0].log(), &["certificate"])?;
        expect_audit(fleet, "", "denied", "certificate")?;
        let shown = admin.json(&["agent", "show", "h1"])?;
        ensure!(shown["status"] == "offline", "{shown}");
        Ok(())
    })
}

#[test]
fn certificate_that_expired_is_refused_with_what_to_do() -> Result<()> {
    Setup::hosts(1).prepared(|fleet| {
        fleet.coordinator.start()?;
        let token = fleet.admin()?.join_token(&[])?;
        fleet.hosts[0].join(&token)?;
        fleet.coordinator.stop()?;
        // Both are two days later, as after a long holiday.
        fleet.coordinator.shift_clock("+2d")?;
        fleet.coordinator.start()?;
        fleet.hosts[0].shift_clock("+2d")?;
        fleet.hosts[0].start()?;
        expect_said(
            &fleet.hosts[0].log(),
            &["certificate", "expired", "fleet-agent join"],
        )
    })
}

#[test]
fn clock_that_is_far_off_is_refused_with_words() -> Result<()> {
    Setup::hosts(1).prepared(|fleet| {
        fleet.coordinator.start()?;
        let token = fleet.admin()?.join_token(&[])?;
        fleet.hosts[0].join(&token)?;
        fleet.hosts[0].shift_clock("+20m")?;
        fleet.hosts[0].start()?;
        expect_said(&fleet.hosts[0].log(), &["clock", "min ahead"])?;
        expect_audit(fleet, "", "denied", "clock")
    })
}

#[test]
fn certificate_of_a_running_agent_is_renewed_and_its_job_goes_on() -> Result<()> {
    let setup = Setup::hosts(1).coordinator(&["--certificate-lifetime", "6s"]);
    setup.run(|fleet| {
        let admin = fleet.admin()?;
        fleet.project(PROJECT)?;
        let yaml = "job:
  script:
    - echo x >> $MARKS/runs
    - until test -e $MARKS/go; do sleep 0.05; done
    - echo kept > kept
  artifacts: {paths: [kept]}
";
        let sha = admin.clone_of(PROJECT)?.push_pipeline(yaml)?;
        let pipeline = admin.wait_pipeline(PROJECT, &sha)?;
        fleet.wait_mark("runs", 1)?;

        // By then the one it had when the job began has long expired.
        let identity = fleet.hosts[0].state().join("identity/identity.toml");
        wait_for("the agent's fourth certificate", || {
            let text = fs::read_to_string(&identity).unwrap_or_default();
            let generation = text
                .lines()
                .find_map(|line| line.strip_prefix("generation = ")?.parse::<u64>().ok());
            Ok(generation.filter(|generation| *generation >= 4))
        })?;
        fleet.make_file("go")?;
        let ended = admin.wait_end(&pipeline, Duration::from_secs(60))?;
        ensure!(ended.status == "success", "{ended:?}");
        ensure!(fleet.mark("runs")?.len() == 1);
        let shown = admin.json(&["agent", "show", "h1"])?;
        ensure!(shown["status"] == "online", "{shown}");
        Ok(())
    })
}

#[test]
fn revoked_agent_loses_its_job_and_its_place() -> Result<()> {
    Setup::hosts(1).run(|fleet| {
        let admin = fleet.admin()?;
        fleet.project(PROJECT)?;
        admin.ok(&[
            "variable",
            "set",
            "EXPOSED_KEY",
            "--value",
            "to-be-changed",
            "--masked",
            "--project",
            PROJECT,
        ])?;
        let yaml = "job: {script: 'touch $MARKS/runs; sleep 600'}\n";
        let sha = admin.clone_of(PROJECT)?.push_pipeline(yaml)?;
        let pipeline = admin.wait_pipeline(PROJECT, &sha)?;
        fleet.wait_file("runs")?;

        let revoked = admin.run(&["agent", "revoke", "h1", "--yes"])?;
        revoked.expect_exit(0)?;
        revoked.expect_text("EXPOSED_KEY")?;

        let ended = admin.wait_end(&pipeline, Duration::from_secs(60))?;
        let job = admin.job(&ended, "job")?;
        ensure!(
            job.all["failure_reason"] == "runner_system_failure",
            "{job:?}"
        );
        wait_for("the job's processes to end", || {
            let left = fleet.hosts[0].processes()?;
            Ok((!left
                .iter()
                .any(|one| one.command_line.contains("sleep 600")))
            .then_some(()))
        })?;
        expect_said(&fleet.hosts[0].log(), &["revoked"])?;
        expect_audit(fleet, "revoke", "ok", "")?;
        expect_audit(fleet, "", "denied", "revoked")?;
        fleet.wait_agent(&admin, "h1", "revoked")
    })
}

#[test]
fn copy_of_an_agent_is_refused_while_the_agent_runs() -> Result<()> {
    Setup::hosts(2).prepared(|fleet| {
        fleet.coordinator.start()?;
        let admin = fleet.admin()?;
        fleet.hosts[0].join(&admin.join_token(&[])?)?;
        fleet.hosts[0].start()?;
        fleet.wait_agent(&admin, "h1", "online")?;

        copy(&fleet.hosts[0].state(), &fleet.hosts[1].state())?;
        fleet.hosts[1].start()?;

        expect_said(&fleet.hosts[1].log(), &["another process", "identity"])?;
        expect_audit(fleet, "", "denied", "another process")?;
        let shown = admin.json(&["agent", "show", "h1"])?;
        ensure!(shown["host"] == "h1", "{shown}");
        Ok(())
    })
}

/// Waits until a log holds all these words in one line, in any case.
fn expect_said(log: &Path, words: &[&str]) -> Result<()> {
    wait_for(&format!("a line about {}", words.join(", ")), || {
        let text = fs::read_to_string(log).unwrap_or_default().to_lowercase();
        let said = text
            .lines()
            .any(|line| words.iter().all(|word| line.contains(&word.to_lowercase())));
        Ok(said.then_some(()))
    })
}

/// Waits for an entry of the audit log: of this action, with this result, and
/// with this in its reason.
fn expect_audit(fleet: &mut Fleet, action: &str, result: &str, reason: &str) -> Result<()> {
    let admin = fleet.admin()?;
    let mut last = Value::Null;
    wait_for("an entry of the audit log", || {
        last = admin.json(&["audit", "--limit", "1000"])?;
        let entries = last.as_array().context("a list of entries")?;
        let is_it = |entry: &Value| {
            let has = |field: &str, text: &str| {
                let value = entry[field].as_str().unwrap_or_default();
                value.to_lowercase().contains(text)
            };
            has("action", action) && entry["result"] == result && has("reason", reason)
        };
        Ok(entries.iter().any(is_it).then_some(()))
    })
    .with_context(|| format!("{action} {result} {reason}: {last:#}"))
}

/// Replaces an agent's certificate and key by those of another authority that
/// bear the same names.
fn forge(identity: &Path) -> Result<()> {
    const FORGE: &str = "set -e; cd \"$0\"; \
        name=$(openssl x509 -in cert.pem -noout -ext subjectAltName | grep -o 'URI:[^, ]*'); \
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
            -subj /CN=evil -keyout evil.key -out evil.pem; \
        openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=h1 \
            -keyout key.pem -out evil.csr; \
        printf 'subjectAltName=%s\\nextendedKeyUsage=clientAuth\\n' \"$name\" > evil.ext; \
        openssl x509 -req -in evil.csr -CA evil.pem -CAkey evil.key -CAcreateserial -days 2 \
            -extfile evil.ext -out cert.pem; \
        rm evil.*";
    let output = Command::new("sh")
        .args(["-c", FORGE])
        .arg(identity)
        .output()
        .context("start sh")?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::remove_dir_all(to).context("remove the state of a host")?;
    let status = Command::new("cp").arg("-a").args([from, to]).status()?;
    ensure!(status.success(), "copy {}", from.display());
    Ok(())
}
