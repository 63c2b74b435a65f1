mod registry;
mod tokens;
mod variables;

use super::*;
use crate::store::{Embedded, Limits, Store as _};

/// A catalog that keeps nothing.
fn fresh() -> Catalog {
    over(Journal::volatile())
}

/// A catalog that begins empty over a journal.
pub(crate) fn over(journal: Journal) -> Catalog {
    Catalog::load(&mut Records::default(), journal, sealer()).unwrap()
}

fn sealer() -> Sealer {
    Sealer::for_tests()
}

/// A catalog over a real store, and what a restart needs.
struct Kept {
    dir: tempfile::TempDir,
    journal: Journal,
    catalog: Catalog,
}

impl Kept {
    fn new() -> Kept {
        Kept::open(tempfile::tempdir().unwrap(), |_| {})
    }

    /// Ends it and begins anew from what is in the store.
    async fn restarted(self) -> Kept {
        self.restarted_with(|_| {}).await
    }

    /// The same, with somebody at the store meanwhile.
    async fn restarted_with(self, meddle: impl FnOnce(&mut Records)) -> Kept {
        let Kept {
            dir,
            journal,
            catalog,
        } = self;
        journal.close().await;
        drop((journal, catalog));
        Kept::open(dir, meddle)
    }

    fn open(dir: tempfile::TempDir, meddle: impl FnOnce(&mut Records)) -> Kept {
        let store = Embedded::open(&dir.path().join("store.redb")).unwrap();
        let mut records = store.load().unwrap();
        meddle(&mut records);
        let journal = Journal::start(store, Limits::default()).unwrap();
        let catalog = Catalog::load(&mut records, journal.clone(), sealer()).unwrap();
        assert!(records.0.is_empty(), "not taken: {:?}", records.0.keys());
        Kept {
            dir,
            journal,
            catalog,
        }
    }
}

fn new_project(path: &str) -> NewProject {
    NewProject {
        path: path.into(),
        ..NewProject::default()
    }
}

fn create(catalog: &Catalog, path: &str) -> Project {
    catalog.create_project(new_project(path)).unwrap().0
}

fn paths(groups: &[Group]) -> Vec<&str> {
    groups.iter().map(|group| group.path.as_str()).collect()
}

#[test]
fn a_new_project_has_its_groups_and_a_protected_default_branch() {
    let catalog = fresh();
    let project = create(&catalog, "one/two/app");
    assert_eq!(paths(&catalog.groups()), ["one", "one/two"]);
    assert_eq!(project.default_branch, "main");
    assert_eq!(
        Catalog::push_role(&project, "refs/heads/main"),
        Some(Role::Maintainer)
    );
    assert!(!Catalog::is_protected(&project, "refs/heads/feature"));
    let trunk = NewProject {
        default_branch: Some("trunk".into()),
        ..new_project("one/other")
    };
    let trunk = catalog.create_project(trunk).unwrap().0;
    assert!(Catalog::is_protected(&trunk, "refs/heads/trunk"));
    assert!(!Catalog::is_protected(&trunk, "refs/heads/main"));
}

#[test]
fn a_path_is_one_in_whichever_case_it_is_written() {
    let catalog = fresh();
    create(&catalog, "Group/App");
    assert_eq!(catalog.project("group/app").unwrap().path, "Group/App");
    assert_eq!(create(&catalog, "GROUP/other").path, "Group/other");
    for taken in ["group/APP", "Group/App", "GROUP/other"] {
        let refused = catalog.create_project(new_project(taken));
        assert!(matches!(refused, Err(Error::Exists(_))), "{taken}");
        assert!(matches!(catalog.create_group(taken), Err(Error::Exists(_))));
    }
    assert!(matches!(
        catalog.create_group("group"),
        Err(Error::Exists(_))
    ));
    assert_eq!(paths(&catalog.groups()), ["Group"]);
}

#[test]
fn a_path_of_a_million_parts_takes_no_long_time() {
    let catalog = fresh();
    let path = "a/".repeat(1_000_000);
    assert_eq!(catalog.spelled(&path), path);
    assert!(catalog.create_project(new_project(&path)).is_err());
}

#[test]
fn nothing_is_made_in_a_project_and_no_group_stays_of_what_was_refused() {
    let catalog = fresh();
    create(&catalog, "group/app");
    let refused = catalog.create_project(new_project("group/app/sub/inner"));
    assert!(matches!(refused, Err(Error::Conflict(_))));
    let bad_branch = NewProject {
        default_branch: Some("a b".into()),
        ..new_project("new/app")
    };
    assert!(matches!(
        catalog.create_project(bad_branch),
        Err(Error::Invalid(_))
    ));
    assert_eq!(paths(&catalog.groups()), ["group"]);
    assert!(catalog.project("group").is_none());
    assert!(catalog.group("group/app").is_none());
}

#[test]
fn mirrors_are_addresses_without_credentials() {
    let catalog = fresh();
    let with = |place: u32, mirror: &str| {
        catalog.create_project(NewProject {
            mirror: Some(mirror.into()),
            ..new_project(&format!("group/app{place}"))
        })
    };
    for (place, good) in [
        "https://forge.example/group/app.git",
        "ssh://git@forge.example:2222/group/app.git",
    ]
    .into_iter()
    .enumerate()
    {
        assert!(with(place as u32, good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "http://forge.example/app.git",
        "file:///etc",
        "ext::sh -c x",
        "git@forge.example:group/app.git",
        "https:///app.git",
        "https://forge.example/a b",
        "ssh://-oProxyCommand=x/app.git",
        "ssh://-x@forge.example/app.git",
        "https://token@forge.example/app.git",
        "https://ann:sup3rs3cret@forge.example/app.git",
        "http://ann:sup3rs3cret@forge.example/app.git",
    ] {
        let Err(Error::Invalid(why)) = with(9, bad) else {
            panic!("{bad} passed");
        };
        assert!(!why.contains("sup3rs3cret"), "{why}");
    }
}

#[test]
fn a_group_goes_only_when_nothing_is_in_it() {
    let catalog = fresh();
    let project = create(&catalog, "one/two/app");
    let id = |path: &str| catalog.group(path).unwrap().id;
    let (one, two) = (id("one"), id("one/two"));
    // Its name begins like that of the group, and it is not in it.
    catalog.create_group("one-more").unwrap();
    for group in [one, two] {
        assert!(matches!(
            catalog.delete_group(group),
            Err(Error::Conflict(_))
        ));
    }
    catalog.delete_project(project.id).unwrap();
    catalog.delete_group(two).unwrap();
    catalog.delete_group(one).unwrap();
    assert!(matches!(catalog.delete_group(one), Err(Error::NotFound(_))));
    assert_eq!(paths(&catalog.groups()), ["one-more"]);
}

#[test]
fn protected_refs_are_replaced_by_their_pattern_and_taken_away() {
    let catalog = fresh();
    let id = create(&catalog, "group/app").id;
    let rule = |pattern: &str, push| ProtectedRef {
        pattern: pattern.into(),
        push,
        deploy: None,
    };
    catalog
        .protect(id, rule("v*", Some(Role::Developer)))
        .unwrap();
    catalog.protect(id, rule("main", None)).unwrap();
    let project = catalog.project_by_id(id).unwrap();
    assert_eq!(
        project.protected,
        [rule("main", None), rule("v*", Some(Role::Developer))]
    );
    let (project, _) = catalog.unprotect(id, "main").unwrap();
    assert!(!Catalog::is_protected(&project, "refs/heads/main"));
    let refused = catalog.unprotect(id, "main").unwrap_err().to_string();
    assert!(refused.contains("it protects v*"), "{refused}");
}

#[test]
fn a_project_has_a_bounded_number_of_protected_refs() {
    let catalog = fresh();
    let id = create(&catalog, "group/app").id;
    let rule = |number: usize| ProtectedRef::default_branch(&format!("b{number}"));
    for number in 1..protect::MOST {
        catalog.protect(id, rule(number)).unwrap();
    }
    assert!(matches!(
        catalog.protect(id, rule(protect::MOST)),
        Err(Error::Conflict(_))
    ));
    // One that is there may still change.
    catalog.protect(id, rule(1)).unwrap();
}

#[test]
fn others_see_a_project_only_where_it_says_so() {
    let catalog = fresh();
    let id = create(&catalog, "group/app").id;
    let stranger = Principal {
        token: "1".into(),
        user: "ann".into(),
        user_id: 1,
        role: Role::Maintainer,
        scope: Some("other".into()),
    };
    assert!(!catalog.may_see(&stranger, "group/app"));
    for (visibility, role) in [
        ("internal", Some(Role::Viewer)),
        ("public", Some(Role::Viewer)),
        ("private", None),
    ] {
        let settings = BTreeMap::from([("visibility".to_owned(), visibility.to_owned())]);
        let (project, _) = catalog.set_project(id, &settings).unwrap();
        assert_eq!(Catalog::role(&stranger, &project), role, "{visibility}");
        assert_eq!(catalog.may_see(&stranger, "group/app"), role.is_some());
    }
    assert!(!catalog.may_see(&stranger, "group/none"));
    assert!(!catalog.may_see(&stranger, "group"));
}

#[tokio::test]
async fn all_of_it_is_there_after_a_restart() {
    let kept = Kept::new();
    let catalog = &kept.catalog;
    let id = create(catalog, "Group/sub/app").id;
    let settings = BTreeMap::from([("git-depth".to_owned(), "5".to_owned())]);
    catalog.set_project(id, &settings).unwrap();
    catalog
        .protect(id, ProtectedRef::default_branch("v*"))
        .unwrap();
    assert_eq!(catalog.next_iid(id).unwrap().0, 1);
    assert_eq!(catalog.next_iid(id).unwrap().0, 2);
    let (projects, groups) = (catalog.projects(), catalog.groups());

    let kept = kept.restarted().await;
    assert_eq!(kept.catalog.projects(), projects);
    assert_eq!(kept.catalog.groups(), groups);
    assert_eq!(kept.catalog.next_iid(id).unwrap().0, 3);
    assert_eq!(kept.catalog.project("group/SUB/app").unwrap().id, id);
}

#[tokio::test]
async fn a_number_is_never_used_again() {
    let kept = Kept::new();
    let (project, group) = {
        let project = create(&kept.catalog, "group/app").id;
        let group = kept.catalog.group("group").unwrap().id;
        kept.catalog.delete_project(project).unwrap();
        kept.catalog.delete_group(group).unwrap();
        (project, group)
    };
    let kept = kept.restarted().await;
    assert!(kept.catalog.projects().is_empty());
    assert!(kept.catalog.next_iid(project).is_none());
    assert!(create(&kept.catalog, "group/app").id > project);
    assert!(kept.catalog.group("group").unwrap().id > group);
}

#[tokio::test]
async fn what_comes_to_the_path_of_a_deleted_project_has_none_of_it() {
    let kept = Kept::new();
    let catalog = &kept.catalog;
    let id = create(catalog, "group/app").id;
    let variable = NewVariable {
        key: "KEY".into(),
        value: "value".into(),
        ..NewVariable::default()
    };
    catalog.set_variable(Owner::Project(id), variable).unwrap();
    let secret = |scope: &str| {
        let new = NewToken {
            user: "ann".into(),
            role: Role::Developer,
            scope: Some(scope.into()),
            name: String::new(),
            ttl: None,
        };
        catalog.create_token(new).unwrap().0.secret
    };
    let (of_project, of_group) = (secret("group/app"), secret("group"));
    let (deleted, _) = catalog.delete_project(id).unwrap();
    assert_eq!(deleted.id, id);
    assert!(matches!(
        catalog.delete_project(id),
        Err(Error::NotFound(_))
    ));
    let again = create(catalog, "group/app").id;
    assert!(catalog.authenticate(&of_project).is_none());

    let kept = kept.restarted().await;
    assert!(kept.catalog.authenticate(&of_project).is_none());
    assert!(kept.catalog.authenticate(&of_group).is_some());
    let variables = |id| kept.catalog.variables(id, true, None).unwrap();
    assert_eq!(variables(id), []);
    assert_eq!(variables(again), []);
}
