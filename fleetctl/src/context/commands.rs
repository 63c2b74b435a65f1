//! `fleetctl context`: adds, uses, lists and removes contexts.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fleet_proto::v1;
use fleet_tls::client::fetch_root;
use serde_json::{Value, json};

use super::config::{self, Config, Context};
use super::git::Git;
use super::{Target, authorities, config_dir, credential, server_url};
use crate::cli::{self, AddContext, ContextVerb, CredentialOperation, Global};
use crate::client::{Client, in_time};
use crate::output::{Cell, Column, Json, Printer, Shown, role_in_words};
use crate::{Exit, Failure, server};

/// Does what `fleetctl context` is asked.
pub(crate) fn run(arguments: cli::Context, global: Global) -> Result<Exit, Failure> {
    let dir = config_dir()?;
    match arguments.verb {
        ContextVerb::Add(arguments) => server::block_on(add(arguments, global, &dir)),
        ContextVerb::Use { name } => use_context(&name, global, &dir),
        ContextVerb::List { output } => {
            let config = Config::load(&dir)?;
            let rows: Vec<Row> = config
                .contexts
                .iter()
                .map(|(name, context)| Row {
                    name: name.clone(),
                    server: context.server.clone(),
                    user: context.user.clone(),
                    is_current: config.current.as_ref() == Some(name),
                })
                .collect();
            Printer::new(output, global).list(&rows)
        }
        ContextVerb::Remove { name } => remove(&name, global, &dir),
        ContextVerb::GitCredential { name, operation } => {
            let config = Config::load(&dir)?;
            give_credential(&config, &name, operation)
        }
    }
}

async fn add(arguments: AddContext, global: Global, dir: &Path) -> Result<Exit, Failure> {
    let name = arguments.name;
    check_name(&name)?;
    let server = server_url(&arguments.server).map_err(Failure::usage)?;
    let token = read_token(&arguments.token_file)?;
    let mut config = Config::load(dir)?;
    let given = match (&arguments.ca_pin, &arguments.ca_file) {
        (Some(pin), _) => Some(root_of(&server, pin, arguments.timeout).await?),
        (None, Some(file)) => Some(authorities(file)?),
        (None, None) => None,
    };
    let target = Target {
        server: server.clone(),
        token: token.clone(),
        authorities: given.clone(),
        context: Some(name.clone()),
    };
    let client = Client::new(target, arguments.timeout)?;
    let me = client
        .call(client.tokens().who_am_i(v1::WhoAmIRequest {}))
        .await?;
    let owner = me.token.unwrap_or_default();

    let ca_file = given
        .map(|pem| {
            let file = dir.join(format!("{name}.pem"));
            config::write_private(&file, pem.as_bytes())
                .with_context(|| format!("write {}", file.display()))?;
            Ok::<PathBuf, anyhow::Error>(file)
        })
        .transpose()?;
    let before = config.contexts.insert(
        name.clone(),
        Context {
            server: server.clone(),
            token,
            ca_file: ca_file.clone(),
            user: owner.user.clone(),
        },
    );
    let is_first = config.current.is_none();
    if is_first {
        config.current = Some(name.clone());
    }
    config.save(dir)?;
    if let Some(before) = before.filter(|before| before.server != server) {
        tell_git(&config, &before.server);
    }
    let git_knows = introduce_to_git(&config, &name);

    let printer = Printer::new(cli::Output::Table, global);
    let everywhere = "everywhere".to_owned();
    printer.line(&format!(
        "{name}: {} is {} {} on {server} ({})",
        owner.user,
        role_in_words(owner.role),
        if owner.scope.is_empty() {
            everywhere
        } else {
            format!("in {}", owner.scope)
        },
        me.version,
    ))?;
    if let Some(ca_file) = &ca_file {
        if git_knows {
            printer.hint(&format!(
                "git trusts {server} now, and gets the token from here"
            ));
        }
        printer.hint(&trust_in_browsers(ca_file));
    }
    if !is_first && config.current.as_ref() != Some(&name) {
        printer.hint(&format!("Next: fleetctl context use {name}"));
    }
    Ok(Exit::Done)
}

fn use_context(name: &str, global: Global, dir: &Path) -> Result<Exit, Failure> {
    let mut config = Config::load(dir)?;
    if !config.contexts.contains_key(name) {
        return Err(config.unknown(name));
    }
    config.current = Some(name.to_owned());
    config.save(dir)?;
    introduce_to_git(&config, name);
    let printer = Printer::new(cli::Output::Table, global);
    printer.hint(&format!("{name} is the current context"));
    Ok(Exit::Done)
}

fn remove(name: &str, global: Global, dir: &Path) -> Result<Exit, Failure> {
    let mut config = Config::load(dir)?;
    let Some(removed) = config.contexts.remove(name) else {
        return Err(config.unknown(name));
    };
    let was_current = config.current.as_deref() == Some(name);
    if was_current {
        config.current = None;
    }
    config.save(dir)?;
    tell_git(&config, &removed.server);
    // A file that somebody named by hand is theirs.
    if removed.ca_file == Some(dir.join(format!("{name}.pem"))) {
        let _ = fs::remove_file(dir.join(format!("{name}.pem")));
    }
    let printer = Printer::new(cli::Output::Table, global);
    if was_current && !config.contexts.is_empty() {
        printer.hint("no context is the current one now. Next: fleetctl context use NAME");
    }
    printer.hint(&format!(
        "{name} is removed; its token still counts. Try: fleetctl token list"
    ));
    Ok(Exit::Done)
}

/// Answers git.
fn give_credential(
    config: &Config,
    name: &str,
    operation: CredentialOperation,
) -> Result<Exit, Failure> {
    let (_, context) = config.get(Some(name))?;
    let mut question = String::new();
    io::stdin()
        .take(64 * 1024)
        .read_to_string(&mut question)
        .context("read what git asks")?;
    match (operation, credential::answer(&question, context)) {
        (CredentialOperation::Get, Some(answer)) => crate::print(answer.as_bytes()),
        (CredentialOperation::Erase, Some(_)) => {
            eprintln!(
                "fleetctl: {} does not accept the token of context `{name}`. Try: fleetctl context add {name} --server {} --token-file FILE",
                context.server, context.server
            );
            Ok(Exit::Done)
        }
        _ => Ok(Exit::Done),
    }
}

/// Has git ask this context where it goes to its server, and says whether it does. The
/// context is of use without git, so that only a warning is due.
fn introduce_to_git(config: &Config, name: &str) -> bool {
    let (Some(git), Some(context)) = (Git::of_person(), config.contexts.get(name)) else {
        return false;
    };
    if let Err(error) = git.introduce(&context.server, context.ca_file.as_deref(), name) {
        eprintln!(
            "warning: git was not told of {}: {error}. Pushing to it asks for a name and a password, the token",
            context.server
        );
        return false;
    }
    true
}

/// After a context of this server went: git asks another one of it, or none.
fn tell_git(config: &Config, server: &str) {
    let other = config
        .contexts
        .iter()
        .find(|(_, context)| context.server == server);
    if let Some((name, _)) = other {
        introduce_to_git(config, name);
        return;
    }
    if let Some(git) = Git::of_person()
        && let Err(error) = git.forget(server)
    {
        eprintln!("warning: git's settings for {server} are still there: {error}");
    }
}

/// The root certificate that the pin names, from the server itself.
async fn root_of(
    server: &str,
    pin: &str,
    timeout: Option<std::time::Duration>,
) -> Result<String, Failure> {
    let pin = pin
        .parse()
        .map_err(|error| Failure::usage(format!("--ca-pin {pin}: {error}")))?;
    match in_time(timeout, fetch_root(server, &pin)).await {
        Some(Ok(pem)) => Ok(pem),
        Some(Err(error)) => Err(Failure::new(
            Exit::Unreachable,
            format!(
                "cannot get the root certificate of {server}: {:#}",
                anyhow::Error::from(error)
            ),
        )),
        None => Err(Failure::new(
            Exit::Unreachable,
            format!("{server} does not answer. Try: is the address right, and the server running?"),
        )),
    }
}

fn read_token(path: &Path) -> Result<String, Failure> {
    let text = if path == Path::new("-") {
        let mut text = String::new();
        io::stdin()
            .take(64 * 1024)
            .read_to_string(&mut text)
            .map_err(|error| Failure::usage(format!("cannot read the token: {error}")))?;
        text
    } else {
        config::read_private(path).map_err(|error| Failure::usage(error.about(path)))?
    };
    let token = text.trim();
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_token {
        return Err(Failure::usage(format!(
            "{} holds no token: it is empty, or more than one word",
            path.display()
        )));
    }
    Ok(token.to_owned())
}

fn check_name(name: &str) -> Result<(), Failure> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.bytes().all(is_plain) && !name.is_empty() && !name.starts_with(['.', '-']) {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "`{name}` is no name of a context: letters, digits, dots, dashes and underscores are, and no dot or dash begins it"
    )))
}

fn trust_in_browsers(ca_file: &Path) -> String {
    let shown = ca_file.display();
    format!(
        "So that browsers trust the server, import {shown} as an authority: in their settings under certificates, or for the whole system
  sudo cp {shown} /usr/local/share/ca-certificates/fleet.crt && sudo update-ca-certificates"
    )
}

/// A line of `fleetctl context list`.
struct Row {
    name: String,
    server: String,
    user: String,
    is_current: bool,
}

impl Shown for Row {
    const NOUN: &'static str = "context";
    const COLUMNS: &'static [Column] = &[
        Column::left("NAME"),
        Column::left("CURRENT"),
        Column::left("SERVER"),
        Column::left("USER"),
    ];

    fn cells(&self, _now: u64) -> Vec<Cell> {
        vec![
            Cell::plain(&self.name),
            Cell::plain(if self.is_current { "yes" } else { "" }),
            Cell::plain(&self.server),
            Cell::plain(&self.user),
        ]
    }
}

impl Json for Row {
    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "current": self.is_current,
            "server": self.server,
            "user": self.user,
        })
    }
}
