//! The agent's own lines.

/// One line that the agent itself writes into a job's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Without colour.
    Plain(String),
    /// Bold green: notices and success.
    Info(String),
    /// Yellow, without prefix: trouble that changes nothing (caches).
    Notice(String),
    /// Yellow, `WARNING: `.
    Warning(String),
    /// Bold red, `ERROR: `.
    Error(String),
    /// Bold cyan: the start of a stage.
    Heading(String),
}

const RESET: &str = "\x1b[0;m";
const CLEAR: &str = "\x1b[0K";
const BOLD_YELLOW: &str = "\x1b[33;1m";

impl Line {
    /// The line with its colours and the line feed, as gitlab-runner prints
    /// it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let text = match self {
            Line::Plain(text) => format!("{CLEAR}{text}{RESET}\n"),
            Line::Info(text) => format!("\x1b[32;1m{text}{RESET}\n"),
            Line::Notice(text) => format!("\x1b[0;33m{text}{RESET}\n"),
            Line::Warning(text) => format!("\x1b[0;33mWARNING: {text}{RESET}\n"),
            Line::Error(text) => format!("\x1b[31;1mERROR: {text}{RESET}\n"),
            Line::Heading(text) => format!("{CLEAR}\x1b[36;1m{text}{RESET}{RESET}\n"),
        };
        text.into_bytes()
    }
}

/// The marker that opens the section of a stage.
pub(super) fn section_start(name: &str, seconds: u64) -> Vec<u8> {
    format!("section_start:{seconds}:{name}\r{CLEAR}").into_bytes()
}

/// The marker that closes it.
pub(super) fn section_end(name: &str, seconds: u64) -> Vec<u8> {
    format!("section_end:{seconds}:{name}\r{CLEAR}").into_bytes()
}

/// Bold yellow text of several lines, as at the log limit.
pub(super) fn bold_yellow(text: &str) -> Vec<u8> {
    format!("{BOLD_YELLOW}{text}{RESET}\n").into_bytes()
}
