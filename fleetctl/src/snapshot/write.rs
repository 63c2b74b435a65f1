//! Tree objects out of an index, without git: it writes only trees that are not
//! known, and never looks into (and so never touches) the user's object store.

use std::collections::BTreeMap;
use std::io;

use super::index::{Entry, FOLDER, GITLINK, Index, is_below};
use super::store::{Hash, Store};

/// What stands in the place of a path: a tree, or nothing.
pub(super) type Grafts = BTreeMap<Vec<u8>, Option<Hash>>;

/// Writes the tree of a folder and returns its hash; none where it has no files.
pub(super) fn tree(
    store: &Store,
    index: &Index,
    folder: &[u8],
    grafts: &Grafts,
) -> io::Result<Option<Hash>> {
    let entries = grafted(index.below(folder), folder, grafts);
    if entries.is_empty() {
        return Ok(None);
    }
    if let Some(known) = known(index, folder, grafts) {
        return Ok(Some(known.hash.clone()));
    }
    let mut open = vec![Open {
        folder: folder.to_vec(),
        items: Vec::new(),
    }];
    let mut at = 0;
    while let Some(entry) = entries.get(at) {
        while open.len() > 1 && !is_below(&entry.path, &open[open.len() - 1].folder) {
            close(store, &mut open)?;
        }
        let parent = &open[open.len() - 1].folder;
        let start = if parent.is_empty() {
            0
        } else {
            parent.len() + 1
        };
        let Some(slash) = entry.path[start..].iter().position(|byte| *byte == b'/') else {
            let item = Item::new(&entry.path[start..], entry.mode, entry.hash.clone());
            push(&mut open, item);
            at += 1;
            continue;
        };
        let subfolder = entry.path[..start + slash].to_vec();
        match known(index, &subfolder, grafts) {
            Some(tree) if covers(tree.entries, &entries[at..], &subfolder) => {
                push(
                    &mut open,
                    Item::new(&subfolder[start..], FOLDER, tree.hash.clone()),
                );
                at += tree.entries;
            }
            _ => open.push(Open {
                folder: subfolder,
                items: Vec::new(),
            }),
        }
    }
    while open.len() > 1 {
        close(store, &mut open)?;
    }
    let Some(top) = open.pop() else {
        return Ok(None);
    };
    top.write(store).map(Some)
}

/// The tree git's index knows for a folder, unless something is grafted into it.
fn known<'a>(index: &'a Index, folder: &[u8], grafts: &Grafts) -> Option<&'a super::index::Tree> {
    let is_grafted = grafts.keys().any(|path| is_below(path, folder));
    index.trees.get(folder).filter(|_| !is_grafted)
}

/// Whether a folder's entries are the first so many, and no more.
fn covers(count: usize, entries: &[Entry], folder: &[u8]) -> bool {
    let is_in = |at: usize| {
        entries
            .get(at)
            .is_some_and(|entry| is_below(&entry.path, folder))
    };
    count > 0 && is_in(count - 1) && !is_in(count)
}

/// The entries with those at the grafts' places replaced.
fn grafted(entries: &[Entry], folder: &[u8], grafts: &Grafts) -> Vec<Entry> {
    if grafts.is_empty() {
        return entries.to_vec();
    }
    let is_kept = |entry: &&Entry| entry.mode != GITLINK || !grafts.contains_key(&entry.path);
    let mut all: Vec<Entry> = entries.iter().filter(is_kept).cloned().collect();
    for (path, tree) in grafts.iter().filter(|(path, _)| is_below(path, folder)) {
        if let Some(hash) = tree {
            all.push(Entry {
                path: path.clone(),
                mode: FOLDER,
                hash: hash.clone(),
            });
        }
    }
    all.sort_by(|a, b| a.path.cmp(&b.path));
    all
}

/// A folder whose entries are being read.
struct Open {
    folder: Vec<u8>,
    items: Vec<Item>,
}

/// A line of a tree.
struct Item {
    name: Vec<u8>,
    mode: u32,
    hash: Hash,
}

impl Item {
    fn new(name: &[u8], mode: u32, hash: Hash) -> Item {
        Item {
            name: name.to_vec(),
            mode,
            hash,
        }
    }

    /// git sorts folders as if their names ended in a slash.
    fn sort_key(&self) -> Vec<u8> {
        let end: &[u8] = if self.mode == FOLDER { b"/" } else { b"" };
        [&self.name, end].concat()
    }
}

fn push(open: &mut [Open], item: Item) {
    if let Some(last) = open.last_mut() {
        last.items.push(item);
    }
}

/// Writes the innermost folder and hands it to the one around it.
fn close(store: &Store, open: &mut Vec<Open>) -> io::Result<()> {
    if let Some(done) = open.pop() {
        let name = done
            .folder
            .rsplit(|byte| *byte == b'/')
            .next()
            .unwrap_or_default()
            .to_vec();
        let hash = done.write(store)?;
        push(
            open,
            Item {
                name,
                mode: FOLDER,
                hash,
            },
        );
    }
    Ok(())
}

impl Open {
    fn write(mut self, store: &Store) -> io::Result<Hash> {
        self.items.sort_by_cached_key(Item::sort_key);
        let mut content = Vec::new();
        for item in self.items {
            content.extend_from_slice(format!("{:o} ", item.mode).as_bytes());
            content.extend_from_slice(&item.name);
            content.push(0);
            content.extend_from_slice(&item.hash);
        }
        store.write_object("tree", &content)
    }
}
