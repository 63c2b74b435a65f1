//! A body with `$[[ ]]` blocks, and the values of its inputs.
#![no_main]

use fleet_language::{Files, Reach, fetch::Nowhere, lint};
use libfuzzer_sys::fuzz_target;

/// Splits the body from the values that are given.
const GIVEN: &str = "\n=====\n";

const HEADER: &str = "spec:\n  inputs:\n    text: {default: 'a $B c'}\n    number: {type: number, \
                      default: 3}\n    flag: {type: boolean, default: true}\n    list: {type: array, \
                      default: [a, [b], {c: d}]}\n    rules: {rules: [{if: '$[[ inputs.text ]] == \
                      \"x\"', options: [a], default: a}, {default: b}]}\n---\n";

struct Included(String);

impl Files for Included {
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        (path == "a.yml").then(|| self.0.as_bytes().to_vec())
    }

    fn paths(&self) -> Vec<String> {
        vec!["a.yml".to_owned()]
    }
}

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let (body, given) = text.split_once(GIVEN).unwrap_or((&text, "{}"));
    let files = Included(format!("{HEADER}{body}"));
    let root = format!("include:\n- local: a.yml\n  inputs: {given}\n");
    limits::within(data, || {
        let reach = Reach {
            files: &files,
            fetch: &Nowhere,
        };
        drop(lint((".gitlab-ci.yml", &root), None, reach));
    });
});
