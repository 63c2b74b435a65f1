//! The program `fleet-agent`.

use std::process::ExitCode;

fn main() -> ExitCode {
    fleet_agent::program::run(std::env::args_os())
}
