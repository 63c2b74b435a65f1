use std::collections::BTreeMap;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};

use super::{batch, durable, numbers};
use crate::store::{
    Batch, Change, Embedded, Error, Journal, Limits, Mark, Records, Snapshot, Store,
};

/// A store whose commits wait for leave, and are seen.
struct Gated {
    leave: Receiver<Result<(), Error>>,
    begun: Sender<Vec<Change>>,
}

struct Gate {
    give: Sender<Result<(), Error>>,
    begun: Receiver<Vec<Change>>,
}

fn gated() -> (Gated, Gate) {
    let ((give, leave), (seen, begun)) = (mpsc::channel(), mpsc::channel());
    let store = Gated { leave, begun: seen };
    (store, Gate { give, begun })
}

impl Store for Gated {
    fn snapshot(&self) -> Result<Snapshot, Error> {
        Ok(Box::new(std::iter::empty()))
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), Error> {
        let _ = self.begun.send(changes.to_vec());
        // A gate that is gone is a fault of the store.
        self.leave.recv().expect("the gate is there")
    }

    fn bytes(&self) -> u64 {
        7
    }
}

fn keys(changes: &[Change]) -> Vec<&str> {
    changes.iter().map(|(key, _)| key.as_str()).collect()
}

fn full() -> Error {
    Error::Full {
        path: "/data/store.redb".into(),
        source: std::io::ErrorKind::StorageFull.into(),
    }
}

#[tokio::test]
async fn nothing_is_durable_before_its_commit_returned() {
    let (store, gate) = gated();
    let journal = Journal::start(store, Limits::default()).unwrap();
    let mark = journal.submit(batch("a", 1));
    gate.begun.recv().unwrap();
    assert!(journal.durable_mark() < mark);
    assert!(journal.sizes().backlog_bytes > 0);
    gate.give.send(Ok(())).unwrap();
    durable(&journal, mark).await;
    assert_eq!(journal.durable_mark(), mark);
    assert_eq!(journal.sizes().backlog_bytes, 0);
    assert_eq!(journal.sizes().store_bytes, 7);
}

#[tokio::test]
async fn what_comes_while_a_group_is_committed_is_the_next_group() {
    let (store, gate) = gated();
    let journal = Journal::start(store, Limits::default()).unwrap();
    journal.submit(batch("a", 1));
    assert_eq!(keys(&gate.begun.recv().unwrap()), ["a"]);
    journal.submit(batch("c", 1));
    journal.submit(batch("b", 1));
    let mut removed = Batch::default();
    removed.delete("c");
    let last = journal.submit(removed);
    gate.give.send(Ok(())).unwrap();
    let group = gate.begun.recv().unwrap();
    assert_eq!(keys(&group), ["b", "c"]);
    assert_eq!(group[1].1, None, "the last change of a record counts");
    gate.give.send(Ok(())).unwrap();
    durable(&journal, last).await;
}

#[tokio::test]
async fn groups_are_cut_between_batches_by_records_and_bytes() {
    let (store, gate) = gated();
    let journal = Journal::start(store, Limits::default()).unwrap();
    journal.submit(batch("first", 1));
    gate.begun.recv().unwrap();
    for part in 0..3 {
        let mut many = Batch::default();
        for record in 0..2000 {
            many.put(format!("{part}/{record}"), &record);
        }
        journal.submit(many);
    }
    let mut large = Batch::default();
    large.put("large", &"x".repeat(3 << 20));
    let last = journal.submit(large);
    let mut sizes = Vec::new();
    for _ in 0..3 {
        gate.give.send(Ok(())).unwrap();
        sizes.push(gate.begun.recv().unwrap().len());
    }
    assert_eq!(sizes, [4000, 2000, 1]);
    gate.give.send(Ok(())).unwrap();
    durable(&journal, last).await;
}

#[tokio::test]
async fn work_is_refused_while_the_store_does_not_keep_up() {
    let (store, gate) = gated();
    let limits = Limits {
        backlog_bytes: 1000,
        ..Limits::default()
    };
    let journal = Journal::start(store, limits).unwrap();
    assert!(journal.accepts_work().is_ok());
    let mut large = Batch::default();
    large.put("large", &"x".repeat(2000));
    let mark = journal.submit(large);
    let refused = journal.accepts_work().unwrap_err().to_string();
    assert!(refused.contains("does not keep up: 2.0 KiB"), "{refused}");
    gate.give.send(Ok(())).unwrap();
    durable(&journal, mark).await;
    assert!(journal.accepts_work().is_ok());
}

#[tokio::test]
async fn a_full_disk_keeps_the_group_until_there_is_room() {
    let (store, gate) = gated();
    let journal = Journal::start(store, Limits::default()).unwrap();
    let mark = journal.submit(batch("a", 1));
    assert_eq!(keys(&gate.begun.recv().unwrap()), ["a"]);
    gate.give.send(Err(full())).unwrap();
    assert_eq!(keys(&gate.begun.recv().unwrap()), ["a"]);
    assert!(journal.durable_mark() < mark);
    let refused = journal.accepts_work().unwrap_err().to_string();
    assert!(refused.contains("is full: free some space"), "{refused}");
    gate.give.send(Ok(())).unwrap();
    durable(&journal, mark).await;
    let next = journal.submit(batch("b", 1));
    gate.give.send(Ok(())).unwrap();
    durable(&journal, next).await;
    assert!(journal.accepts_work().is_ok());
}

#[tokio::test]
async fn who_wants_to_read_while_the_disk_is_full_is_told() {
    let (store, gate) = gated();
    let journal = Journal::start(store, Limits::default()).unwrap();
    journal.submit(batch("a", 1));
    gate.begun.recv().unwrap();
    let (snapshot, ()) = tokio::join!(journal.snapshot(), async {
        gate.give.send(Err(full())).unwrap();
    });
    assert!(matches!(snapshot.err(), Some(Error::Away)));
    gate.give.send(Ok(())).unwrap();
}

#[tokio::test]
async fn a_journal_closed_while_the_disk_is_full_ends() {
    let (store, gate) = gated();
    let journal = Journal::start(store, Limits::default()).unwrap();
    let mark = journal.submit(batch("a", 1));
    for _ in 0..8 {
        gate.give.send(Err(full())).unwrap();
    }
    journal.close().await;
    assert!(journal.durable_mark() < mark);
}

#[tokio::test]
async fn a_store_that_broke_acknowledges_nothing_more() {
    let (store, gate) = gated();
    let journal = Journal::start(store, Limits::default()).unwrap();
    let first = journal.submit(batch("a", 1));
    gate.give.send(Ok(())).unwrap();
    durable(&journal, first).await;
    let second = journal.submit(batch("b", 1));
    gate.give
        .send(Err(Error::Damaged {
            path: "/data/store.redb".into(),
            what: "page 7".to_owned(),
        }))
        .unwrap();
    let failure = journal.failed().await;
    let cause = std::error::Error::source(&failure).unwrap().to_string();
    assert!(cause.contains("/data/store.redb is damaged"), "{cause}");
    journal.submit(batch("c", 1));
    assert!(journal.durable_mark() < second);
    assert_eq!(journal.sizes().backlog_bytes, 0);
    let refused = journal.accepts_work().unwrap_err().to_string();
    assert!(refused.contains("page 7"), "{refused}");
    assert!(matches!(journal.snapshot().await.err(), Some(Error::Away)));
    journal.close().await;
}

#[tokio::test]
async fn a_fault_of_the_store_s_thread_is_a_failure_too() {
    let (store, gate) = gated();
    let journal = Journal::start(store, Limits::default()).unwrap();
    let mark = journal.submit(batch("a", 1));
    drop(gate);
    let failure = journal.failed().await;
    let cause = std::error::Error::source(&failure).unwrap().to_string();
    assert!(cause.contains("fault of the program"), "{cause}");
    assert!(journal.durable_mark() < mark);
}

#[tokio::test]
async fn a_volatile_journal_is_durable_at_once() {
    let journal = Journal::volatile();
    let mark = journal.submit(batch("a", 1));
    durable(&journal, mark).await;
    assert_eq!(journal.durable_mark(), mark);
    assert!(journal.accepts_work().is_ok());
    journal.close().await;
}

#[tokio::test]
async fn closing_makes_durable_what_was_handed_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let journal = Journal::start(Embedded::open(&path).unwrap(), Limits::default()).unwrap();
    let last = (0..500).map(|n| journal.submit(batch(&format!("r/{n:03}"), n)));
    let last = last.max().unwrap();
    journal.close().await;
    assert_eq!(journal.durable_mark(), last);
    let dropped = journal.submit(batch("r/late", 1));
    assert!(journal.durable_mark() < dropped);
    let records = Embedded::open(&path).unwrap().load().unwrap();
    assert_eq!(numbers(records).len(), 500);
}

#[tokio::test]
async fn a_snapshot_shows_what_is_durable_and_nothing_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let journal = Journal::start(Embedded::open(&path).unwrap(), Limits::default()).unwrap();
    durable(&journal, journal.submit(batch("a", 1))).await;
    let snapshot = journal.snapshot().await.unwrap();
    let mut later = batch("b", 2);
    later.delete("a");
    durable(&journal, journal.submit(later)).await;
    let records = Records(snapshot.collect::<Result<_, _>>().unwrap());
    assert_eq!(numbers(records), BTreeMap::from([("a".to_owned(), 1)]));
    let now = Records(
        journal
            .snapshot()
            .await
            .unwrap()
            .map(Result::unwrap)
            .collect(),
    );
    assert_eq!(numbers(now), BTreeMap::from([("b".to_owned(), 2)]));
}

/// The law of the journal: the store is what the batches make of it in the order of
/// their marks, whoever handed them in.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_order_of_marks_is_the_order_of_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let journal = Journal::start(Embedded::open(&path).unwrap(), Limits::default()).unwrap();
    let handed = Arc::new(Mutex::new(BTreeMap::new()));
    let writers = (0..8).map(|writer: u64| {
        let (journal, handed) = (journal.clone(), handed.clone());
        tokio::spawn(async move {
            for step in 0..200 {
                let number = writer * 1000 + step;
                let key = format!("r/{}", (number * 7919) % 13);
                let mut change = Batch::default();
                let value = (!number.is_multiple_of(5)).then_some(number);
                match value {
                    Some(value) => change.put(&key, &value),
                    None => change.delete(&key),
                }
                let same = [(key, value)];
                let mark = journal.submit(change);
                handed.lock().unwrap().insert(mark, same);
                if step % 16 == 0 {
                    durable(&journal, mark).await;
                }
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    journal.close().await;
    let mut expected = BTreeMap::new();
    let handed = handed.lock().unwrap();
    assert_eq!(handed.last_key_value().unwrap().0, &Mark(1600));
    for (key, value) in handed.values().flatten() {
        match value {
            Some(value) => expected.insert(key.clone(), *value),
            None => expected.remove(key),
        };
    }
    let records = Embedded::open(&path).unwrap().load().unwrap();
    assert_eq!(numbers(records), expected);
}
