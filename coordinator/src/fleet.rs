//! Agents: their streams, and the leases that go over them.

mod logs;
mod service;
mod session;

pub(crate) use logs::{LeaseLog, LeaseLogs, LogWriter};
pub(crate) use service::Service;
pub use session::MOST_SLOTS;
pub(crate) use session::Outbox;
