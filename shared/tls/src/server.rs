//! Listeners.
//!
//! **Clients' certificates.** The agents' listener asks for one, and its handshake
//! takes any whose key the client has shown to have: another fleet's, an expired
//! one, or none. With TLS 1.3 a client learns only after its handshake that the
//! server refused it, and in one code without words; so what a certificate is
//! worth is for whoever serves the call to find out - with
//! [`Authority::check_agent`](crate::authority::Authority::check_agent) - and to
//! say. That is sound as long as every call but the one to join begins with that:
//! a connection by itself may do nothing.

mod certificate;
mod clients;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use rustls::server::{NoClientAuth, NoServerSessionStorage};
use rustls::version::{TLS12, TLS13};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::Stream;

use crate::provider::provider;

pub use certificate::{Certificate, Unusable};

/// A client has this long for its handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Handshakes under way; while there are as many, connections wait in the system's
/// queue.
const MOST_HANDSHAKES: usize = 256;
/// How long nothing is accepted after the system refused, for want of files mostly.
const REFUSED_PAUSE: Duration = Duration::from_secs(1);
/// Failed handshakes that are logged in a minute.
const MOST_SAID: u32 = 10;

/// An open connection. tonic gives its requests `peer_certs()` and
/// `remote_addr()`; others find both through `get_ref()`.
pub type Connection = TlsStream<TcpStream>;

/// Whom a listener is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// TLS 1.3, HTTP/2, and certificates of clients as said above.
    Agents,
    /// TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1, no certificates of clients.
    People,
}

/// Accepts connections and shakes hands, many at once. It never ends and never
/// fails: a client that fails is left out. As a [`Stream`] it is what tonic's
/// `serve_with_incoming` takes.
pub struct Listener {
    tcp: TcpListener,
    tls: TlsAcceptor,
    handshakes: JoinSet<Result<Connection, Failure>>,
    pause: Option<Pin<Box<Sleep>>>,
    log: Log,
}

impl Listener {
    /// Accepts on `tcp`; shows `certificate` as it is at that moment.
    ///
    /// # Panics
    /// Never: the provider knows TLS 1.2 and 1.3.
    #[must_use]
    pub fn new(tcp: TcpListener, certificate: Arc<Certificate>, audience: Audience) -> Listener {
        let builder = ServerConfig::builder_with_provider(provider());
        let (versions, clients, protocols): (&[_], Arc<_>, &[&[u8]]) = match audience {
            Audience::Agents => (&[&TLS13], clients::any_with_its_key(), &[b"h2"]),
            Audience::People => (
                &[&TLS13, &TLS12],
                Arc::new(NoClientAuth),
                &[b"h2", b"http/1.1"],
            ),
        };
        let mut config = builder
            .with_protocol_versions(versions)
            .expect("the provider has suites for both versions")
            .with_client_cert_verifier(clients)
            .with_cert_resolver(certificate);
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Listener {
            tcp,
            tls: TlsAcceptor::from(Arc::new(config)),
            handshakes: JoinSet::new(),
            pause: None,
            log: Log::default(),
        }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// The next connection whose handshake is done. Dropping the future loses none.
    pub async fn accept(&mut self) -> Connection {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Connection> {
        loop {
            self.begin_handshakes(cx);
            match self.handshakes.poll_join_next(cx) {
                Poll::Ready(Some(Ok(Ok(connection)))) => return Poll::Ready(connection),
                Poll::Ready(Some(Ok(Err(failure)))) => self.log.say(&failure),
                Poll::Ready(Some(Err(error))) => {
                    tracing::error!(%error, "a handshake ended by a fault of the program");
                }
                // Whatever comes next wakes: a connection, the end of the pause.
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn begin_handshakes(&mut self, cx: &mut Context<'_>) {
        if let Some(pause) = &mut self.pause {
            if pin!(pause).poll(cx).is_pending() {
                return;
            }
            self.pause = None;
        }
        while self.handshakes.len() < MOST_HANDSHAKES {
            match self.tcp.poll_accept(cx) {
                Poll::Ready(Ok((tcp, peer))) => {
                    self.handshakes.spawn(shake(self.tls.clone(), tcp, peer));
                }
                Poll::Ready(Err(error)) if of_one_connection(&error) => {}
                Poll::Ready(Err(error)) => {
                    tracing::error!(%error, "connections cannot be accepted; more open files may help");
                    let mut pause = Box::pin(tokio::time::sleep(REFUSED_PAUSE));
                    if pause.as_mut().poll(cx).is_pending() {
                        self.pause = Some(pause);
                        return;
                    }
                }
                Poll::Pending => return,
            }
        }
    }
}

impl Stream for Listener {
    type Item = io::Result<Connection>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut()
            .poll_accept(cx)
            .map(|connection| Some(Ok(connection)))
    }
}

struct Failure {
    peer: SocketAddr,
    why: String,
}

async fn shake(tls: TlsAcceptor, tcp: TcpStream, peer: SocketAddr) -> Result<Connection, Failure> {
    // Messages are small, and somebody waits for each.
    let _ = tcp.set_nodelay(true);
    match tokio::time::timeout(HANDSHAKE, tls.accept(tcp)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(Failure {
            peer,
            why: explain(&error),
        }),
        Err(_) => Err(Failure {
            peer,
            why: format!("it took longer than {} s", HANDSHAKE.as_secs()),
        }),
    }
}

fn explain(error: &io::Error) -> String {
    use rustls::AlertDescription as Alert;
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::AlertReceived(Alert::UnknownCA)) => {
            "the client trusts another CA than this coordinator's".to_owned()
        }
        Some(rustls::Error::AlertReceived(Alert::CertificateExpired)) => {
            "to the client this coordinator's certificate is not valid now; is its clock right?"
                .to_owned()
        }
        Some(rustls::Error::AlertReceived(Alert::BadCertificate | Alert::CertificateUnknown)) => {
            "the client refused this coordinator's certificate".to_owned()
        }
        Some(rustls::Error::InvalidMessage(_)) => "the client does not speak TLS".to_owned(),
        _ => error.to_string(),
    }
}

/// Whether accepting failed for the connection alone that was to be accepted.
fn of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// Anybody can make handshakes fail; the log is not theirs to fill.
#[derive(Default)]
struct Log {
    since: Option<Instant>,
    said: u32,
}

impl Log {
    fn say(&mut self, failure: &Failure) {
        if self
            .since
            .is_none_or(|since| since.elapsed() > Duration::from_secs(60))
        {
            self.since = Some(Instant::now());
            self.said = 0;
        }
        self.said = self.said.saturating_add(1);
        if self.said <= MOST_SAID {
            tracing::info!(peer = %failure.peer, why = %failure.why, "a TLS handshake failed");
        }
    }
}
