//! The ledger: an append-only Merkle log in which every change of identity is one entry.
//!
//! An [`Entry`] tells a stranger only a number, an hour and a class; what happened stands in a
//! [`Payload`], bound to its entry by a salted [`digest()`], so that it can be erased and the proof
//! kept. Entries are leaves of an RFC 6962 tree ([`tree`]), served as C2SP tlog-tiles ([`tile`])
//! under a checkpoint that is a C2SP signed note ([`note`]); [`verify`] re-computes all of it and
//! says where it breaks. So witnesses and verifiers that others wrote work on it. A [`receipt`] is
//! one entry's proof in a file of its own, [`witness`] the conversation with those who see that the
//! log only grows, and [`monitor`] watches a log from outside.
//!
//! What an entry means to the people who watch is in [`event`].
//!
//! Nothing here touches a file, a socket, a clock or a die. Read on in [`entry`] for what is hashed
//! and in [`tree`] for how.

pub mod entry;
pub mod event;
pub mod monitor;
pub mod note;
pub mod payload;
pub mod receipt;
pub mod tile;
pub mod tree;
pub mod verify;
mod wire;
pub mod witness;
#[cfg(test)]
mod world;

pub use entry::{Class, Entry, digest};
pub use event::{Event, Severity};
pub use monitor::Monitor;
pub use note::{Checkpoint, Origin, VerifierKey};
pub use payload::{Map, Payload, Value};
pub use receipt::{Proven, Receipt, Trust};
pub use tree::{Frontier, Hashes, Head, Subtree};
pub use verify::{Break, Row, Verifier};

/// A SHA-256 hash.
pub type Hash = [u8; 32];
