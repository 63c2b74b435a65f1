//! Contexts: which coordinator to talk to, and as whom.
//!
//! [`Config`] is the file they are kept in, `git` what git is told of them. A
//! [`Target`] is what a command talks to: a context, or what the environment of
//! another CI system's job says.

mod commands;
mod config;
mod credential;
mod git;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) use self::commands::run;
use self::config::Config;
use crate::Failure;

/// A coordinator, and how to be let in.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// `https://host:port`
    pub(crate) server: String,
    /// The bearer token.
    pub(crate) token: String,
    /// PEM: the fleet's own authority; none: those the system trusts count.
    pub(crate) authorities: Option<String>,
    /// The context's name; none where the environment said all.
    pub(crate) context: Option<String>,
}

/// What a command is to talk to: the context of this name, else what FLEET_SERVER,
/// FLEET_TOKEN and FLEET_CA_FILE say, else the current context.
///
/// # Errors
/// There is none, or a file of it cannot be used.
pub(crate) fn target(name: Option<&str>) -> Result<Target, Failure> {
    let from = |name| env::var(name).ok().filter(|value| !value.is_empty());
    if name.is_none()
        && let Some(server) = from("FLEET_SERVER")
    {
        return from_environment(&server, from("FLEET_TOKEN"), from("FLEET_CA_FILE"));
    }
    let config = Config::load(&config_dir()?)?;
    let (name, context) = config.get(name)?;
    Ok(Target {
        server: context.server.clone(),
        token: context.token.clone(),
        authorities: context.ca_file.as_deref().map(authorities).transpose()?,
        context: Some(name.to_owned()),
    })
}

fn from_environment(
    server: &str,
    token: Option<String>,
    ca_file: Option<String>,
) -> Result<Target, Failure> {
    let Some(token) = token else {
        return Err(Failure::usage(
            "FLEET_SERVER is set and FLEET_TOKEN is not. Try: set both, or name a context with --context",
        ));
    };
    Ok(Target {
        server: server_url(server).map_err(Failure::usage)?,
        token: token.trim().to_owned(),
        authorities: ca_file
            .as_deref()
            .map(|file| authorities(Path::new(file)))
            .transpose()?,
        context: None,
    })
}

/// Where contexts are kept.
pub(crate) fn config_dir() -> Result<PathBuf, Failure> {
    let absolute = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_CONFIG_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".config")))
        .map(|dir| dir.join("fleet"))
        .ok_or_else(|| {
            Failure::usage("neither HOME nor XDG_CONFIG_HOME says where settings are kept")
        })
}

/// The certificates of a file.
fn authorities(file: &Path) -> Result<String, Failure> {
    let shown = file.display();
    let text = fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("cannot read {shown}: {error}")))?;
    if !text.contains("-----BEGIN CERTIFICATE-----") {
        return Err(Failure::usage(format!("{shown} holds no PEM certificate")));
    }
    Ok(text)
}

/// A server's address as it is kept: `https://host[:port]`.
///
/// # Errors
/// It is none; the text says what is.
fn server_url(text: &str) -> Result<String, String> {
    let text = text.trim();
    let url = if text.contains("://") {
        text.to_owned()
    } else {
        format!("https://{text}")
    };
    let wrong = |why: &str| {
        Err(format!(
            "`{text}` is no address of a server: {why}. Try: https://fleet.example.org:8443"
        ))
    };
    let Ok(uri) = url.parse::<tonic::transport::Uri>() else {
        return wrong("it is no URL");
    };
    match uri.scheme_str() {
        Some("https") => {}
        Some("http") => return wrong("tokens go over https alone"),
        _ => return wrong("it does not begin with https://"),
    }
    match uri.authority() {
        Some(authority) if authority.as_str().contains('@') => {
            wrong("it holds a name or password; the token has its own file")
        }
        _ if uri.path() != "/" || uri.query().is_some() => wrong("it names more than a host"),
        Some(authority) if !authority.host().is_empty() => Ok(format!(
            "https://{}",
            authority.as_str().to_ascii_lowercase()
        )),
        _ => wrong("it names no host"),
    }
}

#[cfg(test)]
mod tests;
