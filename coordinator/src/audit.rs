//! The audit log: who did what, one JSON object a line, each with the hash of
//! the line before it.

mod chain;

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use fleet_proto::v1;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub(crate) use chain::{Checked, verify};

/// The longest text of an entry, in bytes.
const MOST_TEXT: usize = 1024;

/// Writes the audit log; cheap to clone.
#[derive(Clone)]
pub(crate) struct Audit {
    log: Arc<Mutex<Log>>,
}

struct Log {
    path: PathBuf,
    file: File,
    /// The length of what is whole.
    end: u64,
    next: u64,
    /// SHA-256 of the last line, in hex.
    last: String,
}

/// How what somebody tried ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Ok,
    Denied,
    Error,
}

/// One entry.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'a> {
    /// `user:ann`, `agent:b3`, `anonymous`.
    pub(crate) actor: &'a str,
    /// `join`, `push`, `token.create` ...
    pub(crate) action: &'static str,
    /// `project:group/app`, `agent:b3` ...
    pub(crate) object: &'a str,
    pub(crate) verdict: Verdict,
    /// In words, without secrets.
    pub(crate) reason: &'a str,
    pub(crate) from: Option<SocketAddr>,
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
struct Line {
    /// Milliseconds since 1970.
    at: u64,
    /// Without gaps, from 1.
    seq: u64,
    /// SHA-256 of the line before, in hex; empty in the first.
    prev: String,
    actor: String,
    action: String,
    object: String,
    result: Verdict,
    reason: String,
    ip: String,
}

impl Audit {
    /// Opens the log, and makes it if it is not there. A last line that is not whole
    /// is cut off: nobody was answered on the strength of it.
    ///
    /// # Errors
    /// It cannot be opened, or its end is no entry.
    pub(crate) fn open(path: &Path) -> io::Result<Audit> {
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)?;
        let (mut end, mut last) = (0, None);
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
            end += line.len() as u64;
            line.pop();
            last = Some(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            tracing::warn!(path = %path.display(), "a torn last line of the audit log is cut off");
        }
        file.set_len(end)?;
        let next = match &last {
            Some(line) => serde_json::from_slice::<Line>(line)?.seq + 1,
            None => 1,
        };
        let log = Log {
            path: path.to_owned(),
            file,
            end,
            next,
            last: last.map_or_else(String::new, |line| hash(&line)),
        };
        Ok(Audit {
            log: Arc::new(Mutex::new(log)),
        })
    }

    /// Writes an entry; it is on disk when this returns.
    ///
    /// # Errors
    /// It cannot be written: what it is about must not be done then.
    pub(crate) fn log(&self, entry: Entry<'_>) -> io::Result<()> {
        let mut log = self.whole();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let line = Line {
            at: u64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(u64::MAX),
            seq: log.next,
            prev: log.last.clone(),
            actor: cut(entry.actor),
            action: entry.action.to_owned(),
            object: cut(entry.object),
            result: entry.verdict,
            reason: cut(entry.reason),
            ip: entry
                .from
                .map(|from| from.ip().to_string())
                .unwrap_or_default(),
        };
        let mut text = serde_json::to_vec(&line)?;
        let hash = hash(&text);
        text.push(b'\n');
        let written = log
            .file
            .write_all(&text)
            .and_then(|()| log.file.sync_data());
        if let Err(error) = written {
            // Half a line would make the next one unreadable.
            log.file.set_len(log.end)?;
            return Err(error);
        }
        log.end += text.len() as u64;
        log.next += 1;
        log.last = hash;
        Ok(())
    }

    /// The last entries, the newest first.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn tail(&self, limit: usize) -> io::Result<Vec<v1::AuditEntry>> {
        let path = self.whole().path.clone();
        let mut last = std::collections::VecDeque::new();
        for line in BufReader::new(File::open(path)?).lines() {
            last.push_front(line?);
            last.truncate(limit);
        }
        let entries = last
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok());
        Ok(entries.map(shown).collect())
    }

    /// Checks the chain from its first line to what this process wrote last: a log
    /// that somebody put in its place, or cut, does not end there.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn verify(&self) -> io::Result<Checked> {
        let (path, end, next, last) = {
            let log = self.whole();
            (log.path.clone(), log.end, log.next, log.last.clone())
        };
        let mut checked = verify(io::Read::take(File::open(path)?, end))?;
        if checked.broken.is_none() && (checked.entries + 1, &checked.head) != (next, &last) {
            checked.broken = Some(format!(
                "it ends with entry {}, which is not entry {}, the last that was written",
                checked.entries,
                next - 1
            ));
        }
        Ok(checked)
    }

    fn whole(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shown(line: Line) -> v1::AuditEntry {
    let result = match line.result {
        Verdict::Ok => "ok",
        Verdict::Denied => "denied",
        Verdict::Error => "error",
    };
    v1::AuditEntry {
        sequence: line.seq,
        at: line.at,
        actor: line.actor,
        action: line.action,
        object: line.object,
        result: result.to_owned(),
        reason: line.reason,
        address: line.ip,
    }
}

fn hash(line: &[u8]) -> String {
    let digest = Sha256::digest(line);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn cut(text: &str) -> String {
    let end = (0..=MOST_TEXT.min(text.len())).rev();
    let end = end.into_iter().find(|at| text.is_char_boundary(*at));
    text[..end.unwrap_or(0)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn entry(object: &str) -> Entry<'_> {
        Entry {
            actor: "user:ann",
            action: "push",
            object,
            verdict: Verdict::Ok,
            reason: "",
            from: None,
        }
    }

    #[test]
    fn a_log_that_was_cut_or_replaced_does_not_end_where_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        let audit = Audit::open(&path).unwrap();
        assert_eq!(audit.verify().unwrap().broken, None);
        for object in ["a", "b", "c"] {
            audit.log(entry(object)).unwrap();
        }
        let checked = audit.verify().unwrap();
        assert_eq!((checked.entries, checked.broken), (3, None));
        let text = std::fs::read_to_string(&path).unwrap();
        let two: Vec<&str> = text.split_inclusive('\n').take(2).collect();
        std::fs::write(&path, two.concat()).unwrap();
        let broken = audit.verify().unwrap().broken.unwrap();
        assert!(broken.contains("ends with entry 2"), "{broken}");
    }

    #[test]
    fn chain_goes_on_over_a_restart_and_a_torn_line_is_cut_off() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        let audit = Audit::open(&path).unwrap();
        audit.log(entry("project:a\n{}")).unwrap();
        audit.log(entry("project:b")).unwrap();
        let mut torn = OpenOptions::new().append(true).open(&path).unwrap();
        torn.write_all(b"{\"at\":1").unwrap();
        let audit = Audit::open(&path).unwrap();
        audit.log(entry("project:c")).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        let mut prev = String::new();
        for (seq, line) in (1..).zip(&lines) {
            let read: Line = serde_json::from_str(line).unwrap();
            assert_eq!((read.seq, &read.prev), (seq, &prev));
            prev = hash(line.as_bytes());
        }
        let newest = audit.tail(2).unwrap();
        let objects: Vec<&str> = newest.iter().map(|entry| entry.object.as_str()).collect();
        assert_eq!(objects, ["project:c", "project:b"]);
    }
}
