//! Whole views of small runs, on terminals wide and narrow and on none.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use fleet_coordinator::{CancelMode, Created, JobEvent};
use fleet_model::{AgentName, AutoCancel, FailureReason, PipelineId, Plan};

use super::*;
use crate::run::planned_job as job;

fn plan(jobs: &[(&str, &str)]) -> Plan {
    let mut stages: Vec<String> = Vec::new();
    let jobs = jobs
        .iter()
        .map(|(stage, name)| {
            if stages.last().map(String::as_str) != Some(*stage) {
                stages.push((*stage).to_owned());
            }
            job((*name).to_owned(), stages.len() - 1)
        })
        .collect();
    Plan {
        name: None,
        stages,
        jobs,
        auto_cancel: AutoCancel::default(),
        predefined: Vec::new(),
        user: Vec::new(),
    }
}

fn state_of(job: u64, state: JobState) -> Event {
    Event::Job(JobEvent {
        job: JobId(job),
        attempt: 1,
        state,
        reason: None,
        exit_code: None,
        allowed_failure: false,
        agent: Some(AgentName("local".into())),
        message: None,
    })
}

fn failed(job: u64, exit_code: i32, allowed_failure: bool) -> Event {
    let Event::Job(event) = state_of(job, JobState::Failed) else {
        panic!()
    };
    let reason = Some(FailureReason::SCRIPT_FAILURE);
    Event::Job(JobEvent {
        reason,
        exit_code: Some(exit_code),
        allowed_failure,
        ..event
    })
}

fn log(job: u64, text: &str) -> Event {
    Event::Log {
        job: JobId(job),
        attempt: 1,
        offset: 0,
        data: Bytes::copy_from_slice(text.as_bytes()),
    }
}

/// A state after events that came `step` milliseconds apart.
fn after(plan: &Plan, step: u64, events: &[Event]) -> (State, Timestamp) {
    let mut state = State::new(plan, Timestamp(0));
    let ids: Vec<JobId> = (1..).take(plan.jobs.len()).map(JobId).collect();
    state.created(&ids);
    let mut now = Timestamp(0);
    for event in events {
        state.apply(now, event);
        now.0 += step;
    }
    (state, now)
}

fn shop() -> (State, Timestamp) {
    let plan = plan(&[
        ("build", "compile"),
        ("test", "unit 1/2"),
        ("test", "unit 2/2"),
        ("test", "style"),
        ("a stage with quite a long name", "last"),
    ]);
    let events = [
        state_of(1, JobState::Running),
        log(1, "compiled\n"),
        state_of(1, JobState::Success),
        state_of(2, JobState::Running),
        state_of(3, JobState::Pending),
        state_of(4, JobState::Running),
        log(4, "expected 4, got 5\n"),
        failed(4, 3, false),
    ];
    after(&plan, 700, &events)
}

fn plain(columns: usize) -> Canvas {
    Canvas {
        columns: Some(columns),
        color: false,
    }
}

#[test]
fn tree_shows_stages_jobs_states_and_times() {
    let (state, now) = shop();
    assert_eq!(
        render::tree(&state, plain(80), 40, now),
        [
            "build",
            "  ✓ compile   1.4s",
            "test",
            "  ● unit 1/2  3.5s",
            "  ○ unit 2/2          waits for a slot",
            "  ✗ style     1.4s    exit code 3",
            "a stage with quite a long name",
            "  ○ last",
            "2 of 5 done, 1 running, 1 failed, 5.6s",
        ]
    );
}

#[test]
fn colours_are_beside_words_and_symbols() {
    let (state, now) = shop();
    let canvas = Canvas {
        columns: Some(80),
        color: true,
    };
    let coloured = render::tree(&state, canvas, 40, now);
    assert_eq!(
        coloured[5],
        "  \x1b[31m✗\x1b[0m \x1b[31mstyle\x1b[0m     \x1b[2m1.4s\x1b[0m    \x1b[2mexit code 3\x1b[0m"
    );
    let stripped: Vec<String> = coloured.iter().map(|line| ansi::strip(line)).collect();
    assert_eq!(stripped, render::tree(&state, plain(80), 40, now));
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    let plan = plan(&[
        (
            "出荷する段階",
            "a job whose name is longer than a narrow terminal is wide",
        ),
        (
            "出荷する段階",
            "日本語の仕事の名前はとても長いことがあります",
        ),
    ]);
    let text = "x\u{1b}[31my\tz 日本語 ".repeat(20);
    let events = [
        state_of(1, JobState::Running),
        log(1, &text),
        failed(1, 1, false),
        state_of(2, JobState::Running),
        Event::Pipeline(JobState::Failed),
    ];
    let (state, now) = after(&plan, 1000, &events);
    for columns in 1..120 {
        for color in [false, true] {
            let canvas = Canvas {
                columns: Some(columns),
                color,
            };
            let mut lines = render::tree(&state, canvas, 40, now);
            lines.extend(render::ending(&state, canvas, now));
            if columns > 10 {
                lines.extend(render::log_line(
                    &state,
                    0,
                    &ansi::sanitize(text.as_bytes()),
                    canvas,
                ));
            }
            // The tree's frame and a wide letter need a few columns themselves.
            let most = columns.max(6);
            for line in lines {
                assert!(ansi::width(&line) <= most, "{columns}: {line:?}");
            }
        }
    }
}

#[test]
fn tall_pipelines_fold_what_is_done_then_what_waits_then_show_what_runs() {
    let mut jobs = Vec::new();
    let names: Vec<String> = (0..30).map(|number| format!("job {number}")).collect();
    for (index, name) in names.iter().enumerate() {
        jobs.push((["one", "two", "three"][index / 10], name.as_str()));
    }
    let mut events: Vec<Event> = (1..=10)
        .map(|job| state_of(job, JobState::Success))
        .collect();
    events.extend((11..=13).map(|job| state_of(job, JobState::Running)));
    let (state, now) = after(&plan(&jobs), 0, &events);
    let draw = |rows| render::tree(&state, plain(40), rows, now);
    assert_eq!(draw(100).len(), 34);
    assert_eq!(draw(30)[0], "✓ one  10 jobs");
    assert_eq!(draw(30).len(), 24);
    assert_eq!(draw(20).len(), 14);
    assert_eq!(draw(20)[12], "○ three  10 jobs");
    assert_eq!(
        draw(5),
        [
            "  ● job 10  0.0s",
            "  ● job 11  0.0s",
            "  ● job 12  0.0s",
            "  … 27 jobs more",
            "10 of 30 done, 3 running, 0.0s",
        ]
    );
    for rows in 1..40 {
        assert!(draw(rows).len() <= rows, "{rows}");
    }
}

#[test]
fn ending_has_last_lines_and_the_verdict_with_the_next_command() {
    let (mut state, now) = shop();
    state.status = JobState::Failed;
    assert_eq!(
        render::ending(&state, plain(80), now),
        [
            "",
            "style failed: exit code 3",
            "  │ expected 4, got 5",
            "",
            "failed: 1 of 5 jobs (style) in 5.6s. Next: fleetctl run --failed",
        ]
    );
    assert_eq!(
        render::verdict(&state, plain(60), now),
        "failed: 1 of 5 jobs in 5.6s. Next: fleetctl run --failed"
    );
    assert_eq!(
        render::verdict(&state, plain(30), now),
        "failed: 1 of 5 jobs in 5.6s"
    );
    assert_eq!(render::verdict(&state, plain(12), now), "failed: 1 o…");
}

#[test]
fn only_the_newest_lines_of_a_failed_job_are_repeated() {
    let text: String = (0..100).map(|line| format!("line {line}\n")).collect();
    let (state, now) = after(
        &plan(&[("s", "a")]),
        1,
        &[log(1, &text), failed(1, 1, false)],
    );
    let ending = render::ending(&state, plain(80), now);
    let repeated: Vec<&String> = ending
        .iter()
        .filter(|line| line.contains("line "))
        .collect();
    assert_eq!(repeated.len(), state::TAIL_LINES);
    assert_eq!(repeated[0], "  │ line 80");
}

#[test]
fn verdicts_say_what_people_ask() {
    let plan = plan(&[("s", "a"), ("s", "b c")]);
    let verdict = |events: &[Event], status| {
        let (mut state, _) = after(&plan, 0, events);
        state.status = status;
        render::verdict(&state, plain(100), Timestamp(62_000))
    };
    let passed = state_of(1, JobState::Success);
    assert_eq!(verdict(&[], JobState::Success), "passed: 2 jobs in 1m02s");
    assert_eq!(
        verdict(&[failed(2, 1, true)], JobState::Success),
        "passed: 2 jobs in 1m02s, allowed to fail: b c"
    );
    assert_eq!(
        verdict(&[passed], JobState::Canceled),
        "canceled after 1m02s: 1 of 2 jobs passed. Next: fleetctl run"
    );
}

#[test]
fn second_try_starts_its_log_and_time_anew() {
    let plan = plan(&[("s", "a")]);
    let again = |state| {
        let Event::Job(event) = state_of(1, state) else {
            panic!()
        };
        Event::Job(JobEvent {
            attempt: 2,
            ..event
        })
    };
    let events = [
        state_of(1, JobState::Running),
        log(1, "first try\nno end of line"),
        failed(1, 1, false),
        again(JobState::Pending),
        again(JobState::Running),
        Event::Log {
            job: JobId(1),
            attempt: 2,
            offset: 0,
            data: Bytes::from_static(b"second try\n"),
        },
    ];
    let (state, now) = after(&plan, 1000, &events);
    assert_eq!(*state.jobs[0].tail(), ["second try"]);
    assert_eq!(
        render::tree(&state, plain(80), 10, now)[1],
        "  ● a  2.0s    try 2"
    );
}

#[test]
fn names_in_the_file_cannot_steer_the_terminal() {
    let plan = plan(&[("s\x1b[2J", "a\nb\x1b]0;title\x07\x1b[31m")]);
    let (state, now) = after(&plan, 0, &[]);
    assert_eq!(
        render::tree(&state, plain(80), 10, now)[..2],
        ["s", "  ○ a b"]
    );
}

#[derive(Clone, Default)]
struct Output(Rc<RefCell<Vec<u8>>>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Output {
    fn text(&self) -> String {
        String::from_utf8(self.0.borrow().clone()).unwrap()
    }
}

/// What a whole run prints.
fn show(wish: Wish, size: Option<Size>, color: bool, events: &[Event]) -> String {
    let plan = plan(&[("build", "compile"), ("test", "lint")]);
    let output = Output::default();
    let mut view = View::new(
        State::new(&plan, Timestamp(0)),
        Timestamp(0),
        wish,
        Terminal::fixed(size, color),
        output.clone(),
    );
    view.told(Told::Created(Created {
        pipeline: PipelineId(7),
        jobs: vec![JobId(1), JobId(2)],
    }));
    for event in events {
        view.told(Told::Event(event.clone()));
    }
    view.told(Told::Tick);
    view.end();
    output.text()
}

fn events() -> Vec<Event> {
    vec![
        Event::Pipeline(JobState::Running),
        state_of(1, JobState::Pending),
        state_of(1, JobState::Running),
        log(
            1,
            "section_start:1:get_sources\r\x1b[0KGetting source\nsection_end:1:get_sources\r\x1b[0K",
        ),
        log(1, "\x1b[32;1m$ make\x1b[0;m\nhal"),
        log(1, "f\n"),
        state_of(1, JobState::Success),
        state_of(2, JobState::Running),
        failed(2, 1, false),
        Event::Pipeline(JobState::Failed),
    ]
}

/// Times differ from run to run.
fn without_times(text: &str) -> String {
    text.replace("0.1s", "0.0s")
}

const TEXT: Wish = Wish {
    form: Form::Text,
    logs: Logs::Scripts,
};

#[test]
fn pipe_gets_a_line_for_each_change() {
    assert_eq!(
        without_times(&show(TEXT, None, false, &events())),
        "compile ● running
compile │ $ make
compile │ half
compile ✓ passed  0.0s
lint    ● running
lint    ✗ failed  0.0s  exit code 1

lint failed: exit code 1

failed: 1 of 2 jobs (lint) in 0.0s. Next: fleetctl run --failed
"
    );
}

#[test]
fn quiet_pipe_gets_no_logs_and_verbose_all() {
    let quiet = show(
        Wish {
            logs: Logs::Off,
            ..TEXT
        },
        None,
        false,
        &events(),
    );
    assert!(
        !quiet.contains("half") && quiet.contains("compile ✓ passed"),
        "{quiet}"
    );
    let verbose = show(
        Wish {
            logs: Logs::All,
            ..TEXT
        },
        None,
        false,
        &events(),
    );
    assert!(verbose.contains("compile │ Getting source"), "{verbose}");
    assert!(verbose.contains("compile ○ pending"), "{verbose}");
}

#[test]
fn terminal_shows_logs_above_a_tree_that_stays_as_the_summary() {
    let size = Some(Size {
        columns: 60,
        rows: 20,
    });
    let text = without_times(&show(TEXT, size, false, &events()));
    let last = text.rsplit("\x1b[J").next().unwrap();
    assert!(
        last.ends_with(
            "build\r\n  ✓ compile  0.0s\r\ntest\r\n  ✗ lint     0.0s    exit code 1\r\n\r\n\
             lint failed: exit code 1\r\n\r\n\
             failed: 1 of 2 jobs in 0.0s. Next: fleetctl run --failed\r\n"
        ),
        "{last:?}"
    );
    assert!(text.contains("compile │ half\r\n"), "{text:?}");
    assert!(!text.contains("section_"), "{text:?}");
}

#[test]
fn programs_get_one_object_a_line() {
    let wish = Wish {
        form: Form::Json,
        logs: Logs::All,
    };
    let text = show(
        wish,
        Some(Size {
            columns: 60,
            rows: 20,
        }),
        true,
        &events(),
    );
    let values: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let kinds: Vec<&str> = values
        .iter()
        .map(|value| value["event"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "created", "pipeline", "job", "job", "log", "log", "log", "job", "job", "job",
            "pipeline", "end"
        ]
    );
    assert_eq!(values[0]["jobs"][1]["name"], "lint");
    assert_eq!(values[5]["line"], "$ make");
    assert_eq!(
        (&values[9]["state"], &values[9]["exit_code"]),
        (&"failed".into(), &1.into())
    );
    assert_eq!(values[11]["failed"][0], "lint");
}

#[test]
fn interruption_is_answered_in_the_tree() {
    let (mut state, now) = shop();
    state.interrupted = Some(CancelMode::Graceful);
    let tree = render::tree(&state, plain(80), 40, now);
    assert_eq!(
        tree.last().unwrap(),
        "canceling, Ctrl-C again stops at once; 2 of 5 done, 1 running, 1 failed, 5.6s"
    );
}

#[test]
fn names_steer_no_terminal_but_stay_what_they_are_for_programs() {
    let plan = plan(&[("te\u{1b}[2Jst", "a\tb\u{1b}[31m")]);
    let mut state = State::new(&plan, Timestamp(0));
    state.created(&[JobId(1)]);
    state.apply(Timestamp(0), &failed(1, 1, false));
    assert_eq!(state.failed_names(), ["a\tb\u{1b}[31m"]);
    let canvas = Canvas {
        columns: Some(40),
        color: false,
    };
    let mut lines = render::tree(&state, canvas, usize::MAX, Timestamp(0));
    lines.extend(render::ending(&state, canvas, Timestamp(0)));
    assert!(lines.iter().any(|line| line.contains("a       b")));
    assert!(!lines.concat().contains(['\t', '\u{1b}']), "{lines:?}");
}

#[test]
fn logs_end_with_the_second_interrupt() {
    let plan = plan(&[("test", "a")]);
    let output = Output::default();
    let mut view = View::new(
        State::new(&plan, Timestamp(0)),
        Timestamp(0),
        TEXT,
        Terminal::fixed(None, false),
        output.clone(),
    );
    view.told(Told::Created(Created {
        pipeline: PipelineId(7),
        jobs: vec![JobId(1)],
    }));
    view.told(Told::Interrupted(CancelMode::Graceful));
    view.told(Told::Event(log(1, "cleaning\n")));
    view.told(Told::Interrupted(CancelMode::Forced));
    view.told(Told::Event(log(1, "flood\n")));
    assert!(output.text().contains("cleaning") && !output.text().contains("flood"));
}
