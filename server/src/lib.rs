//! The host: sockets, files, clock and chance around the decisions that are made on the floors below.

pub mod clock;
pub mod home;
pub mod keys;
pub mod limits;
pub mod log;
pub mod metrics;
pub mod sd;
