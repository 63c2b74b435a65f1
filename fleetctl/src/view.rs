//! What people see of a pipeline that runs: a live tree on a terminal, a line for
//! each change elsewhere, JSON for programs.
//!
//! [`State`] takes the events, `render` draws it, `screen` knows what stands on
//! the terminal; only [`View`] writes and reads the clock.

mod ansi;
mod json;
mod log;
mod render;
mod screen;
mod state;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::time::{Duration, Instant};

use fleet_coordinator::{CancelMode, Created, Event, JobEvent};
use fleet_model::{JobId, JobState, Timestamp};

pub(crate) use self::ansi::{clean, plain_width, strip, truncate};
pub(crate) use self::log::{Line, Reader};
pub(crate) use self::render::{Canvas, duration, tree};
pub(crate) use self::screen::Screen;
use self::state::Change;
pub(crate) use self::state::{Site, State, Times};
use crate::terminal::{Size, Terminal};

/// Between two pictures.
const FRAME: Duration = Duration::from_millis(66);
/// Log bytes that wait for the next picture; more are drawn at once.
const WAITING_BYTES: usize = 64 * 1024;

/// What to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    /// In which form.
    pub(crate) form: Form,
    /// Which lines of logs.
    pub(crate) logs: Logs,
}

/// The form of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Which lines of logs are shown while jobs run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Logs {
    /// None.
    Off,
    /// What scripts print.
    Scripts,
    /// What the agent prints of its own work too.
    All,
}

/// What a view is told.
#[derive(Debug)]
pub(crate) enum Told {
    /// The pipeline was created: its jobs have ids.
    Created(Created),
    /// Something became true.
    Event(Event),
    /// A job has a new state, and had it before it was told.
    Job(JobEvent, Times),
    /// Somebody interrupted; jobs are told to stop.
    Interrupted(CancelMode),
    /// Something to know that is not about the pipeline; for people.
    Note(String),
    /// Time passed.
    Tick,
}

/// Shows one pipeline.
///
/// A reader that goes away (`fleetctl run | head`) stops the view, not the run.
pub(crate) struct View<W> {
    out: W,
    terminal: Terminal,
    wish: Wish,
    state: State,
    ids: Vec<JobId>,
    /// What time it was when the clock started.
    begun: Timestamp,
    clock: Instant,
    screen: Screen,
    /// Log lines that the next picture prints.
    waiting: Vec<String>,
    waiting_bytes: usize,
    last_frame: Option<Timestamp>,
    is_stale: bool,
}

impl<W: Write> View<W> {
    /// A view of a pipeline of which `state` is known `now`.
    pub(crate) fn new(
        state: State,
        now: Timestamp,
        wish: Wish,
        terminal: Terminal,
        out: W,
    ) -> View<W> {
        View {
            out,
            terminal,
            wish,
            state,
            ids: Vec::new(),
            begun: now,
            clock: Instant::now(),
            screen: Screen::default(),
            waiting: Vec::new(),
            waiting_bytes: 0,
            last_frame: None,
            is_stale: true,
        }
    }

    /// How often the view wants to be told the time; none: never.
    pub(crate) fn tick(&self) -> Option<Duration> {
        self.live().map(|_| FRAME)
    }

    /// Takes what the engine tells.
    pub(crate) fn told(&mut self, told: Told) {
        let now = self.now();
        match told {
            Told::Created(created) => {
                self.state.created(&created.jobs);
                if self.wish.form == Form::Json {
                    let value = json::created(&self.state, &created);
                    self.print(&value.to_string());
                }
                self.ids = created.jobs;
            }
            // Who interrupts twice waits for the prompt; the log's file has the rest.
            Told::Event(Event::Log { .. })
                if self.wish.form == Form::Text
                    && self.state.interrupted == Some(CancelMode::Forced) => {}
            Told::Event(event) => self.event(now, &event),
            Told::Job(event, times) => {
                let changes = self.state.apply_job(now, &event, times);
                self.changes(now, changes);
            }
            Told::Note(note) => {
                if self.live().is_some() {
                    self.waiting.push(note);
                    self.is_stale = true;
                } else {
                    eprintln!("{note}");
                }
            }
            Told::Interrupted(mode) => {
                self.state.interrupted = Some(mode);
                self.is_stale = true;
                if self.live().is_none() {
                    eprintln!("{}", render::interrupted(mode));
                }
            }
            Told::Tick => {}
        }
        if let Some(size) = self.live() {
            self.frame(now, size);
        } else {
            let _ = self.out.flush();
        }
    }

    /// Shows how it ended and gives back the names of the jobs that failed.
    pub(crate) fn end(mut self) -> Vec<String> {
        let now = self.now();
        if self.wish.form == Form::Json {
            let value = json::end(&self.state, now);
            self.print(&value.to_string());
        } else if let Some(size) = self.live() {
            let canvas = self.canvas(Some(size.columns));
            // The last picture may be as long as it is: it is not drawn again.
            let mut lines = std::mem::take(&mut self.waiting);
            lines.extend(render::tree(&self.state, canvas, usize::MAX, now));
            lines.pop();
            lines.extend(render::ending(&self.state, canvas, now));
            let text = self.screen.draw(&lines, &[], size.columns);
            let _ = self.out.write_all(text.as_bytes());
        } else {
            for line in render::ending(&self.state, self.canvas(None), now) {
                self.print(&line);
            }
        }
        let _ = self.out.flush();
        self.state.failed_names()
    }

    /// Takes an event and shows nothing of it: what was before, for the end.
    pub(crate) fn recall(&mut self, event: &Event) {
        let now = self.now();
        self.state.apply(now, event);
    }

    /// Takes when the pipeline ended, where that is not now.
    pub(crate) fn ended_at(&mut self, at: Timestamp) {
        self.state.ended = Some(at);
    }

    fn event(&mut self, now: Timestamp, event: &Event) {
        if let Event::Downstream(downstream) = event {
            self.ids.extend_from_slice(&downstream.created.jobs);
        }
        let changes = self.state.apply(now, event);
        self.changes(now, changes);
    }

    fn changes(&mut self, now: Timestamp, changes: Vec<Change>) {
        for change in changes {
            self.is_stale = true;
            match (self.wish.form, self.live()) {
                (Form::Json, _) => {
                    if let Some(value) = json::change(&self.state, &self.ids, &change)
                        && self.is_wanted(&change)
                    {
                        self.print(&value.to_string());
                    }
                }
                (Form::Text, Some(size)) => {
                    if let Change::Line(index, line) = &change
                        && self.is_wanted(&change)
                    {
                        let canvas = self.canvas(Some(size.columns));
                        let lines = render::log_line(&self.state, *index, &line.text, canvas);
                        self.waiting_bytes += lines.iter().map(String::len).sum::<usize>();
                        self.waiting.extend(lines);
                    }
                }
                (Form::Text, None) => self.change(now, &change),
            }
        }
    }

    /// Prints a change on a line of its own.
    fn change(&mut self, now: Timestamp, change: &Change) {
        if !self.is_wanted(change) {
            return;
        }
        let canvas = self.canvas(None);
        match change {
            Change::Line(index, line) => {
                for line in render::log_line(&self.state, *index, &line.text, canvas) {
                    self.print(&line);
                }
            }
            Change::Job(index) => {
                let line = render::state_line(&self.state, *index, canvas, now);
                self.print(&line);
            }
            Change::Pipeline | Change::Downstream { .. } => {}
        }
    }

    fn is_wanted(&self, change: &Change) -> bool {
        match change {
            Change::Line(_, line) => match self.wish.logs {
                Logs::Off => false,
                Logs::Scripts => !line.of_agent,
                Logs::All => true,
            },
            // Waiting says nothing where lines are not replaced.
            Change::Job(index) => {
                self.wish.form == Form::Json
                    || self.wish.logs == Logs::All
                    || self.state.jobs.get(*index).is_some_and(|job| {
                        !matches!(
                            job.state,
                            JobState::Created
                                | JobState::Pending
                                | JobState::Preparing
                                | JobState::WaitingForResource
                        )
                    })
            }
            Change::Pipeline | Change::Downstream { .. } => true,
        }
    }

    /// Draws if something changed and it is time, or time passes for a job.
    fn frame(&mut self, now: Timestamp, size: Size) {
        let due = self.last_frame.is_none_or(|last| now.since(last) >= FRAME);
        let runs = self
            .state
            .jobs
            .iter()
            .any(|job| job.state == JobState::Running);
        if !(due && (self.is_stale || runs)) && self.waiting_bytes < WAITING_BYTES {
            return;
        }
        self.last_frame = Some(now);
        self.is_stale = false;
        self.waiting_bytes = 0;
        let lines = std::mem::take(&mut self.waiting);
        let canvas = self.canvas(Some(size.columns));
        // One row stays free for what is typed.
        let tree = render::tree(&self.state, canvas, size.rows.saturating_sub(2).max(1), now);
        let text = self.screen.draw(&lines, &tree, size.columns);
        let _ = self.out.write_all(text.as_bytes());
        let _ = self.out.flush();
    }

    /// The size of the terminal that shows the tree; none where there is no tree.
    fn live(&self) -> Option<Size> {
        if self.wish.form == Form::Json {
            None
        } else {
            self.terminal.live()
        }
    }

    fn canvas(&self, columns: Option<usize>) -> Canvas {
        Canvas {
            columns,
            color: self.terminal.color,
        }
    }

    fn print(&mut self, line: &str) {
        let _ = writeln!(self.out, "{line}");
    }

    fn now(&self) -> Timestamp {
        self.begun + self.clock.elapsed()
    }
}
