//! Bytes to a tree, and the tree to YAML and back.
#![no_main]

use fleet_language::{Sources, yaml};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    limits::within(data, || {
        let mut sources = Sources::default();
        let file = sources.add("a.yml", text.as_ref());
        let (document, found) = yaml::parse(&sources, file);
        let Some(document) = document.filter(|_| found.is_empty()) else {
            return;
        };
        let written = yaml::to_yaml(&document.body);
        let file = sources.add("b.yml", written.as_str());
        let (again, _) = yaml::parse(&sources, file);
        let again = again.map(|it| yaml::to_yaml(&it.body));
        assert_eq!(again, Some(written), "what was written reads otherwise");
    });
});
