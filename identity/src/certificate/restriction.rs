//! The extensions that restrict what a certificate is good for. A valid one is read whatever its
//! size, also where it names more than we can hold; one that cannot be read would restrict nothing,
//! and is refused.

use crate::ask::Defect;
use const_oid::db::rfc5280::{ID_CE_BASIC_CONSTRAINTS, ID_CE_EXT_KEY_USAGE};
use const_oid::{AssociatedOid, ObjectIdentifier};
use der::asn1::{AnyRef, UintRef};
use der::{Decode, ErrorKind, Reader, Tag, Tagged};
use x509_cert::ext::pkix::KeyUsage;

/// They must be readable, and there once (RFC 5280 §4.2).
pub(super) fn check(x509: &x509_cert::Certificate) -> Result<(), Defect> {
    let tbs = x509.tbs_certificate();
    let read = [
        tbs.get_extension::<Constraints<'_>>().map(drop),
        tbs.get_extension::<KeyUsage>().map(drop),
        tbs.get_extension::<Purposes>().map(drop),
    ];
    let unreadable = |e| {
        let sentence = format!(
            "basic constraints, key usage or extended key usage of the certificate cannot be read, \
             or stand in it twice: {e}"
        );
        Defect::new("certificate-extension", sentence)
    };
    read.into_iter().collect::<Result<(), _>>().map_err(unreadable)
}

/// BasicConstraints (RFC 5280 §4.2.1.9).
#[derive(der::Sequence)]
pub(super) struct Constraints<'a> {
    #[asn1(default = "Default::default")]
    pub(super) ca: bool,
    path_length: Option<UintRef<'a>>,
}

impl Constraints<'_> {
    /// How many authorities may stand below it. No chain is as long as the greatest number that is
    /// held, so that one beyond counts as that.
    pub(super) fn path_length(&self) -> Option<u8> {
        self.path_length.map(|length| match length.as_bytes() {
            [length] => *length,
            _ => u8::MAX,
        })
    }
}

impl AssociatedOid for Constraints<'_> {
    const OID: ObjectIdentifier = ID_CE_BASIC_CONSTRAINTS;
}

/// ExtKeyUsageSyntax (RFC 5280 §4.2.1.12), without the purposes that are too long or have too large
/// a number for an [`ObjectIdentifier`], as those below `2.25.UUID` have (X.667): nobody here asks
/// for one of them.
pub(super) struct Purposes(pub(super) Vec<ObjectIdentifier>);

impl<'a> Decode<'a> for Purposes {
    type Error = der::Error;

    fn decode<R: Reader<'a>>(reader: &mut R) -> der::Result<Self> {
        let said = Vec::<AnyRef<'a>>::decode(reader)?;
        if said.iter().all(|one| one.tag() == Tag::ObjectIdentifier && is_oid(one.value())) {
            let held = said.iter().filter_map(|o| ObjectIdentifier::from_bytes(o.value()).ok());
            Ok(Self(held.collect()))
        } else {
            Err(reader.error(ErrorKind::OidMalformed))
        }
    }
}

impl AssociatedOid for Purposes {
    const OID: ObjectIdentifier = ID_CE_EXT_KEY_USAGE;
}

/// Whether the content of an OBJECT IDENTIFIER is DER, however large its numbers are (X.690 §8.19):
/// each ends, and none begins with an octet that says nothing.
fn is_oid(content: &[u8]) -> bool {
    let ends = content.last().is_some_and(|last| last & 0x80 == 0);
    ends && content.split_inclusive(|octet| octet & 0x80 == 0).all(|n| n.first() != Some(&0x80))
}
