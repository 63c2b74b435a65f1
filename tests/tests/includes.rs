//! Includes of other projects, templates, components and addresses in a local run.

use std::fs;

use anyhow::{Context, Result};
use fleet_tests::{HttpsServer, Project};

/// A job that leaves a mark.
fn job(name: &str) -> String {
    format!("{name}:\n  script: touch \"$MARKS/{name}\"\n")
}

fn ran(project: &Project) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(project.marks())? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

#[test]
fn projects_components_and_templates_come_from_where_the_file_says() -> Result<()> {
    let lib = Project::new()?;
    lib.write("ci/build.yml", "include: {local: ci/base.yml}\n")?;
    lib.write("ci/base.yml", job("built"))?;
    lib.write(
        "templates/scan.yml",
        "spec: {inputs: {name: }}\n---\n\"$[[ inputs.name ]]\":\n  script: touch \"$MARKS/$[[ inputs.name ]]\"\n",
    )?;
    lib.commit("first")?;
    lib.git(&["tag", "1.0.0"])?;
    lib.write("ci/base.yml", job("not-yet-released"))?;
    lib.commit("second")?;
    let project = Project::with_pipeline(
        "include:\n\
         - {project: group/lib, ref: 1.0.0, file: ci/build.yml}\n\
         - {component: $CI_SERVER_FQDN/group/lib/scan@~latest, inputs: {name: scanned}}\n\
         - {component: gitlab.example/other/lib/scan@1, inputs: {name: other}}\n\
         - {template: Jobs/Test.gitlab-ci.yml}\n",
    )?;
    let sources = format!(
        "templates = \"../lib-templates\"\n[projects]\n\"group/lib\" = {0:?}\n\
         \"gitlab.example/other/*\" = \"file://{1}\"\n",
        lib.dir(),
        lib.dir().display()
    );
    project.write(".fleet/includes.toml", sources)?;
    project.write("lib-templates/Jobs/Test.gitlab-ci.yml", job("tested"))?;
    project.run(&[])?.finish()?.expect_exit(0)?;
    assert_eq!(ran(&project)?, ["built", "other", "scanned", "tested"]);

    // The mirror stays when its origin is gone.
    fs::rename(lib.dir(), lib.dir().with_file_name("gone"))?;
    project.write(
        ".gitlab-ci.yml",
        "include: {component: gitlab.example/other/lib/scan@1, inputs: {name: again}}\n",
    )?;
    project.run(&[])?.finish()?.expect_exit(0)?;
    assert!(ran(&project)?.contains(&"again".to_owned()));
    project.expect_nothing_left()
}

#[test]
fn what_nobody_said_where_it_is_is_told_with_the_line_to_write() -> Result<()> {
    let project = Project::with_pipeline(
        "include:\n- {project: group/lib, file: a.yml}\n- https://files.example/ci/a.yml\n\
         - template: Jobs/Test.gitlab-ci.yml\n- component: gitlab.example/g/lib/scan@1\n",
    )?;
    let compiled = project.fleetctl(&["compile"])?.finish()?;
    compiled.expect_exit(2)?;
    for text in [
        "Project `group/lib` not found or access denied!",
        "[projects] \"group/lib\" = \"../lib\"",
        "Remote file `https://files.example/ci/a.yml` could not be fetched because its address is \
         not allowed here!",
        "remote = [\"https://files.example/ci/\"]",
        "Included file `Jobs/Test.gitlab-ci.yml` is empty or does not exist!",
        "templates = ",
        "Component 'gitlab.example/g/lib/scan@1' - project does not exist",
    ] {
        compiled.expect_text(text)?;
    }
    project.write(".fleet/includes.toml", "tempaltes = \"x\"\n")?;
    let refused = project.fleetctl(&["compile"])?.finish()?;
    refused.expect_exit(2)?;
    refused.expect_text("includes.toml")?;
    refused.expect_text("unknown field `tempaltes`")?;
    let missing = project
        .fleetctl(&["compile", "--includes", "none.toml"])?
        .finish()?;
    missing.expect_exit(2)?;
    missing.expect_text("there is no file none.toml")
}

#[test]
fn lint_warns_of_what_it_cannot_have_and_checks_the_rest() -> Result<()> {
    let yaml = "include: {template: Jobs/SAST.gitlab-ci.yml}\nunit:\n  extends: .go\n";
    let project = Project::with_pipeline(yaml)?;
    let linted = project.fleetctl(&["lint"])?.finish()?;
    linted.expect_exit(0)?;
    linted.expect_text("warning[include-unknown]: Included file `Jobs/SAST.gitlab-ci.yml`")?;
    linted.expect_text("templates = ")?;
    let strict = project.fleetctl(&["lint", "--strict"])?.finish()?;
    strict.expect_exit(1)?;
    project.write(
        ".gitlab-ci.yml",
        format!("{yaml}  script: x\n  scirpt: x\n"),
    )?;
    project.fleetctl(&["lint"])?.finish()?.expect_exit(2)?;

    // A file that somebody has of a project, without the project.
    let folder = project.marks();
    fs::write(
        folder.join("one.yml"),
        "include: ci/a.yml\nunit: {extends: .go}\n",
    )?;
    let alone = project.fleetctl(&["lint", "one.yml"])?.in_folder(&folder);
    let alone = alone.finish()?;
    alone.expect_exit(0)?;
    alone.expect_text("one.yml:1:10")?;
    project.write("one.yml", "include: ci/a.yml\nunit: {extends: .go}\n")?;
    let known = project.fleetctl(&["lint", "one.yml"])?.finish()?;
    known.expect_exit(2)?;
    known.expect_text("Local file `ci/a.yml` does not exist!")
}

#[test]
fn addresses_are_fetched_where_they_are_allowed_and_nothing_is_shown_of_others() -> Result<()> {
    let server = HttpsServer::start()?;
    let found = |path: &str, body: &str| server.answer(path, "200 OK", "", body);
    found("a.yml", &job("fetched"))?;
    found("secret.yml", "internal-secret: [")?;
    server.answer("moved.yml", "302 Found", &moved(&server.url("a.yml")), "")?;
    server.answer(
        "away.yml",
        "302 Found",
        &moved("https://127.0.0.2:1/a.yml"),
        "",
    )?;
    server.answer(
        "plain.yml",
        "302 Found",
        &moved("http://127.0.0.1:1/a.yml"),
        "",
    )?;
    server.answer("none.yml", "404 Not Found", "", "internal-secret")?;
    server.answer("broken.yml", "500 Oops", "", "internal-secret")?;
    let project = Project::new()?;
    let allowed = format!("remote = [{:?}]\n", server.url(""));
    project.write(
        "private.toml",
        format!("private-addresses = true\n{allowed}"),
    )?;
    project.write("public.toml", &allowed)?;
    let compile = |path: &str, more: &str, sources: &str| -> Result<_> {
        let url = server.url(path);
        project.write(
            ".gitlab-ci.yml",
            format!("include:\n- remote: {url}\n{more}\nown:\n  script: x\n"),
        )?;
        project
            .fleetctl(&["compile", "--includes", sources])?
            .env("SSL_CERT_FILE", server.authority())
            .finish()
    };
    for path in ["a.yml", "moved.yml"] {
        let compiled = compile(path, "", "private.toml")?;
        compiled.expect_exit(0)?;
        compiled.expect_text("fetched:")?;
    }
    let fits = "  integrity: sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    for (path, more, sources, why) in [
        (
            "a.yml",
            "",
            "public.toml",
            "because its host is of a private network!",
        ),
        (
            "away.yml",
            "",
            "private.toml",
            "because it leads to an address that is not allowed here!",
        ),
        (
            "plain.yml",
            "",
            "private.toml",
            "because it leads to an address that is not allowed here!",
        ),
        (
            "none.yml",
            "",
            "private.toml",
            "after 1 attempt because of HTTP code `404` error!",
        ),
        (
            "broken.yml",
            "",
            "private.toml",
            "after 3 attempts because of HTTP code `500` error!",
        ),
        ("a.yml", fits, "private.toml", "failed integrity check!"),
    ] {
        let refused = compile(path, more, sources)?;
        refused.expect_exit(2)?;
        refused.expect_text(why).context(path.to_owned())?;
        let shown = format!("{}{}", refused.stdout, refused.stderr);
        assert!(!shown.contains("internal-secret"), "{shown}");
    }
    // A copy is good for its time, and no longer asked for.
    let cached = "  cache: 1 hour";
    compile("a.yml", cached, "private.toml")?.expect_exit(0)?;
    found("a.yml", &job("changed"))?;
    let copy = compile("a.yml", cached, "private.toml")?;
    copy.expect_text("fetched:")?;
    compile("a.yml", "", "private.toml")?.expect_text("changed:")
}

/// The header of a redirect.
fn moved(to: &str) -> String {
    format!("Location: {to}\r\n")
}

#[test]
fn inputs_are_given_on_the_command_line() -> Result<()> {
    let project = Project::with_pipeline(
        "spec:\n  inputs:\n    name: {default: nobody}\n    times: {type: number, default: 1}\n---\n\
         greet:\n  parallel: $[[ inputs.times ]]\n  script: touch \"$MARKS/$[[ inputs.name ]]-$CI_NODE_INDEX\"\n",
    )?;
    let inputs = ["--input", "name=world", "--input", "times=2"];
    project.run(&inputs)?.finish()?.expect_exit(0)?;
    assert_eq!(ran(&project)?, ["world-1", "world-2"]);
    let wrong = project.run(&["--input", "times=many"])?.finish()?;
    wrong.expect_exit(2)?;
    wrong.expect_text("`times` input: provided value is not a number")?;
    let unknown = project.run(&["--input", "nmae=x"])?.finish()?;
    unknown.expect_exit(2)?;
    unknown.expect_text("did you mean `name`?")?;
    project.run(&["--input", "name"])?.finish()?.expect_exit(2)
}
