//! Stages that move artifacts.

use std::fs;
use std::future::Future;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fleet_model::{Artifact, Dependency};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use super::attempts::pauses;
use super::failure::Failure;
use super::run::Running;
use crate::artifact::{self, Limits, Packed, Staging};
use crate::bulk::{self, Bulk, UploadHeader};
use crate::executor::Executor;
use crate::log::{Line, Sink};

/// Files and folders one archive may hold.
const ENTRIES: usize = 100_000;
/// How much larger than an archive its content may be ...
const RATIO: u64 = 200;
/// ... unless it is still no more than this many bytes.
const ALWAYS_ALLOWED: u64 = 1 << 30;

impl<X: Executor, B: Bulk, S: Sink + Send> Running<'_, X, B, S> {
    /// Fetches the archives of `dependencies` in order: a later one overwrites
    /// what an earlier one brought.
    pub(super) async fn download_artifacts(
        &mut self,
        dependencies: &[&Dependency],
    ) -> Result<(), Failure> {
        let attempts = self.attempts("ARTIFACT_DOWNLOAD_ATTEMPTS");
        let growing = self
            .settled
            .flags
            .is_on("FF_USE_EXPONENTIAL_BACKOFF_STAGE_RETRY");
        let mut pauses = pauses(attempts, growing);
        loop {
            let Err(failure) = self.download_once(dependencies).await else {
                return Ok(());
            };
            let Some(pause) = pauses.next().filter(|_| self.reins.pulled().is_none()) else {
                return Err(failure);
            };
            self.console
                .warning(format!("download_artifacts failed: {failure}"));
            self.reins.unless_pulled(sleep(pause)).await?;
        }
    }

    async fn download_once(&mut self, dependencies: &[&Dependency]) -> Result<(), Failure> {
        for dependency in dependencies {
            let Dependency {
                job, name, size, ..
            } = dependency;
            self.console
                .info(format!("Downloading artifacts for {name} ({job})..."));
            let archive = self.transfer_folder()?.join(format!("{job}.zip"));
            let transfer = self.retry_download(dependency, &archive);
            if let Err(failure) = transfer.await {
                let _not_there = fs::remove_file(&archive);
                return Err(failure);
            }
            self.console
                .plain("Downloading artifacts from coordinator... ok");
            self.extract(archive, *size).await?;
        }
        Ok(())
    }

    async fn retry_download(&mut self, from: &Dependency, to: &Path) -> Result<(), Failure> {
        let Running {
            bulk,
            console,
            reins,
            ..
        } = self;
        let tries = try_often(console, bulk.waits(), X::EXIT, || {
            bulk.download(from.job, to)
        });
        reins.unless_pulled(tries).await?
    }

    async fn extract(&mut self, archive: PathBuf, size: u64) -> Result<(), Failure> {
        let project = PathBuf::from(&self.settled.folders.project);
        let limits = Limits {
            entries: ENTRIES,
            bytes: size.saturating_mul(RATIO).max(ALWAYS_ALLOWED),
        };
        let (result, lines) = on_a_thread(move |report| {
            let result = fs::File::open(&archive)
                .map_err(|error| error.to_string())
                .and_then(|file| {
                    artifact::extract(file, &project, limits, report).map_err(|e| with_causes(&e))
                });
            let _not_there = fs::remove_file(&archive);
            result
        })
        .await?;
        self.print(lines);
        result.map(drop).map_err(|error| self.fatal(&error))
    }

    /// Packs and sends `artifacts` in order; the first that fails ends it.
    pub(super) async fn upload_artifacts(
        &mut self,
        artifacts: &[&Artifact],
    ) -> Result<(), Failure> {
        for artifact in artifacts {
            self.console.info("Uploading artifacts...");
            if let Some(packed) = self.pack(artifact).await? {
                self.upload(artifact, &packed).await?;
            }
            if let Some(failure) = self.reins.pulled() {
                return Err(failure);
            }
        }
        Ok(())
    }

    /// Packing is not cut off by a cancel: it works on the job's files, and
    /// must be over when the job is.
    async fn pack(&mut self, artifact: &Artifact) -> Result<Option<Packed>, Failure> {
        let (artifact, variables) = (artifact.clone(), self.settled.variables.clone());
        let project = PathBuf::from(&self.settled.folders.project);
        let folder = self.transfer_folder()?.to_owned();
        let (packed, lines) = on_a_thread(move |report| {
            let staging = Staging {
                project: &project,
                folder: &folder,
            };
            artifact::pack(&artifact, staging, &variables, report)
        })
        .await?;
        self.print(lines);
        packed.map_err(|error| self.fatal(&with_causes(&error)))
    }

    async fn upload(&mut self, artifact: &Artifact, packed: &Packed) -> Result<(), Failure> {
        let header = UploadHeader {
            filename: packed.filename.clone(),
            kind: artifact.kind.clone(),
            format: artifact.format,
            expire_in: artifact.expire_in.clone(),
            size: packed.size,
        };
        // The file has no name of its own that could be left behind.
        let path = PathBuf::from(format!("/proc/self/fd/{}", packed.file.as_raw_fd()));
        let kind = &artifact.kind;
        let job = self.job.spec.id;
        let Running {
            bulk,
            console,
            reins,
            ..
        } = self;
        let tries = try_often(console, bulk.waits(), X::EXIT, || {
            bulk.upload(&path, header.clone())
        });
        reins.unless_pulled(tries).await??;
        self.console.plain(format!(
            "Uploading artifacts as \"{kind}\" to coordinator... 201 Created id={job} size={}",
            packed.size
        ));
        Ok(())
    }

    fn transfer_folder(&self) -> Result<&Path, Failure> {
        let folder = &self.settled.folders.transfer;
        fs::create_dir_all(folder)
            .map_err(|error| Failure::System(format!("make {}: {error}", folder.display())))?;
        Ok(folder)
    }

    fn print(&mut self, lines: Vec<Line>) {
        for line in lines {
            self.console.line(line);
        }
    }

    fn fatal(&mut self, text: &str) -> Failure {
        self.console.plain(format!("FATAL: {text}"));
        Failure::Exit {
            code: 1,
            called: X::EXIT,
        }
    }
}

/// A transfer that breaks is tried so often in all ...
const TRIES: u32 = 3;
/// ... and one without a coordinator again after waits that grow to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Tries a transfer until it succeeds or trying again cannot help; while the
/// coordinator is not there, for as long as `waits`. As with gitlab-runner, what
/// the coordinator refuses fails the job like a script.
async fn try_often<S: Sink, F>(
    console: &mut super::console::Console<S>,
    waits: Duration,
    called: &'static str,
    mut attempt: impl FnMut() -> F,
) -> Result<(), Failure>
where
    F: Future<Output = Result<(), bulk::Error>>,
{
    let mut broken = 0;
    let mut missed: Option<(Instant, Duration)> = None;
    loop {
        let Err(error) = attempt().await else {
            return Ok(());
        };
        let pause = match &error {
            bulk::Error::Unavailable(_) => {
                let (since, pause) = missed.unwrap_or((Instant::now(), Duration::from_secs(1)));
                missed = Some((since, (pause * 2).min(LONGEST_PAUSE)));
                Some(pause).filter(|pause| since.elapsed() + *pause <= waits)
            }
            error => {
                // It was there, so the next time it is not is another one.
                missed = None;
                broken += 1;
                Some(Duration::from_secs(1)).filter(|_| error.may_pass() && broken < TRIES)
            }
        };
        let Some(pause) = pause else {
            console.plain(format!("FATAL: {error}"));
            return Err(Failure::Exit { code: 1, called });
        };
        console.warning(format!("{error}, trying again"));
        sleep(pause).await;
    }
}

/// Does file work on a thread for such; returns what it found worth telling.
async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce(artifact::Report<'_>) -> T + Send + 'static,
) -> Result<(T, Vec<Line>), Failure> {
    let task = spawn_blocking(move || {
        let mut lines = Vec::new();
        let result = work(&mut |line| lines.push(line));
        (result, lines)
    });
    task.await
        .map_err(|error| Failure::System(io::Error::from(error).to_string()))
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
