//! Git's smart HTTP: `/{group}/{project}.git/info/refs`, `.../git-upload-pack` and
//! `.../git-receive-pack`, with or without `.git`.
//!
//! Who has no token is told to bring one, whatever the path; what somebody may not
//! see is not there for them.

mod access;
mod body;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use super::git::{self, Limits, MOST_WORDS};
use super::packet::{self, Malformed};
use super::push::{self, Push};
use super::receive;
use super::repositories::Repository;
use super::spool::Spool;
use super::{PUSH_BYTES, Sources};
use body::Incoming;

/// Asking for the refs of a repository.
const REFS: Limits = Limits {
    deadline: Duration::from_secs(60),
    bytes: 256 << 20,
};
/// Bytes of a request that says what a fetch wants and has.
const FETCH_REQUEST_BYTES: u64 = 64 << 20;
/// A fetch is cut off after this long.
const FETCH: Duration = Duration::from_secs(2 * 60 * 60);
/// A request waits this long for its turn.
const TURN: Duration = Duration::from_secs(30);
/// A pusher hears at least this often that somebody is still there.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);
/// Bytes that are passed on at once.
const PIECE: usize = 64 << 10;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    /// Clone and fetch.
    UploadPack,
    /// Push.
    ReceivePack,
}

impl Service {
    fn named(name: &str) -> Option<Service> {
        match name {
            "git-upload-pack" => Some(Service::UploadPack),
            "git-receive-pack" => Some(Service::ReceivePack),
            _ => None,
        }
    }

    /// Git's command.
    fn command(self) -> &'static str {
        match self {
            Service::UploadPack => "upload-pack",
            Service::ReceivePack => "receive-pack",
        }
    }
}

/// A request that git understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Refs(Service),
    Work(Service),
}

impl Call {
    fn service(self) -> Service {
        match self {
            Call::Refs(service) | Call::Work(service) => service,
        }
    }
}

pub(super) fn router(sources: Sources) -> Router {
    Router::new()
        .route("/{*path}", any(answer))
        .with_state(sources)
}

async fn answer(State(sources): State<Sources>, request: Request) -> Response {
    let mut response = match serve(&sources, request).await {
        Ok(response) | Err(response) => response,
    };
    let headers = response.headers_mut();
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("no-cache, max-age=0"),
    );
    response
}

/// The error is an answer too.
async fn serve(sources: &Sources, request: Request) -> Result<Response, Response> {
    let (parts, body) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default();
    let (path, call) = route(parts.uri.path(), query).ok_or_else(|| {
        let words = "there is nothing here: git is served at /GROUP/PROJECT.git";
        text(StatusCode::NOT_FOUND, words)
    })?;
    let from = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    let from = from.map(|ConnectInfo(address)| *address);
    let caller = sources.caller(&parts.headers).await?;
    let (project, caller) = sources.admitted(caller, path, call.service(), from).await?;
    let (method, kind) = match call {
        Call::Refs(_) => (Method::GET, None),
        Call::Work(service) => (
            Method::POST,
            Some(format!("application/x-git-{}-request", service.command())),
        ),
    };
    if parts.method != method {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "git asks differently");
        if let Ok(allowed) = HeaderValue::from_str(method.as_str()) {
            response.headers_mut().insert(ALLOW, allowed);
        }
        return Err(response);
    }
    let given = parts
        .headers
        .get(CONTENT_TYPE)
        .and_then(|it| it.to_str().ok());
    if kind.is_some() && given != kind.as_deref() {
        return Err(text(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "git sends another content type",
        ));
    }
    let repository = sources
        .repository(&project)
        .await
        .map_err(|error| text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()))?;
    match (call, caller) {
        (Call::Refs(service), _) => refs(sources, &repository, service, &parts.headers).await,
        (Call::Work(Service::UploadPack), _) => {
            let body = Incoming::new(&parts.headers, body, FETCH_REQUEST_BYTES)
                .map_err(body::Error::answer)?;
            upload_pack(sources, &repository, &parts.headers, body).await
        }
        (Call::Work(Service::ReceivePack), access::Caller::Person(principal)) => {
            let body =
                Incoming::new(&parts.headers, body, PUSH_BYTES).map_err(body::Error::answer)?;
            let who = Pusher {
                project,
                principal,
                from,
            };
            receive_pack(sources, who, body).await
        }
        (Call::Work(Service::ReceivePack), access::Caller::Job(_)) => Err(access::job_pushes()),
    }
}

/// The project's path and what is asked of it.
fn route<'a>(path: &'a str, query: &str) -> Option<(&'a str, Call)> {
    let path = path.strip_prefix('/')?;
    let (project, call) = if let Some(project) = path.strip_suffix("/info/refs") {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let (_, service) = pairs.find(|(key, _)| *key == "service")?;
        (project, Call::Refs(Service::named(service)?))
    } else {
        let (project, service) = path.rsplit_once('/')?;
        (project, Call::Work(Service::named(service)?))
    };
    let project = project.strip_suffix(".git").unwrap_or(project);
    (!project.is_empty()).then_some((project, call))
}

/// Tells the refs, and what this side can do.
async fn refs(
    sources: &Sources,
    repository: &Repository,
    service: Service,
    headers: &HeaderMap,
) -> Result<Response, Response> {
    let _turn = turn(&sources.0.fetches).await?;
    let mut command = git::service(repository.path());
    let version_2 = service == Service::UploadPack && wants_version_2(headers);
    if version_2 {
        command.env("GIT_PROTOCOL", "version=2");
    }
    let name = service.command();
    command
        .args([name, "--stateless-rpc", "--advertise-refs"])
        .arg(repository.path());
    let answer = git::run(name, command, &[], REFS).await;
    let answer = answer
        .and_then(|answer| answer.checked(name))
        .map_err(|error| {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "git does not tell refs"
            );
            text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the repository cannot be read now",
            )
        })?;
    let mut out = Vec::new();
    if !version_2 {
        packet::line(&mut out, format!("# service=git-{name}\n").as_bytes());
        packet::flush(&mut out);
    }
    out.extend_from_slice(&answer);
    Ok(of_type(
        format!("application/x-git-{name}-advertisement"),
        Body::from(out),
    ))
}

fn wants_version_2(headers: &HeaderMap) -> bool {
    let protocol = headers.get("git-protocol").and_then(|it| it.to_str().ok());
    protocol.is_some_and(|protocol| protocol.split(':').any(|part| part == "version=2"))
}

/// Passes the request on to git and its answer back, as fast as both sides read.
async fn upload_pack(
    sources: &Sources,
    repository: &Repository,
    headers: &HeaderMap,
    mut body: Incoming,
) -> Result<Response, Response> {
    let turn = turn(&sources.0.fetches).await?;
    let mut command = git::service(repository.path());
    if wants_version_2(headers) {
        command.env("GIT_PROTOCOL", "version=2");
    }
    command
        .args(["upload-pack", "--stateless-rpc"])
        .arg(repository.path())
        .stdin(std::process::Stdio::piped());
    let mut child = git::spawn(command).map_err(|error| {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "git does not start"
        );
        text(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the repository cannot be read now",
        )
    })?;
    let (pieces, answer) = mpsc::channel::<io::Result<Bytes>>(4);
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let ask = async move {
        let Some(mut stdin) = stdin else {
            return Ok(());
        };
        while let Some(piece) = body.piece().await.map_err(io::Error::other)? {
            if stdin.write_all(&piece).await.is_err() {
                // It has read what it wants; what it says about it is on its way.
                return Ok(());
            }
        }
        Ok::<(), io::Error>(())
    };
    let told = pieces.clone();
    let tell = async move {
        let Some(mut stdout) = stdout else {
            return Ok(());
        };
        loop {
            let mut piece = bytes::BytesMut::with_capacity(PIECE);
            if stdout.read_buf(&mut piece).await? == 0 {
                return Ok(());
            }
            if told.send(Ok(piece.freeze())).await.is_err() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
    };
    let words = async move {
        let mut words = Vec::new();
        if let Some(mut stderr) = stderr {
            let _cut = (&mut stderr)
                .take(MOST_WORDS as u64)
                .read_to_end(&mut words)
                .await;
            let _cut = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
        }
        words
    };
    sources.0.tasks.spawn(async move {
        let _turn: OwnedSemaphorePermit = turn;
        // The child is killed with the end of this block, if it is still there.
        let work = async {
            let words = tokio::spawn(words);
            tokio::try_join!(ask, tell)?;
            let status = child.wait().await?;
            if !status.success() {
                let words = words.await.unwrap_or_default();
                let words = git::one_line(&String::from_utf8_lossy(&words), status);
                tracing::info!(words, "git upload-pack ended with an error");
            }
            Ok::<(), io::Error>(())
        };
        let done = match tokio::time::timeout(FETCH, work).await {
            Ok(done) => done,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        if let Err(error) = done {
            tracing::info!(%error, "a fetch was cut off");
            // Nobody may be there to hear it.
            let _ = pieces.send(Err(error)).await;
        }
    });
    Ok(of_type(
        "application/x-git-upload-pack-result".to_owned(),
        Body::from_stream(ReceiverStream::new(answer)),
    ))
}

struct Pusher {
    project: crate::catalog::Project,
    principal: crate::catalog::Principal,
    from: Option<SocketAddr>,
}

/// Takes a push in. It is on disk before its repository is locked, so that a slow
/// pusher holds up nobody.
async fn receive_pack(
    sources: &Sources,
    who: Pusher,
    mut body: Incoming,
) -> Result<Response, Response> {
    let turn = turn(&sources.0.pushes).await?;
    let (push, start) = beginning(&mut body).await?;
    let request = receive::Request {
        project: who.project,
        principal: who.principal,
        from: who.from,
        push,
    };
    let kind = "application/x-git-receive-pack-result".to_owned();
    if request.push.commands.is_empty() {
        // Git tries whether it may, before it sends much.
        return Ok(of_type(kind, Body::empty()));
    }
    if let Err(refusals) = sources.check(&request).await {
        // Git reads no answer before it has sent all.
        while body.piece().await.map_err(body::Error::answer)?.is_some() {}
        return Ok(of_type(kind, Body::from(request.push.refused(&refusals))));
    }
    let spool = spool(sources, &start, &mut body).await?;
    let (pieces, answer) = mpsc::channel::<io::Result<Bytes>>(2);
    let (at_work, side_band) = (sources.clone(), request.push.side_band);
    // Apart from the connection: once begun it is carried through.
    sources.0.tasks.spawn(async move {
        let _turn = turn;
        let mut work = std::pin::pin!(at_work.receive(request, spool));
        let done = loop {
            tokio::select! {
                done = work.as_mut() => break done,
                () = tokio::time::sleep(SIGN_OF_LIFE), if side_band => {
                    let mut sign = Vec::new();
                    packet::sign_of_life(&mut sign);
                    // Who does not read, or is gone, needs none.
                    let _ = pieces.try_send(Ok(sign.into()));
                }
            }
        };
        // The pusher may be gone; what was done is done.
        let _ = pieces.send(Ok(done.into())).await;
    });
    Ok(of_type(
        kind,
        Body::from_stream(ReceiverStream::new(answer)),
    ))
}

/// Reads what a push asks for, and gives all that was read.
async fn beginning(body: &mut Incoming) -> Result<(Push, Vec<u8>), Response> {
    let malformed = |_: Malformed| {
        text(
            StatusCode::BAD_REQUEST,
            "the push cannot be understood: signed pushes and SHA-256 repositories are not supported",
        )
    };
    let mut start = Vec::new();
    let mut looked_at = 0;
    loop {
        let piece = body.piece().await.map_err(body::Error::answer)?;
        let is_end = piece.is_none();
        start.extend_from_slice(&piece.unwrap_or_default());
        // Not after every byte of a pusher who sends single ones.
        if is_end || looked_at == 0 || start.len() > looked_at + looked_at / 2 {
            looked_at = start.len();
            if let Some(push) = Push::read(&start).map_err(malformed)? {
                return Ok((push, start));
            }
        }
        if is_end {
            return Err(malformed(Malformed));
        }
        if start.len() > push::MOST_BYTES {
            return Err(text(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too many refs in one push: push some of them first",
            ));
        }
    }
}

/// Keeps a request on disk.
async fn spool(sources: &Sources, start: &[u8], body: &mut Incoming) -> Result<Spool, Response> {
    let failed = |error: io::Error| {
        tracing::error!(%error, "a push cannot be kept on disk");
        let words = "the push cannot be kept on the coordinator's disk: push again later";
        text(StatusCode::INSUFFICIENT_STORAGE, words)
    };
    let number = sources.0.intents.number();
    let spool = sources.0.repositories.spool(number).map_err(failed)?;
    let mut file = spool.writer().map_err(failed)?;
    file.write_all(start).await.map_err(failed)?;
    while let Some(piece) = body.piece().await.map_err(body::Error::answer)? {
        file.write_all(&piece).await.map_err(failed)?;
    }
    file.flush().await.map_err(failed)?;
    Ok(spool)
}

/// A place among those that are served at once.
async fn turn(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Response> {
    let place = tokio::time::timeout(TURN, Arc::clone(places).acquire_owned()).await;
    match place {
        Ok(Ok(place)) => Ok(place),
        _ => {
            let words = "the coordinator serves as many as it can: try again in a while";
            let mut response = text(StatusCode::SERVICE_UNAVAILABLE, words);
            let headers = response.headers_mut();
            headers.insert(RETRY_AFTER, HeaderValue::from_static("30"));
            Err(response)
        }
    }
}

/// An answer in words, which git shows behind `remote:`.
fn text(status: StatusCode, words: &str) -> Response {
    let mut response = (status, format!("{words}\n")).into_response();
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    if status == StatusCode::UNAUTHORIZED {
        let realm = HeaderValue::from_static("Basic realm=\"Fleet\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, realm);
    }
    response
}

fn of_type(kind: String, body: Body) -> Response {
    let mut response = Response::new(body);
    if let Ok(kind) = HeaderValue::from_str(&kind) {
        response.headers_mut().insert(CONTENT_TYPE, kind);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_projects() {
        let refs = |path| route(path, "service=git-upload-pack");
        let upload = Call::Refs(Service::UploadPack);
        assert_eq!(refs("/g/p.git/info/refs"), Some(("g/p", upload)));
        assert_eq!(refs("/g/s/p/info/refs"), Some(("g/s/p", upload)));
        let push = Call::Work(Service::ReceivePack);
        assert_eq!(
            route("/g/s/p.git/git-receive-pack", ""),
            Some(("g/s/p", push))
        );
        for (path, query) in [
            ("/g/p.git/info/refs", ""),
            ("/g/p.git/info/refs", "service=git-upload-archive"),
            ("/g/p.git/info/refs", "service"),
            ("/g/p.git/HEAD", ""),
            ("/g/p.git/objects/info/packs", ""),
            ("/g/p.git", ""),
            ("/git-upload-pack", ""),
            ("/.git/git-upload-pack", ""),
            ("/", ""),
        ] {
            assert_eq!(route(path, query), None, "{path}?{query}");
        }
    }
}
