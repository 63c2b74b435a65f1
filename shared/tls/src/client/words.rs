//! Why there is no connection, for people.

use std::error::Error;
use std::io;
use std::time::{Duration, SystemTime};

use rustls::CertificateError as Wrong;
use rustls::{AlertDescription as Alert, Error as Tls};
use rustls_pki_types::UnixTime;

/// The server could not be reached.
pub(super) fn tcp(target: &str, error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    format!(
        "connect to {target}: {cause}; does the coordinator run there, and may this host reach it?"
    )
}

/// Reaching it took too long.
pub(super) fn too_slow(target: &str, limit: Duration) -> String {
    format!(
        "connect to {target}: no answer within {} s; is the address right, and no firewall between?",
        limit.as_secs()
    )
}

/// It speaks TLS, but no HTTP/2.
pub(super) fn no_http2(target: &str) -> String {
    format!(
        "connect to {target}: it does not speak HTTP/2, which gRPC needs; is it a coordinator, or \
         a proxy that does not pass HTTP/2 on?"
    )
}

/// The handshake failed.
pub(super) fn tls(target: &str, error: &io::Error) -> String {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Tls>());
    match inner {
        Some(Tls::InvalidCertificate(wrong)) => format!(
            "the certificate of {target} is refused: {}",
            certificate(wrong)
        ),
        Some(Tls::InvalidMessage(_)) => {
            format!("connect to {target}: what answers there does not speak TLS")
        }
        Some(Tls::AlertReceived(Alert::NoApplicationProtocol)) => no_http2(target),
        Some(Tls::AlertReceived(Alert::ProtocolVersion)) => {
            format!("connect to {target}: it does not speak TLS 1.3; is it a coordinator?")
        }
        _ if error.kind() == io::ErrorKind::UnexpectedEof => format!(
            "connect to {target}: it closed the connection during the TLS handshake; is it a \
             coordinator, and not overloaded?"
        ),
        _ => format!("connect to {target}: TLS handshake: {error}"),
    }
}

fn certificate(wrong: &Wrong) -> String {
    let now = jiff::Timestamp::try_from(SystemTime::now())
        .map(seconds)
        .unwrap_or_default();
    match wrong {
        Wrong::ExpiredContext { not_after, .. } => format!(
            "it expired at {}, and this host's clock says {now}. If the clock is right, the \
             coordinator's certificate must be renewed; otherwise set the clock",
            unix(*not_after)
        ),
        Wrong::NotValidYetContext { not_before, .. } => format!(
            "it is valid from {} on, and this host's clock says {now}: set the clock",
            unix(*not_before)
        ),
        Wrong::Expired | Wrong::NotValidYet => {
            format!("it is not valid now; this host's clock says {now}. Is that right?")
        }
        Wrong::UnknownIssuer | Wrong::BadSignature => {
            "no CA that is trusted here signed it; is it another fleet, or was its CA replaced?"
                .to_owned()
        }
        Wrong::NotValidForNameContext {
            expected,
            presented,
        } => {
            let names: Vec<_> = presented.iter().filter_map(|name| host(name)).collect();
            format!(
                "it is not for {}, but for {}; use one of its names, or add this one to the names \
                 in the coordinator's settings",
                expected.to_str(),
                if names.is_empty() {
                    "no host".to_owned()
                } else {
                    names.join(", ")
                }
            )
        }
        Wrong::InvalidPurpose | Wrong::InvalidPurposeContext { .. } => {
            "it is not for servers".to_owned()
        }
        Wrong::Other(other) => other.0.to_string(),
        other => format!("{other:?}"),
    }
}

/// `DnsName("x")` and `IpAddress(1.2.3.4)`, as webpki writes names, without the
/// dressing; others are none of a host.
fn host(presented: &str) -> Option<String> {
    let (kind, name) = presented.split_once('(')?;
    matches!(kind, "DnsName" | "IpAddress")
        .then(|| name.trim_end_matches(')').trim_matches('"').to_owned())
}

fn unix(time: UnixTime) -> String {
    i64::try_from(time.as_secs())
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map(seconds)
        .unwrap_or_default()
}

fn seconds(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
