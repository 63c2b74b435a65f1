//! Where the program under test is.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// The `fleetctl` that was built beside the running test.
///
/// # Errors
/// If there is none, with the command that builds it.
pub fn fleetctl() -> Result<PathBuf> {
    program("fleetctl")
}

/// The program of this name that was built beside the running test.
///
/// # Errors
/// If there is none, with the command that builds it.
pub fn program(name: &str) -> Result<PathBuf> {
    let test = std::env::current_exe().context("find the running test")?;
    // target/<profile>/deps/<test>
    let profile = test
        .ancestors()
        .nth(2)
        .context("find the folder of the build")?;
    let program = profile.join(name);
    ensure!(
        program.is_file(),
        "{} is missing; build it first: cargo build{} -p {name}",
        program.display(),
        if profile.file_name() == Some("release".as_ref()) {
            " --release"
        } else {
            ""
        },
    );
    Ok(program)
}

/// The top folder of this repository.
#[must_use]
pub fn repository() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}
