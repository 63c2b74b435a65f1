//! What a refusal says to programs, beside gRPC's code and the text for people.

use tonic::Status;
use tonic::metadata::AsciiMetadataValue;

/// The metadata that holds the word.
pub const KEY: &str = "fleet-error";

/// The word for an agent that was revoked: what it holds is void, and its jobs are
/// to be stopped at once.
pub const AGENT_REVOKED: &str = "agent_revoked";

/// Adds a word that stays the same, finer than gRPC's code.
#[must_use]
pub fn with_word(mut status: Status, word: &'static str) -> Status {
    let metadata = status.metadata_mut();
    metadata.insert(KEY, AsciiMetadataValue::from_static(word));
    status
}

/// The word of a refusal; none where it has none.
#[must_use]
pub fn word(status: &Status) -> Option<&str> {
    status.metadata().get(KEY)?.to_str().ok()
}
