//! A glob and a path.
#![no_main]

use fleet_language::glob::Glob;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let (glob, path) = text.split_once('\n').unwrap_or((&text, "a/b"));
    limits::within(data, || Glob::new(glob).is_match(path));
});
