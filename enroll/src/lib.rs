//! The conversations by which a device gets a certificate. Pure machines: bytes come in, an action
//! comes out, and sockets, clocks and decisions are somebody else's.
//!
//! Read on in [`est`] for how a device gets a leaf, in [`device`] for what it says once it has one,
//! and in [`request`] for how it makes the request that it sends.

pub mod device;
pub mod est;
mod place;
pub mod request;
