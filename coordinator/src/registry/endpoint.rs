//! `GET /jwt/auth`: from user and password to a token that a registry believes.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use serde_json::json;

use super::access::{self, Access, Client};
use super::{ISSUER, Registry, SERVICE, jws, scope};
use crate::api::caller::{Admitted, shortened};
use crate::audit::{Entry, Verdict};
use crate::login::{self, Credentials};

/// A job's tokens live so long: what a registry cannot know, that the job has ended,
/// matters no longer than this. No client asks for less.
const JOB_LIFE: Duration = Duration::from_secs(60);
/// All others'.
const LIFE: Duration = Duration::from_secs(300);
/// A registry's clock may be behind by so much.
const BACKDATED: u64 = 5;
/// Bytes of what is asked.
const LONGEST_QUERY: usize = 16 << 10;

/// The claims of a token.
#[derive(Serialize)]
struct Claims {
    iss: &'static str,
    sub: String,
    aud: &'static str,
    /// Seconds since 1970, as all times here.
    exp: u64,
    nbf: u64,
    iat: u64,
    jti: String,
    access: Vec<Access>,
}

pub(super) async fn answer(State(registry): State<Registry>, request: Request) -> Response {
    // What is in the body nobody reads.
    let (request, _) = request.into_parts();
    let from = request.extensions.get::<ConnectInfo<SocketAddr>>();
    let from = from.map(|ConnectInfo(address)| *address);
    let mut response = match registry.exchange(&request, from).await {
        Ok(response) | Err(response) => response,
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl Registry {
    /// The error is an answer too.
    async fn exchange(
        &self,
        request: &Parts,
        from: Option<SocketAddr>,
    ) -> Result<Response, Response> {
        if request.method != Method::GET {
            // As GitLab; clients that try OAuth2's POST first then ask with GET.
            return Err(refusal(
                StatusCode::NOT_FOUND,
                "UNSUPPORTED",
                "tokens are had with GET",
            ));
        }
        let invalid = |why: &str| refusal(StatusCode::BAD_REQUEST, "UNSUPPORTED", why);
        let query = request.uri.query().unwrap_or_default();
        if query.len() > LONGEST_QUERY {
            return Err(invalid("the query is too long"));
        }
        let asked: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect();
        let of = |wanted: &'static str| {
            let all = asked.iter().filter(move |(key, _)| key == wanted);
            all.map(|(_, value)| value.as_str())
        };
        if of("service").any(|service| service != SERVICE) {
            return Err(invalid(&format!(
                "tokens are for `service: {SERVICE}` alone: see fleetctl registry trust"
            )));
        }
        let scopes = scope::parse(of("scope")).map_err(|why| invalid(&why))?;
        let (client, expires_at) = match self.client(login::credentials(&request.headers)).await {
            Some(known) => known,
            None => {
                self.note(
                    "anonymous",
                    "registry",
                    "user or password do not count",
                    from,
                )
                .await;
                return Err(unauthorized());
            }
        };
        let catalog = &self.0.catalog;
        let mut all = Vec::with_capacity(scopes.len());
        for scope in scopes {
            let asked = scope.actions.join(",");
            let access = access::grant(catalog, &client, scope);
            if access.actions.is_empty() && !asked.is_empty() {
                let object = format!("{}:{}", access.kind, access.name);
                let reason = format!("{} is not allowed", shortened(&asked));
                self.note(&client.actor(), &shortened(&object), &reason, from)
                    .await;
            }
            all.push(access);
        }
        match self.token(&client, expires_at, all) {
            Ok(body) => Ok(respond(StatusCode::OK, &body)),
            Err(why) => {
                tracing::error!(why, "a registry's token cannot be signed");
                Err(refusal(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "UNKNOWN",
                    "no token can be made: the coordinator's log says why",
                ))
            }
        }
    }

    /// Who shows this, and when that ends in seconds since 1970; none: it does not
    /// count.
    async fn client(&self, given: Option<Credentials>) -> Option<(Client, u64)> {
        let Credentials { user, token } = given?;
        let user = user?;
        if user == login::JOB {
            let owner = self.0.core.job_token(&token).await?;
            return Some((Client::Job(owner), u64::MAX));
        }
        let catalog = &self.0.catalog;
        if let Some(deployer) = catalog.authenticate_deployer(&user, &token) {
            let expires_at = deployer.expires_at / 1000;
            return Some((Client::Deployer(deployer), expires_at));
        }
        let person = catalog.authenticate(&token)?;
        let expires_at = catalog.token(&person.token)?.expires_at / 1000;
        Some((Client::Person(person), expires_at))
    }

    /// The answer with a token; why there can be none, otherwise.
    fn token(
        &self,
        client: &Client,
        expires_at: u64,
        access: Vec<Access>,
    ) -> Result<serde_json::Value, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_secs();
        let life = match client {
            Client::Job(_) => JOB_LIFE,
            Client::Person(_) | Client::Deployer(_) => LIFE,
        };
        let exp = expires_at.min(now + life.as_secs());
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|error| error.to_string())?;
        let claims = Claims {
            iss: ISSUER,
            sub: client.user(),
            aud: SERVICE,
            exp,
            nbf: now.saturating_sub(BACKDATED),
            iat: now,
            jti: format!("{:032x}", u128::from_be_bytes(id)),
            access,
        };
        let token = jws::compact(&self.0.key, &claims).map_err(|error| error.to_string())?;
        let issued_at = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
        Ok(json!({
            "token": token,
            "access_token": token,
            "expires_in": exp.saturating_sub(now),
            "issued_at": issued_at.to_string(),
        }))
    }

    /// Notes a refusal in the audit log, unless somebody is refused very often.
    async fn note(&self, actor: &str, object: &str, reason: &str, from: Option<SocketAddr>) {
        let key = match from {
            Some(from) => format!("{actor} {}", from.ip()),
            None => actor.to_owned(),
        };
        let Admitted::Noted { left_out } = self.0.denials.admit(&key, Instant::now()) else {
            return;
        };
        let mut reason = reason.to_owned();
        if left_out > 0 {
            reason.push_str(&format!("; {left_out} more before it"));
        }
        let (actor, object) = (actor.to_owned(), object.to_owned());
        let audit = self.0.audit.clone();
        let write = move || {
            audit.log(Entry {
                actor: &actor,
                action: "registry.token",
                object: &object,
                verdict: Verdict::Denied,
                reason: &reason,
                from,
            })
        };
        // It is refused whether that could be written down or not.
        if let Ok(Err(error)) = tokio::task::spawn_blocking(write).await {
            tracing::error!(%error, "a refusal cannot be written to the audit log");
        }
    }
}

impl Client {
    /// As registries log it.
    fn user(&self) -> String {
        match self {
            Client::Job(job) => format!("{}/{}", login::JOB, job.job),
            Client::Person(person) => person.user.clone(),
            Client::Deployer(deployer) => deployer.user.clone(),
        }
    }

    /// As the audit log names it.
    fn actor(&self) -> String {
        match self {
            Client::Job(job) => format!("job:{}", job.job),
            Client::Person(person) => format!("user:{}", person.user),
            Client::Deployer(deployer) => format!("deploy-token:{}", deployer.user),
        }
    }
}

fn unauthorized() -> Response {
    // GitLab's words come first: people search for them.
    let mut response = refusal(
        StatusCode::UNAUTHORIZED,
        "UNAUTHORIZED",
        "HTTP Basic: Access denied. It takes a user and a token that counts: of a job while it \
         runs, a deploy token under its own user, or a person's under any user",
    );
    let basic = HeaderValue::from_static("Basic realm=\"Fleet\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, basic);
    response
}

/// An answer as registries and their clients read it.
fn refusal(status: StatusCode, code: &str, message: &str) -> Response {
    let body = json!({ "errors": [{ "code": code, "message": message }] });
    respond(status, &body)
}

fn respond(status: StatusCode, body: &serde_json::Value) -> Response {
    let kind = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
    (status, [kind], body.to_string()).into_response()
}
