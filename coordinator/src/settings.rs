//! The coordinator's settings: flags, environment, file; see `fleet-settings`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use fleet_settings::{duration, size};

use self::includes::Includes;
use crate::QueueConfig;
use crate::source::IncludeSettings;

mod includes;
#[cfg(test)]
mod tests;

const HOUR: Duration = Duration::from_secs(3600);

/// What `fleet-coordinator serve` can be told.
#[derive(Args, Clone, Debug)]
pub(crate) struct Serve {
    /// Folder of all that must survive: store, key, repositories, logs, artifacts
    #[arg(
        long,
        env = "FLEET_DATA_DIR",
        value_name = "FOLDER",
        default_value = "/var/lib/fleet"
    )]
    pub(crate) data_dir: PathBuf,

    /// A name or address this coordinator is reached at, for its certificate;
    /// repeated for more. Without: the machine's name
    #[arg(
        long,
        env = "FLEET_NAME",
        value_name = "NAME",
        value_delimiter = ',',
        value_parser = name
    )]
    pub(crate) name: Vec<String>,

    /// Where people reach it; stands in the variables of jobs. Without: https, the
    /// first name, and the port of listen-people
    #[arg(long, env = "FLEET_URL", value_name = "URL", value_parser = url)]
    pub(crate) url: Option<String>,

    /// Where agents reach it. Without: https, the first name, and the port of
    /// listen-agents
    #[arg(long, env = "FLEET_AGENTS_URL", value_name = "URL", value_parser = url)]
    pub(crate) agents_url: Option<String>,

    /// Registry that trusts this coordinator's tokens (fleetctl registry trust); jobs
    /// log in there with their own
    #[arg(long, env = "FLEET_REGISTRY", value_name = "HOST[:PORT]", value_parser = registry)]
    pub(crate) registry: Option<String>,

    #[command(flatten)]
    includes: Includes,

    /// Address for agents: gRPC with certificates on both sides
    #[arg(
        long,
        env = "FLEET_LISTEN_AGENTS",
        value_name = "ADDRESS",
        default_value = "0.0.0.0:7443"
    )]
    pub(crate) listen_agents: SocketAddr,

    /// Address for people and git, with TLS
    #[arg(
        long,
        env = "FLEET_LISTEN_PEOPLE",
        value_name = "ADDRESS",
        default_value = "0.0.0.0:8443"
    )]
    pub(crate) listen_people: SocketAddr,

    /// Address of /livez and /readyz, without TLS
    #[arg(
        long,
        env = "FLEET_LISTEN_HEALTH",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:9443"
    )]
    pub(crate) listen_health: SocketAddr,

    /// Serve people without TLS: only behind an ingress that ends it. Needs url
    #[arg(long, env = "FLEET_PLAIN_PEOPLE")]
    pub(crate) plain_people: bool,

    /// Certificate (PEM) of your own authority, to sign the fleet's. Without: the
    /// fleet makes one of its own
    #[arg(long, env = "FLEET_CA_CERT_FILE", value_name = "FILE")]
    pub(crate) ca_cert_file: Option<PathBuf>,

    /// Key (PEM) of your own authority
    #[arg(long, env = "FLEET_CA_KEY_FILE", value_name = "FILE")]
    pub(crate) ca_key_file: Option<PathBuf>,

    /// How long an agent's certificate is valid, from 1h to 7d; agents renew theirs
    /// by themselves
    #[arg(
        long,
        env = "FLEET_CERTIFICATE_LIFETIME",
        value_name = "DURATION",
        value_parser = duration,
        default_value = "24h"
    )]
    pub(crate) certificate_lifetime: Duration,

    /// The key secrets are stored under. Without: FLEET_SECRET_KEY, or secret.key in
    /// the data folder, which is made at the first start
    #[arg(long, env = "FLEET_SECRET_KEY_FILE", value_name = "FILE")]
    pub(crate) secret_key_file: Option<PathBuf>,

    /// Where it is written who did what. Without: audit.jsonl in the data folder
    #[arg(long, env = "FLEET_AUDIT_FILE", value_name = "FILE")]
    pub(crate) audit_file: Option<PathBuf>,

    /// No new work is taken in when less than this is free on the store's disk.
    /// Without: 2 % of it, at least 64MiB
    #[arg(
        long,
        env = "FLEET_STORE_RESERVE",
        value_name = "SIZE",
        value_parser = size
    )]
    pub(crate) store_reserve: Option<u64>,

    /// How often agents are to be heard of
    #[arg(
        long,
        env = "FLEET_HEARTBEAT_INTERVAL",
        value_name = "DURATION",
        value_parser = duration,
        default_value = "10s"
    )]
    pub(crate) heartbeat_interval: Duration,

    /// An agent not heard of for this long shows as lost and gets no new jobs; at
    /// least three heartbeats
    #[arg(
        long,
        env = "FLEET_HEARTBEAT_TTL",
        value_name = "DURATION",
        value_parser = duration,
        default_value = "30s"
    )]
    pub(crate) heartbeat_ttl: Duration,

    /// A job whose agent is out of touch for this long is killed on its host
    #[arg(
        long,
        env = "FLEET_ORPHAN_DEADLINE",
        value_name = "DURATION",
        value_parser = duration,
        default_value = "10m"
    )]
    pub(crate) orphan_deadline: Duration,

    /// This much later it counts as lost here, and may start elsewhere
    #[arg(
        long,
        env = "FLEET_ORPHAN_MARGIN",
        value_name = "DURATION",
        value_parser = duration,
        default_value = "30s"
    )]
    pub(crate) orphan_margin: Duration,

    /// How long a job may run that does not say
    #[arg(
        long,
        env = "FLEET_JOB_TIMEOUT",
        value_name = "DURATION",
        value_parser = duration,
        default_value = "1h"
    )]
    pub(crate) job_timeout: Duration,

    /// A job that no agent took for this long fails
    #[arg(
        long,
        env = "FLEET_STUCK_TIMEOUT",
        value_name = "DURATION",
        value_parser = duration,
        default_value = "24h"
    )]
    pub(crate) stuck_timeout: Duration,

    /// The same, where no agent that is there could take it
    #[arg(
        long,
        env = "FLEET_NO_AGENT_TIMEOUT",
        value_name = "DURATION",
        value_parser = duration,
        default_value = "1h"
    )]
    pub(crate) no_agent_timeout: Duration,

    /// The most one artifact may have
    #[arg(
        long,
        env = "FLEET_ARTIFACT_MAX_SIZE",
        value_name = "SIZE",
        value_parser = size,
        default_value = "1GiB"
    )]
    pub(crate) artifact_max_size: u64,

    /// How long artifacts are kept whose job does not say, or never (to expire)
    #[arg(
        long,
        env = "FLEET_ARTIFACT_EXPIRY",
        value_name = "DURATION",
        default_value = "30d"
    )]
    pub(crate) artifact_expiry: Lifetime,

    /// How long pipelines and their logs are kept after their end, or never (to expire)
    #[arg(
        long,
        env = "FLEET_PIPELINE_EXPIRY",
        value_name = "DURATION",
        default_value = "90d"
    )]
    pub(crate) pipeline_expiry: Lifetime,

    /// What is logged: error, warn, info, debug, or a filter like info,fleet_queue=debug
    #[arg(
        long,
        env = "FLEET_LOG",
        value_name = "FILTER",
        value_parser = log_filter,
        default_value = "info"
    )]
    pub(crate) log: String,

    /// As what it is logged
    #[arg(
        long,
        env = "FLEET_LOG_FORMAT",
        value_name = "FORMAT",
        value_enum,
        default_value = "text"
    )]
    pub(crate) log_format: LogFormat,
}

/// As what the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object a line
    Json,
}

/// How long something is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// It never expires.
    Endless,
    /// It expires after this.
    Limited(Duration),
}

impl Lifetime {
    /// None: for ever.
    pub(crate) fn limit(self) -> Option<Duration> {
        match self {
            Lifetime::Endless => None,
            Lifetime::Limited(limit) => Some(limit),
        }
    }
}

impl FromStr for Lifetime {
    type Err = String;

    fn from_str(text: &str) -> Result<Lifetime, String> {
        match text {
            "never" => Ok(Lifetime::Endless),
            text => match duration(text) {
                Ok(Duration::ZERO) => Err("expected never, or more than no time at all".to_owned()),
                Ok(limit) => Ok(Lifetime::Limited(limit)),
                Err(wrong) => Err(format!("{wrong}, or never")),
            },
        }
    }
}

impl Serve {
    /// Checks what no single setting can be checked for.
    ///
    /// # Errors
    /// What does not go together, in words.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.plain_people && self.url.is_none() {
            return Err(
                "plain-people needs url: people connect to the ingress, and its address is not known here"
                    .to_owned(),
            );
        }
        if self.heartbeat_interval.is_zero() {
            return Err("heartbeat-interval must be more than 0".to_owned());
        }
        let least = self.heartbeat_interval.saturating_mul(3);
        if self.heartbeat_ttl < least {
            return Err(format!(
                "heartbeat-ttl must be at least three times heartbeat-interval: {least:?}"
            ));
        }
        if self.orphan_deadline <= self.heartbeat_ttl {
            return Err("orphan-deadline must be longer than heartbeat-ttl".to_owned());
        }
        if self.job_timeout.is_zero() {
            return Err("job-timeout must be more than 0".to_owned());
        }
        let second = Duration::from_secs(1);
        if !(second..=HOUR * 24 * 7).contains(&self.certificate_lifetime) {
            return Err("certificate-lifetime must be from 1h to 7d (less for tests)".to_owned());
        }
        if self.ca_cert_file.is_some() != self.ca_key_file.is_some() {
            return Err("ca-cert-file and ca-key-file are needed both".to_owned());
        }
        let addresses = [
            ("listen-agents", self.listen_agents),
            ("listen-people", self.listen_people),
            ("listen-health", self.listen_health),
        ];
        for (index, (name, address)) in addresses.iter().enumerate() {
            let same = |(_, other): &&(&str, SocketAddr)| address.port() != 0 && other == address;
            if let Some((other, _)) = addresses[..index].iter().find(same) {
                return Err(format!(
                    "{other} and {name} are the same address: {address}"
                ));
            }
        }
        Ok(())
    }

    /// Settings that weaken what is promised by default, each in a sentence.
    pub(crate) fn weakenings(&self) -> Vec<String> {
        let mut all = Vec::new();
        if self.certificate_lifetime < HOUR {
            all.push(format!(
                "certificate-lifetime is {:?}: an agent that is away for longer has to join anew",
                self.certificate_lifetime
            ));
        }
        if self.plain_people {
            all.push("plain-people: people are served without TLS".to_owned());
        }
        all
    }

    /// The names and addresses it is reached at; never empty.
    pub(crate) fn names(&self) -> Vec<String> {
        if self.name.is_empty() {
            return vec![machine()];
        }
        self.name.clone()
    }

    /// Where configurations may include from.
    pub(crate) fn includes(&self) -> IncludeSettings {
        self.includes.settings(&self.data_dir)
    }

    /// Where people reach it; no slash at the end.
    pub(crate) fn people_url(&self) -> String {
        match &self.url {
            Some(url) => url.clone(),
            None => self.own_url(self.listen_people),
        }
    }

    /// Where agents reach it; no slash at the end.
    pub(crate) fn agents_url(&self) -> String {
        match &self.agents_url {
            Some(url) => url.clone(),
            None => self.own_url(self.listen_agents),
        }
    }

    fn own_url(&self, listener: SocketAddr) -> String {
        let (name, port) = (self.names().swap_remove(0), listener.port());
        match name.parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => format!("https://[{address}]:{port}"),
            _ => format!("https://{name}:{port}"),
        }
    }

    /// The store's file.
    pub(crate) fn store_file(&self) -> PathBuf {
        self.data_dir.join("store.redb")
    }

    /// The socket of [`crate::program`]'s commands.
    pub(crate) fn admin_socket(&self) -> PathBuf {
        self.data_dir.join("admin.sock")
    }

    /// The audit log's file.
    pub(crate) fn audit_file(&self) -> PathBuf {
        match &self.audit_file {
            Some(file) => file.clone(),
            None => self.data_dir.join("audit.jsonl"),
        }
    }

    /// The queue's limits in time.
    pub(crate) fn queue(&self) -> QueueConfig {
        QueueConfig {
            heartbeat_interval: self.heartbeat_interval,
            heartbeat_ttl: self.heartbeat_ttl,
            orphan_deadline: self.orphan_deadline,
            orphan_margin: self.orphan_margin,
            stuck_timeout: self.stuck_timeout,
            no_agent_timeout: self.no_agent_timeout,
            default_job_timeout: self.job_timeout,
            ..QueueConfig::default()
        }
    }
}

/// The machine's own name.
fn machine() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" | "(none)" => "localhost".to_owned(),
        name => name.to_lowercase(),
    }
}

fn name(text: &str) -> Result<String, String> {
    let letters = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let label = |label: &str| !label.is_empty() && label.len() <= 63 && label.chars().all(letters);
    let host = text.len() <= 253 && text.split('.').all(label);
    if text.parse::<IpAddr>().is_err() && !host {
        return Err("expected a host name or an address, without port".to_owned());
    }
    Ok(text.to_lowercase())
}

/// As images name it: they have lower case, and no scheme.
fn registry(text: &str) -> Result<String, String> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let is_port = |port: &str| {
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        digits && port.parse::<u16>().is_ok_and(|port| port != 0)
    };
    // Else it would be the first part of a name on Docker Hub.
    let is_host = host.contains('.') || host == "localhost" || port.is_some();
    if name(host).is_err() || host.contains(':') || !port.is_none_or(is_port) || !is_host {
        return Err(
            "expected host or host:port as images name it: registry.example.org:5000".to_owned(),
        );
    }
    Ok(text.to_lowercase())
}

fn url(text: &str) -> Result<String, String> {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
        .unwrap_or_default();
    let is_plain =
        !rest.contains(|c: char| c.is_whitespace() || c.is_control() || "@?#".contains(c));
    if rest.trim_end_matches('/').is_empty() || rest.starts_with('/') || !is_plain {
        return Err("expected a URL like https://fleet.example.org:8443".to_owned());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

fn log_filter(text: &str) -> Result<String, String> {
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
