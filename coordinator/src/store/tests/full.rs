//! A disk that is full, and then is not.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::{again, batch, durable, numbers};
use crate::store::{Batch, Embedded, Error, Journal, Limits, Space, Store};

const FOLDER: &str = "FLEET_TEST_DISK";

/// In a mount namespace of its own, which takes the small disk with it when it ends.
#[test]
fn a_full_disk_loses_nothing_and_work_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let mut unshare = Command::new("timeout");
    unshare.args(["-k", "1", "120", "unshare", "--mount"]);
    if !rustix::process::geteuid().is_root() {
        unshare.arg("--map-root-user");
    }
    again(&mut unshare, module_path!(), "child_with_a_small_disk");
    let done = unshare.env(FOLDER, folder.path()).output().unwrap();
    let said =
        String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    if said.contains("unshare failed") {
        eprintln!("not run, for no mount namespace may be made here: {said}");
        return;
    }
    assert!(done.status.success(), "{said}");
    assert!(said.contains("all of it is there"), "{said}");
}

/// In the tests' own process it does nothing.
#[tokio::test]
async fn child_with_a_small_disk() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let folder = Path::new(&folder);
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"])
        .arg(folder)
        .status();
    assert!(mounted.unwrap().success());

    let path = folder.join("store.redb");
    let limits = Limits {
        space: Some(Space::new(folder.to_owned(), Some(2 << 20))),
        ..Limits::default()
    };
    let journal = Journal::start(Embedded::open(&path).unwrap(), limits).unwrap();
    journal.accepts_work().unwrap();

    // The reserve: no new work, though there is room to end what runs.
    let ballast = folder.join("ballast");
    let free = journal.sizes().free_bytes.unwrap();
    fs::write(&ballast, vec![1; (free - (1 << 20)) as usize]).unwrap();
    let refused = journal.accepts_work().unwrap_err().to_string();
    assert!(refused.contains("nearly full"), "{refused}");
    assert!(refused.contains("2.0 MiB are kept"), "{refused}");
    durable(&journal, journal.submit(batch("r/small", 0))).await;

    // Really full: nothing is acknowledged, nothing is lost.
    let mut large = Batch::default();
    large.put("l/arge", &"x".repeat(3 << 20));
    let stuck = journal.submit(large);
    let last = (0..1000).map(|n| journal.submit(batch(&format!("r/{n}"), n)));
    let last = last.max().unwrap();
    let told = async {
        loop {
            let refused = journal.accepts_work().unwrap_err().to_string();
            if refused.contains("is full: free some space") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), told)
        .await
        .unwrap();
    assert!(journal.durable_mark() < stuck);

    fs::remove_file(&ballast).unwrap();
    durable(&journal, last).await;
    durable(&journal, journal.submit(batch("r/after", 7))).await;
    journal.accepts_work().unwrap();
    journal.close().await;

    let mut records = Embedded::open(&path).unwrap().load().unwrap();
    let large = records.take::<String>("l/").unwrap();
    assert_eq!(large[0].1.len(), 3 << 20);
    assert_eq!(numbers(records).len(), 1002);

    // A start on a full disk: said in words, or it works.
    let free = Space::new(folder.to_owned(), None).free().unwrap();
    fs::write(&ballast, vec![1; free as usize]).unwrap();
    match Embedded::open(&path) {
        Ok(store) => assert_eq!(store.load().unwrap().0.len(), 1003),
        Err(error @ Error::Full { .. }) => println!("{error}"),
        Err(error) => panic!("{error}"),
    }
    fs::remove_file(&ballast).unwrap();

    // However often it is tried, it harms nothing.
    let mut store = Embedded::open(&path).unwrap();
    let mut more = Batch::default();
    more.put("m/ore", &"x".repeat(500 << 10));
    let more = more.into_changes();
    let free = Space::new(folder.to_owned(), None).free().unwrap();
    fs::write(&ballast, vec![1; (free - (64 << 10)) as usize]).unwrap();
    for _ in 0..5 {
        assert!(store.commit(&more).unwrap_err().is_full());
    }
    fs::remove_file(&ballast).unwrap();
    store.commit(&more).unwrap();
    drop(store);
    let store = Embedded::open(&path).unwrap();
    assert_eq!(store.load().unwrap().0.len(), 1004);
    println!("all of it is there");
}
