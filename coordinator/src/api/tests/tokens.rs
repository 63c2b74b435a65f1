use tonic::Code;

use super::*;

fn new(user: &str, role: v1::Role, scope: &str) -> v1::CreateTokenRequest {
    v1::CreateTokenRequest {
        user: user.into(),
        role: role.into(),
        scope: scope.into(),
        name: "for tests".into(),
        ttl_ms: 0,
        images: 0,
    }
}

async fn make(
    client: &mut Client,
    secret: &str,
    new: v1::CreateTokenRequest,
) -> Result<v1::CreateTokenResponse, Status> {
    let made = client.tokens.create_token(by(secret, new)).await;
    made.map(tonic::Response::into_inner)
}

async fn revoke(client: &mut Client, secret: &str, id: &str) -> Result<(), Status> {
    let revoke = v1::RevokeTokenRequest { id: id.into() };
    let revoked = client.tokens.revoke_token(by(secret, revoke)).await;
    revoked.map(drop)
}

/// The users of the tokens that a caller is shown.
async fn users(client: &mut Client, secret: &str) -> String {
    let listed = client
        .tokens
        .list_tokens(by(secret, v1::ListTokensRequest {}));
    let tokens = listed.await.unwrap().into_inner().tokens;
    let users: Vec<String> = tokens.into_iter().map(|token| token.user).collect();
    users.join(" ")
}

fn id_of(world: &World, secret: &str) -> String {
    world.setup.catalog.authenticate(secret).unwrap().token
}

#[tokio::test]
async fn a_new_token_works_and_says_who_it_is() {
    let world = World::new();
    let mut client = Client::of(&world).await;
    let admin = world.token_of("ann", Role::Admin, None);
    let wanted = v1::CreateTokenRequest {
        ttl_ms: 3_600_000,
        ..new("bob", v1::Role::Developer, "GROUP/app")
    };
    let made = make(&mut client, &admin, wanted).await.unwrap();
    let token = made.token.unwrap();
    assert_eq!(token.scope, "group/app");
    assert_eq!(token.expires_at - token.created_at, 3_600_000);

    let who = client
        .tokens
        .who_am_i(by(&made.secret, v1::WhoAmIRequest {}));
    let who = who.await.unwrap().into_inner();
    assert_eq!(who.version, env!("CARGO_PKG_VERSION"));
    let me = who.token.unwrap();
    assert_eq!(
        (me.id, me.user, me.role),
        (token.id, "bob".into(), token.role)
    );
    assert!(me.last_used_at > 0);

    let audit = world.audit();
    assert!(audit.contains("token.create") && audit.contains("user bob, role developer"));
    assert!(!audit.contains("glpat-"), "{audit}");
}

#[tokio::test]
async fn a_maintainer_gives_at_most_their_own_role_where_they_have_it() {
    let world = World::new();
    let mut client = Client::of(&world).await;
    let maintainer = world.token_of("mia", Role::Maintainer, Some("group"));
    for (role, scope, expected) in [
        (v1::Role::Maintainer, "group/app", None),
        (v1::Role::Viewer, "group", None),
        (v1::Role::Admin, "group/app", Some(Code::PermissionDenied)),
        (v1::Role::Viewer, "other/app", Some(Code::NotFound)),
        (v1::Role::Viewer, "none", Some(Code::NotFound)),
        (v1::Role::Viewer, "", Some(Code::PermissionDenied)),
        (v1::Role::Unspecified, "group", Some(Code::InvalidArgument)),
    ] {
        let made = make(&mut client, &maintainer, new("robot", role, scope)).await;
        let code = made.err().map(|status| status.code());
        assert_eq!(code, expected, "{role:?} {scope}");
    }
    let unknown = v1::CreateTokenRequest {
        role: 99,
        ..new("robot", v1::Role::Viewer, "group")
    };
    let refused = make(&mut client, &maintainer, unknown).await.err().unwrap();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let long = v1::CreateTokenRequest {
        ttl_ms: 365 * 86_400_000 + 1,
        ..new("robot", v1::Role::Viewer, "group")
    };
    let refused = make(&mut client, &maintainer, long).await.err().unwrap();
    assert!(refused.message().contains("365 days"));
}

#[tokio::test]
async fn nobody_but_an_admin_speaks_in_the_name_of_others() {
    let world = World::new();
    let mut client = Client::of(&world).await;
    world.token_of("ann", Role::Admin, None);
    world.token_of("bob", Role::Developer, Some("group/app"));
    world.token_of("eve", Role::Developer, Some("group"));
    world.token_of("eve", Role::Viewer, Some("other"));
    world.token_of("pat", Role::Admin, Some("group"));
    let maintainer = world.token_of("mia", Role::Maintainer, Some("group"));
    for (user, may) in [
        ("mia", true),
        ("MIA", true),
        ("somebody-new", true),
        ("bob", true),
        ("eve", false),
        ("pat", false),
        ("ann", false),
        ("ANN", false),
    ] {
        let wanted = new(user, v1::Role::Viewer, "group/app");
        let made = make(&mut client, &maintainer, wanted).await;
        assert_eq!(made.is_ok(), may, "{user}");
        if let Err(refused) = made {
            assert_eq!(refused.code(), Code::PermissionDenied);
        }
    }
    let admin = world.token_of("ann", Role::Admin, None);
    let wanted = new("eve", v1::Role::Viewer, "group/app");
    make(&mut client, &admin, wanted).await.unwrap();
}

#[tokio::test]
async fn tokens_are_seen_and_revoked_by_those_they_concern() {
    let world = World::new();
    let mut client = Client::of(&world).await;
    let admin = world.token_of("ann", Role::Admin, None);
    let owner = world.token_of("pat", Role::Admin, Some("group"));
    let maintainer = world.token_of("mia", Role::Maintainer, Some("group"));
    let developer = world.token_of("bob", Role::Developer, Some("group/app"));
    let stranger = world.token_of("eve", Role::Maintainer, Some("other"));
    let narrow = world.token_of("ann", Role::Developer, Some("group/app"));

    assert_eq!(users(&mut client, &admin).await, "ann pat mia bob eve ann");
    assert_eq!(users(&mut client, &maintainer).await, "pat mia bob ann");
    assert_eq!(users(&mut client, &developer).await, "bob");
    assert_eq!(users(&mut client, &stranger).await, "eve");
    // It may not look where the other token of its user is of.
    assert_eq!(users(&mut client, &narrow).await, "ann");

    let id = |secret: &str| id_of(&world, secret);
    for (secret, of, expected) in [
        (&stranger, id(&developer), Code::NotFound),
        (&stranger, "99".to_owned(), Code::NotFound),
        (&stranger, "no number".to_owned(), Code::NotFound),
        (&developer, id(&maintainer), Code::NotFound),
        (&narrow, id(&admin), Code::NotFound),
        (&maintainer, id(&owner), Code::PermissionDenied),
    ] {
        let refused = revoke(&mut client, secret, &of).await.unwrap_err();
        assert_eq!(refused.code(), expected, "{of}: {}", refused.message());
    }
    // Itself, what it manages, and an admin anybody.
    revoke(&mut client, &developer, &id(&developer))
        .await
        .unwrap();
    revoke(&mut client, &maintainer, &id(&narrow))
        .await
        .unwrap();
    let ids = [id(&owner), id(&stranger)];
    for id in &ids {
        revoke(&mut client, &admin, id).await.unwrap();
    }
    for secret in [&developer, &narrow, &owner, &stranger] {
        let refused = revoke(&mut client, secret, "1").await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated);
    }
    assert_eq!(world.audit().matches("token.revoke").count(), 4);
}
