//! The logins of the host's own user, where all jobs are theirs.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use super::auth::Auth;
use super::credentials::{Config, Credentials, DOCKER_HUB, Login};
use super::reference::Reference;

/// A helper may ask its user for a password.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);

/// What a helper answers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// The login for `image` that the user of `config` - their `config.json` - has;
/// none where there is none, or no such file.
///
/// Helpers come before what stands in the file, as in Docker's own client.
///
/// # Errors
/// What is wrong with the file or its helper, in words.
pub(crate) async fn of_user(config: &Path, image: &Reference) -> Result<Option<Login>, String> {
    let text = match std::fs::read_to_string(config) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let source = config.display().to_string();
    let read = Config::read(&text).map_err(|place| format!("it cannot be read{place}"))?;
    let registry = image.registry();
    let helpers = read.helpers.unwrap_or_default();
    let own = helpers
        .iter()
        .find(|(key, _)| fleet_model::registry_key(key) == registry);
    let helper = own.map(|(_, helper)| helper.clone()).or(read.store);
    if let Some(helper) = helper.filter(|helper| !helper.is_empty()) {
        let server = match registry {
            "docker.io" => DOCKER_HUB,
            registry => registry,
        };
        if let Some(auth) = ask(&helper, server).await? {
            return Ok(Some(Login {
                key: server.to_owned(),
                registry: registry.to_owned(),
                source: format!("{source} ({helper})"),
                auth,
            }));
        }
    }
    let credentials = Credentials::of_text(&text, &source)?;
    Ok(credentials.for_image(image).cloned())
}

async fn ask(helper: &str, server: &str) -> Result<Option<Auth>, String> {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !helper.chars().all(word) {
        return Err(format!("{helper:?} is no name of a credential helper"));
    }
    let program = format!("docker-credential-{helper}");
    let asked = async {
        let mut child = Command::new(&program)
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(server.as_bytes()).await?;
        }
        child.wait_with_output().await
    };
    let output = timeout(ANSWERED_WITHIN, asked).await;
    let output = output
        .map_err(|_| format!("{program} does not answer"))?
        .map_err(|error| format!("run {program}: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout);
        // The words of Docker's own helpers for having none.
        if said.contains("credentials not found") {
            return Ok(None);
        }
        let first = said.lines().next().unwrap_or_default();
        return Err(format!("{program}: {} ({first})", output.status));
    }
    let answer: Answer = serde_json::from_slice(&output.stdout)
        .map_err(|_| format!("{program} gave no answer that can be read"))?;
    Ok(Some(Auth::of(&answer.username, &answer.secret)))
}
