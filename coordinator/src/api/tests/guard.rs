use axum::routing::any;
use tonic::Code;
use tower::ServiceExt as _;

use super::*;

const WHO_AM_I: &str = "/fleet.v1.TokenService/WhoAmI";

async fn ask(world: &World, request: axum::extract::Request) -> Status {
    let router = world.setup.guarded(world.setup.routes());
    answer(&router.oneshot(request).await.unwrap())
}

#[tokio::test]
async fn a_call_takes_exactly_one_token_that_counts() {
    let world = World::new();
    let secret = world.token(Role::Viewer, Some("group"));
    let with = |values: &[&str]| {
        let mut request = call(WHO_AM_I, None, &[]);
        for value in values {
            let value = value.parse().unwrap();
            request.headers_mut().append("authorization", value);
        }
        request
    };
    let (good, lower) = (format!("Bearer {secret}"), format!("bearer {secret}"));
    for values in [[good.as_str()], [lower.as_str()]] {
        assert_eq!(ask(&world, with(&values)).await.code(), Code::Ok);
    }
    let mistyped = format!("{good}x");
    for (values, expected) in [
        (vec![], "no_token"),
        (vec![secret.as_str()], "no_token"),
        (vec!["Basic YTpi"], "no_token"),
        (vec!["Bearer"], "no_token"),
        (vec!["Bearer "], "bad_token"),
        (vec![mistyped.as_str()], "bad_token"),
        (vec![good.as_str(), good.as_str()], "several_tokens"),
        (vec![good.as_str(), "Bearer x"], "several_tokens"),
    ] {
        let status = ask(&world, with(&values)).await;
        assert_eq!(status.code(), Code::Unauthenticated, "{values:?}");
        assert_eq!(word(&status), expected, "{values:?}");
    }
    let audit = world.audit();
    assert_eq!(audit.matches("anonymous").count(), 8, "{audit}");
    assert!(!audit.contains(&secret), "{audit}");
}

#[tokio::test]
async fn a_revoked_token_is_refused_at_once() {
    let world = World::new();
    let secret = world.token(Role::Admin, None);
    let principal = world.setup.catalog.authenticate(&secret).unwrap();
    let id = principal.token.parse().unwrap();
    world.setup.catalog.revoke_token(id).unwrap();
    let status = ask(&world, call(WHO_AM_I, Some(&secret), &[])).await;
    assert_eq!(status.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_call_without_a_row_is_refused_also_for_an_admin() {
    let world = World::new();
    let secret = world.token(Role::Admin, None);
    let method = "/fleet.v1.ProjectService/Unheard";
    let status = ask(&world, call(method, Some(&secret), &[])).await;
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(word(&status), "no_such_call");
    let status = ask(&world, call(method, None, &[])).await;
    assert_eq!(status.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn an_answer_of_a_handler_that_did_not_ask_is_not_sent() {
    let world = World::new();
    let forgetful = || async { Status::ok("").into_http::<Body>() };
    let routes = axum::Router::new().route("/{service}/{call}", any(forgetful));
    let router = world.setup.guarded(Routes::from(routes));
    let secret = world.token(Role::Admin, None);
    for (method, code) in [
        ("/fleet.v1.ProjectService/GetProject", Code::Internal),
        ("/fleet.v1.VariableService/ListVariables", Code::Internal),
        ("/fleet.v1.ProjectService/ListProjects", Code::Ok),
        // The guard itself asks about the instance.
        ("/fleet.v1.FleetService/ListAudit", Code::Ok),
    ] {
        let request = call(method, Some(&secret), &[]);
        let status = answer(&router.clone().oneshot(request).await.unwrap());
        assert_eq!(status.code(), code, "{method}");
    }
}

#[tokio::test]
async fn somebody_who_is_refused_all_the_time_does_not_fill_the_audit_log() {
    let world = World::new();
    let secret = world.token(Role::Viewer, Some("group"));
    let router = world.setup.guarded(world.setup.routes());
    for _ in 0..100 {
        let request = call(
            "/fleet.v1.VariableService/ListVariables",
            Some(&secret),
            &[],
        );
        let status = answer(&router.clone().oneshot(request).await.unwrap());
        assert_eq!(status.code(), Code::PermissionDenied);
    }
    assert_eq!(world.audit().lines().count(), 60);
}
