//! An expression, its patterns included, and what its variables hold.
#![no_main]

use fleet_language::expression::Expression;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let (text, value) = text.split_once('\n').unwrap_or((&text, ""));
    limits::within(data, || {
        if let Ok(expression) = Expression::parse(text) {
            let lookup = |name: &str| name.starts_with('A').then(|| value.to_owned());
            let _ = expression.truthful(&lookup);
            assert_eq!(expression.text(), text);
        }
    });
});
