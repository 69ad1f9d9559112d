//! What somebody on the network answers a device that looks for its server: DNS-SD. Whatever it
//! says, the places in it can be written and read back, and none of its instances makes a question
//! that is no question.
#![no_main]

use agent::find::dns::{Kind, question, read};
use agent::line::Place;

const SERVICE: &str = "_muster-est._tcp.plant.example";

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some(said) = read(bytes, SERVICE) else { return };
    for found in &said.found {
        let back = Place::parse(&found.place.to_string()).unwrap();
        assert_eq!((&back.host, back.port), (&found.place.host, found.place.port));
    }
    for instance in &said.instances {
        let asked = question(instance, Kind::Srv);
        assert!(asked.len() <= 512, "RFC 1035 section 4.2.1");
        // A question is no answer.
        assert_eq!(read(&asked, SERVICE), None);
    }
});
