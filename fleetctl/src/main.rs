//! fleetctl: runs pipelines here and now, and shows what they are.

use std::process::ExitCode;

fn main() -> ExitCode {
    fleetctl::run(std::env::args_os())
}
