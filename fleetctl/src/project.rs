//! Where the project is, what files it has, and the event its pipeline is
//! compiled for.

use std::env;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};
use std::process::{Child, Stdio};

use fleet_language::{
    Changes, Commit, Context, Files, HostCoupling, PipelineSource, Project as ProjectFacts, Ref,
    RefKind, User,
};
use fleet_model::{ProjectId, Variable};

use crate::Failure;
use crate::cli::{Event, EventKind, Place};
use crate::repository::{Repository, git, is_git_installed};
use crate::snapshot::Snapshot;
use crate::variables;

const CONFIG: &str = ".gitlab-ci.yml";
/// Bytes that are read of a file of the configuration, at most.
pub(crate) const MAX_FILE: u64 = 32 << 20;
const NO_COMMIT: &str = "0000000000000000000000000000000000000000";
/// No server stands behind a local run; calls to it end at this machine.
const SERVER_URL: &str = "http://localhost";

/// A project on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Project {
    /// Its folder, absolute.
    pub(crate) root: PathBuf,
    /// The pipeline file, absolute.
    config: PathBuf,
}

impl Project {
    /// The project that flags and the current folder name.
    pub(crate) fn find(place: &Place) -> Result<Project, Failure> {
        let here = env::current_dir()
            .map_err(|error| Failure::usage(format!("find the current folder: {error}")))?;
        let (root, base) = match &place.dir {
            Some(dir) => {
                let root = existing(dir)?;
                (root.clone(), root)
            }
            None => (root_above(&here), here),
        };
        let config = match &place.file {
            Some(file) => base.join(file),
            None => root.join(CONFIG),
        };
        Ok(Project { root, config })
    }

    /// The project that a pipeline file belongs to.
    pub(crate) fn of_file(file: &Path) -> Result<Project, Failure> {
        let config = existing(file)?;
        let folder = config.parent().unwrap_or(Path::new("/"));
        Ok(Project {
            root: root_above(folder),
            config,
        })
    }

    /// The pipeline file's name as people know it.
    pub(crate) fn config_name(&self) -> String {
        let inside = self.config.strip_prefix(&self.root);
        inside.unwrap_or(&self.config).display().to_string()
    }

    /// The pipeline file's text.
    pub(crate) fn config_text(&self) -> Result<String, Failure> {
        let name = self.config_name();
        if !self.config.is_file() {
            return Err(Failure::usage(format!(
                "{} has no {name}. Try: --dir DIR or --file FILE",
                self.root.display()
            )));
        }
        let bytes = read_start(&self.config)
            .map_err(|error| Failure::usage(format!("read {}: {error}", self.config.display())))?;
        String::from_utf8(bytes).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let line = error.as_bytes()[..valid]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count()
                + 1;
            Failure::usage(format!("{name}:{line}: the file is not UTF-8 text"))
        })
    }

    /// The files beside it.
    pub(crate) fn files(&self) -> WorkingTree<'_> {
        WorkingTree { root: &self.root }
    }

    /// Fleet's own folder in it.
    pub(crate) fn fleet_dir(&self) -> PathBuf {
        self.root.join(".fleet")
    }

    /// Starts asking git what [`Project::context`] needs to know.
    pub(crate) fn ask_git(&self) -> Asked {
        GitSettings::ask(&self.root)
    }

    /// The event for the compiler; `number` counts the project's pipelines.
    pub(crate) fn context(
        &self,
        event: &Event,
        snapshot: &Snapshot,
        number: u64,
        asked: Asked,
    ) -> Result<Context, Failure> {
        let git = GitSettings::answered(asked);
        let default_branch = self.default_branch(snapshot);
        let reference = reference(event, snapshot, &default_branch)?;
        let changes = match event.event {
            EventKind::Push => snapshot.changes_of_push(),
            EventKind::Mr => snapshot.changes_of_merge_request(&default_branch),
            _ => None,
        };
        let changes = match event.changed.as_slice() {
            [] => changes,
            given => Some(given.to_vec()),
        };
        let before = snapshot
            .remote_tip
            .as_ref()
            .filter(|_| event.event == EventKind::Push);
        let path = self.path(&git, snapshot);
        let named = event.variables_file.is_some();
        let file = self.fleet_dir().join("variables.toml");
        let file = event.variables_file.as_ref().unwrap_or(&file);
        Ok(Context {
            source: source(event.event),
            predefined: match event.event {
                EventKind::Mr => of_merge_request(&reference, snapshot, &default_branch, &path),
                _ => Vec::new(),
            },
            reference,
            commit: commit(snapshot),
            before_sha: before.map_or_else(|| NO_COMMIT.to_owned(), |tip| tip.sha.clone()),
            project: ProjectFacts {
                id: ProjectId(1),
                title: path.rsplit('/').next().unwrap_or_default().to_owned(),
                path,
                default_branch,
                config_path: self.config_name(),
                visibility: "private".to_owned(),
                host_coupling: HostCoupling::Mend,
            },
            user: git.user(),
            server_url: SERVER_URL.to_owned(),
            created_at: jiff::Timestamp::now()
                .strftime("%Y-%m-%dT%H:%M:%SZ")
                .to_string(),
            iid: number,
            project_variables: variables::read(file, named)?,
            pipeline_variables: event.variables.clone(),
            inputs: event.inputs.clone(),
            changes: changes.map_or(Changes::Unknown, Changes::Known),
        })
    }

    fn default_branch(&self, snapshot: &Snapshot) -> String {
        let known = snapshot
            .repository
            .as_ref()
            .and_then(|repository| repository.default_branch());
        known
            .or_else(|| snapshot.branch.clone())
            .unwrap_or_else(|| "main".to_owned())
    }

    /// `group/project`: as at the remote, else `local/<folder>`.
    fn path(&self, git: &GitSettings, snapshot: &Snapshot) -> String {
        let is_whole = snapshot
            .repository
            .as_ref()
            .is_some_and(|repository| repository.top == self.root);
        let remote = git
            .origin
            .as_deref()
            .filter(|_| is_whole)
            .and_then(path_of_url);
        remote.unwrap_or_else(|| {
            let name = self.root.file_name().unwrap_or_default().to_string_lossy();
            format!("local/{}", path_part(&name))
        })
    }
}

/// Reads a file, or more of it than the compiler takes: that one says so.
fn read_start(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn existing(path: &Path) -> Result<PathBuf, Failure> {
    fs::canonicalize(path)
        .map_err(|error| Failure::usage(format!("find {}: {error}", path.display())))
}

/// The nearest folder with a pipeline file or the top of a repository, else
/// `folder` itself.
fn root_above(folder: &Path) -> PathBuf {
    let is_root = |dir: &&Path| dir.join(CONFIG).is_file() || dir.join(".git").exists();
    folder
        .ancestors()
        .find(is_root)
        .unwrap_or(folder)
        .to_owned()
}

fn reference(event: &Event, snapshot: &Snapshot, default_branch: &str) -> Result<Ref, Failure> {
    let kind = match event.event {
        EventKind::Tag => RefKind::Tag,
        EventKind::Mr => RefKind::MergeRequest,
        _ => RefKind::Branch,
    };
    let name = match (&event.reference, kind) {
        (Some(name), _) => name.clone(),
        (None, RefKind::Tag) => {
            return Err(Failure::usage(
                "--event tag needs the tag's name. Try: --event tag --ref v1.0",
            ));
        }
        (None, _) => match (&snapshot.branch, &snapshot.repository) {
            (Some(branch), _) => branch.clone(),
            (None, Some(_)) => "HEAD".to_owned(),
            (None, None) => default_branch.to_owned(),
        },
    };
    let protected = kind == RefKind::Branch && name == default_branch;
    Ok(Ref {
        name,
        kind,
        protected,
    })
}

fn source(event: EventKind) -> PipelineSource {
    match event {
        EventKind::Push | EventKind::Tag => PipelineSource::Push,
        EventKind::Web => PipelineSource::Web,
        EventKind::Schedule => PipelineSource::Schedule,
        EventKind::Api => PipelineSource::Api,
        EventKind::Mr => PipelineSource::MergeRequestEvent,
        EventKind::Trigger => PipelineSource::Trigger,
        EventKind::Pipeline => PipelineSource::Pipeline,
        EventKind::Parent => PipelineSource::ParentPipeline,
    }
}

/// HEAD's message and people with the snapshot's hash: rules that read a message
/// mean the one that was written.
fn commit(snapshot: &Snapshot) -> Commit {
    let head = snapshot.head.as_ref();
    Commit {
        sha: snapshot.sha.clone(),
        message: head.map(|head| head.message.clone()).unwrap_or_default(),
        author: head.map(|head| head.author.name()).unwrap_or_default(),
        timestamp: head
            .and_then(|head| head.committer.timestamp())
            .unwrap_or_default(),
    }
}

/// What a merge request of the branch into the default branch adds: what no server
/// keeps of it is as in one that was just opened.
fn of_merge_request(
    reference: &Ref,
    snapshot: &Snapshot,
    target: &str,
    path: &str,
) -> Vec<Variable> {
    let url = format!("{SERVER_URL}/{path}");
    let head = snapshot.head.as_ref();
    let title = head.and_then(|head| head.message.lines().next());
    let base = snapshot.base_of_merge_request(target);
    let variables = [
        ("DIFF_BASE_SHA", base.as_deref()),
        ("DIFF_ID", Some("1")),
        ("DRAFT", Some("false")),
        ("EVENT_TYPE", Some("detached")),
        ("ID", Some("1")),
        ("IID", Some("1")),
        ("PROJECT_ID", Some("1")),
        ("PROJECT_PATH", Some(path)),
        ("PROJECT_URL", Some(&url)),
        ("REF_PATH", Some("refs/merge-requests/1/head")),
        ("SOURCE_BRANCH_NAME", Some(&reference.name)),
        ("SOURCE_BRANCH_PROTECTED", Some("false")),
        ("SOURCE_BRANCH_SHA", Some("")),
        ("SOURCE_PROJECT_ID", Some("1")),
        ("SOURCE_PROJECT_PATH", Some(path)),
        ("SOURCE_PROJECT_URL", Some(&url)),
        ("SQUASH_ON_MERGE", Some("false")),
        ("TARGET_BRANCH_NAME", Some(target)),
        ("TARGET_BRANCH_PROTECTED", Some("true")),
        ("TARGET_BRANCH_SHA", Some("")),
        ("TITLE", Some(title.unwrap_or(&reference.name))),
    ];
    let of_it = variables.into_iter().filter_map(|(name, value)| {
        Some(Variable::new(format!("CI_MERGE_REQUEST_{name}"), value?))
    });
    let open = Variable::new("CI_OPEN_MERGE_REQUESTS", format!("{path}!1"));
    of_it.chain([open]).collect()
}

/// What git knows of the person and the remote.
#[derive(Debug, Default)]
struct GitSettings {
    name: Option<String>,
    email: Option<String>,
    origin: Option<String>,
}

/// A question to git that is being answered.
pub(crate) struct Asked(Option<Child>);

impl GitSettings {
    /// Starts asking, so that git answers while the snapshot is taken.
    fn ask(dir: &Path) -> Asked {
        if !is_git_installed() {
            return Asked(None);
        }
        let names = r"^(user\.(name|email)|remote\.origin\.url)$";
        let mut command = git(dir);
        command.args(["config", "-z", "--get-regexp", names]);
        // Without an answer the person and the remote are unknown, which is no error.
        Asked(
            command
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .ok(),
        )
    }

    fn answered(asked: Asked) -> GitSettings {
        let mut settings = GitSettings::default();
        let answer = asked.0.and_then(|child| child.wait_with_output().ok());
        let text = answer.map(|answer| answer.stdout).unwrap_or_default();
        for entry in String::from_utf8_lossy(&text).split_terminator('\0') {
            // The last of a name wins; only `remote.origin.url`'s first is fetched from.
            match entry.split_once('\n') {
                Some(("user.name", value)) => settings.name = Some(value.to_owned()),
                Some(("user.email", value)) => settings.email = Some(value.to_owned()),
                Some((_, value)) => {
                    settings.origin.get_or_insert_with(|| value.to_owned());
                }
                None => {}
            }
        }
        settings
    }

    fn user(&self) -> User {
        let email = self.email.clone().unwrap_or_default();
        let local = email
            .split('@')
            .next()
            .filter(|part| !part.is_empty())
            .map(str::to_owned);
        let login = local
            .or_else(|| env::var("USER").ok())
            .unwrap_or_else(|| "local".to_owned());
        User {
            id: 1,
            name: self.name.clone().unwrap_or_else(|| login.clone()),
            login,
            email,
        }
    }
}

/// `group/project` of a remote's URL; none of a folder.
fn path_of_url(url: &str) -> Option<String> {
    let path = match url.split_once("://") {
        Some(("file", _)) => return None,
        Some((_, rest)) => rest.split_once('/')?.1,
        // `git@host:group/project.git`, unless it is a folder.
        None => {
            let (host, path) = url.split_once(':')?;
            if host.contains('/') {
                return None;
            }
            path
        }
    };
    let path = path.split(['?', '#']).next()?.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    let parts: Vec<String> = path
        .split('/')
        .filter(|part| !part.is_empty())
        .map(path_part)
        .collect();
    match parts.len() {
        0 => None,
        1 => Some(format!("local/{}", parts[0])),
        _ => Some(parts.join("/")),
    }
}

/// A name with only the letters that a project's path may have.
fn path_part(name: &str) -> String {
    let fits = |char: char| char.is_ascii_alphanumeric() || "-_.".contains(char);
    let part: String = name
        .chars()
        .map(|char| if fits(char) { char } else { '-' })
        .collect();
    let part = part.trim_matches(['-', '.']);
    if part.is_empty() {
        "project".to_owned()
    } else {
        part.to_owned()
    }
}

/// The files of a project as they are on disk.
pub(crate) struct WorkingTree<'a> {
    root: &'a Path,
}

impl Files for WorkingTree<'_> {
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        let relative = Path::new(path);
        if !relative
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
        {
            return None;
        }
        // A link must not lead out of the project: in a commit there is nothing there.
        let file = fs::canonicalize(self.root.join(relative)).ok()?;
        let is_inside = file.starts_with(fs::canonicalize(self.root).ok()?);
        (is_inside && file.is_file())
            .then(|| read_start(&file).ok())
            .flatten()
    }

    fn changed_since(&self, reference: &str) -> Option<Vec<String>> {
        changed_since(self.root, reference)
    }

    fn are_all(&self) -> bool {
        Repository::discover(self.root).is_ok_and(|found| found.is_some())
    }

    fn paths(&self) -> Vec<String> {
        if is_git_installed()
            && let Ok(answer) = git(self.root)
                .args([
                    "ls-files",
                    "-z",
                    "--cached",
                    "--others",
                    "--exclude-standard",
                    "--deduplicate",
                ])
                .output()
            && answer.status.success()
        {
            let text = String::from_utf8_lossy(&answer.stdout);
            let exists = |path: &&str| fs::symlink_metadata(self.root.join(path)).is_ok();
            return text
                .split_terminator('\0')
                .filter(exists)
                .map(str::to_owned)
                .collect();
        }
        self.walk()
    }
}

/// The paths that differ between the working tree and where it parted from a ref;
/// that of `origin` counts where there is no own one.
fn changed_since(root: &Path, reference: &str) -> Option<Vec<String>> {
    let ask = |words: &[&str]| {
        let answer = git(root).args(words).output().ok()?;
        answer.status.success().then_some(answer.stdout)
    };
    let folders = ["refs/heads/", "refs/tags/", "refs/remotes/origin/", ""];
    let base = folders.iter().find_map(|folder| {
        let commit = format!("{folder}{reference}^{{commit}}");
        let commit = ask(&["rev-parse", "--verify", "-q", "--end-of-options", &commit])?;
        let commit = String::from_utf8(commit).ok()?;
        ask(&["merge-base", commit.trim(), "HEAD"])
    })?;
    let base = String::from_utf8(base).ok()?;
    let diff = ["diff", "-z", "--name-only", "--no-renames", "--relative"];
    let mut list = ask(&[&diff[..], &[base.trim(), "--"]].concat())?;
    list.extend(ask(&["ls-files", "-z", "--others", "--exclude-standard"])?);
    let text = String::from_utf8_lossy(&list);
    Some(text.split_terminator('\0').map(str::to_owned).collect())
}

impl WorkingTree<'_> {
    /// All files, for a folder git knows nothing of.
    fn walk(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(self.root.join(&folder)) else {
                continue;
            };
            for entry in entries.flatten() {
                let path = folder.join(entry.file_name());
                let is_own = path == Path::new(".git") || path == Path::new(".fleet");
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() && !is_own => folders.push(path),
                    Ok(kind) if !kind.is_dir() => found.push(path.to_string_lossy().into_owned()),
                    _ => {}
                }
            }
        }
        found.sort();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn project_paths_come_from_urls_but_not_from_folders() {
        for (url, path) in [
            (
                "git@gitlab.example.com:group/sub/shop.git",
                Some("group/sub/shop"),
            ),
            (
                "https://user:secret@example.com/group/shop.git/",
                Some("group/shop"),
            ),
            ("ssh://git@example.com:2222/group/shop", Some("group/shop")),
            ("example.com:shop.git", Some("local/shop")),
            ("https://example.com/", None),
            ("/srv/git/shop.git", None),
            ("../shop", None),
            ("./a:b/c", None),
            ("file:///srv/git/shop.git", None),
        ] {
            assert_eq!(path_of_url(url).as_deref(), path, "{url}");
        }
        assert_eq!(path_part("my shop (2)"), "my-shop--2");
        assert_eq!(path_part("..."), "project");
    }

    #[test]
    fn files_outside_the_project_are_not_read() {
        let root = tempfile::tempdir().unwrap();
        let project = root.path().join("project");
        fs::create_dir_all(project.join("sub")).unwrap();
        fs::write(root.path().join("secret"), "x").unwrap();
        fs::write(project.join("sub/a.yml"), "a").unwrap();
        std::os::unix::fs::symlink("../secret", project.join("out")).unwrap();
        std::os::unix::fs::symlink("sub/a.yml", project.join("in")).unwrap();
        let tree = WorkingTree { root: &project };
        assert_eq!(tree.read("sub/a.yml").as_deref(), Some(&b"a"[..]));
        assert_eq!(tree.read("in").as_deref(), Some(&b"a"[..]));
        for path in ["../secret", "out", "/etc/hostname", "sub", "no", ""] {
            assert_eq!(tree.read(path), None, "{path}");
        }
        assert_eq!(tree.walk(), ["in", "out", "sub/a.yml"]);
    }

    #[test]
    fn root_is_the_nearest_folder_with_a_pipeline_or_repository() {
        let root = tempfile::tempdir().unwrap();
        let top = fs::canonicalize(root.path()).unwrap();
        fs::create_dir_all(top.join("a/b/c")).unwrap();
        fs::create_dir(top.join("a/.git")).unwrap();
        assert_eq!(root_above(&top.join("a/b/c")), top.join("a"));
        fs::write(top.join("a/b").join(CONFIG), "").unwrap();
        assert_eq!(root_above(&top.join("a/b/c")), top.join("a/b"));
    }
}
