//! What `docs/ledger.md` says for other people's verifiers is what the code does.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

#[path = "../examples/vectors.rs"]
#[expect(dead_code, reason = "an example has a `main`, which a test does not call")]
mod vectors;

use ledger::{Class, Receipt, Trust, VerifierKey};

fn read() -> &'static str {
    include_str!("../../docs/ledger.md")
}

#[test]
fn the_test_vectors_of_the_document_are_those_of_the_code() {
    let again = "`cargo run -p ledger --example vectors` writes them";
    assert!(read().contains(vectors::document().trim_end()), "{again}:\n{}", vectors::document());
}

#[test]
fn the_document_names_every_class_with_its_number() {
    let document = read();
    for class in Class::ALL {
        let row = format!("| {} | `{}` |", class.number(), class.as_str());
        assert!(document.contains(&row), "no row `{row}`");
    }
}

/// The block of the document behind this heading.
fn block(document: &str, heading: &str) -> String {
    let (_, rest) = document.split_once(&format!("{heading}:\n\n```text\n")).unwrap();
    rest.split_once("\n```").unwrap().0.to_owned() + "\n"
}

#[test]
fn the_receipt_in_the_document_holds_under_the_keys_in_it() {
    let document = read();
    let receipt = Receipt::decode(&block(document, "Receipt of entry 3")).unwrap();
    let headings = [
        "Key of the log (Ed25519, its seed is 32 octets 01)",
        "Key of the witness (Ed25519, its seed is 32 octets 02)",
    ];
    let keys = headings.map(|h| VerifierKey::parse(block(document, h).trim()).unwrap());
    let proven = receipt.verify(&Trust { keys: &keys, quorum: 1 }).unwrap();
    assert_eq!((proven.entry().index, proven.cosigned().len()), (3, 1));
    assert!(proven.issued(&[0xc0; 32]));
}
