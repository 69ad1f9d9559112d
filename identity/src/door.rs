//! A door: one way for a device to come in, what it must show there, and what it gets.

use crate::certificate::Certificate;
use crate::device::{Assurance, GroupName, words};
use std::collections::BTreeSet;

/// A door of a realm.
#[derive(Clone, Debug)]
pub struct Door {
    /// Its name; of a maker door also the `maker` of its devices' serial numbers, so that serials
    /// of two makers never collide.
    pub name: String,
    /// What must be shown.
    pub kind: DoorKind,
    /// A closed door refuses everybody at once.
    pub open: bool,
    /// Groups that its devices get when they first join.
    pub groups: BTreeSet<GroupName>,
    /// The certificate profile of its leaves.
    pub profile: String,
    /// What an identity that came in here is worth at most.
    pub assurance: Assurance,
    /// Whether the CSR must carry the RFC 9266 `tls-exporter` binding (TLS 1.3).
    pub binding: bool,
    /// The key of the ledger that must have issued the certificate that is shown to join, as a C2SP
    /// verifier key; `None` where no receipt is demanded. Not of token doors, which see none.
    pub receipt: Option<String>,
}

/// What must be shown at a door.
#[derive(Clone, Debug)]
pub enum DoorKind {
    /// The device's own birth certificate.
    Birth,
    /// A maker's IDevID.
    Maker(Box<MakerRule>),
    /// A join token.
    Token,
}

impl DoorKind {
    /// The word for it: `birth`, `maker` or `token`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Birth => "birth",
            Self::Maker(_) => "maker",
            Self::Token => "token",
        }
    }
}

/// How a maker's certificates are read.
#[derive(Clone, Debug)]
pub struct MakerRule {
    /// The maker's roots or issuing authorities.
    pub anchors: Vec<Certificate>,
    /// Where the serial number stands.
    pub place: SerialPlace,
    /// For `CommonName`: the text around the serial number, `*` where it stands (`ACME-*.devices`);
    /// `*` alone else.
    pub pattern: String,
    /// The model that all of them are, empty where the maker does not say.
    pub model: String,
    /// Serial numbers that may come in; `None` lets all of the maker's in.
    pub allow: Option<BTreeSet<String>>,
}

/// Where in a maker's certificate the serial number of the device stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SerialPlace {
    /// The subject's serialNumber (2.5.4.5), where IEEE 802.1AR puts it.
    SubjectSerialNumber,
    /// A part of the subject's common name.
    CommonName,
    /// The HardwareModuleName of the SAN (RFC 4108 §5), its hwSerialNum as text or else in hex.
    HardwareModuleName,
    /// The serialNumber of a directoryName in the SAN, where TPM makers put it.
    DirectoryName,
}

words!(SerialPlace {
    SubjectSerialNumber = "subject",
    CommonName = "common-name",
    HardwareModuleName = "hardware-module-name",
    DirectoryName = "directory-name",
});
