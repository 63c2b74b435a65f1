//! Real TLS over loopback.

use std::time::SystemTime;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tower::{Service as _, ServiceExt as _};

use super::*;
use crate::authority::{Authority, Issued, Parts, Validity};
use crate::request::{Key, Request};
use crate::server::{Audience, Certificate, Listener};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn authority() -> Authority {
    Authority::load(&Parts::create("4f", SystemTime::now()).unwrap()).unwrap()
}

fn coordinator(authority: &Authority, names: &[&str], now: SystemTime) -> Issued {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    authority
        .issue_coordinator("c1", &names, now, HOUR)
        .unwrap()
}

/// An agent's certificate and key, as a server's.
fn agent(authority: &Authority) -> Issued {
    let key = Key::generate().unwrap();
    let request = Request::from_der(&key.request().unwrap()).unwrap();
    let now = SystemTime::now();
    let validity = Validity {
        from: now - HOUR,
        until: now + HOUR,
    };
    Issued {
        chain: authority.issue_agent("b3", &request, validity).unwrap(),
        key: key.pem(),
    }
}

struct Server {
    url: String,
    certificate: Arc<Certificate>,
    /// Ends with all the bytes that the first client sent.
    heard: JoinHandle<Vec<u8>>,
}

async fn serve(issued: &Issued, audience: Audience) -> Server {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", tcp.local_addr().unwrap().port());
    let certificate = Certificate::new(issued).unwrap();
    let mut listener = Listener::new(tcp, Arc::clone(&certificate), audience);
    let heard = tokio::spawn(async move {
        let mut connection = listener.accept().await;
        let mut heard = Vec::new();
        let _ = connection.read_to_end(&mut heard).await;
        heard
    });
    Server {
        url,
        certificate,
        heard,
    }
}

/// What a call over a channel fails with.
async fn refused(url: &str, trust: &Trust) -> String {
    let mut channel = channel(url, trust, None).unwrap();
    let request = tonic::codegen::http::Request::new(tonic::body::Body::empty());
    let error = match channel.ready().await {
        Ok(channel) => channel.call(request).await.unwrap_err(),
        Err(error) => error,
    };
    let status = tonic::Status::from_error(Box::new(error));
    assert_eq!(status.code(), tonic::Code::Unavailable);
    status.message().to_owned()
}

async fn connects(url: &str, trust: &Trust) {
    let Trust::Bundle(bundle) = trust else {
        panic!("tests trust bundles");
    };
    let verifier = Arc::new(Anchors::bundle(bundle).unwrap());
    let config = config(&[&TLS13], verifier, None).unwrap();
    let target = Target::parse(url).unwrap();
    let mut connection = Connector::new(target, config).connect().await.unwrap();
    connection.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_coordinator_is_trusted_under_any_of_its_names() {
    let authority = authority();
    let trust = Trust::Bundle(authority.bundle().to_owned());
    for audience in [Audience::Agents, Audience::People] {
        let names = ["localhost", "127.0.0.1"];
        let issued = coordinator(&authority, &names, SystemTime::now());
        for host in names {
            let server = serve(&issued, audience).await;
            let url = server.url.replace("localhost", host);
            connects(&url, &trust).await;
            assert_eq!(server.heard.await.unwrap(), b"");
        }
    }
}

#[tokio::test]
async fn a_certificate_is_replaced_while_the_server_listens() {
    let (old, new) = (authority(), authority());
    let server = serve(
        &coordinator(&old, &["localhost"], SystemTime::now()),
        Audience::Agents,
    )
    .await;
    let trust = Trust::Bundle(new.bundle().to_owned());
    assert!(
        refused(&server.url, &trust)
            .await
            .contains("no CA that is trusted")
    );
    server
        .certificate
        .replace(&coordinator(&new, &["localhost"], SystemTime::now()))
        .unwrap();
    connects(&server.url, &trust).await;
}

#[tokio::test]
async fn refusals_of_a_server_say_why() {
    let (ours, theirs) = (authority(), authority());
    let now = SystemTime::now();
    let cases = [
        (
            coordinator(&theirs, &["localhost"], now),
            "no CA that is trusted here signed it",
        ),
        (
            coordinator(&ours, &["ci.example", "10.0.0.7"], now),
            "not for localhost, but for ci.example, 10.0.0.7",
        ),
        (coordinator(&ours, &[], now), "but for no host"),
        (
            coordinator(&ours, &["localhost"], now - DAY),
            "it expired at",
        ),
        (
            coordinator(&ours, &["localhost"], now + 25 * HOUR),
            "set the clock",
        ),
        (agent(&ours), "certificate of the agent b3"),
        (agent(&theirs), "certificate of the agent b3"),
    ];
    let trust = Trust::Bundle(ours.bundle().to_owned());
    for (issued, words) in cases {
        let server = serve(&issued, Audience::Agents).await;
        let said = refused(&server.url, &trust).await;
        assert!(said.contains(words), "{said:?} lacks {words:?}");
        assert!(said.contains("localhost:"), "{said}");
        server.heard.abort();
    }
}

#[tokio::test]
async fn the_agents_intermediate_can_sign_nothing_that_passes_for_a_coordinator() {
    let parts = Parts::create("4f", SystemTime::now()).unwrap();
    let key = rcgen::KeyPair::from_pem(&parts.agents_key).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(&parts.agents, key).unwrap();
    let leaf_key = rcgen::KeyPair::generate().unwrap();
    let mut leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let uri = certificate::uri("4f", certificate::Role::Coordinator, "c1");
    leaf.subject_alt_names
        .push(rcgen::SanType::URI(uri.try_into().unwrap()));
    let leaf = leaf.signed_by(&leaf_key, &issuer).unwrap();
    let issued = Issued {
        chain: leaf.pem() + &parts.agents + &parts.root,
        key: leaf_key.serialize_pem(),
    };
    let server = serve(&issued, Audience::Agents).await;
    let said = refused(&server.url, &Trust::Bundle(parts.root)).await;
    assert!(said.contains("is refused"), "{said}");
    server.heard.abort();
}

#[tokio::test]
async fn a_server_of_the_operators_ca_is_no_coordinator_by_that_alone() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::default();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = ca.self_signed(&key).unwrap();
    let issuer = rcgen::Issuer::new(ca, key);
    let leaf_key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .signed_by(&leaf_key, &issuer)
        .unwrap();
    let issued = Issued {
        chain: leaf.pem(),
        key: leaf_key.serialize_pem(),
    };
    let server = serve(&issued, Audience::People).await;
    let said = refused(&server.url, &Trust::Bundle(root.pem())).await;
    assert!(said.contains("no certificate of a coordinator"), "{said}");
    server.heard.abort();
}

#[tokio::test]
async fn the_root_is_fetched_by_its_pin_and_nothing_is_sent() {
    let authority = authority();
    let issued = coordinator(&authority, &["localhost"], SystemTime::now());
    let server = serve(&issued, Audience::Agents).await;
    let root = fetch_root(&server.url, &authority.pin()).await.unwrap();
    assert_eq!(
        certificates(&root).unwrap(),
        certificates(authority.bundle()).unwrap()
    );
    assert_eq!(server.heard.await.unwrap(), b"");
}

#[tokio::test]
async fn another_pin_is_refused_before_anything_is_sent() {
    let (authority, stranger) = (authority(), authority());
    let issued = coordinator(&authority, &["localhost"], SystemTime::now());
    let server = serve(&issued, Audience::Agents).await;
    let other = stranger.pin();
    let said = fetch_root(&server.url, &other)
        .await
        .unwrap_err()
        .to_string();
    assert!(said.contains(&other.to_string()), "{said}");
    assert!(said.contains(&authority.pin().to_string()), "{said}");
    server.heard.abort();
    // The pin of the server's own key is the pin of no root.
    let server = serve(&issued, Audience::Agents).await;
    let own = Pin::of_certificate(&certificates(&issued.chain).unwrap()[0]).unwrap();
    assert!(fetch_root(&server.url, &own).await.is_err());
    server.heard.abort();
}

#[tokio::test]
async fn what_is_no_coordinator_is_named() {
    let trust = Trust::Bundle(authority().bundle().to_owned());
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://127.0.0.1:{}", tcp.local_addr().unwrap().port());
    let plain = tokio::spawn(async move {
        let (mut connection, _) = tcp.accept().await.unwrap();
        let _ = connection
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await;
        let _ = connection.read_to_end(&mut Vec::new()).await;
    });
    let said = refused(&url, &trust).await;
    assert!(said.contains("does not speak TLS"), "{said}");
    plain.await.unwrap();
    let said = refused(&url, &trust).await;
    assert!(
        said.contains("refused") && said.contains("does the coordinator run"),
        "{said}"
    );
    let said = refused("https://no-such-host.invalid:1", &trust).await;
    assert!(said.contains("no-such-host.invalid:1"), "{said}");
}

#[tokio::test]
async fn a_silent_client_does_not_hold_others_up() {
    let authority = authority();
    let issued = coordinator(&authority, &["localhost"], SystemTime::now());
    let server = serve(&issued, Audience::Agents).await;
    let port = server
        .url
        .rsplit_once(':')
        .unwrap()
        .1
        .parse::<u16>()
        .unwrap();
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(
            tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .unwrap(),
        );
    }
    connects(&server.url, &Trust::Bundle(authority.bundle().to_owned())).await;
    assert_eq!(server.heard.await.unwrap(), b"");
}

#[test]
fn only_https_urls_of_a_host_are_taken() {
    let target = |url| Target::parse(url).map(|target| target.authority());
    assert_eq!(
        target("https://ci.example:7443").unwrap(),
        "ci.example:7443"
    );
    assert_eq!(target("https://ci.example/").unwrap(), "ci.example:443");
    assert_eq!(target("https://[::1]:7443").unwrap(), "[::1]:7443");
    for url in [
        "",
        "ci.example:7443",
        "http://ci.example",
        "https://",
        "https://user:secret@ci.example",
        "https://ci.example/path",
        "https://bad host",
    ] {
        assert!(matches!(target(url), Err(Error::Url(_))), "{url}");
    }
}
