//! The agent: runs leased jobs on a build host.

mod settings;

pub use settings::{Settings, Shell};
