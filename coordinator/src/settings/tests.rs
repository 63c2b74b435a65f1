use std::time::Duration;

use clap::{Args, Command, FromArgMatches};

use super::{Lifetime, Serve};

fn settings(arguments: &[&str]) -> Serve {
    let matches = Serve::augment_args(Command::new("serve"))
        .no_binary_name(true)
        .try_get_matches_from(arguments)
        .unwrap();
    Serve::from_arg_matches(&matches).unwrap()
}

fn refused(arguments: &[&str]) -> String {
    settings(arguments).check().unwrap_err()
}

#[test]
fn the_defaults_go_together() {
    let settings = settings(&[]);
    settings.check().unwrap();
    assert_eq!(settings.data_dir.to_str(), Some("/var/lib/fleet"));
    assert_eq!(
        settings.store_file().to_str(),
        Some("/var/lib/fleet/store.redb")
    );
    assert_eq!(
        settings.audit_file().to_str(),
        Some("/var/lib/fleet/audit.jsonl")
    );
    assert!(!settings.names()[0].is_empty());
    assert_eq!(settings.queue(), crate::QueueConfig::default());
    let month = Duration::from_secs(30 * 86_400);
    assert_eq!(settings.artifact_expiry.limit(), Some(month));
}

#[test]
fn urls_follow_from_the_first_name() {
    let named = settings(&["--name", "Fleet.example.org,10.0.0.5"]);
    assert_eq!(named.names(), ["fleet.example.org", "10.0.0.5"]);
    assert_eq!(named.people_url(), "https://fleet.example.org:8443");
    assert_eq!(named.agents_url(), "https://fleet.example.org:7443");
    let numbered = settings(&["--name", "fd00::1", "--listen-agents", "[::]:99"]);
    assert_eq!(numbered.agents_url(), "https://[fd00::1]:99");
    let said = settings(&["--url", "https://ci.example.org/", "--name", "x"]);
    assert_eq!(said.people_url(), "https://ci.example.org");
}

#[test]
fn never_is_a_lifetime() {
    let settings = settings(&["--artifact-expiry", "never", "--pipeline-expiry", "7d"]);
    assert_eq!(settings.artifact_expiry, Lifetime::Endless);
    let week = Duration::from_secs(7 * 86_400);
    assert_eq!(settings.pipeline_expiry, Lifetime::Limited(week));
    assert!("0".parse::<Lifetime>().is_err());
    assert!("soon".parse::<Lifetime>().is_err());
}

#[test]
fn what_does_not_go_together_is_refused() {
    for (arguments, expected) in [
        (&["--plain-people"][..], "plain-people needs url"),
        (&["--heartbeat-interval", "0"], "more than 0"),
        (
            &["--heartbeat-interval", "20s"],
            "three times heartbeat-interval: 60s",
        ),
        (&["--orphan-deadline", "30s"], "longer than heartbeat-ttl"),
        (&["--ca-cert-file", "/ca.pem"], "are needed both"),
        (&["--job-timeout", "0"], "job-timeout must be more than 0"),
        (&["--certificate-lifetime", "30d"], "from 1h to 7d"),
        (
            &["--listen-people", "0.0.0.0:7443"],
            "listen-agents and listen-people are the same address: 0.0.0.0:7443",
        ),
    ] {
        let said = refused(arguments);
        assert!(said.contains(expected), "{said}");
    }
    settings(&["--plain-people", "--url", "https://fleet"])
        .check()
        .unwrap();
    let anywhere = [
        "--listen-people",
        "127.0.0.1:0",
        "--listen-agents",
        "127.0.0.1:0",
    ];
    settings(&anywhere).check().unwrap();
}

#[test]
fn values_that_cannot_be_are_refused() {
    let command = Serve::augment_args(Command::new("serve")).no_binary_name(true);
    for arguments in [
        ["--name", "https://fleet"],
        ["--name", "fleet:8443"],
        ["--name", ""],
        ["--url", "fleet"],
        ["--url", "https://"],
        ["--url", "https://user:word@fleet"],
        ["--url", "ftp://fleet"],
        ["--log", "fleet=loud"],
        ["--log-format", "xml"],
        ["--store-reserve", "much"],
    ] {
        let read = command.clone().try_get_matches_from(arguments);
        assert!(read.is_err(), "{arguments:?}");
    }
}
