//! Pipelines that somebody asks for.

use super::*;

async fn create(world: &World, reference: &str, role: Role) -> Result<PipelineId, Error> {
    let principal = world.principal(role);
    let none = HashMap::new();
    world
        .sources
        .create_pipeline(wanted("group/app", reference, none), &principal)
        .await
}

#[tokio::test]
async fn a_pipeline_is_created_for_a_branch_or_tag() {
    let world = World::new().await;
    let clone = world.clone(Role::Maintainer).await;
    // Skip words are of pushes.
    clone.commit("a", "1", "[skip ci]").await;
    clone.ok(&["tag", "-a", "v1", "-m", "one"]).await;
    clone
        .ok(&["push", "origin", "main", "main:topic/a", "v1"])
        .await;
    for reference in ["", "main", "refs/heads/main", "v1", "refs/tags/v1"] {
        create(&world, reference, Role::Maintainer).await.unwrap();
    }
    create(&world, "topic/a", Role::Developer).await.unwrap();
    let mut told = world.told().await;
    told.retain(|it| !it.ends_with("skipped"));
    let expected = ["main", "main", "main", "v1", "v1", "topic/a"].map(|it| format!("web {it} 2"));
    assert_eq!(told, expected);
    let head = clone.head().await;
    assert!(
        world
            .pipelines()
            .await
            .iter()
            .all(|it| it.about.sha == head)
    );
}

#[tokio::test]
async fn variables_are_the_pipelines_own() {
    let world = World::new().await;
    let clone = world.clone(Role::Maintainer).await;
    let asks = "rules: [{if: $GREETING == \"hello\"}]";
    let config = format!("{TWO_JOBS}more:\n  script: [x]\n  {asks}\n");
    clone.commit(".gitlab-ci.yml", &config, "asks").await;
    clone.ok(&["push", "origin", "main", "main:topic"]).await;
    let given = |key: &str| HashMap::from([(key.to_owned(), "hello".to_owned())]);
    let (developer, maintainer) = (
        world.principal(Role::Developer),
        world.principal(Role::Maintainer),
    );
    let create = async |reference, key, who| {
        let made = world
            .sources
            .create_pipeline(wanted("group/app", reference, given(key)), who);
        made.await.map_err(|error| error.to_string())
    };
    create("topic", "GREETING", &developer).await.unwrap();
    create("main", "GREETING", &maintainer).await.unwrap();
    assert_eq!(world.told().await[2..], ["web topic 3", "web main 3"]);
    let error = create("topic", "A-B", &developer).await.unwrap_err();
    assert_has(&error, &["`A-B` is no name of a variable"]);
}

#[tokio::test]
async fn what_cannot_be_is_said_in_words() {
    let world = World::new().await;
    let clone = world.clone(Role::Maintainer).await;
    clone
        .ok(&["push", "origin", "main", "main:both", "main:refs/tags/both"])
        .await;
    let empty = "workflow:\n  rules: [{if: $NEVER}]\na:\n  script: [x]\n";
    clone.commit(".gitlab-ci.yml", empty, "never").await;
    clone.ok(&["push", "origin", "main:never"]).await;
    let head = clone.head().await;
    let before = world.told().await.len();
    use Role::{Developer, Maintainer, Viewer};
    for (reference, role, words) in [
        ("none", Maintainer, "group/app has no branch or tag none"),
        (
            "",
            Developer,
            "main is protected: to create a pipeline for it, it takes the role maintainer",
        ),
        (
            "main",
            Viewer,
            "takes the role developer, and you are viewer",
        ),
        (
            "both",
            Maintainer,
            "both is a branch and a tag: say refs/heads/both or refs/tags/both",
        ),
        (&head, Maintainer, "looks like a commit"),
        ("-x", Maintainer, "begins with a dash"),
        ("a b", Maintainer, "has a space"),
        ("refs/notes/x", Maintainer, "is neither a branch nor a tag"),
        (
            "never",
            Maintainer,
            "no pipeline: The pipeline did not run.",
        ),
    ] {
        let error = create(&world, reference, role).await.unwrap_err();
        assert_has(&error.to_string(), &[words]);
    }
    create(&world, "refs/tags/both", Maintainer).await.unwrap();
    assert_eq!(world.told().await.len(), before + 1);
}

#[tokio::test]
async fn a_project_that_may_not_be_seen_is_not_there() {
    let world = World::new().await;
    world.project("other/app");
    let token = world.token(Role::Maintainer, Some("other"));
    let principal = world.catalog.authenticate(&token).unwrap();
    let create = async |path| {
        let made = world
            .sources
            .create_pipeline(wanted(path, "main", HashMap::new()), &principal);
        made.await.unwrap_err().to_string()
    };
    assert_eq!(create("group/app").await, "there is no project group/app");
    assert_eq!(create("group/none").await, "there is no project group/none");
    assert_eq!(
        create("other/app").await,
        "other/app has no branch or tag main"
    );
}
