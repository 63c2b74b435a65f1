//! How answers are printed: tables for people, JSON for programs.
//!
//! Results go to stdout; hints, progress and warnings to stderr. What a table shows
//! of a message is beside the message's noun in `server`; `json` has all of it.

pub(crate) mod json;
mod table;
pub(crate) mod time;

use std::io::{self, BufRead, IsTerminal, Write};
use std::time::Duration;

use serde_json::Value;

pub(crate) use self::json::Json;
pub(crate) use self::table::{Cell, Column};
use crate::cli::{Global, Output};
use crate::client::Client;
use crate::terminal::Terminal;
use crate::view::{Canvas, Screen, clean};
use crate::{Exit, Failure, interrupt};

/// Between two looks at what is watched by asking again.
const LOOK: Duration = Duration::from_secs(2);

/// Something that is listed.
pub(crate) trait Shown: Json {
    /// What one of it is called.
    const NOUN: &'static str;
    /// Its columns; those that `-o table` leaves out too.
    const COLUMNS: &'static [Column];

    /// A cell for each column. `now`: Unix time in milliseconds.
    fn cells(&self, now: u64) -> Vec<Cell>;
}

/// Prints answers.
pub(crate) struct Printer {
    output: Output,
    global: Global,
    terminal: Terminal,
}

impl Printer {
    pub(crate) fn new(output: Output, global: Global) -> Printer {
        Printer {
            output,
            global,
            terminal: Terminal::stdout(global.no_color),
        }
    }

    /// The flags of every command.
    pub(crate) fn global(&self) -> Global {
        self.global
    }

    /// What stdout is.
    pub(crate) fn terminal(&self) -> Terminal {
        self.terminal
    }

    pub(crate) fn is_json(&self) -> bool {
        self.output == Output::Json
    }

    /// Prints a list.
    pub(crate) fn list<T: Shown>(&self, items: &[T]) -> Result<Exit, Failure> {
        if items.is_empty() && !self.is_json() {
            self.hint(&format!("no {}s", T::NOUN));
            return Ok(Exit::Done);
        }
        self.print(&self.rendered(items))
    }

    /// Prints a list, again and again where it is watched.
    ///
    /// # Errors
    /// It cannot be asked for, or --timeout is over.
    pub(crate) async fn list_or_watch<T: Shown>(
        &self,
        client: &Client,
        watch: bool,
        mut fetch: impl AsyncFnMut() -> Result<Vec<T>, Failure>,
    ) -> Result<Exit, Failure> {
        if !watch {
            return self.list(&fetch().await?);
        }
        self.watch(client, async || {
            let items = fetch().await?;
            let all = items.iter().map(Json::json).collect();
            Ok((all, self.rendered(&items)))
        })
        .await
    }

    /// Prints what `render` gives - all that is known, and what is shown of it -
    /// whenever it changes, until --timeout or Ctrl-C. On a terminal it stays in its
    /// place; elsewhere it is no change that things become older.
    pub(crate) async fn watch(
        &self,
        client: &Client,
        mut render: impl AsyncFnMut() -> Result<(Value, String), Failure>,
    ) -> Result<Exit, Failure> {
        let mut screen = Screen::default();
        let mut last: Option<(Value, String)> = None;
        let mut is_away = false;
        loop {
            let live = self.terminal.live().filter(|_| !self.is_json());
            match render().await {
                Ok((all, text)) => {
                    is_away = false;
                    let is_same = last.as_ref().is_some_and(|(known, shown)| {
                        *shown == text || live.is_none() && *known == all
                    });
                    let shown = match live {
                        _ if is_same => String::new(),
                        None => text.clone(),
                        Some(size) => {
                            let rows = size.rows.saturating_sub(1);
                            let lines: Vec<String> =
                                text.lines().take(rows).map(str::to_owned).collect();
                            screen.draw(&[], &lines, size.columns)
                        }
                    };
                    if !crate::print_on(shown.as_bytes())? {
                        return Ok(Exit::Done);
                    }
                    last = Some((all, text));
                }
                // What was there once may come back.
                Err(failure) if failure.exit() == Exit::Unreachable && last.is_some() => {
                    if !is_away && live.is_none() {
                        self.hint(&format!("{failure} Trying again until Ctrl-C"));
                    }
                    is_away = true;
                }
                Err(failure) => return Err(failure),
            }
            client.pause(LOOK, "Ctrl-C").await?;
        }
    }

    /// A list as it is printed.
    fn rendered<T: Shown>(&self, items: &[T]) -> String {
        if self.is_json() {
            let values: Vec<Value> = items.iter().map(Json::json).collect();
            return self.document(&Value::Array(values));
        }
        let now = time::now();
        let rows = items.iter().map(|item| item.cells(now)).collect();
        let wide = self.output == Output::Wide;
        let mut text = String::new();
        for line in table::render(T::COLUMNS, rows, wide, self.canvas()) {
            text.push_str(&line);
            text.push('\n');
        }
        text
    }

    /// Prints a thing: all of it for programs, else its facts, each with its name.
    pub(crate) fn item(&self, json: &Value, facts: &[Fact]) -> Result<Exit, Failure> {
        self.print(&self.rendered_item(json, facts))
    }

    /// A thing as it is printed.
    pub(crate) fn rendered_item(&self, json: &Value, facts: &[Fact]) -> String {
        if self.is_json() {
            return self.document(json);
        }
        let facts: Vec<&Fact> = facts.iter().filter(|fact| !fact.text.is_empty()).collect();
        let width = facts.iter().map(|fact| fact.name.len()).max().unwrap_or(0) + 2;
        let mut text = String::new();
        for fact in facts {
            for (number, line) in fact.text.split('\n').enumerate() {
                let name = if number == 0 { fact.name } else { "" };
                text.push_str(&format!("{name:width$}{}\n", clean(line)));
            }
        }
        text
    }

    /// A list among the facts of something.
    pub(crate) fn table<T: Shown>(&self, items: &[T]) -> Result<Exit, Failure> {
        if items.is_empty() || self.is_json() {
            return Ok(Exit::Done);
        }
        self.print(&format!("\n{}", self.rendered(items)))
    }

    /// Prints what was made or changed: all of it for programs, its `id` alone with
    /// --quiet, else a line.
    pub(crate) fn done(&self, json: &Value, id: &str, line: &str) -> Result<Exit, Failure> {
        if self.is_json() {
            return self.print(&self.document(json));
        }
        if self.global.quiet {
            return self.print(&format!("{id}\n"));
        }
        self.line(line)
    }

    /// Prints a line of a result.
    pub(crate) fn line(&self, line: &str) -> Result<Exit, Failure> {
        self.print(&format!("{}\n", clean(line)))
    }

    /// Tells people something that is no result, unless --quiet.
    pub(crate) fn hint(&self, text: &str) {
        if !self.global.quiet {
            eprintln!("{text}");
        }
    }

    /// Asks whether to go on, unless --yes said so.
    ///
    /// # Errors
    /// The answer is no, or there is nobody to ask.
    pub(crate) fn confirm(&self, question: &str, yes: bool) -> Result<(), Failure> {
        if yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() {
            return Err(Failure::usage(format!(
                "{question} There is nobody to ask. Try: --yes"
            )));
        }
        eprint!("{question} [y/N] ");
        let _ = io::stderr().flush();
        let mut answer = String::new();
        // No answer is a no.
        let _ = io::stdin().lock().read_line(&mut answer);
        if matches!(answer.trim(), "y" | "Y" | "yes") {
            return Ok(());
        }
        Err(Failure::new(Exit::Canceled, "nothing was changed"))
    }

    /// From now on Ctrl-C says this, and ends.
    pub(crate) fn on_interrupt(&self, text: String) {
        if !self.global.quiet {
            interrupt::say(text);
        }
    }

    /// How to draw.
    pub(crate) fn canvas(&self) -> Canvas {
        Canvas {
            columns: self.terminal.live().map(|size| size.columns),
            color: self.terminal.color,
        }
    }

    /// Prints a result.
    pub(crate) fn print(&self, text: &str) -> Result<Exit, Failure> {
        crate::print(text.as_bytes())
    }

    /// One document, one line: what is made longer by people is read by `jq`.
    fn document(&self, value: &Value) -> String {
        format!("{value}\n")
    }
}

/// One thing to know of something, with its name. Empty ones are not shown.
pub(crate) struct Fact {
    name: &'static str,
    text: String,
}

/// A fact.
pub(crate) fn fact(name: &'static str, text: impl Into<String>) -> Fact {
    Fact {
        name,
        text: text.into(),
    }
}

/// A role by its word; unspecified: nobody.
pub(crate) fn role_in_words(role: i32) -> &'static str {
    use fleet_proto::v1::Role;
    match Role::try_from(role) {
        Ok(Role::Viewer) => "viewer",
        Ok(Role::Developer) => "developer",
        Ok(Role::Maintainer) => "maintainer",
        Ok(Role::Admin) => "admin",
        Ok(Role::Unspecified) => "nobody",
        Err(_) => "unknown",
    }
}

#[cfg(test)]
mod tests;
