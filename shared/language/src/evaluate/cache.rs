//! Cache keys, as far as the server works them out.

use std::collections::BTreeSet;

use fleet_model::Cache;
use sha1::{Digest, Sha1};

use super::event::Event;
use crate::config::{self, CacheKey};
use crate::glob::{self, Glob};

/// The caches of a job; what refers to variables in them is the agent's to
/// expand.
pub(super) fn planned(caches: &[config::Cache], event: &Event<'_>) -> Vec<Cache> {
    caches
        .iter()
        .enumerate()
        .map(|(index, cache)| {
            let protected = event.context.reference.protected && !cache.unprotect;
            let suffix = if protected {
                "protected"
            } else {
                "non_protected"
            };
            let key = key(&cache.key, index, event);
            Cache {
                key: format!("{key}-{suffix}"),
                fallback_keys: cache
                    .fallback_keys
                    .iter()
                    .map(|key| format!("{key}-{suffix}"))
                    .collect(),
                paths: cache.paths.clone(),
                untracked: cache.untracked,
                policy: cache.policy.clone(),
                when: cache.when,
            }
        })
        .collect()
}

fn key(key: &CacheKey, index: usize, event: &Event<'_>) -> String {
    match key {
        CacheKey::Text(text) => text.clone(),
        CacheKey::Files {
            files,
            by_commit,
            prefix,
        } => {
            // A repository of files has no history: their contents tell as well
            // whether there is something new, and stay the same for longer.
            let digest = files_digest(files, event);
            match prefix.as_deref() {
                None if *by_commit => format!("{index}-{digest}"),
                None => {
                    let names: Vec<&str> = files
                        .iter()
                        .map(|file| file.split('.').next().unwrap_or(file))
                        .collect();
                    format!("{index}_{}-{digest}", names.join("_"))
                }
                Some("") => digest,
                Some(prefix) => format!("{prefix}-{digest}"),
            }
        }
    }
}

/// The digest of the contents of the files that match, whatever their names;
/// `default` if none does.
fn files_digest(files: &[String], event: &Event<'_>) -> String {
    let mut blobs = BTreeSet::new();
    for file in files {
        let file = file.strip_prefix('/').unwrap_or(file);
        let mut add = |path: &str| {
            if let Some(content) = event.files.read(path) {
                blobs.insert(blob_id(&content));
            }
        };
        if glob::has_wildcards(file) {
            let glob = Glob::new(file);
            event
                .paths()
                .iter()
                .filter(|path| glob.is_match(path))
                .for_each(|path| add(path));
        } else {
            add(file);
        }
    }
    if blobs.is_empty() {
        return "default".to_owned();
    }
    let joined: Vec<String> = blobs.into_iter().collect();
    hex(&Sha1::digest(joined.join("-").as_bytes()))
}

/// Git's name for a content.
fn blob_id(content: &[u8]) -> String {
    let mut sha = Sha1::new();
    sha.update(format!("blob {}\0", content.len()).as_bytes());
    sha.update(content);
    hex(&sha.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
