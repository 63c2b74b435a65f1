//! Images made of this machine's own programs, once a machine.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use rustix::fs::{FlockOperation, flock};

/// An image that tests start from; what stands in it is in `make`.
#[derive(Debug)]
pub struct Image {
    /// Its name on an engine.
    pub name: &'static str,
    /// Programs of this machine that are in it, with their libraries.
    programs: &'static [&'static str],
    /// Other files in it, each with its path.
    files: &'static [(&'static str, &'static str)],
    /// What engines run before its commands.
    entrypoint: Option<&'static str>,
    /// Folders that are volumes in its containers.
    volumes: &'static [&'static str],
    /// What its containers listen at.
    ports: &'static [&'static str],
}

/// 2 MB: busybox under all its names.
pub const BUSYBOX: Image = Image {
    name: "busybox:test",
    programs: &["busybox"],
    ..EMPTY
};

/// Busybox, bash and the Docker command line.
pub const TOOLS: Image = Image {
    name: "tools:test",
    programs: &["busybox", "bash", "docker"],
    ..EMPTY
};

/// An engine to be run in a container, in the manner of `docker:dind`.
pub const ENGINE: Image = Image {
    name: "docker:test-dind",
    programs: &[
        "busybox",
        "containerd",
        "containerd-shim-runc-v2",
        "docker-init",
        "docker-proxy",
        "dockerd",
        "iptables",
        "openssl",
        "runc",
    ],
    files: &[
        (
            "bin/dockerd-entrypoint.sh",
            include_str!("image/dockerd-entrypoint.sh"),
        ),
        ("etc/openssl.cnf", include_str!("image/openssl.cnf")),
    ],
    entrypoint: Some("dockerd-entrypoint.sh"),
    // Its layers cannot lie on those of the engine it runs in.
    volumes: &["/var/lib/docker"],
    ports: &["2375/tcp", "2376/tcp"],
};

const EMPTY: Image = Image {
    name: "",
    programs: &[],
    files: &[],
    entrypoint: None,
    volumes: &[],
    ports: &[],
};

impl Image {
    /// The archive `docker load` takes; made by the first who asks, kept in the
    /// folder of the build.
    ///
    /// # Errors
    /// If a program is missing or cannot be copied.
    pub fn file(&self) -> Result<PathBuf> {
        let cache = cache()?;
        fs::create_dir_all(&cache).with_context(|| format!("make {}", cache.display()))?;
        let file = cache.join(format!("{}-{}.tar", self.name, self.version()?));
        let lock = File::create(cache.join("lock")).context("make a lock")?;
        flock(&lock, FlockOperation::LockExclusive).context("lock the images")?;
        if !file.exists() {
            let made = tempfile::tempdir_in(&cache).context("make a folder for an image")?;
            self.make(made.path())
                .with_context(|| format!("make the image {}", self.name))?;
            fs::rename(made.path().join("image.tar"), &file).context("keep an image")?;
        }
        Ok(file)
    }

    /// Changes with the programs in it.
    fn version(&self) -> Result<String> {
        let mut text = String::new();
        for program in self.programs {
            let meta = fs::metadata(find(program)?).context("look at a program")?;
            text.push_str(&format!(
                "{program} {} {:?}\n",
                meta.len(),
                meta.modified()?
            ));
        }
        for (file, content) in self.files {
            text.push_str(&format!("{file} {content}\n"));
        }
        text.push_str(&format!(
            "{:?} {:?} {:?}\n",
            self.entrypoint, self.volumes, self.ports
        ));
        Ok(sha256(text.as_bytes())?[..12].to_owned())
    }

    /// An archive as `docker save` makes it, with one layer.
    fn make(&self, place: &Path) -> Result<()> {
        let root = place.join("root");
        for folder in [
            "bin", "dev", "etc", "proc", "root", "sys", "tmp", "usr", "var",
        ] {
            fs::create_dir_all(root.join(folder))?;
        }
        fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
        symlink("../bin", root.join("usr/bin"))?;
        fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
        fs::write(root.join("etc/group"), "root:x:0:\n")?;
        fs::write(root.join("etc/nsswitch.conf"), "hosts: files dns\n")?;
        for program in self.programs {
            add_program(&root, program)?;
        }
        for (file, content) in self.files {
            fs::write(root.join(file), content)?;
            fs::set_permissions(root.join(file), fs::Permissions::from_mode(0o755))?;
        }
        let layer = place.join("layer.tar");
        run(Command::new("tar")
            .args(["--sort=name", "--numeric-owner", "--owner=0", "--group=0"])
            .arg("-C")
            .arg(&root)
            .arg("-cf")
            .arg(&layer)
            .arg("."))?;
        let layer = sha256(&fs::read(&layer)?)?;
        let set = |names: &[&'static str]| -> BTreeMap<&str, serde_json::Value> {
            names
                .iter()
                .map(|name| (*name, serde_json::json!({})))
                .collect()
        };
        let environment = ["PATH=/usr/local/bin:/usr/bin:/bin"];
        let config = serde_json::json!({
            "architecture": architecture(),
            "os": "linux",
            "config": {
                "Cmd": self.entrypoint.is_none().then_some(["sh"]),
                "Entrypoint": self.entrypoint.map(|program| [program]),
                "Env": environment,
                "Volumes": set(self.volumes),
                "ExposedPorts": set(self.ports),
            },
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer}")]},
        });
        fs::write(place.join("config.json"), config.to_string())?;
        let manifest = serde_json::json!([
            {"Config": "config.json", "RepoTags": [self.name], "Layers": ["layer.tar"]}
        ]);
        fs::write(place.join("manifest.json"), manifest.to_string())?;
        run(Command::new("tar")
            .arg("-C")
            .arg(place)
            .args([
                "-cf",
                "image.tar",
                "manifest.json",
                "config.json",
                "layer.tar",
            ])
            .current_dir(place))
    }
}

/// Beside the build's own folders: target/<profile>/deps/<test>.
fn cache() -> Result<PathBuf> {
    let test = std::env::current_exe().context("find the running test")?;
    let target = test.ancestors().nth(3);
    Ok(target
        .context("find the folder of the build")?
        .join("tests-images"))
}

fn find(program: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").context("no PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .with_context(|| format!("{program} is missing on this machine"))
}

/// A program in `/bin`, and the libraries it names at the places it expects them.
fn add_program(root: &Path, program: &str) -> Result<()> {
    let file = find(program)?;
    fs::copy(&file, root.join("bin").join(program))?;
    if program == "busybox" {
        let listed = Command::new(&file).arg("--list").output()?;
        for name in String::from_utf8_lossy(&listed.stdout).lines() {
            let link = root.join("bin").join(name);
            if !link.exists() {
                symlink("busybox", link)?;
            }
        }
    }
    let libraries = Command::new("ldd").arg(&file).output()?;
    for word in String::from_utf8_lossy(&libraries.stdout).split_whitespace() {
        let Some(inside) = word.strip_prefix('/') else {
            continue;
        };
        let place = root.join(inside);
        if let Some(folder) = place.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::copy(word, place)?;
        // It loads what its rules name from there.
        if word.contains("/libxtables.so")
            && let (Some(from), Some(inside)) =
                (Path::new(word).parent(), Path::new(inside).parent())
        {
            let to = root.join("usr").join(inside);
            fs::create_dir_all(&to)?;
            run(Command::new("cp")
                .arg("-r")
                .arg(from.join("xtables"))
                .arg(to))?;
        }
    }
    Ok(())
}

/// As images name it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn sha256(bytes: &[u8]) -> Result<String> {
    let mut child = Command::new("sha256sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("start sha256sum")?;
    child.stdin.take().context("stdin")?.write_all(bytes)?;
    let output = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let hash = text.split(' ').next().unwrap_or_default().to_owned();
    ensure!(hash.len() == 64, "sha256sum printed: {text}");
    Ok(hash)
}

fn run(command: &mut Command) -> Result<()> {
    crate::fleet::network::run(command)
}
