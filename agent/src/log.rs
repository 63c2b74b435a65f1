//! The log of a job: masking, the agent's own lines, the size limit.
//!
//! Bytes go one way: masking by stream, then the limit, then the [`Sink`].
//! Nothing here reads a clock or touches a disk.

mod automaton;
mod limit;
mod line;
mod mask;
mod phrases;
mod tokens;
mod urls;
mod writer;

pub use line::Line;
pub use mask::{Defaults, Error, Masker, Masks};
pub use writer::{Log, Room, Sink, Stream};

/// What stands where a secret stood.
const MASK: &[u8] = b"[MASKED]";

#[cfg(test)]
mod tests;
