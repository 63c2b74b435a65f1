//! The socket, with both its ends; and the commands for a store nobody serves.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use clap::CommandFactory;
use tokio_util::sync::CancellationToken;

use super::{Cli, Failure, Place, admin, ask, configured, offline, place};
use crate::settings::Serve;
use crate::store::{Batch, Embedded, Journal, Limits, Snapshot, Store};

/// Makes tokens for everybody but bob.
struct Handler(Journal);

impl admin::Handler for Handler {
    async fn create_admin_token(&self, user: String) -> Result<String, String> {
        match user.as_str() {
            "bob" => Err("bob is not to have one".to_owned()),
            user => Ok(format!("glpat-{user}")),
        }
    }

    async fn snapshot(&self) -> Result<Snapshot, String> {
        self.0.snapshot().await.map_err(|error| error.to_string())
    }
}

fn settings(folder: &Path) -> Serve {
    place(Place {
        config: None,
        data_dir: Some(folder.to_owned()),
    })
    .unwrap()
}

fn fill(folder: &Path) {
    let mut store = Embedded::open(&folder.join("store.redb")).unwrap();
    let mut batch = Batch::default();
    for number in 0..5000_u64 {
        batch.put(format!("r/{number:04}"), &number);
    }
    store.commit(&batch.into_changes()).unwrap();
}

/// A coordinator, as far as the socket is one.
struct Coordinator {
    runtime: tokio::runtime::Runtime,
    stop: CancellationToken,
    serves: Option<tokio::task::JoinHandle<()>>,
    journal: Journal,
}

fn coordinator(folder: &Path) -> Coordinator {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stop = CancellationToken::new();
    let store = Embedded::open(&folder.join("store.redb")).unwrap();
    let journal = Journal::start(store, Limits::default()).unwrap();
    let inside = runtime.enter();
    let listener = admin::listen(&settings(folder).admin_socket()).unwrap();
    let handler = Arc::new(Handler(journal.clone()));
    let serves = runtime.spawn(admin::serve(listener, handler, stop.clone()));
    drop(inside);
    Coordinator {
        runtime,
        stop,
        serves: Some(serves),
        journal,
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        self.stop.cancel();
        let serves = self.serves.take().unwrap();
        self.runtime.block_on(async {
            serves.await.unwrap();
            self.journal.close().await;
        });
    }
}

fn text(failure: Failure) -> String {
    failure.to_string()
}

#[test]
fn a_running_coordinator_makes_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let _running = coordinator(folder.path());
    let settings = settings(folder.path());
    let secret = ask::create_admin_token(&settings, "ann").unwrap();
    assert_eq!(secret, "glpat-ann");
    let refused = ask::create_admin_token(&settings, "bob").unwrap_err();
    assert_eq!(text(refused), "bob is not to have one");
}

#[test]
fn without_a_coordinator_it_is_said_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let refused = text(ask::create_admin_token(&settings(folder.path()), "ann").unwrap_err());
    assert!(
        refused.contains("start it (fleet-coordinator serve)"),
        "{refused}"
    );
}

#[test]
fn a_socket_that_was_left_is_nobody_and_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    drop(std::os::unix::net::UnixListener::bind(settings.admin_socket()).unwrap());
    assert!(ask::create_admin_token(&settings, "ann").is_err());
    let _running = coordinator(folder.path());
    assert!(ask::create_admin_token(&settings, "ann").is_ok());
    let mode = fs::metadata(settings.admin_socket()).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
}

#[test]
fn a_backup_of_a_running_coordinator_is_that_of_its_store() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let (online, alone) = (folder.path().join("on"), folder.path().join("off"));
    let settings = settings(folder.path());
    let running = coordinator(folder.path());
    assert_eq!(ask::backup(&settings, &online).unwrap(), Some(5000));
    drop(running);
    assert_eq!(ask::backup(&settings, &alone).unwrap(), None);
    assert_eq!(offline::backup(&settings, &alone).unwrap(), 5000);
    let records = |path: &Path| {
        let text = fs::read_to_string(path).unwrap();
        text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(records(&online), records(&alone));

    let other = folder.path().join("other");
    let elsewhere = super::tests::settings(&other);
    assert_eq!(offline::restore(&elsewhere, &online).unwrap(), 5000);
    let refused = offline::restore(&elsewhere, &online).unwrap_err();
    assert!(text(refused).contains("has records already"));
    let mode = fs::metadata(&other).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_backup_that_breaks_off_leaves_the_older_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy");
    fs::write(&path, "older").unwrap();
    for (lines, expected) in [
        (
            "{\"fleet_backup\":1,\"written_at\":1}\n{\"key\":\"a\",\"value\":1}\n",
            "ended before",
        ),
        (
            "{\"fleet_backup\":1,\"written_at\":1}\n{\"error\":\"no more\"}\n",
            "no more",
        ),
        ("{\"error\":\"not now\"}\n", "not now"),
        ("", "ended before"),
    ] {
        let refused = crate::store::receive(lines.as_bytes(), &path).unwrap_err();
        let cause = std::error::Error::source(&refused).unwrap().to_string();
        assert!(cause.contains(expected), "{cause}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "older");
    }
}

#[test]
fn a_store_in_use_is_neither_restored_nor_read() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let settings = settings(folder.path());
    let _store = Embedded::open(&settings.store_file()).unwrap();
    for refused in [
        offline::backup(&settings, &folder.path().join("copy")),
        offline::restore(&settings, &folder.path().join("copy")),
    ] {
        let refused = text(refused.unwrap_err());
        assert!(
            refused.contains("a coordinator runs on this folder"),
            "{refused}"
        );
    }
    let nowhere = super::tests::settings(&folder.path().join("nowhere"));
    let refused = offline::backup(&nowhere, &folder.path().join("copy")).unwrap_err();
    assert!(text(refused).contains("there is no store"));
    assert!(!folder.path().join("nowhere").exists());
}

#[test]
fn what_is_no_request_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let _running = coordinator(folder.path());
    let path = settings(folder.path()).admin_socket();
    let long = "x".repeat(200_000);
    for request in [
        "\n",
        "{}\n",
        "{\"do\":\"halt\"}\n",
        "[[[[\n",
        &format!("{long}\n"),
    ] {
        let mut stream = UnixStream::connect(&path).unwrap();
        // It may be refused before it is read to its end.
        let _ = stream.write_all(request.as_bytes());
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        assert!(
            read.is_err() || answer.starts_with("{\"error\":\"the request"),
            "{answer}"
        );
    }
    assert!(ask::create_admin_token(&settings(folder.path()), "ann").is_ok());
}

#[test]
fn another_user_is_refused() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let _running = coordinator(folder.path());
    let path = settings(folder.path()).admin_socket();
    // As if somebody had opened it for all.
    for path in [folder.path(), &path] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let script = r#"
        use IO::Socket::UNIX;
        my $socket = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die "connect: $!";
        print $socket '{"do":"create-admin-token","user":"eve"}', "\n";
        $socket->flush;
        print scalar <$socket>;
    "#;
    let asked = std::process::Command::new("setpriv")
        .args([
            "--reuid=65534",
            "--clear-groups",
            "/usr/bin/perl",
            "-e",
            script,
        ])
        .arg(&path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&asked.stdout);
    assert!(
        said.contains("only root and the coordinator"),
        "{said} {asked:?}"
    );
}

#[test]
fn the_file_s_settings_are_serve_s() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fleet.toml");
    fs::write(&file, "listen-people = '127.0.0.1:1'\nname = ['a', 'b']\n").unwrap();
    let read = |more: &[&str]| {
        let file = file.to_str().unwrap();
        let words = ["fleet-coordinator", "serve", "--config", file];
        let words: Vec<_> = words.iter().chain(more).map(Into::into).collect();
        let cli = <Cli as clap::Parser>::try_parse_from(&words)?;
        let super::Subcommands::Serve(first) = cli.command else {
            panic!("another command")
        };
        configured(first, "serve", &words)
    };
    let settings = read(&[]).unwrap();
    assert_eq!(settings.listen_people.port(), 1);
    assert_eq!(settings.names(), ["a", "b"]);
    let settings = read(&["--listen-people", "127.0.0.1:2"]).unwrap();
    assert_eq!(settings.listen_people.port(), 2);
    fs::write(&file, "listen-poeple = '127.0.0.1:1'\n").unwrap();
    let refused = read(&[]).unwrap_err();
    assert!(matches!(refused, Failure::Usage(_)));
    let refused = text(refused);
    assert!(
        refused.ends_with(":1: there is no setting `listen-poeple`: did you mean `listen-people`?")
    );
    fs::write(&file, "heartbeat-ttl = '5s'\n").unwrap();
    assert!(matches!(read(&[]), Err(Failure::Usage(_))));
}

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
    let table = super::settings_reference();
    assert!(
        table.contains("| `listen-people` | `--listen-people ADDRESS` | `FLEET_LISTEN_PEOPLE` |")
    );
}

#[test]
fn an_audit_log_is_verified_where_it_lies() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.jsonl");
    let verify = || super::offline::verify_audit(&file);
    assert!(text(verify().unwrap_err()).contains("cannot read the audit log"));
    let audit = crate::audit::Audit::open(&file).unwrap();
    let entry = crate::audit::Entry {
        actor: "user:ann",
        action: "push",
        object: "project:a",
        verdict: crate::audit::Verdict::Ok,
        reason: "",
        from: None,
    };
    audit.log(entry.clone()).unwrap();
    audit.log(entry).unwrap();
    assert!(
        verify()
            .unwrap()
            .starts_with("2 entries, sha256 of the last ")
    );
    let changed = fs::read_to_string(&file)
        .unwrap()
        .replacen("user:ann", "user:eve", 1);
    fs::write(&file, changed).unwrap();
    assert!(text(verify().unwrap_err()).contains("line 2 is not as it was written"));
}
