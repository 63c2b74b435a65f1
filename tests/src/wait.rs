//! Waiting for a condition.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long anything may take before a test gives up: far more than it needs,
/// on a machine that does other things as well.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Waits until `condition` gives a value, at most [`DEADLINE`].
///
/// # Errors
/// What `condition` returns, or that `what` did not happen in time.
pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = condition()? {
            return Ok(value);
        }
        if Instant::now() > end {
            bail!("gave up after {} s waiting for: {what}", DEADLINE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
