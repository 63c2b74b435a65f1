//! A job's log as lines: bytes in, whatever way they are cut, lines out.

use super::ansi::{Style, sanitize, strip};

/// A line without an end is taken as one at this many bytes.
const MAX_LINE_BYTES: usize = 64 * 1024;
/// `2026-01-02T03:04:05.000000Z 01O `
const FRAME_BYTES: usize = 32;

/// The agent's own parts of a job, by the names of their log sections; what the
/// user's script does is in the others.
const AGENT_SECTIONS: [&str; 9] = [
    "archive_cache",
    "cleanup_file_variables",
    "clear_worktree",
    "download_artifacts",
    "get_sources",
    "prepare_executor",
    "prepare_script",
    "restore_cache",
    "upload_artifacts",
];

/// A line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Its text with its colours.
    pub(crate) text: String,
    /// It tells of the agent's work, not of the script's.
    pub(crate) of_agent: bool,
}

/// Reads one attempt's log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reader {
    /// What has no end of line yet.
    pending: Vec<u8>,
    /// A line that the next one may continue.
    held: Option<Vec<u8>>,
    sections: Vec<String>,
    /// The agent introduces itself; its first section has not begun.
    in_greeting: bool,
    style: Style,
}

impl Reader {
    /// The lines that `data` completes.
    pub(crate) fn push(&mut self, data: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        for part in data.split_inclusive(|byte| *byte == b'\n') {
            self.pending.extend_from_slice(part);
            if part.ends_with(b"\n") || self.pending.len() >= MAX_LINE_BYTES {
                let mut raw = std::mem::take(&mut self.pending);
                if raw.ends_with(b"\n") {
                    raw.pop();
                }
                self.take(raw, &mut lines);
            }
        }
        lines
    }

    /// The rest, when no more comes.
    pub(crate) fn finish(&mut self) -> Vec<Line> {
        let mut lines = Vec::new();
        let raw = std::mem::take(&mut self.pending);
        if !raw.is_empty() {
            self.take(raw, &mut lines);
        }
        self.release(&mut lines);
        lines
    }

    /// Takes the framing with timestamps off, where a log has it.
    fn take(&mut self, raw: Vec<u8>, lines: &mut Vec<Line>) {
        let Some((continues, body)) = unframe(&raw) else {
            self.release(lines);
            self.line(&raw, lines);
            return;
        };
        if !continues {
            self.release(lines);
        }
        // Framing cuts a line at each carriage return the job wrote by itself.
        let held = self.held.get_or_insert_default();
        held.extend_from_slice(body);
        if !held.contains(&b'\r') || held.len() >= MAX_LINE_BYTES {
            self.release(lines);
        }
    }

    fn release(&mut self, lines: &mut Vec<Line>) {
        if let Some(held) = self.held.take() {
            self.line(&held, lines);
        }
    }

    /// A whole line: section marks go, and of parts that overwrite each other
    /// the last one counts.
    fn line(&mut self, raw: &[u8], lines: &mut Vec<Line>) {
        let mut marked = false;
        let mut visible: &[u8] = b"";
        for part in raw.split(|byte| *byte == b'\r') {
            let Some((before, mark)) = Mark::find(part) else {
                if !is_blank(part) {
                    visible = part;
                }
                continue;
            };
            marked = true;
            if !is_blank(before) {
                self.emit(before, lines);
            }
            visible = b"";
            self.in_greeting = false;
            match mark {
                Mark::Start(name) => self.sections.push(name),
                Mark::End(name) => {
                    if let Some(at) = self.sections.iter().rposition(|open| *open == name) {
                        self.sections.truncate(at);
                    }
                }
            }
        }
        if !marked || !is_blank(visible) {
            self.emit(visible, lines);
        }
    }

    fn emit(&mut self, raw: &[u8], lines: &mut Vec<Line>) {
        let clean = sanitize(raw);
        let plain = strip(&clean);
        if plain.starts_with("Running with fleet-agent") {
            self.in_greeting = true;
        }
        let in_agent_section = self.sections.iter().any(|open| {
            AGENT_SECTIONS
                .iter()
                .any(|section| open.starts_with(section))
        });
        let of_agent =
            is_announcement(&plain) || (self.in_greeting || in_agent_section) && !is_told(&plain);
        lines.push(Line {
            text: self.style.carry(clean),
            of_agent,
        });
    }
}

/// What the agent says around scripts and the view shows anyway.
fn is_announcement(plain: &str) -> bool {
    plain == "Job succeeded"
        || plain == "Running after script..."
        || plain.starts_with("ERROR: Job failed: exit ")
        || plain.starts_with("Executing \"") && plain.ends_with(" stage of the job script")
}

/// What of the agent's own is for everybody: alarms, and what takes long.
fn is_told(plain: &str) -> bool {
    ["ERROR: ", "WARNING: ", "Pulling docker image "]
        .iter()
        .any(|start| plain.starts_with(start))
}

/// Nothing, or only sequences that clear the line.
fn is_blank(part: &[u8]) -> bool {
    part.is_empty() || sanitize(part).is_empty()
}

/// Whether the line continues the one before, and its text; none where the line
/// is not framed.
fn unframe(raw: &[u8]) -> Option<(bool, &[u8])> {
    let (frame, body) = raw.split_at_checked(FRAME_BYTES)?;
    const SHAPE: &[u8; FRAME_BYTES] = b"dddd-dd-ddTdd:dd:dd.ddddddZ xxs+";
    let fits = frame.iter().zip(SHAPE).all(|(byte, shape)| match shape {
        b'd' => byte.is_ascii_digit(),
        b'x' => byte.is_ascii_hexdigit(),
        b's' => matches!(byte, b'O' | b'E'),
        b'+' => matches!(byte, b' ' | b'+'),
        _ => byte == shape,
    });
    fits.then(|| (frame[FRAME_BYTES - 1] == b'+', body))
}

/// A section's begin or end, with its name.
enum Mark {
    Start(String),
    End(String),
}

impl Mark {
    /// The mark in a part of a line, and what stands before it.
    fn find(part: &[u8]) -> Option<(&[u8], Mark)> {
        for (word, start) in [(&b"section_start:"[..], true), (b"section_end:", false)] {
            let Some(at) = part.windows(word.len()).position(|window| window == word) else {
                continue;
            };
            let rest = part.get(at + word.len()..)?;
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let Some(name) = rest.get(digits..).and_then(|rest| rest.strip_prefix(b":")) else {
                continue;
            };
            let end = name
                .iter()
                .position(|byte| !byte.is_ascii_alphanumeric() && !b"_.-".contains(byte))
                .unwrap_or(name.len());
            if digits == 0 || end == 0 {
                continue;
            }
            let name = String::from_utf8_lossy(&name[..end]).into_owned();
            let mark = if start {
                Mark::Start(name)
            } else {
                Mark::End(name)
            };
            return Some((&part[..at], mark));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(log: &str) -> Vec<Line> {
        let mut reader = Reader::default();
        let mut lines = reader.push(log.as_bytes());
        lines.extend(reader.finish());
        lines
    }

    fn texts(log: &str) -> Vec<String> {
        read(log).into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn lines_do_not_depend_on_how_bytes_arrive() {
        let log =
            "one\r\n\x1b[32mtwo\x1b[0m\nsection_start:1:x\r\x1b[0KHead\n10%\r20%\rdone\n\nä\nend";
        let whole = read(log);
        let mut reader = Reader::default();
        let mut parts: Vec<Line> = log.bytes().flat_map(|byte| reader.push(&[byte])).collect();
        parts.extend(reader.finish());
        assert_eq!(parts, whole);
        assert_eq!(
            texts(log),
            ["one", "\x1b[32mtwo\x1b[0m", "Head", "done", "", "ä", "end"]
        );
    }

    #[test]
    fn section_marks_are_never_shown() {
        let log = "no line endsection_end:5:step_script\r\x1b[0Ksection_start:5:after_script\r\x1b[0K\
                   \x1b[0K\x1b[36;1mRunning after_script\x1b[0;m\x1b[0;m\nsection_end:6:after_script\r\x1b[0K";
        assert_eq!(
            texts(log),
            [
                "no line end",
                "\x1b[36;1mRunning after_script\x1b[0;m\x1b[0;m"
            ]
        );
        assert_eq!(
            texts("\x1b[0Ksection_start:1:a[collapsed=true]\r\x1b[0KMine\n"),
            ["Mine"]
        );
        assert_eq!(
            texts("section_start: is a word\n"),
            ["section_start: is a word"]
        );
    }

    #[test]
    fn agents_own_work_is_told_apart_but_not_its_alarms() {
        let log = "Running with fleet-agent 1\n  on local\nsection_start:1:get_sources\r\x1b[0KGetting source\n\
                   WARNING: slow\nPulling docker image a:1 ...\nsection_end:1:get_sources\r\x1b[0K$ make\nERROR: Job failed: exit code 1\n\
                   ERROR: Job failed (system failure): no disk\nJob succeeded\n";
        let of_agent: Vec<bool> = read(log).iter().map(|line| line.of_agent).collect();
        assert_eq!(
            of_agent,
            [true, true, true, false, false, false, true, false, true]
        );
    }

    #[test]
    fn timestamps_are_taken_off_and_cut_lines_joined() {
        let at = "2026-01-02T03:04:05.000000Z";
        let log = format!(
            "{at} 01O p: .\r\n{at} 01O+.\r\n{at} 01O+done\r\n{at} 01E err\n\
             {at} 00O section_start:1:x\r\x1b[0K\n{at} 00O+head\n{at} 01O eat\r\r\r\n"
        );
        assert_eq!(texts(&log), ["done", "err", "head", "eat"]);
    }

    #[test]
    fn line_without_end_is_cut_and_nothing_lost() {
        let long = "x".repeat(MAX_LINE_BYTES + 10);
        assert_eq!(texts(&long).concat(), long);
    }
}
