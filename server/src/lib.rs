//! The host: sockets, files, clock and chance around the decisions that are made on the floors
//! below.

pub mod clock;
pub mod found;
pub mod home;
pub mod keys;
pub mod limits;
pub mod listen;
pub mod log;
pub mod public;
pub mod sd;
pub mod tls;
