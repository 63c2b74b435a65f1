//! The health listener: whether the process lives and serves.
//! Both ask nothing outside of it.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::core::Handle;
use crate::store::Journal;

/// The owner of the state answers within this, or something is wrong.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

#[derive(Clone)]
struct Parts {
    core: Handle,
    journal: Journal,
}

/// Serves `/livez` and `/readyz` until `stop`.
pub(super) async fn serve(
    listener: TcpListener,
    core: Handle,
    journal: Journal,
    stop: CancellationToken,
) {
    let router = Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .with_state(Parts { core, journal });
    let served = axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "the health listener ended");
    }
}

/// Whether the owner of the state answers; restarting helps if not.
async fn live(State(parts): State<Parts>) -> (StatusCode, String) {
    match tokio::time::timeout(ANSWERS_WITHIN, parts.core.pulse()).await {
        Ok(true) => (StatusCode::OK, "ok\n".to_owned()),
        _ => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the owner of the state does not answer\n".to_owned(),
        ),
    }
}

/// The same, and in words whether new work is taken in.
async fn ready(State(state): State<Parts>) -> (StatusCode, String) {
    let (status, text) = live(State(state.clone())).await;
    match state.journal.accepts_work() {
        // Not a reason to send agents and people away: jobs run on, and what is
        // new is refused in words.
        Err(full) if status == StatusCode::OK => (status, format!("ok, but: {full}\n")),
        _ => (status, text),
    }
}
