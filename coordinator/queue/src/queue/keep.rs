//! What changed of what is kept.

use super::Queue;
use crate::progress::Progress;
use crate::record::{Change, Entry, Key, PipelineRecord, Record};

impl Queue {
    /// The records that changed since this was last asked: to be made durable
    /// together, before any effect of the steps between is carried out.
    ///
    /// To be taken after every step, also where nothing is kept: what is not
    /// taken is remembered. Costs as much as changed. A refused input changes
    /// nothing, neither do heartbeats.
    #[must_use]
    pub fn take_changes(&mut self) -> Vec<Change> {
        let (pipelines, jobs) = self.pipelines.take_touched();
        let (leases, counted) = self.leases.take_touched();
        let agents = self.agents.take_touched();
        let keys = pipelines.into_iter().map(Key::Pipeline);
        keys.chain(jobs.into_iter().map(Key::Job))
            .chain(leases.into_iter().map(Key::Lease))
            .chain(agents.into_iter().map(Key::Agent))
            .chain(counted.then_some(Key::NextFence))
            .map(|key| Change {
                record: self.entry(&key).map(Record),
                key,
            })
            .collect()
    }

    /// Leaves out as many fences: a queue that was restored from a backup must not
    /// give those again that were given after it.
    ///
    /// # Panics
    /// 2^64 fences have been given.
    pub fn skip_fences(&mut self, fences: u64) {
        self.leases.skip(fences);
    }

    /// What is kept under a key.
    fn entry(&self, key: &Key) -> Option<Entry> {
        Some(match key {
            Key::Pipeline(id) => {
                let pipeline = self.pipelines.get(*id)?;
                let created = pipeline.created;
                let plan = pipeline.plan();
                Entry::Pipeline(PipelineRecord { created, plan })
            }
            Key::Job(id) => {
                let place = self.pipelines.place(*id)?;
                let progress = &self.at(place).progress;
                // A job without a record is as it was created.
                if *progress == Progress::new(self.pipelines.of(place).created) {
                    return None;
                }
                Entry::Job(*id, progress.clone())
            }
            Key::Lease(fence) => Entry::Lease(*fence, self.leases.get(*fence)?.clone()),
            Key::Agent(name) => {
                let profile = self.agents.get(name)?.profile.clone();
                Entry::Agent(name.clone(), profile)
            }
            Key::NextFence => Entry::NextFence(self.leases.next()),
        })
    }
}
