//! The wire: `fleet.v1` as generated code, and nothing else speaks it.
//!
//! Generated types stay at the edge. [`convert`] turns them into `fleet-model`
//! types and back; a value that came through it was checked.

pub mod convert;
pub mod refusal;

/// The generated messages and services of `fleet.v1`.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod v1 {
    tonic::include_proto!("fleet.v1");
}

/// The descriptors of all of `fleet.v1`, encoded: what gRPC reflection serves.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/fleet.v1.bin"));

/// The largest `data` of one message of a stream, in bytes; well under gRPC's
/// usual limit of 4 MiB a message.
pub const CHUNK_BYTES: usize = 256 * 1024;
