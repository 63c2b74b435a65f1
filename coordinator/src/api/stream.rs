//! Answers that go on for long: whoever may not have them any more gets no more.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tonic::Status;

use super::caller::Caller;

/// How often it is looked at whether a reader may still read.
const LOOKED_EVERY: Duration = Duration::from_secs(2);

/// Does `work`, which answers about a project, until it is done or the caller's token
/// counts no more or may not see the project: then that is the last answer.
pub(super) fn answer<T: Send + 'static>(
    caller: Caller,
    project: String,
    answers: mpsc::Sender<Result<T, Status>>,
    work: impl Future<Output = ()> + Send + 'static,
) {
    tokio::spawn(async move {
        let refused = tokio::select! {
            () = work => return,
            refused = refusal(&caller, &project) => refused,
        };
        // With nobody there who reads, nobody is to be told.
        let _gone = answers.send(Err(refused)).await;
    });
}

/// Returns once the caller may not read any more.
async fn refusal(caller: &Caller, project: &str) -> Status {
    let mut looks = tokio::time::interval(LOOKED_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        if let Err(refused) = caller.still_sees(project) {
            return refused;
        }
    }
}
