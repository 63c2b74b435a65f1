//! Which files belong to an artifact or a cache.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::FileType;

use super::Report;
use super::beneath::{Root, kind};
use crate::glob::{Glob, Pattern};
use crate::log::Line;

/// What is asked for, variables already expanded.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Globs, relative to the project or absolute inside it.
    pub paths: &'a [String],
    /// Globs taken out again.
    pub exclude: &'a [String],
    /// Also all that git does not track.
    pub untracked: bool,
}

/// Finds the files of `request` in `root`, which is open at `project`.
///
/// Paths are relative to the project, `.` being itself, in byte order. A
/// folder brings all that is below it; links are taken as links. What is not
/// found is reported and no error, as gitlab-runner does.
pub fn select(
    root: &Root,
    project: &Path,
    request: &Request<'_>,
    report: Report<'_>,
) -> BTreeSet<OsString> {
    let mut selection = Selection {
        root,
        project,
        exclude: Vec::new(),
        excluded: BTreeMap::new(),
        found: BTreeSet::new(),
        report,
    };
    selection.read_excludes(request.exclude);
    for item in request.paths {
        selection.add_item(item);
    }
    if request.untracked {
        selection.add_untracked();
    }
    selection.finish()
}

struct Selection<'a> {
    root: &'a Root,
    project: &'a Path,
    exclude: Vec<(&'a str, Glob)>,
    /// How often each pattern took something out.
    excluded: BTreeMap<usize, u64>,
    found: BTreeSet<OsString>,
    report: Report<'a>,
}

impl<'a> Selection<'a> {
    fn read_excludes(&mut self, patterns: &'a [String]) {
        for pattern in patterns {
            let Some(relative) = relative(pattern, self.project) else {
                self.warn(format!(
                    "isExcluded: artifact path is not a subpath of project directory: {pattern}"
                ));
                continue;
            };
            match Glob::new(&relative) {
                Ok(glob) => self.exclude.push((pattern, glob)),
                Err(error) => self.warn(format!("{pattern}: {error}")),
            }
        }
    }

    fn add_item(&mut self, item: &str) {
        if item.is_empty() {
            return self.warn("No matching files. Path is empty.".into());
        }
        let Some(relative) = relative(item, self.project) else {
            return self.warn(format!(
                "processPath: artifact path is not a subpath of project directory: {item}"
            ));
        };
        let glob = match Glob::new(&relative) {
            Ok(glob) => glob,
            Err(error) => return self.warn(format!("{item}: {error}")),
        };
        let mut count = 0;
        for pattern in glob.alternatives() {
            count += self.add_pattern(pattern);
        }
        if count == 0 {
            let project = self.project.display();
            self.warn(format!(
                "{item}: no matching files. Ensure that the artifact path is relative to the working directory ({project})"
            ));
        } else {
            self.say(format!(
                "{item}: found {count} matching artifact files and directories"
            ));
        }
    }

    /// Adds what one pattern without braces matches; returns how much.
    fn add_pattern(&mut self, pattern: &Pattern) -> u64 {
        let base = pattern.literal_prefix();
        let path: PathBuf = base.iter().collect();
        if pattern.depth() == Some(base.len()) {
            if !self.root.leads_somewhere(&path) {
                return 0;
            }
            let count = self.add(&path, 1);
            let folder = self
                .root
                .stat(&path)
                .is_ok_and(|stat| kind(&stat) == FileType::Directory);
            return if folder {
                count + self.add_below(path, 1, None)
            } else {
                count
            };
        }
        let names: Vec<&str> = base.iter().map(String::as_str).collect();
        let itself = u64::from(!names.is_empty() && pattern.matches(&names));
        let count = if itself > 0 {
            self.add(&path, itself)
        } else {
            0
        };
        count + self.add_below(path, itself, Some(pattern))
    }

    /// Walks what is below `path`. Each match of the pattern brings all below
    /// it once more, so whatever lies below several matches counts as often:
    /// `weight` is how many there are on the way to `path`.
    fn add_below(&mut self, path: PathBuf, weight: u64, pattern: Option<&Pattern>) -> u64 {
        let mut count = 0;
        let mut folders = vec![(path, weight)];
        while let Some((folder, weight)) = folders.pop() {
            // Not a folder, or gone meanwhile.
            let Ok(entries) = self.root.list(&folder) else {
                continue;
            };
            for (name, is_folder) in entries {
                let path = if folder == Path::new(".") {
                    name.into()
                } else {
                    folder.join(name)
                };
                let text = path.to_string_lossy();
                let names: Vec<&str> = text.split('/').collect();
                let matches = pattern.is_some_and(|pattern| pattern.matches(&names));
                let weight = weight + u64::from(matches);
                if weight > 0 {
                    count += self.add(&path, weight);
                }
                let reach = pattern.map(Pattern::depth);
                let deeper =
                    reach.is_some_and(|depth| depth.is_none_or(|depth| names.len() < depth));
                if is_folder && (weight > 0 || deeper) {
                    folders.push((path, weight));
                }
            }
        }
        count
    }

    /// Adds `path`, `weight` times, unless it is excluded; returns how often.
    fn add(&mut self, path: &Path, weight: u64) -> u64 {
        let text = path.to_string_lossy();
        if let Some(index) = self
            .exclude
            .iter()
            .position(|(_, glob)| glob.matches(&text))
        {
            *self.excluded.entry(index).or_default() += weight;
            return 0;
        }
        self.found.insert(path.as_os_str().to_owned());
        weight
    }

    fn add_untracked(&mut self) {
        let files = match untracked(self.project) {
            Ok(files) => files,
            Err(error) => return self.warn(format!("untracked: {error}")),
        };
        let mut count = 0;
        for file in files {
            if self.root.stat(&file).is_ok() {
                count += self.add(&file, 1);
            }
        }
        if count == 0 {
            self.warn("untracked: no files".into());
        } else {
            self.say(format!("untracked: found {count} files"));
        }
    }

    fn finish(mut self) -> BTreeSet<OsString> {
        let mut lines: Vec<String> = std::mem::take(&mut self.excluded)
            .iter()
            .map(|(&index, count)| format!("{}: excluded {count} files", self.exclude[index].0))
            .collect();
        lines.sort_unstable();
        for line in lines {
            self.say(line);
        }
        self.found
    }

    fn say(&mut self, text: String) {
        (self.report)(Line::Plain(text));
    }

    fn warn(&mut self, text: String) {
        (self.report)(Line::Warning(text));
    }
}

/// `item` relative to the project; `None` if it lies outside.
///
/// Only the part before the first wildcard can be absolute or lead out on its
/// way; the whole is cleaned as text then, as Go's `path.Clean` does.
fn relative(item: &str, project: &Path) -> Option<String> {
    let (base, pattern) = split(item);
    if !base.starts_with('/') {
        return clean(&format!(
            "{base}{}{pattern}",
            if base.is_empty() { "" } else { "/" }
        ));
    }
    let (base, project) = (clean(base)?, clean(project.to_str()?)?);
    let base = Path::new(&base).strip_prefix(project).ok()?.to_str()?;
    clean(Path::new(base).join(pattern).to_str()?)
}

/// Cuts at the last `/` before the first wildcard, if there is one.
fn split(item: &str) -> (&str, &str) {
    let mut slash = None;
    let mut bytes = item.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'/' => slash = Some(at),
            b'*' | b'?' | b'[' | b'{' => {
                return match slash {
                    None => ("", item),
                    Some(at) => (&item[..at.max(1)], &item[at + 1..]),
                };
            }
            _ => {}
        }
    }
    (item, "")
}

/// Without `.`, `..` and empty components; `None` if it leads out.
fn clean(path: &str) -> Option<String> {
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()?),
            _ => names.push(name),
        }
    }
    let clean = names.join("/");
    Some(match (path.starts_with('/'), clean.is_empty()) {
        (true, _) => format!("/{clean}"),
        (false, true) => ".".into(),
        (false, false) => clean,
    })
}

/// Everything git sees and does not track, ignored files too.
fn untracked(project: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |error: std::io::Error| format!("git ls-files: {error}");
    // The repository is the job's, and its configuration could have git do anything:
    // of it only the index is read, as that of a repository that has none.
    let own = tempfile::tempdir().map_err(failed)?;
    for folder in ["objects", "refs"] {
        std::fs::create_dir(own.path().join(folder)).map_err(failed)?;
    }
    std::fs::write(own.path().join("HEAD"), "ref: refs/heads/none\n").map_err(failed)?;
    let index = project.join(".git/index");
    let is_file = std::fs::symlink_metadata(&index).is_ok_and(|found| found.is_file());
    if !is_file && !project.join(".git").exists() {
        return Err("git ls-files: there is no git repository".to_owned());
    }
    let index = if is_file {
        index
    } else {
        own.path().join("index")
    };
    let output = Command::new("git")
        .args(["-c", "core.fsmonitor=false"])
        .args(["ls-files", "-o", "-z"])
        .current_dir(project)
        .env("GIT_DIR", own.path())
        .env("GIT_WORK_TREE", project)
        .env("GIT_INDEX_FILE", index)
        .env("GIT_TERMINAL_PROMPT", "0")
        .output()
        .map_err(|error| format!("git ls-files: {error}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(format!("git ls-files: {}", text.trim()));
    }
    let names = output
        .stdout
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty());
    Ok(names
        .map(|name| {
            let name = name.strip_suffix(b"/").unwrap_or(name);
            PathBuf::from(OsString::from_vec(name.to_vec()))
        })
        .collect())
}

/// Whether `path` is git's own folder or something in it.
pub(super) fn in_git_folder(path: &Path) -> bool {
    path.components()
        .any(|component| component.as_os_str() == ".git")
}

/// Says once that an archive touches git's own folder.
pub(super) fn warn_of_git_folder(action: &str, report: Report<'_>) {
    report(Line::Warning(format!(
        "Part of .git directory is on the list of files to {action}"
    )));
    report(Line::Warning(
        "This may introduce unexpected problems".into(),
    ));
}
