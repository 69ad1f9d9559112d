//! The host: sockets, files, clock and chance around the decisions that are made on the floors
//! below.

pub mod authorities;
pub mod births;
pub mod caller;
pub mod checkpoint;
pub mod clock;
pub mod contacts;
pub mod crl;
pub mod device;
pub mod erasure;
pub mod found;
pub mod home;
pub mod house;
pub mod keys;
pub mod limits;
pub mod listen;
pub mod log;
pub mod metrics;
pub mod operator;
pub mod public;
pub mod rate;
pub mod receipt;
pub mod record;
pub mod sd;
pub mod serve;
pub mod settings;
pub mod standing;
pub mod tell;
pub mod tls;
mod unlisted;
pub mod witness;
pub mod writing;

pub use home::ServeOptions;
pub use serve::{Running, start};
