//! Writes `docs/events.md`: `cargo run -p ledger --example events > docs/events.md`.

fn main() {
    print!("{}", ledger::event::document());
}
