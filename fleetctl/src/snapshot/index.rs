//! Reads git's index: its entries, and which trees it knows already.
//!
//! Format: `gitformat-index(5)`, versions 2 to 4.

use std::collections::BTreeMap;

/// A file, a link to a repository, or a folder outside a sparse checkout.
pub(super) const GITLINK: u32 = 0o160_000;
/// A folder.
pub(super) const FOLDER: u32 = 0o040_000;
/// Size of an entry's stat data, before its hash.
const STAT_BYTES: usize = 40;

/// What an index holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Index {
    /// The entries that a commit would have, in the index's order.
    pub(super) entries: Vec<Entry>,
    /// The trees that are known, by their folder (the top is empty).
    pub(super) trees: BTreeMap<Vec<u8>, Tree>,
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// From the repository's top; of a folder without the slash at its end.
    pub(super) path: Vec<u8>,
    /// As in a tree.
    pub(super) mode: u32,
    /// The object.
    pub(super) hash: Vec<u8>,
}

/// A tree as it was when nothing below its folder had changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tree {
    /// Entries of the index it stands for.
    pub(super) entries: usize,
    /// The object.
    pub(super) hash: Vec<u8>,
}

impl Index {
    /// Reads an index; none where the bytes are not one this knows.
    pub(super) fn parse(bytes: &[u8], hash_bytes: usize) -> Option<Index> {
        let mut reader = Reader { rest: bytes };
        if reader.take(4)? != b"DIRC" {
            return None;
        }
        let version = reader.u32()?;
        if !(2..=4).contains(&version) {
            return None;
        }
        let count = reader.u32()?;
        let mut index = Index::default();
        let mut path = Vec::new();
        for _ in 0..count {
            let (mode, hash, is_kept) = reader.entry(version, hash_bytes, &mut path)?;
            if is_kept {
                let path = path.strip_suffix(b"/").unwrap_or(&path).to_vec();
                index.entries.push(Entry { path, mode, hash });
            }
        }
        while reader.rest.len() > hash_bytes {
            let name = reader.take(4)?;
            let size = usize::try_from(reader.u32()?).ok()?;
            let content = reader.take(size)?;
            match name {
                b"TREE" => index.trees = trees(content, hash_bytes)?,
                // The entries would stand in another file.
                b"link" => return None,
                _ => {}
            }
        }
        Some(index)
    }

    /// The entries below a folder; all for the top.
    pub(super) fn below(&self, folder: &[u8]) -> &[Entry] {
        if folder.is_empty() {
            return &self.entries;
        }
        let first = [folder, b"/"].concat();
        let start = self.entries.partition_point(|entry| entry.path < first);
        let rest = &self.entries[start..];
        let count = rest
            .iter()
            .take_while(|entry| is_below(&entry.path, folder))
            .count();
        &rest[..count]
    }
}

/// Whether a path lies in a folder, at any depth.
pub(super) fn is_below(path: &[u8], folder: &[u8]) -> bool {
    folder.is_empty()
        || path
            .strip_prefix(folder)
            .is_some_and(|rest| rest.starts_with(b"/"))
}

/// The extension `TREE`: folders in pre-order, each with the number of entries it
/// stands for (negative: something in it changed), of its subfolders, and its hash.
fn trees(content: &[u8], hash_bytes: usize) -> Option<BTreeMap<Vec<u8>, Tree>> {
    let mut reader = Reader { rest: content };
    let mut known = BTreeMap::new();
    // The folders around the next one, with the subfolders each has left.
    let mut open: Vec<(Vec<u8>, usize)> = Vec::new();
    while !reader.rest.is_empty() {
        let name = reader.until(0)?;
        let entries: i64 = text(reader.until(b' ')?)?;
        let subfolders: usize = text(reader.until(b'\n')?)?;
        let folder = match open.last() {
            Some((parent, _)) if !parent.is_empty() => [parent.as_slice(), b"/", name].concat(),
            _ => name.to_vec(),
        };
        if let Ok(entries) = usize::try_from(entries) {
            let hash = reader.take(hash_bytes)?.to_vec();
            known.insert(folder.clone(), Tree { entries, hash });
        }
        if let Some((_, left)) = open.last_mut() {
            *left = left.checked_sub(1)?;
        }
        open.push((folder, subfolders));
        while open.last().is_some_and(|(_, left)| *left == 0) {
            open.pop();
        }
    }
    Some(known)
}

fn text<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// The next entry's mode and hash, and whether a commit would have it. `path`
    /// holds the entry before and then this one.
    fn entry(
        &mut self,
        version: u32,
        hash_bytes: usize,
        path: &mut Vec<u8>,
    ) -> Option<(u32, Vec<u8>, bool)> {
        let before = self.rest.len();
        let stat = self.take(STAT_BYTES)?;
        let mode = u32::from_be_bytes(stat.get(24..28)?.try_into().ok()?);
        let hash = self.take(hash_bytes)?.to_vec();
        let flags = self.u16()?;
        let more = if version >= 3 && flags & 0x4000 != 0 {
            self.u16()?
        } else {
            0
        };
        if version == 4 {
            let strip = self.varint()?;
            path.truncate(path.len().checked_sub(strip)?);
        } else {
            path.clear();
        }
        path.extend_from_slice(self.until(0)?);
        if version < 4 {
            // The NUL just read is the first of one to eight.
            let used = before - self.rest.len();
            self.take(used.next_multiple_of(8) - used)?;
        }
        // Of a conflict that could not be taken from disk our side counts; what
        // is only announced (`add --intent-to-add`) is no file yet.
        let stage = (flags >> 12) & 3;
        Some((mode, hash, (stage == 0 || stage == 2) && more & 0x2000 == 0))
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_be_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_be_bytes)
    }

    /// What stands before the next `end`, which is taken too.
    fn until(&mut self, end: u8) -> Option<&'a [u8]> {
        let at = self.rest.iter().position(|byte| *byte == end)?;
        let text = self.take(at)?;
        self.take(1)?;
        Some(text)
    }

    /// git's offset encoding, as in packs.
    fn varint(&mut self) -> Option<usize> {
        let mut byte = self.take(1)?[0];
        let mut value = usize::from(byte & 0x7f);
        while byte & 0x80 != 0 {
            byte = self.take(1)?[0];
            value = value
                .checked_add(1)?
                .checked_mul(128)?
                .checked_add(usize::from(byte & 0x7f))?;
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_index_is_no_index() {
        assert_eq!(Index::parse(b"", 20), None);
        assert_eq!(Index::parse(b"DIRC\0\0\0\x09\0\0\0\0", 20), None);
        assert_eq!(Index::parse(b"DIRC\0\0\0\x02\0\0\0\x01abc", 20), None);
        assert_eq!(
            Index::parse(b"DIRC\0\0\0\x02\0\0\0\0", 20),
            Some(Index::default())
        );
    }

    #[test]
    fn known_trees_are_read_with_their_folders() {
        let hash = |byte: u8| vec![byte; 20];
        let mut content = b"\x005 2\n".to_vec();
        content.extend(hash(1));
        content.extend(b"a\x00-1 1\n");
        content.extend(b"b\x002 0\n");
        content.extend(hash(2));
        content.extend(b"c\x001 0\n");
        content.extend(hash(3));
        let known = trees(&content, 20).unwrap();
        let folders: Vec<(&[u8], usize)> = known
            .iter()
            .map(|(folder, tree)| (folder.as_slice(), tree.entries))
            .collect();
        assert_eq!(folders, [(&b""[..], 5), (b"a/b", 2), (b"c", 1)]);
        assert_eq!(known[&b"a/b"[..]].hash, hash(2));
        assert_eq!(trees(&content[..30], 20), None);
    }

    #[test]
    fn entries_below_a_folder_are_found_among_similar_names() {
        let paths = ["a", "sub-dir/x", "sub.txt", "sub/a", "sub/b/c", "sub0"];
        let entry = |path: &&str| Entry {
            path: path.as_bytes().to_vec(),
            mode: 0,
            hash: Vec::new(),
        };
        let index = Index {
            entries: paths.iter().map(entry).collect(),
            ..Index::default()
        };
        let below = |folder: &str| {
            let found = index.below(folder.as_bytes()).iter();
            found
                .map(|entry| String::from_utf8(entry.path.clone()).unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(below("sub"), ["sub/a", "sub/b/c"]);
        assert_eq!(below("sub/b"), ["sub/b/c"]);
        assert_eq!(below("none"), Vec::<String>::new());
        assert_eq!(below("").len(), 6);
    }
}
