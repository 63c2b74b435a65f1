//! How far a pull is, in one line now and then.

use std::collections::BTreeMap;
use std::time::Duration;

use bollard::models::CreateImageInfo;
use tokio::time::Instant;

/// Between two lines.
const EVERY: Duration = Duration::from_secs(10);
/// An engine that names more layers than this is not believed.
const LAYERS: usize = 1024;

/// What an engine tells of a pull under way.
pub(super) struct Progress {
    layers: BTreeMap<String, Layer>,
    said: Instant,
    moved: Instant,
    digest: Option<String>,
}

#[derive(Clone, Default, PartialEq, Eq)]
struct Layer {
    status: String,
    loaded: u64,
    total: u64,
    done: bool,
}

impl Progress {
    pub(super) fn new(now: Instant) -> Progress {
        Progress {
            layers: BTreeMap::new(),
            said: now,
            moved: now,
            digest: None,
        }
    }

    /// When something last came of it; that a layer is tried again is nothing.
    pub(super) fn moved(&self) -> Instant {
        self.moved
    }

    /// The digest of what was pulled.
    pub(super) fn digest(self) -> Option<String> {
        self.digest
    }

    /// Takes a piece of news; a line for the job's log if one is due.
    pub(super) fn take(&mut self, news: &CreateImageInfo, now: Instant) -> Option<String> {
        let status = news.status.as_deref().unwrap_or_default();
        if let Some(digest) = status.strip_prefix("Digest: ") {
            self.digest = Some(digest.trim().to_owned());
        }
        let id = news.id.as_deref().unwrap_or_default();
        if !is_layer(id) || self.layers.len() == LAYERS && !self.layers.contains_key(id) {
            self.moved = now;
            return None;
        }
        if status.starts_with("Retrying") {
            return None;
        }
        let layer = self.layers.entry(id.to_owned()).or_default();
        let before = layer.clone();
        layer.status = status.to_owned();
        match status {
            "Downloading" => {
                let detail = news.progress_detail.as_ref();
                let bytes =
                    |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
                layer.loaded = bytes(detail.and_then(|d| d.current)).unwrap_or(layer.loaded);
                layer.total = bytes(detail.and_then(|d| d.total)).unwrap_or(layer.total);
            }
            "Verifying Checksum" | "Download complete" => layer.loaded = layer.total,
            "Pull complete" | "Already exists" => {
                layer.loaded = layer.total;
                layer.done = true;
            }
            _ => {}
        }
        // An engine says again and again how far it has unpacked a layer.
        if *layer != before || status == "Extracting" {
            self.moved = now;
        }
        if now.duration_since(self.said) < EVERY {
            return None;
        }
        self.said = now;
        Some(self.line())
    }

    fn line(&self) -> String {
        let sum = |part: fn(&Layer) -> u64| self.layers.values().map(part).sum::<u64>();
        let done = self.layers.values().filter(|layer| layer.done).count();
        format!(
            "{} of {} downloaded, {done} of {} layers ready",
            size(sum(|layer| layer.loaded)),
            size(sum(|layer| layer.total)),
            self.layers.len()
        )
    }
}

/// The short names of layers; other news has a tag there, or nothing.
fn is_layer(id: &str) -> bool {
    id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn size(bytes: u64) -> String {
    let megabytes = bytes as f64 / 1e6;
    format!("{megabytes:.1} MB")
}
