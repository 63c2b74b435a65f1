//! Includes of what is not of the same repository.

use super::*;

impl World {
    /// A project with these files on `main`, and these tags of them.
    async fn with(&self, path: &str, files: &[(&str, &str)], tags: &[&str]) -> Project {
        let project = self.project(path);
        let clone = self.clone(Role::Maintainer).await;
        let url = self.url(Role::Maintainer, path);
        clone.ok(&["remote", "set-url", "origin", &url]).await;
        for (file, text) in files {
            let file = clone.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        clone.ok(&["add", "--all"]).await;
        clone.ok(&["commit", "-q", "-m", "files"]).await;
        for tag in tags {
            clone.ok(&["tag", tag]).await;
        }
        let push = [
            "push",
            "-q",
            "-o",
            "ci.no_pipeline",
            "--tags",
            "origin",
            "main",
        ];
        clone.ok(&push).await;
        project
    }

    /// The names of the jobs, or what is wrong, of a pipeline of this configuration
    /// that somebody starts.
    async fn outcome(&self, config: &str, who: &Principal, inputs: &[(&str, &str)]) -> String {
        let clone = self.clone(Role::Maintainer).await;
        clone.commit(".gitlab-ci.yml", config, "config").await;
        let push = [
            "push",
            "-q",
            "-f",
            "-o",
            "ci.no_pipeline",
            "origin",
            "main:topic",
        ];
        clone.ok(&push).await;
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let wanted = NewPipeline {
            inputs: inputs.iter().map(pair).collect(),
            ..wanted("group/app", "topic", HashMap::new())
        };
        let made = self.sources.create_pipeline(wanted, who).await.unwrap();
        let pipelines = self.pipelines().await;
        let pipeline = pipelines.iter().find(|it| it.id == made).unwrap();
        match &pipeline.config_error {
            Some(error) => error.clone(),
            None => self.jobs(pipeline).await.join(" "),
        }
    }

    async fn jobs(&self, pipeline: &PipelineInfo) -> Vec<String> {
        let ids = pipeline.jobs.clone();
        let names = self.core.look(move |core| {
            let name = |id| core.job(id).map(|job| job.view.name);
            ids.into_iter().filter_map(name).collect()
        });
        names.await.unwrap()
    }
}

const LIB: &[(&str, &str)] = &[
    ("ci/a.yml", "include: {local: ci/b.yml}\na: {script: [x]}\n"),
    ("ci/b.yml", "b: {script: [x]}\n"),
    (
        "templates/scan.yml",
        "spec: {component: [name, version]}\n---\n\
         \"$[[ component.name ]]-$[[ component.version ]]\": {script: [x]}\n",
    ),
];

#[tokio::test]
async fn projects_and_components_are_those_the_caller_may_see() {
    let world = World::new().await;
    world.with("group/lib", LIB, &["1.0.0", "1.1.0"]).await;
    world.with("mirrors/group/lib", LIB, &["2.0.0"]).await;
    let all = world.principal(Role::Developer);
    let own = world.token(Role::Maintainer, Some("group/app"));
    let own = world.catalog.authenticate(&own).unwrap();
    let project = "include: {project: group/lib, ref: 1.0.0, file: ci/a.yml}\n";
    assert_eq!(world.outcome(project, &all, &[]).await, "b a");
    let default = "include: {project: Group/Lib, file: [ci/b.yml]}\n";
    assert_eq!(world.outcome(default, &all, &[]).await, "b");
    let component = "include: {component: $CI_SERVER_FQDN/group/lib/scan@1}\n";
    assert_eq!(world.outcome(component, &all, &[]).await, "scan-1.1.0");
    let other = "include: {component: elsewhere.example/group/lib/scan@~latest}\n";
    assert_eq!(world.outcome(other, &all, &[]).await, "scan-2.0.0");
    let refused = world.outcome(project, &own, &[]).await;
    let words = "Project `group/lib` not found or access denied!";
    assert_has(&refused, &[".gitlab-ci.yml:1:", words]);
    let refused = world.outcome(component, &own, &[]).await;
    assert_has(
        &refused,
        &["project does not exist or you don't have sufficient permissions"],
    );
}

#[tokio::test]
async fn what_is_not_there_is_told_with_its_place() {
    let world = World::new().await;
    world.with("group/lib", LIB, &["1.0.0"]).await;
    let all = world.principal(Role::Developer);
    for (include, words) in [
        (
            "{project: group/none, file: a.yml}",
            "Project `group/none` not found or access denied!",
        ),
        (
            "{project: group/lib, ref: none, file: a.yml}",
            "Project `group/lib` reference `none` does not exist!",
        ),
        (
            "{project: group/lib, file: ci/none.yml}",
            "Project `group/lib` file `ci/none.yml` does not exist!",
        ),
        (
            "{component: $CI_SERVER_FQDN/group/lib/none@1}",
            "content not found",
        ),
        (
            "{component: unknown.example/group/lib/scan@1}",
            "setting include-host",
        ),
        (
            "\"https://files.example/a.yml\"",
            "could not be fetched because its address is not allowed here!",
        ),
        (
            "{template: None.gitlab-ci.yml}",
            "could not be read: the project of the setting include-templates is not there",
        ),
    ] {
        let told = world
            .outcome(&format!("include: {include}\n"), &all, &[])
            .await;
        assert_has(&told, &[".gitlab-ci.yml:1:", words]);
    }
}

#[tokio::test]
async fn templates_are_everybodys() {
    let world = World::new().await;
    let files = [
        ("Jobs/Build.gitlab-ci.yml", "build: {script: [x]}\n"),
        (
            "lib/gitlab/ci/templates/Jobs/Test.gitlab-ci.yml",
            "include: {template: Jobs/Build.gitlab-ci.yml}\ntest: {script: [x]}\n",
        ),
    ];
    world.with("infra/templates", &files, &[]).await;
    let own = world.token(Role::Maintainer, Some("group/app"));
    let own = world.catalog.authenticate(&own).unwrap();
    let config = "include: {template: Jobs/Test.gitlab-ci.yml}\n";
    assert_eq!(world.outcome(config, &own, &[]).await, "build test");
}

#[tokio::test]
async fn inputs_are_given_with_a_pipeline_and_with_a_push() {
    let world = World::new().await;
    let who = world.principal(Role::Developer);
    let config = "spec: {inputs: {name: , n: {type: number, default: 1}}}\n---\n\
                  \"$[[ inputs.name ]]\":\n  script: [x]\n  parallel: $[[ inputs.n ]]\n";
    let given = [("name", "a"), ("n", "2")];
    assert_eq!(world.outcome(config, &who, &given).await, "a 1/2 a 2/2");
    let told = world.outcome(config, &who, &[]).await;
    assert_has(
        &told,
        &["`name` input: required value has not been provided"],
    );
    let many: Vec<String> = (0..21).map(|n| n.to_string()).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "x")).collect();
    let told = world.outcome(config, &who, &many).await;
    assert_has(&told, &["There cannot be more than 20 inputs"]);
    let clone = world.clone(Role::Maintainer).await;
    clone.commit(".gitlab-ci.yml", config, "config").await;
    let push = ["push", "-o", "ci.input=name=pushed", "origin", "main"];
    clone.ok(&push).await;
    let pipeline = world.pipelines().await.pop().unwrap();
    assert_eq!(world.jobs(&pipeline).await, ["pushed 1/1"]);
    let refused = clone
        .fails(&["push", "-o", "ci.input=name", "origin", "main:other"])
        .await;
    assert_has(&refused, &["is written as -o ci.input=\"NAME=value\""]);
}

#[tokio::test]
async fn rules_ask_other_refs_and_other_projects() {
    let world = World::new().await;
    world.with("group/lib", LIB, &["1.0.0"]).await;
    let who = world.principal(Role::Developer);
    let clone = world.clone(Role::Maintainer).await;
    let push = ["push", "-q", "-o", "ci.no_pipeline", "origin"];
    clone.ok(&[&push[..], &["main"]].concat()).await;
    clone.commit("src", "1", "changes src").await;
    let config = "\
since: {script: [x], rules: [{changes: {paths: [src], compare_to: $BASE}}], variables: {BASE: main}}\n\
other: {script: [x], rules: [{changes: {paths: [docs], compare_to: main}}]}\n\
there: {script: [x], rules: [{exists: {paths: [ci/*.yml], project: group/lib, ref: 1.0.0}}]}\n\
not-there: {script: [x], rules: [{exists: {paths: [a.yml], project: group/lib}}]}\n";
    clone.commit(".gitlab-ci.yml", config, "config").await;
    clone.ok(&[&push[..], &["main:topic"]].concat()).await;
    let create = async || {
        let wanted = wanted("group/app", "topic", HashMap::new());
        let made = world.sources.create_pipeline(wanted, &who).await.unwrap();
        let pipelines = world.pipelines().await;
        pipelines.into_iter().find(|it| it.id == made).unwrap()
    };
    assert_eq!(world.jobs(&create().await).await, ["since", "there"]);
    let wrong = config.replace("$BASE", "none").replace("1.0.0", "v9");
    clone.commit(".gitlab-ci.yml", &wrong, "wrong").await;
    clone.ok(&[&push[..], &["main:topic"]].concat()).await;
    let told = create().await.config_error.unwrap();
    let compare = "Failed to parse rule for since: rules:changes:compare_to is not a valid ref";
    let exists = "rules:exists:ref `v9` is not a valid ref in project `group/lib`";
    assert_has(&told, &[".gitlab-ci.yml:1:", compare, exists]);
}
