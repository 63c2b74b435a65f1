//! The short form of a runner token.

/// The part of `token` that names things (`CI_RUNNER_SHORT_TOKEN`, folders):
/// a known prefix is dropped, nine characters are kept.
#[must_use]
pub fn short_token(token: &str) -> &str {
    let kind = ["glrtr-", "glrt-", "glcbt-", "GR1348941"];
    let rest = kind
        .iter()
        .find_map(|prefix| token.strip_prefix(prefix))
        .unwrap_or(token);
    let rest = match rest.as_bytes() {
        [b't', b'0'..=b'9', b'_', ..] => &rest[3..],
        _ => rest,
    };
    let end = rest.char_indices().nth(9).map_or(rest.len(), |(at, _)| at);
    &rest[..end]
}
