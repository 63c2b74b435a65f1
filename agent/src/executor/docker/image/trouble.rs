//! Why there is no image, in words, and GitLab's name for it.

use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use bollard::errors::Error as Failed;
use fleet_model::FailureReason;

use crate::registry::{Login, Reference};

/// What gitlab-runner takes for trouble with the network, in an engine's words in
/// small letters.
const NETWORK: [&str; 8] = [
    "dial tcp",
    "connection refused",
    "no such host",
    "i/o timeout",
    "tls handshake",
    "client.timeout exceeded",
    "request canceled",
    "connection reset",
];

/// What it takes for a mistake of whoever wants the image.
const ASKED_WRONG: [&str; 9] = [
    "not found",
    "manifest unknown",
    "pull access denied",
    "access to the resource is denied",
    "no basic auth credentials",
    "repository does not exist",
    "may require",
    "unauthorized",
    "authentication required",
];

/// Why there is no image.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It is not on the host, or not for this job; it makes no difference to it.
    NotOnHost(String),
    /// The engine failed, not the pull.
    Engine(String),
    /// The pull did.
    Pull {
        reason: FailureReason,
        /// What that means; empty where nothing better is known.
        meaning: String,
        /// What the engine says.
        words: String,
    },
    /// Nothing came any more.
    Stalled { registry: String, after: Duration },
}

impl Trouble {
    /// The engine did not do `what`.
    pub(super) fn engine(what: impl fmt::Display, error: &Failed) -> Trouble {
        match error {
            Failed::DockerResponseServerError { message, .. } => {
                Trouble::Engine(format!("{what}: {}", message.trim()))
            }
            error => Trouble::Engine(format!(
                "{what}: the Docker engine does not answer ({}); is it running?",
                with_causes(error)
            )),
        }
    }

    /// The engine did not pull `image`.
    pub(super) fn of_pull(error: &Failed, image: &Reference, login: Option<&Login>) -> Trouble {
        let words = match error {
            Failed::DockerResponseServerError { message, .. } => message,
            Failed::DockerStreamError { error } => error,
            error => return Trouble::engine(format_args!("pull image {image}"), error),
        };
        Trouble::Pull {
            reason: reason(words),
            meaning: meaning(words, image, login),
            words: words.trim().to_owned(),
        }
    }

    /// Whether it may be otherwise in a moment.
    pub(super) fn is_transient(&self) -> bool {
        matches!(
            self,
            Trouble::Pull { words, .. } if contains(&words.to_lowercase(), &NETWORK)
        )
    }

    /// GitLab's name for it.
    pub(super) fn reason(&self) -> FailureReason {
        match self {
            Trouble::NotOnHost(_) => FailureReason::RUNNER_CONFIGURATION_ERROR,
            Trouble::Engine(_) => FailureReason::RUNNER_SYSTEM_FAILURE,
            Trouble::Pull { reason, .. } => reason.clone(),
            Trouble::Stalled { .. } => FailureReason::IMAGE_PULL_FAILURE,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::NotOnHost(image) => write!(
                f,
                "no image {image} on this host that this project may use without pulling it"
            ),
            Trouble::Engine(text) => f.write_str(text),
            Trouble::Pull { meaning, words, .. } if meaning.is_empty() => f.write_str(words),
            Trouble::Pull { meaning, words, .. } => write!(f, "{meaning}: {words}"),
            Trouble::Stalled { registry, after } => write!(
                f,
                "nothing came from the registry {registry} for {} s, so the pull was given up",
                after.as_secs()
            ),
        }
    }
}

fn reason(words: &str) -> FailureReason {
    let words = words.to_lowercase();
    if contains(&words, &NETWORK) {
        FailureReason::RUNNER_EXTERNAL_DEPENDENCY_FAILURE
    } else if contains(&words, &ASKED_WRONG) {
        FailureReason::RUNNER_CONFIGURATION_ERROR
    } else {
        FailureReason::IMAGE_PULL_FAILURE
    }
}

fn meaning(words: &str, image: &Reference, login: Option<&Login>) -> String {
    let registry = image.registry();
    let said = words.to_lowercase();
    let says = |part: &str| said.contains(part);
    if says("no space left on device") {
        return "the disk of the Docker engine is full".to_owned();
    }
    if says("certificate signed by unknown authority") {
        return format!(
            "the Docker engine does not know who signed the certificate of the registry \
             {registry}; put the authority's certificate into \
             /etc/docker/certs.d/{registry}/ca.crt on the agent's host"
        );
    }
    if says("x509:") {
        return format!("the certificate of the registry {registry} is not valid");
    }
    if says("gave http response to https client") {
        return format!(
            "the registry {registry} speaks HTTP without TLS, which the Docker engine takes only \
             from registries in its insecure-registries"
        );
    }
    if contains(&said, &NETWORK) {
        return format!("the registry {registry} cannot be reached from the agent's host");
    }
    if says("toomanyrequests") {
        return match login {
            Some(_) => format!("the registry {registry} allows no more pulls for now"),
            None => format!(
                "the registry {registry} allows no more anonymous pulls for now; with a login it \
                 may"
            ),
        };
    }
    if says("manifest unknown") || says("manifest verification failed") {
        return match image.digest() {
            Some(_) => format!("the registry {registry} has nothing with the digest of {image}"),
            None => format!("the registry {registry} has no {image}"),
        };
    }
    if contains(
        &said,
        &["unauthorized", "authentication required", "no basic auth"],
    ) && login.is_some()
        || says("incorrect username or password")
    {
        return refused(registry, login);
    }
    if contains(
        &said,
        &["denied", "unauthorized", "authentication", "no basic auth"],
    ) {
        return match login {
            Some(login) => format!(
                "the registry {registry} has no {image}, or the login from {} may not pull it",
                login.source
            ),
            None => format!(
                "the registry {registry} has no {image}, or wants a login for it, and the job has \
                 none; give the project one, or set DOCKER_AUTH_CONFIG"
            ),
        };
    }
    String::new()
}

fn refused(registry: &str, login: Option<&Login>) -> String {
    let login = login.map_or_else(
        || "a login".to_owned(),
        |login| format!("the login of {} from {}", user(login), login.source),
    );
    format!("the registry {registry} refuses {login}")
}

fn user(login: &Login) -> &str {
    match login.auth.username.as_str() {
        "" => "a token",
        name => name,
    }
}

fn contains(text: &str, parts: &[&str]) -> bool {
    parts.iter().any(|part| text.contains(part))
}

fn with_causes(error: &Failed) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
