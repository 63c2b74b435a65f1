//! Where a repository lies.

use std::path::{Path, PathBuf};

use super::Error;

/// A repository, checked: nothing else reaches git.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Location {
    /// On this host; its objects are used in place.
    Local(PathBuf),
    /// `http` or `https`, without credentials.
    Http(Url),
    /// Over ssh, as written.
    Ssh(String),
}

/// An `http` or `https` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    scheme: &'static str,
    credentials: Option<String>,
    authority: String,
    path: String,
}

impl Url {
    /// The whole, without credentials.
    pub(super) fn plain(&self) -> String {
        format!("{}/{}", self.base(), self.path)
    }

    /// `https://host:port`.
    pub(super) fn base(&self) -> String {
        format!("{}://{}", self.scheme, self.authority)
    }

    /// `https://user:password@host:port`: the URL's own, else the job's.
    pub(super) fn base_with_credentials(&self, token: &str) -> String {
        let job = || format!("gitlab-ci-token:{token}");
        let credentials = self.credentials.clone().unwrap_or_else(job);
        format!("{}://{credentials}@{}", self.scheme, self.authority)
    }
}

impl Location {
    /// Reads a repository's URL or path.
    ///
    /// # Errors
    /// [`Error::Refused`] for transports that could run programs or read
    /// files of this host (`ext`, `file`), and for what git would take for an
    /// option.
    pub(super) fn parse(text: &str) -> Result<Location, Error> {
        let refused = || {
            Error::Refused(format!(
                "repository {text:?}: only https, ssh and absolute paths"
            ))
        };
        if text.chars().any(char::is_control) {
            return Err(refused());
        }
        for (scheme, prefix) in [("https", "https://"), ("http", "http://")] {
            if let Some(rest) = text.strip_prefix(prefix) {
                return http(scheme, rest).map(Location::Http).ok_or_else(refused);
            }
        }
        let host = |text: &str| !text.is_empty() && !text.starts_with('-');
        if let Some(rest) = text.strip_prefix("ssh://") {
            let address = rest.split_once('@').map_or(rest, |(_, address)| address);
            return if host(rest) && host(address) {
                Ok(Location::Ssh(text.into()))
            } else {
                Err(refused())
            };
        }
        if Path::new(text).is_absolute() {
            return Ok(Location::Local(text.into()));
        }
        // git@host:path
        match text.split_once(':') {
            Some((address, path))
                if host(address)
                    && host(path)
                    && address.split_once('@').is_some_and(|(_, name)| host(name))
                    && !address.contains('/')
                    && !path.starts_with(':') =>
            {
                Ok(Location::Ssh(text.into()))
            }
            _ => Err(refused()),
        }
    }
}

fn http(scheme: &'static str, rest: &str) -> Option<Url> {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (credentials, authority) = match authority.rsplit_once('@') {
        Some((credentials, authority)) => (Some(credentials.to_owned()), authority),
        None => (None, authority),
    };
    if authority.is_empty() || authority.starts_with('-') {
        return None;
    }
    Some(Url {
        scheme,
        credentials,
        authority: authority.into(),
        path: path.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_taken_out_of_urls() {
        let Location::Http(url) = Location::parse("https://u:p@h:8443/g/p.git").unwrap() else {
            panic!("no URL")
        };
        assert_eq!(url.plain(), "https://h:8443/g/p.git");
        assert_eq!(url.base_with_credentials("t"), "https://u:p@h:8443");
    }

    #[test]
    fn urls_without_credentials_get_the_jobs() {
        let Location::Http(url) = Location::parse("http://h/g/p.git").unwrap() else {
            panic!("no URL")
        };
        assert_eq!(url.base_with_credentials("t"), "http://gitlab-ci-token:t@h");
    }

    #[test]
    fn paths_and_ssh_are_taken_as_they_are() {
        assert_eq!(
            Location::parse("/srv/x.git").unwrap(),
            Location::Local("/srv/x.git".into())
        );
        for text in ["ssh://git@h:22/g/p.git", "git@h:g/p.git"] {
            assert_eq!(Location::parse(text).unwrap(), Location::Ssh(text.into()));
        }
    }

    #[test]
    fn transports_that_reach_into_the_host_are_refused() {
        for text in [
            "file:///etc",
            "ext::sh -c id",
            "ext::x@y:z",
            "fd::3",
            "git://h/p",
            "rel/path",
            "--upload-pack=x",
            "-x@h:p",
            "git@-oProxyCommand=x:p",
            "ssh://-oProxyCommand=x/p",
            "ssh://git@-o/p",
            "https:///p",
            "https://-h/p",
            "git@h:-p",
            "a@b::c",
            "https://h/\np",
            "",
        ] {
            assert!(Location::parse(text).is_err(), "{text}");
        }
    }
}
