//! A web server with a certificate of its own authority: OpenSSL's.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::docker::Authority;
use crate::wait::wait_for;

/// A server on this host that answers each path with a whole HTTP response from a file.
/// It is killed when dropped.
pub struct HttpsServer {
    folder: TempDir,
    server: Child,
    address: String,
}

impl HttpsServer {
    /// One that has no answers yet.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start() -> Result<HttpsServer> {
        let folder = TempDir::with_prefix("fleet-https-").context("make a folder")?;
        let keys = folder.path().join("keys");
        let authority = Authority::in_folder(&keys)?;
        let (certificate, key) = authority.issue("server", "127.0.0.1")?;
        let answers = folder.path().join("answers");
        fs::create_dir(&answers).context("make a folder")?;
        let output = folder.path().join("output");
        let server = Command::new("openssl")
            .current_dir(&answers)
            .args(["s_server", "-HTTP", "-accept", "127.0.0.1:0", "-cert"])
            .arg(certificate)
            .arg("-key")
            .arg(key)
            .stdin(Stdio::null())
            .stdout(File::create(&output).context("make a file for output")?)
            .stderr(Stdio::null())
            .spawn()
            .context("start openssl")?;
        let mut server = HttpsServer {
            folder,
            server,
            address: String::new(),
        };
        server.address = wait_for("a web server to listen", || {
            let text = fs::read_to_string(&output).context("read its output")?;
            let line = text.lines().find_map(|line| line.strip_prefix("ACCEPT "));
            Ok(line.map(str::to_owned))
        })?;
        Ok(server)
    }

    /// The certificate to trust, as a file.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("keys/ca.crt")
    }

    /// The address of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("https://{}/{path}", self.address)
    }

    /// Answers a path with a status line, more headers (each with its line's end) and a
    /// body from now on.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn answer(&self, path: &str, status: &str, headers: &str, body: &str) -> Result<()> {
        let length = body.len();
        let text = format!(
            "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        );
        let file = self.folder.path().join("answers").join(path);
        fs::write(file, text).context("write an answer")
    }
}

impl Drop for HttpsServer {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
