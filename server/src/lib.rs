//! The host: sockets, files, clock and chance around the decisions that are made on the floors
//! below.

pub mod births;
pub mod clock;
pub mod found;
pub mod home;
pub mod house;
pub mod keys;
pub mod limits;
pub mod listen;
pub mod log;
<<<<<<< HEAD
pub mod metrics;
pub mod operator;
pub mod rate;
pub mod record;
=======
pub mod public;
>>>>>>> refs/heads/host
pub mod sd;
pub mod settings;
pub mod tls;
