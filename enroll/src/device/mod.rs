//! What a device says of itself once it is in, over the same port and with its leaf: what it runs
//! and what is printed on it ([`Report`]), and that it leaves for good.
//!
//! Two requests of our own, since no RFC has them: `PUT /device/v1/report` and
//! `POST /device/v1/leave`, below `/device/v1/{realm}/` for a realm that is not `default`. The
//! device speaks first ([`client`]), the server answers 204 or a sentence ([`server`]); bytes and
//! bounds are in [`wire`].

pub mod client;
pub mod server;
pub mod wire;

pub use wire::{Operation, Place, Report};
