//! The file contexts are kept in, and what git is told, with the real git.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use super::config::{Context, read_private, write_private};
use super::git::Git;
use super::*;
use crate::Exit;

fn context(server: &str) -> Context {
    Context {
        server: server.to_owned(),
        token: "glpat-secret".to_owned(),
        ca_file: Some("/ca.pem".into()),
        user: "anna".to_owned(),
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn contexts_are_kept_for_their_owner_alone_and_read_back() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("fleet");
    let mut config = Config::default();
    config
        .contexts
        .insert("work".into(), context("https://fleet:8443"));
    config.current = Some("work".into());
    config.save(&dir).unwrap();
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&config::file_in(&dir)), 0o600);
    // A second time: what was there is replaced.
    config.save(&dir).unwrap();

    let read = Config::load(&dir).unwrap();
    let (name, context) = read.get(None).unwrap();
    assert_eq!((name, context.token.as_str()), ("work", "glpat-secret"));
    assert_eq!(context.user, "anna");
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
}

#[test]
fn file_that_others_can_read_is_refused_with_the_mend() {
    let temp = tempfile::tempdir().unwrap();
    Config::default().save(temp.path()).unwrap();
    let file = config::file_in(temp.path());
    for open in [0o640, 0o604, 0o660] {
        chmod(&file, open);
        let refused = Config::load(temp.path()).err().unwrap();
        assert_eq!(refused.exit(), Exit::Usage);
        let mend = format!("chmod 600 {}", file.display());
        assert!(refused.to_string().contains(&mend), "{refused}");
    }
    chmod(&file, 0o600);
    assert!(Config::load(temp.path()).is_ok());

    let token = temp.path().join("token");
    write_private(&token, b"glpat-x").unwrap();
    assert_eq!(read_private(&token).unwrap(), "glpat-x");
    chmod(&token, 0o644);
    assert!(read_private(&token).is_err());
}

#[test]
fn mistyped_settings_file_is_told_by_its_name() {
    let temp = tempfile::tempdir().unwrap();
    write_private(&config::file_in(temp.path()), b"current = 7").unwrap();
    let refused = Config::load(temp.path()).err().unwrap().to_string();
    assert!(refused.contains("config.toml"), "{refused}");
    assert!(!refused.contains('\n'), "{refused}");
}

#[test]
fn context_that_is_not_there_is_told_with_the_next_command() {
    let temp = tempfile::tempdir().unwrap();
    let config = Config::load(temp.path()).unwrap();
    let none = config.get(None).err().unwrap();
    assert_eq!(none.exit(), Exit::Usage);
    assert!(none.to_string().contains("fleetctl context add"), "{none}");
    let unknown = config.get(Some("work")).err().unwrap();
    assert_eq!(unknown.exit(), Exit::NotFound);
}

#[test]
fn servers_address_is_kept_in_one_form() {
    for (given, kept) in [
        (
            "https://fleet.example.org:8443",
            "https://fleet.example.org:8443",
        ),
        ("fleet.example.org:8443/", "https://fleet.example.org:8443"),
        (" https://Fleet.Example.Org ", "https://fleet.example.org"),
        ("https://[::1]:8443", "https://[::1]:8443"),
    ] {
        assert_eq!(server_url(given).unwrap(), kept);
    }
    for given in [
        "",
        "https://",
        "http://fleet:8443",
        "ssh://fleet",
        "https://anna:secret@fleet:8443",
        "https://fleet:8443/?x=1",
        "https://ci.example.org/fleet/",
        "two words",
    ] {
        let error = server_url(given).unwrap_err();
        assert!(error.contains("Try: https://"), "{given}: {error}");
    }
}

#[test]
fn environment_of_another_ci_system_needs_no_context() {
    let temp = tempfile::tempdir().unwrap();
    let ca = temp.path().join("ca.pem");
    fs::write(&ca, "-----BEGIN CERTIFICATE-----\n").unwrap();
    let ca = ca.display().to_string();
    let target = from_environment("fleet:8443", Some("t\n".into()), Some(ca)).unwrap();
    assert_eq!(target.server, "https://fleet:8443");
    assert_eq!((target.token.as_str(), target.context), ("t", None));
    let without = from_environment("fleet:8443", None, None).err().unwrap();
    assert!(without.to_string().contains("FLEET_TOKEN"), "{without}");
    let no_file = from_environment("fleet:8443", Some("t".into()), Some("/nowhere".into()));
    assert!(no_file.err().unwrap().to_string().contains("/nowhere"));
}

const SERVER: &str = "https://fleet.example.org:8443";

#[test]
fn git_is_told_of_one_server_and_that_is_taken_back() {
    let home = tempfile::tempdir().unwrap();
    let git = Git::in_home(home.path());
    fs::write(
        home.path().join(".gitconfig"),
        "[user]\n\tname = Anna\n[credential]\n\thelper = store\n[http \"https://other\"]\n\tsslCAInfo = /other.pem\n",
    )
    .unwrap();
    let before = git.list();

    for _ in 0..2 {
        git.introduce(SERVER, Some(Path::new("/ca with space.pem")), "work")
            .unwrap();
    }
    let told = git.list();
    let ours: Vec<&String> = told.iter().filter(|line| !before.contains(line)).collect();
    assert_eq!(ours.len(), 3, "{ours:?}");
    assert_eq!(
        *ours[0],
        format!("http.{SERVER}.sslcainfo=/ca with space.pem")
    );
    assert_eq!(*ours[1], format!("credential.{SERVER}.helper="));
    assert!(
        ours[2].starts_with(&format!("credential.{SERVER}.helper=!"))
            && ours[2].ends_with(" context git-credential work"),
        "{ours:?}"
    );

    git.forget(SERVER).unwrap();
    assert_eq!(git.list(), before);
    let left = fs::read_to_string(home.path().join(".gitconfig")).unwrap();
    assert!(!left.contains(SERVER), "{left}");
}

#[test]
fn what_others_told_git_of_a_server_stays() {
    let home = tempfile::tempdir().unwrap();
    let git = Git::in_home(home.path());
    let theirs = format!(
        "[credential \"{SERVER}\"]\n\thelper = cache\n[http \"{SERVER}\"]\n\tsslCAInfo = /theirs.pem\n"
    );
    fs::write(home.path().join(".gitconfig"), &theirs).unwrap();
    git.forget(SERVER).unwrap();
    assert_eq!(
        fs::read_to_string(home.path().join(".gitconfig")).unwrap(),
        theirs
    );
}

/// What git would send to a URL, with a helper in place of this program that answers
/// as it does.
fn filled(home: &Path, url: &str) -> String {
    let mut child = Command::new("git")
        .args(["credential", "fill"])
        .env("HOME", home)
        .env_remove("XDG_CONFIG_HOME")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_ASKPASS", "true")
        .current_dir(home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    use std::io::Write as _;
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "url={url}\n").unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn git_gets_the_token_for_its_server_alone_and_no_other_helper_hears_it() {
    let home = tempfile::tempdir().unwrap();
    fs::write(
        home.path().join(".gitconfig"),
        "[credential]\n\thelper = \"!f() { echo called >> $HOME/other; }; f\"\n",
    )
    .unwrap();
    let git = Git::in_home(home.path());
    git.introduce(SERVER, None, "work").unwrap();
    // The test's program is no fleetctl: its place is taken by what it answers.
    let answer = credential::answer(
        "protocol=https\nhost=fleet.example.org:8443\n",
        &context(SERVER),
    )
    .unwrap();
    let config = fs::read_to_string(home.path().join(".gitconfig")).unwrap();
    let line = config
        .lines()
        .find(|line| line.contains("git-credential work"))
        .unwrap();
    assert!(!config.contains("glpat"), "{config}");
    let script = home.path().join("helper");
    fs::write(
        &script,
        format!("#!/bin/sh\nprintf '{}'", answer.replace('\n', "\\n")),
    )
    .unwrap();
    chmod(&script, 0o755);
    let config = config.replace(line, &format!("\thelper = !{}", script.display()));
    fs::write(home.path().join(".gitconfig"), config).unwrap();

    let told = filled(home.path(), &format!("{SERVER}/web/app.git"));
    assert!(
        told.contains("username=anna\npassword=glpat-secret\n"),
        "{told}"
    );
    assert!(!home.path().join("other").exists());
    let told = filled(home.path(), "https://elsewhere.example.org/web/app.git");
    assert!(!told.contains("glpat"), "{told}");
}

#[test]
fn credentials_are_given_for_the_contexts_server_alone() {
    let answer = |question: &str, server: &str| credential::answer(question, &context(server));
    let given = Some("username=anna\npassword=glpat-secret\n".to_owned());
    for (question, server) in [
        (
            "protocol=https\nhost=fleet:8443\npath=web/app.git\n",
            "https://fleet:8443",
        ),
        ("url=https://fleet:8443\n", "https://fleet:8443"),
        ("protocol=https\nhost=fleet\n", "https://fleet"),
        ("protocol=https\nhost=fleet:443\n", "https://fleet"),
    ] {
        assert_eq!(answer(question, server), given, "{question}");
    }
    for question in [
        "",
        "protocol=https\n",
        "protocol=http\nhost=fleet:8443\n",
        "protocol=https\nhost=fleet\n",
        "protocol=https\nhost=fleet:8443.evil.example.org\n",
        "protocol=https\nhost=fleet:8443\nhost=evil\n",
    ] {
        assert_eq!(answer(question, "https://fleet:8443"), None, "{question}");
    }
}
