//! What may leave the coordinator, and when: nothing before the change behind it
//! is durable.

use std::collections::VecDeque;

use crate::store::{Journal, Mark};

/// Something that leaves: a message, an answer, news.
pub(crate) type Release = Box<dyn FnOnce() + Send>;

/// What waits for its batch, in order.
pub(super) struct Releases {
    /// Of commands whose batch was handed in.
    sealed: VecDeque<(Mark, Vec<Release>)>,
    /// Of the command under way.
    open: Vec<Release>,
    /// Of the newest batch.
    last: Mark,
}

impl Releases {
    pub(super) fn new(journal: &Journal) -> Releases {
        Releases {
            sealed: VecDeque::new(),
            open: Vec::new(),
            last: journal.durable_mark(),
        }
    }

    /// Lets `release` run once all that was decided up to now is durable.
    pub(super) fn run(&mut self, release: Release) {
        self.open.push(release);
    }

    /// The place of the next release of the command under way.
    pub(super) fn next(&self) -> usize {
        self.open.len()
    }

    /// Puts a release where [`Releases::next`] was.
    pub(super) fn insert(&mut self, at: usize, release: Release) {
        self.open.insert(at.min(self.open.len()), release);
    }

    /// What came since the last time waits for `mark`.
    pub(super) fn seal(&mut self, mark: Mark) {
        self.last = mark;
    }

    /// All batches up to here were handed in.
    pub(super) fn last(&self) -> Mark {
        self.last
    }

    /// Takes out, in order, what may go when all up to `durable` is.
    pub(super) fn due(&mut self, durable: Mark) -> Vec<Release> {
        let mut due = Vec::new();
        if !self.open.is_empty() {
            let open = std::mem::take(&mut self.open);
            self.sealed.push_back((self.last, open));
        }
        while let Some((mark, _)) = self.sealed.front()
            && *mark <= durable
        {
            let (_, releases) = self.sealed.pop_front().expect("it was looked at just now");
            due.extend(releases);
        }
        due
    }
}

impl super::Core {
    /// Lets out what is durable by now.
    pub(super) fn release(&mut self) {
        for release in self.releases.due(self.journal.durable_mark()) {
            release();
        }
    }
}
