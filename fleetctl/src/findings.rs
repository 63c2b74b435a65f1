//! What the compiler has to say, on stderr.

use std::io::IsTerminal;

use fleet_language::render::{Style, render};
use fleet_language::{Compiled, Severity};

use crate::cli::Global;
use crate::terminal::Terminal;

/// Prints errors, and warnings unless only little is wanted.
pub(crate) fn print(compiled: &Compiled, global: Global) {
    let shown: Vec<_> = compiled
        .diagnostics
        .iter()
        .filter(|finding| finding.severity == Severity::Error || !global.quiet)
        .cloned()
        .collect();
    if !shown.is_empty() {
        eprintln!(
            "{}",
            render(&shown, &compiled.sources, style(global)).trim_end()
        );
    }
}

/// How findings look where they go now.
pub(crate) fn style(global: Global) -> Style {
    let terminal = Terminal::stdout(global.no_color);
    // Colours were decided for stdout; findings go to stderr.
    let color = terminal.color && std::io::stderr().is_terminal();
    Style {
        color,
        width: terminal.columns(),
    }
}
