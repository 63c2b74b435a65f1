//! Pushes and pushers that are refused, and the words they are refused with.

use super::*;

/// What the repository of `group/app` has.
async fn refs(world: &World) -> Vec<String> {
    let project = world.catalog.project("group/app").unwrap();
    let repository = world.sources.repository(&project).await.unwrap();
    let refs = repository.refs(None).await.unwrap();
    refs.into_iter().map(|it| it.name).collect()
}

#[tokio::test]
async fn a_developer_cannot_push_to_a_protected_branch() {
    let world = World::new().await;
    let clone = world.clone(Role::Developer).await;
    let said = clone.fails(&["push", "origin", "main"]).await;
    let parts = [
        "! [remote rejected] main -> main (protected: takes a maintainer)",
        "remote: main is protected: to push to it takes the role maintainer, and you are developer.",
        "remote: Nothing was pushed.",
    ];
    assert_has(&said, &parts);
    assert_eq!(refs(&world).await, [""; 0]);
    let audit = world.audit();
    assert_has(
        &audit,
        &["denied", "refs/heads/main: protected: takes a maintainer"],
    );
    // Nor beside something else, which is not pushed then either.
    let said = clone
        .fails(&["push", "origin", "main", "main:feature"])
        .await;
    let other = "! [remote rejected] main -> feature (another ref of this push was refused)";
    assert_has(&said, &[other]);
    assert_eq!(refs(&world).await, [""; 0]);
    clone.ok(&["push", "origin", "main:feature"]).await;
    assert_eq!(refs(&world).await, ["refs/heads/feature"]);
    assert_eq!(world.told().await, ["push feature 2"]);
}

#[tokio::test]
async fn a_protected_branch_is_neither_rewound_nor_deleted() {
    let world = World::new().await;
    let clone = world.clone(Role::Maintainer).await;
    clone.commit("a", "1", "second").await;
    clone.ok(&["push", "origin", "main", "main:feature"]).await;
    let before = clone.head().await;
    clone.ok(&["reset", "-q", "--hard", "HEAD~1"]).await;
    clone.commit("a", "2", "other").await;
    let said = clone.fails(&["push", "--force", "origin", "main"]).await;
    let parts = [
        "! [remote rejected] main -> main (non-fast-forward)",
        "remote: main is protected: its history cannot be rewritten.",
    ];
    assert_has(&said, &parts);
    let said = clone.fails(&["push", "origin", ":main"]).await;
    assert_has(
        &said,
        &["main is the default branch: it cannot be deleted."],
    );
    assert_has(
        &clone.ok(&["ls-remote", "origin", "main"]).await,
        &[&before],
    );
    // What is not protected may be both.
    clone
        .ok(&["push", "--force", "origin", "main:feature"])
        .await;
    clone.ok(&["push", "origin", ":feature"]).await;
    assert_eq!(refs(&world).await, ["refs/heads/main"]);
    assert_eq!(world.told().await.len(), 3);
}

#[tokio::test]
async fn who_may_not_push_is_told_why() {
    let world = World::new().await;
    world.project("other/app");
    let clone = world.clone(Role::Maintainer).await;
    clone.ok(&["push", "origin", "main"]).await;
    let push = async |token: &str, path: &str| {
        let url = world.url_with(token, path);
        clone.fails(&["push", &url, "main:x"]).await
    };
    let said = push(&world.token(Role::Viewer, None), "group/app").await;
    let words =
        "remote: You may not push to group/app: that takes the role developer, and you are viewer.";
    assert_has(&said, &[words, "403"]);
    assert_has(
        &world.audit(),
        &["user:the-viewer", "not allowed to push to the project"],
    );
    let wrong = push("glpat-wrong", "group/app").await;
    assert_has(
        &wrong,
        &["remote: The token does not count", "Authentication failed"],
    );
    // What is not there and what may not be seen are told alike.
    let own = world.token(Role::Developer, Some("other"));
    let unseen = push(&own, "group/app").await;
    assert_has(
        &unseen,
        &["remote: there is no project group/app, or your token may not see it"],
    );
    let missing = push(&own, "group/nothing").await;
    assert_eq!(
        missing.replace("group/nothing", "group/app"),
        unseen,
        "but for the path"
    );
    let url = format!("http://{}/group/app.git", world.address);
    assert_has(
        &clone.fails(&["fetch", &url]).await,
        &["could not read Username"],
    );
}

#[tokio::test]
async fn a_token_that_ends_meanwhile_pushes_no_more() {
    let world = World::new().await;
    let clone = world.clone(Role::Maintainer).await;
    clone.ok(&["push", "origin", "main"]).await;
    let token = world.token(Role::Maintainer, None);
    let url = world.url_with(&token, "group/app");
    clone.ok(&["ls-remote", &url]).await;
    let principal = world.catalog.authenticate(&token).unwrap();
    world
        .catalog
        .revoke_token(principal.token.parse().unwrap())
        .unwrap();
    let said = clone.fails(&["push", &url, "main:x"]).await;
    assert_has(&said, &["The token does not count"]);
}

#[tokio::test]
async fn names_that_could_be_mistaken_are_refused() {
    let world = World::new().await;
    let clone = world.clone(Role::Maintainer).await;
    let head = clone.head().await;
    for (name, words) in [
        (format!("refs/heads/{head}"), "looks like a commit"),
        (
            "refs/heads/refs/heads/main".to_owned(),
            "is a name with a meaning of its own",
        ),
        ("refs/notes/x".to_owned(), "is neither a branch nor a tag"),
        (
            "refs/pipelines/1".to_owned(),
            "is neither a branch nor a tag",
        ),
    ] {
        let said = clone
            .fails(&["push", "origin", &format!("HEAD:{name}")])
            .await;
        assert_has(&said, &[words, "(refused name)"]);
    }
    assert_eq!(refs(&world).await, [""; 0]);
    // Odd is not wrong: such a name reaches scripts as a value only.
    clone
        .ok(&["push", "origin", "HEAD:refs/heads/$(reboot);`x`|&'\""])
        .await;
    assert_eq!(world.told().await, ["push $(reboot);`x`|&'\" 2"]);
}

#[tokio::test]
async fn variables_on_a_protected_ref_take_a_maintainer() {
    let world = World::new().await;
    let project = world.catalog.project("group/app").unwrap();
    let rule = crate::catalog::ProtectedRef {
        pattern: "release/*".to_owned(),
        push: Some(Role::Developer),
        deploy: None,
    };
    world.catalog.protect(project.id, rule).unwrap();
    let clone = world.clone(Role::Developer).await;
    let push = ["push", "-o", "ci.variable=A=b", "origin"];
    let said = clone
        .fails(&[&push[..], &["HEAD:release/1"]].concat())
        .await;
    assert_has(
        &said,
        &["insufficient permissions to set pipeline variables"],
    );
    clone.ok(&[&push[..], &["HEAD:feature"]].concat()).await;
    clone.ok(&["push", "origin", "HEAD:release/1"]).await;
    let odd = ["push", "-o", "ci.variable=A-B=c", "origin", "HEAD:y"];
    let said = clone.fails(&odd).await;
    assert_has(
        &said,
        &["`A-B` is no name of a variable", "push option refused"],
    );
}

#[tokio::test]
async fn too_many_refs_at_once_are_refused() {
    let world = World::new().await;
    let clone = world.clone(Role::Maintainer).await;
    let head = clone.head().await;
    let mut packed = String::from("# pack-refs with: peeled fully-peeled sorted \n");
    for number in 0..1001 {
        packed.push_str(&format!("{head} refs/heads/b{number:04}\n"));
    }
    std::fs::write(clone.path().join(".git/packed-refs"), packed).unwrap();
    let said = clone
        .fails(&["push", "origin", "refs/heads/b*:refs/heads/b*"])
        .await;
    assert_has(
        &said,
        &["A push may move 1000 refs at once", "(too many refs)"],
    );
    assert_eq!(refs(&world).await, [""; 0]);
}

#[tokio::test]
async fn broken_objects_are_refused() {
    let world = World::new().await;
    let clone = world.clone(Role::Maintainer).await;
    // A tree with a way out of the working tree.
    let blob = clone.ok(&["hash-object", "-w", ".gitlab-ci.yml"]).await;
    let mut tree = b"100644 .git\0".to_vec();
    let hex = blob.trim().as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    tree.extend(hex.chunks(2).map(byte));
    std::fs::write(clone.path().join("tree"), tree).unwrap();
    let write = ["hash-object", "-w", "--literally", "-t", "tree", "tree"];
    let tree = clone.ok(&write).await;
    let commit = clone.ok(&["commit-tree", "-m", "bad", tree.trim()]).await;
    let refspec = format!("{}:refs/heads/bad", commit.trim());
    let said = clone.fails(&["push", "origin", &refspec]).await;
    assert_has(&said, &["remote: fatal: fsck error", "! [remote rejected]"]);
    assert_eq!(refs(&world).await, [""; 0]);
    assert_eq!(world.told().await, [""; 0]);
    assert!(
        !world
            .memory
            .now()
            .keys()
            .any(|key| key.starts_with("intent/"))
    );
}
