//! What every registry must do, whatever it is built on. Written against the public API alone, so
//! that a second backend can be put under it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

#[path = "../world/mod.rs"]
mod world;

mod births;
mod found;
mod joins;
mod leaving;
mod ledger;
