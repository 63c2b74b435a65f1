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
pub fn wait_for<T>(what: &str, condition: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    wait_within(DEADLINE, Duration::from_millis(2), what, condition)
}

/// The same with another deadline, looking at the condition this often.
///
/// # Errors
/// What `condition` returns, or that `what` did not happen in time.
pub fn wait_within<T>(
    within: Duration,
    every: Duration,
    what: &str,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let end = Instant::now() + within;
    loop {
        if let Some(value) = condition()? {
            return Ok(value);
        }
        if Instant::now() > end {
            bail!("gave up after {} s waiting for: {what}", within.as_secs());
        }
        std::thread::sleep(every);
    }
}
