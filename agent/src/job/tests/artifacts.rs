use std::fs;
use std::io::Read;

use fleet_model::{
    Artifact, ArtifactFormat, ArtifactWhen, Dependency, FailureReason, JobId, JobSpec,
};

use super::world::{World, after, with};
use crate::bulk::Error;

fn artifact(paths: &[&str], when: ArtifactWhen) -> Artifact {
    Artifact {
        name: None,
        paths: paths.iter().map(|&path| path.into()).collect(),
        exclude: Vec::new(),
        untracked: false,
        when,
        kind: "archive".into(),
        format: ArtifactFormat::Zip,
        expire_in: Some("1 week".into()),
    }
}

fn keeps(mut spec: JobSpec, artifacts: &[Artifact]) -> JobSpec {
    spec.artifacts = artifacts.to_vec();
    spec
}

fn needs(mut spec: JobSpec, jobs: &[(u64, &str)]) -> JobSpec {
    spec.dependencies = jobs
        .iter()
        .map(|(id, name)| Dependency {
            job: JobId(*id),
            name: (*name).into(),
            filename: "artifacts.zip".into(),
            size: 200,
        })
        .collect();
    spec
}

fn entries(archive: &[u8]) -> Vec<String> {
    let zip = zip::ZipArchive::new(std::io::Cursor::new(archive)).unwrap();
    zip.file_names()
        .map(|name| name.unwrap().into_owned())
        .collect()
}

/// Has a job upload `same.txt` with `content` and puts it where consumers find
/// it as the archive of job `id`.
async fn produce(world: &World, id: u64, content: &str) {
    let script = format!("printf {content} > same.txt");
    let job = keeps(
        world.job(&[&script]),
        &[artifact(&["same.txt"], ArtifactWhen::OnSuccess)],
    );
    world.run(job).await.succeeds();
    let (_, archive) = world.shelf.uploads.lock().unwrap().pop().unwrap();
    world
        .shelf
        .archives
        .lock()
        .unwrap()
        .insert(JobId(id), archive);
}

#[tokio::test]
async fn a_failed_job_uploads_what_is_kept_of_failures() {
    let world = World::new();
    let job = keeps(
        after(
            world.job(&["echo x > out.txt", "exit 42"]),
            &["echo y > late.txt"],
        ),
        &[
            artifact(&["README.md"], ArtifactWhen::OnSuccess),
            artifact(&["out.txt"], ArtifactWhen::OnFailure),
            artifact(&["late.txt"], ArtifactWhen::Always),
        ],
    );
    let ran = world
        .run(job)
        .await
        .fails(FailureReason::SCRIPT_FAILURE, 42);
    ran.shows(&[
        "Running after_script",
        "Uploading artifacts for failed job",
        "Uploading artifacts...",
        "out.txt: found 1 matching artifact files and directories",
        "Uploading artifacts as \"archive\" to coordinator... 201 Created",
        "ERROR: Job failed: exit status 42",
    ]);
    let uploads = world.shelf.uploads.lock().unwrap();
    let kept: Vec<_> = uploads
        .iter()
        .map(|(_, archive)| entries(archive))
        .collect();
    assert_eq!(kept, [["out.txt"], ["late.txt"]]);
    assert_eq!(uploads[0].0.filename, "artifacts.zip");
    assert_eq!(uploads[0].0.expire_in.as_deref(), Some("1 week"));
}

#[tokio::test]
async fn a_successful_job_uploads_archives_before_reports() {
    let world = World::new();
    let mut report = artifact(&["r.xml"], ArtifactWhen::Always);
    report.kind = "junit".into();
    report.name = Some("junit.xml".into());
    report.format = ArtifactFormat::Gzip;
    let mut named = artifact(&["d/"], ArtifactWhen::OnSuccess);
    named.name = Some("$CI_JOB_NAME-$REF".into());
    let job = keeps(
        world.job(&["mkdir d; echo x > d/f; echo '<x/>' > r.xml"]),
        &[named, report],
    );
    let job = with(job, &[("CI_JOB_NAME", "job"), ("REF", "feat/z")]);
    world
        .run(job)
        .await
        .succeeds()
        .shows(&["Uploading artifacts for successful job"]);
    let uploads = world.shelf.uploads.lock().unwrap();
    let names: Vec<_> = uploads
        .iter()
        .map(|(header, _)| header.filename.as_str())
        .collect();
    assert_eq!(names, ["z.zip", "junit.xml.gz"]);
    let mut text = String::new();
    flate2::read::GzDecoder::new(&*uploads[1].1)
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "<x/>\n");
}

#[tokio::test]
async fn nothing_to_upload_is_no_failure() {
    let world = World::new();
    let job = keeps(
        world.job(&["true"]),
        &[artifact(&["nope*"], ArtifactWhen::OnSuccess)],
    );
    world
        .run(job)
        .await
        .succeeds()
        .shows(&["nope*: no matching files", "ERROR: No files to upload"]);
    let job = keeps(
        world.job(&["true"]),
        &[artifact(&["nope*"], ArtifactWhen::OnFailure)],
    );
    world.run(job).await.succeeds().hides("Uploading");
}

#[tokio::test]
async fn a_refused_upload_fails_the_job_and_later_ones_are_left_out() {
    let world = World::new();
    let kept = artifact(&["README.md"], ArtifactWhen::Always);
    let job = || keeps(world.job(&["true"]), &[kept.clone(), kept.clone()]);
    world.shelf.errors.lock().unwrap().push(Error::TooLarge);
    let ran = world
        .run(job())
        .await
        .fails(FailureReason::SCRIPT_FAILURE, 1);
    ran.shows(&["FATAL: too large", "ERROR: Job failed: exit status 1"]);
    assert!(world.shelf.uploads.lock().unwrap().is_empty());
    world
        .shelf
        .errors
        .lock()
        .unwrap()
        .push(Error::Refused("A=: bad line".into()));
    world
        .run(job())
        .await
        .fails(FailureReason::SCRIPT_FAILURE, 1)
        .shows(&["FATAL: A=: bad line"]);
}

#[tokio::test]
async fn artifacts_of_dependencies_come_in_order() {
    let world = World::new();
    produce(&world, 1, "first").await;
    produce(&world, 2, "second").await;
    let look = ["cat same.txt; echo; git status --porcelain"];
    let ran = world
        .run(needs(world.job(&look), &[(1, "p1"), (2, "p2")]))
        .await
        .succeeds();
    ran.shows(&[
        "Downloading artifacts",
        "Downloading artifacts for p1 (1)...",
        "Downloading artifacts from coordinator... ok",
        "Downloading artifacts for p2 (2)...",
        "step_script",
        "second",
    ]);
    world
        .run(needs(world.job(&look), &[(2, "p2"), (1, "p1")]))
        .await
        .succeeds()
        .shows(&["first"]);
    let without = world.job(&["test ! -e same.txt"]);
    world.run(without).await.succeeds().hides("Downloading");
    let left: Vec<_> = fs::read_dir(world.path("state/leases/9"))
        .unwrap()
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_missing_artifact_fails_the_job_before_its_script() {
    let world = World::new();
    let job = after(
        needs(world.job(&["echo never"]), &[(5, "gone")]),
        &["echo never"],
    );
    let job = keeps(job, &[artifact(&["README.md"], ArtifactWhen::OnFailure)]);
    let ran = world.run(job).await.fails(FailureReason::SCRIPT_FAILURE, 1);
    let ran = ran.shows(&[
        "FATAL: file does not exist",
        "Uploading artifacts for failed job",
        "Cleaning up",
    ]);
    ran.hides("never").hides("Running after_script");
}

#[tokio::test]
async fn an_archive_that_is_none_fails_the_job() {
    let world = World::new();
    world
        .shelf
        .archives
        .lock()
        .unwrap()
        .insert(JobId(3), b"no zip".to_vec());
    let ran = world
        .run(needs(world.job(&["echo never"]), &[(3, "odd")]))
        .await;
    ran.fails(FailureReason::SCRIPT_FAILURE, 1)
        .shows(&["FATAL: read the archive"])
        .hides("never");
}
