//! The shell program of one stage: exports, working directory, the entries.
//!
//! The text is fed to the shell on its standard input and needs no program
//! beside the shell itself, except `mkdir` where the temporary folder is
//! missing. It behaves the same in bash, dash and busybox ash.

mod echo;
mod files;
mod program;
mod quoting;

pub use echo::Sections;
pub use files::{remove_file_variables, write_file_variables};
pub use program::{Block, Checks, Error, Program, program};
pub use quoting::quote;

#[cfg(test)]
mod tests;
