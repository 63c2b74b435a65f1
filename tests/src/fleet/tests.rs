use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::agent::Host;
use super::disk::Disk;
use super::leftovers;
use super::network::{HUB, Network};
use crate::{Process, wait_for};

/// Numbers no fleet of this process gets.
fn prefix(number: u32) -> String {
    leftovers::prefix(1_000_000 + number)
}

fn host(network: &mut Network, number: u32, root: &Path) -> Result<Host> {
    let namespace = network.add_host(&prefix(number))?;
    fs::create_dir_all(root.join("logs"))?;
    Host::new("builder".into(), namespace, "/bin/sh".into(), 1, root)
}

#[test]
fn host_reaches_the_hub_until_it_is_cut_off_and_after() -> Result<()> {
    let mut network = Network::new(&prefix(1))?;
    let one = network.add_host(&prefix(1))?;
    let two = network.add_host(&prefix(1))?;
    let listener = network
        .hub
        .inside(|| TcpListener::bind((HUB, 7)).context("listen"))?;
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"x");
        }
    });
    let answers = || {
        let address = format!("{HUB}:7").parse().context("an address")?;
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(300))?;
        Ok(stream.read(&mut [0])?)
    };

    ensure!(one.inside(answers)? == 1 && two.inside(answers)? == 1);
    one.unplug()?;
    ensure!(one.inside(answers).is_err() && two.inside(answers)? == 1);
    one.plug()?;
    wait_for("the host to be back", || Ok(one.inside(answers).ok()))?;
    Ok(())
}

#[test]
fn host_has_a_name_a_boot_id_and_processes_of_its_own() -> Result<()> {
    let root = TempDir::with_prefix("fleet-test-")?;
    let mut network = Network::new(&prefix(2))?;
    let mut host = host(&mut network, 2, root.path())?;
    let script = "hostname; cat /proc/sys/kernel/random/boot_id; readlink /proc/self/ns/net; \
                  setsid sleep 7778 >/dev/null 2>&1 & exit 0";
    let words = ["-c".to_owned(), script.to_owned()];
    let run = |host: &Host| host.command(&words, root.path());

    let mut seen = Vec::new();
    wait_for("the name of the host", || {
        let finished = run(&host)?;
        seen = finished.stdout.lines().map(str::to_owned).collect();
        Ok((seen.len() == 3).then_some(()))
    })?;
    ensure!(seen[0] == "builder" && seen[2] == host.mark()?, "{seen:?}");
    let sleeps = |host: &Host| -> Result<Vec<Process>> {
        let mut all = host.processes()?;
        all.retain(|one| one.command_line == "sleep 7778");
        Ok(all)
    };
    wait_for("a process of the host", || Ok(sleeps(&host)?.pop()))?;

    // Power comes back with another boot id; nothing of before is left. The
    // "agent" is a shell that has nothing to do.
    host.power_off()?;
    ensure!(host.processes()?.is_empty());
    host.power_on()?;
    let again = run(&host)?;
    let boot = again.stdout.lines().nth(1).context("a boot id")?.to_owned();
    ensure!(boot != seen[1] && boot.len() == 36, "{boot}");

    wait_for("a process of the host", || Ok(sleeps(&host)?.pop()))?;
    let left = sleeps(&host)?;
    host.end()?;
    drop(network);
    for process in left {
        ensure!(Process::find(process.pid).is_none());
    }
    Ok(())
}

#[test]
fn clock_of_a_host_can_be_shifted() -> Result<()> {
    let root = TempDir::with_prefix("fleet-test-")?;
    let mut network = Network::new(&prefix(3))?;
    let mut host = host(&mut network, 3, root.path())?;
    host.shift_clock("+20m")?;
    let words = ["-c".to_owned(), "date +%s".to_owned()];
    let there: i64 = host
        .command(&words, root.path())?
        .stdout
        .trim()
        .parse()
        .context("a time")?;
    let here = Command::new("date").arg("+%s").output()?;
    let here: i64 = String::from_utf8_lossy(&here.stdout).trim().parse()?;
    ensure!((1190..=1210).contains(&(there - here)), "{there} {here}");
    Ok(())
}

#[test]
fn what_a_dead_test_process_left_is_removed() -> Result<()> {
    let mut dead = Command::new("true").spawn()?;
    let pid = dead.id();
    dead.wait()?;
    let name = format!("fleet-e2e-{pid}-1-hub");
    let folder = std::env::temp_dir().join(format!("fleet-e2e-{pid}-1-xyz"));
    ensure!(
        Command::new("ip")
            .args(["netns", "add", &name])
            .status()?
            .success()
    );
    let disk = Disk::mount(&folder.join("disk"), 1 << 20)?;
    let mut process = Command::new("nsenter")
        .arg(format!("--net=/run/netns/{name}"))
        .args(["sleep", "7779"])
        .spawn()?;
    let name_of = format!("/proc/{}/comm", process.id());
    crate::wait_for("the process to be in the namespace", || {
        Ok((fs::read_to_string(&name_of)?.trim() == "sleep").then_some(()))
    })?;

    leftovers::try_remove()?;

    process.wait()?;
    ensure!(!Path::new("/run/netns").join(&name).exists());
    ensure!(!folder.exists());
    drop(disk);
    Ok(())
}

#[test]
fn full_disk_refuses_until_it_is_freed() -> Result<()> {
    let root = TempDir::with_prefix("fleet-test-")?;
    let disk = Disk::mount(&root.path().join("disk"), 1 << 20)?;
    let file = root.path().join("disk/file");
    disk.fill(0)?;
    ensure!(fs::write(&file, [7; 8192]).is_err());
    disk.free()?;
    fs::write(&file, [7; 8192])?;
    leftovers::unmount_below(root.path())?;
    ensure!(!file.exists());
    Ok(())
}
