//! TLS: the one place that knows certificates and the crypto provider.
//!
//! - [`authority`]: a certificate authority: its root, what it signs, for whom.
//! - [`request`]: an agent's key, and its request for a certificate.
//! - [`certificate`]: what a certificate says: whose it is, until when.
//! - [`pin`]: public keys by their hash, which join commands carry.
//! - [`server`]: listeners whose certificate can change while they listen.
//! - [`client`]: connections to them, as gRPC channels.
//! - [`signing`]: a key that signs what is no certificate, with its certificate.
//!
//! A fleet has one root. Two intermediates stand between it and everybody else,
//! one for coordinators and one for agents: whoever has the agents' can make no
//! certificate that a coordinator could be taken for. Who a certificate is of is
//! its one URI name, `spiffe://fleet.<instance>/agent/<name>` or
//! `…/coordinator/<node>`.
//!
//! No session is resumed and no data sent early: every connection shows that its
//! owner has the key.

pub mod authority;
pub mod certificate;
pub mod client;
pub mod pin;
mod provider;
pub mod request;
pub mod server;
pub mod signing;

pub use provider::install_provider;
