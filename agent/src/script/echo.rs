//! The line that shows an entry before it runs.

use super::quoting::quote;

/// How a multi-line entry is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sections {
    /// Its first line, marked as collapsed.
    Off,
    /// A collapsed section with its whole text (`FF_SCRIPT_SECTIONS`).
    On {
        /// Seconds since 1970, for shells that cannot tell the time
        /// themselves.
        now: u64,
    },
}

const GREEN: &str = "\x1b[32;1m";
const RESET: &str = "\x1b[0;m";

/// Appends the command that shows `entry`, the `index`th of its block.
///
/// `entry` is trimmed. Printing goes through `printf '%s'`: `echo` would read
/// backslashes in dash and options in bash.
pub(super) fn entry(
    entry: &str,
    index: usize,
    section: &str,
    sections: Sections,
    out: &mut Vec<u8>,
) {
    if entry.is_empty() {
        out.extend_from_slice(b"printf '\\n'\n");
        return;
    }
    match (entry.split_once('\n'), sections) {
        (None, _) => line(&format!("$ {entry}"), out),
        (Some((first, _)), Sections::Off) => {
            line(&format!("$ {first} # collapsed multi-line command"), out);
        }
        (Some(_), Sections::On { now }) => collapsed(entry, index, section, now, out),
    }
}

/// Appends the command that prints `text` as one bold green line.
pub(super) fn line(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"printf '%s\\n' ");
    quote(format!("{GREEN}{text}{RESET}").as_bytes(), out);
    out.push(b'\n');
}

/// A section that holds the text and ends at once: what it hides is the
/// source, not the output.
fn collapsed(entry: &str, index: usize, section: &str, now: u64, out: &mut Vec<u8>) {
    let name = format!("section_{section}_{index}");
    let time = format!("\"${{EPOCHSECONDS:-{now}}}\"");
    out.extend_from_slice(b"printf 'section_start:%s:%s[hide_duration=true,collapsed=true]\\r\\033[0K%s\\nsection_end:%s:%s\\r\\033[0K\\n' ");
    out.extend_from_slice(time.as_bytes());
    out.push(b' ');
    quote(name.as_bytes(), out);
    out.push(b' ');
    quote(format!("{GREEN}$ {entry}{RESET}").as_bytes(), out);
    out.push(b' ');
    out.extend_from_slice(time.as_bytes());
    out.push(b' ');
    quote(name.as_bytes(), out);
    out.push(b'\n');
}
