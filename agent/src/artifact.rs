//! Artifacts: which files belong to one, how they are packed, and how a
//! packed one is put into another job's folder.
//!
//! Everything here is blocking. Paths are resolved component by component
//! from an open folder (`beneath`), so no link that a job leaves behind can
//! lead the agent out of the project, not even while the job still runs.

mod beneath;
mod extract;
mod gzip;
mod pack;
mod select;
mod zip;

pub use beneath::Root;
pub use extract::{ExtractError, Limits, extract};
pub use pack::{PackError, Packed, Staging, pack};
pub use select::{Request, select};

use crate::date;
use crate::log::Line;

/// Takes the lines that the user sees.
pub type Report<'a> = &'a mut dyn FnMut(Line);

#[cfg(test)]
mod tests;
