//! The conversations by which a device gets a certificate. Pure machines: bytes come in, an action
//! comes out, and sockets, clocks and decisions are somebody else's.
//!
//! Read on in [`est`] for the one protocol that is spoken today, and in [`request`] for how a
//! device makes the request that it sends.

pub mod est;
pub mod request;
