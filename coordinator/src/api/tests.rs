mod environments;
mod guard;
mod matrix;
mod projects;
mod registries;
mod streams;
mod tokens;
mod variables;
mod works;

use std::sync::Mutex;

use axum::body::Body;
use fleet_proto::v1::project_service_client::ProjectServiceClient;
use fleet_proto::v1::registry_service_client::RegistryServiceClient;
use fleet_proto::v1::token_service_client::TokenServiceClient;
use fleet_proto::v1::variable_service_client::VariableServiceClient;
use hyper_util::rt::TokioIo;
use tokio_stream::StreamExt as _;
use tonic::Request;
use tonic::transport::{Channel, Endpoint, Server};

use super::*;
use crate::catalog::{NewProject, NewToken};

/// What people set up in the tests: the projects `group/app` and `other/app`, and
/// whoever a test makes a token for.
struct World {
    setup: Setup,
    /// The projects that were cleared, in order.
    cleared: Arc<Mutex<Vec<ProjectId>>>,
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> World {
        World::over(Journal::volatile())
    }

    fn over(journal: Journal) -> World {
        let catalog = crate::catalog::tests::over(journal.clone());
        let dir = tempfile::tempdir().unwrap();
        let cleared = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&cleared);
        let clear: Clear = Arc::new(move |id| {
            list.lock().unwrap().push(id);
            Box::pin(std::future::ready(()))
        });
        for path in ["group/app", "other/app"] {
            let project = NewProject {
                path: path.into(),
                ..NewProject::default()
            };
            catalog.create_project(project).unwrap();
        }
        let setup = Setup {
            catalog,
            journal,
            audit: Audit::open(&dir.path().join("audit.jsonl")).unwrap(),
            external_url: "https://fleet.example:8443/".into(),
            trust: crate::registry::Trust {
                host: Some("registry.example:5000".into()),
                realm: "https://fleet.example:8443/jwt/auth".into(),
                certificate: "certificate".into(),
                authority: "authority".into(),
            },
            clear,
        };
        World {
            setup,
            cleared,
            dir,
        }
    }

    /// A new token of a user who has a name of their own.
    fn token(&self, role: Role, scope: Option<&str>) -> String {
        let user = format!("{role}-of-{}", scope.unwrap_or("all").replace('/', "-"));
        self.token_of(&user, role, scope)
    }

    fn token_of(&self, user: &str, role: Role, scope: Option<&str>) -> String {
        let new = NewToken {
            user: user.into(),
            role,
            scope: scope.map(str::to_owned),
            name: "for tests".into(),
            ttl: None,
        };
        self.setup.catalog.create_token(new).unwrap().0.secret
    }

    /// The audit log as it is on disk.
    fn audit(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("audit.jsonl")).unwrap_or_default()
    }

    /// Serves it over an in-memory pipe.
    async fn serve(&self) -> Channel {
        self.serve_routes(self.setup.routes()).await
    }

    /// The same, with the services of what runs.
    async fn serve_all(&self, works: &works::Works) -> Channel {
        self.serve_routes(works.api.routes(self.setup.routes()))
            .await
    }

    async fn serve_routes(&self, routes: Routes) -> Channel {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let routes = self.setup.guarded(routes);
        tokio::spawn(
            Server::builder()
                .add_routes(Routes::from(routes))
                // One connection and no end: a server whose listener ends says goodbye.
                .serve_with_incoming(
                    tokio_stream::once(Ok::<_, std::io::Error>(far)).chain(tokio_stream::pending()),
                ),
        );
        let mut near = Some(TokioIo::new(near));
        Endpoint::from_static("http://in-process.invalid")
            .connect_with_connector(tower::service_fn(move |_| {
                let gone = || std::io::Error::from(std::io::ErrorKind::NotConnected);
                std::future::ready(near.take().ok_or_else(gone))
            }))
            .await
            .unwrap()
    }
}

/// The services over one connection.
struct Client {
    projects: ProjectServiceClient<Channel>,
    variables: VariableServiceClient<Channel>,
    tokens: TokenServiceClient<Channel>,
    registries: RegistryServiceClient<Channel>,
}

impl Client {
    async fn of(world: &World) -> Client {
        let channel = world.serve().await;
        Client {
            projects: ProjectServiceClient::new(channel.clone()),
            variables: VariableServiceClient::new(channel.clone()),
            tokens: TokenServiceClient::new(channel.clone()),
            registries: RegistryServiceClient::new(channel),
        }
    }
}

/// A request with a token.
fn by<T>(secret: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let bearer = format!("Bearer {secret}").parse().unwrap();
    request.metadata_mut().insert("authorization", bearer);
    request
}

/// The stable word of a refusal.
fn word(status: &Status) -> &str {
    fleet_proto::refusal::word(status).unwrap_or_default()
}

/// A call as it is on the wire.
fn call(method: &str, secret: Option<&str>, message: &[u8]) -> axum::extract::Request {
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    let mut request = axum::http::Request::post(format!("https://fleet.example{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if let Some(secret) = secret {
        request = request.header("authorization", format!("Bearer {secret}"));
    }
    request.body(Body::from(frame)).unwrap()
}

/// How a call was answered: refusals have their status in the head.
fn answer(response: &axum::response::Response) -> Status {
    Status::from_header_map(response.headers()).unwrap_or_else(|| Status::ok(""))
}
