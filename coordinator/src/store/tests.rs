//! What the journal promises, over a store that does as it is told; then with the
//! real one, a full disk, and processes that are killed.

mod copies;
mod crash;
mod full;
mod journal;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use super::{Batch, Journal, Mark};

/// A batch with one record.
fn batch(key: &str, value: u64) -> Batch {
    let mut batch = Batch::default();
    batch.put(key, &value);
    batch
}

/// Waits until `mark` is durable; a minute is for ever here.
async fn durable(journal: &Journal, mark: Mark) {
    tokio::time::timeout(Duration::from_secs(60), journal.durable(mark))
        .await
        .unwrap();
}

/// Records as numbers.
fn numbers(records: super::Records) -> BTreeMap<String, u64> {
    let mut records = records;
    records.take("").unwrap().into_iter().collect()
}

/// This test program, to run one test of it in a process of its own; `module` is
/// the test's `module_path!()`.
fn again(program: &mut Command, module: &str, test: &str) {
    let (_, module) = module.split_once("::").unwrap();
    program
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{module}::{test}"), "--nocapture"])
        .arg("--test-threads=1");
}
