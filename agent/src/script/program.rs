//! The program of one stage.

use crate::expand::{ResolvedVariable, exportable};

use super::echo::{self, Sections};
use super::quoting::quote;

/// What one stage of user commands is made of.
#[derive(Clone, Copy, Debug)]
pub struct Program<'a> {
    /// Exported in this order. Names that no shell can export are left out;
    /// warn about them with [`crate::expand::Environment::unexportable`].
    pub variables: &'a [ResolvedVariable],
    /// Where the entries run; absolute.
    pub cwd: &'a str,
    /// The job's folder beside `cwd`; holds the `GITLAB_ENV` file.
    pub temporary: &'a str,
    /// A bold green line before the entries (`Running after script...`).
    pub notice: Option<&'a str>,
    /// The entries, in groups that differ in how their sections are named.
    pub blocks: &'a [Block<'a>],
    /// Print every command as the shell runs it (`CI_DEBUG_TRACE`).
    pub trace: bool,
    /// What ends the stage early.
    pub checks: Checks,
    /// How multi-line entries are shown.
    pub sections: Sections,
}

/// Entries that are shown and run one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// `script_step`, `after_script_step`, `pre_build_script` ...
    pub section: &'a str,
    /// The entries, verbatim.
    pub entries: &'a [String],
}

/// What ends a stage early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checks {
    /// The shell's own `errexit`.
    ErrExit,
    /// Also the status of every entry, so that `set +e` cannot hide a failure
    /// (`FF_ENABLE_BASH_EXIT_CODE_CHECK`).
    EveryEntry,
}

/// Why there is no program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A NUL, which no shell can hold.
    #[error("{0} contains a NUL byte")]
    Nul(String),
}

/// Writes the program of one stage.
///
/// The body is the quoted argument of one `eval`: commands before a syntax
/// error still run, and nothing in it can read the rest of the program from
/// standard input.
///
/// # Errors
/// [`Error::Nul`] if a value, an entry or a folder holds a NUL.
pub fn program(stage: &Program<'_>) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    out.extend_from_slice(b"trap 'exit 1' TERM\n");
    if stage.trace {
        out.extend_from_slice(b"set -o xtrace\n");
    }
    // bash is known to have pipefail; asking costs others a process.
    out.extend_from_slice(
        b"case \"${BASH_VERSION:-$(set -o)}\" in [0-9]* | *pipefail*) set -o pipefail ;; esac\n\
          set -o errexit\n\
          set +o noclobber\n\
          (trap 'exit 1' TERM; eval ",
    );
    quote(&body(stage)?, &mut out);
    out.extend_from_slice(b") </dev/null\nexit 0\n");
    Ok(out)
}

fn body(stage: &Program<'_>) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    exports(stage.variables, &mut out)?;
    job_exports(stage.temporary, &mut out)?;
    out.extend_from_slice(b"cd ");
    quote(no_nul(stage.cwd, || "the project folder".into())?, &mut out);
    out.push(b'\n');
    check(stage.checks, &mut out);
    if let Some(notice) = stage.notice {
        echo::line(notice, &mut out);
    }
    for block in stage.blocks {
        for (index, entry) in block.entries.iter().enumerate() {
            let entry = entry.trim();
            no_nul(entry, || format!("entry {} of the script", index + 1))?;
            echo::entry(entry, index, block.section, stage.sections, &mut out);
            out.extend_from_slice(entry.as_bytes());
            out.push(b'\n');
            check(stage.checks, &mut out);
        }
    }
    Ok(out)
}

fn exports(variables: &[ResolvedVariable], out: &mut Vec<u8>) -> Result<(), Error> {
    for variable in variables.iter().filter(|v| exportable(&v.key)) {
        let value = no_nul(&variable.value, || format!("variable {}", variable.key))?;
        out.extend_from_slice(format!("export {}=", variable.key).as_bytes());
        quote(value, out);
        out.push(b'\n');
    }
    Ok(())
}

/// `GITLAB_ENV`: what earlier stages of the job wrote there is exported.
///
/// As gitlab-runner reads it: one `K=V` a line, backslashes kept, a last line
/// without line feed ignored; but an empty line is no error here.
fn job_exports(temporary: &str, out: &mut Vec<u8>) -> Result<(), Error> {
    let mut folder = Vec::new();
    quote(
        no_nul(temporary, || "the temporary folder".into())?,
        &mut folder,
    );
    let mut file = Vec::new();
    quote(
        format!("{temporary}/gitlab_runner_env").as_bytes(),
        &mut file,
    );
    for part in [
        &b"export GITLAB_ENV="[..],
        &file,
        b"\n[ -d ",
        &folder,
        b" ] || mkdir -p ",
        &folder,
        b"\n[ -e \"$GITLAB_ENV\" ] || : >\"$GITLAB_ENV\"\n",
        b"while read -r fleet_line; do case $fleet_line in ?*) export \"$fleet_line\" ;; esac; done <\"$GITLAB_ENV\"\n",
        b"unset fleet_line\n",
    ] {
        out.extend_from_slice(part);
    }
    Ok(())
}

fn check(checks: Checks, out: &mut Vec<u8>) {
    if checks == Checks::EveryEntry {
        out.extend_from_slice(b"fleet_status=$?; [ $fleet_status -eq 0 ] || exit $fleet_status\n");
    }
}

fn no_nul(text: &str, what: impl FnOnce() -> String) -> Result<&[u8], Error> {
    if text.contains('\0') {
        return Err(Error::Nul(what()));
    }
    Ok(text.as_bytes())
}
