//! The token server as clients see it, with a real owner of the state behind it.

mod signature;

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use fleet_model::AgentName;
use fleet_proto::v1;
use fleet_proto::v1::coordinator_message::Message as In;
use fleet_tls::signing::{Parts, SigningKey};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use super::*;
use crate::audit::Audit;
use crate::catalog::{Images, NewDeployToken, Project, Role};
use crate::core::{Admitted, AgentInput, Ending, Greeting};
use crate::source::tests::World as Sources;

/// A coordinator with the projects `group/app`, `group/lib` and `Other/App`.
struct World {
    sources: Sources,
    registry: Registry,
    key: Arc<SigningKey>,
    dir: tempfile::TempDir,
    app: Project,
}

/// An answer of the token server.
struct Answer {
    status: StatusCode,
    body: Value,
    wants_basic: bool,
}

/// A job that runs.
struct Running {
    token: String,
    fence: u64,
    session: u64,
    registries: Vec<v1::RegistryLogin>,
    variables: Vec<v1::Variable>,
    // The agent's end of the stream.
    _messages: tokio::sync::mpsc::Receiver<Result<v1::CoordinatorMessage, tonic::Status>>,
}

impl World {
    async fn new() -> World {
        let sources = Sources::new().await;
        let app = sources.catalog.project("group/app").unwrap();
        sources.project("group/lib");
        sources.project("Other/App");
        let parts = Parts::create("tests", std::time::SystemTime::now()).unwrap();
        let key = Arc::new(SigningKey::load(&parts).unwrap());
        let dir = tempfile::tempdir().unwrap();
        let audit = Audit::open(&dir.path().join("audit.jsonl")).unwrap();
        let registry = Registry::new(
            sources.catalog.clone(),
            sources.core.clone(),
            audit,
            Arc::clone(&key),
        );
        World {
            sources,
            registry,
            key,
            dir,
            app,
        }
    }

    fn audit(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("audit.jsonl")).unwrap()
    }

    fn deploy_token(&self, scope: &str, name: &str, images: Images) -> (String, String) {
        let new = NewDeployToken {
            scope: scope.into(),
            name: name.into(),
            images,
            ttl: None,
        };
        let (issued, _) = self.sources.catalog.create_deploy_token(new).unwrap();
        (issued.token.user, issued.secret)
    }

    fn set(&self, path: &str, key: &str, value: &str) {
        let project = self.sources.catalog.project(path).unwrap();
        let settings = [(key.to_owned(), value.to_owned())].into();
        let catalog = &self.sources.catalog;
        catalog.set_project(project.id, &settings).unwrap();
    }

    /// Pushes a pipeline of `group/app`; its job is leased when this returns.
    async fn run_job(&self) -> Running {
        let clone = self.sources.clone(Role::Maintainer).await;
        clone.ok(&["push", "origin", "main"]).await;
        let (outbox, mut messages) = tokio::sync::mpsc::channel(16);
        let hello = v1::Hello {
            agent: "a".to_owned(),
            slots: 1,
            run_untagged: true,
            instance: "i".to_owned(),
            ..v1::Hello::default()
        };
        let greeting = Greeting {
            hello,
            grant: None,
            projects: Vec::new(),
            outbox,
            ending: Ending::default(),
            doubted: None,
        };
        let admitted = self.sources.core.connected(greeting).await.unwrap();
        let Admitted::Session(session) = admitted else {
            panic!("{admitted:?}");
        };
        loop {
            let message = messages.recv().await.unwrap().unwrap();
            if let Some(In::Lease(lease)) = message.message {
                let job = lease.job.unwrap();
                return Running {
                    token: job.token,
                    fence: lease.fence,
                    session,
                    registries: job.registries,
                    variables: job.variables,
                    _messages: messages,
                };
            }
        }
    }

    /// Its agent says that it is over.
    async fn end_job(&self, job: &Running) {
        let input = AgentInput::Finished {
            fence: fleet_model::Fence(job.fence),
            outcome: fleet_model::Outcome::Success,
            message: String::new(),
        };
        let agent = AgentName("a".to_owned());
        self.sources.core.agent(agent, job.session, input).await;
    }

    async fn ask(&self, login: Option<(&str, &str)>, query: &str) -> Answer {
        self.request(Method::GET, login, query).await
    }

    async fn request(&self, method: Method, login: Option<(&str, &str)>, query: &str) -> Answer {
        let mut request = axum::http::Request::builder()
            .method(method)
            .uri(format!("https://fleet.example/jwt/auth?{query}"));
        if let Some((user, password)) = login {
            let pair = STANDARD.encode(format!("{user}:{password}"));
            request = request.header("authorization", format!("Basic {pair}"));
        }
        let request = request.body(Body::empty()).unwrap();
        let response = self.registry.router().oneshot(request).await.unwrap();
        assert_eq!(response.headers()["cache-control"], "no-store");
        let status = response.status();
        let wants_basic = response.headers().get("www-authenticate").is_some();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Answer {
            status,
            body: serde_json::from_slice(&body).unwrap(),
            wants_basic,
        }
    }

    /// What somebody may do with one repository; `-`: nothing.
    async fn may(&self, login: (&str, &str), scope: &str) -> String {
        let query = format!("service=fleet-registry&scope={scope}");
        let answer = self.ask(Some(login), &query).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        let claims = claims(&answer);
        let all = claims["access"].as_array().unwrap();
        let [access] = all.as_slice() else {
            panic!("one answer for one scope: {claims}");
        };
        let (kind, rest) = scope.split_once(':').unwrap();
        assert_eq!(access["type"], kind);
        assert_eq!(access["name"], rest.rsplit_once(':').unwrap().0);
        let actions = access["actions"].as_array().unwrap();
        let actions: Vec<&str> = actions.iter().map(|one| one.as_str().unwrap()).collect();
        match actions.as_slice() {
            [] => "-".to_owned(),
            all => all.join(","),
        }
    }
}

/// The claims of the token in an answer.
fn claims(answer: &Answer) -> Value {
    let token = answer.body["token"].as_str().unwrap();
    assert_eq!(answer.body["access_token"], answer.body["token"]);
    let claims = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

const ALL: &str = "push,pull,delete,*";

#[tokio::test]
async fn everybody_may_do_with_images_what_the_table_says() {
    let world = World::new().await;
    let job = world.run_job().await;
    let job = ("gitlab-ci-token", job.token.as_str());
    let token = |role, scope| world.sources.token(role, scope);
    let (viewer, developer) = (
        token(Role::Viewer, Some("group")),
        token(Role::Developer, Some("group/app")),
    );
    let (maintainer, admin) = (
        token(Role::Maintainer, Some("group")),
        token(Role::Admin, None),
    );
    let puller = world.deploy_token("group/app", "k8s", Images::Pull);
    let pusher = world.deploy_token("group", "", Images::Push);
    let puller = (puller.0.as_str(), puller.1.as_str());
    let pusher = (pusher.0.as_str(), pusher.1.as_str());
    fn any(token: &str) -> (&str, &str) {
        ("any-name", token)
    }

    // Of all that is asked: in the own project, below it, in another of the group,
    // and in one of another group.
    let repositories = ["group/app", "group/app/sub/image", "group/lib", "other/app"];
    for (who, login, expected) in [
        ("job", job, ["push,pull", "push,pull", "-", "-"]),
        ("viewer", any(&viewer), ["pull", "pull", "pull", "-"]),
        (
            "developer",
            any(&developer),
            ["push,pull", "push,pull", "-", "-"],
        ),
        ("maintainer", any(&maintainer), [ALL, ALL, ALL, "-"]),
        ("admin", any(&admin), [ALL, ALL, ALL, ALL]),
        ("deploy token", puller, ["pull", "pull", "-", "-"]),
        (
            "pushing deploy token",
            pusher,
            ["push,pull", "push,pull", "push,pull", "-"],
        ),
    ] {
        for (repository, expected) in repositories.into_iter().zip(expected) {
            let may = world
                .may(login, &format!("repository:{repository}:{ALL}"))
                .await;
            assert_eq!(may, expected, "{who} on {repository}");
        }
        // Names that are of no project, or none at all.
        for odd in [
            "group",
            "group/application",
            "nothing/here",
            "Group/App",
            "group/app/",
            "group//app",
            "group/app/../lib",
        ] {
            let may = world.may(login, &format!("repository:{odd}:{ALL}")).await;
            assert_eq!(may, "-", "{who} on {odd}");
        }
        let catalog = world.may(login, "registry:catalog:*").await;
        assert_eq!(catalog == "*", who == "admin", "{who} on the catalog");
        assert_eq!(
            world.may(login, "repository(plugin):group/app:pull").await,
            "-"
        );
    }
}

#[tokio::test]
async fn images_of_other_projects_are_for_those_they_were_granted_to() {
    let world = World::new().await;
    let job = world.run_job().await;
    let login = ("gitlab-ci-token", job.token.as_str());
    let asked = "repository:other/app:pull,push";
    assert_eq!(world.may(login, asked).await, "-");
    world.set("other/app", "registry-pull", "group/lib");
    assert_eq!(world.may(login, asked).await, "-");
    world.set("other/app", "registry-pull", "group/lib,Group/app");
    assert_eq!(world.may(login, asked).await, "pull");
    world.set("other/app", "registry-pull", "group");
    assert_eq!(world.may(login, asked).await, "pull");
    // That a project may be seen by all is for people.
    world.set("other/app", "registry-pull", "");
    world.set("other/app", "visibility", "internal");
    assert_eq!(world.may(login, asked).await, "-");
    let stranger = world.sources.token(Role::Developer, Some("group/lib"));
    assert_eq!(world.may(("x", &stranger), asked).await, "pull");

    // A grant is not for what is made later in the same place.
    world.set("other/app", "registry-pull", "group/lib");
    let lib = world.sources.catalog.project("group/lib").unwrap();
    world.sources.catalog.delete_project(lib.id).unwrap();
    let other = world.sources.catalog.project("other/app").unwrap();
    assert!(!other.settings.contains_key("registry-pull"), "{other:?}");
}

#[tokio::test]
async fn what_does_not_count_gets_no_token_and_leaves_a_line() {
    let world = World::new().await;
    let job = world.run_job().await;
    let person = world.sources.token(Role::Admin, None);
    let (user, password) = world.deploy_token("group", "", Images::Push);
    let ended = world.deploy_token("group", "", Images::Push);
    let id = ended.0.rsplit('-').next().unwrap().parse().unwrap();
    world.sources.catalog.revoke_token(id).unwrap();
    let none = [
        None,
        Some(("gitlab-ci-token", "")),
        Some(("gitlab-ci-token", "glcbt-wrong")),
        Some(("gitlab-ci-token", person.as_str())),
        Some(("gitlab-ci-token", password.as_str())),
        // A job's token is of its own user alone, as a deploy token.
        Some(("ann", job.token.as_str())),
        Some(("ann", password.as_str())),
        Some((user.as_str(), "gldt-wrong")),
        Some((ended.0.as_str(), ended.1.as_str())),
        Some(("", "")),
    ];
    for (place, login) in none.into_iter().enumerate() {
        for query in ["service=fleet-registry", "scope=repository:group/app:pull"] {
            let answer = world.ask(login, query).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{place}");
            let message = answer.body["errors"][0]["message"].as_str().unwrap();
            assert!(
                message.starts_with("HTTP Basic: Access denied"),
                "{message}"
            );
            assert!(answer.wants_basic);
        }
    }
    let refused = "repository:other/app:push";
    world.may((&user, &password), refused).await;
    let audit = world.audit();
    assert_eq!(audit.matches("registry.token").count(), 2 * none.len() + 1);
    assert!(audit.contains("repository:other/app") && audit.contains(&user));
    for secret in [&job.token, &person, &password, &ended.1] {
        assert!(!audit.contains(secret.as_str()), "{audit}");
    }
}

#[tokio::test]
async fn job_is_refused_as_soon_as_it_has_ended() {
    let world = World::new().await;
    let job = world.run_job().await;
    let login = Some(("gitlab-ci-token", job.token.as_str()));
    let answer = world.ask(login, "service=fleet-registry").await;
    assert_eq!(answer.status, StatusCode::OK);
    // Tokens that are out already end soon.
    assert_eq!(answer.body["expires_in"], 60);
    world.end_job(&job).await;
    let answer = world.ask(login, "service=fleet-registry").await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_token_says_what_registries_ask_for() {
    let world = World::new().await;
    let person = world.sources.token(Role::Developer, Some("group"));
    // Docker's own login, and a push that may mount from elsewhere.
    let login = "account=ann&client_id=docker&offline_token=true&service=fleet-registry";
    let answer = world.ask(Some(("ann", &person)), login).await;
    let empty = claims(&answer);
    assert_eq!(empty["access"], serde_json::json!([]));
    assert!(answer.body.get("refresh_token").is_none());
    let push = "scope=repository%3Agroup%2Fapp%3Apush%2Cpull&scope=repository:other/app:pull\
                +repository:group/lib:pull&service=fleet-registry";
    let answer = world.ask(Some(("ann", &person)), push).await;
    let claims = claims(&answer);
    let expected = serde_json::json!([
        { "type": "repository", "name": "group/app", "actions": ["push", "pull"] },
        { "type": "repository", "name": "other/app", "actions": [] },
        { "type": "repository", "name": "group/lib", "actions": ["pull"] },
    ]);
    assert_eq!(claims["access"], expected);
    assert_eq!(
        (&claims["iss"], &claims["aud"]),
        (&"fleet".into(), &"fleet-registry".into())
    );
    assert_eq!(claims["sub"], "the-developer");
    let at = |name: &str| claims[name].as_u64().unwrap();
    assert_eq!(at("exp") - at("iat"), 300);
    assert_eq!(answer.body["expires_in"], 300);
    assert!(at("nbf") <= at("iat"));
    assert_ne!(claims["jti"], empty["jti"]);
    let issued_at: jiff::Timestamp = answer.body["issued_at"].as_str().unwrap().parse().unwrap();
    assert!(issued_at.as_second().unsigned_abs().abs_diff(at("iat")) <= 1);
}

#[tokio::test]
async fn no_token_outlives_the_one_it_was_had_for() {
    let world = World::new().await;
    let new = NewDeployToken {
        scope: "group/app".into(),
        name: String::new(),
        images: Images::Pull,
        ttl: Some(std::time::Duration::from_secs(100)),
    };
    let (issued, _) = world.sources.catalog.create_deploy_token(new).unwrap();
    let login = (issued.token.user.as_str(), issued.secret.as_str());
    let answer = world.ask(Some(login), "").await;
    let life = answer.body["expires_in"].as_u64().unwrap();
    assert!((90..=100).contains(&life), "{life}");
}

#[tokio::test]
async fn other_ways_to_ask_are_refused_in_words() {
    let world = World::new().await;
    let person = world.sources.token(Role::Admin, None);
    let login = Some(("ann", person.as_str()));
    // Clients that know OAuth2 try this first, and take 404 for "ask with GET".
    let posted = world.request(Method::POST, login, "").await;
    assert_eq!(posted.status, StatusCode::NOT_FOUND);
    let long = format!("account={}", "a".repeat(20_000));
    for query in ["service=another", "scope=repository", long.as_str()] {
        let answer = world.ask(login, query).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        let message = answer.body["errors"][0]["message"].as_str().unwrap();
        assert!(!message.is_empty());
    }
}

#[tokio::test]
async fn a_job_is_given_the_logins_of_its_project() {
    let world = World::new().await;
    let (user, password) = world.deploy_token("group", "gitlab-deploy-token", Images::Pull);
    world.deploy_token("group/app", "another", Images::Pull);
    let add = |owner, registry: &str, password: &str, protected| {
        let login = crate::catalog::NewLogin {
            registry: registry.into(),
            username: "robot".into(),
            password: password.into(),
            protected,
        };
        let logins = crate::catalog::Logins::check(vec![login]).unwrap();
        let catalog = &world.sources.catalog;
        catalog.add_registry_logins(owner, logins).unwrap();
    };
    use crate::catalog::Owner;
    let group = world.sources.catalog.group("group").unwrap();
    add(
        Owner::Group(group.id),
        "registry.example",
        "of the group",
        false,
    );
    add(
        Owner::Group(group.id),
        "two.example/a",
        "of the group",
        false,
    );
    add(
        Owner::Project(world.app.id),
        "registry.example",
        "of the project",
        true,
    );
    let job = world.run_job().await;
    let given: Vec<_> = job
        .registries
        .iter()
        .map(|login| (login.registry.as_str(), login.password.as_str()))
        .collect();
    // Main is protected.
    assert_eq!(
        given,
        [
            ("registry.example", "of the project"),
            ("two.example/a", "of the group"),
        ]
    );
    let variable = |key: &str| job.variables.iter().find(|it| it.key == key).unwrap();
    assert_eq!(variable("CI_DEPLOY_USER").value, user);
    let given = variable("CI_DEPLOY_PASSWORD");
    assert!(given.value == password && given.masked && !given.public);
    assert_eq!(variable("CI_REGISTRY_PASSWORD").value, job.token);
    assert!(!world.sources.audit().contains(&password));
}

#[test]
fn the_own_registry_comes_last_and_only_where_there_is_no_other_login() {
    let catalog = crate::catalog::tests::over(crate::store::Journal::volatile());
    let new = crate::catalog::NewProject {
        path: "Group/App".into(),
        ..Default::default()
    };
    let (project, _) = catalog.create_project(new).unwrap();
    let add = |registry: &str| {
        let login = crate::catalog::NewLogin {
            registry: registry.into(),
            username: "robot".into(),
            password: "word".into(),
            protected: false,
        };
        let logins = crate::catalog::Logins::check(vec![login]).unwrap();
        let owner = crate::catalog::Owner::Project(project.id);
        catalog.add_registry_logins(owner, logins).unwrap();
    };
    let names = || -> Vec<(String, String)> {
        let host = Some("own.example:5000");
        let logins = logins(&catalog, host, project.id, false, "glcbt-x").unwrap();
        let pair = |it: RegistryLogin| (it.registry, it.username);
        logins.into_iter().map(pair).collect()
    };
    let pair = |registry: &str, user: &str| (registry.to_owned(), user.to_owned());
    add("z.example");
    let own = pair("own.example:5000", "gitlab-ci-token");
    assert_eq!(names(), [pair("z.example", "robot"), own]);
    add("OWN.example:5000");
    let replaced = pair("own.example:5000", "robot");
    assert_eq!(names(), [replaced, pair("z.example", "robot")]);
    let [host, image] = variables("own.example:5000", "Group/App");
    assert_eq!(
        (host.key.as_str(), host.value.as_str()),
        ("CI_REGISTRY", "own.example:5000")
    );
    assert_eq!(image.value, "own.example:5000/group/app");
}
