//! May a certificate exist, and what does it look like.
//!
//! [`recognize()`] says what somebody showed, [`judge()`] whether a leaf may be made of it, and
//! [`Issuer::issue`] signs what was approved; [`birth`] does the same for birth certificates. All
//! of it is pure: facts come from the registry, time and chance from the host, and what comes out
//! is a value that the host commits before anybody sees it. Read on in [`mod@judge`] for the rules,
//! in [`mod@contact`] for what a handshake tells, in [`issuer`] for the shapes, in [`authority`] for what
//! stands above them.

pub mod address;
pub mod authority;
pub mod birth;
pub mod contact;
pub mod crl;
pub mod issuer;
pub mod judge;
pub mod ocsp;
pub mod recognize;
mod wire;
#[cfg(test)]
mod world;

pub use address::Addresses;
pub use issuer::{Granted, Issuer};
pub use judge::{Approved, Facts, Judgement, KeyFacts, Present, Rules, judge, present};
pub use recognize::{Recognized, Trust, recognize, recognize_recorded};
