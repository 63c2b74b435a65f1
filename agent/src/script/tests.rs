use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use fleet_model::Variable;
use serde::Deserialize;

use super::*;
use crate::executor::Users;
use crate::expand::Environment;
use crate::vectors::rows;

/// The shells that every program must behave alike in.
const SHELLS: [(&str, &[&str]); 3] = [
    ("bash", &["bash"]),
    ("dash", &["dash"]),
    ("busybox", &["busybox", "sh"]),
];

fn run(shell: &[&str], cwd: &Path, program: &[u8]) -> Output {
    let mut child = Command::new(shell[0])
        .args(&shell[1..])
        .current_dir(cwd)
        .env_remove("BASH_ENV")
        .env_remove("ENV")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!(
                "this test needs {}: install bash, dash and busybox-static ({error})",
                shell[0]
            )
        });
    let mut stdin = child.stdin.take().unwrap();
    // A shell that has ended no longer reads.
    let _ = stdin.write_all(program);
    drop(stdin);
    child.wait_with_output().unwrap()
}

struct Stage {
    root: tempfile::TempDir,
    environment: Environment,
}

impl Stage {
    fn new(variables: &[Variable]) -> Stage {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("p")).unwrap();
        let temporary = root.path().join("p.tmp");
        let environment = Environment::resolve(variables, temporary.to_str().unwrap()).unwrap();
        Stage { root, environment }
    }

    fn program(&self, entries: &[String], change: impl FnOnce(&mut Program<'_>)) -> Vec<u8> {
        let cwd = self.root.path().join("p");
        let temporary = self.root.path().join("p.tmp");
        let blocks = [Block {
            section: "script_step",
            entries,
        }];
        let mut stage = Program {
            variables: self.environment.variables(),
            cwd: cwd.to_str().unwrap(),
            temporary: temporary.to_str().unwrap(),
            notice: None,
            blocks: &blocks,
            trace: false,
            checks: Checks::ErrExit,
            sections: Sections::Off,
        };
        change(&mut stage);
        program(&stage).unwrap()
    }

    fn run(&self, shell: &[&str], program: &[u8]) -> (String, Option<i32>) {
        let output = run(shell, self.root.path(), program);
        (
            String::from_utf8(output.stdout).unwrap(),
            output.status.code(),
        )
    }
}

fn lines(entries: &[&str]) -> Vec<String> {
    entries.iter().map(|&entry| entry.to_owned()).collect()
}

fn raw(key: &str, value: &str) -> Variable {
    Variable::new(key, value).raw()
}

#[derive(Deserialize)]
struct Expected {
    stdout: String,
    exit: i32,
}

#[derive(Deserialize)]
struct ProgramRow {
    entries: Vec<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(flatten)]
    expected: Option<Expected>,
    #[serde(default)]
    per_shell: BTreeMap<String, Expected>,
}

#[test]
fn every_program_vector_behaves_as_listed_in_each_shell() {
    for row in rows::<ProgramRow>(include_str!(
        "../../tests/vectors/runner-script-program.txt"
    )) {
        let variables: Vec<Variable> = row.env.iter().map(|(k, v)| raw(k, v)).collect();
        for (name, shell) in SHELLS {
            let stage = Stage::new(&variables);
            let (stdout, code) = stage.run(shell, &stage.program(&row.entries, |_| {}));
            let expected = row.per_shell.get(name).or(row.expected.as_ref()).unwrap();
            assert_eq!(stdout, expected.stdout, "{:?} in {name}", row.entries);
            assert_eq!(code, Some(expected.exit), "{:?} in {name}", row.entries);
        }
    }
}

#[derive(Deserialize)]
struct QuotingRow {
    #[serde(rename = "in")]
    text: Option<String>,
    single: Option<String>,
    in_hex: Option<String>,
    single_hex: Option<String>,
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().map(|c| c.to_digit(16).unwrap()).collect();
    digits
        .chunks(2)
        .map(|pair| (pair[0] * 16 + pair[1]) as u8)
        .collect()
}

#[test]
fn every_quoting_vector_is_one_literal_word_in_each_shell() {
    for row in rows::<QuotingRow>(include_str!("../../tests/vectors/runner-quoting.txt")) {
        let text = row
            .text
            .map_or_else(|| hex(&row.in_hex.unwrap()), String::into_bytes);
        let single = row
            .single
            .map(String::into_bytes)
            .or(row.single_hex.as_deref().map(hex));
        let Some(single) = single else {
            let value = String::from_utf8_lossy(&text);
            assert!(no_program_with(&value).to_string().contains("NUL"));
            continue;
        };
        let mut word = Vec::new();
        quote(&text, &mut word);
        assert_eq!(word, single);
        let command = [b"printf %s ", &word[..], b"\n"].concat();
        for (name, shell) in SHELLS {
            assert_eq!(run(shell, Path::new("/"), &command).stdout, text, "{name}");
        }
    }
}

#[test]
fn values_reach_the_script_byte_for_byte() {
    let variables = [
        raw("V1", "a'b\"c$HOME`id`\\n\nx "),
        raw("V2", "世界 🎉"),
        raw("V3", ""),
        raw("V4", &"y".repeat(100 * 1024)),
    ];
    let entries = lines(&[r#"printf '%s|' "$V1" "$V2" "${V3-unset}" "${#V4}""#]);
    for (name, shell) in SHELLS {
        let stage = Stage::new(&variables);
        let (stdout, _) = stage.run(shell, &stage.program(&entries, |_| {}));
        assert!(
            stdout.ends_with("a'b\"c$HOME`id`\\n\nx |世界 🎉||102400|"),
            "{stdout} in {name}"
        );
    }
}

#[test]
fn names_that_no_shell_exports_are_left_out() {
    let variables = [raw("a-b", "1"), raw("1x", "2"), raw("OK", "3")];
    for (name, shell) in SHELLS {
        let stage = Stage::new(&variables);
        let (stdout, code) = stage.run(shell, &stage.program(&lines(&["echo $OK"]), |_| {}));
        assert_eq!(
            (stdout.lines().last(), code),
            (Some("3"), Some(0)),
            "{name}"
        );
    }
}

#[test]
fn a_nul_is_refused() {
    assert_eq!(
        no_program_with("a\0b").to_string(),
        "variable V contains a NUL byte"
    );
}

fn no_program_with(value: &str) -> Error {
    let stage = Stage::new(&[raw("V", value)]);
    program(&Program {
        variables: stage.environment.variables(),
        cwd: "/",
        temporary: "/t",
        notice: None,
        blocks: &[],
        trace: false,
        checks: Checks::ErrExit,
        sections: Sections::Off,
    })
    .unwrap_err()
}

#[test]
fn the_job_environment_file_is_exported_at_the_next_stage() {
    for (name, shell) in SHELLS {
        let stage = Stage::new(&[]);
        let first = lines(&[r#"printf 'A=1 \\x  \n\nB= c=d\nlost=1' >>"$GITLAB_ENV""#]);
        let (_, code) = stage.run(shell, &stage.program(&first, |_| {}));
        assert_eq!(code, Some(0), "{name}");
        let second = lines(&[r#"printf '[%s]' "$A" "$B" "${lost-no}" "${fleet_line-gone}""#]);
        let (stdout, _) = stage.run(shell, &stage.program(&second, |_| {}));
        assert!(
            stdout.ends_with("[1 \\x][ c=d][no][gone]"),
            "{stdout} in {name}"
        );
    }
}

#[test]
fn exit_code_check_sees_through_set_plus_e() {
    for (name, shell) in SHELLS {
        let stage = Stage::new(&[]);
        let text = stage.program(&lines(&["set +e", "(exit 4)", "echo never"]), |program| {
            program.checks = Checks::EveryEntry;
        });
        let (stdout, code) = stage.run(shell, &text);
        assert_eq!(code, Some(4), "{name}");
        assert!(!stdout.contains("\nnever"), "{name}");
    }
}

#[test]
fn script_sections_hold_the_whole_text() {
    for (name, shell) in SHELLS {
        let stage = Stage::new(&[]);
        let text = stage.program(&lines(&["true", "echo a\necho '%s'"]), |program| {
            program.sections = Sections::On { now: 5 };
        });
        let (stdout, _) = stage.run(shell, &text);
        let (start, rest) = stdout.split_once("section_start:").unwrap();
        assert_eq!(start, "\x1b[32;1m$ true\x1b[0;m\n");
        let (time, rest) = rest.split_once(':').unwrap();
        assert!(time.parse::<u64>().unwrap() >= 5, "{name}");
        let (shown, rest) = rest.split_once("section_end:").unwrap();
        assert_eq!(
            shown,
            "section_script_step_1[hide_duration=true,collapsed=true]\r\x1b[0K\
             \x1b[32;1m$ echo a\necho '%s'\x1b[0;m\n"
        );
        let (_, rest) = rest.split_once(':').unwrap();
        assert_eq!(rest, "section_script_step_1\r\x1b[0K\na\n%s\n", "{name}");
    }
}

#[test]
fn the_notice_comes_before_the_entries() {
    let stage = Stage::new(&[]);
    let text = stage.program(&lines(&["true"]), |program| {
        program.notice = Some("Running after script...");
    });
    let (stdout, _) = stage.run(&["bash"], &text);
    assert_eq!(
        stdout,
        "\x1b[32;1mRunning after script...\x1b[0;m\n\x1b[32;1m$ true\x1b[0;m\n"
    );
}

#[test]
fn trace_shows_commands_on_standard_error() {
    let stage = Stage::new(&[]);
    let text = stage.program(&lines(&["echo traced"]), |program| program.trace = true);
    let output = run(&["bash"], Path::new("/"), &text);
    assert!(String::from_utf8_lossy(&output.stderr).contains("+ echo traced"));
}

#[test]
fn programs_run_without_any_external_command() {
    for (name, shell) in SHELLS {
        let stage = Stage::new(&[raw("PATH", "/nonexistent"), raw("A", "1")]);
        std::fs::create_dir(stage.root.path().join("p.tmp")).unwrap();
        let text = stage.program(&lines(&["echo $A", "echo a\necho b"]), |program| {
            program.sections = Sections::On { now: 5 };
        });
        let (stdout, code) = stage.run(shell, &text);
        assert_eq!(code, Some(0), "{stdout} in {name}");
    }
}

fn file(key: &str, value: &str) -> Variable {
    Variable {
        file: true,
        ..raw(key, value)
    }
}

#[test]
fn file_variables_hold_the_exact_bytes_for_the_owner_alone() {
    let stage = Stage::new(&[file("F", "line1\nline2"), raw("A", "1")]);
    let temporary = stage.root.path().join("p.tmp");
    write_file_variables(&temporary, stage.environment.variables(), Users::Agents).unwrap();
    assert_eq!(std::fs::read(temporary.join("F")).unwrap(), b"line1\nline2");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode(&temporary), mode(&temporary.join("F"))),
        (0o700, 0o600)
    );
    assert!(!temporary.join("A").exists());
    remove_file_variables(&temporary, stage.environment.variables()).unwrap();
    assert!(!temporary.join("F").exists());
}

#[test]
fn links_left_by_an_earlier_job_are_replaced_not_followed() {
    let stage = Stage::new(&[file("F", "secret")]);
    let victim = stage.root.path().join("victim");
    std::fs::write(&victim, "kept").unwrap();
    let temporary = stage.root.path().join("p.tmp");
    std::fs::create_dir(&temporary).unwrap();
    symlink(&victim, temporary.join("F")).unwrap();
    write_file_variables(&temporary, stage.environment.variables(), Users::Agents).unwrap();
    assert_eq!(std::fs::read(&victim).unwrap(), b"kept");

    std::fs::remove_dir_all(&temporary).unwrap();
    let elsewhere = stage.root.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, &temporary).unwrap();
    write_file_variables(&temporary, stage.environment.variables(), Users::Agents).unwrap();
    assert!(!elsewhere.join("F").exists());
    assert_eq!(std::fs::read(temporary.join("F")).unwrap(), b"secret");
}
