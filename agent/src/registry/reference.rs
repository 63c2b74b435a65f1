//! Names of images.

use std::fmt;

/// The registry of names that tell none.
const DOCKER_HUB: &str = "docker.io";
const DIGEST_HEX: usize = 64;

/// The name of an image as its parts: `[host[:port]/]path[:tag][@digest]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    host: Option<String>,
    path: String,
    tag: Option<String>,
    digest: Option<String>,
}

/// Why a text names no image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{name}\" is no valid image name: {why}")]
pub struct BadReference {
    name: String,
    why: &'static str,
}

impl Reference {
    /// Reads the name of an image.
    ///
    /// The first component is a host if it contains `.` or `:`, or is
    /// `localhost`; a `:` in it is its port's and not a tag's.
    ///
    /// # Errors
    /// [`BadReference`]: what Docker would refuse, too.
    pub fn parse(name: &str) -> Result<Reference, BadReference> {
        let bad = |why| BadReference {
            name: name.to_owned(),
            why,
        };
        let reference = Reference::split(name);
        reference.check().map_err(bad)?;
        Ok(reference)
    }

    /// The parts of `name`, whatever is in them.
    pub(super) fn split(name: &str) -> Reference {
        let (name, digest) = match name.split_once('@') {
            Some((name, digest)) => (name, Some(digest.to_owned())),
            None => (name, None),
        };
        let (host, rest) = match name.split_once('/') {
            Some((first, rest)) if is_host(first) => (Some(first.to_ascii_lowercase()), rest),
            _ => (None, name),
        };
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, Some(tag.to_owned())),
            _ => (rest, None),
        };
        Reference {
            host,
            path: path.to_owned(),
            tag,
            digest,
        }
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.path.is_empty() && self.host.is_none() {
            return Err("it is empty");
        }
        if self.host.as_deref().is_some_and(|host| !valid_host(host)) {
            return Err("its host is no host's name");
        }
        if self.path.chars().any(|c| c.is_ascii_uppercase()) {
            return Err("the repository's name must be lower-case");
        }
        if !self.path.split('/').all(valid_component) {
            return Err(
                "a repository's name is made of components of a-z, 0-9 and single separators . _ -",
            );
        }
        if self.tag.as_deref().is_some_and(|tag| !valid_tag(tag)) {
            return Err("its tag is no tag");
        }
        let digest = self.digest.as_deref();
        if digest.is_some_and(|digest| image_id(digest).is_none()) {
            return Err("its digest is not sha256: and 64 hexadecimal digits");
        }
        Ok(())
    }

    /// The registry: `host[:port]`, lower-case; `docker.io` where none is told.
    #[must_use]
    pub fn registry(&self) -> &str {
        match self.host.as_deref() {
            None | Some("index.docker.io") => DOCKER_HUB,
            Some(host) => host,
        }
    }

    /// Registry and path, as credentials are looked up: without tag and digest,
    /// and without Docker's own `library/`.
    #[must_use]
    pub fn normalized(&self) -> String {
        format!("{}/{}", self.registry(), self.path)
    }

    /// The name without tag and digest, as an engine's API takes it.
    #[must_use]
    pub fn repository(&self) -> String {
        match &self.host {
            Some(host) => format!("{host}/{}", self.path),
            None => self.path.clone(),
        }
    }

    /// The digest, else the tag, else `latest`.
    #[must_use]
    pub fn version(&self) -> &str {
        let told = self.digest.as_deref().or(self.tag.as_deref());
        told.unwrap_or("latest")
    }

    /// The digest, where it is named by one.
    #[must_use]
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// Whether `other` names a version of the same repository.
    #[must_use]
    pub fn is_same_repository(&self, other: &Reference) -> bool {
        let path = |reference: &Reference| {
            let path = &reference.path;
            match reference.registry() == DOCKER_HUB && !path.contains('/') {
                true => format!("library/{path}"),
                false => path.clone(),
            }
        };
        self.registry() == other.registry() && path(self) == path(other)
    }
}

impl fmt::Display for Reference {
    /// The name that pulls one image: with its digest, or with its tag.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.digest.is_some() { '@' } else { ':' };
        write!(f, "{}{separator}{}", self.repository(), self.version())
    }
}

/// The hexadecimal digits of an image's ID or of a digest.
pub(crate) fn image_id(text: &str) -> Option<&str> {
    let hex = text.strip_prefix("sha256:")?;
    let digits = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (hex.len() == DIGEST_HEX && hex.bytes().all(digits)).then_some(hex)
}

fn is_host(component: &str) -> bool {
    component.contains(['.', ':']) || component == "localhost"
}

fn valid_host(host: &str) -> bool {
    // An IPv6 address stands in brackets.
    let (name, port) = match host.rfind(']') {
        Some(end) => (&host[..=end], host[end + 1..].strip_prefix(':')),
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let name = match name.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => name
            .split('.')
            .all(|label| !label.is_empty() && label.chars().all(plain)),
    };
    name && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

fn valid_component(component: &str) -> bool {
    let mut before = None;
    let well_formed = component.bytes().all(|byte| {
        let ok = match byte {
            b'a'..=b'z' | b'0'..=b'9' => true,
            b'-' => matches!(before, Some(b'a'..=b'z' | b'0'..=b'9' | b'-')),
            b'_' => matches!(before, Some(b'a'..=b'z' | b'0'..=b'9' | b'_')),
            b'.' => matches!(before, Some(b'a'..=b'z' | b'0'..=b'9')),
            _ => false,
        };
        before = Some(byte);
        ok
    });
    well_formed && matches!(before, Some(b'a'..=b'z' | b'0'..=b'9')) && !component.contains("___")
}

fn valid_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= 128
        && tag.bytes().next().is_some_and(word)
        && tag
            .bytes()
            .all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}
