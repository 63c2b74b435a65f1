use std::fs;
use std::path::Path;

use super::*;
use crate::repository::git;

fn run(folder: &Path, words: &[&str]) {
    let author = ["-c", "user.name=A", "-c", "user.email=a@b.example"];
    let mut command = git(folder);
    let status = command.args(author).args(words).status().unwrap();
    assert!(status.success(), "{words:?}");
}

/// A repository with the releases `1.0.0` and `1.1.0`, and a commit on top.
fn lib(at: &Path) {
    fs::create_dir_all(at.join("templates")).unwrap();
    run(at, &["init", "--quiet", "--initial-branch=main"]);
    for (text, tag) in [("one", "1.0.0"), ("two", "1.1.0"), ("top", "")] {
        fs::write(at.join("templates/scan.yml"), text).unwrap();
        run(at, &["add", "."]);
        run(at, &["commit", "--quiet", "--message=x"]);
        if !tag.is_empty() {
            run(at, &["tag", tag]);
        }
    }
}

fn configured(folder: &Path, text: &str) -> Configured {
    let sources = Sources::parse(text, folder.to_owned()).unwrap();
    Configured::new(sources, "includes.toml".to_owned(), &folder.join("cache"))
}

fn component(fetch: &Configured, reference: &str) -> Result<(String, Option<String>), Why> {
    let address = Address {
        host: "h.example".to_owned(),
        project: "group/lib".to_owned(),
        name: "scan".to_owned(),
        reference: reference.to_owned(),
    };
    let component = fetch.component(&address).map_err(|failed| failed.why)?;
    let content = component.files.read("templates/scan.yml").unwrap();
    Ok((String::from_utf8(content).unwrap(), component.version))
}

#[test]
fn a_mirrored_repository_has_projects_and_components() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let origin = at.join("origin");
    fs::create_dir(&origin).unwrap();
    lib(&origin);
    let text = format!("[projects]\n\"group/*\" = \"file://{}\"", origin.display());
    let fetch = configured(at, &text);
    let two = |version: Option<&str>| Ok(("two".to_owned(), version.map(str::to_owned)));
    assert_eq!(component(&fetch, "~latest"), two(Some("1.1.0")));
    assert_eq!(component(&fetch, "1"), two(Some("1.1.0")));
    assert_eq!(component(&fetch, "1.1.0"), two(Some("1.1.0")));
    assert_eq!(component(&fetch, "main"), Ok(("top".to_owned(), None)));
    assert_eq!(component(&fetch, "2"), Err(Why::NoReference));
    let opened = fetch.project("group/lib", Some("1.0.0")).unwrap();
    assert_eq!(opened.files.read("templates/scan.yml").unwrap(), b"one");
    // What is not known yet is fetched at once.
    run(&origin, &["tag", "2.0.0"]);
    let top = Ok(("top".to_owned(), Some("2.0.0".to_owned())));
    assert_eq!(component(&fetch, "2"), top);
    // What was fetched stays when its origin is gone.
    fs::rename(&origin, at.join("elsewhere")).unwrap();
    assert_eq!(component(&fetch, "~latest"), top);
    let gone = component(&fetch, "3");
    assert!(matches!(gone, Err(Why::Internal(_))), "{gone:?}");
}

#[test]
fn templates_lie_in_a_folder_or_where_gitlab_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = folder.path().join("gitlab/lib/gitlab/ci/templates/Jobs");
    fs::create_dir_all(&jobs).unwrap();
    fs::write(jobs.join("Build.gitlab-ci.yml"), "x").unwrap();
    for place in ["gitlab", "gitlab/lib/gitlab/ci/templates"] {
        let fetch = configured(folder.path(), &format!("templates = {place:?}"));
        let template = fetch.template("Jobs/Build.gitlab-ci.yml").unwrap();
        assert_eq!(template.content, b"x");
        assert_eq!(template.commit, None);
        for name in ["Jobs/None.gitlab-ci.yml", "../../../../x.gitlab-ci.yml"] {
            let failed = fetch.template(name).unwrap_err();
            assert_eq!(failed.why, Why::Missing, "{name}");
        }
    }
}

#[test]
fn what_nobody_said_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let fetch = configured(folder.path(), "");
    let told = [
        fetch.project("group/lib", None).err(),
        fetch.template("Jobs/Build.gitlab-ci.yml").err(),
    ];
    for failed in told.into_iter().flatten() {
        assert_eq!(failed.why, Why::Unconfigured);
        let help = failed.help.unwrap();
        assert!(help.contains("in includes.toml: `"), "{help}");
    }
    let failed = fetch.remote("https://h.example/a/b.yml", None).unwrap_err();
    let help = "allow it in includes.toml: `remote = [\"https://h.example/a/\"]`";
    assert_eq!(failed.help.as_deref(), Some(help));
    let fetch = configured(folder.path(), "[projects]\n\"g/p\" = \"none\"");
    let failed = fetch.project("g/p", None).err().unwrap();
    assert_eq!(failed.why, Why::Missing);
}
