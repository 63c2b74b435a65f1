//! Connections to a coordinator.

mod connect;
mod verify;
mod words;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::client::danger::ServerCertVerifier;
use rustls::version::{TLS12, TLS13};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{PrivateKeyDer, ServerName};
use tonic::transport::{Channel, Endpoint, Uri};

use crate::certificate::{self, certificates};
use crate::pin::Pin;
use crate::provider::provider;
use connect::Connector;
use verify::{Anchors, PinnedRoot};

/// Name look-up, connection and handshake have this long together.
const CONNECT: Duration = Duration::from_secs(10);
/// A connection is asked for a sign of life after this much silence ...
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// ... and is dead without an answer for this long.
const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(10);

/// Whose certificates count.
#[derive(Clone, Debug)]
pub enum Trust {
    /// A fleet's: those of coordinators that the certificates of this PEM text
    /// signed, and no others.
    Bundle(String),
    /// Those that this system trusts, a coordinator's or not: a proxy may stand
    /// before it.
    System,
}

/// What a client shows of itself.
#[derive(Clone)]
pub struct Identity {
    /// PEM: its certificate, and the intermediates up to its root.
    pub chain: String,
    /// PEM: its private key.
    pub key: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Identity").finish_non_exhaustive()
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is not one of a coordinator.
    #[error("{0} is no https URL of a host (`https://HOST:PORT`)")]
    Url(String),
    /// What is trusted cannot be read.
    #[error("read the CA certificates: {0}")]
    Bundle(String),
    /// The client's own certificate or key cannot be read.
    #[error("read this host's certificate and key: {0}")]
    Identity(String),
    /// The server cannot be reached, or is not to be trusted; in words.
    #[error("{0}")]
    NotConnected(String),
}

/// A channel to `url` (`https://host:port`) that connects when it is first used,
/// and again whenever the connection broke. HTTP/2 keep-alive finds dead
/// connections within 30 seconds. TLS 1.3 alone; under [`Trust::System`] 1.2 too.
///
/// A call over a connection that cannot be made fails with `Unavailable`, and the
/// status' message says in words why.
///
/// Must be called inside a tokio runtime.
///
/// # Errors
/// The URL, the bundle or the identity cannot be used.
pub fn channel(url: &str, trust: &Trust, identity: Option<&Identity>) -> Result<Channel, Error> {
    let target = Target::parse(url)?;
    let anchors = match trust {
        Trust::Bundle(bundle) => Anchors::bundle(bundle),
        Trust::System => Anchors::system(),
    };
    let verifier = Arc::new(anchors.map_err(Error::Bundle)?);
    let old = matches!(trust, Trust::System);
    let versions: &[_] = if old { &[&TLS13, &TLS12] } else { &[&TLS13] };
    let config = config(versions, verifier, identity)?;
    let endpoint = target.endpoint(url)?;
    let connector = Connector::new(target, config);
    Ok(endpoint.connect_with_connector_lazy(connector.service()))
}

/// The root certificate (PEM) that the server at `url` shows and `pin` names. It
/// signed the server's certificate, which is a coordinator's and of that host.
/// Nothing is sent to the server.
///
/// # Errors
/// It cannot be reached, or shows another root.
pub async fn fetch_root(url: &str, pin: &Pin) -> Result<String, Error> {
    let target = Target::parse(url)?;
    let verifier = Arc::new(PinnedRoot::new(pin.clone()));
    let config = config(&[&TLS13], Arc::clone(&verifier) as Arc<_>, None)?;
    let connected = Connector::new(target, config).connect().await;
    connected.map_err(|error| Error::NotConnected(error.to_string()))?;
    let root = verifier.found().ok_or_else(|| {
        Error::NotConnected(format!("{url} shows no certificate with the pin {pin}"))
    })?;
    Ok(certificate::pem(&root))
}

fn config(
    versions: &[&'static rustls::SupportedProtocolVersion],
    verifier: Arc<dyn ServerCertVerifier>,
    identity: Option<&Identity>,
) -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .expect("the provider has suites for both versions")
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match identity {
        Some(identity) => {
            let wrong = |error: &dyn std::fmt::Display| Error::Identity(error.to_string());
            let chain = certificates(&identity.chain).map_err(|error| wrong(&error))?;
            let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())
                .map_err(|error| wrong(&error))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| wrong(&error))?
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// A server's address.
#[derive(Clone, Debug)]
struct Target {
    /// As in the URL, without the brackets of an IPv6 address.
    host: String,
    port: u16,
    name: ServerName<'static>,
}

impl Target {
    fn parse(url: &str) -> Result<Target, Error> {
        let wrong = || Error::Url(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let host = uri.host().ok_or_else(wrong)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let plain = uri
            .authority()
            .is_some_and(|all| !all.as_str().contains('@'))
            && uri.path_and_query().is_none_or(|path| path.as_str() == "/");
        if uri.scheme_str() != Some("https") || !plain {
            return Err(wrong());
        }
        Ok(Target {
            host: host.to_owned(),
            port: uri.port_u16().unwrap_or(443),
            name: ServerName::try_from(host.to_owned()).map_err(|_| wrong())?,
        })
    }

    /// `host:port`, as it stands in URLs.
    fn authority(&self) -> String {
        match self.host.parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => format!("[{address}]:{}", self.port),
            _ => format!("{}:{}", self.host, self.port),
        }
    }

    /// tonic refuses https where it does not make the TLS itself: it connects to
    /// `http`, and its requests say `https`.
    fn endpoint(&self, url: &str) -> Result<Endpoint, Error> {
        let wrong = |_| Error::Url(url.to_owned());
        let authority = self.authority();
        let origin: Uri = format!("https://{authority}")
            .parse()
            .map_err(|_| Error::Url(url.to_owned()))?;
        Ok(Endpoint::from_shared(format!("http://{authority}"))
            .map_err(wrong)?
            .origin(origin)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_ANSWER)
            .keep_alive_while_idle(true))
    }
}

#[cfg(test)]
mod tests;
