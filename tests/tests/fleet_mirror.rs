//! A project that lives elsewhere: its repository is fetched when a pipeline is
//! asked for. Elsewhere is another project of the same coordinator here, over
//! HTTPS.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use anyhow::{Result, ensure};
use fleet_tests::fleet::{HUB, Setup};

const ORIGIN: &str = "group/app";
const MIRROR: &str = "group/mirror";
const SOON: Duration = Duration::from_secs(60);

#[test]
fn a_mirror_is_fetched_when_a_pipeline_is_asked_for() -> Result<()> {
    Setup::hosts(1).run(|fleet| {
        fleet.project(ORIGIN)?;
        let admin = fleet.admin()?;
        let clone = admin.clone_of(ORIGIN)?;
        let first = clone.push_pipeline("job: {script: 'echo first'}\n")?;
        let origin = format!("https://{HUB}:8443/{ORIGIN}.git");
        admin.ok(&["project", "create", MIRROR, "--mirror", &origin])?;

        let create = ["pipeline", "create", "--ref", "main", "--project", MIRROR];
        let refused = admin.run(&create)?;
        refused.expect_exit(1)?;
        refused.expect_text("could not read Username")?;

        let secret = format!("https://root:{}@{HUB}:8443/{ORIGIN}.git\n", admin.token);
        let file = fleet.coordinator.data().join("git-credentials");
        fs::write(&file, secret)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
        admin.ok(&create)?;
        let pipeline = admin.wait_pipeline(MIRROR, &first)?;
        let ended = admin.wait_end(&pipeline, SOON)?;
        ensure!(ended.status == "success", "{ended:?}");
        ensure!(admin.log(&admin.job(&ended, "job")?)?.contains("first"));

        let second = clone.push_pipeline("job: {script: 'echo second'}\n")?;
        ensure!(admin.pipelines_of(MIRROR, &second)?.is_empty());
        admin.ok(&create)?;
        let pipeline = admin.wait_pipeline(MIRROR, &second)?;
        let ended = admin.wait_end(&pipeline, SOON)?;
        ensure!(ended.status == "success", "{ended:?}");
        ensure!(admin.log(&admin.job(&ended, "job")?)?.contains("second"));

        // Nobody pushes to it: what is there is what is elsewhere.
        let address = format!("https://root:{}@{HUB}:8443/{MIRROR}.git", admin.token);
        let pushed = clone.try_git(&["push", &address, "HEAD:refs/heads/other"])?;
        ensure!(!pushed.status.success(), "{}", pushed.output());
        Ok(())
    })
}
