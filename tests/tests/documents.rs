//! What is written down is true: commands, links, examples.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use fleet_tests::{Project, repository};

/// All pages for people.
fn pages() -> Result<Vec<PathBuf>> {
    let mut pages = Vec::new();
    let folders = ["", "docs", "deploy"].map(|folder| repository().join(folder));
    for folder in folders {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.extension() == Some("md".as_ref()) {
                pages.push(path);
            }
        }
    }
    Ok(pages)
}

#[test]
fn readme_has_the_two_commands() -> Result<()> {
    let readme = fs::read_to_string(repository().join("README.md"))?;
    for command in [
        "cargo run --release -p fleetctl -- run --dir examples/quickstart",
        "tests/run",
    ] {
        ensure!(
            readme.lines().any(|line| line.trim() == command),
            "missing: {command}"
        );
    }
    Ok(())
}

#[test]
fn links_between_pages_lead_somewhere() -> Result<()> {
    let mut links = 0;
    for page in pages()? {
        let text = fs::read_to_string(&page)?;
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let target = link.split('#').next().unwrap_or_default();
            if target.is_empty() || link.contains("://") {
                continue;
            }
            let folder = page.parent().unwrap_or(Path::new("."));
            ensure!(
                folder.join(target).exists(),
                "{}: no {link}",
                page.display()
            );
            links += 1;
        }
    }
    ensure!(links > 10, "only {links} links were found");
    Ok(())
}

#[test]
fn every_command_and_its_flags_are_documented() -> Result<()> {
    let project = Project::new()?;
    let page = fs::read_to_string(repository().join("docs/fleetctl.md"))?;
    let help = project.fleetctl(&["--help"])?.finish()?;
    help.expect_exit(0)?;
    let listed = help
        .stdout
        .split("Commands:")
        .nth(1)
        .context("help lists commands")?;
    let commands: Vec<&str> = listed
        .lines()
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next())
        .filter(|word| !word.starts_with('-') && *word != "help")
        .collect();
    ensure!(
        commands.contains(&"run") && commands.contains(&"lint"),
        "{commands:?}"
    );
    for command in commands {
        ensure!(
            page.contains(&format!("## fleetctl {command}")),
            "no section for {command}"
        );
        let help = project.fleetctl(&[command, "--help"])?.finish()?;
        help.expect_exit(0)?;
        let flags = help.stdout.split_whitespace().filter_map(|word| {
            let word = word.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '-');
            word.strip_prefix("--")?;
            word.split(['=', '[', '<', '.']).next()
        });
        for flag in flags.filter(|flag| *flag != "--help" && flag.len() > 2) {
            ensure!(page.contains(flag), "{command} {flag} is not documented");
        }
    }
    Ok(())
}

#[test]
fn quickstart_passes_with_a_warning_and_fires_a_glider() -> Result<()> {
    let project = Project::new()?;
    let example = repository().join("examples/quickstart");

    let finished = project
        .fleetctl(&["run", "--dir"])?
        .args([&example])
        .in_folder(repository())
        .finish()?;

    finished.expect_exit(0)?;
    for text in ["passed", "nothing left to do", "gun"] {
        finished.expect_text(text)?;
    }
    ensure!(
        !example.join("build").exists(),
        "the run wrote into the example's folder"
    );
    project.expect_nothing_left()
}

#[test]
fn every_example_is_free_of_findings() -> Result<()> {
    let project = Project::new()?;
    for entry in fs::read_dir(repository().join("examples")).context("list the examples")? {
        let file = entry?.path().join(".gitlab-ci.yml");
        let finished = project
            .fleetctl(&["lint", "--strict"])?
            .args([&file])
            .finish()?;
        finished
            .expect_exit(0)
            .with_context(|| file.display().to_string())?;
    }
    Ok(())
}
