use anyhow::{Result, ensure};

use super::{Account, Alone, BUSYBOX, Login, TOOLS};

fn passwords() -> Login {
    Login::Passwords(vec![Account::new("_json_key", "{\"pass\": \"word\"}")])
}

#[test]
fn containers_end_with_their_engine_and_nothing_is_left() -> Result<()> {
    let mut alone = Alone::new()?;
    let engine = &mut alone.engine;
    engine.load(&BUSYBOX)?;
    let said = engine.ok(&["run", "--rm", BUSYBOX.name, "echo", "hello"])?;
    ensure!(said == "hello\n", "{said}");
    engine.wait_clean()?;
    engine.ok(&[
        "run",
        "--detach",
        "--name",
        "stays",
        // An engine that starts stops what has gone on without it.
        "--stop-timeout",
        "1",
        BUSYBOX.name,
        "sleep",
        "7781",
    ])?;
    ensure!(engine.containers()? == ["stays"]);
    let pid = engine.ok(&["inspect", "--format", "{{.State.Pid}}", "stays"])?;
    let pid = pid.trim().parse()?;

    engine.kill()?;
    ensure!(crate::Process::find(pid).is_some(), "containers go on");
    engine.start()?;
    engine.ok(&["rm", "--force", "stays"])?;
    engine.ok(&[
        "run",
        "--detach",
        "--name",
        "again",
        BUSYBOX.name,
        "sleep",
        "7781",
    ])?;
    let pid = engine.ok(&["inspect", "--format", "{{.State.Pid}}", "again"])?;
    let pid = pid.trim().parse()?;
    let root = alone.root().to_owned();
    drop(alone);
    ensure!(crate::Process::find(pid).is_none());
    ensure!(!root.exists());
    Ok(())
}

#[test]
fn registry_takes_an_image_from_whoever_has_the_password() -> Result<()> {
    let alone = Alone::new()?;
    let registry = alone.registry(5000, &passwords())?;
    let engine = &alone.engine;
    engine.load(&BUSYBOX)?;
    let name = format!("{}/group/app:1", registry.host());
    engine.ok(&["tag", BUSYBOX.name, &name])?;
    engine.docker(&["push", &name])?.expect_exit(1)?;
    let login = |password| {
        let host = registry.host();
        engine.docker(&["login", "-u", "_json_key", "-p", password, &host])
    };
    let refused = login("wrong")?;
    refused.expect_exit(1)?;
    refused.expect_text("nauthorized")?;
    login("{\"pass\": \"word\"}")?.expect_exit(0)?;
    engine.ok(&["push", &name])?;
    ensure!(registry.tags("group/app")? == ["1"]);
    engine.ok(&["rmi", &name])?;
    engine.ok(&["run", "--rm", &name, "true"])?;
    Ok(())
}

#[test]
fn tools_reach_the_engine_from_inside_a_container() -> Result<()> {
    let alone = Alone::new()?;
    let engine = &alone.engine;
    engine.load(&TOOLS)?;
    let socket = format!("{}:/var/run/docker.sock", engine.socket().display());
    let script = "docker ps --format '{{.Image}}'";
    let said = engine.ok(&[
        "run", "--rm", "-v", &socket, TOOLS.name, "bash", "-c", script,
    ])?;
    ensure!(said == format!("{}\n", TOOLS.name), "{said}");
    Ok(())
}
