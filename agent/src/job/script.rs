//! Stages that run the user's commands.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;

use fleet_model::Step;

use super::failure::Failure;
use super::run::Running;
use super::{console, variables};
use crate::bulk::Bulk;
use crate::executor::{Ended, Environment as _, Executor, Place, Users};
use crate::log::Sink;
use crate::registry::folder::{self, Access};
use crate::script::{self, Block, Checks, Program, Sections, write_file_variables};

/// The clock of an `after_script` that has none of its own.
pub(super) const AFTER_SCRIPT_TIMEOUT: Duration = Duration::from_secs(300);

impl<X: Executor, B: Bulk, S: Sink + Send> Running<'_, X, B, S> {
    /// Makes the job's folders and file variables.
    pub(super) fn prepare_script(&mut self) -> Result<(), Failure> {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let environment = self.environment.as_ref();
        let inside = environment.and_then(|environment| environment.host_name());
        self.console.plain(
            match inside {
                Some(inside) => format!("Running on {inside} via {}...", host.trim_end()),
                None => format!("Running on {}...", host.trim_end()),
            }
            .as_str(),
        );
        let unexportable: Vec<&str> = self.settled.variables.unexportable().collect();
        if !unexportable.is_empty() {
            let names = unexportable.join(", ");
            self.console.warning(format!(
                "variables that no shell can export are left out: {names}"
            ));
        }
        let failed = |error| Failure::System(format!("prepare environment: {error}"));
        std::fs::create_dir_all(&self.settled.folders.builds).map_err(failed)?;
        self.remove_secrets();
        self.write_file_variables().map_err(failed)?;
        self.make_temporary_folder().map_err(failed)?;
        let temporary = Path::new(&self.settled.folders.temporary);
        let access = match X::USERS {
            Users::Agents => Access::Owner,
            Users::Containers => Access::Everyone,
        };
        folder::write(temporary, &self.settled.credentials, access).map_err(failed)
    }

    /// So that the script need not start `mkdir` for it, which takes longer than
    /// all the rest of a small one.
    fn make_temporary_folder(&self) -> std::io::Result<()> {
        let folder = Path::new(&self.settled.folders.temporary);
        if let Some(parent) = folder.parent() {
            std::fs::create_dir_all(parent)?;
        }
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }

    fn write_file_variables(&self) -> std::io::Result<()> {
        let temporary = Path::new(&self.settled.folders.temporary);
        write_file_variables(temporary, self.settled.variables.variables(), X::USERS)
    }

    /// Runs one step of the script.
    pub(super) async fn run_step(&mut self, step: &Step) -> Result<(), Failure> {
        let section = format!("{}_step", step.name.to_lowercase());
        let expanded;
        let entries = if step.name == "release" {
            expanded = self.expand_entries(&step.script)?;
            &expanded
        } else {
            &step.script
        };
        let result = self
            .run_program(None, &section, entries, Place::Build)
            .await;
        if result == Err(Failure::Canceled) {
            self.console.warning("script canceled externally (UI, API)");
        }
        result
    }

    /// Runs the `after_script`. Its failure is the job's only if the user says
    /// so.
    pub(super) async fn run_after_script(
        &mut self,
        step: &Step,
        name: &str,
        status: &str,
    ) -> Result<(), Failure> {
        self.settled.variables.set("CI_JOB_STATUS", status);
        // The script may have removed them.
        let written = self.write_file_variables();
        let result = match written {
            Ok(()) => {
                let notice = Some("Running after script...");
                self.run_program(notice, "after_script_step", &step.script, Place::Build)
                    .await
            }
            Err(error) => Err(Failure::System(error.to_string())),
        };
        let Err(failure) = result else { return Ok(()) };
        let ignored = self.settled.variables.flag("AFTER_SCRIPT_IGNORE_ERRORS");
        let ignored = ignored.ok().flatten().unwrap_or(true);
        if failure.ends_all() || failure == Failure::Canceled || !ignored {
            return Err(failure);
        }
        if failure.is_timeout() {
            self.timed_out(name);
        }
        self.console.warning(format!(
            "after_script failed, but job will continue unaffected: {failure}"
        ));
        Ok(())
    }

    /// Runs `entries` as one program of the job's shell.
    pub(super) async fn run_program(
        &mut self,
        notice: Option<&str>,
        section: &str,
        entries: &[String],
        place: Place,
    ) -> Result<(), Failure> {
        let settled = &self.settled;
        let on = |name| settled.flags.is_on(name);
        let every_entry = on("FF_ENABLE_BASH_EXIT_CODE_CHECK");
        let sections = on("FF_SCRIPT_SECTIONS");
        let trace = settled
            .variables
            .flag("CI_DEBUG_TRACE")
            .ok()
            .flatten()
            .unwrap_or(false);
        let program = script::program(&Program {
            variables: settled.variables.variables(),
            cwd: &settled.folders.project,
            temporary: &settled.folders.temporary,
            notice,
            blocks: &[Block { section, entries }],
            trace,
            checks: if every_entry {
                Checks::EveryEntry
            } else {
                Checks::ErrExit
            },
            sections: if sections {
                Sections::On {
                    now: console::seconds(),
                }
            } else {
                Sections::Off
            },
        })
        .map_err(|error| Failure::Configuration(error.to_string()))?;
        let Running {
            environment,
            console,
            reins,
            ..
        } = self;
        let environment = environment.as_mut().ok_or_else(no_environment)?;
        match environment
            .script(place, &program, &mut console.taking(), reins)
            .await
        {
            Ok(Ended::Exited(0)) => Ok(()),
            Ok(Ended::Exited(code)) => Err(Failure::Exit {
                code,
                called: X::EXIT,
            }),
            Ok(Ended::OutOfMemory(code)) => Err(Failure::OutOfMemory(code)),
            Ok(Ended::Killed(_)) => Err(Failure::Signal),
            Ok(Ended::Stopped) => Err(reins.pulled().unwrap_or(Failure::Aborted)),
            Err(error) => Err(error.into()),
        }
    }

    fn expand_entries(&self, entries: &[String]) -> Result<Vec<String>, Failure> {
        let expand = |entry: &String| self.settled.variables.expand(entry);
        let expanded: Result<Vec<String>, _> = entries.iter().map(expand).collect();
        expanded.map_err(|error| Failure::Configuration(error.to_string()))
    }

    /// Says which stage a clock cut short.
    pub(super) fn timed_out(&mut self, name: &str) {
        self.console.warning(format!(
            "{name} could not run to completion because the timeout was exceeded. \
             RUNNER_SCRIPT_TIMEOUT and RUNNER_AFTER_SCRIPT_TIMEOUT limit the parts of a job."
        ));
    }

    /// How often a stage may be tried.
    pub(super) fn attempts(&mut self, name: &str) -> u32 {
        let Running {
            console, settled, ..
        } = self;
        variables::attempts(&settled.variables, name, &mut |text| console.warning(text))
    }
}

pub(super) fn no_environment() -> Failure {
    Failure::System("the job has no environment".into())
}
