//! What jobs left in the container engine that nobody takes care of any more.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::Settings;
use crate::{executor, supervisor};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(3600);
/// After an engine that was not there.
const AGAIN: Duration = Duration::from_secs(60);
/// How long the engine has when the agent ends.
const LEFT_WITHIN: Duration = Duration::from_secs(10);

/// Removes from the engine what is of no lease of this agent, now and every hour;
/// never returns. What others have there stays.
pub(super) async fn run<T>(mut newest: watch::Receiver<Arc<Settings>>) -> T {
    let mut said = false;
    loop {
        let settings = Arc::clone(&newest.borrow_and_update());
        let Some(docker) = &settings.docker else {
            if newest.changed().await.is_err() {
                return std::future::pending().await;
            }
            continue;
        };
        let leases = settings.state_dir.join("leases");
        let alive = || supervisor::alive(&leases);
        let swept = executor::sweep(docker, &settings.state_dir, settings.slots, alive).await;
        let pause = match swept {
            Ok(0) => EVERY,
            Ok(jobs) => {
                tracing::warn!(jobs, "what jobs had left in the Docker engine is removed");
                EVERY
            }
            Err(error) => {
                if !said {
                    tracing::warn!(%error, "what jobs may have left in the Docker engine stays");
                }
                AGAIN
            }
        };
        said = pause == AGAIN;
        sleep(pause).await;
    }
}

/// Removes what an agent that ends without a job keeps in the engine for its slots.
pub(super) async fn leave(settings: &Settings) {
    let Some(docker) = &settings.docker else {
        return;
    };
    let leaving = executor::leave(docker, &settings.state_dir);
    match timeout(LEFT_WITHIN, leaving).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "networks are left in the Docker engine"),
        Err(_) => tracing::warn!("networks are left in the Docker engine: it does not answer"),
    }
}
