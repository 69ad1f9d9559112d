//! EST, Enrollment over Secure Transport: RFC 7030 as RFC 8951 (encodings) and RFC 9908 (CSR
//! attributes) have it, with the channel binding of RFC 9266.
//!
//! The device always speaks first, one HTTP request at a time over TLS:
//!
//! | operation | method | in | out |
//! |---|---|---|---|
//! | `cacerts` | GET | | the authorities, open to all |
//! | `csrattrs` | GET | | what a request should have |
//! | `simpleenroll` | POST | a PKCS#10 | the first leaf, or one from the birth certificate |
//! | `simplereenroll` | POST | a PKCS#10 | a leaf after a leaf |
//! | `serverkeygen` | POST | a PKCS#10 | a private key made by the server, and its leaf |
//! | `fullcmc` | POST | | 501: the full CMC protocol is not spoken |
//!
//! On the server, [`server::hear`] turns a request into an [`Action`]: an answer that is already
//! decided (every refusal of bytes), or a question that the host has to answer with a decision
//! (`Judge`). The host's answer goes back through [`server::enrolled`] and its siblings, or through
//! [`server::refuse`]. On the device, [`client`] mirrors it: it makes the request and reads the
//! answer. Neither knows a socket. What the bytes look like stands in [`wire`].
//!
//! Where we differ from RFC 7030: `serverkeygen` demands a signature that holds (§4.4.1 says to
//! ignore it), since possession is what an ask proves; and `simplereenroll` does not compare
//! subject and SAN (§4.2.2), since both come from the registry and never from the request. A key
//! made here travels under TLS only: who asks to have it encrypted once more is refused, as §4.4.1
//! wants it.

pub mod client;
pub mod server;
pub mod wire;

pub use client::{Incoming, Outgoing, Reply};
pub use server::{Action, Answer, Request};
pub use wire::{Operation, Place};
