use fleet_proto::v1::environment_service_client::EnvironmentServiceClient;
use tonic::Code;

use super::works::{self, Works};
use super::*;

const PROJECT: &str = "group/app";

fn protect(pattern: &str, deploy: v1::Role) -> v1::ProtectEnvironmentRequest {
    v1::ProtectEnvironmentRequest {
        project: PROJECT.into(),
        protected: Some(v1::ProtectedEnvironment {
            pattern: pattern.into(),
            deploy: deploy.into(),
        }),
    }
}

fn production() -> v1::GetEnvironmentRequest {
    v1::GetEnvironmentRequest {
        project: PROJECT.into(),
        name: works::ENVIRONMENT.into(),
    }
}

fn stop() -> v1::StopEnvironmentRequest {
    v1::StopEnvironmentRequest {
        project: PROJECT.into(),
        name: works::ENVIRONMENT.into(),
    }
}

#[tokio::test]
async fn an_environment_is_protected_and_protected_no_longer() {
    let world = World::new();
    let works = Works::begin(&world).await;
    let channel = world.serve_all(&works).await;
    let mut projects = ProjectServiceClient::new(channel.clone());
    let mut environments = EnvironmentServiceClient::new(channel);
    let maintainer = world.token(Role::Maintainer, Some(PROJECT));
    for (pattern, role) in [
        ("prod*", v1::Role::Admin),
        ("production", v1::Role::Unspecified),
        ("production", v1::Role::Maintainer),
    ] {
        let request = by(&maintainer, protect(pattern, role));
        projects.protect_environment(request).await.unwrap();
    }
    let shown = environments.get_environment(by(&maintainer, production()));
    let shown = shown.await.unwrap().into_inner();
    assert!(shown.protected);
    assert_eq!(shown.deploy(), v1::Role::Maintainer);
    let request = v1::UnprotectEnvironmentRequest {
        project: PROJECT.into(),
        pattern: "production".into(),
    };
    let request = by(&maintainer, request);
    let project = projects.unprotect_environment(request).await;
    let rules = project.unwrap().into_inner().protected_environments;
    assert_eq!(rules.len(), 1);
    assert_eq!(
        (rules[0].pattern.as_str(), rules[0].deploy()),
        ("prod*", v1::Role::Admin)
    );
    let audit = world.audit();
    for line in [
        "\"environment.protect\",\"object\":\"project:group/app\",\"result\":\"ok\",\"reason\":\"production: deploy nobody\"",
        "\"environment.unprotect\",\"object\":\"project:group/app\",\"result\":\"ok\",\"reason\":\"production\"",
    ] {
        assert!(audit.contains(line), "{audit}");
    }
}

#[tokio::test]
async fn a_rule_or_name_that_cannot_be_is_refused_in_words() {
    let world = World::new();
    let works = Works::begin(&world).await;
    let channel = world.serve_all(&works).await;
    let mut projects = ProjectServiceClient::new(channel.clone());
    let mut environments = EnvironmentServiceClient::new(channel);
    let maintainer = world.token(Role::Maintainer, None);
    for (request, words) in [
        (
            protect("a:b", v1::Role::Admin),
            "`a:b` is no name or pattern",
        ),
        (protect("x", v1::Role::Viewer), "a viewer cannot deploy"),
        (
            v1::ProtectEnvironmentRequest {
                protected: None,
                ..protect("x", v1::Role::Admin)
            },
            "field `protected` is missing",
        ),
    ] {
        let request = by(&maintainer, request);
        let status = projects.protect_environment(request).await;
        let status = status.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains(words), "{status:?}");
    }
    let unknown = v1::GetEnvironmentRequest {
        name: "nowhere".into(),
        ..production()
    };
    let status = environments.get_environment(by(&maintainer, unknown));
    let status = status.await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    let words = "there is no environment `nowhere` in project `group/app`";
    assert_eq!(status.message(), words);
}

#[tokio::test]
async fn who_may_not_deploy_may_not_stop() {
    let world = World::new();
    let works = Works::begin(&world).await;
    let channel = world.serve_all(&works).await;
    let mut projects = ProjectServiceClient::new(channel.clone());
    let mut environments = EnvironmentServiceClient::new(channel);
    let developer = world.token_of("dan", Role::Developer, Some(PROJECT));
    let maintainer = world.token_of("mia", Role::Maintainer, Some(PROJECT));
    let request = by(&maintainer, protect("production", v1::Role::Maintainer));
    projects.protect_environment(request).await.unwrap();
    let status = environments.stop_environment(by(&developer, stop()));
    let status = status.await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(
        status.message(),
        "environment `production` is protected: to deploy takes the role maintainer; dan has \
         the role developer. Nothing was changed"
    );
    assert!(world.audit().contains("\"denied\""), "{}", world.audit());
    let shown = environments.get_environment(by(&developer, production()));
    assert_eq!(shown.await.unwrap().into_inner().state, "available");
    let stopped = environments.stop_environment(by(&maintainer, stop()));
    let stopped = stopped.await.unwrap().into_inner();
    assert_eq!(stopped.environment.unwrap().state, "stopped");
    assert_eq!(stopped.job, None);
    let listed = v1::ListEnvironmentsRequest {
        project: PROJECT.into(),
    };
    let listed = environments.list_environments(by(&developer, listed));
    let listed = listed.await.unwrap().into_inner().environments;
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].state, "stopped");
}
