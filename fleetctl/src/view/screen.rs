//! The terminal: what stands at its bottom is replaced, what is above scrolls.

use super::ansi::width;

/// Remembers what it drew last, so that it can be taken away again.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    /// Widths of the lines at the bottom.
    drawn: Vec<usize>,
}

impl Screen {
    /// What to send so that `above` is printed for good and `bottom` stands
    /// below it, in place of what was drawn before.
    pub(crate) fn draw(&mut self, above: &[String], bottom: &[String], columns: usize) -> String {
        let mut out = self.erase(columns);
        for line in above.iter().chain(bottom) {
            out.push_str(line);
            out.push_str("\r\n");
        }
        self.drawn = bottom.iter().map(|line| width(line)).collect();
        out
    }

    /// What to send to take away what was drawn. A terminal that has become
    /// narrower has wrapped it meanwhile.
    fn erase(&mut self, columns: usize) -> String {
        let rows: usize = self
            .drawn
            .drain(..)
            .map(|width| width.div_ceil(columns.max(1)).max(1))
            .sum();
        if rows == 0 {
            String::new()
        } else {
            format!("\r\u{1b}[{rows}A\u{1b}[J")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawing_again_takes_away_what_was_drawn_also_after_a_resize() {
        let mut screen = Screen::default();
        let lines = ["\x1b[1mheading\x1b[0m".to_owned(), String::new()];
        assert_eq!(
            screen.draw(&[], &lines, 80),
            "\x1b[1mheading\x1b[0m\r\n\r\n"
        );
        let log = ["log".to_owned()];
        assert_eq!(
            screen.draw(&log, &lines[..1], 80),
            "\r\x1b[2A\x1b[Jlog\r\n\x1b[1mheading\x1b[0m\r\n"
        );
        // Seven columns are two lines of four.
        assert_eq!(screen.draw(&[], &[], 4), "\r\x1b[2A\x1b[J");
        assert_eq!(screen.draw(&[], &[], 4), "");
    }
}
