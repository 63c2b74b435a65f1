//! The working tree as it is on disk, as a commit jobs can fetch.
//!
//! Uncommitted and untracked files are in it, ignored ones and `.fleet/` are
//! not. Branch, index, stash, configuration and objects of the user's
//! repository stay as they are: everything is written to a store under
//! `.fleet/`, which borrows the repository's objects. Files of submodules and of
//! other repositories inside the working tree are taken as they are on disk.

mod commit;
mod folder;
mod index;
mod store;
#[cfg(test)]
mod tests;
mod tree;
mod write;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use fleet_language::{Ref, RefKind};
use fleet_model::{Source, Timestamp};

pub(crate) use commit::Head;
use commit::Identity;
use store::{Store, hex};

use crate::repository::{Repository, git, is_git_installed};

/// Commits of history a job gets unless `GIT_DEPTH` says otherwise, as in a new
/// GitLab project.
const DEPTH: u32 = 20;

/// What a local run builds. Its files stay until this is dropped.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// Where jobs get it.
    pub(crate) source: Source,
    /// The commit; without git: a hash of the files.
    pub(crate) sha: String,
    /// What it is, for people: `main at abc1234 + 3 uncommitted changes`.
    pub(crate) description: String,
    /// The branch that is checked out.
    pub(crate) branch: Option<String>,
    /// The commit the working tree is based on.
    pub(crate) head: Option<Head>,
    /// Paths that differ from `head`, from the project's root.
    pub(crate) uncommitted: Vec<String>,
    /// The branch as the remote `origin` was last seen to have it.
    pub(crate) remote_tip: Option<Head>,
    /// What people should know: what was left out, and why.
    pub(crate) notes: Vec<String>,
    /// The repository; none where `dir` is in none.
    pub(crate) repository: Option<Repository>,
    /// The project's root is the repository's.
    whole: bool,
    store: Store,
    _copy: Option<folder::Copy>,
}

impl Snapshot {
    /// What jobs of a pipeline for `reference` fetch: the commit under the name
    /// they expect.
    pub(crate) fn source_for(&self, reference: &Ref) -> Source {
        match &self.source {
            Source::Git {
                repository,
                sha,
                depth,
                ..
            } => {
                let name = &reference.name;
                let local = match reference.kind {
                    RefKind::Tag => format!("refs/tags/{name}"),
                    RefKind::Branch | RefKind::MergeRequest => {
                        format!("refs/remotes/origin/{name}")
                    }
                };
                Source::Git {
                    repository: repository.clone(),
                    sha: sha.clone(),
                    reference: name.clone(),
                    depth: *depth,
                    refspecs: vec![format!("+refs/snapshots/{sha}:{local}")],
                }
            }
            folder @ Source::Folder { .. } => folder.clone(),
        }
    }

    /// Paths that a push would change at `origin`; none where the branch is new
    /// there, or there is nothing to push.
    pub(crate) fn changes_of_push(&self) -> Option<Vec<String>> {
        let (head, tip) = (self.head.as_ref()?, self.remote_tip.as_ref()?);
        let changed = if head.sha == tip.sha {
            self.uncommitted.clone()
        } else {
            self.difference(&[tip.sha.as_str()])?
        };
        (!changed.is_empty()).then_some(changed)
    }

    /// Paths that a merge request into `target` would change; none where `origin`
    /// has no such branch, or nothing differs.
    pub(crate) fn changes_of_merge_request(&self, target: &str) -> Option<Vec<String>> {
        let target = format!("refs/remotes/origin/{target}");
        self.difference(&["--merge-base", &target])
            .filter(|changed| !changed.is_empty())
    }

    /// The commit that a merge request of HEAD into this branch starts from; none where
    /// git cannot tell.
    pub(crate) fn base_of_merge_request(&self, target: &str) -> Option<String> {
        let repository = self.repository.as_ref()?;
        let answer = git(&repository.top)
            .args([
                "merge-base",
                &format!("refs/remotes/origin/{target}"),
                "HEAD",
            ])
            .output()
            .ok()?;
        let sha = String::from_utf8(answer.stdout).ok()?;
        (answer.status.success()).then(|| sha.trim().to_owned())
    }

    /// Paths that differ from a commit; none where git cannot tell, or the project
    /// is a folder in a bigger repository.
    fn difference(&self, from: &[&str]) -> Option<Vec<String>> {
        let repository = self.repository.as_ref().filter(|_| self.whole)?;
        let answer = git(&repository.top)
            .env("GIT_OBJECT_DIRECTORY", self.store.path.join("objects"))
            .args(["diff-tree", "-r", "-z", "--name-only", "--no-renames"])
            .args(from)
            .args([&self.sha, "--"])
            .output()
            .ok()?;
        answer.status.success().then(|| paths(&answer.stdout))
    }
}

/// Takes the snapshot of `dir`, the project's root, into `store_dir`
/// (`.fleet/store.git`), which is made if need be.
///
/// # Errors
/// Where git refuses (its words are in the error), or files cannot be written.
pub(crate) fn take(dir: &Path, store_dir: &Path) -> anyhow::Result<Snapshot> {
    let dir = fs::canonicalize(dir).with_context(|| format!("find {}", dir.display()))?;
    let fleet_dir = store_dir.parent().context("the store lies in a folder")?;
    fs::create_dir_all(fleet_dir).with_context(|| format!("make {}", fleet_dir.display()))?;
    let ignore = fleet_dir.join(".gitignore");
    if !ignore.exists() {
        fs::write(&ignore, "*\n").with_context(|| format!("write {}", ignore.display()))?;
    }
    let repository = Repository::discover(&dir)?;
    let store = Store::open(store_dir, repository.as_ref())
        .with_context(|| format!("open the snapshot store {}", store_dir.display()))?;
    let branch = repository.as_ref().and_then(Repository::branch);
    if !is_git_installed() {
        return from_copy(store, &dir, repository, branch);
    }
    let taken = match &repository {
        Some(repository) => from_repository(&store, repository, &dir, branch.as_deref())?,
        None => None,
    };
    let taken = match taken {
        Some(taken) => taken,
        None => from_plain_folder(&store, &dir)?,
    };
    taken.into_snapshot(store, repository, branch)
}

/// What was found out, before it has a commit of its own.
struct Taken {
    tree: String,
    /// The project's root is the repository's.
    whole: bool,
    head: Option<Head>,
    remote_tip: Option<Head>,
    uncommitted: Vec<String>,
    in_repository: bool,
    notes: Vec<String>,
}

fn from_repository(
    store: &Store,
    repository: &Repository,
    dir: &Path,
    branch: Option<&str>,
) -> anyhow::Result<Option<Taken>> {
    // Asked while the tree is made.
    let commits = ask_for_commits(repository, branch)?;
    let mut notes = Vec::new();
    let tree = tree::of_repository(store, repository, dir, &mut notes);
    let answer = commits.wait_with_output()?;
    let prefix = repository.prefix(dir)?;
    let whole = prefix.as_os_str().is_empty();
    let tree = match tree? {
        Some(tree) => hex(&tree),
        None if whole => hex(&store.write_object("tree", b"")?),
        None => return Ok(None),
    };
    let mut commits = commit::read_batch(&answer.stdout).into_iter();
    let head = commits.next().flatten();
    let remote_tip = commits.next().flatten();
    let uncommitted = match &head {
        Some(head) if !(whole && head.tree == tree) => {
            changed_paths(store, repository, &tree_at(&head.tree, &prefix), &tree)?
        }
        _ => Vec::new(),
    };
    Ok(Some(Taken {
        tree,
        whole,
        head,
        remote_tip,
        uncommitted,
        in_repository: true,
        notes,
    }))
}

/// Starts git on telling of HEAD and of the branch at `origin`.
fn ask_for_commits(repository: &Repository, branch: Option<&str>) -> io::Result<Child> {
    use std::io::Write as _;
    use std::process::Stdio;
    let mut child = git(&repository.top)
        .args(["cat-file", "--batch"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        let mut questions = String::from("HEAD\n");
        if let Some(branch) = branch {
            questions.push_str(&format!("refs/remotes/origin/{branch}\n"));
        }
        // It ends early only where it cannot read the repository, and then says
        // nothing of use: `git add` says why.
        let _ = stdin.write_all(questions.as_bytes());
    }
    Ok(child)
}

/// `tree` or the tree at `prefix` in it, in git's words.
fn tree_at(tree: &str, prefix: &Path) -> String {
    if prefix.as_os_str().is_empty() {
        tree.to_owned()
    } else {
        format!("{tree}:{}", prefix.display())
    }
}

/// The paths that differ between two trees; a rename gives both names.
fn changed_paths(
    store: &Store,
    repository: &Repository,
    from: &str,
    to: &str,
) -> anyhow::Result<Vec<String>> {
    let ask = |arguments: &[&str]| {
        git(&repository.top)
            .env("GIT_OBJECT_DIRECTORY", store.path.join("objects"))
            .args(arguments)
            .output()
    };
    let difference = [
        "diff-tree",
        "-r",
        "-z",
        "--name-only",
        "--no-renames",
        from,
        to,
        "--",
    ];
    let mut answer = ask(&difference)?;
    if !answer.status.success() {
        // `from` has no such folder: all of it is new.
        answer = ask(&["ls-tree", "-r", "-z", "--name-only", "--full-tree", to])?;
        tree::check("git ls-tree", &answer)?;
    }
    Ok(paths(&answer.stdout))
}

fn paths(list: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(list)
        .split_terminator('\0')
        .map(str::to_owned)
        .collect()
}

fn from_plain_folder(store: &Store, dir: &Path) -> anyhow::Result<Taken> {
    let mut notes = vec![format!(
        "{} is in no git repository: all files that no .gitignore names are taken",
        dir.display()
    )];
    let tree = match tree::of_folder(store, dir, &mut notes)? {
        Some(tree) => hex(&tree),
        None => hex(&store.write_object("tree", b"")?),
    };
    Ok(Taken {
        tree,
        whole: true,
        head: None,
        remote_tip: None,
        uncommitted: Vec::new(),
        in_repository: false,
        notes,
    })
}

impl Taken {
    fn into_snapshot(
        self,
        store: Store,
        repository: Option<Repository>,
        branch: Option<String>,
    ) -> anyhow::Result<Snapshot> {
        let repository = repository.filter(|_| self.in_repository);
        let branch = branch.filter(|_| self.in_repository);
        let sha = match &self.head {
            Some(head) if self.whole && head.tree == self.tree => head.sha.clone(),
            _ => self.commit(&store)?,
        };
        let name = store.write_ref(&sha).context("name the snapshot")?;
        let reference = branch.clone().unwrap_or_else(|| "HEAD".to_owned());
        let source = Source::Git {
            repository: store.path.display().to_string(),
            sha: sha.clone(),
            refspecs: vec![format!("+{name}:refs/remotes/origin/{reference}")],
            reference,
            depth: DEPTH,
        };
        Ok(Snapshot {
            source,
            sha,
            description: self.description(branch.as_deref()),
            branch,
            head: self.head,
            uncommitted: self.uncommitted,
            remote_tip: self.remote_tip,
            notes: self.notes,
            repository,
            whole: self.whole,
            store,
            _copy: None,
        })
    }

    /// Writes the commit. The same files on the same HEAD give the same commit.
    fn commit(&self, store: &Store) -> anyhow::Result<String> {
        let (author, committer) = match &self.head {
            Some(head) => (head.author.clone(), head.committer.clone()),
            None => (Identity::fleetctl(now()), Identity::fleetctl(now())),
        };
        // The tree of a folder inside the repository has another root than its
        // history: it gets none.
        let parent = self
            .head
            .as_ref()
            .filter(|_| self.whole)
            .map(|head| head.sha.as_str());
        // Jobs that check commit messages find one of the usual form.
        let message = match &self.head {
            Some(head) => format!("chore: uncommitted changes on {}\n", short(&head.sha)),
            None => "chore: the working tree\n".to_owned(),
        };
        let content = commit::content(&self.tree, parent, &author, &committer, &message);
        let hash = store
            .write_object("commit", &content)
            .context("write the snapshot's commit")?;
        Ok(hex(&hash))
    }

    fn description(&self, branch: Option<&str>) -> String {
        let base = match (&self.head, branch) {
            (Some(head), Some(branch)) => format!("{branch} at {}", short(&head.sha)),
            (Some(head), None) => format!("detached HEAD {}", short(&head.sha)),
            (None, Some(branch)) => return format!("{branch}, before its first commit"),
            (None, None) => return "a folder without git".to_owned(),
        };
        match self.uncommitted.len() {
            0 => base,
            1 => format!("{base} + 1 uncommitted change"),
            count => format!("{base} + {count} uncommitted changes"),
        }
    }
}

/// The way without a git program.
fn from_copy(
    store: Store,
    dir: &Path,
    repository: Option<Repository>,
    branch: Option<String>,
) -> anyhow::Result<Snapshot> {
    let copy = folder::copy(dir, store.scratch("folder"))
        .with_context(|| format!("copy {}", dir.display()))?;
    Ok(Snapshot {
        source: Source::Folder {
            path: copy.path.display().to_string(),
        },
        sha: copy.sha.clone(),
        description: "a copy of the folder".to_owned(),
        branch,
        head: None,
        uncommitted: Vec::new(),
        remote_tip: None,
        notes: vec![
            "git is not installed: the folder is copied whole, ignored files included".to_owned(),
        ],
        repository,
        whole: false,
        store,
        _copy: Some(copy),
    })
}

/// The first seven digits of a hash.
pub(crate) fn short(sha: &str) -> &str {
    sha.get(..7).unwrap_or(sha)
}

fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The snapshot store of a project.
pub(crate) fn store_dir(project: &Path) -> PathBuf {
    project.join(".fleet/store.git")
}
