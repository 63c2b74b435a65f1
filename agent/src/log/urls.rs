//! Masking of credentials in the query of a URL.

use super::MASK;

const KEYS: [&[u8]; 6] = [
    b"private_token",
    b"authenticity_token",
    b"rss_token",
    b"x-amz-signature",
    b"x-amz-credential",
    b"x-amz-security-token",
];

/// The longest of [`KEYS`].
const LONGEST: usize = 20;

/// Replaces the value behind `?key=` or `&key=`, also an empty one.
#[derive(Clone, Debug, Default)]
pub(super) struct Urls {
    state: State,
}

#[derive(Clone, Debug, Default)]
enum State {
    #[default]
    Text,
    /// After `?` or `&`: the first bytes of a key in lower case.
    Key { name: [u8; LONGEST], length: usize },
    /// In a value that is being dropped.
    Value,
}

impl Urls {
    pub(super) fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let mut rest = input;
        while let Some(&byte) = rest.first() {
            match &mut self.state {
                State::Text => {
                    let next = rest.iter().position(|byte| separator(*byte));
                    let end = next.map_or(rest.len(), |at| at + 1);
                    out.extend_from_slice(&rest[..end]);
                    rest = &rest[end..];
                    if next.is_some() {
                        self.state = State::Key {
                            name: [0; LONGEST],
                            length: 0,
                        };
                    }
                }
                State::Key { name, length } => {
                    if separator(byte) {
                        *length = 0;
                    } else if byte == b'=' && KEYS.contains(&&name[..*length]) {
                        out.push(byte);
                        out.extend_from_slice(MASK);
                        rest = &rest[1..];
                        self.state = State::Value;
                        continue;
                    } else if byte == b'=' || *length == LONGEST {
                        self.state = State::Text;
                        continue;
                    } else {
                        name[*length] = byte.to_ascii_lowercase();
                        *length += 1;
                    }
                    out.push(byte);
                    rest = &rest[1..];
                }
                State::Value => {
                    let end = rest.iter().position(|&byte| separator(byte) || blank(byte));
                    rest = &rest[end.unwrap_or(rest.len())..];
                    if end.is_some() {
                        self.state = State::Text;
                    }
                }
            }
        }
    }

    /// The stream begins anew.
    pub(super) fn finish(&mut self) {
        self.state = State::Text;
    }
}

fn separator(byte: u8) -> bool {
    matches!(byte, b'?' | b'&')
}

fn blank(byte: u8) -> bool {
    byte == b' ' || byte.is_ascii_control()
}
