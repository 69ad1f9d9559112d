//! The conversation between a log and a witness (C2SP tlog-witness): the log shows a checkpoint and
//! the proof that it grew from the last one that the witness saw; the witness remembers it and
//! cosigns.
//!
//! [`wire`] is what is said, [`server`] decides for a witness, [`client`] reads for a log what a
//! witness answered. The host of a witness has one duty of its own: what was accepted is durable
//! before the cosignature leaves, so that a crash cannot make it sign two pasts.
//!
//! The same text, old size, proof and new checkpoint, also serves as a file: the proof that a log
//! only grew between two checkpoints ([`wire::AddCheckpoint::verify`]).

pub mod client;
pub mod server;
pub mod wire;

pub use wire::AddCheckpoint;
