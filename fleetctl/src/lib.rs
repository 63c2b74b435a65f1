//! The command line of Fleet.
//!
//! `cli` is what people type, one module a command does it, and [`run()`] maps how
//! it ended to an exit code. `snapshot` takes the working tree, `project` knows
//! where it is and which event a pipeline is compiled for. Only `run` starts a
//! runtime: everything else is done before one would be ready.

mod cli;
mod compile;
mod failure;
mod findings;
mod graph;
mod lint;
mod project;
mod repository;
mod run;
mod snapshot;
mod terminal;
mod variables;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use cli::{Cli, Command};
pub(crate) use failure::{Exit, Failure};

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
    }
}

/// Prints a result. A reader that has gone away has what it wanted.
pub(crate) fn print(text: &[u8]) -> Result<Exit, Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(anyhow::Error::from(error)
                .context("print the result")
                .into())
        }
        _ => Ok(Exit::Done),
    }
}
