//! How an attempt ended.

use fleet_model::{FailureReason, Outcome};

use super::Error;
use crate::v1;

impl v1::JobResult {
    /// Writes an outcome into the three fields that carry it.
    #[must_use]
    pub fn with_outcome(mut self, outcome: &Outcome) -> v1::JobResult {
        match outcome {
            Outcome::Success => self.set_outcome(v1::Outcome::Success),
            Outcome::Canceled => self.set_outcome(v1::Outcome::Canceled),
            Outcome::Failed { reason, exit_code } => {
                self.set_outcome(v1::Outcome::Failed);
                self.failure_reason = reason.as_str().to_owned();
                self.exit_code = *exit_code;
            }
        }
        self
    }
}

impl TryFrom<&v1::JobResult> for Outcome {
    type Error = Error;

    fn try_from(result: &v1::JobResult) -> Result<Outcome, Error> {
        match result.outcome() {
            v1::Outcome::Success => Ok(Outcome::Success),
            v1::Outcome::Canceled => Ok(Outcome::Canceled),
            v1::Outcome::Failed => Ok(Outcome::Failed {
                reason: if result.failure_reason.is_empty() {
                    FailureReason::UNKNOWN_FAILURE
                } else {
                    FailureReason::new(result.failure_reason.clone())
                },
                exit_code: result.exit_code,
            }),
            v1::Outcome::Unspecified => Err(Error::Unknown {
                field: "outcome",
                value: result.outcome.to_string(),
            }),
        }
    }
}
