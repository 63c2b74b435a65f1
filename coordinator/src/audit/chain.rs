//! Whether a log is as it was written.

use std::io::{self, BufRead as _, BufReader, Read};

use super::{Line, hash};

/// What was found of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checked {
    /// Entries from the first on that are as they were written.
    pub(crate) entries: u64,
    /// SHA-256 of the last of them, in hex; empty where there is none.
    pub(crate) head: String,
    /// What is wrong after them, in words; none: nothing.
    pub(crate) broken: Option<String>,
}

/// Checks each line against the hash in the next one: lines that were changed,
/// removed, added or moved show. That the last lines are missing does not, unless
/// the `head` is compared with one noted elsewhere.
///
/// # Errors
/// It cannot be read.
pub(crate) fn verify(log: impl Read) -> io::Result<Checked> {
    let mut reader = BufReader::new(log);
    let mut checked = Checked {
        entries: 0,
        head: String::new(),
        broken: None,
    };
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(checked);
        }
        let number = checked.entries + 1;
        if line.pop() != Some(b'\n') {
            // Whoever writes cuts such an end off.
            let what = format!("line {number} is not whole: it was being written");
            checked.broken = Some(what);
            return Ok(checked);
        }
        let wrong = match serde_json::from_slice::<Line>(&line) {
            Err(error) => Some(format!("it is no entry ({error})")),
            Ok(read) if read.seq != number => Some(format!(
                "it is entry {}: lines were removed, added or moved",
                read.seq
            )),
            Ok(read) if read.prev != checked.head => Some(format!(
                "it does not follow line {}: one of the two was changed",
                checked.entries
            )),
            Ok(_) => None,
        };
        if let Some(wrong) = wrong {
            checked.broken = Some(format!("line {number} is not as it was written: {wrong}"));
            return Ok(checked);
        }
        checked.entries = number;
        checked.head = hash(&line);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::entry;
    use super::super::{Audit, Verdict};
    use super::*;

    fn lines() -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        let audit = Audit::open(&path).unwrap();
        for object in ["a", "b", "c", "d"] {
            audit.log(entry(object)).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        text.split_inclusive('\n').map(str::to_owned).collect()
    }

    fn found(lines: &[String]) -> (u64, String) {
        let checked = verify(lines.concat().as_bytes()).unwrap();
        (checked.entries, checked.broken.unwrap_or_default())
    }

    #[test]
    fn a_log_is_whole_as_it_was_written() {
        assert_eq!(found(&lines()), (4, String::new()));
        assert_eq!(found(&[]), (0, String::new()));
    }

    #[test]
    fn what_somebody_did_to_a_log_shows_where() {
        let written = lines();
        let with = |change: &dyn Fn(&mut Vec<String>)| {
            let mut lines = written.clone();
            change(&mut lines);
            found(&lines)
        };
        let (entries, why) = with(&|lines| lines[1] = lines[1].replace("\"b\"", "\"x\""));
        assert_eq!(entries, 2, "{why}");
        assert!(
            why.starts_with("line 3 ") && why.contains("does not follow line 2"),
            "{why}"
        );
        let (entries, why) = with(&|lines| drop(lines.remove(1)));
        assert!(entries == 1 && why.contains("it is entry 3"), "{why}");
        let (entries, why) = with(&|lines| lines.swap(2, 3));
        assert!(entries == 2 && why.contains("it is entry 4"), "{why}");
        let (entries, why) = with(&|lines| lines.insert(1, lines[0].clone()));
        assert!(entries == 1 && why.contains("it is entry 1"), "{why}");
        let (entries, why) = with(&|lines| drop(lines.remove(0)));
        assert!(entries == 0 && why.contains("it is entry 2"), "{why}");
        let (entries, why) = with(&|lines| lines[0] = "{}\n".into());
        assert!(entries == 0 && why.contains("no entry"), "{why}");
        let (entries, why) = with(&|lines| {
            lines[3].pop();
        });
        assert!(entries == 3 && why.contains("not whole"), "{why}");
    }

    #[test]
    fn a_verdict_that_was_changed_shows() {
        let mut lines = lines();
        assert!(lines[0].contains("\"ok\""), "{:?}", Verdict::Ok);
        lines[0] = lines[0].replace("\"ok\"", "\"denied\"");
        assert_eq!(found(&lines).0, 1);
    }
}
