//! What a job that is over still has on the host.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::timeout;

use crate::executor::{self, Environment};

/// How long the executor may take to clean up.
const REMOVED_WITHIN: Duration = Duration::from_secs(300);

type Removal = Pin<Box<dyn Future<Output = Result<(), executor::Error>> + Send>>;

/// What is left of a job that is over: the job's place on the host is free once it is
/// removed. Dropped instead, it is removed too, and nobody knows when.
#[must_use = "the job's place is not free before they are removed"]
pub struct Remains(Option<Removal>);

impl Remains {
    /// Nothing is left.
    pub(super) fn none() -> Remains {
        Remains(None)
    }

    pub(super) fn of(environment: impl Environment + 'static) -> Remains {
        Remains(Some(Box::pin(environment.destroy())))
    }

    /// Removes it. The job's result stands: what cannot be removed is told to the
    /// log of this process.
    pub async fn remove(self) {
        let Some(removal) = self.0 else { return };
        match timeout(REMOVED_WITHIN, removal).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "something of a job is left"),
            Err(_) => tracing::error!("something of a job is left: removing it takes too long"),
        }
    }
}

impl fmt::Debug for Remains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = self.0.is_some();
        f.debug_struct("Remains").field("left", &left).finish()
    }
}
