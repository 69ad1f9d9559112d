//! A request that somebody sends, and a response that somebody reads.
#![no_main]

use ca::ocsp::wire::{Request, Response, request};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(read) = Request::parse(bytes) {
        let ids: Vec<_> = read.asked.iter().map(|id| id.der.to_vec()).collect();
        let _ = read.asked.iter().map(ca::ocsp::wire::CertId::serial).count();
        let again = request(&ids, read.nonce).unwrap();
        assert_eq!(Request::parse(&again).unwrap(), read);
    }
    if let Ok(Ok(heard)) = Response::parse(bytes) {
        let _ = heard.responder.as_ref().map(|responder| heard.verify(responder));
    }
});
