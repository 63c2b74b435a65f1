use std::fs;
use std::path::Path;

use super::*;

/// Runs git in a folder.
fn run(folder: &Path, words: &[&str]) {
    let author = ["-c", "user.name=A", "-c", "user.email=a@b.example"];
    let mut command = git(folder);
    let status = command.args(author).args(words).status().unwrap();
    assert!(status.success(), "{words:?}");
}

/// A repository with a tag `1.0.0`, a branch `old` and one change that is no commit.
fn project() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let write = |text: &str| {
        fs::create_dir_all(at.join("ci")).unwrap();
        fs::write(at.join("ci/a.yml"), text).unwrap();
    };
    run(at, &["init", "--quiet", "--initial-branch=main"]);
    write("first");
    run(at, &["add", "."]);
    run(at, &["commit", "--quiet", "--message=x"]);
    run(at, &["tag", "1.0.0"]);
    run(at, &["branch", "old"]);
    write("second");
    run(at, &["commit", "--quiet", "--all", "--message=x"]);
    write("not committed");
    folder
}

fn text(repository: &Repository, reference: Option<&str>) -> String {
    let reading = repository.open(reference).unwrap();
    assert_eq!(reading.commit.len(), 40);
    assert_eq!(reading.files.paths(), ["ci/a.yml"]);
    assert_eq!(reading.files.read("ci/none.yml"), None);
    assert_eq!(reading.files.read("ci"), None);
    assert_eq!(reading.files.read("../../etc/passwd"), None);
    String::from_utf8(reading.files.read("ci/a.yml").unwrap()).unwrap()
}

#[test]
fn a_repository_is_read_at_a_ref_and_else_as_it_is() {
    let folder = project();
    let repository = Repository::at(folder.path()).unwrap();
    assert_eq!(text(&repository, Some("1.0.0")), "first");
    assert_eq!(text(&repository, Some("old")), "first");
    assert_eq!(text(&repository, Some("main")), "second");
    let commit = repository.open(Some("old")).unwrap().commit;
    assert_eq!(text(&repository, Some(&commit)), "first");
    assert_eq!(text(&repository, Some(&commit[..8])), "first");
    assert_eq!(text(&repository, None), "not committed");
    assert_eq!(repository.tags(), Ok(vec!["1.0.0".to_owned()]));
    for reference in ["none", "-x", "HEAD~1", "main:ci", ""] {
        let failed = repository.open(Some(reference)).map(|it| it.commit);
        assert_eq!(failed, Err(Failed::new(Why::NoReference)), "{reference}");
    }
}

#[test]
fn a_bare_repository_is_read_at_its_head() {
    let folder = project();
    let bare = folder.path().join("bare.git");
    run(
        folder.path(),
        &["clone", "--quiet", "--bare", ".", &bare.to_string_lossy()],
    );
    let repository = Repository::at(&bare).unwrap();
    assert_eq!(text(&repository, None), "second");
    assert_eq!(text(&repository, Some("1.0.0")), "first");
}

#[test]
fn a_folder_is_the_same_at_every_ref() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("ci")).unwrap();
    fs::write(folder.path().join("ci/a.yml"), "here").unwrap();
    let repository = Repository::at(folder.path()).unwrap();
    assert_eq!(text(&repository, None), "here");
    assert_eq!(text(&repository, Some("any")), "here");
    assert!(Repository::at(&folder.path().join("none")).is_none());
    assert!(Repository::at(&folder.path().join("ci/a.yml")).is_none());
}

#[test]
fn a_link_out_of_a_folder_is_no_file_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("a.yml");
    std::os::unix::fs::symlink("/etc/passwd", link).unwrap();
    let repository = Repository::at(folder.path()).unwrap();
    let files = repository.open(None).unwrap().files;
    assert_eq!(files.read("a.yml"), None);
}
