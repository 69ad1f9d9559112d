//! A whole EST request: method, path, headers and body, a line each, then the body.
#![no_main]

use enroll::est::server::{Request, hear};
use std::net::{IpAddr, Ipv4Addr};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.splitn(5, |b| *b == b'\n');
    let mut line = || std::str::from_utf8(lines.next().unwrap_or_default()).unwrap_or_default();
    let (method, path, content_type, authorization) = (line(), line(), line(), line());
    let body = lines.next().unwrap_or_default();
    let _ = hear(Request {
        method,
        path,
        content_type: (!content_type.is_empty()).then_some(content_type),
        authorization: (!authorization.is_empty()).then_some(authorization),
        receipt: (!authorization.is_empty()).then_some(authorization),
        body,
        chain: Vec::new(),
        exporter: Some([7; 32]),
        from: IpAddr::V4(Ipv4Addr::LOCALHOST),
    });
});
