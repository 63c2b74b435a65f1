//! Quoting for POSIX shells.

/// Appends `text` to `out` as one literal shell word.
///
/// Always single quotes: byte-exact in bash, dash, ksh and busybox ash, where
/// `$'..'` and double quotes are not. `text` holds no NUL; no shell could
/// take one.
pub fn quote(text: &[u8], out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'\'');
    for &byte in text {
        if byte == b'\'' {
            out.extend_from_slice(br"'\''");
        } else {
            out.push(byte);
        }
    }
    out.push(b'\'');
}
