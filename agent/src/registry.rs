//! Registries: what an image's name says, and who may pull it.
//!
//! All of it is pure but `folder`, which keeps a job's credentials where Docker's
//! own client looks for them, and `user`, which asks the host's user for theirs.

mod auth;
mod credentials;
pub(crate) mod folder;
mod key;
mod reference;
mod user;

pub use auth::Auth;
pub use credentials::{Credentials, Login};
pub(crate) use reference::image_id;
pub use reference::{BadReference, Reference};
pub(crate) use user::of_user;

#[cfg(test)]
mod tests;
