//! From gRPC's answers to words, the next step and an exit code.

use std::error::Error as _;
use std::io;

use tonic::{Code, Status};

use crate::view::clean;
use crate::{Exit, Failure};

/// Whether nobody was there to answer: the connection broke, or was never made.
pub(super) fn is_absence(status: &Status) -> bool {
    // What this side made of a broken connection has a cause; what came over it has none.
    status.code() == Code::Unavailable || status.source().is_some()
}

/// What people are told of a call that `server` refused, or that did not reach it.
pub(super) fn failure(status: &Status, server: &str, context: Option<&str>) -> Failure {
    let said = clean(status.message());
    if status.source().is_some() {
        return unreachable(status, server, context);
    }
    let (exit, next) = match status.code() {
        Code::NotFound => (Exit::NotFound, None),
        Code::Unavailable => (
            Exit::Unreachable,
            Some("again in a while: the coordinator is there, and cannot answer now".to_owned()),
        ),
        Code::PermissionDenied => (
            Exit::Denied,
            Some("ask whoever maintains it, or use a context with another token: fleetctl context list".to_owned()),
        ),
        Code::Unauthenticated => (
            Exit::Denied,
            Some(match context {
                Some(name) => format!(
                    "get a new token and run fleetctl context add {name} --server {server} --token-file FILE"
                ),
                None => "set FLEET_TOKEN to a token that counts".to_owned(),
            }),
        ),
        Code::InvalidArgument | Code::OutOfRange => (Exit::Usage, None),
        Code::DeadlineExceeded => (Exit::TimedOut, None),
        Code::ResourceExhausted => (Exit::Failed, Some("again in a while, or fleetctl status".to_owned())),
        Code::Unimplemented => (
            Exit::Failed,
            Some("upgrade the coordinator or fleetctl: their versions differ (fleetctl version, fleetctl status)".to_owned()),
        ),
        Code::Internal | Code::Unknown | Code::DataLoss => (
            Exit::Failed,
            Some("look into the coordinator's own log".to_owned()),
        ),
        _ => (Exit::Failed, None),
    };
    let said = if said.is_empty() {
        status.code().description().to_lowercase()
    } else {
        said
    };
    // Who refused may know better what helps.
    match next.filter(|_| !said.contains("Try: ")) {
        Some(next) => Failure::new(exit, format!("{said}. Try: {next}")),
        None => Failure::new(exit, said),
    }
}

/// What made the connection says in words why there is none; of one that broke the
/// deepest cause is told.
fn unreachable(status: &Status, server: &str, context: Option<&str>) -> Failure {
    let said = if status.code() == Code::Unavailable {
        clean(status.message())
    } else {
        format!("the connection to {server} broke: {}", cause(status))
    };
    match context.filter(|_| said.contains("certificate")) {
        Some(name) => Failure::new(
            Exit::Unreachable,
            format!(
                "{said} Try: fleetctl context add {name} --server {server} --token-file FILE --ca-pin PIN"
            ),
        ),
        None => Failure::new(Exit::Unreachable, said),
    }
}

/// What lies deepest.
fn cause(status: &Status) -> String {
    let mut cause = clean(status.message());
    let mut source = status.source();
    while let Some(error) = source {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if kind == Some(io::ErrorKind::UnexpectedEof) {
            return "it was closed at the other end".to_owned();
        }
        cause = clean(&error.to_string());
        source = error.source();
    }
    cause
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: &Status) -> (u8, String) {
        let failure = failure(status, "https://fleet:8443", Some("work"));
        (failure.exit().code(), failure.to_string())
    }

    #[test]
    fn every_refusal_has_its_exit_code() {
        for (code, exit) in [
            (Code::NotFound, 4),
            (Code::PermissionDenied, 5),
            (Code::Unauthenticated, 5),
            (Code::Unavailable, 6),
            (Code::DeadlineExceeded, 7),
            (Code::InvalidArgument, 2),
            (Code::OutOfRange, 2),
            (Code::AlreadyExists, 1),
            (Code::FailedPrecondition, 1),
            (Code::ResourceExhausted, 1),
            (Code::Aborted, 1),
            (Code::Internal, 1),
            (Code::Unimplemented, 1),
            (Code::Unknown, 1),
        ] {
            assert_eq!(told(&Status::new(code, "it is so")).0, exit, "{code:?}");
        }
    }

    #[test]
    fn refusal_is_told_in_the_servers_words_with_the_next_step() {
        assert_eq!(
            told(&Status::not_found("there is no job 812")).1,
            "there is no job 812"
        );
        let (_, text) = told(&Status::unauthenticated("the token has expired"));
        assert_eq!(
            text,
            "the token has expired. Try: get a new token and run fleetctl context add work --server https://fleet:8443 --token-file FILE"
        );
        let (_, text) = told(&Status::permission_denied("no. Try: something else"));
        assert_eq!(text, "no. Try: something else");
        assert!(!told(&Status::internal("")).1.is_empty());
    }

    #[test]
    fn servers_words_steer_no_terminal() {
        let (_, text) = told(&Status::not_found("\x1b]0;title\x07gone\x1b[2J\nand more"));
        assert_eq!(text, "gone and more");
    }

    #[tokio::test]
    async fn server_that_is_not_there_is_told_in_words() {
        // Nothing listens on the port any more.
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .unwrap()
            .port();
        let target = crate::context::Target {
            server: format!("https://127.0.0.1:{port}"),
            token: "glpat-x".to_owned(),
            authorities: None,
            context: None,
        };
        let client = crate::client::Client::new(target, None).unwrap();
        let request = fleet_proto::v1::WhoAmIRequest {};
        let failure = client
            .call(client.tokens().who_am_i(request))
            .await
            .unwrap_err();
        assert_eq!(failure.exit(), Exit::Unreachable);
        let text = failure.to_string();
        assert!(
            text.contains(&format!("127.0.0.1:{port}"))
                && text.contains("does the coordinator run"),
            "{text}"
        );
    }

    #[test]
    fn broken_connection_is_told_by_its_cause_and_may_come_back() {
        let status = Status::from_error("a reset".into());
        assert!(is_absence(&status));
        assert_eq!(
            told(&status),
            (
                6,
                "the connection to https://fleet:8443 broke: a reset".to_owned()
            )
        );
    }
}
