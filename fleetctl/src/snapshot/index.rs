//! Reads git's index just far enough to find the repositories inside the
//! working tree (submodules and others): entries of mode 160000.
//!
//! Format: `gitformat-index(5)`, versions 2 to 4.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

const GITLINK: u32 = 0o160_000;
/// Size of an entry's stat data, before its hash.
const STAT_BYTES: usize = 40;

/// The paths of all gitlinks, in the index's order; none where the bytes are
/// not an index this knows.
pub(super) fn gitlinks(index: &[u8], hash_bytes: usize) -> Option<Vec<PathBuf>> {
    let mut reader = Reader { rest: index };
    if reader.take(4)? != b"DIRC" {
        return None;
    }
    let version = reader.u32()?;
    if !(2..=4).contains(&version) {
        return None;
    }
    let count = reader.u32()?;
    let mut links = Vec::new();
    let mut name = Vec::new();
    for _ in 0..count {
        let before = reader.rest.len();
        let stat = reader.take(STAT_BYTES)?;
        let mode = u32::from_be_bytes(stat.get(24..28)?.try_into().ok()?);
        reader.take(hash_bytes)?;
        let flags = reader.u16()?;
        if version >= 3 && flags & 0x4000 != 0 {
            reader.u16()?;
        }
        if version == 4 {
            let strip = reader.varint()?;
            name.truncate(name.len().checked_sub(strip)?);
        } else {
            name.clear();
        }
        name.extend_from_slice(reader.until_nul()?);
        if version < 4 {
            // The NUL just read is the first of one to eight.
            let used = before - reader.rest.len();
            reader.take(used.next_multiple_of(8) - used)?;
        }
        if mode == GITLINK {
            links.push(PathBuf::from(OsStr::from_bytes(&name)));
        }
    }
    Some(links)
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
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

    fn until_nul(&mut self) -> Option<&'a [u8]> {
        let at = self.rest.iter().position(|byte| *byte == 0)?;
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
            value = value.checked_add(1)?.checked_mul(128)?.checked_add(usize::from(byte & 0x7f))?;
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_index_is_no_index() {
        assert_eq!(gitlinks(b"", 20), None);
        assert_eq!(gitlinks(b"DIRC\0\0\0\x09\0\0\0\0", 20), None);
        assert_eq!(gitlinks(b"DIRC\0\0\0\x02\0\0\0\x01abc", 20), None);
        assert_eq!(gitlinks(b"DIRC\0\0\0\x02\0\0\0\0", 20), Some(Vec::new()));
    }
}
