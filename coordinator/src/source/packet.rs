//! Git's pkt-lines: four hexadecimal digits of length, then the bytes.

/// Bytes of one line, its length included.
const MOST: usize = 65520;
/// The band of a side-band that the pusher's git reads.
const RESULT: u8 = 1;
/// The band that is shown to whoever pushes, behind `remote:`.
const PROGRESS: u8 = 2;

/// A part of a stream of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    Data(&'a [u8]),
    /// The end of a list.
    Flush,
}

/// Bytes that are no pkt-lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request is not what git sends")]
pub(super) struct Malformed;

/// Takes the first packet off `bytes`; none where it is not whole.
pub(super) fn next<'a>(bytes: &mut &'a [u8]) -> Result<Option<Packet<'a>>, Malformed> {
    let Some(digits) = bytes.first_chunk::<4>() else {
        return Ok(None);
    };
    let mut length = 0;
    for digit in digits {
        let digit = char::from(*digit).to_digit(16).ok_or(Malformed)?;
        length = length * 16 + digit as usize;
    }
    match length {
        0 => {
            *bytes = &bytes[4..];
            Ok(Some(Packet::Flush))
        }
        // Other special packets, and an empty one, have no place where these are read.
        1..=4 => Err(Malformed),
        length if length > MOST => Err(Malformed),
        length => {
            let Some((packet, rest)) = bytes.split_at_checked(length) else {
                return Ok(None);
            };
            *bytes = rest;
            Ok(Some(Packet::Data(&packet[4..])))
        }
    }
}

/// Adds one line.
pub(super) fn line(out: &mut Vec<u8>, data: &[u8]) {
    debug_assert!(data.len() + 4 <= MOST);
    out.extend_from_slice(format!("{:04x}", data.len() + 4).as_bytes());
    out.extend_from_slice(data);
}

/// Adds the end of a list.
pub(super) fn flush(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0000");
}

/// Adds what the pusher's git reads.
pub(super) fn result(out: &mut Vec<u8>, data: &[u8]) {
    band(out, RESULT, data);
}

/// Adds what is shown to whoever pushes, line by line.
pub(super) fn progress(out: &mut Vec<u8>, text: &str) {
    for row in text.lines() {
        band(out, PROGRESS, format!("{row}\n").as_bytes());
    }
}

/// Adds what says only that somebody is still there.
pub(super) fn sign_of_life(out: &mut Vec<u8>) {
    line(out, &[RESULT]);
}

fn band(out: &mut Vec<u8>, band: u8, data: &[u8]) {
    for part in data.chunks(MOST - 5) {
        let mut packet = Vec::with_capacity(part.len() + 1);
        packet.push(band);
        packet.extend_from_slice(part);
        line(out, &packet);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_taken_one_by_one() {
        let mut bytes = &b"0006a\n0000000"[..];
        assert_eq!(next(&mut bytes), Ok(Some(Packet::Data(b"a\n"))));
        assert_eq!(next(&mut bytes), Ok(Some(Packet::Flush)));
        assert_eq!(next(&mut bytes), Ok(None));
        assert_eq!(bytes, b"000");
        let mut cut = &b"0009ab"[..];
        assert_eq!(next(&mut cut), Ok(None));
        for odd in [
            "zzzz", "0001", "0002", "0003", "0004", "fff1", "ffff", "+005", "PACK",
        ] {
            assert_eq!(next(&mut odd.as_bytes()), Err(Malformed), "{odd}");
        }
    }

    #[test]
    fn long_text_is_cut_into_packets() {
        let mut out = Vec::new();
        result(&mut out, &vec![b'x'; MOST]);
        flush(&mut out);
        let mut rest = &out[..];
        let (mut total, mut packets) = (0, 0);
        while let Some(Packet::Data(data)) = next(&mut rest).unwrap() {
            assert_eq!(data[0], RESULT);
            total += data.len() - 1;
            packets += 1;
        }
        assert_eq!((total, packets), (MOST, 2));
    }
}
