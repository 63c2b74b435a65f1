//! The people's listener: gRPC, git and what a browser asks, over one port.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::ConnectInfo;
use fleet_tls::server::Listener;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::server::TcpConnectInfo;
use tower::ServiceExt as _;

/// Streams of one HTTP/2 connection at once.
const STREAMS: u32 = 100;
/// Between two looks at whether a silent client is still there.
const KEEP_ALIVE: std::time::Duration = std::time::Duration::from_secs(20);
/// A client has this long to send the head of a request.
const HEAD: std::time::Duration = std::time::Duration::from_secs(30);

/// Where people come in.
pub(super) enum Entrance {
    /// With TLS.
    Tls(Listener),
    /// Without: behind an ingress that ends it.
    Plain(TcpListener),
}

/// Serves connections until `stop`; those that are open then end with their
/// requests.
pub(super) async fn serve(
    mut entrance: Entrance,
    router: Router,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        match &mut entrance {
            Entrance::Tls(listener) => {
                let connection = tokio::select! {
                    connection = listener.accept() => connection,
                    () = stop.cancelled() => return,
                };
                let peer = connection.get_ref().0.peer_addr().ok();
                let served = connection_of(connection, peer, router.clone(), stop.clone());
                tasks.spawn(served);
            }
            Entrance::Plain(listener) => {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    () = stop.cancelled() => return,
                };
                match accepted {
                    Ok((connection, peer)) => {
                        let served =
                            connection_of(connection, Some(peer), router.clone(), stop.clone());
                        tasks.spawn(served);
                    }
                    Err(error) => {
                        // Mostly for want of open files, which only time mends.
                        tracing::error!(%error, "a connection cannot be accepted");
                        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    }
                }
            }
        }
    }
}

async fn connection_of(
    connection: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Option<SocketAddr>,
    router: Router,
    stop: CancellationToken,
) {
    let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        if let Some(peer) = peer {
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        // What tonic gives as a request's remote address.
        request.extensions_mut().insert(TcpConnectInfo {
            local_addr: None,
            remote_addr: peer,
        });
        router.clone().oneshot(request.map(axum::body::Body::new))
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .keep_alive_interval(KEEP_ALIVE);
    let serving = builder.serve_connection(TokioIo::new(connection), service);
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}
