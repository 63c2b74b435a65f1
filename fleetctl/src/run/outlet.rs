//! The way from the engine to the view, which has a thread of its own: a terminal
//! that is held (Ctrl-S, `| less`) holds up the view, never a signal.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::mpsc::Sender;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::view::Told;

/// How long a view that does not read is waited for after a second interrupt.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is still to be told, in order.
pub(super) struct Outlet {
    /// None once the view has gone, or was given up.
    view: Option<Sender<Told>>,
    waiting: VecDeque<Told>,
    deadline: Option<Instant>,
    /// What the view has to say at its end.
    end: oneshot::Receiver<Failed>,
}

/// The names of the jobs that failed.
pub(super) type Failed = Vec<String>;

impl Outlet {
    pub(super) fn new(view: Sender<Told>, end: oneshot::Receiver<Failed>) -> Outlet {
        Outlet {
            view: Some(view),
            waiting: VecDeque::new(),
            deadline: None,
            end,
        }
    }

    /// Puts something in line; [`Outlet::pass_on`] tells it.
    pub(super) fn tell(&mut self, told: Told) {
        if self.view.is_some() {
            self.waiting.push_back(told);
        }
    }

    /// Whether all is told, so that more may be asked for.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// From now on the view is waited for only a short while.
    pub(super) fn hurry(&mut self) {
        self.deadline
            .get_or_insert_with(|| Instant::now() + PATIENCE);
    }

    /// Tells the first in line; dropping the future loses nothing.
    pub(super) async fn pass_on(&mut self) {
        let Some(view) = self.view.clone() else {
            return;
        };
        let room = match self.deadline {
            None => view.reserve().await.ok(),
            Some(deadline) => timeout_at(deadline, view.reserve())
                .await
                .ok()
                .and_then(Result::ok),
        };
        if let Some(room) = room {
            if let Some(told) = self.waiting.pop_front() {
                room.send(told);
            }
        } else {
            self.view = None;
            self.waiting.clear();
        }
    }

    /// Tells the rest and waits for the view's end; none if it was given up.
    pub(super) async fn close(mut self) -> Option<Failed> {
        while !self.is_empty() {
            self.pass_on().await;
        }
        drop(self.view);
        match self.deadline {
            None => self.end.await.ok(),
            Some(deadline) => timeout_at(deadline, self.end).await.ok()?.ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn view_that_reads_hears_everything_and_has_the_last_word() {
        let (sender, mut view) = mpsc::channel(1);
        let (end, ended) = oneshot::channel();
        let mut outlet = Outlet::new(sender, ended);
        for _ in 0..3 {
            outlet.tell(Told::Tick);
        }
        let (failed, count) = tokio::join!(outlet.close(), async {
            let mut count = 0;
            while view.recv().await.is_some() {
                count += 1;
            }
            end.send(vec!["job".to_owned()]).unwrap();
            count
        });
        assert_eq!((failed, count), (Some(vec!["job".to_owned()]), 3));
    }

    #[tokio::test(start_paused = true)]
    async fn view_that_does_not_read_is_given_up_only_when_there_is_a_hurry() {
        let (sender, _view) = mpsc::channel(1);
        let (_end, ended) = oneshot::channel();
        let mut outlet = Outlet::new(sender, ended);
        outlet.tell(Told::Tick);
        outlet.tell(Told::Tick);
        outlet.pass_on().await;
        let waited = tokio::time::timeout(Duration::from_secs(3600), outlet.pass_on()).await;
        assert!(waited.is_err() && !outlet.is_empty());
        outlet.hurry();
        assert_eq!(outlet.close().await, None);
    }

    #[tokio::test]
    async fn view_that_has_gone_is_no_reason_to_wait() {
        let (sender, view) = mpsc::channel(1);
        let (end, ended) = oneshot::channel();
        drop((view, end));
        let mut outlet = Outlet::new(sender, ended);
        outlet.tell(Told::Tick);
        assert_eq!(outlet.close().await, None);
    }
}
