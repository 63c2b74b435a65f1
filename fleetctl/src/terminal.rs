//! What stdout is: a terminal that can be drawn on, one that cannot, or none.

use std::env;
use std::io::IsTerminal;

/// A terminal's size in letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// Letters in a line.
    pub(crate) columns: usize,
    /// Lines.
    pub(crate) rows: usize,
}

/// Where results go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminal {
    /// Colours are wanted.
    pub(crate) color: bool,
    source: Source,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    /// Nothing that can be drawn on.
    Plain,
    /// stdout, whose size may change.
    Stdout,
    #[cfg(test)]
    Fixed(Size),
}

/// For a terminal that does not tell its size.
const USUAL: Size = Size {
    columns: 80,
    rows: 24,
};

impl Terminal {
    /// What stdout is. Colours: only on a terminal, unless `CLICOLOR_FORCE`; never
    /// with `--no-color`, `NO_COLOR` or a dumb terminal.
    pub(crate) fn stdout(no_color: bool) -> Terminal {
        let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        let is_terminal = std::io::stdout().is_terminal() && !is_dumb;
        let is_forced = env::var_os("CLICOLOR_FORCE").is_some_and(|value| value != "0");
        Terminal {
            color: (is_terminal || is_forced) && !no_color && !is_set("NO_COLOR"),
            source: if is_terminal {
                Source::Stdout
            } else {
                Source::Plain
            },
        }
    }

    /// Its size now, if it can be drawn on.
    pub(crate) fn live(&self) -> Option<Size> {
        match self.source {
            Source::Plain => None,
            #[cfg(test)]
            Source::Fixed(size) => Some(size),
            Source::Stdout => Some(match rustix::termios::tcgetwinsize(std::io::stdout()) {
                Ok(size) if size.ws_col > 0 && size.ws_row > 0 => Size {
                    columns: size.ws_col.into(),
                    rows: size.ws_row.into(),
                },
                _ => USUAL,
            }),
        }
    }

    /// Columns for texts that are printed once.
    pub(crate) fn columns(&self) -> usize {
        self.live().unwrap_or(USUAL).columns
    }

    #[cfg(test)]
    pub(crate) fn fixed(size: Option<Size>, color: bool) -> Terminal {
        Terminal {
            color,
            source: size.map_or(Source::Plain, Source::Fixed),
        }
    }
}
