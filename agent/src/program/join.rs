//! `fleet-agent join`: this host becomes one of a fleet's.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use fleet_proto::v1;
use fleet_proto::v1::agent_service_client::AgentServiceClient;
use fleet_tls::client::{self, Trust};
use fleet_tls::pin::Pin;
use serde::Serialize;

use super::SETTINGS;
use super::containers::Executor;
use super::failure::Failure;
use super::settings::{SLOTS, STATE_DIR};
use crate::identity::{self, Identity, Secret};

/// What `join` is told.
#[derive(Args)]
pub(super) struct Join {
    /// Where the coordinator is: https://HOST:PORT
    #[arg(long, env = "FLEET_SERVER", value_name = "URL")]
    server: String,

    /// The join token
    #[arg(
        long,
        env = "FLEET_JOIN_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true,
        required_unless_present = "token_file",
        conflicts_with = "token_file"
    )]
    token: Option<String>,

    /// File with the join token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// The pin of the fleet's CA: sha256:…, as `fleetctl agent join-token` shows it
    #[arg(long, env = "FLEET_CA_PIN", value_name = "PIN")]
    ca_pin: Pin,

    /// The agent's name, unless the token says one. Without: the host's
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Jobs this host runs at once
    #[arg(
        long,
        value_name = "NUMBER",
        value_parser = clap::value_parser!(u32).range(1..=1000),
        default_value = SLOTS
    )]
    slots: u32,

    /// Folder of the agent's identity, its settings, and the jobs it holds
    #[arg(long, env = "FLEET_STATE_DIR", value_name = "FOLDER", default_value = STATE_DIR)]
    state_dir: PathBuf,

    /// Where projects are checked out. Without: builds in the state folder
    #[arg(long, value_name = "FOLDER")]
    builds_dir: Option<PathBuf>,

    /// Where jobs run
    #[arg(long, value_name = "EXECUTOR", value_enum, default_value = "shell")]
    executor: Executor,

    /// The shell that runs scripts
    #[arg(long, value_name = "PROGRAM", default_value = "bash")]
    shell: PathBuf,

    /// Join although this host has joined before: its old identity is lost
    #[arg(long)]
    force: bool,
}

/// What is written for `run`; the keys are its flags.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Settings<'a> {
    server: &'a str,
    slots: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    builds_dir: Option<PathBuf>,
    executor: &'static str,
    shell: &'a PathBuf,
}

pub(super) async fn join(wish: Join) -> Result<(), Failure> {
    let state = std::path::absolute(&wish.state_dir).map_err(Failure::failed)?;
    if Identity::exists(&state) && !wish.force {
        return Err(Failure::failed(format!(
            "this host has joined a fleet already ({}): --force gives up its identity there",
            state.display()
        )));
    }
    let token = match (&wish.token, &wish.token_file) {
        (Some(token), _) => token.clone(),
        (None, Some(file)) => std::fs::read_to_string(file)
            .map_err(|error| Failure::failed(format!("read {}: {error}", file.display())))?,
        (None, None) => return Err(Failure::Usage("a join token is needed".to_owned())),
    };
    let mut folder = DirBuilder::new();
    folder
        .recursive(true)
        .mode(0o700)
        .create(&state)
        .map_err(|error| Failure::failed(format!("make {}: {error}", state.display())))?;

    let root = client::fetch_root(&wish.server, &wish.ca_pin)
        .await
        .map_err(Failure::failed)?;
    let channel =
        client::channel(&wish.server, &Trust::Bundle(root), None).map_err(Failure::failed)?;
    // Where the answer is lost, the same token is good for the same key again.
    let key = Identity::next_key(&state).map_err(Failure::failed)?;
    let clock = SystemTime::now().duration_since(UNIX_EPOCH);
    let clock = clock.unwrap_or_default().as_millis();
    let request = v1::JoinRequest {
        token: token.trim().to_owned(),
        csr: key.request().map_err(Failure::failed)?.into(),
        name: wish.name.clone().unwrap_or_else(host),
        clock_unix_ms: u64::try_from(clock).unwrap_or(u64::MAX),
    };
    let joined = AgentServiceClient::new(channel)
        .join(request)
        .await
        .map_err(|status| Failure::failed(format!("join {}: {}", wish.server, status.message())))?
        .into_inner();
    let identity = Identity {
        agent: joined.agent,
        generation: joined.generation,
        received: SystemTime::now(),
        chain: joined.certificate_chain,
        bundle: joined.trust_bundle,
        key: Secret(key.pem()),
    };
    // Who has an identity has settings too.
    let builds_dir = wish.builds_dir.map(std::path::absolute).transpose();
    let settings = Settings {
        server: &wish.server,
        slots: wish.slots,
        builds_dir: builds_dir.map_err(Failure::failed)?,
        executor: wish.executor.name(),
        shell: &wish.shell,
    };
    let text = toml::to_string(&settings).map_err(Failure::failed)?;
    let path = state.join(SETTINGS);
    identity::write(&path, &text)
        .map_err(|error| Failure::failed(format!("write {}: {error}", path.display())))?;
    identity.write(&state).map_err(Failure::failed)?;
    let tags = match &joined.tags[..] {
        [] => "no tags".to_owned(),
        tags => format!("the tags {}", tags.join(", ")),
    };
    super::print(&format!(
        "This host is agent {} of the fleet at {}, with {tags}. Start it: fleet-agent run\n",
        identity.agent, wish.server
    ))
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}
