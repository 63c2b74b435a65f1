//! Making one connection.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::Uri;
use tower::{Service, ServiceExt as _, service_fn};

use super::{CONNECT, Target, words};

/// TCP has this long for all addresses of a name together; the handshake has what
/// is left of [`CONNECT`].
const TCP: Duration = Duration::from_secs(7);
/// What was sent and not acknowledged for so long ends the connection.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// A connection could not be made; in words, for whoever asked for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct NotConnected(pub(super) String);

/// Connects to one server, as often as asked.
#[derive(Clone)]
pub(super) struct Connector {
    target: Arc<Target>,
    http: HttpConnector,
    tls: TlsConnector,
}

impl Connector {
    pub(super) fn new(target: Target, config: ClientConfig) -> Connector {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(TCP));
        http.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
        Connector {
            target: Arc::new(target),
            http,
            tls: TlsConnector::from(Arc::new(config)),
        }
    }

    /// This as tonic wants it.
    pub(super) fn service(
        self,
    ) -> impl Service<
        Uri,
        Response = TokioIo<TlsStream<TcpStream>>,
        Error = NotConnected,
        Future: Send,
    > + Send
    + 'static {
        service_fn(move |_| {
            let connector = self.clone();
            async move { connector.connect().await.map(TokioIo::new) }
        })
    }

    /// Connects, shakes hands and checks that the server speaks HTTP/2.
    pub(super) async fn connect(self) -> Result<TlsStream<TcpStream>, NotConnected> {
        let target = self.target.authority();
        tokio::time::timeout(CONNECT, self.connect_unbounded())
            .await
            .unwrap_or_else(|_| Err(NotConnected(words::too_slow(&target, CONNECT))))
    }

    async fn connect_unbounded(self) -> Result<TlsStream<TcpStream>, NotConnected> {
        let target = self.target.authority();
        let uri = Uri::try_from(format!("http://{target}"))
            .map_err(|error| NotConnected(error.to_string()))?;
        let tcp = self
            .http
            .oneshot(uri)
            .await
            .map_err(|error| NotConnected(words::tcp(&target, &error)))?;
        let tls = self
            .tls
            .connect(self.target.name.clone(), tcp.into_inner())
            .await
            .map_err(|error| NotConnected(words::tls(&target, &error)))?;
        match tls.get_ref().1.alpn_protocol() {
            Some(b"h2") => Ok(tls),
            _ => Err(NotConnected(words::no_http2(&target))),
        }
    }
}
