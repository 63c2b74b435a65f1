use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use fleet_model::{RegistryLogin, Token};
use proptest::prelude::*;
use serde::Deserialize;
use tempfile::TempDir;

use super::folder::{self, Access};
use super::{Credentials, Reference};
use crate::vectors::rows;

#[derive(Deserialize)]
#[serde(untagged)]
enum Row {
    Choice {
        image: String,
        auth_keys: Vec<String>,
        chosen: Option<String>,
    },
    Image {
        image: String,
        normalized: String,
    },
    Key {
        auth_key: String,
        normalized: String,
    },
}

fn login(registry: &str, username: &str, password: &str) -> RegistryLogin {
    RegistryLogin {
        registry: registry.to_owned(),
        username: username.to_owned(),
        password: Token(password.to_owned()),
    }
}

fn never(warning: String) {
    panic!("{warning}");
}

#[test]
fn names_and_keys_are_compared_as_gitlab_runner_does() {
    for row in rows::<Row>(include_str!("../../tests/vectors/runner-registry-auth.txt")) {
        match row {
            Row::Image { image, normalized } => {
                // gitlab-runner leaves half a digest in the path, so that a login
                // for just this repository is not found.
                let normalized = normalized.trim_end_matches("@sha256");
                assert_eq!(Reference::split(&image).normalized(), normalized, "{image}");
            }
            Row::Key {
                auth_key,
                normalized,
            } => assert_eq!(
                fleet_model::registry_key(&auth_key),
                normalized,
                "{auth_key}"
            ),
            Row::Choice {
                image,
                auth_keys,
                chosen,
            } => {
                let logins: Vec<_> = auth_keys.iter().map(|key| login(key, "u", "p")).collect();
                let credentials = Credentials::of(None, &logins, &mut never);
                let found = credentials.for_image(&Reference::split(&image));
                assert_eq!(
                    found.map(|login| login.key.as_str()),
                    chosen.as_deref(),
                    "{image} with {auth_keys:?}"
                );
            }
        }
    }
}

#[test]
fn a_login_for_one_repository_is_found_by_digest_too() {
    let image = format!("a.b/c@sha256:{}", "0".repeat(64));
    let credentials = Credentials::of(None, &[login("a.b/c", "u", "p")], &mut never);
    let image = Reference::parse(&image).unwrap();
    assert!(credentials.for_image(&image).is_some());
}

#[test]
fn names_are_taken_apart() {
    let digest = format!("sha256:{}", "ab".repeat(32));
    for (name, registry, repository, version) in [
        ("nginx", "docker.io", "nginx", "latest"),
        ("nginx:1.27", "docker.io", "nginx", "1.27"),
        ("reg:5000/app", "reg:5000", "reg:5000/app", "latest"),
        ("reg:5000/a/b:c", "reg:5000", "reg:5000/a/b", "c"),
        ("localhost/a", "localhost", "localhost/a", "latest"),
        ("[::1]:5000/a:1", "[::1]:5000", "[::1]:5000/a", "1"),
        (
            "Reg.Example/a__b/c-d",
            "reg.example",
            "reg.example/a__b/c-d",
            "latest",
        ),
        (
            &format!("me/app:1@{digest}"),
            "docker.io",
            "me/app",
            &digest,
        ),
    ] {
        let reference = Reference::parse(name).unwrap();
        assert_eq!(reference.registry(), registry, "{name}");
        assert_eq!(reference.repository(), repository, "{name}");
        assert_eq!(reference.version(), version, "{name}");
    }
}

#[test]
fn what_is_no_name_is_refused_with_words() {
    for (name, why) in [
        ("", "empty"),
        ("/app:1", "components"),
        ("Nginx", "lower-case"),
        ("a b", "components"),
        ("a//b", "components"),
        ("../containers/x", "host"),
        ("a?x=1", "components"),
        ("a#b", "components"),
        ("a:", "tag"),
        ("a:b c", "tag"),
        ("reg.example:port/a", "host"),
        ("reg.example/", "components"),
        ("a@sha256:1234", "digest"),
        ("a@sha256:0@x", "digest"),
    ] {
        let error = Reference::parse(name).unwrap_err().to_string();
        assert!(error.contains(why), "{name}: {error}");
    }
}

#[test]
fn repositories_are_the_same_by_either_of_docker_hubs_names() {
    let same = |a: &str, b: &str| {
        let parse = |name| Reference::parse(name).unwrap();
        parse(a).is_same_repository(&parse(b))
    };
    assert!(same("nginx:1", "docker.io/library/nginx"));
    assert!(same("me/app", "index.docker.io/me/app:2"));
    assert!(!same("me/app", "reg.example/me/app"));
    assert!(!same("reg.example/app", "reg.example/library/app"));
}

#[test]
fn the_jobs_variable_comes_before_the_projects_logins() {
    let config = r#"{"auths": {"reg.example/group": {"auth": "dTE6c2VjcmV0LW9uZQ=="},
        "https://index.docker.io/v1/": {"identitytoken": "identity-of-somebody"}}}"#;
    let logins = [
        login("reg.example", "u2", "secret-two"),
        login("reg.example/group", "u3", "secret-three"),
        login("reg.example", "u4", "secret-four"),
    ];
    let credentials = Credentials::of(Some(config), &logins, &mut never);
    let chosen = |image: &str| {
        let login = credentials.for_image(&Reference::parse(image).unwrap());
        login.map(|login| (login.source.as_str(), login.auth.username.as_str()))
    };
    let payload = "job payload (GitLab Registry)";
    assert_eq!(
        chosen("reg.example/group/i"),
        Some(("$DOCKER_AUTH_CONFIG", "u1"))
    );
    assert_eq!(chosen("reg.example/other/i"), Some((payload, "u2")));
    assert_eq!(chosen("reg.example:5000/group/i"), None);
    assert_eq!(chosen("alpine"), Some(("$DOCKER_AUTH_CONFIG", "")));
    let secrets: Vec<String> = credentials.secrets().collect();
    for secret in [
        "secret-one",
        "dTE6c2VjcmV0LW9uZQ==",
        "secret-two",
        "identity-of-somebody",
    ] {
        assert!(secrets.iter().any(|s| s == secret), "{secret}");
        assert!(!format!("{credentials:?}").contains(secret));
    }
}

#[test]
fn broken_and_unwelcome_configurations_are_told_once_and_left_out() {
    for (text, told, logins) in [
        ("{", "line 1", 0),
        ("[]", "not Docker's config.json", 0),
        (
            r#"{"auths": {"a.b": {"auth": "%%"}, "c.d": {"auth": "dTpw"}}}"#,
            "entry a.b",
            0,
        ),
        (
            r#"{"auths": {"a.b": {"auth": "dXNlcg=="}}}"#,
            "user:password",
            0,
        ),
        (
            r#"{"credsStore": "desktop", "credHelpers": {"x.y": "../../bin/evil"},
                "auths": {"a.b": {}, "c.d": {"auth": "dTpw"}}}"#,
            "credHelpers for x.y",
            1,
        ),
        ("  ", "", 0),
        ("{}", "", 0),
    ] {
        let mut warnings = Vec::new();
        let credentials = Credentials::of(Some(text), &[], &mut |text| warnings.push(text));
        assert_eq!(
            warnings.len(),
            usize::from(!told.is_empty()),
            "{warnings:?}"
        );
        assert!(
            warnings.iter().all(|warning| warning.contains(told)),
            "{warnings:?}"
        );
        assert_eq!(credentials.secrets().count(), 0);
        assert_eq!(
            credentials.for_image(&Reference::split("c.d/x")).is_some(),
            logins == 1
        );
    }
}

#[test]
fn dockers_own_client_finds_every_host() {
    let logins = [
        login("docker.io", "hub", "hub-password"),
        login("reg.example/one", "u1", "p1"),
        login("reg.example/two", "u2", "p2"),
        login("other.example", "<token>", "an-identity"),
    ];
    let credentials = Credentials::of(None, &logins, &mut never);
    let config: serde_json::Value = serde_json::from_str(&credentials.config_json()).unwrap();
    let expected = serde_json::json!({"auths": {
        "https://index.docker.io/v1/": {"auth": "aHViOmh1Yi1wYXNzd29yZA=="},
        "reg.example/one": {"auth": "dTE6cDE="},
        "reg.example/two": {"auth": "dTI6cDI="},
        "reg.example": {"auth": "dTE6cDE="},
        "other.example": {"identitytoken": "an-identity"},
    }});
    assert_eq!(config, expected);
}

#[test]
fn the_folder_is_fresh_for_each_job_and_follows_no_link() {
    let temporary = TempDir::new().unwrap();
    let elsewhere = TempDir::new().unwrap();
    let own = temporary.path().join(".docker");
    symlink(elsewhere.path(), &own).unwrap();
    let credentials = Credentials::of(None, &[login("reg.example", "u", "p")], &mut never);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for (access, folder, file) in [
        (Access::Owner, 0o700, 0o600),
        (Access::Everyone, 0o777, 0o666),
    ] {
        folder::write(temporary.path(), &credentials, access).unwrap();
        assert_eq!(mode(&own), folder);
        assert_eq!(mode(&own.join("config.json")), file);
        let text = fs::read_to_string(own.join("config.json")).unwrap();
        assert_eq!(text, credentials.config_json());
        // What a job may leave.
        fs::create_dir_all(own.join("buildx/deep")).unwrap();
        fs::remove_file(own.join("config.json")).unwrap();
        symlink("/etc/passwd", own.join("config.json")).unwrap();
    }
    folder::write(temporary.path(), &credentials, Access::Owner).unwrap();
    assert_eq!(fs::read_dir(&own).unwrap().count(), 1);
    folder::remove(temporary.path()).unwrap();
    folder::remove(temporary.path()).unwrap();
    assert!(!own.exists());
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".*") {
        let _any = Reference::parse(&text);
        let _any = fleet_model::registry_key(&text);
        let _any = Credentials::of(Some(&text), &[], &mut |_| {}).config_json();
    }

    #[test]
    fn a_parsed_name_prints_to_one_that_means_the_same(
        name in "([a-z]{1,5}\\.[a-z]{2}(:[0-9]{1,4})?/)?[a-z0-9]{1,4}(/[a-z0-9]{1,4}){0,2}(:[A-Za-z0-9_.-]{1,5})?"
    ) {
        if let Ok(reference) = Reference::parse(&name) {
            let again = Reference::parse(&reference.to_string()).unwrap();
            prop_assert!(again.is_same_repository(&reference));
            prop_assert_eq!(again.version(), reference.version());
        }
    }
}
