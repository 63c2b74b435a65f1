//! Pictures of a [`State`]: pure functions from what is known to text.

use std::time::Duration;

use fleet_coordinator::CancelMode;
use fleet_model::{JobState, Timestamp};

use super::ansi::{clean, plain_width, strip, truncate, width, wrap};
use super::state::{Job, Site, State};

/// A job's name takes at most this share of a line before its log.
const NAME_SHARE: usize = 3;
const MAX_NAME: usize = 32;

/// How to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Canvas {
    /// Columns of the terminal; none: lines may be of any length.
    pub(crate) columns: Option<usize>,
    /// With colours.
    pub(crate) color: bool,
}

impl Canvas {
    /// Text in a colour, by its SGR code.
    pub(crate) fn paint(self, code: &str, text: &str) -> String {
        if self.color && !code.is_empty() && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    fn limit(self) -> usize {
        self.columns.unwrap_or(usize::MAX)
    }
}

/// The tree of stages and jobs and a line of totals, in at most `rows` lines.
pub(crate) fn tree(state: &State, canvas: Canvas, rows: usize, now: Timestamp) -> Vec<String> {
    let mut lines = Vec::new();
    for detail in [Detail::All, Detail::Unfinished, Detail::Active] {
        lines = stages(state, canvas, detail, now);
        if lines.len() < rows {
            break;
        }
    }
    if lines.len() >= rows {
        lines = crowded(state, canvas, rows.saturating_sub(1), now);
    }
    lines.push(totals(state, canvas, now));
    lines
}

/// How much of a pipeline is drawn job by job.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Detail {
    /// Every job.
    All,
    /// Stages that are done are one line each.
    Unfinished,
    /// Those that have not begun too.
    Active,
}

fn stages(state: &State, canvas: Canvas, detail: Detail, now: Timestamp) -> Vec<String> {
    let mut lines = Vec::new();
    for (index, name) in state.stages.iter().enumerate() {
        let name = &clean(name);
        let jobs: Vec<&Job> = state.jobs.iter().filter(|job| job.stage == index).collect();
        let done = jobs
            .iter()
            .all(|job| job.state.is_completed() && job.state != JobState::Failed);
        let waiting = jobs.iter().all(|job| job.state == JobState::Created);
        let folded = detail != Detail::All && done || detail == Detail::Active && waiting;
        if folded {
            lines.push(folded_stage(name, &jobs, canvas));
        } else {
            lines.push(canvas.paint("1", &truncate(name, canvas.limit())));
            lines.extend(jobs.iter().map(|job| job_line(state, job, canvas, now)));
        }
    }
    lines
}

fn folded_stage(name: &str, jobs: &[&Job], canvas: Canvas) -> String {
    let count = format!("  {}", jobs_in_words(jobs.len()));
    let symbol = jobs
        .iter()
        .map(|job| look(job))
        .max_by_key(|look| look.weight)
        .unwrap_or(WAITS);
    let room = canvas.limit().saturating_sub(2 + plain_width(&count));
    let name = truncate(name, room);
    format!(
        "{} {}{count}",
        canvas.paint(symbol.code, symbol.symbol),
        canvas.paint("1", &name)
    )
}

/// What fits of a pipeline with more active jobs than lines.
fn crowded(state: &State, canvas: Canvas, rows: usize, now: Timestamp) -> Vec<String> {
    let mut jobs: Vec<&Job> = state
        .jobs
        .iter()
        .filter(|job| job.started.is_some() || job.state == JobState::Failed)
        .collect();
    jobs.sort_by_key(|job| match job.state {
        JobState::Failed if !job.allowed_failure => 0,
        JobState::Running | JobState::Canceling => 1,
        JobState::Failed => 2,
        _ => 3,
    });
    let shown = rows.saturating_sub(1).min(jobs.len());
    jobs.truncate(shown);
    let mut lines: Vec<String> = jobs
        .iter()
        .map(|job| job_line(state, job, canvas, now))
        .collect();
    if rows > 0 {
        let rest = format!("  … {} more", jobs_in_words(state.jobs.len() - shown));
        lines.push(truncate(&rest, canvas.limit()));
    }
    lines
}

fn job_line(state: &State, job: &Job, canvas: Canvas, now: Timestamp) -> String {
    let look = look(job);
    let time = job.elapsed(now).map(duration).unwrap_or_default();
    let mut remark = job.remark().unwrap_or_default();
    if let Some(agent) = job.agent.as_ref().filter(|_| state.shows_agents()) {
        let gap = if remark.is_empty() { "" } else { "  " };
        remark = format!("{agent}{gap}{remark}");
    }
    // Longer than the names' column is the exception; then the rest moves.
    let column = column(state, canvas);
    let head_room = canvas.limit().saturating_sub(4);
    let name = truncate(&job.shown, head_room);
    let mut used = 4 + plain_width(&name);
    let mut line = format!(
        "  {} {}",
        canvas.paint(look.code, look.symbol),
        canvas.paint(look.name, &name)
    );
    for (text, pad) in [(time, column + 4 + 2), (remark, column + 4 + 2 + 8)] {
        if text.is_empty() {
            continue;
        }
        let gap = pad.saturating_sub(used).max(2);
        let room = canvas.limit().saturating_sub(used + gap);
        if room < 4 {
            break;
        }
        let text = truncate(&text, room);
        used += gap + plain_width(&text);
        line.push_str(&" ".repeat(gap));
        line.push_str(&canvas.paint("2", &text));
    }
    line
}

/// The width of the names' column.
fn column(state: &State, canvas: Canvas) -> usize {
    let share = canvas
        .columns
        .map_or(MAX_NAME, |columns| columns / NAME_SHARE);
    state.longest_name.min(share).min(MAX_NAME)
}

/// How a job's state looks.
#[derive(Clone, Copy)]
struct Look {
    symbol: &'static str,
    word: &'static str,
    /// The symbol's colour.
    code: &'static str,
    /// The name's colour.
    name: &'static str,
    /// Of several the heaviest counts.
    weight: u8,
}

const WAITS: Look = Look {
    symbol: "○",
    word: "waits",
    code: "2",
    name: "2",
    weight: 1,
};

fn look(job: &Job) -> Look {
    let (symbol, word, code, name, weight) = match job.state {
        JobState::Success => ("✓", "passed", "32", "", 2),
        JobState::Failed if job.allowed_failure => ("!", "failed", "33", "", 5),
        JobState::Failed => ("✗", "failed", "31", "31", 6),
        JobState::Running => ("●", "running", "36", "", 4),
        JobState::Canceling => ("●", "canceling", "33", "", 4),
        JobState::Canceled => ("-", "canceled", "33", "2", 3),
        JobState::Skipped => ("-", "skipped", "2", "2", 0),
        JobState::Manual => ("▷", "manual", "2", "2", 1),
        JobState::Scheduled => ("◷", "scheduled", "36", "", 1),
        JobState::Pending => ("○", "pending", "36", "", 1),
        JobState::Created | JobState::WaitingForResource | JobState::Preparing => return WAITS,
    };
    Look {
        symbol,
        word,
        code,
        name,
        weight,
    }
}

/// `3 of 7 done, 2 running, 1 failed, 1m02s`
fn totals(state: &State, canvas: Canvas, now: Timestamp) -> String {
    let count = |wanted: fn(&Job) -> bool| state.jobs.iter().filter(|job| wanted(job)).count();
    let done = count(|job| job.state.is_completed());
    let answer = state
        .interrupted
        .map(|mode| format!("{}; ", interrupted(mode)));
    let mut text = format!(
        "{}{done} of {} done",
        answer.unwrap_or_default(),
        state.jobs.len()
    );
    for (number, word) in [
        (
            count(|job| matches!(job.state, JobState::Running | JobState::Canceling)),
            "running",
        ),
        (
            count(|job| job.state == JobState::Failed && !job.allowed_failure),
            "failed",
        ),
    ] {
        if number > 0 {
            text.push_str(&format!(", {number} {word}"));
        }
    }
    let time = state.ended.unwrap_or(now).since(state.started);
    text.push_str(&format!(", {}", duration(time)));
    canvas.paint("2", &truncate(&text, canvas.limit()))
}

/// The answer to Ctrl-C.
pub(super) fn interrupted(mode: CancelMode) -> &'static str {
    match mode {
        CancelMode::Graceful => "canceling, Ctrl-C again stops at once",
        CancelMode::Forced => "stopping at once",
    }
}

/// A line of a job's log with its name before it; more than one where the
/// terminal is narrower.
pub(super) fn log_line(state: &State, index: usize, text: &str, canvas: Canvas) -> Vec<String> {
    let prefix = prefix(state, index, "│", canvas);
    let text = if canvas.color {
        text.to_owned()
    } else {
        strip(text)
    };
    let reset = if text.contains('\u{1b}') {
        "\u{1b}[0m"
    } else {
        ""
    };
    let lines = match canvas.columns {
        Some(columns) => wrap(&text, columns.saturating_sub(width(&prefix)).max(1)),
        None => vec![text],
    };
    lines
        .into_iter()
        .map(|line| format!("{prefix}{line}{reset}").trim_end().to_owned())
        .collect()
}

/// A line that tells a job's new state, for where there is no tree.
pub(super) fn state_line(state: &State, index: usize, canvas: Canvas, now: Timestamp) -> String {
    let Some(job) = state.jobs.get(index) else {
        return String::new();
    };
    let look = look(job);
    let mut line = prefix(state, index, look.symbol, canvas);
    line.push_str(&canvas.paint(look.code, look.word));
    let ended = job
        .elapsed(now)
        .filter(|_| job.ended.is_some())
        .map(duration);
    let agent = job.agent.as_ref().filter(|_| state.shows_agents());
    let agent = agent.map(|agent| format!("on {agent}"));
    for text in [ended, agent, job.remark()].into_iter().flatten() {
        line.push_str("  ");
        line.push_str(&text);
    }
    line
}

/// `name │ `, in the job's own colour.
fn prefix(state: &State, index: usize, sign: &str, canvas: Canvas) -> String {
    const COLORS: [&str; 6] = ["36", "35", "34", "33", "32", "96"];
    let column = column(state, canvas);
    let name = state.jobs.get(index).map_or("", |job| job.shown.as_str());
    // Where lines may be of any length, names are whole: people search for them.
    let name = if canvas.columns.is_some() {
        truncate(name, column)
    } else {
        name.to_owned()
    };
    let gap = " ".repeat(column.saturating_sub(plain_width(&name)));
    let color = COLORS[index % COLORS.len()];
    format!("{} ", canvas.paint(color, &format!("{name}{gap} {sign}")))
}

/// What a person wants to read when all is over: the last lines of what failed,
/// then the verdict.
pub(super) fn ending(state: &State, canvas: Canvas, now: Timestamp) -> Vec<String> {
    let mut lines = Vec::new();
    for job in state
        .jobs
        .iter()
        .filter(|job| job.state == JobState::Failed && !job.allowed_failure)
    {
        let why = job.remark().unwrap_or_default();
        lines.push(String::new());
        let heading = truncate(&format!("{} failed: {why}", job.shown), canvas.limit());
        lines.push(canvas.paint("31", &heading));
        if let Some(message) = job.message.as_ref().filter(|message| **message != why) {
            lines.push(truncate(&format!("  {message}"), canvas.limit()));
        }
        for text in job.tail() {
            let text = if canvas.color {
                text.clone()
            } else {
                strip(text)
            };
            let reset = if text.contains('\u{1b}') {
                "\u{1b}[0m"
            } else {
                ""
            };
            let room = canvas.limit().saturating_sub(4).max(1);
            let parts = if canvas.columns.is_some() {
                wrap(&text, room)
            } else {
                vec![text]
            };
            lines.extend(
                parts
                    .iter()
                    .map(|part| format!("  │ {part}{reset}").trim_end().to_owned()),
            );
        }
    }
    if !lines.is_empty() {
        lines.push(String::new());
    }
    lines.push(verdict(state, canvas, now));
    lines
}

/// One line: how it ended, how long it took, what to type next.
pub(super) fn verdict(state: &State, canvas: Canvas, now: Timestamp) -> String {
    let time = duration(state.ended.unwrap_or(now).since(state.started));
    let names = |jobs: Vec<&Job>| {
        let names: Vec<&str> = jobs.iter().map(|job| job.shown.as_str()).collect();
        names.join(", ")
    };
    let total = jobs_in_words(state.jobs.len());
    let (code, forms) = match state.status {
        JobState::Success => {
            let base = format!("passed: {total} in {time}");
            let (warned, apart): (Vec<&Job>, Vec<&Job>) = state
                .jobs
                .iter()
                .filter(|job| job.state == JobState::Failed)
                .partition(|job| job.allowed_failure);
            let mut all = base.clone();
            // Of pipelines that nobody waited for.
            for (what, jobs) in [("allowed to fail", warned), ("failed apart", apart)] {
                if !jobs.is_empty() {
                    all.push_str(&format!(", {what}: {}", names(jobs)));
                }
            }
            ("32", vec![all, base])
        }
        JobState::Canceled | JobState::Canceling => {
            let done = state
                .jobs
                .iter()
                .filter(|job| job.state == JobState::Success)
                .count();
            let base = format!("canceled after {time}");
            let again = match state.site {
                Site::Here => "fleetctl run".to_owned(),
                Site::Fleet(id) => format!("fleetctl pipeline retry {id}"),
            };
            (
                "33",
                vec![
                    format!("{base}: {done} of {total} passed. Next: {again}"),
                    base,
                ],
            )
        }
        _ => {
            let failed: Vec<&Job> = state.failed().collect();
            let base = format!("failed: {} of {total} in {time}", failed.len());
            let named = format!(
                "failed: {} of {total} ({}) in {time}",
                failed.len(),
                names(failed)
            );
            let next = match state.site {
                Site::Here => "Next: fleetctl run --failed".to_owned(),
                Site::Fleet(id) => format!("Next: fleetctl pipeline retry {id}"),
            };
            (
                "31",
                vec![format!("{named}. {next}"), format!("{base}. {next}"), base],
            )
        }
    };
    let fits = forms
        .iter()
        .find(|form| plain_width(form) <= canvas.limit())
        .or(forms.last());
    canvas.paint(
        &format!("1;{code}"),
        &truncate(fits.map_or("", String::as_str), canvas.limit()),
    )
}
fn jobs_in_words(count: usize) -> String {
    if count == 1 {
        "1 job".to_owned()
    } else {
        format!("{count} jobs")
    }
}

/// `0.4s`, `12s`, `3m05s`, `1h02m`.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => format!("{seconds}.{}s", time.subsec_millis() / 100),
        10..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}
