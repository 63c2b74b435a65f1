//! The program `fleet-agent`: its command line, and how it ends.

mod containers;
mod daemon;
mod doctor;
mod drain;
mod failure;
mod join;
mod settings;

use std::ffi::OsString;
use std::io::{IsTerminal, Write, stderr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Command, FromArgMatches, Parser, Subcommand};
use tracing_subscriber::filter::{EnvFilter, LevelFilter, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::Log;
use crate::link::Jobs;
use crate::supervisor;
use failure::Failure;
use settings::{LogFormat, Run};

/// Runs one job; the agent starts this. It is no command for people.
pub(crate) const SUPERVISE: &str = "supervise";
/// The settings that `join` writes into the agent's state folder.
const SETTINGS: &str = "agent.toml";

/// Runs the command that `arguments` (with the program's name first) ask for.
///
/// Ends with 0 when it is done, 1 when it failed, 2 for wrong usage or an invalid
/// file.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    // One a job: what it does not read of this program needs no memory.
    if arguments.iter().skip(1).eq([SUPERVISE]) {
        return match supervise() {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => failure.report(),
        };
    }
    let done = Cli::try_parse_from(&arguments)
        .map_err(Failure::from)
        .and_then(|cli| dispatch(cli.command, &arguments));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// The settings of `run` as a table in Markdown, for the documentation.
#[must_use]
pub fn settings_reference() -> String {
    fleet_settings::reference(&Run::augment_args(Command::new("run")))
}

/// The agent of a fleet: runs the jobs that a coordinator leases to this host.
#[derive(Parser)]
#[command(name = "fleet-agent", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Subcommand)]
enum Subcommands {
    /// Make this host one of the fleet's, with a token of `fleetctl agent join-token`
    Join(join::Join),
    /// Run the agent. On SIGTERM it takes no more jobs and ends after its last one;
    /// on a second one it stops its jobs. On SIGHUP it reads its settings again
    Run(Box<RunWish>),
    /// Look whether this host can run jobs, and say what to mend
    Doctor(Box<Configured>),
    /// Let the agent of this host take no more jobs and end after its last one
    Drain(drain::Drain),
    /// Show the version
    Version,
}

/// What `run` is told.
#[derive(Args)]
struct RunWish {
    /// Take one job, and end after it
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    configured: Configured,
}

/// `run`'s settings, and where more of them are.
#[derive(Args)]
struct Configured {
    /// File of settings in TOML, its keys being the names of these flags; what it
    /// does not say is as `join` was told
    #[arg(long, env = "FLEET_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Run,
}

fn dispatch(command: Subcommands, arguments: &[OsString]) -> Result<(), Failure> {
    fleet_tls::install_provider();
    match command {
        Subcommands::Join(wish) => runtime()?.block_on(join::join(wish)),
        Subcommands::Run(wish) => {
            let command = RunWish::augment_args(Command::new("run"));
            let read = || configured(command.clone(), &wish.configured, arguments);
            let settings = read()?;
            let filter = start_log(&settings.log, settings.log_format)?;
            let jobs = if wish.once { Jobs::One } else { Jobs::All };
            let again = daemon::Again { read, filter };
            runtime()?.block_on(daemon::run(settings, jobs, again))
        }
        Subcommands::Doctor(settings) => {
            let command = Configured::augment_args(Command::new("doctor"));
            let settings = configured(command, &settings, arguments)?;
            runtime()?.block_on(doctor::doctor(settings))
        }
        Subcommands::Drain(wish) => drain::drain(&wish),
        Subcommands::Version => print(concat!("fleet-agent ", env!("CARGO_PKG_VERSION"), "\n")),
    }
}

fn supervise() -> Result<(), Failure> {
    fleet_tls::install_provider();
    // The job has the one thread, what is said to agents the other.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    let runtime = runtime.map_err(Failure::failed)?;
    let run = supervisor::run(start_supervisors_log);
    runtime.block_on(run).map_err(Failure::failed)
}

/// Starts a supervisor's log, on stderr: by levels and parts of the program. What its
/// agent's filter says beyond that is not read, for the memory each job would need.
fn start_supervisors_log(log: &Log) {
    let info = || Targets::new().with_default(LevelFilter::INFO);
    let filter: Option<Targets> = log.filter.parse().ok();
    let filter = filter.filter(|_| !log.filter.is_empty());
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(stderr().is_terminal())
        .with_writer(stderr)
        // Who reads it may be gone (a supervisor outlives its agent's terminal), and
        // to complain of that on stderr as well would be a panic.
        .log_internal_errors(false);
    let lines = if log.json {
        lines.json().boxed()
    } else {
        lines.boxed()
    };
    let log = tracing_subscriber::registry().with(lines.with_filter(filter.unwrap_or_else(info)));
    // It is the only one of this process.
    let _begun = log.try_init();
}

/// The settings of `run`: what `join` wrote, over it the file, over it environment
/// and flags.
fn configured(
    command: Command,
    first: &Configured,
    arguments: &[OsString],
) -> Result<Run, Failure> {
    let name = format!("fleet-agent {}", command.get_name());
    let mut command = command.bin_name(name);
    let joined = first.settings.state_dir.join(SETTINGS);
    let joined = joined.exists().then_some(&joined);
    for file in joined.into_iter().chain(&first.config) {
        command = fleet_settings::fill(command, file)?;
    }
    // The program itself has no flags, so the first word is the command.
    let matches = command.try_get_matches_from_mut(arguments.iter().skip(1))?;
    let configured = Configured::from_arg_matches(&matches);
    Ok(configured
        .map_err(|error| error.format(&mut command))?
        .settings)
}

/// Changes what is logged.
type Filter = Box<dyn Fn(&str) -> Result<(), Failure>>;

/// Starts the log, on stderr.
fn start_log(filter: &str, format: LogFormat) -> Result<Filter, Failure> {
    let filter = read_filter(filter)?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(stderr().is_terminal())
        .with_writer(stderr);
    match format {
        LogFormat::Text => {
            let log = log.with_filter_reloading();
            let handle = log.reload_handle();
            log.try_init().map_err(Failure::failed)?;
            Ok(Box::new(move |filter| {
                let filter = read_filter(filter)?;
                handle.reload(filter).map_err(Failure::failed)
            }))
        }
        LogFormat::Json => {
            let log = log.json().with_filter_reloading();
            let handle = log.reload_handle();
            log.try_init().map_err(Failure::failed)?;
            Ok(Box::new(move |filter| {
                let filter = read_filter(filter)?;
                handle.reload(filter).map_err(Failure::failed)
            }))
        }
    }
}

fn read_filter(text: &str) -> Result<EnvFilter, Failure> {
    EnvFilter::try_new(text).map_err(|error| Failure::Usage(format!("log filter: {error}")))
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Failure::failed)
}

/// Prints a result. A reader that has gone away has what it wanted.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::failed(error)),
        _ => Ok(()),
    }
}
