//! Where includes come from that are not of the repository.
//!
//! - [`Remote`]: addresses, as far as they are allowed, with a store of copies.
//! - [`Repository`]: a git repository or a folder on this disk.
//! - [`Configured`]: what a person wrote down of where projects, components and
//!   templates are found; their repositories are mirrored.

mod address;
mod configured;
mod copies;
mod mirror;
mod remote;
mod repository;
mod sources;

pub use configured::{Configured, template};
pub use remote::{Allowed, Remote};
pub use repository::{Reading, Repository};
pub use sources::{Place, Sources};
