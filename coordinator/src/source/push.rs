//! What a push asks for, as it stands at the start of its request, and what is said
//! to a push that is refused.

use super::names;
use super::packet::{self, Malformed, Packet};

/// Bytes of what comes before the objects.
pub(super) const MOST_BYTES: usize = 1 << 20;
/// Refs that one push may move.
pub(super) const MOST_COMMANDS: usize = 1000;
/// Bytes of all push options.
const MOST_OPTIONS: usize = 64 << 10;

/// What a push asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Push {
    /// In the order of the request; none: the pusher only tries whether it may.
    pub(super) commands: Vec<Command>,
    /// `git push -o`, in order.
    pub(super) options: Vec<String>,
    /// It wants to be told what became of each ref.
    reports: bool,
    /// It can show words.
    pub(super) side_band: bool,
}

/// One ref that is to be moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command {
    /// What the pusher takes for the ref's value; zeros: it is to be made.
    pub(super) old: String,
    /// Zeros: it is to be removed.
    pub(super) new: String,
    /// The full name, as the pusher wrote it.
    pub(super) reference: String,
}

impl Command {
    pub(super) fn removes(&self) -> bool {
        names::is_none(&self.new)
    }

    pub(super) fn makes(&self) -> bool {
        names::is_none(&self.old)
    }
}

/// Why a ref is not moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// A few words, beside the ref.
    pub(super) reason: String,
    /// What to do about it, a sentence; none where another refusal says it.
    pub(super) advice: Option<String>,
}

impl Push {
    /// Reads what comes before the objects; none where more of it is to come. Gives how
    /// many bytes it took too.
    pub(super) fn read(start: &[u8]) -> Result<Option<Push>, Malformed> {
        let mut rest = start;
        let mut push = Push {
            commands: Vec::new(),
            options: Vec::new(),
            reports: false,
            side_band: false,
        };
        let mut has_options = false;
        loop {
            match packet::next(&mut rest)? {
                None => return Ok(None),
                Some(Packet::Flush) => break,
                Some(Packet::Data(line)) => {
                    let text = std::str::from_utf8(line).map_err(|_| Malformed)?;
                    // The history of the pusher's clone ends there: git looks at it.
                    if text.starts_with("shallow ") {
                        continue;
                    }
                    let (command, capabilities) = match text.split_once('\0') {
                        Some((command, capabilities)) => (command, Some(capabilities)),
                        None => (text, None),
                    };
                    for capability in capabilities.unwrap_or_default().trim().split(' ') {
                        match capability {
                            "report-status" | "report-status-v2" => push.reports = true,
                            "side-band-64k" => push.side_band = true,
                            "push-options" => has_options = true,
                            _ => {}
                        }
                    }
                    push.commands.push(read_command(command)?);
                }
            }
        }
        // Their list is there when they were announced, and ends with a flush.
        let mut open = has_options;
        while open {
            match packet::next(&mut rest)? {
                None => return Ok(None),
                Some(Packet::Flush) => open = false,
                Some(Packet::Data(line)) => {
                    let option = std::str::from_utf8(line).map_err(|_| Malformed)?;
                    push.options.push(option.trim_end_matches('\n').to_owned());
                }
            }
        }
        if push.options.iter().map(String::len).sum::<usize>() > MOST_OPTIONS {
            return Err(Malformed);
        }
        Ok(Some(push))
    }

    /// The answer to a push nothing of which was done: `refusals` are those of its
    /// commands, in order; a command without one fails with the others.
    pub(super) fn refused(&self, refusals: &[Option<Refusal>]) -> Vec<u8> {
        let mut report = Vec::new();
        packet::line(&mut report, b"unpack ok\n");
        for (command, refusal) in self.commands.iter().zip(refusals) {
            let reason = refusal
                .as_ref()
                .map_or("another ref of this push was refused", |it| &it.reason);
            let line = format!("ng {} {reason}\n", command.reference);
            packet::line(&mut report, line.as_bytes());
        }
        packet::flush(&mut report);
        let mut out = Vec::new();
        if self.side_band {
            let mut said: Vec<&str> = Vec::new();
            for advice in refusals
                .iter()
                .flatten()
                .filter_map(|it| it.advice.as_deref())
            {
                if !said.contains(&advice) && said.len() < 10 {
                    said.push(advice);
                    packet::progress(&mut out, advice);
                }
            }
            packet::progress(&mut out, "Nothing was pushed.");
        }
        match (self.reports, self.side_band) {
            (true, true) => packet::result(&mut out, &report),
            (true, false) => out = report,
            (false, _) => {}
        }
        if self.side_band {
            packet::flush(&mut out);
        }
        out
    }

    /// What git answered, with `words` for whoever pushed before its end.
    pub(super) fn answered(&self, mut answer: Vec<u8>, words: &str) -> Vec<u8> {
        if self.side_band {
            if answer.ends_with(b"0000") {
                answer.truncate(answer.len() - 4);
            }
            packet::progress(&mut answer, words);
            packet::flush(&mut answer);
        }
        answer
    }
}

fn read_command(text: &str) -> Result<Command, Malformed> {
    let mut words = text.trim_end_matches('\n').splitn(3, ' ');
    let (Some(old), Some(new), Some(reference)) = (words.next(), words.next(), words.next()) else {
        return Err(Malformed);
    };
    // Only SHA-1 repositories are kept here. `push-cert` ends up here too.
    let is_hash = |text: &str| text.len() == 40 && names::is_object(text);
    if !is_hash(old) || !is_hash(new) || reference.is_empty() {
        return Err(Malformed);
    }
    Ok(Command {
        old: old.to_owned(),
        new: new.to_owned(),
        reference: reference.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const NONE: &str = "0000000000000000000000000000000000000000";

    fn request(lines: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        for line in lines {
            match *line {
                "" => packet::flush(&mut out),
                line => packet::line(&mut out, line.as_bytes()),
            }
        }
        out
    }

    #[test]
    fn commands_capabilities_and_options_are_read() {
        let first = format!(
            "{NONE} {A} refs/heads/main\0 report-status-v2 side-band-64k push-options object-format=sha1 agent=git/2.47"
        );
        let second = format!("{A} {NONE} refs/tags/v 1\n");
        let shallow = format!("shallow {A}");
        let mut bytes = request(&[&shallow, &first, &second, "", "ci.skip", "a=b\n", ""]);
        bytes.extend_from_slice(b"PACK....");
        let push = Push::read(&bytes).unwrap().unwrap();
        assert_eq!(push.options, ["ci.skip", "a=b"]);
        assert!(push.reports && push.side_band);
        assert_eq!(push.commands.len(), 2);
        assert!(push.commands[0].makes() && push.commands[1].removes());
        assert_eq!(push.commands[1].reference, "refs/tags/v 1");
        // Cut anywhere before the objects, there is more to come.
        for end in 0..bytes.len() - 8 {
            assert_eq!(Push::read(&bytes[..end]), Ok(None), "{end}");
        }
        assert_eq!(Push::read(b"0000").unwrap().unwrap().commands, []);
    }

    #[test]
    fn what_git_does_not_send_is_refused() {
        for line in [
            "push-cert\0 atomic",
            "x",
            &format!("{A} {A}"),
            &format!("{A} {A} "),
            &format!("{A} {A}a refs/heads/x"),
            &format!("{} {A} refs/heads/x", A.to_uppercase()),
            &format!("{A}  {A} refs/heads/x"),
        ] {
            assert_eq!(Push::read(&request(&[line, ""])), Err(Malformed), "{line}");
        }
        let mut bytes = request(&[&format!("{A} {A} refs/heads/x\0push-options"), ""]);
        for _ in 0..3 {
            packet::line(&mut bytes, &[b'o'; 60000]);
        }
        packet::flush(&mut bytes);
        assert_eq!(Push::read(&bytes), Err(Malformed));
        assert_eq!(Push::read(b"0009\xff\xff\xff\xff\xff0000"), Err(Malformed));
    }

    #[test]
    fn words_come_before_the_end_of_the_answer() {
        let push = Push::read(&request(&[
            &format!("{A} {A} refs/heads/x\0side-band-64k"),
            "",
        ]));
        let push = push.unwrap().unwrap();
        let answer = push.answered(b"0006\x01a0000".to_vec(), "one\ntwo");
        assert_eq!(answer, b"0006\x01a0009\x02one\n0009\x02two\n0000");
        assert_eq!(push.answered(Vec::new(), ""), b"0000");
    }
}
