//! What an agent is told by its owner.

use std::path::PathBuf;
use std::time::Duration;

use fleet_model::{AgentName, PullPolicy};

/// An agent's settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name in the fleet.
    pub name: AgentName,
    /// Jobs it runs at once.
    pub slots: u32,
    /// What it offers to jobs that ask.
    pub tags: Vec<String>,
    /// Whether it takes jobs that ask for no tags.
    pub run_untagged: bool,
    /// Absolute; where projects are checked out (`CI_BUILDS_DIR`).
    pub builds_dir: PathBuf,
    /// Absolute; the agent's own state: one folder per lease with its log spool.
    pub state_dir: PathBuf,
    /// The shell of the shell executor.
    pub shell: Shell,
    /// Where jobs run in containers; none: they run with `shell`, on the host.
    pub docker: Option<Docker>,
    /// Between SIGTERM and SIGKILL when a job is stopped.
    pub graceful_kill: Duration,
    /// Bytes of log kept before only the end is (100 MiB unless said).
    pub output_limit: u64,
    /// What its jobs' supervisors log.
    pub log: Log,
}

/// What a program writes into its own log, and how.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// A level, or levels by part of the program; empty: `info`.
    pub filter: String,
    /// A JSON object a line, and not text.
    pub json: bool,
}

impl Settings {
    /// `shell` or `docker`: where jobs run.
    #[must_use]
    pub fn executor(&self) -> &'static str {
        if self.docker.is_some() {
            "docker"
        } else {
            "shell"
        }
    }
}

/// Which shell runs scripts on the host.
#[derive(Clone, Debug)]
pub struct Shell {
    /// `bash` or `sh`, or a path.
    pub program: PathBuf,
    /// Whether it reads the user's profile first, as gitlab-runner's does.
    pub login: bool,
}

/// How jobs run in containers.
#[derive(Clone, Debug, PartialEq)]
pub struct Docker {
    /// The engine's socket on this host; absolute.
    pub socket: PathBuf,
    /// The image of jobs that name none.
    pub image: Option<String>,
    /// Tried in order where a job says nothing of it; never empty.
    pub pull_policy: Vec<PullPolicy>,
    /// What jobs may ask for; empty: what is in `pull_policy`.
    pub allowed_pull_policies: Vec<PullPolicy>,
    /// Images of the host's owner that any job may use as they are on the host.
    pub shared_images: Vec<String>,
    /// Whether the host and all images on it are its one user's own, whose jobs these
    /// are: as in `fleetctl run`.
    pub one_user: bool,
    /// How long one pull may stand still.
    pub pull_timeout: Duration,
    /// Patterns of the images jobs may run in; empty: all.
    pub allowed_images: Vec<String>,
    /// Patterns of the images of services; empty: all.
    pub allowed_services: Vec<String>,
    /// `[source:]destination[:mode]`, as gitlab-runner's.
    pub volumes: Vec<String>,
    /// Whether jobs get the engine itself.
    pub gives_socket: bool,
    /// Whether their containers may do what the host's root may.
    pub privileged: bool,
    /// Bytes of memory a job's own container may use; none: all there is.
    pub memory: Option<u64>,
    /// Billionths of a processor it may use; none: all there are.
    pub nano_cpus: Option<i64>,
    /// Bytes of a packet on a job's network; none: the engine's own.
    pub network_mtu: Option<u32>,
    /// How long a job waits for its services; none: not at all.
    pub wait_for_services: Option<Duration>,
    /// The `config.json` of the host's own user, whose logins count where a job has
    /// none, credential helpers included; only where all jobs are that user's.
    pub user_config: Option<PathBuf>,
    /// `name:address`, known in all containers.
    pub extra_hosts: Vec<String>,
    /// Whether the containers of a job stay when it is over.
    pub keep: bool,
    /// Whether a job without an image runs with the agent's shell, on the host.
    pub shell_without_image: bool,
}

impl Docker {
    /// What an agent has whose owner says nothing more.
    #[must_use]
    pub fn of_socket(socket: impl Into<PathBuf>) -> Docker {
        Docker {
            socket: socket.into(),
            image: None,
            pull_policy: vec![PullPolicy::Always],
            allowed_pull_policies: Vec::new(),
            shared_images: Vec::new(),
            one_user: false,
            pull_timeout: Duration::from_secs(300),
            allowed_images: Vec::new(),
            allowed_services: Vec::new(),
            volumes: Vec::new(),
            gives_socket: false,
            privileged: false,
            memory: None,
            nano_cpus: None,
            network_mtu: None,
            wait_for_services: Some(Duration::from_secs(30)),
            user_config: None,
            extra_hosts: Vec::new(),
            keep: false,
            shell_without_image: false,
        }
    }
}
