//! What stands before all services.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::Response;
use tonic::{Code, Status};

use super::denials::{Admitted, Denials};
use super::record::{Line, actor};
use super::{Caller, Denial, Finding, shortened};
use crate::api::error;
use crate::api::policy::{self, Row};
use crate::audit::{Audit, Verdict};
use crate::catalog::{Catalog, Principal};

/// What the guard needs; cheap to clone.
#[derive(Clone)]
pub(in crate::api) struct Gate {
    pub(super) catalog: Catalog,
    pub(super) audit: Audit,
    denials: Arc<Denials>,
}

impl Gate {
    pub(in crate::api) fn new(catalog: Catalog, audit: Audit) -> Gate {
        Gate {
            catalog,
            audit,
            denials: Arc::default(),
        }
    }

    /// Who calls.
    fn authenticate(&self, headers: &HeaderMap) -> Result<Principal, Status> {
        let mut all = headers.get_all(AUTHORIZATION).iter();
        let given = match (all.next(), all.next()) {
            (Some(given), None) => given,
            (None, _) => {
                return Err(error::unauthenticated(
                    "no_token",
                    "this call takes a token: send `authorization: Bearer glpat-...` (fleetctl \
                     sends that of its context: fleetctl context add NAME --server URL \
                     --token-file F)",
                ));
            }
            (Some(_), Some(_)) => {
                return Err(error::unauthenticated(
                    "several_tokens",
                    "a call takes one token, and several were sent",
                ));
            }
        };
        let secret = given.to_str().ok().and_then(|text| {
            let (scheme, secret) = text.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim())
        });
        let Some(secret) = secret else {
            return Err(error::unauthenticated(
                "no_token",
                "`authorization` is to be `Bearer glpat-...`",
            ));
        };
        self.catalog.authenticate(secret).ok_or_else(|| {
            error::unauthenticated(
                "bad_token",
                "the token is unknown, mistyped, expired or revoked: ask for a new one (fleetctl \
                 token create)",
            )
        })
    }

    /// Notes a refusal in the audit log, unless that actor was refused very often
    /// in the last minute: then they are only counted.
    async fn note(&self, denial: Denial, actor: String, from: Option<SocketAddr>) {
        let key = match from {
            Some(from) => format!("{actor} {}", from.ip()),
            None => actor.clone(),
        };
        let Admitted::Noted { left_out } = self.denials.admit(&key, Instant::now()) else {
            return;
        };
        let mut reason = denial.reason;
        if left_out > 0 {
            reason.push_str(&format!("; {left_out} more before it"));
        }
        let line = Line {
            actor,
            action: denial.action,
            object: denial.object,
            verdict: Verdict::Denied,
            reason,
            from,
        };
        if let Err(error) = line.write(&self.audit).await {
            tracing::error!(%error, "a refusal cannot be written to the audit log");
        }
    }
}

/// Lets those calls through that may be made at all, and holds an answer back that
/// nobody looked at who may have.
pub(in crate::api) async fn guard(
    State(gate): State<Gate>,
    mut request: Request,
    next: Next,
) -> Response {
    let from = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map(|info| info.0);
    let row = policy::row(request.uri().path());
    let denial = |reason: &str, request: &Request| Denial {
        action: row.map_or("unknown call", Row::name),
        object: shortened(request.uri().path()),
        reason: reason.to_owned(),
    };
    let principal = match gate.authenticate(request.headers()) {
        Ok(principal) => principal,
        Err(status) => {
            let denial = denial(status.message(), &request);
            gate.note(denial, "anonymous".to_owned(), from).await;
            return status.into_http();
        }
    };
    let actor = actor(&principal);
    let Some(row) = row else {
        let denial = denial("no row in the table of calls", &request);
        gate.note(denial, actor, from).await;
        return error::denied("no_such_call", "nobody may call this").into_http();
    };
    let caller = Caller {
        principal: Arc::new(principal),
        row,
        from,
        finding: Arc::default(),
        gate,
    };
    let response = match caller.may_at_all() {
        Ok(()) => {
            request.extensions_mut().insert(caller.clone());
            next.run(request).await
        }
        Err(status) => status.into_http(),
    };
    let finding = std::mem::take(&mut *caller.finding());
    match finding {
        Finding::Denied(denial) => {
            caller.gate.note(denial, actor, from).await;
            response
        }
        Finding::Open if row.object.is_named() && is_ok(&response) => {
            tracing::error!(
                method = row.method,
                "a call was answered without a look at who may; the answer was not sent"
            );
            error::internal("nobody looked whether you may do this").into_http()
        }
        Finding::Open | Finding::Allowed => response,
    }
}

/// Whether an answer begins; refusals have their status in the head.
fn is_ok(response: &Response) -> bool {
    Status::from_header_map(response.headers()).is_none_or(|status| status.code() == Code::Ok)
}
