//! From files to one tree: includes are merged, then `extends`, then
//! `!reference` is replaced; what remains is plain maps, lists and scalars.
//!
//! Each step bounds what it makes ([`Budget`]): a few lines of templates can
//! ask for gigabytes.

mod defaults;
mod extends;
mod include;
mod location;
mod nearest;
mod reference;
mod size;

pub(crate) use defaults::apply as apply_defaults;
pub(crate) use extends::extends;
pub(crate) use include::{Includes, World, load};
pub(crate) use nearest::Nearest;
pub(crate) use reference::references;
pub(crate) use size::{Budget, Size};
