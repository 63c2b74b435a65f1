//! The agent: runs leased jobs on a build host.

pub mod artifact;
pub mod bulk;
pub mod duration;
pub mod executor;
pub mod expand;
pub mod glob;
pub mod job;
pub mod log;
pub mod script;
mod settings;
pub mod source;
#[cfg(test)]
mod vectors;

pub use settings::{Settings, Shell};
