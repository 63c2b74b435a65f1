//! A private certificate authority, made with OpenSSL.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::fleet::network::run;

/// Signs the certificates of a test's registries.
#[derive(Clone, Debug)]
pub struct Authority {
    folder: PathBuf,
    certificate: String,
}

impl Authority {
    /// The one in this folder, or a new one.
    pub(crate) fn in_folder(folder: &Path) -> Result<Authority> {
        let file = folder.join("ca.crt");
        if !file.exists() {
            fs::create_dir_all(folder).context("make a folder for certificates")?;
            let subject = "/CN=Private CA of a test";
            run(openssl(folder, "ca")
                .args(["-subj", subject])
                .args(["-addext", "keyUsage=critical,keyCertSign"]))?;
        }
        let certificate = fs::read_to_string(&file).context("read a certificate")?;
        Ok(Authority {
            folder: folder.to_owned(),
            certificate,
        })
    }

    /// Its own certificate, in PEM.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Makes `<name>.crt` and `<name>.key` for a server at this address.
    pub(crate) fn issue(&self, name: &str, address: &str) -> Result<(PathBuf, PathBuf)> {
        run(openssl(&self.folder, name)
            .args(["-CA", "ca.crt", "-CAkey", "ca.key"])
            .args(["-subj", &format!("/CN={name}")])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-addext", "extendedKeyUsage=serverAuth"])
            .args(["-addext", &format!("subjectAltName=IP:{address}")]))?;
        let at = |kind: &str| self.folder.join(format!("{name}.{kind}"));
        Ok((at("crt"), at("key")))
    }
}

fn openssl(folder: &Path, name: &str) -> Command {
    let mut command = Command::new("openssl");
    command
        .current_dir(folder)
        .args(["req", "-x509", "-noenc", "-days", "2"])
        .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
        .args(["-keyout", &format!("{name}.key")])
        .args(["-out", &format!("{name}.crt")]);
    command
}
