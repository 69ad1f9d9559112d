//! The device's end of the wire: sockets around `enroll`'s client machines. The demo, the bench and
//! the tests of the server speak through it, and the agent that keeps a device enrolled will.

pub mod dial;

pub use dial::{CallError, Dialer, Exchange, Heard, Identity, Line};
