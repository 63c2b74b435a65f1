use fleet_model::Variable;

use super::*;

fn new(key: &str, value: &str) -> NewVariable {
    NewVariable {
        key: key.into(),
        value: value.into(),
        ..NewVariable::default()
    }
}

fn of_environment(key: &str, environment: &str) -> NewVariable {
    NewVariable {
        environment: environment.into(),
        ..new(key, environment)
    }
}

/// Keys and values, in order.
fn seen(
    catalog: &Catalog,
    project: ProjectId,
    protected: bool,
    environment: Option<&str>,
) -> Vec<(String, String)> {
    let variables = catalog.variables(project, protected, environment).unwrap();
    variables
        .into_iter()
        .map(|variable| (variable.key, variable.value))
        .collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(own).collect()
}

#[test]
fn a_job_sees_instance_groups_and_project_lowest_precedence_first() {
    let catalog = fresh();
    let id = create(&catalog, "one/two/app").id;
    let other = create(&catalog, "one/other/app").id;
    let group = |path: &str| Owner::Group(catalog.group(path).unwrap().id);
    for (owner, value) in [
        (Owner::Project(id), "project"),
        (group("one/two"), "inner"),
        (group("one"), "outer"),
        (Owner::Instance, "instance"),
        (group("one/other"), "other group"),
        (Owner::Project(other), "other project"),
    ] {
        catalog.set_variable(owner, new("KEY", value)).unwrap();
    }
    let expected = ["instance", "outer", "inner", "project"].map(|value| ("KEY", value));
    assert_eq!(seen(&catalog, id, false, None), pairs(&expected));
    assert_eq!(seen(&catalog, ProjectId(99), true, None), []);
}

#[test]
fn flags_reach_the_job_and_nothing_of_it_is_for_services() {
    let catalog = fresh();
    let id = create(&catalog, "group/app").id;
    let variable = NewVariable {
        masked: true,
        raw: true,
        file: true,
        ..new("KEY", "sup3rs3cret!")
    };
    catalog.set_variable(Owner::Project(id), variable).unwrap();
    let found = catalog.variables(id, false, None).unwrap();
    let expected = Variable {
        key: "KEY".into(),
        value: "sup3rs3cret!".into(),
        masked: true,
        raw: true,
        file: true,
        public: false,
    };
    assert_eq!(found, [expected]);
}

#[test]
fn protected_variables_are_for_protected_refs_alone() {
    let catalog = fresh();
    let id = create(&catalog, "group/app").id;
    let protected = NewVariable {
        protected: true,
        environment: "prod".into(),
        ..new("KEY", "for main")
    };
    for variable in [protected, new("KEY", "for all")] {
        catalog.set_variable(Owner::Project(id), variable).unwrap();
    }
    let prod = Some("prod");
    assert_eq!(
        seen(&catalog, id, true, prod),
        pairs(&[("KEY", "for main")])
    );
    // What may not be seen hides nothing that may.
    assert_eq!(
        seen(&catalog, id, false, prod),
        pairs(&[("KEY", "for all")])
    );
}

#[test]
fn of_one_key_and_owner_the_most_specific_environment_scope_counts() {
    let catalog = fresh();
    let id = create(&catalog, "group/app").id;
    for scope in ["*", "prod", "prod/*", "prod/eu*", "*/eu*", "review"] {
        catalog
            .set_variable(Owner::Project(id), of_environment("KEY", scope))
            .unwrap();
    }
    catalog
        .set_variable(Owner::Instance, of_environment("KEY", "prod/eu1"))
        .unwrap();
    for (environment, scopes) in [
        (None, vec!["*"]),
        (Some("staging"), vec!["*"]),
        (Some("prod"), vec!["prod"]),
        (Some("prod/us1"), vec!["prod/*"]),
        // A more specific one of another owner does not count against the project's.
        (Some("prod/eu1"), vec!["prod/eu1", "prod/eu*"]),
        (Some("test/eu1"), vec!["*/eu*"]),
        (Some("review/app"), vec!["*"]),
    ] {
        let expected: Vec<_> = scopes.iter().map(|scope| ("KEY", *scope)).collect();
        assert_eq!(
            seen(&catalog, id, false, environment),
            pairs(&expected),
            "{environment:?}"
        );
    }
}

#[test]
fn a_masked_value_is_one_that_can_be_found() {
    let catalog = fresh();
    let masked = |value: &str, raw| {
        let variable = NewVariable {
            masked: true,
            raw,
            ..new("KEY", value)
        };
        catalog.set_variable(Owner::Instance, variable)
    };
    let longest = "x".repeat(10_000);
    for value in ["12345678", "aZ0_+=/@:.~-", &longest] {
        assert!(masked(value, false).is_ok(), "{value}");
        assert!(masked(value, true).is_ok(), "{value}");
    }
    for value in [
        "12345$78",
        "{\"a\":\"b\"}",
        "größer als".trim_end_matches(" als"),
    ] {
        assert!(masked(value, false).is_err(), "{value}");
    }
    assert!(masked("12345$78", true).is_ok());
    assert!(masked("éééééééé", true).is_ok());
    for value in [
        "",
        "1234567",
        "1234 5678",
        "1234\n5678",
        "12345678\n",
        "1234\t5678",
        &format!("{longest}x"),
    ] {
        for raw in [false, true] {
            let Err(Error::Invalid(why)) = masked(value, raw) else {
                panic!("{value:?} passed");
            };
            assert!(why.contains("masked"), "{why}");
        }
    }
}

#[test]
fn keys_scopes_and_values_have_limits() {
    let catalog = fresh();
    let set = |variable| catalog.set_variable(Owner::Instance, variable);
    let longest = "K".repeat(255);
    for key in ["a", "_", "0", &longest] {
        assert!(set(new(key, "")).is_ok(), "{key}");
    }
    for key in ["", "A-B", "A B", "A=B", "é", "A\0", &format!("{longest}K")] {
        assert!(set(new(key, "")).is_err(), "{key}");
    }
    for scope in ["prod", "review/*", "a b", "${X}", "*-\\.", &"e".repeat(255)] {
        assert!(set(of_environment("KEY", scope)).is_ok(), "{scope}");
    }
    for scope in ["a\n", "a:b", "é", &"e".repeat(256)] {
        assert!(set(of_environment("KEY", scope)).is_err(), "{scope}");
    }
    let largest = "v".repeat(700 * 1024);
    assert!(set(new("KEY", &largest)).is_ok());
    assert!(set(new("KEY", &format!("{largest}v"))).is_err());
    assert!(set(new("KEY", "a\0b")).is_err());
    let file = NewVariable {
        file: true,
        ..new("KEY", "a\0b")
    };
    assert!(set(file).is_ok());
}

#[test]
fn an_owner_has_a_bounded_number_of_variables() {
    let catalog = fresh();
    let set = |number: usize| catalog.set_variable(Owner::Instance, new(&format!("K{number}"), ""));
    for number in 0..8000 {
        set(number).unwrap();
    }
    assert!(matches!(set(8000), Err(Error::Conflict(_))));
    // One that is there may still change.
    set(0).unwrap();
}

#[test]
fn a_secret_is_never_shown_again_and_jobs_have_it() {
    let catalog = fresh();
    let id = create(&catalog, "group/app").id;
    let owner = Owner::Project(id);
    let secret = NewVariable {
        hidden: true,
        ..new("SECRET", "sup3rs3cret")
    };
    let (shown, _) = catalog.set_variable(owner, secret).unwrap();
    assert!(shown.masked && shown.value.is_none());
    catalog.set_variable(owner, new("PLAIN", "seen")).unwrap();
    let listed = |hidden| {
        let listed = catalog.list_variables(owner, hidden).unwrap();
        let pair = |shown: Shown| (shown.key, shown.value);
        listed.into_iter().map(pair).collect::<Vec<_>>()
    };
    assert_eq!(listed(true), [("SECRET".to_owned(), None)]);
    assert_eq!(
        listed(false),
        [("PLAIN".to_owned(), Some("seen".to_owned()))]
    );
    let found = catalog.variables(id, false, None).unwrap();
    assert!(
        found
            .iter()
            .any(|it| it.value == "sup3rs3cret" && it.masked)
    );
    let short = NewVariable {
        hidden: true,
        ..new("SECRET", "short")
    };
    assert!(catalog.set_variable(owner, short).is_err());
}

#[test]
fn a_variable_is_deleted_by_key_and_scope() {
    let catalog = fresh();
    let owner = Owner::Project(create(&catalog, "group/app").id);
    catalog
        .set_variable(owner, of_environment("KEY", "prod"))
        .unwrap();
    let refused = catalog.delete_variable(owner, "KEY", "").unwrap_err();
    assert!(refused.to_string().contains("there is one of prod"));
    assert!(catalog.delete_variable(owner, "OTHER", "prod").is_err());
    catalog.delete_variable(owner, "KEY", "prod").unwrap();
    assert!(catalog.delete_variable(owner, "KEY", "prod").is_err());
    let gone = Owner::Project(ProjectId(99));
    let refused = catalog.set_variable(gone, new("KEY", ""));
    assert!(matches!(refused, Err(Error::NotFound(_))));
}

#[tokio::test]
async fn values_are_sealed_in_the_store_and_read_again_after_a_restart() {
    let kept = Kept::new();
    let id = create(&kept.catalog, "group/app").id;
    let owner = Owner::Project(id);
    for value in ["first-value", "canary-value"] {
        let variable = of_environment("KEY", "prod/*");
        let variable = NewVariable {
            value: value.into(),
            ..variable
        };
        kept.catalog.set_variable(owner, variable).unwrap();
    }
    let mut stored = Vec::new();
    let kept = kept
        .restarted_with(|records| stored = records.0.values().flatten().copied().collect())
        .await;
    let stored = String::from_utf8_lossy(&stored);
    assert!(stored.contains("prod/*") && !stored.contains("canary"));
    let found = seen(&kept.catalog, id, false, Some("prod/eu"));
    assert_eq!(found, pairs(&[("KEY", "canary-value")]));
}

#[tokio::test]
async fn a_value_put_in_the_place_of_another_opens_nowhere() {
    let kept = Kept::new();
    let id = create(&kept.catalog, "group/app").id;
    let owner = Owner::Project(id);
    for key in ["ONE", "TWO"] {
        kept.catalog.set_variable(owner, new(key, key)).unwrap();
    }
    let kept = kept
        .restarted_with(|records| {
            let sealed = |record: &[u8]| {
                let record: serde_json::Value = serde_json::from_slice(record).unwrap();
                record["value"].clone()
            };
            let keys: Vec<String> = records
                .0
                .keys()
                .filter(|key| key.starts_with("variable/"))
                .cloned()
                .collect();
            let values: Vec<_> = keys.iter().map(|key| sealed(&records.0[key])).collect();
            for (key, value) in keys.iter().zip(values.into_iter().rev()) {
                let record = records.0.get_mut(key).unwrap();
                let mut changed: serde_json::Value = serde_json::from_slice(record).unwrap();
                changed["value"] = value;
                *record = serde_json::to_vec(&changed).unwrap();
            }
        })
        .await;
    assert!(kept.catalog.variables(id, true, None).is_err());
    assert!(kept.catalog.list_variables(owner, false).is_err());
}
