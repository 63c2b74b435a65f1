use bollard::models::{CreateImageInfo, ProgressDetail};
use fleet_model::{ProjectId, PullPolicy, RegistryLogin, Token};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::time::{Duration, Instant};

use super::grants::Grants;
use super::progress::Progress;
use super::trouble::Trouble;
use super::*;
use crate::log::Line;
use crate::vectors::rows;

use PullPolicy::{Always, IfNotPresent, Never};

impl Say for Vec<String> {
    fn say(&mut self, line: Line) {
        self.push(String::from_utf8_lossy(&line.to_bytes()).into_owned());
    }
}

fn wanted<'a>(name: &'a str, credentials: &'a Credentials) -> Wanted<'a> {
    Wanted {
        name,
        platform: None,
        policies: &[],
        agent_policies: &[Always],
        allowed_policies: &[],
        credentials,
        user_config: None,
        presence: Presence::All,
        pull_timeout: Duration::from_secs(600),
    }
}

fn said_by_engine(message: &str) -> bollard::errors::Error {
    bollard::errors::Error::DockerResponseServerError {
        status_code: 500,
        message: message.to_owned(),
    }
}

#[test]
fn jobs_may_ask_only_for_what_the_agent_allows() {
    let none = Credentials::default();
    for (job, agent, allowed, effective_policies) in [
        (&[][..], &[Always][..], &[][..], "[always]"),
        (&[], &[IfNotPresent, Always], &[], "[if-not-present always]"),
        (&[Always, IfNotPresent], &[Always], &[], "[always]"),
        (
            &[Never, IfNotPresent],
            &[Always],
            &[IfNotPresent, Never],
            "[never if-not-present]",
        ),
    ] {
        let wanted = Wanted {
            policies: job,
            agent_policies: agent,
            allowed_policies: allowed,
            ..wanted("x", &none)
        };
        assert_eq!(listed(&effective(&wanted).unwrap()), effective_policies);
    }
    let wanted = Wanted {
        policies: &[Never],
        ..wanted("alpine", &none)
    };
    assert_eq!(
        effective(&wanted).unwrap_err().to_string(),
        "invalid pull policy for image \"alpine\": pull_policy ([never]) defined in GitLab \
         pipeline config is not one of the allowed_pull_policies ([always])"
    );
}

#[test]
fn an_image_is_there_for_those_it_was_pulled_for() {
    let folder = TempDir::new().unwrap();
    let grants = Grants::new(folder.path());
    let id = |digit: &str| format!("sha256:{}", digit.repeat(64));
    let (own, everybodys, nobodys) = (id("a"), id("b"), id("c"));
    grants.record(&own, Some(ProjectId(1))).unwrap();
    grants.record(&own, Some(ProjectId(1))).unwrap();
    grants.record(&everybodys, None).unwrap();
    assert!(grants.permit(&own, ProjectId(1)) && !grants.permit(&own, ProjectId(2)));
    assert!(!grants.permit(&own, ProjectId(11)));
    assert!(grants.permit(&everybodys, ProjectId(2)));
    assert!(!grants.permit(&nobodys, ProjectId(1)));
    assert!(grants.exist(&own) && !grants.exist(&nobodys));
    for no_id in ["", "sha256:", "sha256:../../x", "../x"] {
        assert!(grants.record(no_id, None).is_err());
        assert!(!grants.permit(no_id, ProjectId(1)) && grants.exist(no_id));
    }
}

#[test]
fn failures_have_gitlab_runners_reasons() {
    #[derive(Deserialize)]
    struct Row {
        pull_error: String,
        reason: String,
    }
    let image = Reference::parse("reg.example/app:1").unwrap();
    for row in rows::<Row>(include_str!(
        "../../../../tests/vectors/runner-pull-failures.txt"
    )) {
        let error = said_by_engine(&row.pull_error);
        let trouble = Trouble::of_pull(&error, &image, None);
        assert_eq!(trouble.reason().as_str(), row.reason, "{}", row.pull_error);
        assert!(trouble.to_string().contains(&row.pull_error));
        let network = row.reason == "runner_external_dependency_failure";
        assert_eq!(trouble.is_transient(), network, "{}", row.pull_error);
    }
}

#[test]
fn failures_say_what_to_do() {
    let login = RegistryLogin {
        registry: "reg.example".to_owned(),
        username: "builder".to_owned(),
        password: Token("not-this-one".to_owned()),
    };
    let credentials = Credentials::of(None, &[login], &mut |_| {});
    let tagged = Reference::parse("reg.example/app:1").unwrap();
    let exact = format!("reg.example/app@sha256:{}", "0".repeat(64));
    let exact = Reference::parse(&exact).unwrap();
    for (words, image, with_login, told) in [
        (
            "x509: certificate signed by unknown authority",
            &tagged,
            false,
            "/etc/docker/certs.d/reg.example/ca.crt",
        ),
        (
            "dial tcp 10.0.0.1:443: connect: connection refused",
            &tagged,
            false,
            "reg.example cannot be reached",
        ),
        (
            "http: server gave HTTP response to HTTPS client",
            &tagged,
            false,
            "insecure-registries",
        ),
        (
            "unauthorized: authentication required",
            &tagged,
            true,
            "refuses the login of builder from job payload",
        ),
        (
            "unauthorized: authentication required",
            &tagged,
            false,
            "or wants a login for it, and the job has none",
        ),
        (
            "denied: requested access to the resource is denied",
            &tagged,
            true,
            "may not pull it",
        ),
        (
            "manifest unknown: manifest unknown",
            &tagged,
            false,
            "has no reg.example/app:1",
        ),
        (
            "manifest unknown: manifest unknown",
            &exact,
            false,
            "nothing with the digest",
        ),
        (
            "write /x: no space left on device",
            &tagged,
            false,
            "the disk of the Docker engine is full",
        ),
        ("toomanyrequests: slow down", &tagged, false, "with a login"),
        ("something else", &tagged, false, "something else"),
    ] {
        let login = credentials.for_image(image).filter(|_| with_login);
        let trouble = Trouble::of_pull(&said_by_engine(words), image, login).to_string();
        assert!(trouble.contains(told), "{trouble}");
        assert!(!trouble.contains("not-this-one"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_pull_says_now_and_then_how_far_it_is() {
    let start = Instant::now();
    let mut progress = Progress::new(start);
    let mut lines = Vec::new();
    for second in 0..=30 {
        for layer in ["0123456789ab", "ba9876543210"] {
            let news = CreateImageInfo {
                id: Some(layer.to_owned()),
                status: Some("Downloading".to_owned()),
                progress_detail: Some(ProgressDetail {
                    current: Some(second * 1_000_000),
                    total: Some(40_000_000),
                }),
                ..CreateImageInfo::default()
            };
            let now = start + Duration::from_secs(second.unsigned_abs());
            lines.extend(progress.take(&news, now));
        }
    }
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(
        lines[2],
        "59.0 MB of 80.0 MB downloaded, 0 of 2 layers ready"
    );
    let moved = progress.moved();
    let again = CreateImageInfo {
        id: Some("0123456789ab".to_owned()),
        status: Some("Retrying in 5 seconds".to_owned()),
        ..CreateImageInfo::default()
    };
    let later = start + Duration::from_secs(40);
    progress.take(&again, later);
    assert_eq!(progress.moved(), moved);
    let digest = CreateImageInfo {
        status: Some("Digest: sha256:1234".to_owned()),
        ..CreateImageInfo::default()
    };
    progress.take(&digest, later);
    assert_eq!(progress.digest().as_deref(), Some("sha256:1234"));
}
