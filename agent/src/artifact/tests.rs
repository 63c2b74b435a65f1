use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use ::zip::write::{SimpleFileOptions, ZipWriter};
use ::zip::{CompressionMethod, ZipArchive};
use fleet_model::{Artifact, ArtifactFormat, ArtifactWhen, Variable};
use serde::Deserialize;

use super::*;
use crate::expand::Environment;
use crate::vectors::rows;

const LIMITS: Limits = Limits {
    entries: 1000,
    bytes: 1 << 20,
};

/// A folder for a job with a project in it.
struct Job {
    root: tempfile::TempDir,
}

impl Job {
    fn new() -> Job {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("project")).unwrap();
        Job { root }
    }

    fn project(&self) -> PathBuf {
        self.root.path().join("project")
    }

    fn file(&self, path: &str, content: &[u8]) -> PathBuf {
        let path = self.project().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn pack(&self, artifact: &Artifact, variables: &[Variable]) -> (PackResult, Vec<Line>) {
        let environment = Environment::resolve(variables, "/t").unwrap();
        let project = self.project();
        let staging = Staging {
            project: &project,
            folder: self.root.path(),
        };
        let mut lines = Vec::new();
        let result = pack(artifact, staging, &environment, &mut |line| {
            lines.push(line)
        });
        (result, lines)
    }

    fn extract(&self, archive: File, limits: Limits) -> Result<usize, ExtractError> {
        extract(archive, &self.project(), limits, &mut |_| {})
    }
}

type PackResult = Result<Option<Packed>, PackError>;

fn artifact(format: ArtifactFormat, paths: &[&str]) -> Artifact {
    Artifact {
        name: None,
        paths: paths.iter().map(|&path| path.into()).collect(),
        exclude: Vec::new(),
        untracked: false,
        when: ArtifactWhen::Always,
        kind: "archive".into(),
        format,
        expire_in: None,
    }
}

fn git(project: &Path, arguments: &[&str]) {
    let status = Command::new("git")
        .args(arguments)
        .current_dir(project)
        .status();
    assert!(status.expect("this test needs git").success());
}

#[derive(Deserialize)]
struct SelectionRow {
    #[serde(default)]
    tree: Vec<String>,
    #[serde(default)]
    paths: Vec<String>,
    #[serde(default)]
    exclude: Vec<String>,
    #[serde(default)]
    untracked: bool,
    #[serde(default)]
    files: Vec<String>,
    #[serde(default)]
    log: Vec<String>,
}

fn plant(job: &Job, tree: &[String]) {
    for item in tree {
        if let Some((link, target)) = item.split_once(" -> ") {
            symlink(target, job.project().join(link)).unwrap();
        } else if item.ends_with('/') {
            fs::create_dir_all(job.project().join(item)).unwrap();
        } else {
            job.file(item, if item == ".gitignore" { b"*.o" } else { b"x" });
        }
    }
    git(&job.project(), &["init", "-q"]);
    git(&job.project(), &["add", "keep/tracked.txt", ".gitignore"]);
}

/// How many files git's own folder holds is git's business.
fn without_git_count(line: &str) -> String {
    match line.strip_prefix(".git/**: excluded ") {
        Some(_) => ".git/**: excluded <n> files".into(),
        None => line.into(),
    }
}

#[test]
fn files_are_selected_as_every_vector_says() {
    let all = rows::<SelectionRow>(include_str!(
        "../../tests/vectors/runner-artifact-selection.txt"
    ));
    let (tree, rows) = all.split_first().unwrap();
    let job = Job::new();
    plant(&job, &tree.tree);
    let project = job.project();
    let cwd = |list: &[String]| -> Vec<String> {
        list.iter()
            .map(|text| text.replace("<cwd>", project.to_str().unwrap()))
            .collect()
    };
    for row in rows {
        let root = Root::open(&project).unwrap();
        let (paths, exclude) = (cwd(&row.paths), cwd(&row.exclude));
        let request = Request {
            paths: &paths,
            exclude: &exclude,
            untracked: row.untracked,
        };
        let mut lines = Vec::new();
        let files = select(&root, &project, &request, &mut |line| {
            lines.push(match line {
                Line::Plain(text) => without_git_count(&text),
                Line::Warning(text) => format!("WARNING: {text}"),
                other => panic!("{other:?}"),
            });
        });
        let files: Vec<&str> = files.iter().map(|file| file.to_str().unwrap()).collect();
        assert_eq!(files, row.files, "{paths:?} without {exclude:?}");
        let (mut expected, excluded_last) =
            (cwd(&row.log), |line: &String| line.contains(": excluded "));
        expected.sort_by_key(|line| excluded_last(line).then(|| line.clone()));
        lines.sort_by_key(|line| excluded_last(line).then(|| line.clone()));
        assert_eq!(lines, expected, "{paths:?} without {exclude:?}");
    }
}

#[test]
fn paths_that_lead_out_behind_a_wildcard_or_a_link_select_nothing() {
    let job = Job::new();
    fs::write(job.root.path().join("secret"), "s").unwrap();
    job.file("d/a", b"x");
    symlink("..", job.project().join("out")).unwrap();
    symlink("/etc", job.project().join("etc")).unwrap();
    let root = Root::open(&job.project()).unwrap();
    for path in [
        "..",
        "*/../../secret",
        "out/*",
        "out/secret",
        "etc/pass*",
        "etc/passwd",
        "d/*/../../..",
    ] {
        let paths = [path.to_owned()];
        let request = Request {
            paths: &paths,
            exclude: &[],
            untracked: false,
        };
        let mut warned = false;
        let files = select(&root, &job.project(), &request, &mut |line| {
            warned |= matches!(line, Line::Warning(_));
        });
        assert!(files.is_empty() && warned, "{path}: {files:?}");
    }
}

#[test]
fn an_archive_holds_files_folders_and_links_in_order() {
    let job = Job::new();
    let tool = job.file("bin/tool", b"#!/bin/sh\n");
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    filetime(&tool, 1_234_567_891);
    fs::create_dir(job.project().join("empty")).unwrap();
    job.file("ünï.txt", &b"text ".repeat(1000));
    symlink("bin/tool", job.project().join("link")).unwrap();
    let status = Command::new("mkfifo")
        .arg(job.project().join("pipe"))
        .status();
    assert!(status.unwrap().success());

    let (packed, lines) = job.pack(&artifact(ArtifactFormat::Zip, &["."]), &[]);
    let packed = packed.unwrap().unwrap();
    assert_eq!(packed.filename, "artifacts.zip");
    assert_eq!(packed.size, packed.file.metadata().unwrap().len());
    assert!(lines.contains(&Line::Warning("File ignored: pipe".into())));

    let mut zip = ZipArchive::new(&packed.file).unwrap();
    let names: Vec<String> = zip
        .file_names()
        .map(|name| name.unwrap().into_owned())
        .collect();
    assert_eq!(names, ["bin/", "bin/tool", "empty/", "link", "ünï.txt"]);
    let mode = |zip: &mut ZipArchive<_>, name| zip.by_name(name).unwrap().unix_mode().unwrap();
    assert_eq!(mode(&mut zip, "bin/tool"), 0o100_755);
    assert_eq!(mode(&mut zip, "link"), 0o120_777);
    assert_eq!(mode(&mut zip, "bin/") & 0o170_000, 0o040_000);
    let sizes = |file: ::zip::read::ZipFile<'_, _>| (file.compressed_size() < 500, file.size());
    assert_eq!(sizes(zip.by_name("ünï.txt").unwrap()), (true, 5000));
    let extra = zip.by_name("bin/tool").unwrap().extra_data().unwrap();
    let holds = |field: &[u8]| extra.windows(field.len()).any(|part| part == field);
    assert!(
        holds(&[0x55, 0x54, 5, 0, 1, 0xd3, 0x02, 0x96, 0x49]),
        "{extra:x?}"
    );
    assert!(holds(&[0x75, 0x78, 11, 0, 1, 4]), "{extra:x?}");
}

fn filetime(path: &Path, seconds: u64) {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    File::options()
        .append(true)
        .open(path)
        .unwrap()
        .set_modified(time)
        .unwrap();
}

#[test]
fn what_was_packed_comes_back_the_same() {
    let job = Job::new();
    let tool = job.file("bin/tool", b"#!/bin/sh\n");
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o4755)).unwrap();
    filetime(&tool, 1_234_567_891);
    fs::create_dir(job.project().join("empty")).unwrap();
    symlink("bin/tool", job.project().join("link")).unwrap();
    symlink("/usr/bin/python3", job.project().join("bin/python")).unwrap();
    let packed = job
        .pack(&artifact(ArtifactFormat::Zip, &["*"]), &[])
        .0
        .unwrap()
        .unwrap();

    let other = Job::new();
    other.file("bin/tool", b"older and longer than the new one");
    other.file("kept", b"kept");
    symlink("kept", other.project().join("link")).unwrap();
    assert_eq!(other.extract(packed.file, LIMITS).unwrap(), 5);
    let at = |path: &str| other.project().join(path);
    assert_eq!(fs::read(at("bin/tool")).unwrap(), b"#!/bin/sh\n");
    let metadata = fs::metadata(at("bin/tool")).unwrap();
    assert_eq!(
        (metadata.mode(), metadata.mtime()),
        (0o100_755, 1_234_567_891)
    );
    assert!(at("empty").is_dir());
    assert_eq!(fs::read_link(at("link")).unwrap(), Path::new("bin/tool"));
    assert_eq!(
        fs::read_link(at("bin/python")).unwrap(),
        Path::new("/usr/bin/python3")
    );
    assert_eq!(fs::read(at("kept")).unwrap(), b"kept");
}

#[test]
fn archives_are_the_same_bytes_for_the_same_files() {
    let job = Job::new();
    for name in ["b", "a/c", "a.b", "a"] {
        let name = if name == "a" { "a/d" } else { name };
        filetime(&job.file(name, name.as_bytes()), 1_000_000_000);
    }
    let bytes = || {
        let mut packed = job
            .pack(&artifact(ArtifactFormat::Zip, &["**/*"]), &[])
            .0
            .unwrap()
            .unwrap();
        let mut bytes = Vec::new();
        packed.file.read_to_end(&mut bytes).unwrap();
        bytes
    };
    assert_eq!(bytes(), bytes());
}

#[test]
fn names_and_paths_are_expanded() {
    let job = Job::new();
    job.file("out/v1.txt", b"x");
    let variables = [Variable::new("V", "v1"), Variable::new("REF", "feat/z")];
    let mut wanted = artifact(ArtifactFormat::Zip, &["out/$V.txt", "$(id)"]);
    wanted.name = Some("job-${REF}".into());
    let (packed, lines) = job.pack(&wanted, &variables);
    assert_eq!(packed.unwrap().unwrap().filename, "z.zip");
    let warning = Line::Warning("$(id): command substitution is not supported".into());
    assert!(lines.contains(&warning), "{lines:?}");
    for (name, filename) in [
        ("", "default.zip"),
        (".", "default.zip"),
        ("a/", "a.zip"),
        ("/", "default.zip"),
    ] {
        wanted.name = Some(name.into());
        assert_eq!(
            job.pack(&wanted, &variables).0.unwrap().unwrap().filename,
            filename,
            "{name:?}"
        );
    }
}

#[test]
fn an_empty_selection_is_reported_and_no_error() {
    let job = Job::new();
    let (packed, lines) = job.pack(&artifact(ArtifactFormat::Zip, &["nope"]), &[]);
    assert!(packed.unwrap().is_none());
    assert_eq!(
        lines.last(),
        Some(&Line::Error("No files to upload".into()))
    );
}

#[test]
fn git_files_are_packed_with_a_warning() {
    let job = Job::new();
    job.file(".git/config", b"x");
    let (packed, lines) = job.pack(&artifact(ArtifactFormat::Zip, &[".git/config"]), &[]);
    assert!(packed.unwrap().is_some());
    let warnings = lines
        .iter()
        .filter(|line| matches!(line, Line::Warning(_)))
        .count();
    assert_eq!(warnings, 2);
}

#[test]
fn gzip_has_one_member_for_each_file() {
    let job = Job::new();
    job.file("r/b.xml", b"<b/>");
    job.file("r/ä%.xml", b"<a/>");
    let mut wanted = artifact(ArtifactFormat::Gzip, &["r/*.xml"]);
    wanted.name = Some("junit.xml".into());
    let mut packed = job.pack(&wanted, &[]).0.unwrap().unwrap();
    assert_eq!(packed.filename, "junit.xml.gz");
    let mut bytes = Vec::new();
    packed.file.read_to_end(&mut bytes).unwrap();
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(&bytes[..])
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "<b/><a/>");
    let mut first = flate2::bufread::GzDecoder::new(&bytes[..]);
    let header = |decoder: &flate2::bufread::GzDecoder<&[u8]>| {
        let header = decoder.header().unwrap();
        let text = |field: Option<&[u8]>| String::from_utf8(field.unwrap().to_vec()).unwrap();
        (text(header.filename()), text(header.comment()))
    };
    assert_eq!(header(&first), ("b.xml".into(), "r/b.xml".into()));
    std::io::copy(&mut first, &mut std::io::sink()).unwrap();
    let second = flate2::bufread::GzDecoder::new(first.into_inner());
    assert_eq!(
        header(&second),
        ("e:%C3%A4%25.xml".into(), "e:r/%C3%A4%25.xml".into())
    );
}

#[test]
fn single_file_formats_refuse_anything_else() {
    let job = Job::new();
    job.file("r/a", b"a");
    job.file("b", b"b");
    symlink("b", job.project().join("l")).unwrap();
    let result = |format, paths: &[&str]| job.pack(&artifact(format, paths), &[]).0;
    assert!(matches!(
        result(ArtifactFormat::Gzip, &["r"]),
        Err(PackError::NotAFile(_))
    ));
    assert!(matches!(
        result(ArtifactFormat::Gzip, &["l"]),
        Err(PackError::NotAFile(_))
    ));
    assert!(matches!(
        result(ArtifactFormat::Raw, &["r/a", "b"]),
        Err(PackError::NotOneFile(2))
    ));
    let mut packed = result(ArtifactFormat::Raw, &["b"]).unwrap().unwrap();
    let mut bytes = Vec::new();
    packed.file.read_to_end(&mut bytes).unwrap();
    assert_eq!(
        (packed.filename.as_str(), &bytes[..], packed.size),
        ("artifacts", &b"b"[..], 1)
    );
}

#[test]
fn compression_can_be_turned_off() {
    let job = Job::new();
    job.file("a", &[b'a'; 10_000]);
    let variables = [Variable::new("ARTIFACT_COMPRESSION_LEVEL", "Fastest")];
    let packed = job
        .pack(&artifact(ArtifactFormat::Zip, &["a"]), &variables)
        .0
        .unwrap()
        .unwrap();
    let mut zip = ZipArchive::new(packed.file).unwrap();
    assert_eq!(
        zip.by_index(0).unwrap().compression(),
        CompressionMethod::Stored
    );
}

/// An archive of files, and of links where the content starts with `->`.
fn archive(entries: &[(&str, &str)]) -> File {
    let mut zip = ZipWriter::new(tempfile::tempfile().unwrap());
    for (name, content) in entries {
        let options = SimpleFileOptions::default();
        match content.strip_prefix("->") {
            Some(target) => zip.add_symlink(*name, target, options).unwrap(),
            None if name.ends_with('/') => zip.add_directory(*name, options).unwrap(),
            None => {
                zip.start_file(*name, options).unwrap();
                zip.write_all(content.as_bytes()).unwrap();
            }
        }
    }
    let mut file = zip.finish().unwrap();
    file.rewind().unwrap();
    file
}

#[test]
fn unsafe_names_fail_the_archive_before_anything_is_written() {
    for name in [
        "../x",
        "a/../../x",
        "/etc/x",
        "..\\x",
        "\\x",
        "C:\\x",
        "c:x",
        "a/..",
        "a\0b",
        "",
    ] {
        let job = Job::new();
        let result = job.extract(archive(&[("first", "x"), (name, "x")]), LIMITS);
        let refused = matches!(
            result,
            Err(ExtractError::Name(_) | ExtractError::Archive(_))
        );
        assert!(refused, "{name:?}: {result:?}");
        assert_eq!(fs::read_dir(job.project()).unwrap().count(), 0, "{name:?}");
        assert!(!job.root.path().join("x").exists(), "{name:?}");
    }
    let job = Job::new();
    let odd = "dev-disk-by\\x2duuid..x/...";
    job.extract(archive(&[(odd, "x")]), LIMITS).unwrap();
    assert!(job.project().join(odd).exists());
}

#[test]
fn nothing_is_written_through_a_link_of_the_same_or_an_earlier_archive() {
    let job = Job::new();
    let outside = job.root.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let absolute = format!("->{}", outside.display());
    for target in [absolute.as_str(), "->../outside", "->sub/../../outside"] {
        let job_dir = job.project();
        fs::remove_dir_all(&job_dir).unwrap();
        fs::create_dir_all(job_dir.join("sub")).unwrap();
        let same = job.extract(archive(&[("l", target), ("l/x", "x")]), LIMITS);
        assert!(same.is_err(), "{target}");
        fs::remove_dir_all(job_dir.join("l")).unwrap();

        job.extract(archive(&[("l", target)]), LIMITS).unwrap();
        for entry in ["l/x", "l/deep/x", "l/x/"] {
            let later = job.extract(archive(&[(entry, "x")]), LIMITS);
            assert!(
                matches!(later, Err(ExtractError::File { .. })),
                "{target} {entry}: {later:?}"
            );
        }
        let link = job.extract(archive(&[("l/link", "->x")]), LIMITS);
        assert!(
            matches!(link, Err(ExtractError::File { .. })),
            "{target}: {link:?}"
        );
    }
    assert_eq!(fs::read_dir(outside).unwrap().count(), 0);
}

#[test]
fn links_that_stay_inside_are_followed() {
    let job = Job::new();
    fs::create_dir_all(job.project().join("a/b")).unwrap();
    symlink("../a/b", job.project().join("a/l")).unwrap();
    job.extract(archive(&[("a/l/x", "x")]), LIMITS).unwrap();
    assert_eq!(fs::read(job.project().join("a/b/x")).unwrap(), b"x");
    symlink("loop", job.project().join("loop")).unwrap();
    assert!(job.extract(archive(&[("loop/x", "x")]), LIMITS).is_err());
}

#[test]
fn a_file_that_replaces_a_link_leaves_its_target_alone() {
    let job = Job::new();
    let victim = job.root.path().join("victim");
    fs::write(&victim, "kept").unwrap();
    symlink(&victim, job.project().join("f")).unwrap();
    job.extract(archive(&[("f", "new")]), LIMITS).unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"kept");
    assert_eq!(fs::read(job.project().join("f")).unwrap(), b"new");
}

#[test]
fn archives_beyond_the_limits_are_refused() {
    let job = Job::new();
    let names: Vec<String> = (0..20).map(|n| format!("f{n}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "x")).collect();
    let limits = Limits {
        entries: 19,
        ..LIMITS
    };
    assert!(matches!(
        job.extract(archive(&many), limits),
        Err(ExtractError::TooLarge(_))
    ));
    let bomb = "0".repeat(5 << 20);
    let file = archive(&[("a", "x"), ("bomb", &bomb)]);
    assert!(file.metadata().unwrap().len() < 10_000);
    assert!(matches!(
        job.extract(file, LIMITS),
        Err(ExtractError::TooLarge(_))
    ));
    assert_eq!(fs::read_dir(job.project()).unwrap().count(), 0);
}

#[test]
fn an_archive_that_lies_about_a_size_is_stopped() {
    let mut bytes = Vec::new();
    archive(&[("bomb", &"0".repeat(5 << 20))])
        .read_to_end(&mut bytes)
        .unwrap();
    let size = (5u32 << 20).to_le_bytes();
    let claims: Vec<usize> = (0..bytes.len() - 4)
        .filter(|&at| bytes[at..at + 4] == size)
        .collect();
    assert_eq!(claims.len(), 2, "in the local header and in the directory");
    for at in claims {
        bytes[at..at + 4].copy_from_slice(&10u32.to_le_bytes());
    }
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    file.rewind().unwrap();
    let job = Job::new();
    assert!(job.extract(file, LIMITS).is_err());
    let written = fs::metadata(job.project().join("bomb")).map_or(0, |file| file.len());
    assert!(written <= LIMITS.bytes + 1);
}

#[test]
fn what_is_no_archive_is_refused() {
    let job = Job::new();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"not a zip").unwrap();
    assert!(matches!(
        job.extract(file, LIMITS),
        Err(ExtractError::Archive(_))
    ));
}

#[test]
fn device_entries_are_skipped_with_a_warning() {
    let mut bytes = Vec::new();
    archive(&[("dev", "->x")]).read_to_end(&mut bytes).unwrap();
    // The high half of the external attributes is the mode: a link becomes a device.
    let mode = (0o120_777u32 << 16).to_le_bytes();
    let at = (0..bytes.len() - 4)
        .rfind(|&at| bytes[at..at + 4] == mode)
        .unwrap();
    bytes[at..at + 4].copy_from_slice(&(0o060_666u32 << 16).to_le_bytes());
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    let job = Job::new();
    let mut lines = Vec::new();
    extract(file, &job.project(), LIMITS, &mut |line| lines.push(line)).unwrap();
    assert_eq!(lines, [Line::Warning("File ignored: dev".into())]);
    assert_eq!(fs::read_dir(job.project()).unwrap().count(), 0);
}
