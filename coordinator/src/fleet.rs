//! Agents: who they are, their streams, and the leases that go over them.

mod admission;
mod logs;
mod service;
mod session;

pub(crate) use admission::Admission;
pub(crate) use logs::{LeaseLog, LeaseLogs, LogWriter};
pub(crate) use service::Service;
pub use session::MOST_SLOTS;
pub(crate) use session::Outbox;
