//! Backups.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::numbers;
use crate::store::copy::Error as CopyError;
use crate::store::{Batch, Embedded, RESTORED_AT, Store, backup, restore};

fn filled(path: &Path) -> Embedded {
    let mut store = Embedded::open(path).unwrap();
    let mut batch = Batch::default();
    for number in 0..20_u64 {
        batch.put(format!("r/{number:02}"), &number);
    }
    store.commit(&batch.into_changes()).unwrap();
    store
}

#[test]
fn a_store_is_restored_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.jsonl");
    let store = filled(&folder.path().join("a.redb"));
    assert_eq!(backup(store.snapshot().unwrap(), &copy).unwrap(), 20);
    let mode = fs::metadata(&copy).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let mut restored = Embedded::open(&folder.path().join("b.redb")).unwrap();
    assert_eq!(restore(&copy, &mut restored).unwrap(), 20);
    let mut records = restored.load().unwrap();
    let when = records.take::<u64>(RESTORED_AT).unwrap();
    assert!(when[0].1 > 1_700_000_000_000);
    assert_eq!(numbers(records), numbers(store.load().unwrap()));
}

#[test]
fn a_line_of_a_backup_is_a_record() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.jsonl");
    let store = filled(&folder.path().join("a.redb"));
    backup(store.snapshot().unwrap(), &copy).unwrap();
    let text = fs::read_to_string(&copy).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with(r#"{"fleet_backup":1,"written_at":"#));
    assert_eq!(lines[1], r#"{"key":"r/00","value":0}"#);
    assert_eq!(lines[21], r#"{"records":20}"#);
}

#[test]
fn nothing_is_restored_over_records() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.jsonl");
    let mut store = filled(&folder.path().join("a.redb"));
    backup(store.snapshot().unwrap(), &copy).unwrap();
    let refused = restore(&copy, &mut store).unwrap_err();
    assert!(matches!(refused, CopyError::NotEmpty));
}

#[test]
fn half_a_backup_restores_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.jsonl");
    let store = filled(&folder.path().join("a.redb"));
    backup(store.snapshot().unwrap(), &copy).unwrap();
    let whole = fs::read_to_string(&copy).unwrap();
    let mut target = Embedded::open(&folder.path().join("b.redb")).unwrap();
    let missing_line = whole.replacen("{\"key\":\"r/07\",\"value\":7}\n", "", 1);
    let cuts = (0..whole.len() - 1).map(|end| whole[..end].to_owned());
    let more = format!("{whole}{{}}\n");
    for broken in cuts.chain([missing_line, more, whole.replace("r/07\",", "r/07\",,")]) {
        if broken.trim_end() == whole.trim_end() {
            continue;
        }
        fs::write(&copy, &broken).unwrap();
        let refused = restore(&copy, &mut target);
        assert!(matches!(refused, Err(CopyError::Line { .. })), "{broken}");
        assert!(target.load().unwrap().0.is_empty());
    }
    fs::write(&copy, &whole).unwrap();
    restore(&copy, &mut target).unwrap();
}

#[test]
fn a_backup_of_a_later_version_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.jsonl");
    fs::write(&copy, "{\"fleet_backup\":99,\"written_at\":1}\n").unwrap();
    let mut store = Embedded::open(&folder.path().join("a.redb")).unwrap();
    let refused = restore(&copy, &mut store).unwrap_err().to_string();
    assert!(refused.ends_with(
        "copy.jsonl:1: the backup has format 99, this version reads up to 1: use a newer version"
    ));
}

#[test]
fn a_backup_replaces_nothing_but_files() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink("/dev/null", &link).unwrap();
    let store = filled(&folder.path().join("a.redb"));
    for path in [link.as_path(), folder.path()] {
        let refused = backup(store.snapshot().unwrap(), path).unwrap_err();
        assert!(matches!(refused, CopyError::File { .. }), "{refused}");
    }
    assert_eq!(fs::read_link(&link).unwrap(), Path::new("/dev/null"));
}

#[test]
fn a_backup_that_cannot_be_written_leaves_the_older_one() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.jsonl");
    fs::write(&copy, "older").unwrap();
    let mut store = filled(&folder.path().join("a.redb"));
    store
        .commit(&[("r/bad".to_owned(), Some(b"{".to_vec()))])
        .unwrap();
    let refused = backup(store.snapshot().unwrap(), &copy).unwrap_err();
    assert_eq!(refused.to_string(), "the record r/bad cannot be read");
    assert_eq!(fs::read_to_string(&copy).unwrap(), "older");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}
