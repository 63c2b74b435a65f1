use tonic::Code;

use super::*;

fn of_app() -> Option<v1::Scope> {
    Some(v1::Scope {
        project: "group/app".into(),
        group: String::new(),
    })
}

fn list(hidden: bool) -> v1::ListVariablesRequest {
    v1::ListVariablesRequest {
        scope: of_app(),
        hidden,
    }
}

#[tokio::test]
async fn a_secret_never_leaves_again_and_only_names_are_in_the_audit_log() {
    let world = World::new();
    let mut client = Client::of(&world).await;
    let maintainer = world.token(Role::Maintainer, Some("group"));
    for hidden in [true, false] {
        let variable = v1::ProjectVariable {
            key: if hidden { "SECRET" } else { "PLAIN" }.into(),
            value: "canary-value".into(),
            hidden,
            environment: "prod/*".into(),
            ..Default::default()
        };
        let set = v1::SetVariableRequest {
            scope: of_app(),
            variable: Some(variable),
        };
        let shown = client.variables.set_variable(by(&maintainer, set)).await;
        let shown = shown.unwrap().into_inner();
        assert_eq!((shown.hidden, shown.masked), (hidden, hidden));
        assert_eq!(shown.value.is_empty(), hidden);
        assert!(shown.updated_at > 0);
    }
    let secrets = client.variables.list_variables(by(&maintainer, list(true)));
    let secrets = secrets.await.unwrap().into_inner().variables;
    assert_eq!(secrets.len(), 1);
    assert_eq!(
        (secrets[0].key.as_str(), secrets[0].value.as_str()),
        ("SECRET", "")
    );
    let plain = client
        .variables
        .list_variables(by(&maintainer, list(false)));
    let plain = plain.await.unwrap().into_inner().variables;
    assert_eq!(plain.len(), 1);
    assert_eq!(plain[0].value, "canary-value");

    let delete = v1::DeleteVariableRequest {
        scope: of_app(),
        key: "SECRET".into(),
        environment: "prod/*".into(),
    };
    let again = delete.clone();
    client
        .variables
        .delete_variable(by(&maintainer, delete))
        .await
        .unwrap();
    let gone = client
        .variables
        .delete_variable(by(&maintainer, again))
        .await;
    assert_eq!(gone.unwrap_err().code(), Code::NotFound);

    let audit = world.audit();
    assert!(audit.contains("SECRET (prod/*)"), "{audit}");
    assert!(audit.contains("variable.delete"), "{audit}");
    assert!(!audit.contains("canary"), "{audit}");
    // A maintainer reads what is theirs; that is not noted.
    assert!(!audit.contains("variable.read"), "{audit}");
}

#[tokio::test]
async fn an_admin_who_reads_values_is_noted() {
    let world = World::new();
    let mut client = Client::of(&world).await;
    let admin = world.token(Role::Admin, None);
    client
        .variables
        .list_variables(by(&admin, list(true)))
        .await
        .unwrap();
    assert!(!world.audit().contains("variable.read"));
    client
        .variables
        .list_variables(by(&admin, list(false)))
        .await
        .unwrap();
    assert!(world.audit().contains("variable.read"));
}

#[tokio::test]
async fn a_value_that_cannot_be_masked_is_refused_without_being_repeated() {
    let world = World::new();
    let mut client = Client::of(&world).await;
    let maintainer = world.token(Role::Maintainer, Some("group"));
    let variable = v1::ProjectVariable {
        key: "KEY".into(),
        value: "can ary".into(),
        masked: true,
        ..Default::default()
    };
    let set = v1::SetVariableRequest {
        scope: of_app(),
        variable: Some(variable),
    };
    let refused = client.variables.set_variable(by(&maintainer, set)).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("cannot be masked"));
    assert!(!refused.message().contains("can ary"));
    assert!(!world.audit().contains("can ary"));
}

#[tokio::test]
async fn a_scope_names_one_thing() {
    let world = World::new();
    let mut client = Client::of(&world).await;
    let admin = world.token(Role::Admin, None);
    let both = v1::ListVariablesRequest {
        scope: Some(v1::Scope {
            project: "group/app".into(),
            group: "group".into(),
        }),
        hidden: false,
    };
    let refused = client.variables.list_variables(by(&admin, both)).await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
    let missing = v1::SetVariableRequest {
        scope: of_app(),
        variable: None,
    };
    let refused = client.variables.set_variable(by(&admin, missing)).await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
}
