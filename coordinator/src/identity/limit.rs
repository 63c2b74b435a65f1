//! How often something may happen from one address.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are counted at once; beyond that none is let through.
const MOST_ADDRESSES: usize = 10_000;

/// Counts in windows of a minute.
pub(super) struct Limit {
    most: u32,
    since: Instant,
    counts: BTreeMap<Option<IpAddr>, u32>,
}

impl Limit {
    /// At most `most` a minute and address.
    pub(super) fn new(most: u32) -> Limit {
        Limit {
            most,
            since: Instant::now(),
            counts: BTreeMap::new(),
        }
    }

    /// Counts one more; false if it is one too many.
    pub(super) fn take(&mut self, from: Option<IpAddr>) -> bool {
        if self.is_reached(from) {
            return false;
        }
        *self.counts.entry(from).or_default() += 1;
        true
    }

    /// Whether no more are let through now.
    pub(super) fn is_reached(&mut self, from: Option<IpAddr>) -> bool {
        if self.since.elapsed() > WINDOW {
            self.since = Instant::now();
            self.counts.clear();
        }
        match self.counts.get(&from) {
            Some(count) => *count >= self.most,
            None => self.counts.len() >= MOST_ADDRESSES,
        }
    }
}
