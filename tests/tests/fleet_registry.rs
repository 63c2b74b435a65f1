//! A registry that trusts the coordinator's tokens: the real program, asked as
//! clients ask it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fleet_tests::fleet::{Fleet, HUB, Person, Setup};
use fleet_tests::{Running, wait_for};

const PROJECT: &str = "group/app";
const SOON: Duration = Duration::from_secs(60);

/// Pushes or pulls a blob as container engines do; prints how token server and
/// registry answered. `images.sh push|pull USER:PASSWORD REPOSITORY CA`
const IMAGES: &str = r#"set -eu
base=http://10.213.0.1:5000/v2
case $1 in push) actions=push,pull;; *) actions=pull;; esac
challenge=$(curl -sS -o body -D - $base/)
realm=$(printf %s "$challenge" | sed -n 's/.*realm="\([^"]*\)".*/\1/p')
service=$(printf %s "$challenge" | sed -n 's/.*service="\([^"]*\)".*/\1/p')
asked=$(curl -sS --cacert "$4" -u "$2" -o answer -w '%{http_code}' \
  "$realm?account=x&scope=repository:$3:$actions&service=$service")
token=$(sed -n 's/.*"token":"\([^"]*\)".*/\1/p' answer)
blob=sha256:$(printf %s "layer of $3" | sha256sum | cut -d' ' -f1)
auth="Authorization: Bearer $token"
if [ "$1" = push ]; then
  code=$(curl -sS -X POST -H "$auth" -D head -o body -w '%{http_code}' "$base/$3/blobs/uploads/")
  if [ "$code" = 202 ]; then
    to=$(sed -n 's/^[Ll]ocation: \([^ ]*\)\r$/\1/p' head)
    code=$(printf %s "layer of $3" | curl -sS -X PUT -H "$auth" -o body -w '%{http_code}' \
      -H 'Content-Type: application/octet-stream' --data-binary @- "$to&digest=$blob")
  fi
else
  code=$(curl -sS -H "$auth" -o body -w '%{http_code}' "$base/$3/blobs/$blob")
fi
echo "$1 $3: $asked $code"
"#;

const JOB: &str = "images:
  script:
    - echo \"$CI_REGISTRY $CI_REGISTRY_IMAGE $CI_REGISTRY_USER\" >> $MARKS/seen
    - login=$CI_REGISTRY_USER:$CI_REGISTRY_PASSWORD
    - sh images.sh push $login group/app $CI_SERVER_TLS_CA_FILE >> $MARKS/seen
    - sh images.sh pull $login group/app $CI_SERVER_TLS_CA_FILE >> $MARKS/seen
    - sh images.sh push $login group/app/sub $CI_SERVER_TLS_CA_FILE >> $MARKS/seen
    - sh images.sh pull $login group/lib $CI_SERVER_TLS_CA_FILE >> $MARKS/seen
    - sh images.sh push $login group/lib $CI_SERVER_TLS_CA_FILE >> $MARKS/seen
    - sh images.sh pull $login group/closed $CI_SERVER_TLS_CA_FILE >> $MARKS/seen
    - sh images.sh pull $CI_DEPLOY_USER:$CI_DEPLOY_PASSWORD group/app $CI_SERVER_TLS_CA_FILE >> $MARKS/seen
    - printf %s \"$CI_JOB_TOKEN\" > $MARKS/token.new
    - mv $MARKS/token.new $MARKS/token
    - until [ -e $MARKS/enough ]; do sleep 0.05; done
";

#[test]
fn a_registry_believes_the_coordinator_and_a_job_only_while_it_runs() -> Result<()> {
    let registry = format!("{HUB}:5000");
    let setup = Setup::hosts(1).coordinator(&["--registry", &registry]);
    setup.run(|fleet| {
        let admin = fleet.admin()?;
        for project in [PROJECT, "group/lib", "group/closed"] {
            fleet.project(project)?;
        }
        let grant = format!("registry-pull={PROJECT}");
        admin.ok(&["project", "set", "--project", "group/lib", &grant])?;
        let ann = fleet.person_of("ann", "maintainer", "group")?;
        let vic = fleet.person_of("vic", "viewer", "group")?;
        let _registry = start_registry(fleet, &admin)?;

        // People: any user name, their token.
        let asked = |who: &Person, verb: &str, login: &str, repository: &str| {
            images(fleet, who, verb, login, repository)
        };
        let (of_ann, of_vic) = (format!("x:{}", ann.token), format!("x:{}", vic.token));
        for repository in ["group/lib", "group/closed"] {
            ensure!(asked(&ann, "push", &of_ann, repository)? == "200 201");
        }
        ensure!(asked(&vic, "pull", &of_vic, "group/lib")? == "200 200");
        ensure!(asked(&vic, "push", &of_vic, "group/lib")? == "200 401");
        ensure!(asked(&vic, "pull", "x:glpat-wrong", "group/lib")? == "401 401");

        let deploy = deploy_token(
            &ann,
            &["--project", PROJECT, "--name", "gitlab-deploy-token"],
        )?;
        let password = format!("Planted{}", "q7Zr9Kd2");
        let file = ann.write("password", format!("{password}\n"))?;
        let file = file.display().to_string();
        let words = ["registry", "add", "two.example", "--username", "robot"];
        let place = ["--password-file", &file, "--project", PROJECT];
        ann.ok(&[&words[..], &place].concat())?;
        let listed = ann.json(&["registry", "list", "--project", PROJECT])?;
        ensure!(listed[0]["registry"] == "two.example", "{listed}");
        ensure!(!listed.to_string().contains(&password), "{listed}");
        let clone = ann.clone_of(PROJECT)?;
        clone.write("images.sh", IMAGES)?;
        let sha = clone.push_pipeline(JOB)?;
        let pipeline = ann.wait_pipeline(PROJECT, &sha)?;
        fleet.wait_file("token")?;
        let expected = [
            "10.213.0.1:5000 10.213.0.1:5000/group/app gitlab-ci-token",
            "push group/app: 200 201",
            "pull group/app: 200 200",
            "push group/app/sub: 200 201",
            "pull group/lib: 200 200",
            "push group/lib: 200 401",
            "pull group/closed: 200 401",
            "pull group/app: 200 200",
        ];
        let seen = fleet.mark("seen")?;
        ensure!(seen == expected, "{seen:#?}");

        // From elsewhere, too: but only while the job runs.
        let token = std::fs::read_to_string(fleet.marks().join("token"))?;
        let of_job = format!("gitlab-ci-token:{token}");
        for (secret, what) in [(&password, "password"), (&deploy.secret, "deploy token")] {
            for place in [fleet.coordinator.data(), &fleet.root().join("logs")] {
                let found = holds(place, secret.as_bytes())?;
                ensure!(found.is_none(), "the {what} is in {found:?}");
            }
        }
        ensure!(asked(&ann, "pull", &of_job, PROJECT)? == "200 200");
        fleet.make_file("enough")?;
        let ended = ann.wait_end(&pipeline, SOON)?;
        ensure!(ended.status == "success", "{ended:?}");
        for verb in ["pull", "push"] {
            ensure!(asked(&ann, verb, &of_job, PROJECT)? == "401 401");
        }

        // A deploy token is good for images alone, and until it is revoked.
        let of_deploy = format!("{}:{}", deploy.user, deploy.secret);
        ensure!(asked(&ann, "pull", &of_deploy, PROJECT)? == "200 200");
        ensure!(asked(&ann, "push", &of_deploy, PROJECT)? == "200 401");
        let refs = format!("https://{HUB}:8443/{PROJECT}.git/info/refs?service=git-upload-pack");
        for (login, status) in [(&of_deploy, "401"), (&of_vic, "200")] {
            let git = ann.program(Path::new("/usr/bin/curl"));
            let git = git.args([
                "-sS",
                "-o",
                "refs",
                "-w",
                "%{http_code}",
                "-u",
                login,
                "--cacert",
            ]);
            let ca = fleet.coordinator.data().join("ca.pem");
            let git = git.args([&ca]).args([&refs]).finish()?;
            ensure!(git.stdout == status, "{}", git.output());
        }
        ann.ok(&["token", "revoke", &deploy.id])?;
        ensure!(asked(&ann, "pull", &of_deploy, PROJECT)? == "401 401");

        // The key is the store's: the registry, which runs on, still believes it.
        fleet.coordinator.kill()?;
        fleet.coordinator.start()?;
        ensure!(images(fleet, &vic, "pull", &of_vic, "group/app/sub")? == "200 200");
        Ok(())
    })
}

/// A file below a folder that has this text in it.
fn holds(folder: &Path, text: &[u8]) -> Result<Option<PathBuf>> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let found = if kind.is_dir() {
            holds(&path, text)?
        } else if kind.is_file() {
            let all = std::fs::read(&path)?;
            let has = all.windows(text.len()).any(|part| part == text);
            has.then_some(path)
        } else {
            None
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// A deploy token, as it was printed.
struct DeployToken {
    id: String,
    user: String,
    secret: String,
}

fn deploy_token(person: &Person, flags: &[&str]) -> Result<DeployToken> {
    let made = person.json(&[&["token", "create", "--registry"], flags].concat())?;
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    Ok(DeployToken {
        id: text(&made["token"]["id"]).context("an id")?,
        user: text(&made["token"]["user"]).context("a user")?,
        secret: text(&made["secret"]).context("a secret")?,
    })
}

/// Starts a registry on the coordinator's host, set up with what fleetctl prints.
fn start_registry(fleet: &Fleet, admin: &Person) -> Result<Running> {
    let folder = fleet.root().join("registry");
    std::fs::create_dir(&folder)?;
    let certificate = folder.join("fleet.pem");
    std::fs::write(
        &certificate,
        admin.ok(&["registry", "trust", "certificate"])?,
    )?;
    let auth = admin.ok(&["registry", "trust", "config"])?;
    let auth = auth.replace(
        "/etc/docker/registry/fleet.pem",
        &certificate.display().to_string(),
    );
    let config = format!(
        "version: 0.1\n\
         storage: {{filesystem: {{rootdirectory: {}}}}}\n\
         http: {{addr: \"{HUB}:5000\"}}\n{auth}",
        folder.join("blobs").display()
    );
    let file = folder.join("config.yml");
    std::fs::write(&file, config)?;
    let registry = admin
        .program(Path::new("/usr/bin/docker-registry"))
        .args(["serve"])
        .args([&file])
        .start()?;
    wait_for("the registry to answer", || {
        let ping = admin.program(Path::new("/usr/bin/curl"));
        let ping = ping.args(["-sS", "-o", "/dev/null", "-w", "%{http_code}"]);
        let ping = ping.args([format!("http://{HUB}:5000/v2/")]).finish()?;
        Ok((ping.stdout == "401").then_some(()))
    })?;
    Ok(registry)
}

/// How token server and registry answer somebody who runs `images.sh`.
fn images(
    fleet: &Fleet,
    who: &Person,
    verb: &str,
    login: &str,
    repository: &str,
) -> Result<String> {
    let script = who.write("images.sh", IMAGES)?;
    let ca = fleet.coordinator.data().join("ca.pem");
    let said = who
        .program(Path::new("/bin/sh"))
        .args([&script])
        .args([verb, login, repository])
        .args([&ca])
        .finish()?;
    said.expect_exit(0)?;
    let answer = said.stdout.trim().rsplit(": ").next().unwrap_or_default();
    Ok(answer.to_owned())
}
