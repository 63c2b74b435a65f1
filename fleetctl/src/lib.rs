//! The command line of Fleet.
//!
//! `cli` is what people type, one module a command does it, and [`run()`] maps how
//! it ended to an exit code.
//!
//! Without a server: `run`, `lint`, `graph`, `compile`. `snapshot` takes the working
//! tree, `project` knows where it is and which event a pipeline is compiled for.
//!
//! With one: `context` knows which and as whom, `client` calls it and turns refusals
//! into words, `server` has a module for each noun, `output` prints. `view` shows a
//! pipeline that runs, here or there.
//!
//! Only `run` and what talks to a server start a runtime: everything else is done
//! before one would be ready.

mod cli;
mod client;
mod compile;
mod context;
mod failure;
mod findings;
mod graph;
mod includes;
mod interrupt;
mod lint;
mod output;
mod project;
mod repository;
mod run;
mod server;
mod snapshot;
mod terminal;
mod variables;
mod view;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use cli::{Cli, Command, Lazy};
pub(crate) use failure::{Exit, Failure};

/// The user's own folder for what can be made again; none where nothing says where.
pub(crate) fn user_cache() -> Option<PathBuf> {
    let absolute = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(cache.join("fleet"))
}

/// Runs the command that `arguments` (with the program's name first) ask for.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help goes to stdout and is no failure; a closed pipe is no news.
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Usage.into()
            } else {
                Exit::Done.into()
            };
        }
    };
    match dispatch(cli) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprintln!("fleetctl: {failure}");
            failure.exit().into()
        }
    }
}

fn dispatch(Cli { global, command }: Cli) -> Result<Exit, Failure> {
    match command {
        Command::Run(arguments) => run::run(arguments, global),
        Command::Lint(arguments) => lint::run(&arguments, global),
        Command::Graph(arguments) => graph::run(&arguments, global),
        Command::Compile(arguments) => compile::run(&arguments, global),
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "fleetctl", &mut script);
            print(&script)
        }
        Command::Version => print(concat!("fleetctl ", env!("CARGO_PKG_VERSION"), "\n").as_bytes()),
        Command::Context(Lazy(arguments)) => context::run(arguments, global),
        Command::Server(noun) => server::run(noun, global),
    }
}

/// `FLEET_LOG=debug` shows on stderr what happens inside.
pub(crate) fn start_tracing() {
    if let Ok(filter) = tracing_subscriber::EnvFilter::try_from_env("FLEET_LOG") {
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .init();
    }
}

/// Prints a result. A reader that has gone away has what it wanted.
pub(crate) fn print(text: &[u8]) -> Result<Exit, Failure> {
    print_on(text).map(|_| Exit::Done)
}

/// Prints a part of a result that goes on; says whether anybody reads it.
pub(crate) fn print_on(text: &[u8]) -> Result<bool, Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(anyhow::Error::from(error)
            .context("print the result")
            .into()),
    }
}
