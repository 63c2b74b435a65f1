//! A disk that fails at one operation, or loses its power there.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redb::StorageBackend;

use crate::store::embedded::Embedded;
use crate::store::{Batch, Error, Journal, Limits, Mark, Store};

/// What the disk holds; outlives those who have it open.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<Content>>);

#[derive(Debug, Default)]
struct Content {
    /// As those see it who read.
    bytes: Vec<u8>,
    /// As it is after a power cut, but for some of what was not flushed.
    flushed: Vec<u8>,
    unflushed: Vec<Write>,
    /// Writes, growths and flushes so far.
    operations: u64,
    trouble: Option<Trouble>,
}

#[derive(Clone, Debug)]
enum Write {
    Length(u64),
    Bytes(u64, Vec<u8>),
}

#[derive(Clone, Copy, Debug)]
enum Trouble {
    /// One operation fails, those after it do not.
    Error { at: u64 },
    /// Writes fail for lack of room.
    Full { from: u64, until: u64 },
    /// One flush fails for lack of room: what it was to keep may be lost.
    FlushFull { at: u64 },
    /// All fails from here on.
    PowerCut { at: u64 },
}

impl Disk {
    fn open(&self) -> io::Result<Box<dyn StorageBackend>> {
        Ok(Box::new(self.clone()))
    }

    fn store(&self) -> Result<Embedded, Error> {
        let disk = self.clone();
        Embedded::over("/disk/store.redb".as_ref(), move || disk.open())
    }

    fn prepare(&self, trouble: Option<Trouble>) {
        let mut content = self.0.lock().unwrap();
        (content.operations, content.trouble) = (0, trouble);
    }

    fn operations(&self) -> u64 {
        self.0.lock().unwrap().operations
    }

    fn operate(&self, write: Option<Write>) -> io::Result<()> {
        let content = &mut *self.0.lock().unwrap();
        let now = content.operations;
        content.operations += 1;
        match content.trouble {
            Some(Trouble::Error { at }) if now == at => return Err(broken()),
            Some(Trouble::FlushFull { at }) if write.is_none() && now == at => {
                return Err(io::Error::from(rustix::io::Errno::NOSPC));
            }
            Some(Trouble::PowerCut { at }) if now >= at => return Err(broken()),
            Some(Trouble::Full { from, until })
                if write.is_some() && (from..until).contains(&now) =>
            {
                return Err(io::Error::from(rustix::io::Errno::NOSPC));
            }
            _ => {}
        }
        match write {
            Some(write) => {
                apply(&mut content.bytes, &write);
                content.unflushed.push(write);
            }
            None => {
                content.flushed.clone_from(&content.bytes);
                content.unflushed.clear();
            }
        }
        Ok(())
    }

    /// The power is back: of what was not flushed, a part chosen by `seed` is there.
    fn after_power_cut(&self, seed: u64) -> Disk {
        let content = self.0.lock().unwrap();
        let mut bytes = content.flushed.clone();
        let mut random = seed | 1;
        for write in &content.unflushed {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            if seed == 0 || (seed > 1 && random & 1 == 0) {
                apply(&mut bytes, write);
            }
        }
        Disk(Arc::new(Mutex::new(Content {
            flushed: bytes.clone(),
            bytes,
            ..Content::default()
        })))
    }
}

fn apply(bytes: &mut Vec<u8>, write: &Write) {
    match write {
        Write::Length(length) => bytes.resize(*length as usize, 0),
        Write::Bytes(offset, data) => {
            let (from, to) = (*offset as usize, *offset as usize + data.len());
            if bytes.len() < to {
                bytes.resize(to, 0);
            }
            bytes[from..to].copy_from_slice(data);
        }
    }
}

fn broken() -> io::Error {
    io::Error::from(rustix::io::Errno::IO)
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let content = self.0.lock().unwrap();
        let from = offset as usize;
        let bytes = content.bytes.get(from..from + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.operate(Some(Write::Length(length)))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.operate(None)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.operate(Some(Write::Bytes(offset, data.to_vec())))
    }
}

/// How one run of [`work`] ended.
struct Ended {
    /// The batches that were acknowledged, and their content.
    acknowledged: u64,
    handed_in: u64,
    failed: bool,
}

const BATCHES: u64 = 12;

/// Hands in batches one by one: number `n` adds record `n` and counts in another.
async fn work(store: Embedded) -> Ended {
    let limits = Limits {
        full_retry: Duration::from_millis(1),
        ..Limits::default()
    };
    let journal = Journal::start(store, limits).unwrap();
    let mut ended = Ended {
        acknowledged: 0,
        handed_in: 0,
        failed: false,
    };
    for number in 1..=BATCHES {
        let mut batch = Batch::default();
        batch.put(format!("r/{number:02}"), &"x".repeat(2000));
        batch.put("count", &number);
        let mark = journal.submit(batch);
        ended.handed_in = number;
        tokio::select! {
            () = journal.durable(mark) => ended.acknowledged = number,
            _ = journal.failed() => {
                ended.failed = true;
                assert!(journal.durable_mark() < mark);
                let later = journal.submit(Batch::default());
                let again = tokio::time::timeout(Duration::ZERO, journal.durable(later)).await;
                assert!(again.is_err(), "acknowledged after the failure");
                break;
            }
        }
    }
    assert_eq!(journal.durable_mark(), Mark(ended.acknowledged));
    journal.close().await;
    ended
}

/// The store holds a prefix of the batches, with all that were acknowledged.
fn check(store: &Embedded, ended: &Ended, about: &str) {
    let mut records = store.load().unwrap();
    let count = records.take::<u64>("count").unwrap();
    let count = count.first().map_or(0, |(_, count)| *count);
    assert!(count >= ended.acknowledged, "{about}: lost");
    assert!(count <= ended.handed_in, "{about}: invented");
    let there: BTreeMap<_, String> = records.take("r/").unwrap().into_iter().collect();
    let expected: Vec<_> = (1..=count).map(|number| format!("{number:02}")).collect();
    assert_eq!(there.into_keys().collect::<Vec<_>>(), expected, "{about}");
}

/// A disk with an empty store, and how many operations [`work`] needs on it.
async fn fresh() -> (Disk, u64) {
    let disk = Disk::default();
    drop(disk.store().unwrap());
    let measured = disk.after_power_cut(1);
    let store = measured.store().unwrap();
    measured.prepare(None);
    work(store).await;
    let operations = measured.operations();
    assert!(operations > BATCHES);
    (disk, operations)
}

#[tokio::test]
async fn an_error_at_any_operation_ends_it_and_loses_nothing() {
    let (empty, operations) = fresh().await;
    let mut failures = 0;
    for at in 0..operations {
        let disk = empty.after_power_cut(1);
        let store = disk.store().unwrap();
        disk.prepare(Some(Trouble::Error { at }));
        let ended = work(store).await;
        failures += u64::from(ended.failed);
        assert!(ended.failed || ended.acknowledged == BATCHES, "at {at}");
        disk.prepare(None);
        check(&disk.store().unwrap(), &ended, &format!("error at {at}"));
    }
    assert!(failures > BATCHES);
}

#[tokio::test]
async fn a_power_cut_at_any_operation_loses_nothing_acknowledged() {
    let (empty, operations) = fresh().await;
    for at in 0..operations {
        let disk = empty.after_power_cut(1);
        let store = disk.store().unwrap();
        disk.prepare(Some(Trouble::PowerCut { at }));
        let ended = work(store).await;
        // All of what was not flushed is there; none of it; some.
        for seed in [0, 1, 2, 3, 4, 5].map(|seed| seed + 100 * at * u64::from(seed > 1)) {
            let about = format!("power cut at {at}, seed {seed}");
            let disk = disk.after_power_cut(seed);
            check(&disk.store().unwrap(), &ended, &about);
        }
    }
}

#[tokio::test]
async fn a_disk_full_at_any_operation_holds_up_and_loses_nothing() {
    let (empty, operations) = fresh().await;
    for from in 0..operations {
        let disk = empty.after_power_cut(1);
        let store = disk.store().unwrap();
        disk.prepare(Some(Trouble::Full {
            from,
            until: from + 2,
        }));
        let ended = work(store).await;
        assert!(!ended.failed, "full from {from}");
        assert_eq!(ended.acknowledged, BATCHES);
        disk.prepare(None);
        check(&disk.store().unwrap(), &ended, &format!("full from {from}"));
    }
}

#[tokio::test]
async fn a_flush_that_fails_is_never_tried_again() {
    let (empty, operations) = fresh().await;
    let mut failures = 0;
    for at in 0..operations {
        let disk = empty.after_power_cut(1);
        let store = disk.store().unwrap();
        disk.prepare(Some(Trouble::FlushFull { at }));
        let ended = work(store).await;
        failures += u64::from(ended.failed);
        assert!(ended.failed || ended.acknowledged == BATCHES, "at {at}");
    }
    assert!(failures >= BATCHES, "{failures}");
}
