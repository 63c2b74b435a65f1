//! A process that is killed loses nothing it acknowledged.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{again, numbers};
use crate::store::{Batch, Embedded, Error, Journal, Limits, Store};

const FOLDER: &str = "FLEET_TEST_STORE";

/// Hands in numbered batches for ever, each of two records, and prints marks once
/// they are durable. In the tests' own process it does nothing.
#[test]
fn child_that_writes() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let store = Embedded::open(&Path::new(&folder).join("store.redb")).unwrap();
    let first = store.load().unwrap().0.len() as u64 / 2;
    let journal = Journal::start(store, Limits::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let mut sent = first;
    runtime.block_on(async {
        loop {
            let mut mark = journal.durable_mark();
            for _ in 0..=sent % 7 {
                let mut both = Batch::default();
                both.put(format!("one/{sent:08}"), &sent);
                both.put(format!("two/{sent:08}"), &sent);
                mark = journal.submit(both);
                sent += 1;
            }
            journal.durable(mark).await;
            println!("durable {sent}");
        }
    });
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let mut acknowledged = 0;
    for lines in [1, 3, 40, 200, 17] {
        let mut timeout = Command::new("timeout");
        timeout.args(["-k", "1", "120"]);
        again(&mut timeout, module_path!(), "child_that_writes");
        timeout.env(FOLDER, folder.path()).stdout(Stdio::piped());
        let mut child = timeout.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let mut seen = 0;
        for line in out.lines() {
            let line = line.unwrap();
            // The test program's own words stand before the first one.
            let Some((_, number)) = line.rsplit_once("durable ") else {
                continue;
            };
            acknowledged = number.parse::<u64>().unwrap();
            seen += 1;
            if seen == lines {
                assert!(matches!(
                    Embedded::open(&path).err(),
                    Some(Error::InUse { .. })
                ));
                kill_group_of(child.id());
            }
        }
        child.wait().unwrap();
        assert!(seen >= lines, "the child ended by itself");

        let records = numbers(open_when_free(&path).load().unwrap());
        let there = records.len() as u64 / 2;
        assert!(there >= acknowledged, "{there} of {acknowledged}");
        for number in 0..there {
            for kind in ["one", "two"] {
                assert_eq!(records.get(&format!("{kind}/{number:08}")), Some(&number));
            }
        }
        assert_eq!(
            records.len() as u64,
            there * 2,
            "a batch is whole or not there"
        );
    }
}

/// A process that was killed may hold its files for a moment still.
fn open_when_free(path: &Path) -> Embedded {
    let begun = Instant::now();
    loop {
        match Embedded::open(path) {
            Err(Error::InUse { .. }) if begun.elapsed() < Duration::from_secs(60) => {
                std::thread::sleep(Duration::from_millis(1));
            }
            opened => return opened.unwrap(),
        }
    }
}

/// Kills `timeout` and what it started: it makes a process group of its own.
fn kill_group_of(id: u32) {
    let id = rustix::process::Pid::from_raw(id.try_into().unwrap()).unwrap();
    rustix::process::kill_process_group(id, rustix::process::Signal::KILL).unwrap();
}
