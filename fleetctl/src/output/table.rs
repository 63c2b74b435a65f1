//! Tables without borders, as wide as the terminal at most.

use crate::view::{Canvas, clean, plain_width, truncate};

/// Between two columns.
const GAP: usize = 2;
/// No column becomes narrower than this for another's sake.
const NARROWEST: usize = 6;

/// A column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    heading: &'static str,
    is_right: bool,
    is_wide: bool,
}

impl Column {
    /// Text.
    pub(crate) const fn left(heading: &'static str) -> Column {
        Column {
            heading,
            is_right: false,
            is_wide: false,
        }
    }

    /// A number.
    pub(crate) const fn right(heading: &'static str) -> Column {
        Column {
            heading,
            is_right: true,
            is_wide: false,
        }
    }

    /// Only with `-o wide`.
    pub(crate) const fn wide(self) -> Column {
        Column {
            is_wide: true,
            ..self
        }
    }
}

/// A cell: one line of text and its colour.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    code: &'static str,
}

impl Cell {
    /// Text as it is. Nothing in it steers the terminal.
    pub(crate) fn plain(text: impl ToString) -> Cell {
        Cell {
            text: clean(&text.to_string()),
            code: "",
        }
    }

    /// A state of a job, pipeline or agent, in its colour.
    pub(crate) fn state(text: &str) -> Cell {
        let code = match text {
            "success" | "passed" | "online" | "ok" | "available" => "32",
            "failed" | "lost" | "revoked" | "denied" | "error" => "31",
            "running"
            | "pending"
            | "scheduled"
            | "preparing"
            | "waiting_for_resource"
            | "stopping" => "36",
            "canceling" | "canceled" | "draining" | "drained" | "offline" | "locked"
            | "failed (allowed)" | "passed (warnings)" => "33",
            _ => "2",
        };
        Cell {
            text: clean(text),
            code,
        }
    }
}

/// The lines of a table, its headings first. Where the terminal is narrower, the
/// widest columns are cut.
pub(super) fn render(
    columns: &[Column],
    rows: Vec<Vec<Cell>>,
    wide: bool,
    canvas: Canvas,
) -> Vec<String> {
    let shown: Vec<usize> = (0..columns.len())
        .filter(|index| wide || !columns[*index].is_wide)
        .collect();
    let mut lines = vec![
        columns
            .iter()
            .map(|column| Cell {
                text: column.heading.to_owned(),
                code: "2",
            })
            .collect(),
    ];
    lines.extend(rows);
    let mut widths: Vec<usize> = shown
        .iter()
        .map(|index| {
            let cells = lines.iter().filter_map(|line| line.get(*index));
            cells.map(|cell| plain_width(&cell.text)).max().unwrap_or(0)
        })
        .collect();
    if let Some(most) = canvas.columns {
        shrink(&mut widths, most);
    }
    lines
        .iter()
        .map(|line| {
            let cells = shown.iter().zip(&widths).map(|(index, width)| {
                let is_right = columns[*index].is_right;
                (line.get(*index), *width, is_right)
            });
            draw(cells, canvas)
        })
        .collect()
}

/// Takes columns from the widest until all fit.
fn shrink(widths: &mut [usize], most: usize) {
    let gaps = GAP * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > most {
        match widths.iter_mut().max_by_key(|width| **width) {
            Some(widest) if *widest > NARROWEST => *widest -= 1,
            _ => return,
        }
    }
}

fn draw<'a>(
    cells: impl Iterator<Item = (Option<&'a Cell>, usize, bool)>,
    canvas: Canvas,
) -> String {
    let mut line = String::new();
    let mut used = 0;
    // Spaces are drawn when something comes after them.
    let mut column = 0;
    for (cell, width, is_right) in cells {
        if let Some(cell) = cell {
            let text = truncate(&cell.text, width);
            let wide = plain_width(&text);
            let at = column
                + if is_right {
                    width.saturating_sub(wide)
                } else {
                    0
                };
            let room = canvas.columns.unwrap_or(usize::MAX).saturating_sub(at);
            let text = truncate(&text, room);
            if !text.is_empty() {
                line.push_str(&" ".repeat(at.saturating_sub(used)));
                line.push_str(&canvas.paint(cell.code, &text));
                used = at + plain_width(&text);
            }
        }
        column += width + GAP;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[
        Column::right("ID"),
        Column::left("NAME"),
        Column::left("TAGS").wide(),
        Column::left("STATUS"),
    ];

    fn rows() -> Vec<Vec<Cell>> {
        vec![
            vec![
                Cell::plain(7),
                Cell::plain("日本語 build with a name that is long"),
                Cell::plain("linux"),
                Cell::state("failed"),
            ],
            vec![
                Cell::plain(812),
                Cell::plain("a\x1b[31m\nb"),
                Cell::plain(""),
                Cell::state("success"),
            ],
        ]
    }

    fn canvas(columns: Option<usize>) -> Canvas {
        Canvas {
            columns,
            color: false,
        }
    }

    #[test]
    fn columns_are_aligned_and_no_space_ends_a_line() {
        assert_eq!(
            render(COLUMNS, rows(), false, canvas(None)),
            [
                " ID  NAME                                   STATUS",
                "  7  日本語 build with a name that is long  failed",
                "812  a b                                    success",
            ]
        );
        assert_eq!(
            render(COLUMNS, rows(), true, canvas(None))[2],
            "812  a b                                           success"
        );
    }

    #[test]
    fn narrow_terminal_cuts_the_widest_column_and_wraps_nothing() {
        assert_eq!(
            render(COLUMNS, rows(), false, canvas(Some(30))),
            [
                " ID  NAME              STATUS",
                "  7  日本語 build wi…  failed",
                "812  a b               success",
            ]
        );
        for columns in 1..80 {
            for line in render(COLUMNS, rows(), true, canvas(Some(columns))) {
                assert!(plain_width(&line) <= columns, "{columns}: {line:?}");
            }
        }
    }

    #[test]
    fn colour_is_beside_the_word() {
        let coloured = Canvas {
            columns: None,
            color: true,
        };
        let lines = render(COLUMNS, rows(), false, coloured);
        assert!(
            lines[1].ends_with("\x1b[31mfailed\x1b[0m"),
            "{:?}",
            lines[1]
        );
    }
}
