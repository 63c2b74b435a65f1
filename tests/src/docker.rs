//! Real Docker engines, images and registries for tests.
//!
//! Nothing is pulled from anywhere: images are made of this machine's own
//! programs, and registries run in the network of the test.

mod alone;
mod certificates;
mod engine;
mod gate;
mod image;
mod registry;
#[cfg(test)]
mod tests;

pub use alone::Alone;
pub use certificates::Authority;
pub use engine::Engine;
pub(crate) use engine::remove_cgroups;
pub use gate::Gate;
pub use image::{BUSYBOX, ENGINE, Image, TOOLS};
pub use registry::{Account, Login, Registry};
