//! Projects that live elsewhere: at another coordinator, here.

use super::*;

const PLACE: &str = "https://place.invalid/x";

/// A world whose project `group/copy` mirrors `group/app` of another, and that one.
async fn worlds() -> (World, World, Clone) {
    let other = World::new().await;
    let clone = other.clone(Role::Maintainer).await;
    clone
        .ok(&["push", "-q", "origin", "main", "main:topic"])
        .await;
    let world = World::new().await;
    let new = NewProject {
        path: "group/copy".to_owned(),
        mirror: Some(PLACE.to_owned()),
        ..NewProject::default()
    };
    let (_, mark) = world.catalog.create_project(new).unwrap();
    world.sources.0.journal.durable(mark).await;
    let address = format!("http://{}/group/app.git", other.address);
    let world = world.restarted_with(|state| {
        for value in state.values_mut() {
            let text = String::from_utf8(value.clone()).unwrap();
            *value = text.replace(PLACE, &address).into_bytes();
        }
    });
    (other, world.await, clone)
}

/// Lets a world read from the other.
fn give_credentials(world: &World, other: &World, mode: u32) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    let token = other.token(Role::Viewer, None);
    let file = world.dir.path().join("git-credentials");
    let line = format!("{}\n", other.url_with(&token, "group/app"));
    std::fs::write(&file, line).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    token
}

async fn create(world: &World, reference: &str) -> Result<PipelineId, String> {
    let principal = world.principal(Role::Maintainer);
    let made = world
        .sources
        .create_pipeline(wanted("group/copy", reference, HashMap::new()), &principal);
    made.await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_mirror_is_fetched_for_each_pipeline() {
    let (other, world, clone) = worlds().await;
    give_credentials(&world, &other, 0o600);
    create(&world, "main").await.unwrap();
    // Also where nothing is new.
    create(&world, "main").await.unwrap();
    clone.commit("a", "1", "second").await;
    clone.ok(&["push", "-q", "origin", "main", ":topic"]).await;
    create(&world, "").await.unwrap();
    let pipelines = world.pipelines().await;
    let shas: Vec<&str> = pipelines.iter().map(|it| it.about.sha.as_str()).collect();
    let head = clone.head().await;
    assert_eq!(shas[0], shas[1]);
    assert_eq!(shas[2], head);
    // What went away there went away here.
    let error = create(&world, "topic").await.unwrap_err();
    assert_eq!(error, "group/copy has no branch or tag topic");
    // Jobs fetch it from here.
    let job = Clone::new();
    let url = world.url(Role::Viewer, "group/copy");
    job.ok(&["clone", "-q", &url, "."]).await;
    assert_eq!(job.head().await, head);
}

#[tokio::test]
async fn who_asks_at_once_is_served_together() {
    let (other, world, _clone) = worlds().await;
    give_credentials(&world, &other, 0o600);
    let create = || create(&world, "main");
    let all = tokio::join!(create(), create(), create(), create(), create());
    let (a, b, c, d, e) = all;
    for made in [a, b, c, d, e] {
        made.unwrap();
    }
    assert_eq!(world.told().await.len(), 5);
}

#[tokio::test]
async fn a_mirror_that_cannot_be_fetched_says_why_and_no_secret() {
    let (other, world, _clone) = worlds().await;
    let error = create(&world, "main").await.unwrap_err();
    assert_has(
        &error,
        &[
            "fetch http://127.0.0.1:",
            "it wants credentials: put a line",
            "git-credentials",
        ],
    );
    let token = give_credentials(&world, &other, 0o644);
    let error = create(&world, "main").await.unwrap_err();
    assert_has(&error, &["can be read by others: chmod 600 "]);
    give_credentials(&world, &other, 0o600);
    other.stop.cancel();
    let principal = other.catalog.authenticate(&token).unwrap();
    for token in other.catalog.tokens() {
        other.catalog.revoke_token(token.id).unwrap();
    }
    assert!(!other.catalog.is_live(&principal));
    let error = create(&world, "main").await.unwrap_err();
    assert_has(&error, &["fetch http://127.0.0.1:"]);
    assert!(!error.contains("glpat-"), "{error}");
    assert_eq!(world.told().await, [""; 0]);
}

#[tokio::test]
async fn a_mirror_is_not_pushed_to() {
    let (_other, world, clone) = worlds().await;
    let url = world.url(Role::Admin, "group/copy");
    let said = clone.fails(&["push", &url, "main"]).await;
    assert_has(
        &said,
        &[
            "remote: group/copy mirrors http://127.0.0.1:",
            "push there.",
        ],
    );
}

#[tokio::test]
async fn names_that_could_be_mistaken_are_not_mirrored() {
    let (other, world, clone) = worlds().await;
    give_credentials(&world, &other, 0o600);
    let project = other.catalog.project("group/app").unwrap();
    let folder = other.repository(&project);
    let head = clone.head().await;
    let name = format!("refs/heads/{head}");
    let order = [
        "--git-dir",
        folder.to_str().unwrap(),
        "update-ref",
        &name,
        &head,
    ];
    clone.ok(&order).await;
    create(&world, "main").await.unwrap();
    let project = world.catalog.project("group/copy").unwrap();
    let repository = world.sources.repository(&project).await.unwrap();
    let refs = repository.refs(None).await.unwrap();
    let names: Vec<&str> = refs.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["refs/heads/main", "refs/heads/topic"]);
}
