//! A web server that hands out repositories to those who have the password.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Serves the files below a folder, as git's oldest protocol needs it.
pub(super) struct Web {
    pub(super) url: String,
    state: Arc<State>,
}

struct State {
    root: PathBuf,
    authorization: String,
    failures: AtomicU32,
    hangs: AtomicBool,
}

impl Web {
    pub(super) async fn serve(root: PathBuf, user: &str, password: &str) -> Web {
        if root.join("HEAD").exists() {
            let status = std::process::Command::new("git")
                .arg("update-server-info")
                .current_dir(&root)
                .status();
            assert!(status.unwrap().success());
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            root,
            authorization: format!("basic {}", base64(format!("{user}:{password}").as_bytes())),
            failures: AtomicU32::new(0),
            hangs: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&shared)));
            }
        });
        Web { url, state }
    }

    /// Answers the next requests with an error.
    pub(super) fn fail(&self, requests: u32) {
        self.state.failures.store(requests, Ordering::SeqCst);
    }

    /// Answers nothing any more.
    pub(super) fn hang(&self) {
        self.state.hangs.store(true, Ordering::SeqCst);
    }
}

async fn answer(mut stream: TcpStream, state: Arc<State>) -> Option<()> {
    let (reader, mut writer) = stream.split();
    let mut lines = BufReader::new(reader).lines();
    let request = lines.next_line().await.ok()??;
    let mut authorized = false;
    while let Some(line) = lines
        .next_line()
        .await
        .ok()?
        .filter(|line| !line.is_empty())
    {
        let (name, value) = line.split_once(": ")?;
        authorized |= name.eq_ignore_ascii_case("authorization")
            && value.replacen("Basic", "basic", 1) == state.authorization;
    }
    if state.hangs.load(Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
    let fails = state
        .failures
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
        .is_ok();
    let path = request
        .split(' ')
        .nth(1)?
        .split('?')
        .next()?
        .trim_start_matches('/')
        .to_owned();
    let (status, body) = match () {
        () if fails => ("500 Broken", Vec::new()),
        () if !authorized => ("401 Who\r\nWWW-Authenticate: Basic realm=\"x\"", Vec::new()),
        () => match std::fs::read(state.root.join(Path::new(&path))) {
            Ok(body) => ("200 OK", body),
            Err(_) => ("404 No", Vec::new()),
        },
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    writer.write_all(head.as_bytes()).await.ok()?;
    writer.write_all(&body).await.ok()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let all = chunk
            .iter()
            .fold(0u32, |sum, byte| sum << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for at in 0..4 {
            let digit = DIGITS[(all >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= chunk.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    text
}
