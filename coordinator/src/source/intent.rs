//! What pushes are about to do, durable before they do it.
//!
//! A record stands under `intent/<project>/<number>` from before git may move a ref
//! until each ref that moved has its pipeline: the batch that makes a pipeline
//! durable takes its ref out of the record. So after a crash what stands there is
//! exactly what is still to be settled.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use fleet_model::ProjectId;
use serde::{Deserialize, Serialize};

use crate::secret::{Sealed, Sealer, Unreadable};
use crate::store::{Batch, Error as StoreError, Journal, Mark, Records, number};

const PREFIX: &str = "intent/";

/// A push that is not settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Intent {
    pub(super) project: ProjectId,
    /// Later ones have greater numbers, in all projects.
    pub(super) number: u64,
    /// In the order of the push; those that are settled are gone.
    pub(super) refs: Vec<Move>,
    pub(super) user: String,
    pub(super) user_id: u64,
    /// The number of their token.
    pub(super) token: String,
    /// `git push -o`.
    pub(super) options: Vec<String>,
    pub(super) from: Option<SocketAddr>,
    /// Milliseconds since 1970.
    pub(super) at: u64,
}

/// A ref that the push asked to move, and was in a state to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Move {
    #[serde(rename = "ref")]
    pub(super) reference: String,
    /// What it named when git was started; zeros: it was not there.
    pub(super) old: String,
    pub(super) new: String,
    /// It is known that it moved.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) moved: bool,
}

/// An intent as it stands in the store.
#[derive(Serialize, Deserialize)]
struct Record {
    refs: Vec<Move>,
    user: String,
    user_id: u64,
    token: String,
    /// Options may set variables, and those may be secrets.
    options: Option<Sealed>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<SocketAddr>,
    at: u64,
}

/// All intents that are not settled; cheap to clone.
#[derive(Clone)]
pub(super) struct Intents {
    open: Arc<Mutex<BTreeMap<(ProjectId, u64), Intent>>>,
    next: Arc<AtomicU64>,
    journal: Journal,
    sealer: Sealer,
}

/// Why the intents of an earlier process cannot be taken over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// A record cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its options cannot be opened.
    #[error(transparent)]
    Sealed(#[from] Unreadable),
}

impl Intents {
    /// Takes over what an earlier process left in `records`.
    pub(super) fn load(
        records: &mut Records,
        journal: Journal,
        sealer: Sealer,
    ) -> Result<Intents, LoadError> {
        let mut open = BTreeMap::new();
        let mut last = 0;
        for (key, record) in records.take::<Record>(PREFIX)? {
            // Other keys than our own are not made.
            let Some((project, number)) = read_key(&key) else {
                continue;
            };
            let options = match &record.options {
                Some(sealed) => {
                    let text = sealer.open(&name(project, number), sealed)?;
                    serde_json::from_slice(&text).map_err(|source| StoreError::Corrupt {
                        key: name(project, number),
                        source,
                    })?
                }
                None => Vec::new(),
            };
            last = last.max(number);
            let intent = Intent {
                project,
                number,
                refs: record.refs,
                user: record.user,
                user_id: record.user_id,
                token: record.token,
                options,
                from: record.from,
                at: record.at,
            };
            open.insert((project, number), intent);
        }
        Ok(Intents {
            open: Arc::new(Mutex::new(open)),
            next: Arc::new(AtomicU64::new(last + 1)),
            journal,
            sealer,
        })
    }

    /// The number of the next intent.
    pub(super) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Those of a project, the oldest first.
    pub(super) fn of(&self, project: ProjectId) -> Vec<Intent> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.range((project, 0)..=(project, u64::MAX))
            .map(|(_, intent)| intent.clone())
            .collect()
    }

    /// The projects that have some.
    pub(super) fn projects(&self) -> Vec<ProjectId> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut projects: Vec<ProjectId> = open.keys().map(|(project, _)| *project).collect();
        projects.dedup();
        projects
    }

    /// Records an intent as it is now; one without refs is settled and goes.
    ///
    /// Nothing may follow from it before the mark is durable.
    pub(super) fn record(&self, intent: &Intent) -> Mark {
        let mark = self.journal.submit(self.change(intent));
        self.note(intent);
        mark
    }

    /// What makes the store have an intent as it is now; to be committed by another,
    /// with [`Intents::note`] once it is.
    pub(super) fn change(&self, intent: &Intent) -> Batch {
        let mut batch = Batch::default();
        let key = name(intent.project, intent.number);
        if intent.refs.is_empty() {
            batch.delete(key);
            return batch;
        }
        let options = (!intent.options.is_empty()).then(|| {
            let text = serde_json::to_vec(&intent.options).expect("texts can be written");
            self.sealer.seal(&key, &text)
        });
        let record = Record {
            refs: intent.refs.clone(),
            user: intent.user.clone(),
            user_id: intent.user_id,
            token: intent.token.clone(),
            options,
            from: intent.from,
            at: intent.at,
        };
        batch.put(key, &record);
        batch
    }

    /// Takes note of an intent as the store has it.
    pub(super) fn note(&self, intent: &Intent) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (intent.project, intent.number);
        if intent.refs.is_empty() {
            open.remove(&key);
        } else {
            open.insert(key, intent.clone());
        }
    }
}

/// The whole key, which is also what its sealed part is bound to.
fn name(project: ProjectId, intent: u64) -> String {
    format!("{PREFIX}{}/{}", number(project.0), number(intent))
}

fn read_key(key: &str) -> Option<(ProjectId, u64)> {
    let (project, number) = key.split_once('/')?;
    let hex = |text| u64::from_str_radix(text, 16).ok();
    Some((ProjectId(hex(project)?), hex(number)?))
}

/// Whether a ref that an intent names was moved by it.
///
/// `now` is what the ref names, `later` the intents of the project that came after.
/// Who moves a ref has the project to itself from its intent's record on, and nobody
/// begins before earlier ones are settled; so the ref itself says whether it moved.
/// Should a later push be on record all the same, what it found says it too.
pub(super) fn has_moved(asked: &Move, now: Option<&str>, later: &[Intent]) -> bool {
    asked.moved || {
        let found_by_later = later
            .iter()
            .flat_map(|intent| &intent.refs)
            .find(|other| other.reference == asked.reference);
        match found_by_later {
            Some(other) => other.old == asked.new,
            None => now == Some(asked.new.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(old: &str, new: &str) -> Move {
        Move {
            reference: "refs/heads/main".to_owned(),
            old: old.to_owned(),
            new: new.to_owned(),
            moved: false,
        }
    }

    fn later(old: &str, new: &str) -> Intent {
        Intent {
            project: ProjectId(1),
            number: 2,
            refs: vec![asked(old, new)],
            user: String::new(),
            user_id: 0,
            token: String::new(),
            options: Vec::new(),
            from: None,
            at: 0,
        }
    }

    #[test]
    fn the_ref_says_whether_it_moved() {
        assert!(has_moved(&asked("a", "b"), Some("b"), &[]));
        assert!(!has_moved(&asked("a", "b"), Some("a"), &[]));
        assert!(!has_moved(&asked("a", "b"), None, &[]));
    }

    #[test]
    fn a_later_push_says_whether_an_earlier_one_moved_the_ref() {
        // a -> b, then b -> c: both moved.
        assert!(has_moved(&asked("a", "b"), Some("c"), &[later("b", "c")]));
        assert!(has_moved(&asked("b", "c"), Some("c"), &[]));
        // The later one was cut off before it moved anything.
        assert!(has_moved(&asked("a", "b"), Some("b"), &[later("b", "c")]));
        // The earlier one never moved, the later one brought the same.
        assert!(!has_moved(&asked("a", "b"), Some("b"), &[later("a", "b")]));
        // It is known, wherever the ref is by now.
        let known = Move {
            moved: true,
            ..asked("a", "b")
        };
        assert!(has_moved(&known, Some("z"), &[later("y", "z")]));
    }
}
