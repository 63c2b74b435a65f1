use tonic::Code;

use super::*;

fn of_app() -> Option<v1::Scope> {
    Some(v1::Scope {
        project: "group/app".into(),
        group: String::new(),
    })
}

fn login(registry: &str, password: &str) -> v1::NewRegistry {
    v1::NewRegistry {
        registry: registry.into(),
        username: "robot".into(),
        password: password.into(),
        protected: false,
    }
}

async fn add(
    client: &mut Client,
    secret: &str,
    registries: Vec<v1::NewRegistry>,
) -> Result<Vec<v1::Registry>, Status> {
    let request = v1::AddRegistriesRequest {
        scope: of_app(),
        registries,
    };
    let added = client.registries.add_registries(by(secret, request)).await;
    added.map(|answer| answer.into_inner().registries)
}

async fn names(client: &mut Client, secret: &str) -> Vec<String> {
    let request = v1::ListRegistriesRequest { scope: of_app() };
    let listed = client.registries.list_registries(by(secret, request)).await;
    let listed = listed.unwrap().into_inner().registries;
    listed.into_iter().map(|login| login.registry).collect()
}

#[tokio::test]
async fn passwords_go_in_and_never_come_out() {
    let world = World::new();
    let mut client = Client::of(&world).await;
    let maintainer = world.token(Role::Maintainer, Some("group"));
    let both = vec![
        login("https://index.docker.io/v1/", "canary-one"),
        login("Registry.example:5000/team/", "canary-two"),
    ];
    let added = add(&mut client, &maintainer, both).await.unwrap();
    assert!(added[0].updated_at > 0 && added[0].username == "robot");
    let all = ["docker.io", "registry.example:5000/team"];
    assert_eq!(names(&mut client, &maintainer).await, all);

    let remove = |registry: &str| v1::RemoveRegistryRequest {
        scope: of_app(),
        registry: registry.into(),
    };
    let unknown = by(&maintainer, remove("quay.example"));
    let refused = client.registries.remove_registry(unknown).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    assert!(refused.message().contains("one for docker.io and registry"));
    let known = by(&maintainer, remove("https://index.docker.io/v1/"));
    client.registries.remove_registry(known).await.unwrap();
    assert_eq!(names(&mut client, &maintainer).await, all[1..]);

    let audit = world.audit();
    assert!(audit.contains("docker.io, registry.example:5000/team"));
    assert!(audit.contains("registry.remove") && !audit.contains("canary"));
}

#[tokio::test]
async fn what_cannot_be_a_login_is_refused_whole_and_shows_no_secret() {
    let world = World::new();
    let mut client = Client::of(&world).await;
    let maintainer = world.token(Role::Maintainer, Some("group"));
    let good = || login("registry.example", "word");
    let user = |username: &str| v1::NewRegistry {
        username: username.into(),
        ..good()
    };
    let big = "x".repeat((64 << 10) + 1);
    for (wrong, words) in [
        (login("robot:canary@registry.example", "x"), "without user"),
        (login("nowhere", "canary"), "no host"),
        (login("REGISTRY.example", "canary"), "comes twice"),
        (login("two.example", ""), "password"),
        (login("two.example", "canary\0"), "password"),
        (login("two.example", &big), "password"),
        (user(""), "one line"),
        (user("a:canary"), "one line"),
    ] {
        let refused = add(&mut client, &maintainer, vec![good(), wrong]).await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains(words), "{refused}");
        assert!(!refused.message().contains("canary"), "{refused}");
    }
    let many = (0..201).map(|n| login(&format!("r{n}.example"), "word"));
    let refused = add(&mut client, &maintainer, many.collect()).await;
    assert_eq!(refused.unwrap_err().code(), Code::FailedPrecondition);
    assert!(names(&mut client, &maintainer).await.is_empty());
    assert!(!world.audit().contains("canary"));
}

#[tokio::test]
async fn deploy_tokens_are_of_a_place_and_good_for_nothing_here() {
    let world = World::new();
    let mut client = Client::of(&world).await;
    let maintainer = world.token(Role::Maintainer, Some("group"));
    let new = |scope: &str| v1::CreateTokenRequest {
        scope: scope.into(),
        name: "gitlab-deploy-token".into(),
        images: v1::Images::Push.into(),
        ..Default::default()
    };
    let made = client
        .tokens
        .create_token(by(&maintainer, new("GROUP/app")));
    let made = made.await.unwrap().into_inner();
    let token = made.token.unwrap();
    assert_eq!(token.user, format!("gitlab+deploy-token-{}", token.id));
    assert_eq!((token.scope.as_str(), token.role), ("group/app", 0));
    assert!(made.secret.starts_with("gldt-"), "{}", made.secret);

    let refused = client
        .tokens
        .who_am_i(by(&made.secret, v1::WhoAmIRequest {}));
    assert_eq!(refused.await.unwrap_err().code(), Code::Unauthenticated);
    let listed = client
        .tokens
        .list_tokens(by(&maintainer, v1::ListTokensRequest {}));
    let listed = listed.await.unwrap().into_inner().tokens;
    assert!(listed.contains(&token), "{listed:?}");

    let admin = world.token(Role::Admin, None);
    let with_user = v1::CreateTokenRequest {
        user: "ann".into(),
        ..new("group")
    };
    let with_role = v1::CreateTokenRequest {
        role: v1::Role::Viewer.into(),
        ..new("group")
    };
    let unknown = v1::CreateTokenRequest {
        images: 9,
        ..new("group")
    };
    for wrong in [new(""), with_user, with_role, unknown] {
        let refused = client.tokens.create_token(by(&admin, wrong)).await;
        assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
    }
    let revoke = v1::RevokeTokenRequest {
        id: token.id.clone(),
    };
    let revoked = client.tokens.revoke_token(by(&maintainer, revoke));
    revoked.await.unwrap();
    let user = token.user.as_str();
    let deployer = world
        .setup
        .catalog
        .authenticate_deployer(user, &made.secret);
    assert_eq!(deployer, None);
    let login = world.setup.catalog.deploy_login("group/app");
    assert_eq!(login.unwrap(), None);
}
