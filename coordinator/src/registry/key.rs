//! The key that signs tokens: made at the first start, sealed in the store.

use std::time::SystemTime;

use fleet_tls::signing::{Parts, SigningKey, Unusable};
use serde::{Deserialize, Serialize};

use crate::secret::{Sealed, Sealer, Unreadable};
use crate::store::{Batch, Error as StoreError, Journal, Records};

const KEY: &str = "registry/key";

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Its record cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot be opened.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// It cannot be made or used.
    #[error(transparent)]
    Unusable(#[from] Unusable),
}

/// A key as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    certificate: String,
    key: Sealed,
}

/// Takes the key out of `records`; a new store gets one now.
///
/// # Errors
/// [`Error`].
pub(crate) fn load(
    records: &mut Records,
    journal: &Journal,
    sealer: &Sealer,
) -> Result<SigningKey, Error> {
    let parts = match records.take::<Kept>(KEY)?.pop() {
        Some((_, kept)) => Parts {
            key: String::from_utf8_lossy(&sealer.open(KEY, &kept.key)?).into_owned(),
            certificate: kept.certificate,
        },
        None => {
            let parts = Parts::create("Fleet registry tokens", SystemTime::now())?;
            let kept = Kept {
                certificate: parts.certificate.clone(),
                key: sealer.seal(KEY, parts.key.as_bytes()),
            };
            let mut batch = Batch::default();
            batch.put(KEY, &kept);
            journal.submit(batch);
            parts
        }
    };
    Ok(SigningKey::load(&parts)?)
}
