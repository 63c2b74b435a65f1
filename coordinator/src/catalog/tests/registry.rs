use super::*;

fn logins(all: &[(&str, &str)]) -> Logins {
    let new = all.iter().map(|(registry, password)| NewLogin {
        registry: (*registry).into(),
        username: "robot".into(),
        password: (*password).into(),
        protected: false,
    });
    Logins::check(new.collect()).unwrap()
}

fn given(catalog: &Catalog, project: &Project) -> Vec<(String, String)> {
    let all = catalog.registry_logins(project.id, true).unwrap();
    all.into_iter()
        .map(|login| (login.registry, login.password.0))
        .collect()
}

#[tokio::test]
async fn logins_survive_sealed_and_the_nearest_of_a_registry_counts() {
    let kept = Kept::new();
    let project = create(&kept.catalog, "group/sub/app");
    let group = |path: &str| Owner::Group(kept.catalog.group(path).unwrap().id);
    let canary = "canary-of-a-login";
    for (owner, all) in [
        (
            Owner::Instance,
            [("a.example", "instance"), ("d.example", canary)],
        ),
        (
            group("group"),
            [("a.example", "group"), ("c.example", "group")],
        ),
        (
            group("group/sub"),
            [("a.example", "sub"), ("b.example", "sub")],
        ),
        (
            Owner::Project(project.id),
            [("a.example", "first"), ("a.example/x", "own")],
        ),
    ] {
        kept.catalog
            .add_registry_logins(owner, logins(&all))
            .unwrap();
    }
    let own = Owner::Project(project.id);
    let replaced = logins(&[("a.example", "second")]);
    kept.catalog.add_registry_logins(own, replaced).unwrap();

    let kept = kept
        .restarted_with(|records| {
            let clear = records.0.values().any(|value| {
                value
                    .windows(canary.len())
                    .any(|part| part == canary.as_bytes())
            });
            assert!(!clear);
        })
        .await;
    let pairs = [
        ("a.example", "second"),
        ("a.example/x", "own"),
        ("b.example", "sub"),
        ("c.example", "group"),
        ("d.example", canary),
    ];
    let pairs = pairs.map(|(registry, word)| (registry.to_owned(), word.to_owned()));
    assert_eq!(given(&kept.catalog, &project), pairs);

    kept.catalog.delete_project(project.id).unwrap();
    let again = create(&kept.catalog, "group/sub/app");
    assert_eq!(given(&kept.catalog, &again).len(), 4);
    assert!(kept.catalog.list_registry_logins(own).is_empty());
}

#[tokio::test]
async fn a_login_in_the_place_of_another_opens_nowhere() {
    let kept = Kept::new();
    let project = create(&kept.catalog, "group/app");
    let own = Owner::Project(project.id);
    let all = logins(&[("a.example", "one"), ("b.example", "two")]);
    kept.catalog.add_registry_logins(own, all).unwrap();
    let kept = kept
        .restarted_with(|records| {
            let key = |registry: &str| {
                let found = records.0.keys().find(|key| key.ends_with(registry));
                found.unwrap().clone()
            };
            let (a, b) = (key("a.example"), key("b.example"));
            let text = |key: &str| String::from_utf8(records.0[key].clone()).unwrap();
            let value = |text: &str| {
                let record: serde_json::Value = serde_json::from_str(text).unwrap();
                record["password"].as_str().unwrap().to_owned()
            };
            let (old, new) = (value(&text(&a)), value(&text(&b)));
            let swapped = text(&a).replace(&old, &new);
            records.0.insert(a, swapped.into_bytes());
        })
        .await;
    assert!(kept.catalog.registry_logins(project.id, true).is_err());
}
