//! A duration in words.
#![no_main]

use fleet_language::duration;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let seconds = limits::within(data, || duration::parse(&text));
    assert!(seconds.is_ok_and(|it| it.is_finite() && it >= 0.0) || duration::parse(&text).is_err());
});
