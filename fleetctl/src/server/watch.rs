//! `fleetctl pipeline watch`: what becomes of a pipeline until its end, in the same
//! view as a run here.

mod known;

use std::io::{self, BufWriter, Stdout};
use std::time::Duration;

use bytes::Bytes;
use fleet_coordinator::{Created, Event};
use fleet_model::{JobId, JobState, PipelineId, Timestamp};
use fleet_proto::v1;
use fleet_proto::v1::pipeline_event::Event as Wire;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep, sleep_until};

pub(super) use self::known::state;
use self::known::{Known, begin, ids, job_state, moment};
use super::pipeline::config_error;
use crate::client::{Client, Patience, Unanswered};
use crate::output::{Printer, time};
use crate::view::{Form, Logs, Told, View, Wish};
use crate::{Exit, Failure};

/// Of a failed job's log so much is fetched for its last lines.
const TAIL_BYTES: u64 = 64 * 1024;
/// Between the end of a stream and another try.
const AGAIN: Duration = Duration::from_millis(200);
/// Last lines are fetched of so many failed jobs; of more nobody reads them.
const TAILS: usize = 20;

/// Watches a pipeline to its end.
///
/// # Errors
/// There is none, or it has no jobs, or --timeout is over.
pub(super) async fn pipeline(id: u64, client: &Client, out: &Printer) -> Result<Exit, Failure> {
    out.on_interrupt(format!(
        "pipeline {id} goes on. Next: fleetctl pipeline watch {id}"
    ));
    let mut watcher = Watcher::new(id, client, out);
    client
        .within(&format!("pipeline {id}, which goes on"), watcher.hear_out())
        .await??;
    watcher.end().await
}

struct Watcher<'a> {
    id: u64,
    client: &'a Client,
    out: &'a Printer,
    /// None until the pipeline was told once.
    view: Option<View<BufWriter<Stdout>>>,
    /// The jobs the view knows.
    jobs: Vec<JobId>,
    known: Known,
    status: JobState,
    finished_at: u64,
}

impl<'a> Watcher<'a> {
    fn new(id: u64, client: &'a Client, out: &'a Printer) -> Watcher<'a> {
        Watcher {
            id,
            client,
            out,
            view: None,
            jobs: Vec::new(),
            known: Known::default(),
            status: JobState::Created,
            finished_at: 0,
        }
    }

    /// Takes what is told until the pipeline has ended, over as many connections as it
    /// takes.
    async fn hear_out(&mut self) -> Result<(), Failure> {
        let mut patience = self.client.patience();
        loop {
            match self.listen(&mut patience).await {
                Ok(()) if self.status.is_completed() => return Ok(()),
                // It ended before the pipeline did: the coordinator is going away.
                Ok(()) => sleep(AGAIN).await,
                Err(Stop::Failure(failure)) => return Err(failure),
                Err(Stop::Unanswered(unanswered)) => {
                    self.wait(&mut patience, &unanswered).await?;
                }
            }
        }
    }

    /// Listens to one stream to its end.
    async fn listen(&mut self, patience: &mut Patience) -> Result<(), Stop> {
        let request = v1::WatchPipelineRequest { id: self.id };
        let mut pipelines = self.client.pipelines();
        let mut stream = self
            .client
            .attempt(pipelines.watch_pipeline(request))
            .await?;
        let mut ticks = self.view.as_ref().and_then(View::tick).map(every);
        loop {
            tokio::select! {
                // Losing it loses nothing: messages wait in the stream.
                message = stream.message() => {
                    let message = message.map_err(Unanswered::from)?;
                    if let Some(back) = patience.answered() {
                        self.tell(Told::Note(back.to_owned()));
                    }
                    match message.and_then(|message| message.event) {
                        Some(event) => self.take(event)?,
                        None => return Ok(()),
                    }
                    if ticks.is_none() {
                        ticks = self.view.as_ref().and_then(View::tick).map(every);
                    }
                }
                () = tick(&mut ticks) => self.tell(Told::Tick),
            }
        }
    }

    /// Waits for the coordinator to come back.
    async fn wait(
        &mut self,
        patience: &mut Patience,
        unanswered: &Unanswered,
    ) -> Result<(), Failure> {
        let retry = patience.after(self.client, unanswered)?;
        if let Some(note) = retry.note {
            if self.view.is_some() {
                self.tell(Told::Note(note));
            } else {
                self.out.hint(&note);
            }
        }
        let mut ticks = self.view.as_ref().and_then(View::tick).map(every);
        loop {
            tokio::select! {
                () = sleep_until(retry.at) => return Ok(()),
                () = tick(&mut ticks) => self.tell(Told::Tick),
            }
        }
    }

    fn take(&mut self, event: Wire) -> Result<(), Failure> {
        match event {
            Wire::Pipeline(pipeline) => self.all(&pipeline),
            Wire::Job(job) => {
                self.job(&job);
                Ok(())
            }
            Wire::Status(status) => {
                self.status(&status.status, status.finished_at);
                Ok(())
            }
        }
    }

    /// All of the pipeline, once more or for the first time.
    fn all(&mut self, pipeline: &v1::Pipeline) -> Result<(), Failure> {
        if let Some(failure) = config_error(pipeline) {
            return Err(failure);
        }
        let ids = ids(pipeline);
        if self.view.is_none() || ids != self.jobs {
            self.known = Known::default();
            let wish = Wish {
                form: if self.out.is_json() {
                    Form::Json
                } else {
                    Form::Text
                },
                logs: if self.out.global().verbose {
                    Logs::All
                } else {
                    Logs::Scripts
                },
            };
            let mut view = View::new(
                begin(pipeline),
                Timestamp(time::now()),
                wish,
                self.out.terminal(),
                BufWriter::new(io::stdout()),
            );
            view.told(Told::Created(Created {
                pipeline: PipelineId(pipeline.id),
                jobs: ids.clone(),
            }));
            self.view = Some(view);
            self.jobs = ids;
        }
        for job in &pipeline.jobs {
            self.job(job);
        }
        self.status(&pipeline.status, pipeline.finished_at);
        Ok(())
    }

    fn job(&mut self, job: &v1::Job) {
        if let Some((event, times)) = self.known.job(job) {
            self.tell(Told::Job(event, times));
        }
    }

    fn status(&mut self, status: &str, finished_at: u64) {
        let status = job_state(status);
        self.finished_at = finished_at;
        if status != self.status {
            self.status = status;
            self.tell(Told::Event(Event::Pipeline(status)));
            if status == JobState::Manual {
                self.tell(Told::Note(format!(
                    "pipeline {} waits for a person. Next: fleetctl job play NAME",
                    self.id
                )));
            }
        }
    }

    fn tell(&mut self, told: Told) {
        if let Some(view) = &mut self.view {
            view.told(told);
        }
    }

    /// Shows how it ended.
    async fn end(mut self) -> Result<Exit, Failure> {
        let Some(mut view) = self.view.take() else {
            return Err(Failure::new(
                Exit::Failed,
                format!("pipeline {} ended without a word", self.id),
            ));
        };
        if !self.out.is_json() {
            let failed = self.known.failed();
            for (job, attempt) in failed.into_iter().take(TAILS) {
                // Without its last lines the verdict is still of use.
                if let Ok(data) = tail(self.client, job).await {
                    view.recall(&Event::Log {
                        job: JobId(job),
                        attempt,
                        offset: 0,
                        data,
                    });
                }
            }
        }
        if let Some(at) = moment(self.finished_at) {
            view.ended_at(at);
        }
        view.end();
        Ok(match self.status {
            JobState::Success | JobState::Skipped => Exit::Done,
            JobState::Canceled => Exit::Canceled,
            _ => Exit::Failed,
        })
    }
}

fn every(time: Duration) -> Interval {
    let mut ticks = interval(time);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Waits for the next tick; for ever where there are none.
async fn tick(ticks: &mut Option<Interval>) {
    match ticks {
        Some(ticks) => drop(ticks.tick().await),
        None => std::future::pending().await,
    }
}

/// Why a stream was left before its end.
enum Stop {
    Unanswered(Unanswered),
    Failure(Failure),
}

impl From<Unanswered> for Stop {
    fn from(unanswered: Unanswered) -> Stop {
        Stop::Unanswered(unanswered)
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Failure(failure)
    }
}

/// The end of a job's log, from the beginning of a line.
async fn tail(client: &Client, job: u64) -> Result<Bytes, Failure> {
    let about = client
        .call(client.jobs().get_job(v1::GetJobRequest { id: job }))
        .await?;
    let Some(attempt) = about.attempts.last() else {
        return Ok(Bytes::new());
    };
    let offset = attempt.log_bytes.saturating_sub(TAIL_BYTES);
    let request = v1::ReadLogRequest {
        job,
        attempt: attempt.number,
        offset,
        follow: false,
    };
    let mut stream = client.call(client.jobs().read_log(request)).await?;
    let mut log = Vec::new();
    while let Some(chunk) = stream
        .message()
        .await
        .map_err(|status| client.failure(&status.into()))?
    {
        log.extend_from_slice(&chunk.data);
        // What a server sends beyond what it was asked for is not kept.
        let most = usize::try_from(2 * TAIL_BYTES).unwrap_or(usize::MAX);
        if log.len() > most {
            log.drain(..log.len() - most);
        }
    }
    if !log.ends_with(b"\n") {
        log.push(b'\n');
    }
    if offset > 0
        && let Some(end) = log.iter().position(|byte| *byte == b'\n')
    {
        log.drain(..=end);
    }
    Ok(log.into())
}
