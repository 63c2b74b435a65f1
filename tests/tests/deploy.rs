//! What is in `deploy/` is accepted by what reads it, and names only settings
//! that the programs have.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use fleet_tests::{Project, program, repository};
use tempfile::TempDir;

/// The most exposure `systemd-analyze security` may find, in tenths.
const EXPOSURE: [(&str, &str); 2] = [("fleet-coordinator", "20"), ("fleet-agent", "50")];

#[test]
fn units_are_without_findings_and_hardened() -> Result<()> {
    let folder = TempDir::with_prefix("fleet-test-")?;
    for (name, exposure) in EXPOSURE {
        // Where the programs are on this machine.
        let unit = read(&format!("deploy/systemd/{name}.service"))?;
        let place = format!("/usr/bin/{name}");
        ensure!(unit.contains(&place), "{name} is started from {place}");
        let unit = unit.replace(&place, &program(name)?.display().to_string());
        let file = folder.path().join(format!("{name}.service"));
        fs::write(&file, unit)?;

        let findings = output("systemd-analyze", &["verify", "--man=no"], &file)?;
        ensure!(findings.is_empty(), "{findings}");
        let threshold = format!("--threshold={exposure}");
        output(
            "systemd-analyze",
            &["security", "--offline=true", "--no-pager", &threshold],
            &file,
        )?;
    }
    Ok(())
}

#[test]
fn users_of_the_units_are_made() -> Result<()> {
    let users = repository().join("deploy/systemd/fleet.sysusers.conf");
    let made = output("systemd-sysusers", &["--dry-run"], &users)?;
    for (name, _) in EXPOSURE {
        let unit = read(&format!("deploy/systemd/{name}.service"))?;
        let user = unit
            .lines()
            .find_map(|line| line.strip_prefix("User="))
            .context("a user")?;
        ensure!(made.contains(&format!("'{user}'")), "{user}: {made}");
    }
    Ok(())
}

#[test]
fn agent_may_stop_while_its_jobs_go_on() -> Result<()> {
    let unit = read("deploy/systemd/fleet-agent.service")?;
    for setting in ["KillMode=process", "OOMPolicy=continue", "Delegate=yes"] {
        ensure!(unit.lines().any(|line| line == setting), "{setting}");
    }
    // Both are removed when the unit stops, under the jobs that go on.
    for setting in ["PrivateTmp=yes", "RuntimeDirectory="] {
        ensure!(!unit.lines().any(|line| line.starts_with(setting)));
    }
    Ok(())
}

#[test]
fn kustomization_builds_and_is_restricted() -> Result<()> {
    let folder = repository().join("deploy/kubernetes/base");
    let built = output("kubectl", &["kustomize"], &folder)?;
    for kind in [
        "Namespace",
        "ConfigMap",
        "StatefulSet",
        "Service",
        "NetworkPolicy",
    ] {
        ensure!(built.contains(&format!("\nkind: {kind}\n")), "{kind}");
    }
    let containers = built.matches(" image: ").count();
    for rule in [
        "allowPrivilegeEscalation: false",
        "readOnlyRootFilesystem: true",
        "limits:",
        "drop:\n            - ALL",
        "path: /livez",
        "path: /readyz",
    ] {
        ensure!(built.matches(rule).count() >= containers, "{rule}: {built}");
    }
    for rule in [
        "runAsNonRoot: true",
        "type: RuntimeDefault",
        "automountServiceAccountToken: false",
        "replicas: 1",
        "volumeClaimTemplates:",
        "pod-security.kubernetes.io/enforce: restricted",
    ] {
        ensure!(built.contains(rule), "{rule}: {built}");
    }
    for way_out in ["hostPath", "hostNetwork", "hostPID", "privileged: true"] {
        ensure!(!built.contains(way_out), "{way_out}");
    }
    Ok(())
}

#[test]
fn images_are_of_this_version_and_run_as_nobody_in_particular() -> Result<()> {
    let file = read("deploy/docker/Dockerfile")?;
    let manifest = read("Cargo.toml")?;
    let base = read("deploy/kubernetes/base/coordinator.yaml")?;
    let of = |text: &str, key: &str| -> Result<String> {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(key));
        let value = line.with_context(|| format!("no {key}"))?;
        Ok(value.trim_matches([' ', '"']).to_owned())
    };
    let version = of(&manifest, "version = ")?;
    let rust = of(&manifest, "rust-version = ")?;
    ensure!(file.contains(&format!("RUST_IMAGE=rust:{rust}-")), "{rust}");
    let image = of(&base, "image: ")?;
    ensure!(image == format!("fleet-coordinator:{version}"), "{image}");
    let user = of(&base, "runAsUser: ")?;
    let stages: Vec<&str> = file.split("\nFROM ").skip(2).collect();
    ensure!(stages.len() == 2, "one for each image");
    for (stage, name) in stages.iter().zip(["coordinator", "agent"]) {
        ensure!(
            stage
                .lines()
                .next()
                .is_some_and(|line| line.ends_with(name)),
            "{stage}"
        );
        ensure!(
            stage.contains(&format!("\nUSER {user}:{user}\n")),
            "{stage}"
        );
        ensure!(file.contains(&format!("--target {name} -t fleet-{name}:{version} .")));
    }
    Ok(())
}

#[test]
fn settings_in_use_exist() -> Result<()> {
    let project = Project::new()?;
    let help = |name: &str, command: &str| -> Result<String> {
        let finished = project
            .program(&program(name)?)
            .args([command, "--help"])
            .finish()?;
        finished.expect_exit(0)?;
        Ok(finished.stdout)
    };
    let coordinator = help("fleet-coordinator", "serve")?;
    for variable in variables(&read("deploy/kubernetes/base/configuration.yaml")?) {
        ensure!(
            coordinator.contains(&format!("{variable}=")),
            "no {variable} in {coordinator}"
        );
    }
    let all = coordinator + &help("fleet-agent", "run")?;
    for file in ["deploy/README.md", "deploy/docker/Dockerfile"] {
        for variable in variables(&read(file)?) {
            ensure!(all.contains(&format!("{variable}=")), "no {variable}");
        }
    }
    Ok(())
}

/// Words of a text that are names of settings in the environment.
fn variables(text: &str) -> Vec<&str> {
    text.split(|c: char| !c.is_ascii_uppercase() && c != '_')
        .filter(|word| word.starts_with("FLEET_"))
        .collect()
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(repository().join(path)).with_context(|| path.to_owned())
}

/// Both streams of a program that must work.
fn output(program: &str, arguments: &[&str], file: &Path) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .arg(file)
        .output()
        .with_context(|| format!("start {program}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{program} {}: {text}",
        file.display()
    );
    Ok(text)
}
