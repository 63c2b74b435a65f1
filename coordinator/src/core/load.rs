//! From the records in the store to the state as it was.

use fleet_model::{JobId, PipelineId};
use fleet_queue::{Input, Queue, Record};

use super::lease::{Lease, archives};
use super::{Core, Server};
use crate::blob::LogFile;
use crate::environment::Book;
use crate::fleet::{LeaseLog, LogWriter};
use crate::pipeline::{JobRecord, PipelineRecord};
use crate::store::{Error, RESTORED_AT, Records};

/// More than a fleet can have given between a backup and its end.
const LEFT_OUT_FENCES: u64 = 1 << 40;
/// People read these.
const LEFT_OUT_IDS: u64 = 100_000;

impl Core {
    /// Takes its records out of `records`: pipelines, jobs, queue and leases are
    /// as they were, agents have their full deadlines to come back.
    ///
    /// # Errors
    /// A record cannot be read.
    pub(crate) fn load(&mut self, records: &mut Records, server: &Server) -> Result<(), Error> {
        for (id, record) in records.take::<PipelineRecord>("pipeline/")? {
            let id = PipelineId(parse(&id)?);
            let pipeline = record
                .into_pipeline(id, &server.sealer)
                .map_err(|error| corrupt("pipeline/", error))?;
            self.enter(pipeline);
        }
        for (id, record) in records.take::<JobRecord>("job/")? {
            let id = JobId(parse(&id)?);
            if let Some((pipeline, index)) = self.find_mut(id) {
                pipeline.jobs[index] = record.into();
            }
        }
        for (_, next) in records.take("meta/next-pipeline")? {
            self.next_pipeline = next;
        }
        for (_, next) in records.take("meta/next-job")? {
            self.next_job = next;
        }
        self.environments = Book::load(records)?;
        for project in self.environments.projects() {
            // What a deleted project left.
            if server.catalog.project_by_id(project).is_none() {
                self.environments.remove_project(project, &mut self.batch);
            }
        }
        let queue = records.take::<Record>("queue/")?;
        self.queue = Queue::restore(self.settings.queue, queue.into_iter().map(|(_, it)| it))
            .map_err(|error| corrupt("queue/", error))?;
        if !records.take::<u64>(RESTORED_AT)?.is_empty() {
            tracing::warn!("the store is a backup's: numbers given after it are left out");
            self.queue.skip_fences(LEFT_OUT_FENCES);
            self.next_pipeline.0 += LEFT_OUT_IDS;
            self.next_job.0 += LEFT_OUT_IDS;
            self.batch.put("meta/next-pipeline", &self.next_pipeline);
            self.batch.put("meta/next-job", &self.next_job);
            self.environments.skip_ids(LEFT_OUT_IDS, &mut self.batch);
            self.batch.delete(RESTORED_AT);
        }
        let ended: Vec<PipelineId> = self.pipelines.keys().copied().collect();
        for id in ended {
            self.note_finish(id);
        }
        self.load_leases();
        let known: std::collections::BTreeSet<&str> = self
            .pipelines
            .values()
            .flat_map(|pipeline| &pipeline.jobs)
            .flat_map(|job| &job.artifacts)
            .map(|stored| stored.file.as_str())
            .collect();
        self.blobs.sweep(|file| known.contains(file));
        self.feed(Input::Restarted);
        self.commit();
        Ok(())
    }

    /// When a pipeline ended is known by its jobs.
    fn note_finish(&mut self, id: PipelineId) {
        let Some(view) = self.queue.pipeline(id) else {
            return;
        };
        if let Some(pipeline) = self.pipelines.get_mut(&id)
            && view.status.is_completed()
        {
            let ends = pipeline.jobs.iter().flat_map(|job| &job.attempts);
            let last = ends.filter_map(|attempt| attempt.finished_at).max();
            pipeline.finished_at = Some(last.unwrap_or(pipeline.created_at));
        }
    }

    fn load_leases(&mut self) {
        let held: Vec<_> = self.queue.leases().collect();
        for view in held {
            let Some((pipeline, index)) = self.find(view.job) else {
                continue;
            };
            let lease = Lease {
                pipeline: pipeline.id,
                index,
                agent: view.agent.clone(),
                dependencies: archives(pipeline, index),
            };
            if let Some(token) = pipeline.jobs[index].token.clone() {
                self.tokens.insert(token, view.fence);
            }
            let writer = LogWriter {
                agent: view.agent,
                job: view.job,
                attempt: view.attempt,
            };
            match LogFile::open(&self.blobs, view.fence) {
                Ok(file) => self
                    .logs
                    .insert(view.fence, LeaseLog::new(file, writer, None)),
                Err(error) => {
                    tracing::error!(fence = %view.fence, %error, "a log cannot be taken up again");
                }
            }
            self.leases.insert(view.fence, lease);
        }
    }
}

fn parse(hex: &str) -> Result<u64, Error> {
    u64::from_str_radix(hex, 16).map_err(|error| corrupt(hex, error))
}

fn corrupt(key: &str, error: impl std::fmt::Display) -> Error {
    Error::Corrupt {
        key: key.to_owned(),
        source: serde::de::Error::custom(error),
    }
}
