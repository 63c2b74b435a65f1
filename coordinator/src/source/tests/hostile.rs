//! Requests that no git sends.

use axum::body::Body;
use axum::http::header::{ALLOW, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{Request, Response};
use tower::ServiceExt as _;

use super::*;

const PUSH: &str = "/group/app.git/git-receive-pack";
const PUSH_TYPE: &str = "application/x-git-receive-pack-request";
const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const NONE: &str = "0000000000000000000000000000000000000000";

async fn send(world: &World, request: Request<Body>) -> (u16, String, Response<()>) {
    let answer = world.sources.router().oneshot(request).await.unwrap();
    let (parts, body) = answer.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let text = String::from_utf8_lossy(&body).into_owned();
    let status = parts.status.as_u16();
    (status, text, Response::from_parts(parts, ()))
}

async fn push(world: &World, body: impl Into<Body>) -> (u16, String) {
    let token = world.token(Role::Maintainer, None);
    let request = Request::post(PUSH)
        .header(AUTHORIZATION, format!("Bearer {token}"))
        .header(CONTENT_TYPE, PUSH_TYPE)
        .body(body.into())
        .unwrap();
    let (status, text, _) = send(world, request).await;
    (status, text)
}

fn lines(lines: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in lines {
        packet::line(&mut out, line.as_bytes());
    }
    packet::flush(&mut out);
    out
}

#[tokio::test]
async fn requests_that_make_no_sense_get_an_answer_and_change_nothing() {
    let world = World::new().await;
    let command = format!("{NONE} {A} refs/heads/x\0report-status side-band-64k");
    let mut cut = lines(&[&command]);
    cut.truncate(30);
    let shallow = format!("shallow {A}");
    let mut endless = lines(&vec![shallow.as_str(); 40_000]);
    endless.truncate(endless.len() - 4);
    for (body, status) in [
        (b"".to_vec(), 400),
        (b"GET / HTTP/1.1".to_vec(), 400),
        (b"ffffx".to_vec(), 400),
        (b"0005".to_vec(), 400),
        (cut, 400),
        (lines(&["push-cert\0"]), 400),
        (
            lines(&[&format!("{NONE} {} refs/heads/x", "z".repeat(40))]),
            400,
        ),
        (vec![b'0'; 3], 400),
        (endless, 413),
        // Only a try.
        (b"0000".to_vec(), 200),
    ] {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let (found, text) = push(&world, body).await;
        assert_eq!(found, status, "{shown}: {text}");
    }
    assert_eq!(world.told().await, [""; 0]);
}

#[tokio::test]
async fn a_push_without_its_objects_moves_nothing() {
    let world = World::new().await;
    let command = format!("{NONE} {A} refs/heads/x\0report-status side-band-64k");
    let mut junk = lines(&[&command]);
    junk.extend_from_slice(b"PACK\0\0\0\x02\xff\xff\xff\xff");
    for body in [lines(&[&command]), junk] {
        let (status, text) = push(&world, body).await;
        assert_eq!(status, 200, "{text}");
        assert_has(&text, &["refs/heads/x"]);
        assert!(!text.contains("ok refs/heads/x"), "{text}");
    }
    assert_eq!(world.told().await, [""; 0]);
    assert!(
        !world
            .memory
            .now()
            .keys()
            .any(|key| key.starts_with("intent/"))
    );
}

#[tokio::test]
async fn a_ref_that_is_claimed_to_be_new_is_not_rewound() {
    let world = World::new().await;
    let clone = world.clone(Role::Maintainer).await;
    clone.commit("a", "1", "second").await;
    clone.ok(&["push", "origin", "main"]).await;
    let old = clone.ok(&["rev-parse", "HEAD~1"]).await;
    // All objects are there: nothing but the claim is wrong.
    let command = format!("{NONE} {} refs/heads/main\0report-status", old.trim());
    let mut body = lines(&[&command]);
    let empty = "5041434b0000000200000000029d08823bd8a8eab510ad6ac75c823cfd3ed31e";
    let byte = |at: usize| u8::from_str_radix(&empty[at..at + 2], 16).unwrap();
    body.extend((0..empty.len()).step_by(2).map(byte));
    let (_, text) = push(&world, body).await;
    assert_has(&text, &["ng refs/heads/main"]);
    let said = clone.ok(&["ls-remote", "origin", "main"]).await;
    assert_has(&said, &[&clone.head().await]);
    assert_eq!(world.told().await.len(), 1);
}

#[tokio::test]
async fn what_is_not_asked_as_git_does_is_refused() {
    let world = World::new().await;
    let token = world.token(Role::Maintainer, None);
    let bearer = format!("Bearer {token}");
    let get = |path: &str| Request::get(path).header(AUTHORIZATION, &bearer);
    let empty = Body::empty;
    let refs = "/group/app.git/info/refs?service=git-upload-pack";
    for (request, status) in [
        (get(refs).body(empty()), 200),
        (get("/group/app.git/info/refs").body(empty()), 404),
        (get("/group/app.git/HEAD").body(empty()), 404),
        (
            get("/../../etc/passwd/info/refs?service=git-upload-pack").body(empty()),
            404,
        ),
        (
            get("/group/app.git/../app.git/info/refs?service=git-upload-pack").body(empty()),
            404,
        ),
        (get("/fleet.v1.X/Y").body(empty()), 404),
        (
            Request::post(PUSH)
                .header(AUTHORIZATION, &bearer)
                .body(empty()),
            415,
        ),
        (
            Request::post(PUSH)
                .header(AUTHORIZATION, &bearer)
                .header(CONTENT_TYPE, PUSH_TYPE)
                .header(CONTENT_ENCODING, "br")
                .body(empty()),
            415,
        ),
        (Request::get(refs).body(empty()), 401),
        (
            Request::get(refs)
                .header(AUTHORIZATION, "Basic bm9ib2R5")
                .body(empty()),
            401,
        ),
        (
            get(refs)
                .header(AUTHORIZATION, "Bearer other")
                .body(empty()),
            401,
        ),
        (
            Request::get("/none/at.git/info/refs?service=git-upload-pack").body(empty()),
            401,
        ),
    ] {
        let request = request.unwrap();
        let shown = format!("{} {}", request.method(), request.uri());
        let (found, text, answer) = send(&world, request).await;
        assert_eq!(found, status, "{shown}: {text}");
        assert_eq!(
            answer.headers().contains_key(WWW_AUTHENTICATE),
            status == 401
        );
    }
    let (status, _, answer) = send(&world, get(PUSH).body(empty()).unwrap()).await;
    assert_eq!(status, 405);
    assert_eq!(answer.headers()[ALLOW], "POST");
}
