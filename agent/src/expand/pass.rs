//! The agent's own expansion: one pass, no operators, no escapes.

use std::borrow::Cow;

use super::name_byte;

/// Replaces `$NAME` and `${NAME}` in `text`; `None` if the result would be
/// longer than `limit` bytes.
///
/// As Go's `os.Expand` with gitlab-runner's lookup: `$$` is `$`, the other
/// special parameters are empty, a `$` before anything else stays.
pub(super) fn expand<'a>(
    text: &str,
    lookup: impl Fn(&str) -> Option<Cow<'a, str>>,
    limit: usize,
) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        append(&mut out, before, limit)?;
        rest = match reference(after) {
            Reference::Literal => {
                append(&mut out, "$", limit)?;
                after
            }
            Reference::Dropped(length) => &after[length..],
            Reference::Name(name, length) => {
                match name {
                    "$" => append(&mut out, "$", limit)?,
                    _ if special(name) => {}
                    _ => append(&mut out, &lookup(name).unwrap_or_default(), limit)?,
                }
                &after[length..]
            }
        };
    }
    append(&mut out, rest, limit)?;
    Some(out)
}

/// What stands behind a `$`, and how many bytes of it belong to it.
enum Reference<'a> {
    Literal,
    Dropped(usize),
    Name(&'a str, usize),
}

fn reference(text: &str) -> Reference<'_> {
    match text.bytes().next() {
        Some(b'{') => match text.find('}') {
            None => Reference::Dropped(1),
            Some(1) => Reference::Dropped(2),
            Some(end) => Reference::Name(&text[1..end], end + 1),
        },
        Some(b'*' | b'#' | b'$' | b'@' | b'!' | b'?' | b'-' | b'0'..=b'9') => {
            Reference::Name(&text[..1], 1)
        }
        _ => match text.bytes().take_while(|&byte| name_byte(byte)).count() {
            0 => Reference::Literal,
            length => Reference::Name(&text[..length], length),
        },
    }
}

fn special(name: &str) -> bool {
    matches!(
        name.as_bytes(),
        [b'*' | b'#' | b'@' | b'!' | b'?' | b'-' | b'0'..=b'9']
    )
}

fn append(out: &mut String, text: &str, limit: usize) -> Option<()> {
    if out.len() + text.len() > limit {
        return None;
    }
    out.push_str(text);
    Some(())
}
