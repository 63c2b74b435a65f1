//! The harness: runs the real `fleetctl` in a git repository made for one test,
//! and looks at what it printed, what it left and what it took; or runs a whole
//! fleet on several hosts ([`fleet`]), with Docker engines and registries
//! ([`docker`]).
//!
//! Nothing here knows how Fleet works inside. A test waits for a condition with
//! a deadline, never for a time.

mod binary;
mod command;
pub mod docker;
pub mod fleet;
mod https;
mod process;
mod project;
mod report;
mod terminal;
#[cfg(test)]
mod tests;
mod wait;

pub use binary::{fleetctl, program, repository};
pub use command::{Command, Finished, Running};
pub use https::HttpsServer;
pub use process::Process;
pub use project::Project;
pub use report::{JobReport, Report};
pub use terminal::Terminal;
pub use wait::{DEADLINE, wait_for, wait_within};
