//! A program in a real terminal: tmux plays the terminal.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use crate::command::Command;
use crate::wait::wait_for;

/// A terminal that runs one program.
pub struct Terminal {
    socket: PathBuf,
    /// The file that holds the program's exit code once it has ended: tmux
    /// sometimes forgets it.
    code: PathBuf,
}

impl Terminal {
    /// Starts a program in a terminal of this many columns and lines.
    ///
    /// # Errors
    /// If tmux is missing or fails.
    pub fn start(command: &Command, columns: u16, lines: u16) -> Result<Terminal> {
        let folder = command.output_folder();
        fs::create_dir_all(folder).context("make a folder for a terminal")?;
        let terminal = Terminal {
            socket: folder.join("tmux"),
            code: folder.join("exit-code"),
        };
        let settings = folder.join("tmux.conf");
        // The screen stays when the program ends, and nothing else is on it.
        let text = "set -g remain-on-exit on\nset -g remain-on-exit-format ''\nset -g status off\n\
                    set -g history-limit 50000\nset -g default-terminal screen-256color\n";
        fs::write(&settings, text).context("write tmux's settings")?;
        let mut tmux = terminal.tmux();
        command.describe(&mut tmux);
        tmux.arg("-f").arg(&settings).args(["new-session", "-d"]);
        tmux.args(["-x", &columns.to_string(), "-y", &lines.to_string()]);
        // The shell outlives a Ctrl-C, which is meant for the program.
        tmux.args(["/bin/sh", "-c", "trap : INT; \"$@\"; echo $? > \"$0\""]);
        tmux.arg(&terminal.code).args(command.words());
        let output = tmux.output().context("start tmux")?;
        ensure!(
            output.status.success(),
            "tmux: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(terminal)
    }

    /// Waits for the program's end and returns its exit code.
    ///
    /// # Errors
    /// If it does not end.
    pub fn finish(&self) -> Result<i32> {
        wait_for("the program in the terminal to end", || {
            let state = self.ask(&["display-message", "-p", "#{pane_dead}"])?;
            Ok((state.trim() == "1").then_some(()))
        })
        .with_context(|| format!("the screen: {}", self.text().unwrap_or_default().join("\n")))?;
        let code = fs::read_to_string(&self.code).context("read the exit code")?;
        code.trim()
            .parse()
            .with_context(|| format!("not an exit code: {code}"))
    }

    /// Presses keys, by tmux's names (`C-c`).
    ///
    /// # Errors
    /// If tmux fails.
    pub fn press(&self, keys: &str) -> Result<()> {
        self.ask(&["send-keys", keys]).map(|_| ())
    }

    /// The lines as they were printed: one that the terminal had to wrap is one
    /// line here, longer than the terminal is wide.
    ///
    /// # Errors
    /// If tmux fails.
    pub fn text(&self) -> Result<Vec<String>> {
        let text = self.ask(&["capture-pane", "-p", "-J", "-S", "-"])?;
        let lines: Vec<String> = text
            .lines()
            .map(|line| line.trim_end().to_owned())
            .collect();
        let used = lines
            .iter()
            .rposition(|line| !line.is_empty())
            .map_or(0, |last| last + 1);
        Ok(lines.into_iter().take(used).collect())
    }

    /// The same as one text, with the escape sequences of colours.
    ///
    /// # Errors
    /// If tmux fails.
    pub fn coloured(&self) -> Result<String> {
        self.ask(&["capture-pane", "-p", "-e", "-J", "-S", "-"])
    }

    /// Ends the terminal and what runs in it.
    ///
    /// # Errors
    /// If tmux fails.
    pub fn close(self) -> Result<()> {
        self.ask(&["kill-server"]).map(|_| ())
    }

    fn tmux(&self) -> std::process::Command {
        let mut tmux = std::process::Command::new("tmux");
        tmux.arg("-u")
            .arg("-S")
            .arg(&self.socket)
            .stdin(Stdio::null());
        tmux
    }

    fn ask(&self, arguments: &[&str]) -> Result<String> {
        let output = self.tmux().args(arguments).output().context("start tmux")?;
        ensure!(
            output.status.success(),
            "tmux {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Closed already, or a test failed.
        let _ = self.ask(&["kill-server"]);
    }
}
