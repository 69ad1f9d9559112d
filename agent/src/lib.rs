//! The device's end of the wire: a small agent that joins, renews and leaves for a device, and
//! never loses the only credential that works.
//!
//! Read on in [`keeper`], which does one step after another; what the next step is says [`plan`],
//! without a clock or a file of its own. [`store`] keeps what must survive a pulled plug, [`line`]
//! carries what `enroll`'s client machines say, [`time`] says what time it is where no clock can be
//! believed, and [`find`] where the server is.
//!
//! One thread, one connection at a time, no runtime. What raises thousands of connections at once,
//! for the demo, the bench and the tests of the server, is `dial`, behind a feature of its own.

pub mod args;
pub mod config;
pub mod credential;
#[cfg(feature = "dial")]
pub mod dial;
pub mod find;
pub mod hook;
pub mod keeper;
pub mod line;
pub mod plan;
pub mod status;
pub mod store;
pub mod talk;
pub mod time;
pub mod trouble;
pub mod verb;

#[cfg(feature = "dial")]
pub use dial::{CallError, Dialer, Exchange, Heard, Identity, Line};
pub use trouble::Trouble;
