use std::time::Duration;

use super::token::Issued;
use super::*;

const DAY_MS: u64 = 86_400_000;

fn new(user: &str, role: Role, scope: Option<&str>) -> NewToken {
    NewToken {
        user: user.into(),
        role,
        scope: scope.map(str::to_owned),
        name: "for tests".into(),
        ttl: None,
    }
}

fn make(catalog: &Catalog, new: NewToken) -> Issued {
    catalog.create_token(new).unwrap().0
}

#[test]
fn a_token_says_who_calls_until_it_is_revoked() {
    let catalog = fresh();
    create(&catalog, "Group/app");
    let issued = make(&catalog, new("ann", Role::Developer, Some("group")));
    let principal = catalog.authenticate(&issued.secret).unwrap();
    let expected = Principal {
        token: issued.token.id.to_string(),
        user: "ann".into(),
        user_id: issued.token.user_id,
        role: Role::Developer,
        scope: Some("Group".into()),
    };
    assert_eq!(principal, expected);
    assert!(catalog.is_live(&principal));
    let other = make(&catalog, new("bob", Role::Admin, None));

    catalog.revoke_token(issued.token.id).unwrap();
    let once = catalog.token(&principal.token).unwrap();
    catalog.revoke_token(issued.token.id).unwrap();
    assert_eq!(catalog.token(&principal.token), Some(once));
    assert!(catalog.authenticate(&issued.secret).is_none());
    assert!(!catalog.is_live(&principal));
    assert!(catalog.authenticate(&other.secret).is_some());
    assert!(matches!(catalog.revoke_token(99), Err(Error::NotFound(_))));
}

#[test]
fn what_is_no_token_is_nobody() {
    let catalog = fresh();
    let issued = make(&catalog, new("ann", Role::Admin, None));
    let stranger = fresh();
    let foreign = make(&stranger, new("ann", Role::Admin, None)).secret;
    for secret in ["", "glpat-", "ann", &issued.secret[..35], &foreign] {
        assert!(catalog.authenticate(secret).is_none(), "{secret}");
    }
}

#[test]
fn a_token_ends_after_90_days_and_never_lives_more_than_365() {
    let catalog = fresh();
    let issued = make(&catalog, new("ann", Role::Viewer, None));
    let ends = issued.token.expires_at;
    assert_eq!(ends - issued.token.created_at, 90 * DAY_MS);
    assert!(catalog.authenticate_at(&issued.secret, ends - 1).is_some());
    assert!(catalog.authenticate_at(&issued.secret, ends).is_none());

    let lives = |days: u64, more: Duration| {
        catalog.create_token(NewToken {
            ttl: Some(Duration::from_secs(days * 86_400) + more),
            ..new("ann", Role::Viewer, None)
        })
    };
    let year = lives(365, Duration::ZERO).unwrap().0.token;
    assert_eq!(year.expires_at - year.created_at, 365 * DAY_MS);
    let longer = lives(365, Duration::from_millis(1));
    assert!(matches!(longer, Err(Error::Invalid(_))));
    assert!(lives(0, Duration::ZERO).is_err());
}

#[test]
fn a_token_is_for_what_there_is_and_names_are_one_line() {
    let catalog = fresh();
    let refused = catalog.create_token(new("ann", Role::Viewer, Some("none")));
    assert!(matches!(refused, Err(Error::NotFound(_))));
    for user in ["", "-ann", "a b", "é", "a\n", "a/b", &"a".repeat(256)] {
        let refused = catalog.create_token(new(user, Role::Viewer, None));
        assert!(matches!(refused, Err(Error::Invalid(_))), "{user}");
    }
    let named = NewToken {
        name: "two\nlines".into(),
        ..new("ann", Role::Viewer, None)
    };
    assert!(catalog.create_token(named).is_err());
    assert!(catalog.tokens().is_empty() && catalog.is_new_user("ann"));
}

#[test]
fn a_scope_ends_where_the_path_does() {
    let principal = |scope: Option<&str>| Principal {
        token: "1".into(),
        user: "ann".into(),
        user_id: 1,
        role: Role::Developer,
        scope: scope.map(str::to_owned),
    };
    let role = Some(Role::Developer);
    let scoped = principal(Some("group/app"));
    for (path, expected) in [
        ("group/app", role),
        ("group/app/inner", role),
        ("group/apple", None),
        ("group/ap", None),
        ("group", None),
        ("other/group/app", None),
        ("", None),
    ] {
        assert_eq!(scoped.role_on(path), expected, "{path}");
        assert_eq!(principal(None).role_on(path), role, "{path}");
    }
    assert_eq!(scoped.role_on_instance(), None);
    assert_eq!(principal(None).role_on_instance(), role);
}

#[test]
fn the_last_use_is_known_to_the_hour() {
    let catalog = fresh();
    let issued = make(&catalog, new("ann", Role::Viewer, None));
    let used = || catalog.tokens()[0].last_used_at;
    assert_eq!(used(), 0);
    let start = issued.token.created_at;
    for (at, expected) in [
        (start, start),
        (start + 3_599_999, start),
        (start + 3_600_000, start + 3_600_000),
    ] {
        catalog.authenticate_at(&issued.secret, at).unwrap();
        assert_eq!(used(), expected);
    }
}

#[test]
fn tokens_that_ended_are_listed_for_30_days() {
    let catalog = fresh();
    let revoked = make(&catalog, new("ann", Role::Viewer, None));
    let lives = make(&catalog, new("ann", Role::Viewer, None));
    catalog.revoke_token(revoked.token.id).unwrap();
    let ended = catalog.tokens()[0].revoked_at.unwrap();
    let forget = |now| {
        let forgot = catalog.change(|state, batch| {
            state.forget_dead_tokens(now, batch);
            Ok(())
        });
        forgot.unwrap();
        catalog.tokens().len()
    };
    assert_eq!(forget(ended + 30 * DAY_MS), 2);
    assert_eq!(forget(ended + 30 * DAY_MS + 1), 1);
    assert!(catalog.authenticate(&lives.secret).is_some());
}

#[tokio::test]
async fn tokens_and_users_outlive_a_restart_and_no_token_is_in_the_store() {
    let kept = Kept::new();
    let ann = make(&kept.catalog, new("Ann", Role::Admin, None));
    let bob = make(&kept.catalog, new("bob", Role::Viewer, None));
    let again = make(&kept.catalog, new("ann", Role::Viewer, None));
    assert_eq!(again.token.user, "Ann");
    assert_eq!(again.token.user_id, ann.token.user_id);
    assert_ne!(bob.token.user_id, ann.token.user_id);
    kept.catalog.revoke_token(bob.token.id).unwrap();

    let mut stored = Vec::new();
    let kept = kept
        .restarted_with(|records| stored = records.0.values().flatten().copied().collect())
        .await;
    let stored = String::from_utf8_lossy(&stored);
    assert!(stored.contains("Ann") && !stored.contains("glpat-"));
    assert!(!stored.contains(&ann.secret[6..]));
    let principal = kept.catalog.authenticate(&ann.secret).unwrap();
    assert_eq!(principal.user_id, ann.token.user_id);
    assert!(kept.catalog.authenticate(&bob.secret).is_none());
    let later = make(&kept.catalog, new("ANN", Role::Viewer, None)).token;
    assert_eq!(later.user_id, ann.token.user_id);
    assert!(later.id > again.token.id);
    let carl = make(&kept.catalog, new("carl", Role::Viewer, None)).token;
    assert!(carl.user_id > bob.token.user_id);
}
