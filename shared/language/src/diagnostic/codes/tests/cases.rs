//! What people see: configurations with mistakes, and all that is said of them.
//!
//! Each file of `tests/findings` has the configuration's files, each under a line
//! `--- path`, and below `===` what is printed. The first line may name a width.
//! `UPDATE_FINDINGS=1 cargo test -p fleet-language cases` writes what is printed.

use std::fs;
use std::path::Path;

use super::{Repository, findings};
use crate::render::{Style, render};

const WIDTH: usize = 100;

#[test]
fn cases_say_what_people_should_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/findings");
    let is_update = std::env::var_os("UPDATE_FINDINGS").is_some();
    let mut wrong = Vec::new();
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let case = fs::read_to_string(&path).unwrap();
        let (given, expected) = case.split_once("\n===\n").unwrap();
        let (head, files) = given.split_once("--- ").unwrap();
        let width = head.trim().strip_prefix("width ");
        let files = files.split("\n--- ").map(|file| {
            let (path, text) = file.split_once('\n').unwrap();
            (path.to_owned(), text.replace("<CR>", "\r") + "\n")
        });
        let found = findings(&Repository(files.collect()));
        let style = Style {
            color: false,
            width: width.map_or(WIDTH, |width| width.parse().unwrap()),
        };
        let printed = render(&found.diagnostics, &found.sources, style);
        if printed != expected {
            if is_update {
                fs::write(&path, format!("{given}\n===\n{printed}")).unwrap();
            } else {
                wrong.push(format!("{}:\n{printed}", path.display()));
            }
        }
        count += 1;
    }
    assert!(count >= 60, "only {count} cases");
    assert!(
        wrong.is_empty(),
        "{}\nrun UPDATE_FINDINGS=1 cargo test -p fleet-language cases, and read the diff",
        wrong.join("\n")
    );
}
