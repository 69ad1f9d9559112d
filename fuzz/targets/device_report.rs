//! What a device says of itself, and where. What was read is written and read back.
#![no_main]

use enroll::device::server::{Action, hear};
use enroll::device::wire::JSON;
use enroll::device::{Place, Report};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.splitn(2, |b| *b == b'\n');
    let path = std::str::from_utf8(lines.next().unwrap_or_default()).unwrap_or_default();
    let body = lines.next().unwrap_or_default();
    if let Some(place) = Place::parse(path) {
        assert_eq!(Place::parse(&place.path()), Some(place));
    }
    for method in ["PUT", "POST"] {
        if let Action::Note(_, report) = hear(method, path, Some(JSON), body) {
            assert_eq!(Report::read(&report.write()), Ok(*report));
        }
    }
});
