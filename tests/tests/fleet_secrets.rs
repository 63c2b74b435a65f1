//! Secrets are where they have to be, and nowhere else.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fleet_tests::fleet::{Fleet, Person, Setup};

const PROJECT: &str = "group/app";

/// Prints what is masked, in more than one way, and stays until it is enough.
const YAML: &str = "use:
  script:
    - echo \"$MASKED $PROTECTED_MASKED $GROUP_MASKED $INSTANCE_MASKED $HIDDEN $FROM_PUSHER\"
    - cat $MASKED_FILE
    - env | sort
    - set -x
    - echo $MASKED $CI_JOB_TOKEN
    - printf %s \"$CI_JOB_TOKEN\" > $MARKS/job-token.new
    - mv $MARKS/job-token.new $MARKS/job-token
    - until [ -e $MARKS/enough ]; do sleep 0.05; done
";

#[test]
fn planted_values_are_nowhere_to_be_found() -> Result<()> {
    Setup::hosts(1).run(|fleet| {
        let mut planted = plant(fleet)?;
        let mia = fleet.person("mia", "maintainer")?;
        planted.insert("token of mia".into(), mia.token.clone());
        planted.insert("token of root".into(), fleet.admin()?.token);

        let clone = mia.clone_of(PROJECT)?;
        let sha = clone.push_pipeline(YAML)?;
        let pushed = mia.wait_pipeline(PROJECT, &sha)?;
        fleet.wait_file("job-token")?;
        let job_token = fs::read_to_string(fleet.marks().join("job-token"))?;
        ensure!(job_token.len() > 20, "{job_token}");
        planted.insert("job token".into(), job_token);

        // While the job runs, the values are in its own files alone.
        let host = &fleet.hosts[0];
        let places = [
            fleet.coordinator.data().to_owned(),
            fleet.root().join("logs"),
            host.state(),
        ];
        let logs = [
            fleet.coordinator.data().join("blobs/logs"),
            host.state().join("leases"),
        ];
        search_but(&planted, &places, &logs)?;
        search_arguments(fleet, &planted)?;
        // Those that are not masked may be in the log: the job printed them.
        let masked: BTreeMap<String, String> = planted
            .iter()
            .filter(|(name, _)| !name.starts_with("open"))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        search(&masked, &logs)?;
        fleet.make_file("enough")?;
        let ended = mia.wait_end(&pushed, Duration::from_secs(60))?;
        ensure!(ended.status == "success", "{ended:?}");
        let log = mia.log(&mia.job(&ended, "use")?)?;
        ensure!(log.matches("[MASKED]").count() > 8, "{log}");
        search_text(&masked, "the job's log", &log)?;

        let given = mia.run(&[
            "pipeline",
            "create",
            "--ref",
            "main",
            "--variable",
            &format!("FROM_PUSHER={}", planted["open of a pipeline"]),
            "--project",
            PROJECT,
        ])?;
        given.expect_exit(0)?;
        let second = mia.pipeline(PROJECT, "last")?;
        mia.wait_end(&second, Duration::from_secs(60))?;

        // Nor do listings and errors show them.
        for (what, text) in shown(&mia)?.into_iter().chain(errors(fleet, &planted)?) {
            search_text(&planted, &what, &text)?;
        }
        fleet.hosts[0].signal(rustix::process::Signal::TERM)?;
        fleet.hosts[0].wait_end()?;
        fleet.coordinator.stop()?;
        let host = &fleet.hosts[0];
        let mut places = places.to_vec();
        places.extend([host.builds(), fleet.root().join("tmp")]);
        // What the job printed of what is not masked is in its log, and so here.
        search_but(&masked, &places, &[])?;
        let logs = fleet.coordinator.data().join("blobs");
        search_but(&planted, &places, &[logs])
    })
}

/// Sets all kinds of values; returns them by what they are.
fn plant(fleet: &mut Fleet) -> Result<BTreeMap<String, String>> {
    fleet.project(PROJECT)?;
    let admin = fleet.admin()?;
    let project = ["--project", PROJECT];
    let group = ["--group", "group"];
    let mut planted = BTreeMap::new();
    let mut value = |what: &str| {
        let value = format!("Planted{:02}x{}", planted.len(), "q7Zr9Kd2");
        planted.insert(what.to_owned(), value.clone());
        value
    };
    let variables = [
        ("open", "variable set OPEN", &project[..]),
        ("masked", "variable set MASKED --masked", &project),
        (
            "protected",
            "variable set PROTECTED_MASKED --masked --protected",
            &project,
        ),
        (
            "file",
            "variable set MASKED_FILE --masked --type file",
            &project,
        ),
        ("group's", "variable set GROUP_MASKED --masked", &group),
        (
            "instance's",
            "variable set INSTANCE_MASKED --masked",
            &["--instance"],
        ),
        ("hidden", "secret set HIDDEN", &project),
        (
            "another environment's",
            "variable set ELSEWHERE --masked --environment production",
            &project,
        ),
    ];
    for (what, words, scope) in variables {
        let file = admin.write("value", value(what))?.display().to_string();
        let mut words: Vec<&str> = words.split(' ').collect();
        words.extend(["--file", &file]);
        words.extend(scope);
        admin.ok(&words)?;
    }
    let _ = value("open of a pipeline");
    let token = admin.join_token(&[])?.token;
    planted.insert("join token".into(), token);
    admin.ok(&[
        "project",
        "protect",
        "main",
        "--push",
        "maintainer",
        "--project",
        PROJECT,
    ])?;
    Ok(planted)
}

/// All that can be listed and shown, but values that are there to be read.
fn shown(person: &Person) -> Result<Vec<(String, String)>> {
    let mut texts = Vec::new();
    for words in [
        &["secret", "list", "--project", PROJECT][..],
        &["project", "show", PROJECT],
        &["pipeline", "list", "--project", PROJECT],
        &["pipeline", "show", "last", "--project", PROJECT],
        &["job", "list", "--project", PROJECT],
        &["agent", "list"],
        &["token", "list"],
        &["queue"],
    ] {
        let mut all = words.to_vec();
        all.extend(["-o", "json"]);
        texts.push((words.join(" "), person.ok(&all)?));
    }
    Ok(texts)
}

/// What is said about mistakes with secrets in them.
fn errors(fleet: &mut Fleet, planted: &BTreeMap<String, String>) -> Result<Vec<(String, String)>> {
    let admin = fleet.admin()?;
    let mut texts = vec![(
        "audit".to_owned(),
        admin.ok(&["audit", "--limit", "1000", "-o", "json"])?,
    )];
    for flags in [&["not a name"][..], &["MASKED", "--type", "neither"]] {
        let file = admin
            .write("value", &planted["masked"])?
            .display()
            .to_string();
        let mut words = vec!["variable", "set", "--file", &file, "--project", PROJECT];
        words.extend(flags);
        let refused = admin.run(&words)?;
        ensure!(!refused.status.success(), "{}", refused.output());
        texts.push((words.join(" "), refused.output()));
    }
    let used = fleet_tests::fleet::JoinToken {
        token: planted["join token"].clone(),
        ..admin.join_token(&[])?
    };
    let host = &fleet.hosts[0];
    let joined = |name: &str| host.try_join_as(name, &used, &fleet.root().join(name));
    joined("another")?.expect_exit(0)?;
    let refused = joined("third")?;
    ensure!(!refused.status.success(), "the token has been used");
    texts.push(("join again".into(), refused.output()));
    Ok(texts)
}

fn search(planted: &BTreeMap<String, String>, places: &[PathBuf]) -> Result<()> {
    search_but(planted, places, &[])
}

/// Looks for the values, as they are and in base64, in all files of some folders
/// but those below others.
fn search_but(
    planted: &BTreeMap<String, String>,
    places: &[PathBuf],
    but: &[PathBuf],
) -> Result<()> {
    let mut left = places.to_vec();
    while let Some(place) = left.pop() {
        if but.contains(&place) {
            continue;
        }
        if place.is_dir() && !place.is_symlink() {
            for entry in fs::read_dir(&place).with_context(|| place.display().to_string())? {
                left.push(entry?.path());
            }
        } else if let Ok(bytes) = fs::read(&place) {
            search_bytes(planted, &place.display().to_string(), &bytes)?;
        }
    }
    Ok(())
}

fn search_text(planted: &BTreeMap<String, String>, what: &str, text: &str) -> Result<()> {
    search_bytes(planted, what, text.as_bytes())
}

fn search_bytes(planted: &BTreeMap<String, String>, what: &str, bytes: &[u8]) -> Result<()> {
    for (name, value) in planted {
        for form in forms(value) {
            let found = bytes.windows(form.len()).any(|window| window == form);
            ensure!(!found, "the {name} value is in {what}");
        }
    }
    Ok(())
}

/// A value, and what base64 makes of it at each of the three places where it can
/// begin, without the ends that depend on what is beside it.
fn forms(value: &str) -> Vec<Vec<u8>> {
    let mut forms = vec![value.as_bytes().to_vec()];
    for before in 0..3_usize {
        let mut bytes = vec![0; before];
        bytes.extend(value.as_bytes());
        let text = base64(&bytes);
        let own = if before == 0 { 0 } else { 4 };
        forms.push(text[own..].to_vec());
    }
    forms
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = Vec::new();
    for three in bytes.chunks_exact(3) {
        let number = three
            .iter()
            .fold(0_usize, |number, byte| number << 8 | usize::from(*byte));
        for shift in [18, 12, 6, 0] {
            text.push(LETTERS[number >> shift & 63]);
        }
    }
    text
}

/// Anybody on a host can read the arguments of all its processes.
fn search_arguments(fleet: &Fleet, planted: &BTreeMap<String, String>) -> Result<()> {
    let processes = fleet.hosts[0].processes()?;
    ensure!(processes.len() > 1, "{processes:?}");
    for process in processes {
        search_text(planted, "arguments", &process.command_line)?;
    }
    Ok(())
}

#[test]
fn search_finds_what_is_there() -> Result<()> {
    let folder = tempfile::TempDir::with_prefix("fleet-test-")?;
    let value = "Planted00xq7Zr9Kd2";
    let planted = BTreeMap::from([("x".to_owned(), value.to_owned())]);
    let texts = [
        value.to_owned(),
        format!("a{value}b"),
        // `printf %s a{value}b | base64`, with no, one and two bytes before it.
        "UGxhbnRlZDAweHE3WnI5S2QyYg==".into(),
        "YVBsYW50ZWQwMHhxN1pyOUtkMmI=".into(),
        "YWFQbGFudGVkMDB4cTdacjlLZDJi".into(),
    ];
    let file: &Path = &folder.path().join("file");
    for text in texts {
        fs::write(file, &text)?;
        let found = search(&planted, &[folder.path().to_owned()]);
        ensure!(found.is_err(), "{text}");
    }
    fs::write(file, "nothing")?;
    search(&planted, &[folder.path().to_owned()])
}
