//! The whole server, told as sentences: each permission with its refusal beside it, and every
//! refusal with its trace.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by a panic"
)]

#[path = "../world/mod.rs"]
mod world;

mod agent;
mod bad;
mod birth;
mod clone;
mod connections;
mod crossing;
mod erase;
mod install;
mod join;
mod maker;
mod ocsp;
mod proof;
mod public;
mod renew;
mod restart;
mod revoke;
mod roll;
mod root;
mod shape;
mod standing;
mod tell;
mod token;
mod witness;
