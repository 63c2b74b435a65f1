//! Commits and files of a repository, read through one git process.
//!
//! For a thread that may block: the compiler asks for files when it wants them.

use std::cell::RefCell;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use fleet_language::{Commit, Files};

use super::git::{Error, git};
use super::names;

/// Bytes that are read of a file: more than the compiler takes, which says so. The
/// few beyond let a character that is cut at the end be left out.
const MOST_OF_FILE: u64 = (2 << 20) + 4;
/// Bytes of the list of a commit's files.
const MOST_OF_PATHS: u64 = 64 << 20;
/// Bytes of a line git answers with: a hash, and what was asked for.
const MOST_OF_LINE: u64 = 64 << 10;

/// Reads a repository.
pub(crate) struct Objects {
    repository: PathBuf,
    batch: Option<Batch>,
    stop: Stop,
}

/// Ends the processes of an [`Objects`] from elsewhere: all it is asked fails then.
#[derive(Clone, Default)]
pub(crate) struct Stop(Arc<Mutex<Running>>);

#[derive(Default)]
struct Running {
    stopped: bool,
    children: Vec<Child>,
}

impl Stop {
    pub(crate) fn stop(&self) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.stopped = true;
        running.end();
    }

    /// Starts a process that [`Stop::stop`] ends.
    fn start(&self, mut command: Command) -> Result<Process, Error> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if running.stopped {
            return Err(Error::Start(io::ErrorKind::TimedOut.into()));
        }
        let mut child = command
            .stderr(Stdio::null())
            .spawn()
            .map_err(Error::Start)?;
        let process = Process {
            id: child.id(),
            stdin: child.stdin.take(),
            stdout: child.stdout.take().expect("stdout is piped"),
        };
        running.children.push(child);
        Ok(process)
    }

    /// Ends a process whose answers nobody wants any more.
    fn end(&self, id: u32) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = running.children.iter().position(|child| child.id() == id) {
            let mut child = running.children.swap_remove(at);
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Waits for the end of a process that has nothing more to say.
    fn wait(&self, id: u32) -> io::Result<bool> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match running.children.iter().position(|child| child.id() == id) {
            Some(at) => Ok(running.children.swap_remove(at).wait()?.success()),
            None => Ok(false),
        }
    }
}

/// What is needed of a process while it runs.
struct Process {
    id: u32,
    /// If it was asked for.
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
}

impl Running {
    fn end(&mut self) {
        for mut child in self.children.drain(..) {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// `git cat-file --batch`: a question a line, answers with their sizes.
struct Batch {
    process: u32,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// An object as git answers it.
struct Object {
    hash: String,
    kind: String,
    /// Its start, where it is larger than is read.
    content: Vec<u8>,
}

impl Objects {
    pub(super) fn new(repository: PathBuf, stop: Stop) -> Objects {
        Objects {
            repository,
            batch: None,
            stop,
        }
    }

    /// The commit that `object` is, or that the tag `object` points to; none where
    /// there is none.
    ///
    /// # Errors
    /// Git does not work.
    pub(crate) fn commit(&mut self, object: &str) -> Result<Option<Commit>, Error> {
        if !names::is_object(object) {
            return Ok(None);
        }
        let found = self.read(&format!("{object}^{{commit}}"))?;
        Ok(found
            .filter(|found| found.kind == "commit")
            .map(|found| commit(found.hash, &found.content)))
    }

    /// The bytes of a file of a commit; none where it has no such file. Links are
    /// followed where they stay inside.
    ///
    /// # Errors
    /// Git does not work.
    pub(crate) fn file(&mut self, commit: &str, path: &str) -> Result<Option<Vec<u8>>, Error> {
        // Git takes `./a` for relative to a folder, and ends.
        let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
        if path.contains(['\n', '\0']) || path.len() > 4096 || !path.split('/').all(plain) {
            return Ok(None);
        }
        let found = self.read(&format!("{commit}:{path}"))?;
        Ok(found
            .filter(|found| found.kind == "blob")
            .map(|found| found.content))
    }

    /// The paths of all files of a commit.
    ///
    /// # Errors
    /// Git does not work, or there are too many.
    pub(crate) fn paths(&mut self, commit: &str) -> Result<Vec<String>, Error> {
        self.list("ls-tree", &["--full-tree"], &["--end-of-options", commit])
    }

    /// The paths that a git command lists.
    fn list(
        &self,
        name: &'static str,
        options: &[&str],
        of: &[&str],
    ) -> Result<Vec<String>, Error> {
        let mut command = git(&self.repository);
        command.args([name, "-r", "-z", "--name-only"]);
        command.args(options).args(of);
        let process = self.stop.start(command)?;
        let failed = || Error::file("read the tree of a commit in", &self.repository);
        let mut list = Vec::new();
        let stdout = process
            .stdout
            .take(MOST_OF_PATHS + 1)
            .read_to_end(&mut list);
        if stdout.is_err() || list.len() as u64 > MOST_OF_PATHS {
            self.stop.end(process.id);
            stdout.map_err(failed())?;
            return Err(Error::TooMuch {
                command: name,
                most: list.len() - 1,
            });
        }
        if !self.stop.wait(process.id).map_err(failed())? {
            return Err(Error::Failed {
                command: name,
                words: "the tree of the commit cannot be read".to_owned(),
            });
        }
        Ok(split(&list))
    }

    /// The paths that differ between a commit and where it parted from a tag, a branch
    /// or a commit; none where there is no such thing.
    ///
    /// # Errors
    /// Git does not work, or there are too many.
    pub(crate) fn changed_since(
        &mut self,
        commit: &str,
        reference: &str,
    ) -> Result<Option<Vec<String>>, Error> {
        let full = ["tags", "heads"].map(|kind| format!("refs/{kind}/{reference}"));
        let mut names: Vec<&str> = full.iter().map(String::as_str).collect();
        names.retain(|name| names::check(name).is_ok());
        if names::is_object(reference) {
            names.insert(0, reference);
        }
        for name in names {
            let Some(found) = self.read(&format!("{name}^{{commit}}"))? else {
                continue;
            };
            let words = ["--merge-base", "--end-of-options", &found.hash, commit];
            return self.list("diff-tree", &["--no-renames"], &words).map(Some);
        }
        Ok(None)
    }

    /// Asks for one object by a name that git understands.
    fn read(&mut self, name: &str) -> Result<Option<Object>, Error> {
        let mut batch = match self.batch.take() {
            Some(batch) => batch,
            None => self.start()?,
        };
        let failed = Error::file("read an object of", &self.repository);
        let (found, reusable) = batch.ask(name).map_err(|error| {
            self.stop.end(batch.process);
            failed(error)
        })?;
        if reusable {
            self.batch = Some(batch);
        } else {
            self.stop.end(batch.process);
        }
        Ok(found)
    }

    fn start(&self) -> Result<Batch, Error> {
        let mut command = git(&self.repository);
        command.args(["cat-file", "--batch", "--follow-symlinks"]);
        command.stdin(Stdio::piped());
        let process = self.stop.start(command)?;
        Ok(Batch {
            process: process.id,
            questions: process.stdin.expect("stdin is piped"),
            answers: BufReader::new(process.stdout),
        })
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        if let Some(batch) = &self.batch {
            self.stop.end(batch.process);
        }
    }
}

impl Batch {
    /// The object, and whether the next answer can be read.
    fn ask(&mut self, name: &str) -> io::Result<(Option<Object>, bool)> {
        self.questions.write_all(name.as_bytes())?;
        self.questions.write_all(b"\n")?;
        let mut line = Vec::new();
        (&mut self.answers)
            .take(MOST_OF_LINE)
            .read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = String::from_utf8_lossy(&line);
        // `<hash> <type> <size>`, or `<why not> <size>` with the path of a link, or
        // `<name> missing`.
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            [hash, kind, size] if names::is_object(hash) => {
                let size: u64 = size.parse().map_err(io::Error::other)?;
                let (content, whole) = self.content(size)?;
                let object = Object {
                    hash: hash.to_owned(),
                    kind: kind.to_owned(),
                    content,
                };
                Ok((Some(object), whole))
            }
            ["symlink" | "dangling" | "loop" | "notdir", size] => {
                let size: u64 = size.parse().map_err(io::Error::other)?;
                Ok((None, self.content(size)?.1))
            }
            _ => Ok((None, true)),
        }
    }

    /// The start of a content, and whether that was all of it.
    fn content(&mut self, size: u64) -> io::Result<(Vec<u8>, bool)> {
        let mut content = Vec::new();
        let taken = size.min(MOST_OF_FILE);
        (&mut self.answers).take(taken).read_to_end(&mut content)?;
        if content.len() as u64 != taken {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if size > taken {
            return Ok((without_cut_character(content), false));
        }
        let mut end = [0];
        self.answers.read_exact(&mut end)?;
        Ok((content, true))
    }
}

fn without_cut_character(mut text: Vec<u8>) -> Vec<u8> {
    if let Err(error) = std::str::from_utf8(&text)
        && error.error_len().is_none()
    {
        let valid = error.valid_up_to();
        text.truncate(valid);
    }
    text
}

/// What went wrong first while the compiler asked: what it made of the answers is worth
/// nothing then.
#[derive(Clone, Default)]
pub(crate) struct Failure(Rc<RefCell<Option<Error>>>);

impl Failure {
    pub(crate) fn take(&self) -> Option<Error> {
        self.0.borrow_mut().take()
    }

    fn unless<T>(&self, answer: Result<T, Error>) -> Option<T> {
        match answer {
            Ok(answer) => Some(answer),
            Err(error) => {
                self.0.borrow_mut().get_or_insert(error);
                None
            }
        }
    }
}

/// The files of one commit, as the compiler asks for them.
pub(crate) struct AtCommit {
    objects: RefCell<Objects>,
    commit: String,
    failure: Failure,
}

impl AtCommit {
    pub(crate) fn new(objects: Objects, commit: &str, failure: Failure) -> AtCommit {
        AtCommit {
            objects: RefCell::new(objects),
            commit: commit.to_owned(),
            failure,
        }
    }
}

impl Files for AtCommit {
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        let answer = self.objects.borrow_mut().file(&self.commit, path);
        self.failure.unless(answer).flatten()
    }

    fn paths(&self) -> Vec<String> {
        let answer = self.objects.borrow_mut().paths(&self.commit);
        self.failure.unless(answer).unwrap_or_default()
    }

    fn changed_since(&self, reference: &str) -> Option<Vec<String>> {
        let mut objects = self.objects.borrow_mut();
        let answer = objects.changed_since(&self.commit, reference);
        self.failure.unless(answer).flatten()
    }
}

/// Names that end in NUL; what is not UTF-8 in them is replaced.
pub(super) fn split(list: &[u8]) -> Vec<String> {
    list.split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect()
}

/// A commit as git stores it.
fn commit(sha: String, content: &[u8]) -> Commit {
    let end = content.windows(2).position(|pair| pair == b"\n\n");
    let (header, message) = match end {
        Some(end) => (&content[..end], &content[end + 2..]),
        None => (content, &[][..]),
    };
    let field = |name: &[u8]| {
        let mut lines = header.split(|byte| *byte == b'\n');
        let found = lines.find_map(|line| line.strip_prefix(name));
        String::from_utf8_lossy(found.unwrap_or_default()).into_owned()
    };
    let author = field(b"author ");
    let name_ends = author.rfind('>').map_or(author.len(), |at| at + 1);
    Commit {
        sha,
        message: String::from_utf8_lossy(message).into_owned(),
        author: author[..name_ends].to_owned(),
        timestamp: date(&field(b"committer ")).unwrap_or_default(),
    }
}

/// The date of `Name <mail> seconds zone` in ISO 8601 with its zone.
fn date(identity: &str) -> Option<String> {
    let (_, date) = identity.rsplit_once('>')?;
    let (seconds, zone) = date.trim().split_once(' ')?;
    let zone: i32 = zone.parse().ok()?;
    let offset = (zone / 100)
        .checked_mul(3600)?
        .checked_add((zone % 100) * 60)?;
    let offset = jiff::tz::Offset::from_seconds(offset).ok()?;
    let time = jiff::Timestamp::from_second(seconds.parse().ok()?).ok()?;
    let local = offset.to_datetime(time).strftime("%Y-%m-%dT%H:%M:%S");
    let sign = if zone < 0 { '-' } else { '+' };
    let (hours, minutes) = (zone.abs() / 100, zone.abs() % 100);
    Some(format!("{local}{sign}{hours:02}:{minutes:02}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_read_as_git_stores_it() {
        let content = b"tree 4b825dc\nauthor A \xff B <a@b> 1700000000 -0230\ncommitter C <c@d> 0 +0000\ngpgsig x\n y\n\nsubject\n\nbody\n";
        let commit = commit("abc".to_owned(), content);
        assert_eq!(commit.message, "subject\n\nbody\n");
        assert_eq!(commit.author, "A \u{fffd} B <a@b>");
        assert_eq!(commit.timestamp, "1970-01-01T00:00:00+00:00");
        assert_eq!(
            date("C <c@d> 1700000000 -0230").as_deref(),
            Some("2023-11-14T19:43:20-02:30")
        );
        for odd in [
            "",
            "C <c> x +0",
            "C <c> 1 +999999999",
            "C <c> 1",
            "C <c> 1 -2147483648",
        ] {
            assert_eq!(date(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_cut_character_is_left_out() {
        assert_eq!(without_cut_character("aß".as_bytes()[..2].to_vec()), b"a");
        assert_eq!(without_cut_character(b"\xffa".to_vec()), b"\xffa");
    }
}
