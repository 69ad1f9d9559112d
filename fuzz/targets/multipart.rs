//! The answer of `serverkeygen` as a device reads it: the first line is the Content-Type.
#![no_main]

use enroll::est::wire::multipart::read;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.splitn(2, |b| *b == b'\n');
    let content_type = std::str::from_utf8(lines.next().unwrap_or_default()).unwrap_or_default();
    let _ = read(content_type.trim(), lines.next().unwrap_or_default());
});
