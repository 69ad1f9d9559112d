//! What a log that is watched may answer, and the state of a watcher: a bundle with its tile, cut
//! anywhere.
#![no_main]

use ledger::Monitor;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    if let Ok(monitor) = Monitor::decode(octets) {
        assert_eq!(monitor.encode().as_deref(), Some(octets));
    }
    let Some((at, rest)) = octets.split_first() else { return };
    let Some((bundle, tile)) = rest.split_at_checked(usize::from(*at)) else { return };
    let mut monitor = Monitor::new();
    if let Some(wanted) = monitor.next((tile.len() / 32) as u64) {
        let _ = monitor.take(wanted, bundle, tile);
    }
});
