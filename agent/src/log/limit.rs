//! The size limit of a log: the beginning and the end are kept.

use std::collections::VecDeque;

use super::line::bold_yellow;

/// Bytes of the end that are kept.
const END: usize = 1 << 20;

/// Passes on the first bytes of a log and keeps the last ones for its end.
#[derive(Debug)]
pub(super) struct Limit {
    limit: u64,
    /// Bytes passed on.
    passed: u64,
    at_line_start: bool,
    /// What came after the limit; none before it is reached.
    end: Option<End>,
}

#[derive(Debug, Default)]
struct End {
    kept: VecDeque<u8>,
    /// Bytes between the last one passed on and the first one kept.
    left_out: u64,
}

impl Limit {
    pub(super) fn new(limit: u64) -> Limit {
        Limit {
            limit,
            passed: 0,
            at_line_start: true,
            end: None,
        }
    }

    /// Takes in `bytes` and hands `sink` what belongs to the log now.
    pub(super) fn push(&mut self, bytes: &[u8], sink: &mut impl FnMut(&[u8])) {
        if let Some(end) = &mut self.end {
            return end.keep(bytes);
        }
        let room = usize::try_from(self.limit - self.passed).unwrap_or(usize::MAX);
        if bytes.len() <= room {
            return self.pass(bytes, sink);
        }
        let (now, later) = bytes.split_at(cut(bytes, room));
        self.pass(now, sink);
        if !self.at_line_start {
            sink(b"\n");
        }
        sink(&bold_yellow(&format!(
            "Job's log exceeded limit of {} bytes.\n\
             Job execution will continue; the end of the output follows the gap.",
            self.limit
        )));
        self.end.insert(End::default()).keep(later);
    }

    /// Hands `sink` the end of a log that went beyond the limit.
    pub(super) fn finish(self, sink: &mut impl FnMut(&[u8])) {
        let Some(mut end) = self.end else { return };
        end.start_at_line();
        sink(&bold_yellow(&format!(
            "[{} bytes are left out here]",
            end.left_out
        )));
        let (first, second) = end.kept.as_slices();
        for part in [first, second] {
            if !part.is_empty() {
                sink(part);
            }
        }
    }

    fn pass(&mut self, bytes: &[u8], sink: &mut impl FnMut(&[u8])) {
        if let Some(&last) = bytes.last() {
            self.passed += bytes.len() as u64;
            self.at_line_start = last == b'\n';
            sink(bytes);
        }
    }
}

impl End {
    fn keep(&mut self, bytes: &[u8]) {
        let over = (self.kept.len() + bytes.len()).saturating_sub(END);
        let old = over.min(self.kept.len());
        self.kept.drain(..old);
        self.kept.extend(&bytes[over - old..]);
        self.left_out += over as u64;
    }

    /// Drops the rest of a line, or at least of a character, whose beginning
    /// is left out.
    fn start_at_line(&mut self) {
        if self.left_out == 0 {
            return;
        }
        let rest = match self.kept.iter().position(|&byte| byte == b'\n') {
            Some(feed) if feed + 1 < self.kept.len() => feed + 1,
            _ => self
                .kept
                .iter()
                .take(3)
                .take_while(|&&byte| continuation(byte))
                .count(),
        };
        self.kept.drain(..rest);
        self.left_out += rest as u64;
    }
}

/// The end of the last line within the first `room` bytes; without one, the
/// end of the last whole character.
fn cut(bytes: &[u8], room: usize) -> usize {
    if let Some(feed) = bytes[..room].iter().rposition(|&byte| byte == b'\n') {
        return feed + 1;
    }
    let back = bytes[..=room]
        .iter()
        .rev()
        .take(4)
        .take_while(|&&byte| continuation(byte))
        .count();
    if back > 3 {
        room
    } else {
        room.saturating_sub(back)
    }
}

fn continuation(byte: u8) -> bool {
    byte & 0xC0 == 0x80
}
