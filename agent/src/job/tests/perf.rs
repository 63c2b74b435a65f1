use std::time::Instant;
use super::world::World;
#[tokio::test]
async fn perf() {
    let world = World::new();
    let sha = world.git(&["rev-parse", "HEAD"]);
    let mut all = vec![];
    for i in 0..40 {
        let _ = std::fs::remove_dir_all(world.path("builds"));
        let spec = world.job(&["true"]);
        let t = Instant::now();
        world.run(spec).await.succeeds();
        all.push(t.elapsed());
        let _ = i;
    }
    all.sort();
    println!("fresh job min {:?} med {:?}", all[0], all[20]);
    let mut all = vec![];
    for _ in 0..40 {
        let spec = world.job(&["true"]);
        let t = Instant::now();
        world.run(spec).await.succeeds();
        all.push(t.elapsed());
    }
    all.sort();
    println!("reuse job min {:?} med {:?}", all[0], all[20]);
    let mut none = vec![];
    for _ in 0..40 {
        let spec = super::world::with(world.job(&["true"]), &[("GIT_STRATEGY", "none")]);
        let t = Instant::now();
        world.run(spec).await.succeeds();
        none.push(t.elapsed());
    }
    none.sort();
    println!("no git job min {:?} med {:?}", none[0], none[20]);
    let mut bash = vec![];
    for _ in 0..40 {
        let t = Instant::now();
        let mut c = std::process::Command::new("bash").stdin(std::process::Stdio::piped()).spawn().unwrap();
        use std::io::Write;
        c.stdin.take().unwrap().write_all(b"trap 'exit 1' TERM\ncase \"$(set -o)\" in *pipefail*) set -o pipefail ;; esac\n(trap 'exit 1' TERM; eval 'export A=1\nexport B=2\ntrue') </dev/null\nexit 0\n").unwrap();
        c.wait().unwrap();
        bash.push(t.elapsed());
    }
    bash.sort();
    println!("bash min {:?} med {:?}", bash[0], bash[20]);
    let mut git = vec![];
    for _ in 0..40 {
        let dir = world.path("builds/0/group/project");
        let _ = std::fs::remove_file(dir.join(".git/index"));
        let _ = std::fs::remove_file(dir.join("README.md"));
        let t = Instant::now();
        let mut c = std::process::Command::new("git").args(["-c", "core.hooksPath=/dev/null", "read-tree", "--reset", "-u", &sha]).current_dir(dir).spawn().unwrap();
        c.wait().unwrap();
        git.push(t.elapsed());
    }
    git.sort();
    println!("git min {:?} med {:?}", git[0], git[20]);
}
