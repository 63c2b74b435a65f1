use std::collections::HashMap;

use tonic::Code;

use fleet_proto::v1::fleet_service_client::FleetServiceClient;

use super::*;
use crate::store::{Change, Error as StoreError, Limits, Records, Snapshot, Store};

fn get(path: &str) -> v1::GetProjectRequest {
    v1::GetProjectRequest {
        project: path.into(),
    }
}

fn new(path: &str) -> v1::CreateProjectRequest {
    v1::CreateProjectRequest {
        path: path.into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_project_is_made_set_protected_and_deleted() {
    let world = World::new();
    let mut client = Client::of(&world).await;
    let ann = world.token_of("ann", Role::Admin, Some("group"));

    let made = client
        .projects
        .create_project(by(&ann, new("group/sub/made")));
    let made = made.await.unwrap().into_inner();
    assert_eq!(made.path, "group/sub/made");
    assert_eq!(
        made.git_url,
        "https://fleet.example:8443/group/sub/made.git"
    );
    let maintainer = i32::from(v1::Role::Maintainer);
    let main = v1::ProtectedRef {
        pattern: "main".into(),
        push: maintainer,
        deploy: maintainer,
    };
    assert_eq!(made.protected_refs, [main]);

    let project = "GROUP/Sub/MADE".to_owned();
    let settings = HashMap::from([("timeout".to_owned(), "2h".to_owned())]);
    let set = v1::SetProjectRequest {
        project: project.clone(),
        settings: settings.clone(),
    };
    let set = client.projects.set_project(by(&ann, set)).await.unwrap();
    assert_eq!(set.into_inner().settings, settings);
    let protect = v1::ProtectRefRequest {
        project: project.clone(),
        protected: Some(v1::ProtectedRef {
            pattern: "v*".into(),
            push: v1::Role::Unspecified.into(),
            deploy: v1::Role::Admin.into(),
        }),
    };
    client
        .projects
        .protect_ref(by(&ann, protect))
        .await
        .unwrap();
    let unprotect = v1::UnprotectRefRequest {
        project: project.clone(),
        pattern: "main".into(),
    };
    let left = client.projects.unprotect_ref(by(&ann, unprotect)).await;
    assert_eq!(left.unwrap().into_inner().protected_refs.len(), 1);

    let delete = v1::DeleteProjectRequest { project };
    client
        .projects
        .delete_project(by(&ann, delete))
        .await
        .unwrap();
    assert_eq!(*world.cleared.lock().unwrap(), [ProjectId(made.id)]);
    let gone = client.projects.get_project(by(&ann, get("group/sub/made")));
    assert_eq!(gone.await.unwrap_err().code(), Code::NotFound);

    let audit = world.audit();
    for action in [
        "project.create",
        "project.set",
        "timeout=2h",
        "ref.protect",
        "v*: push nobody, deploy admin",
        "ref.unprotect",
        "project.delete",
        "user:ann",
        "project:group/sub/made",
    ] {
        assert!(audit.contains(action), "{action}: {audit}");
    }
}

#[tokio::test]
async fn lists_hold_what_the_caller_may_see() {
    let world = World::new();
    let mut client = Client::of(&world).await;
    let admin = world.token(Role::Admin, None);
    let viewer = world.token(Role::Viewer, Some("group/app"));
    let path = "elsewhere/deep/app".to_owned();
    client
        .projects
        .create_project(by(&admin, new(&path)))
        .await
        .unwrap();
    let visible = async |client: &mut Client, secret: &str| {
        let groups = v1::ListGroupsRequest {};
        let groups = client.projects.list_groups(by(secret, groups)).await;
        let projects = v1::ListProjectsRequest {};
        let projects = client.projects.list_projects(by(secret, projects)).await;
        let groups = groups.unwrap().into_inner().groups;
        let projects = projects.unwrap().into_inner().projects;
        let groups: Vec<String> = groups.into_iter().map(|group| group.path).collect();
        let projects: Vec<String> = projects.into_iter().map(|it| it.path).collect();
        (groups.join(" "), projects.join(" "))
    };
    let (groups, projects) = visible(&mut client, &viewer).await;
    assert_eq!((groups.as_str(), projects.as_str()), ("group", "group/app"));

    let settings = HashMap::from([("visibility".to_owned(), "internal".to_owned())]);
    let set = v1::SetProjectRequest {
        project: path.clone(),
        settings,
    };
    client.projects.set_project(by(&admin, set)).await.unwrap();
    let (groups, projects) = visible(&mut client, &viewer).await;
    assert_eq!(groups, "elsewhere elsewhere/deep group");
    assert_eq!(projects, "elsewhere/deep/app group/app");
    let seen = client.projects.get_project(by(&viewer, get(&path))).await;
    assert_eq!(seen.unwrap().into_inner().path, path);

    let (groups, _) = visible(&mut client, &admin).await;
    assert_eq!(groups, "elsewhere elsewhere/deep group other");
}

#[tokio::test]
async fn what_one_may_not_see_looks_as_if_it_were_not_there() {
    let world = World::new();
    let mut client = Client::of(&world).await;
    let stranger = world.token(Role::Admin, Some("other"));
    let admin = world.token(Role::Admin, None);
    let mut refusals = Vec::new();
    for _ in 0..2 {
        let asked = client
            .projects
            .get_project(by(&stranger, get("secret/app")));
        refusals.push(asked.await.unwrap_err());
        let made = client
            .projects
            .create_project(by(&stranger, new("secret/app")));
        refusals.push(made.await.unwrap_err());
        let delete = v1::DeleteGroupRequest {
            path: "secret".into(),
        };
        let deleted = client.projects.delete_group(by(&stranger, delete));
        refusals.push(deleted.await.unwrap_err());
        // From here on it is there.
        let _made = client
            .projects
            .create_project(by(&admin, new("secret/app")))
            .await;
    }
    let (before, after) = refusals.split_at(3);
    for (before, after) in before.iter().zip(after) {
        assert_eq!(before.code(), Code::NotFound);
        assert_eq!(
            (after.code(), after.message(), word(after)),
            (before.code(), before.message(), word(before))
        );
    }
    let audit = world.audit();
    assert_eq!(
        audit.matches("not there, or not to be seen").count(),
        6,
        "{audit}"
    );
}

#[tokio::test]
async fn refusals_have_a_word_and_say_what_to_do() {
    let world = World::new();
    let mut client = Client::of(&world).await;
    let admin = world.token(Role::Admin, None);
    let developer = world.token(Role::Developer, Some("group"));
    let set = |key: &str| v1::SetProjectRequest {
        project: "group/app".into(),
        settings: HashMap::from([(key.to_owned(), "x".to_owned())]),
    };
    let unknown = client.projects.set_project(by(&admin, set("git-dept")));
    let unknown = unknown.await.unwrap_err();
    assert_eq!(unknown.code(), Code::InvalidArgument);
    assert_eq!(word(&unknown), "invalid");
    assert!(unknown.message().contains("did you mean `git-depth`?"));

    let taken = client.projects.create_project(by(&admin, new("group/APP")));
    let taken = taken.await.unwrap_err();
    assert_eq!(
        (taken.code(), word(&taken)),
        (Code::AlreadyExists, "exists")
    );

    let group = v1::DeleteGroupRequest {
        path: "group".into(),
    };
    let full = client
        .projects
        .delete_group(by(&admin, group))
        .await
        .unwrap_err();
    assert_eq!(
        (full.code(), word(&full)),
        (Code::FailedPrecondition, "conflict")
    );

    let low = client.projects.set_project(by(&developer, set("timeout")));
    let low = low.await.unwrap_err();
    assert_eq!((low.code(), word(&low)), (Code::PermissionDenied, "role"));
    assert!(low.message().contains("takes the role maintainer"));
    let missing = v1::ProtectRefRequest {
        project: "group/app".into(),
        protected: None,
    };
    let missing = client.projects.protect_ref(by(&admin, missing)).await;
    assert_eq!(missing.unwrap_err().code(), Code::InvalidArgument);
    // What was let through and then failed is in the audit log as such.
    assert!(world.audit().contains("\"error\""), "{}", world.audit());
}

/// A store that commits nothing while somebody holds its gate.
struct Gated(Arc<tokio::sync::Mutex<()>>);

impl Store for Gated {
    fn load(&self) -> Result<Records, StoreError> {
        Ok(Records::default())
    }

    fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Err(StoreError::Away)
    }

    fn commit(&mut self, _changes: &[Change]) -> Result<(), StoreError> {
        drop(self.0.blocking_lock());
        Ok(())
    }

    fn bytes(&self) -> u64 {
        0
    }
}

#[tokio::test]
async fn nobody_is_answered_before_the_change_is_durable() {
    let gate = Arc::new(tokio::sync::Mutex::new(()));
    let journal = Journal::start(Gated(Arc::clone(&gate)), Limits::default()).unwrap();
    let world = World::over(journal);
    let secret = world.token(Role::Admin, None);
    let mut client = Client::of(&world).await;

    let closed = gate.lock().await;
    let request = by(&secret, new("group/made"));
    let mut answer = Box::pin(client.projects.create_project(request));
    let is_made = || world.setup.catalog.project("group/made").is_some();
    let mut turns_since = 0;
    while turns_since < 100 {
        turns_since += u32::from(is_made());
        tokio::select! {
            biased;
            answer = &mut answer => panic!("answered: {answer:?}"),
            () = tokio::task::yield_now() => {}
        }
    }
    drop(closed);
    assert_eq!(answer.await.unwrap().into_inner().path, "group/made");
}

#[tokio::test]
async fn an_agent_for_a_project_serves_no_other_when_that_is_deleted() {
    let world = World::new();
    let works = works::Works::begin(&world).await;
    let admin = world.token(Role::Admin, None);
    let channel = world.serve_all(&works).await;
    let mut fleet = FleetServiceClient::new(channel);
    let with = |projects: &[&str]| v1::CreateJoinTokenRequest {
        projects: projects.iter().map(|path| (*path).to_owned()).collect(),
        ..Default::default()
    };
    let unknown = by(&admin, with(&["group/app", "no/such"]));
    let refused = fleet.create_join_token(unknown).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    let made = by(&admin, with(&["other/app"]));
    let token = fleet.create_join_token(made).await.unwrap().into_inner();
    let key = fleet_tls::request::Key::generate().unwrap();
    let joining = v1::JoinRequest {
        token: token.token,
        csr: key.request().unwrap().into(),
        name: "own".into(),
        clock_unix_ms: jiff::Timestamp::now().as_millisecond() as u64,
    };
    works.api.identity.join(joining, None).await.unwrap();
    let show = || {
        let name = "own".to_owned();
        by(&admin, v1::GetAgentRequest { name })
    };
    let agent = fleet.get_agent(show()).await.unwrap().into_inner();
    assert_eq!(agent.projects, ["other/app"]);
    let catalog = &world.setup.catalog;
    let id = catalog.project("other/app").unwrap().id;
    catalog.delete_project(id).unwrap();
    let again = NewProject {
        path: "other/app".into(),
        ..NewProject::default()
    };
    catalog.create_project(again).unwrap();
    let agent = fleet.get_agent(show()).await.unwrap().into_inner();
    assert_eq!(agent.projects, [format!("(deleted project {id})")]);
    let grant = works.api.identity.grant("own").unwrap();
    assert_eq!(grant.projects, Some([id].into()));
}
