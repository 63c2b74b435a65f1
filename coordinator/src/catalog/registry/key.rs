//! Which registries logins can be for.

use super::super::Error;
use super::super::path::shortened;

/// The longest key.
const LONGEST: usize = 255;

/// The key that is meant, if an image can be of it.
///
/// # Errors
/// [`Error::Invalid`].
pub(crate) fn registry_key(text: &str) -> Result<String, Error> {
    if text.contains('@') {
        // Not shown: it may be a password.
        return Err(Error::Invalid(
            "a registry is named without user and password, as `registry.example:5000`".into(),
        ));
    }
    let key = fleet_model::registry_key(text);
    let (host, path) = key.split_once('/').unwrap_or((&key, ""));
    let in_host = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
    let in_path = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let why = if key.len() > LONGEST {
        "it is longer than 255 characters"
    } else if host.is_empty() || !host.chars().all(in_host) || !path.chars().all(in_path) {
        "it is `host`, `host:port` or `host/path`, as `registry.example:5000/group`"
    } else if host == "index.docker.io" {
        "images of Docker Hub are of `docker.io`"
    } else if !host.contains(['.', ':']) && host != "localhost" {
        // Else it would be the first part of a name on Docker Hub.
        "its first part is no host: that has a dot or a port, or is `localhost`"
    } else {
        return Ok(key);
    };
    Err(Error::Invalid(format!(
        "`{}` is no registry: {why}",
        shortened(text)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_image_can_be_of_is_refused_with_the_mend() {
        for given in ["docker.io", "localhost/a", "[::1]:5000", "r.example/a/b"] {
            assert!(registry_key(given).is_ok(), "{given}");
        }
        let long = format!("r.example/{}", "a".repeat(250));
        for (given, words) in [
            ("", "`host`"),
            ("https://", "`host`"),
            ("https://user:word@r.example", "without user"),
            ("r.example/a b", "`host`"),
            ("r.example\n", "`host`"),
            ("group/app", "no host"),
            ("library", "no host"),
            ("index.docker.io", "`docker.io`"),
            (long.as_str(), "longer"),
        ] {
            let refused = registry_key(given).expect_err(given).to_string();
            assert!(refused.contains(words), "{refused}");
            assert!(!refused.contains("word@"), "{refused}");
        }
    }
}
