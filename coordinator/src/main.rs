//! fleet-coordinator: runs the coordinator of a fleet.

use std::process::ExitCode;

fn main() -> ExitCode {
    fleet_coordinator::program::run(std::env::args_os())
}
