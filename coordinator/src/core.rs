//! The one owner of the coordinator's state: a task that decides with the queue,
//! then carries out what was decided, one input after the other.
//!
//! What a command changes goes to the journal as one batch, and what it leads to
//! outside - messages to agents, answers, news for watchers - waits until that
//! batch is durable (`release`). The next command does not wait: it is decided on
//! the new state, and its batch comes after.

mod admit;
mod clock;
mod cross;
mod deploy;
mod downstream;
mod effects;
mod handle;
mod lease;
mod load;
mod release;
mod retention;
mod supersede;
mod view;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fleet_model::{AgentName, Fence, JobId, PipelineId};
use fleet_queue::{Input, Queue, Rejected};
use tokio::sync::{broadcast, mpsc};
use tracing::warn;

use crate::audit::Audit;
use crate::blob::Blobs;
use crate::catalog::Catalog;
use crate::downstream::Order;
use crate::environment::Book;
use crate::fleet::LeaseLogs;
use crate::pipeline::{JobRecord, NoJobs, Pipeline, PipelineRecord, Upstream};
use crate::secret::Sealer;
use crate::store::{Batch, Journal, number};
use crate::{Settings, watch};

use admit::AgentStream;
pub(crate) use admit::{Admitted, Ending, Greeting};
use clock::Clock;
use deploy::Asking;
pub(crate) use deploy::{Deploys, StopAnswer};
pub(crate) use downstream::Refusal;
use handle::Command;
pub(crate) use handle::{AgentInput, Handle, HandleError, JobTokenOwner, Upload, WeakHandle};
use lease::Lease;
use release::Releases;
pub(crate) use view::{AgentInfo, JobInfo, Link, LogSource, PipelineInfo};

/// Commands that wait for the owner before senders wait for it.
const COMMANDS: usize = 1024;
/// News that a watcher may be behind with before it reads all anew.
const NEWS: usize = 4096;

/// What changed: a job of a pipeline, or the pipeline itself.
pub(crate) type News = (PipelineId, Option<JobId>);

/// All state. Nobody else has any of it.
pub(crate) struct Core {
    settings: Settings,
    clock: Clock,
    queue: Queue,
    pipelines: BTreeMap<PipelineId, Pipeline>,
    /// Which pipeline a job is of, by the pipeline's first job.
    places: BTreeMap<JobId, PipelineId>,
    /// The pipelines that a job started, in order of its tries.
    downstream: BTreeMap<JobId, Vec<PipelineId>>,
    /// Where orders for pipelines go that jobs start: as many as there are such jobs.
    orders: mpsc::UnboundedSender<Order>,
    /// Until somebody takes them.
    ordered: Option<mpsc::UnboundedReceiver<Order>>,
    next_pipeline: PipelineId,
    next_job: JobId,
    agents: BTreeMap<AgentName, AgentStream>,
    next_session: u64,
    leases: BTreeMap<Fence, Lease>,
    /// The lease that each job token is good for, by the token's hash.
    tokens: BTreeMap<String, Fence>,
    /// Empty where there is no [`Server`].
    environments: Book,
    /// The person whose wish is being carried out.
    asking: Option<Asking>,
    logs: LeaseLogs,
    blobs: Blobs,
    journal: Journal,
    /// None in a process that serves its own user alone.
    server: Option<Server>,
    /// Jobs whose records are to be written with this command's batch.
    dirty: BTreeSet<JobId>,
    batch: Batch,
    releases: Releases,
    news: broadcast::Sender<News>,
}

/// What a coordinator has that serves others.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) catalog: Catalog,
    pub(crate) sealer: Sealer,
    pub(crate) audit: Audit,
    /// The certificates (PEM) that reach the coordinator's own listeners.
    pub(crate) authority: String,
    /// The registry that trusts the coordinator's tokens: `host[:port]`.
    pub(crate) registry: Option<String>,
}

impl Core {
    /// Makes an owner that knows nothing yet, and the way to it; it works once
    /// [`Core::run`] does.
    pub(crate) fn new(
        settings: Settings,
        logs: LeaseLogs,
        blobs: Blobs,
        journal: Journal,
        server: Option<Server>,
    ) -> (Handle, Core, mpsc::Receiver<Command>) {
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let news = broadcast::Sender::new(NEWS);
        let (orders, ordered) = mpsc::unbounded_channel();
        let core = Core {
            clock: Clock::start(),
            queue: Queue::new(settings.queue, Fence(1)),
            pipelines: BTreeMap::new(),
            places: BTreeMap::new(),
            downstream: BTreeMap::new(),
            orders,
            ordered: Some(ordered),
            next_pipeline: settings.first_pipeline,
            next_job: settings.first_job,
            agents: BTreeMap::new(),
            next_session: 1,
            leases: BTreeMap::new(),
            tokens: BTreeMap::new(),
            environments: Book::default(),
            asking: None,
            settings,
            logs,
            blobs,
            releases: Releases::new(&journal),
            journal,
            server,
            dirty: BTreeSet::new(),
            batch: Batch::default(),
            news: news.clone(),
        };
        (Handle::new(commands, news), core, inbox)
    }

    /// The orders for pipelines that jobs start; none: somebody has them. What nobody
    /// takes waits.
    pub(crate) fn orders(&mut self) -> Option<mpsc::UnboundedReceiver<Order>> {
        self.ordered.take()
    }

    /// Takes commands until the last handle is gone.
    pub(crate) async fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        let mut marks = self.journal.marks();
        loop {
            let (wait, since) = (self.until_wakeup(), Instant::now());
            let command = tokio::select! {
                command = inbox.recv() => Some(command),
                Ok(()) = marks.changed() => {
                    self.release();
                    continue;
                }
                () = tokio::time::sleep(wait) => None,
            };
            let late = since.elapsed().saturating_sub(wait);
            if late > self.settings.queue.heartbeat_interval {
                warn!(
                    ?late,
                    "the coordinator stood still; that time does not count"
                );
                self.clock.leave_out(late);
            }
            match command {
                Some(Some(command)) => self.take(command),
                Some(None) => break,
                None => {
                    self.feed(Input::Tick);
                    self.drop_ended_leases();
                }
            }
            self.commit();
        }
        // Who still waits for an answer gets it when it is true.
        self.journal.durable(self.releases.last()).await;
        self.release();
    }

    fn until_wakeup(&self) -> Duration {
        let now = self.clock.now();
        // A day is as good as for ever: nothing is missed by looking once more.
        self.queue
            .next_wakeup()
            .map_or(Duration::from_secs(86_400), |at| at.since(now))
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Create {
                request,
                with,
                watch,
                reply,
            } => {
                let created = self.create(*request, with, watch);
                self.answer(reply, created);
            }
            Command::CreateEnded {
                request,
                why,
                with,
                reply,
            } => {
                let id = self.create_ended(*request, why, with);
                self.answer(reply, Ok(id));
            }
            Command::NoDownstream {
                upstream,
                refusal,
                reply,
            } => {
                let result = self.no_downstream(upstream, refusal);
                self.answer(reply, result.map_err(HandleError::Rejected));
            }
            Command::Change {
                input,
                asker,
                reply,
            } => {
                let result = self.step_for(asker, input);
                self.drop_ended_leases();
                self.answer(reply, result.map_err(HandleError::Rejected));
            }
            Command::StopEnvironment {
                project,
                name,
                asker,
                reply,
            } => {
                let result = self.stop_environment(project, &name, asker);
                self.answer(reply, result.map_err(HandleError::Rejected));
            }
            Command::Connected { greeting, reply } => {
                let admitted = self.connected(*greeting);
                // Not an effect on the world: the welcome is, and waits.
                let _nobody_waits = reply.send(admitted);
            }
            Command::Agent {
                agent,
                session,
                input,
            } => self.agent(agent, session, input),
            Command::Revoke { agent, why, reply } => {
                let result = self.revoke(&agent, why).map_err(HandleError::Rejected);
                self.answer(reply, result);
            }
            Command::BeginUpload {
                agent,
                fence,
                reply,
            } => {
                let _nobody_waits = reply.send(self.begin_upload(agent.as_ref(), fence));
            }
            Command::Stored {
                fence,
                stored,
                expire_in,
                reply,
            } => {
                let result = Ok(self.stored(fence, stored, &expire_in));
                self.answer(reply, result);
            }
            Command::Archive {
                agent,
                fence,
                job,
                reply,
            } => {
                let _nobody_waits = reply.send(self.archive(agent.as_ref(), fence, job));
            }
            Command::Pulse(reply) => {
                let _nobody_waits = reply.send(());
            }
            Command::Sweep => self.sweep(),
            Command::ForgetProject { project, reply } => {
                let result = self.forget_project(project);
                self.answer(reply, result);
            }
            Command::Look(question) => {
                // What is shown is true after a crash, too; but for when the disk
                // is full, when people need to look most.
                if self.journal.accepts_work().is_ok() {
                    let answer = question(self);
                    self.releases.run(answer);
                } else {
                    question(self)();
                }
            }
        }
    }

    fn create(
        &mut self,
        request: crate::Request,
        with: Batch,
        watched: bool,
    ) -> Result<(crate::Created, Option<watch::Watch>), HandleError> {
        self.journal
            .accepts_work()
            .map_err(|full| HandleError::NoRoom(full.to_string()))?;
        let (sender, watch) = if watched {
            let (sender, watch) = watch::channel();
            (Some(Arc::new(sender)), Some(watch))
        } else {
            (self.watch_of(request.upstream), None)
        };
        let now = self.clock.now();
        let pipeline = Pipeline::new(self.next_pipeline, self.next_job, request, now, sender);
        let created = pipeline.created();
        let input = Input::CreatePipeline(pipeline.for_queue());
        let first = self.releases.next();
        self.enter(pipeline);
        if let Err(rejected) = self.step(input) {
            self.leave(created.pipeline);
            return Err(HandleError::Rejected(rejected));
        }
        if let Some(told) = self.told_of_downstream(&created) {
            // Before anything else is told of it.
            self.releases.insert(first, told);
        }
        self.record_new(created.pipeline, created.jobs.len(), with);
        self.supersede_older(created.pipeline);
        Ok((created, watch))
    }

    /// Enters a pipeline that has no jobs.
    fn create_ended(&mut self, request: crate::Request, why: NoJobs, with: Batch) -> PipelineId {
        let now = self.clock.now();
        let mut pipeline = Pipeline::new(self.next_pipeline, self.next_job, request, now, None);
        let id = pipeline.id;
        pipeline.no_jobs = Some(why);
        pipeline.finished_at = Some(now);
        self.enter(pipeline);
        self.record_new(id, 0, with);
        id
    }

    fn enter(&mut self, pipeline: Pipeline) {
        if !pipeline.jobs.is_empty() {
            self.places.insert(pipeline.first_job, pipeline.id);
        }
        if let Some(upstream) = pipeline.request.upstream {
            let started = self.downstream.entry(upstream.job).or_default();
            started.push(pipeline.id);
        }
        self.pipelines.insert(pipeline.id, pipeline);
    }

    /// Takes a pipeline out of all that [`Core::enter`] puts it into.
    fn leave(&mut self, id: PipelineId) -> Option<Pipeline> {
        let pipeline = self.pipelines.remove(&id)?;
        // One without jobs has the number that the next one's first job got.
        if !pipeline.jobs.is_empty() {
            self.places.remove(&pipeline.first_job);
        }
        if let Some(upstream) = pipeline.request.upstream
            && let Some(started) = self.downstream.get_mut(&upstream.job)
        {
            started.retain(|started| *started != id);
            if started.is_empty() {
                self.downstream.remove(&upstream.job);
            }
        }
        Some(pipeline)
    }

    /// Whoever watches a pipeline watches the children of it as well.
    fn watch_of(&self, upstream: Option<Upstream>) -> Option<Arc<watch::Sender>> {
        self.pipelines.get(&upstream?.pipeline)?.watch.clone()
    }

    /// Tells whoever watches that a job has started this pipeline.
    fn told_of_downstream(&self, created: &crate::Created) -> Option<release::Release> {
        let pipeline = self.pipelines.get(&created.pipeline)?;
        let (upstream, watch) = (pipeline.request.upstream?, pipeline.watch.clone()?);
        let event = watch::Event::Downstream(watch::Downstream {
            bridge: upstream.job,
            created: created.clone(),
            plan: Box::new(pipeline.request.plan.clone()),
        });
        Some(Box::new(move || watch.tell(event)))
    }

    fn record_new(&mut self, id: PipelineId, jobs: usize, with: Batch) {
        self.next_pipeline.0 += 1;
        self.next_job.0 += jobs as u64;
        self.batch.append(with);
        if let Some((server, pipeline)) = self.server.as_ref().zip(self.pipelines.get(&id)) {
            let record = PipelineRecord::of(pipeline, &server.sealer);
            self.batch
                .put(format!("pipeline/{}", number(id.0)), &record);
            self.batch.put("meta/next-pipeline", &self.next_pipeline);
            self.batch.put("meta/next-job", &self.next_job);
        }
    }

    /// Decides and carries out; what was refused changed nothing.
    fn step(&mut self, input: Input) -> Result<(), Rejected> {
        let mut inputs = VecDeque::from([input]);
        let mut first = None;
        while let Some(input) = inputs.pop_front() {
            let decided = self.queue.step(self.clock.now(), input);
            let outcome = match decided {
                Ok(effects) => {
                    for effect in effects {
                        self.carry_out(effect, &mut inputs);
                    }
                    Ok(())
                }
                Err(rejected) => Err(rejected),
            };
            // What follows from an effect is the coordinator's own; it is not
            // refused, and the caller's answer is that of its own input.
            first.get_or_insert(outcome);
        }
        first.unwrap_or(Ok(()))
    }

    /// As [`Core::step`], for inputs whose sender has nobody to tell.
    fn feed(&mut self, input: Input) {
        if let Err(rejected) = self.step(input) {
            warn!(%rejected, "an input changed nothing");
        }
    }

    /// Hands what this command changed to the journal, and lets out what may go.
    fn commit(&mut self) {
        for change in self.queue.take_changes() {
            if self.server.is_none() {
                continue;
            }
            match &change.record {
                Some(record) => self.batch.put(change.key(), record),
                None => self.batch.delete(change.key()),
            }
        }
        for job in std::mem::take(&mut self.dirty) {
            if let Some((pipeline, index)) = self.find(job)
                && self.server.is_some()
            {
                let record = JobRecord::from(&pipeline.jobs[index]);
                self.batch.put(format!("job/{}", number(job.0)), &record);
            }
        }
        if !self.batch.is_empty() {
            let mark = self.journal.submit(std::mem::take(&mut self.batch));
            self.releases.seal(mark);
        }
        self.release();
    }

    /// Tells whoever watches, once it is durable.
    fn announce(&mut self, news: News) {
        let sender = self.news.clone();
        self.releases.run(Box::new(move || {
            let _nobody_watches = sender.send(news);
        }));
    }

    /// Where a job is kept.
    fn find(&self, job: JobId) -> Option<(&Pipeline, usize)> {
        let (_, id) = self.places.range(..=job).next_back()?;
        let pipeline = self.pipelines.get(id)?;
        Some((pipeline, pipeline.index_of(job)?))
    }

    fn find_mut(&mut self, job: JobId) -> Option<(&mut Pipeline, usize)> {
        let (_, id) = self.places.range(..=job).next_back()?;
        let pipeline = self.pipelines.get_mut(id)?;
        let index = pipeline.index_of(job)?;
        Some((pipeline, index))
    }
}

#[cfg(test)]
mod tests;
