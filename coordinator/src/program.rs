//! The program `fleet-coordinator`: its command line, and how it ends.
//!
//! `serve` is the coordinator. `token create` and `backup` ask a running one over
//! the socket in its data folder (`admin`); `backup` opens the store itself where
//! none runs, `restore` always does.

pub(crate) mod admin;
mod ask;
mod failure;
mod logging;
mod offline;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Command, Parser, Subcommand, ValueEnum};

use crate::settings::Serve;
use failure::Failure;

/// Runs the command that `arguments` (with the program's name first) ask for.
///
/// Ends with 0 when it is done, 1 when it failed, 2 for wrong usage or an invalid
/// file.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let done = Cli::try_parse_from(&arguments)
        .map_err(Failure::from)
        .and_then(|cli| dispatch(cli.command, &arguments));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// The settings of `serve` as a table in Markdown, for the documentation.
#[must_use]
pub fn settings_reference() -> String {
    fleet_settings::reference(&Serve::augment_args(Command::new("serve")))
}

/// The coordinator of a fleet: turns pushes into pipelines of jobs and leases them
/// to agents.
#[derive(Parser)]
#[command(name = "fleet-coordinator", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Subcommand)]
enum Subcommands {
    /// Run the coordinator
    Serve(Box<Configured>),
    /// Check settings, and do nothing else
    CheckConfig(Box<Configured>),
    /// Access tokens
    #[command(subcommand)]
    Token(Token),
    /// Write all records of the store to a file, as JSON lines. Keep it with the
    /// key of the secrets: without it, it is of no use
    Backup(Copy),
    /// Fill an empty data folder with the records of a backup
    Restore(Copy),
    /// The audit log
    #[command(subcommand)]
    Audit(AuditLog),
    /// Show the version
    Version,
}

#[derive(Subcommand)]
enum AuditLog {
    /// Check that the log is as it was written, from its first line on, and print
    /// how many entries it has and the hash of the last. The coordinator may run
    Verify(VerifyAudit),
}

#[derive(Args)]
struct VerifyAudit {
    /// The log, if it is not the coordinator's own: a copy of it
    file: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

#[derive(Subcommand)]
enum Token {
    /// Make a token for the first access, and print it once. A coordinator must run
    Create(CreateToken),
}

#[derive(Args)]
struct CreateToken {
    /// What it may do
    #[arg(long, value_enum)]
    role: FirstRole,
    /// Whose it is
    #[arg(long, default_value = "admin")]
    user: String,
    #[command(flatten)]
    place: Place,
}

/// What a token may do that is made here; for others `fleetctl token create`.
#[derive(Clone, Copy, ValueEnum)]
enum FirstRole {
    Admin,
}

#[derive(Args)]
struct Copy {
    /// The backup
    file: PathBuf,
    #[command(flatten)]
    place: Place,
}

/// `serve`'s settings, and where more of them are.
#[derive(Args)]
struct Configured {
    /// File of settings in TOML, its keys being the names of these flags
    #[arg(long, env = "FLEET_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Serve,
}

/// Which coordinator is meant.
#[derive(Args)]
struct Place {
    /// The coordinator's file of settings
    #[arg(long, env = "FLEET_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// The coordinator's data folder; without: as its settings say
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
}

fn dispatch(command: Subcommands, arguments: &[OsString]) -> Result<(), Failure> {
    match command {
        Subcommands::Serve(first) => {
            let settings = configured(first, "serve", arguments)?;
            logging::start(&settings)?;
            runtime()?
                .block_on(async { crate::serve::run(settings).await.map_err(Failure::failed) })
        }
        Subcommands::CheckConfig(first) => {
            configured(first, "check-config", arguments)?;
            print("the settings are valid\n")
        }
        Subcommands::Token(Token::Create(token)) => {
            let FirstRole::Admin = token.role;
            let secret = ask::create_admin_token(&place(token.place)?, &token.user)?;
            print(&format!("{secret}\n"))?;
            eprintln!(
                "This is the only time it is shown: fleetctl context add reads it from a file."
            );
            Ok(())
        }
        Subcommands::Backup(copy) => {
            let settings = place(copy.place)?;
            let records = match ask::backup(&settings, &copy.file)? {
                Some(records) => records,
                None => offline::backup(&settings, &copy.file)?,
            };
            eprintln!("{records} records written to {}", copy.file.display());
            Ok(())
        }
        Subcommands::Restore(copy) => {
            let settings = place(copy.place)?;
            let records = offline::restore(&settings, &copy.file)?;
            eprintln!(
                "{records} records restored into {}. Its secrets open only with the key of the coordinator the backup is of.",
                settings.store_file().display()
            );
            Ok(())
        }
        Subcommands::Audit(AuditLog::Verify(verify)) => {
            let file = match verify.file {
                Some(file) => file,
                None => place(verify.place)?.audit_file(),
            };
            print(&offline::verify_audit(&file)?)
        }
        Subcommands::Version => print(concat!(
            "fleet-coordinator ",
            env!("CARGO_PKG_VERSION"),
            "\n"
        )),
    }
}

/// The settings of a command that has all of them, the file's among them.
fn configured(
    first: Box<Configured>,
    name: &str,
    arguments: &[OsString],
) -> Result<Serve, Failure> {
    let settings = match first.config {
        None => first.settings,
        Some(file) => {
            let command =
                Command::new(name.to_owned()).bin_name(format!("fleet-coordinator {name}"));
            // The program itself has no flags, so the first word is the command.
            let arguments = arguments.iter().skip(1);
            fleet_settings::parse::<Configured>(command, Some(file), arguments)?.settings
        }
    };
    settings.check().map_err(Failure::usage)?;
    Ok(settings)
}

/// The settings of the coordinator that is meant.
fn place(place: Place) -> Result<Serve, Failure> {
    let mut arguments = vec![OsString::from("fleet-coordinator")];
    if let Some(folder) = place.data_dir {
        arguments.extend(["--data-dir".into(), folder.into()]);
    }
    let command = Command::new("fleet-coordinator serve");
    Ok(fleet_settings::parse(command, place.config, arguments)?)
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(error).context("cannot start the program's threads"))
}

/// Prints a result. A reader that has gone away has what it wanted.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(error).context("cannot print the result"))
        }
        _ => Ok(()),
    }
}
