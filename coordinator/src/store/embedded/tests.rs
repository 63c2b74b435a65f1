//! Files that are not what they should be, and disks that fail.

mod disk;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{Embedded, FORMAT_KEY, TABLE};
use crate::store::{Batch, Error, Store};

fn batch(key: &str, value: &str) -> Vec<(String, Option<Vec<u8>>)> {
    let mut batch = Batch::default();
    batch.put(key, &value);
    batch.into_changes()
}

#[test]
fn records_are_there_when_it_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let mut store = Embedded::open(&path).unwrap();
    assert!(store.load().unwrap().0.is_empty());
    store.commit(&batch("a/1", "one")).unwrap();
    store.commit(&batch("b/2", "two")).unwrap();
    store.commit(&[("a/1".to_owned(), None)]).unwrap();
    assert!(store.bytes() > 0);
    drop(store);
    let mut records = Embedded::open(&path).unwrap().load().unwrap();
    assert_eq!(records.take::<String>("a/").unwrap(), []);
    let rest = records.take::<String>("").unwrap();
    assert_eq!(rest, [("b/2".to_owned(), "two".to_owned())]);
}

#[test]
fn the_file_is_its_owner_s_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let _store = Embedded::open(&path).unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_file_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let _store = Embedded::open(&path).unwrap();
    let refused = Embedded::open(&path).err().unwrap();
    assert!(matches!(refused, Error::InUse { .. }));
    assert!(
        refused
            .to_string()
            .contains("a coordinator runs on this folder")
    );
}

#[test]
fn a_file_of_a_later_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let mut store = Embedded::open(&path).unwrap();
    let format = (FORMAT_KEY.to_owned(), Some(b"2".to_vec()));
    store.commit(&[format]).unwrap();
    drop(store);
    let refused = Embedded::open(&path).err().unwrap();
    assert!(
        matches!(refused, Error::Newer { found: 2, .. }),
        "{refused}"
    );
}

#[test]
fn what_is_no_store_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    for content in ["no store at all\n".to_owned(), "x".repeat(100_000)] {
        fs::write(&path, &content).unwrap();
        let refused = Embedded::open(&path).err().unwrap();
        assert!(matches!(refused, Error::Damaged { .. }), "{refused:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
    fs::remove_file(&path).unwrap();
    let other = redb::Database::create(&path).unwrap();
    let transaction = other.begin_write().unwrap();
    let mut table = transaction.open_table(TABLE).unwrap();
    table.insert("foreign", b"record".as_slice()).unwrap();
    drop(table);
    transaction.commit().unwrap();
    drop(other);
    let refused = Embedded::open(&path).err().unwrap();
    assert!(matches!(refused, Error::Damaged { .. }), "{refused:?}");
}

#[test]
fn a_folder_that_is_not_there_is_said() {
    let refused = Embedded::open("/nowhere/store.redb".as_ref())
        .err()
        .unwrap();
    assert_eq!(
        refused.to_string(),
        "cannot open the store /nowhere/store.redb"
    );
}

/// Any byte of the file may have changed: it is found out, or does not matter.
#[test]
fn damage_is_found_when_it_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let mut store = Embedded::open(&path).unwrap();
    for number in 0..50 {
        let value = "x".repeat(300);
        store
            .commit(&batch(&format!("r/{number:02}"), &value))
            .unwrap();
    }
    let good = store.load().unwrap().0;
    drop(store);
    let whole = fs::read(&path).unwrap();
    let mut found = 0;
    for at in (0..whole.len()).step_by(997) {
        if whole[at] == 0 {
            continue;
        }
        let mut broken = whole.clone();
        broken[at] ^= 0x5a;
        fs::write(&path, &broken).unwrap();
        match Embedded::open(&path) {
            Ok(store) => assert_eq!(store.load().unwrap().0, good, "byte {at}"),
            Err(Error::Damaged { .. } | Error::Broken { .. }) => found += 1,
            Err(error) => panic!("byte {at}: {error}"),
        }
    }
    assert!(found > 0);
}
