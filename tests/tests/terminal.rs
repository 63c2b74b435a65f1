//! What people see on a terminal, wide and narrow, with and without colour.

use anyhow::{Context, Result, ensure};
use fleet_tests::{Project, Terminal};

const PIPELINE: &str = r#"
stages: [build, test, a stage with quite a long name indeed]
compile:
  stage: build
  script:
    - echo compiled
a job whose name is longer than a narrow terminal is wide, as they happen to be:
  stage: test
  script: "true"
unit:
  stage: test
  parallel: 3
  script: "true"
broken:
  stage: test
  script:
    - echo "expected 4, got 5 - and a line of output that is longer than any terminal of eighty columns can show"
    - exit 3
last:
  stage: a stage with quite a long name indeed
  script: "true"
"#;

/// Runs the pipeline in a terminal, checks what holds everywhere, and returns
/// the lines and the screen with its colours.
fn run(columns: u16, lines: u16, environment: &[(&str, &str)]) -> Result<(Vec<String>, String)> {
    let project = Project::with_pipeline(PIPELINE)?;
    let mut command = project.run(&[])?;
    for (name, value) in environment {
        command = command.env(name, value);
    }
    let terminal = Terminal::start(&command, columns, lines)?;
    let code = terminal.finish()?;
    let (text, coloured) = (terminal.text()?, terminal.coloured()?);
    terminal.close()?;

    let screen = text.join("\n");
    ensure!(code == 1, "exit code {code}\n{screen}");
    let verdict = text.last().context("an empty screen")?;
    ensure!(
        verdict.contains("failed"),
        "the last line is no verdict: {verdict}\n{screen}"
    );
    for name in ["compile", "broken"] {
        ensure!(screen.contains(name), "job {name} is not shown\n{screen}");
    }
    for line in &text {
        ensure!(
            line.chars().count() <= usize::from(columns),
            "wrapped: {line}\n{screen}"
        );
    }
    ensure!(
        screen.contains("expected 4, got 5"),
        "the failed job's last lines are missing\n{screen}"
    );
    project.expect_nothing_left()?;
    Ok((text, coloured))
}

#[test]
fn wide_terminal_shows_jobs_last_lines_and_verdict() -> Result<()> {
    let (_, coloured) = run(140, 50, &[])?;
    ensure!(
        coloured.contains("\x1b[31m") || coloured.contains("\x1b[1m\x1b[31m"),
        "{coloured}"
    );
    Ok(())
}

#[test]
fn narrow_terminal_wraps_no_line() -> Result<()> {
    run(40, 12, &[]).map(|_| ())
}

#[test]
fn no_color_prints_no_colour() -> Result<()> {
    let (_, coloured) = run(100, 30, &[("NO_COLOR", "1")])?;
    ensure!(!coloured.contains("\x1b["), "{coloured}");
    Ok(())
}

#[test]
fn output_to_a_file_has_no_escape_sequences_of_its_own() -> Result<()> {
    let project = Project::with_pipeline("build:\n  script: echo built\n")?;

    let finished = project.run(&[])?.finish()?;

    finished.expect_exit(0)?;
    finished.expect_text("passed")?;
    for stream in [&finished.stdout, &finished.stderr] {
        ensure!(!stream.contains('\x1b'), "{}", finished.output());
    }
    Ok(())
}
