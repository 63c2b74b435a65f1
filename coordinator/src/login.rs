//! User and token as HTTP requests carry them.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The user name of a job.
pub(crate) const JOB: &str = "gitlab-ci-token";

/// What a request carries.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    /// None: the token alone (`Bearer`).
    pub(crate) user: Option<String>,
    pub(crate) token: String,
}

/// What a request carries; none: nothing, or not just one that can be read.
pub(crate) fn credentials(headers: &HeaderMap) -> Option<Credentials> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    match (all.next(), all.next()) {
        (Some(given), None) => read(given.to_str().ok()?),
        _ => None,
    }
}

fn read(header: &str) -> Option<Credentials> {
    let (scheme, value) = header.split_once(' ')?;
    let value = value.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Credentials {
            user: None,
            token: value.to_owned(),
        });
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
    let (user, token) = pair.split_once(':')?;
    Some(Credentials {
        user: Some(user.to_owned()),
        token: token.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read_in_both_forms() {
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        let found = |header: &str| read(header).map(|found| (found.user, found.token));
        let person = (Some("ann".to_owned()), "glpat-x:y".to_owned());
        assert_eq!(found(&basic("ann:glpat-x:y")), Some(person));
        assert_eq!(found("bearer t"), Some((None, "t".to_owned())));
        for odd in [
            "",
            "Basic",
            "Basic !",
            "Digest x",
            &basic("no colon"),
            "Basic /w==",
        ] {
            assert_eq!(found(odd), None, "{odd}");
        }
    }

    #[test]
    fn two_are_as_good_as_none() {
        let mut headers = HeaderMap::new();
        assert!(credentials(&headers).is_none());
        headers.append(AUTHORIZATION, "Bearer t".parse().unwrap());
        assert!(credentials(&headers).is_some());
        headers.append(AUTHORIZATION, "Bearer t".parse().unwrap());
        assert!(credentials(&headers).is_none());
    }
}
