//! Names of refs and objects, checked before anything is done with them.

/// Bytes of a ref's full name.
const MOST_BYTES: usize = 255;

/// Whether a full name may be that of a ref here.
///
/// As `git check-ref-format`, and stricter where a name could be mistaken: for an
/// option, for a commit, or for another ref.
///
/// # Errors
/// What is wrong with it, in words that follow the name.
pub(crate) fn check(name: &str) -> Result<(), &'static str> {
    if name.len() > MOST_BYTES {
        return Err("is longer than 255 bytes");
    }
    if name.chars().any(char::is_control) {
        return Err("has control characters");
    }
    if name.contains([' ', '~', '^', ':', '?', '*', '[', '\\']) {
        return Err("has a space or one of ~^:?*[\\");
    }
    if name.contains("..") || name.contains("@{") {
        return Err("has .. or @{");
    }
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    if !name.split('/').all(part) || name.ends_with('.') {
        return Err("has a part that is empty, begins with a dot, or ends with .lock or a dot");
    }
    let Some((_, short)) = kind_and_short(name) else {
        return Err(
            "is neither a branch nor a tag: only refs/heads/* and refs/tags/* are kept here",
        );
    };
    if short.starts_with('-') {
        return Err("begins with a dash");
    }
    if short == "HEAD" || short == "@" || short.starts_with("refs/") {
        return Err("is a name with a meaning of its own");
    }
    if matches!(short.len(), 40 | 64) && short.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("looks like a commit");
    }
    Ok(())
}

/// Branch or tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `refs/heads/`.
    Branch,
    /// `refs/tags/`.
    Tag,
}

/// Kind and short name of a full name; none for other refs.
pub(crate) fn kind_and_short(name: &str) -> Option<(Kind, &str)> {
    let branch = name
        .strip_prefix("refs/heads/")
        .map(|it| (Kind::Branch, it));
    branch.or_else(|| name.strip_prefix("refs/tags/").map(|it| (Kind::Tag, it)))
}

/// The short name of a full name.
pub(crate) fn short(name: &str) -> &str {
    kind_and_short(name).map_or(name, |(_, short)| short)
}

/// Whether this is the hash of an object: 40 or 64 lower-case hexadecimal digits.
pub(crate) fn is_object(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether a hash stands for none.
pub(crate) fn is_none(object: &str) -> bool {
    object.bytes().all(|byte| byte == b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_names_are_taken() {
        for name in [
            "refs/heads/main",
            "refs/heads/feature/a-b_c.d",
            "refs/heads/$(reboot)`x`;|&<>'\"{}",
            "refs/heads/größe",
            "refs/tags/v1.0.0",
            "refs/heads/deadbeef",
        ] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn hostile_names_are_refused() {
        let commit = format!("refs/heads/{}", "0123456789".repeat(4));
        let upper = format!("refs/heads/{}", "ABCDEF0123".repeat(4));
        let commit256 = format!("refs/tags/{}", "0123456789abcdef".repeat(4));
        let long = format!("refs/heads/{}", "a".repeat(245));
        for name in [
            "",
            "HEAD",
            "refs/heads",
            "refs/heads/",
            "refs/heads//a",
            "refs/heads/a/",
            "refs/heads/.a",
            "refs/heads/a/.b",
            "refs/heads/a.lock",
            "refs/heads/a.lock/b",
            "refs/heads/a.",
            "refs/heads/a..b",
            "refs/heads/a@{1}",
            "refs/heads/a b",
            "refs/heads/a\nb",
            "refs/heads/a\u{7f}",
            "refs/heads/a\u{85}b",
            "refs/heads/a~1",
            "refs/heads/a^",
            "refs/heads/a:b",
            "refs/heads/a?",
            "refs/heads/a*",
            "refs/heads/a[b",
            "refs/heads/a\\b",
            "refs/heads/-a",
            "refs/heads/--upload-pack=x",
            "refs/heads/HEAD",
            "refs/heads/@",
            "refs/heads/refs/heads/main",
            "refs/pipelines/1",
            "refs/merge-requests/1/head",
            "refs/../config",
            &commit,
            &upper,
            &commit256,
            &long,
        ] {
            assert!(check(name).is_err(), "{name}");
        }
        assert_eq!(check(&long[..255]), Ok(()));
    }

    #[test]
    fn names_have_a_kind() {
        assert_eq!(
            kind_and_short("refs/heads/a/b"),
            Some((Kind::Branch, "a/b"))
        );
        assert_eq!(kind_and_short("refs/tags/v1"), Some((Kind::Tag, "v1")));
        assert_eq!(kind_and_short("refs/notes/x"), None);
        assert!(is_none(&"0".repeat(40)) && is_none(&"0".repeat(64)));
        assert!(is_object(&"0a".repeat(20)) && !is_object(&"0A".repeat(20)));
    }
}
