//! The nouns that every other crate speaks in: who a device is, what a key, a certificate and a
//! request are, what may be asked and why it may be refused. Nothing here opens a socket, reads a
//! clock or rolls a die.
//!
//! Read on in [`device`] for the two identifiers of a device, in [`ask`] for the value that travels
//! from a door to a decision, in [`signal`] for what an alarm is, and in [`key`] for the one place
//! that touches cryptography.

pub mod ask;
pub mod authority;
pub mod certificate;
pub mod credential;
pub mod csr;
pub mod device;
pub mod door;
pub mod key;

pub mod name;
pub mod outside;
pub mod profile;
pub mod realm;
pub mod selector;
pub mod signal;
pub mod text;
pub mod token;

pub use ask::{Ask, Defect, Refusal, RuleId};
pub use certificate::Certificate;
pub use credential::{Credential, CredentialKind, CredentialState, Reason, Serial, SerialNumber};
pub use csr::Csr;
pub use device::{Assurance, Device, DeviceId, GroupName, Identifiers, Standing};
pub use key::{KeyError, KeyKind, PublicKey, Signer, SpkiHash};
pub use outside::{Dice, Outside, UnixTime};
pub use realm::RealmName;
pub use selector::Selector;
pub use signal::{Response, Severity, Signal};
