//! Resource groups: of the jobs that name one, one at a time.

use std::collections::{BTreeMap, BTreeSet};

use fleet_model::{JobId, ProjectId, Timestamp};

/// A group of one project.
pub(crate) type GroupKey = (ProjectId, String);

#[derive(Clone, Debug)]
struct Group {
    holder: JobId,
    /// Since when, and who: the longest first.
    waiting: BTreeSet<(Timestamp, JobId)>,
}

/// All groups that some job has or waits for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resources {
    groups: BTreeMap<GroupKey, Group>,
}

impl Resources {
    /// Gives a free group to `job`; false where another has it.
    pub(crate) fn take(&mut self, key: GroupKey, job: JobId) -> bool {
        if self.groups.contains_key(&key) {
            return false;
        }
        let group = Group {
            holder: job,
            waiting: BTreeSet::new(),
        };
        self.groups.insert(key, group);
        true
    }

    pub(crate) fn is_taken(&self, key: &GroupKey) -> bool {
        self.groups.contains_key(key)
    }

    /// Queues `job` for a group that another job has.
    pub(crate) fn wait(&mut self, key: &GroupKey, since: Timestamp, job: JobId) {
        if let Some(group) = self.groups.get_mut(key) {
            group.waiting.insert((since, job));
        }
    }

    /// Takes `job` out of the group's queue again.
    pub(crate) fn stop_waiting(&mut self, key: &GroupKey, since: Timestamp, job: JobId) {
        if let Some(group) = self.groups.get_mut(key) {
            group.waiting.remove(&(since, job));
        }
    }

    /// Ends the holder's right; the next in line has the group now.
    pub(crate) fn release(&mut self, key: &GroupKey) -> Option<JobId> {
        let group = self.groups.get_mut(key)?;
        match group.waiting.pop_first() {
            Some((_, next)) => {
                group.holder = next;
                Some(next)
            }
            None => {
                self.groups.remove(key);
                None
            }
        }
    }

    /// Who has the group, and how many wait longer than `job`.
    pub(crate) fn place(
        &self,
        key: &GroupKey,
        since: Timestamp,
        job: JobId,
    ) -> Option<(JobId, usize)> {
        let group = self.groups.get(key)?;
        let ahead = group.waiting.range(..(since, job)).count();
        Some((group.holder, ahead))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_goes_to_whoever_waits_longest() {
        let mut resources = Resources::default();
        let key = || (ProjectId(1), "production".to_owned());
        assert!(resources.take(key(), JobId(1)));
        assert!(!resources.take(key(), JobId(2)));
        resources.wait(&key(), Timestamp(20), JobId(2));
        resources.wait(&key(), Timestamp(10), JobId(3));
        resources.wait(&key(), Timestamp(15), JobId(4));
        resources.stop_waiting(&key(), Timestamp(15), JobId(4));
        assert_eq!(
            resources.place(&key(), Timestamp(20), JobId(2)),
            Some((JobId(1), 1))
        );
        assert_eq!(resources.release(&key()), Some(JobId(3)));
        assert_eq!(resources.release(&key()), Some(JobId(2)));
        assert_eq!(resources.release(&key()), None);
        assert!(resources.take(key(), JobId(5)));
    }
}
