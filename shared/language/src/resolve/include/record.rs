//! What was included is recorded with the hash of its text.

use sha2::{Digest as _, Sha256};

/// The digest in the form of [`fleet_model::Included::sha256`].
pub(super) fn sha256(content: &[u8]) -> String {
    let digest = Sha256::digest(content);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
