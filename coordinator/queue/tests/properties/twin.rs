//! A queue that dies and is restored from its records behaves as one that never
//! died.

use std::collections::BTreeMap;

use fleet_model::{JobId, PipelineId, Timestamp};
use fleet_queue::{Config, Effect, Input, Queue, Record, Rejected};

/// What lies on disk: keys with records as JSON.
type Disk = BTreeMap<String, String>;

/// A queue that never dies, beside the one that does.
pub(crate) struct Twin {
    undying: Queue,
    disk: Disk,
}

impl Twin {
    pub(crate) fn of(queue: &Queue) -> Twin {
        Twin {
            undying: queue.clone(),
            disk: Disk::new(),
        }
    }

    /// Writes what `queue` changed with its last step.
    pub(crate) fn write(&mut self, queue: &mut Queue) {
        for change in queue.take_changes() {
            match &change.record {
                None => self.disk.remove(&change.key()),
                Some(record) => {
                    let json = serde_json::to_string(record).expect("a record is JSON");
                    self.disk.insert(change.key(), json)
                }
            };
        }
    }

    /// What comes back when the queue dies: it has yet to be told the time.
    pub(crate) fn restored(&self) -> Queue {
        let read = |json: &String| -> Record {
            serde_json::from_str(json).expect("a record that was written")
        };
        let records = self.disk.values().map(read);
        Queue::restore(Config::default(), records).expect("the records of a queue")
    }

    /// Says the same to the twin; its answer is the same.
    pub(crate) fn say(
        &mut self,
        now: Timestamp,
        input: &Input,
        answer: &Result<Vec<Effect>, Rejected>,
    ) {
        assert_eq!(self.undying.step(now, input.clone()), *answer, "{input:?}");
        drop(self.undying.take_changes());
    }

    /// Nothing tells the two apart.
    pub(crate) fn assert_equal(&self, now: Timestamp, queue: &Queue, jobs: &[JobId]) {
        let twin = &self.undying;
        assert!(twin.agents().eq(queue.agents()));
        assert!(twin.leases().eq(queue.leases()));
        assert!(twin.pending().eq(queue.pending()));
        let pipelines = |queue: &Queue| queue.pipelines().collect::<Vec<PipelineId>>();
        assert_eq!(pipelines(twin), pipelines(queue));
        for pipeline in pipelines(twin) {
            assert_eq!(twin.pipeline(pipeline), queue.pipeline(pipeline));
        }
        for job in jobs {
            assert_eq!(twin.job(*job), queue.job(*job));
            assert_eq!(twin.explain(now, *job), queue.explain(now, *job));
        }
        assert_eq!(twin.next_wakeup(), queue.next_wakeup());
        assert_eq!(twin.next_fence(), queue.next_fence());
        assert_eq!(twin.jobs_running(), queue.jobs_running());
        assert_eq!(twin.jobs_waiting(), queue.jobs_waiting());
    }

    /// Not even inside are they different.
    pub(crate) fn assert_same_inside(&self, queue: &Queue) {
        assert_eq!(format!("{:#?}", self.undying), format!("{queue:#?}"));
    }
}
