//! Where everybody finds what an authority publishes. Certificates name these addresses for as long
//! as they live, so they come from the realm's public URL and never from a socket.

use identity::RealmName;
use identity::authority::KeyId;

/// The public addresses of a realm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// What stands before every path, `http://muster.example:8080`; `None` leaves all addresses
    /// out.
    pub public_url: Option<String>,
    /// Whose addresses they are.
    pub realm: RealmName,
}

impl Addresses {
    /// The CRL that lists one shard of what `issuer` signed.
    #[must_use]
    pub fn shard(&self, issuer: &KeyId, shard: u16) -> Option<String> {
        self.at(&format!("/crl/{}/{issuer}/{shard}.crl", self.realm))
    }

    /// The CRL that lists all that `issuer` signed.
    #[must_use]
    pub fn complete(&self, issuer: &KeyId) -> Option<String> {
        self.at(&format!("/crl/{}/{issuer}.crl", self.realm))
    }

    /// The certificate of `issuer`.
    #[must_use]
    pub fn certificate(&self, issuer: &KeyId) -> Option<String> {
        self.at(&format!("/ca/{}/{issuer}.cer", self.realm))
    }

    /// The OCSP responder.
    #[must_use]
    pub fn ocsp(&self) -> Option<String> {
        self.at(&format!("/ocsp/{}", self.realm))
    }

    fn at(&self, path: &str) -> Option<String> {
        let base = self.public_url.as_deref()?;
        Some(format!("{}{path}", base.trim_end_matches('/')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_the_contract_and_absent_without_a_public_url() {
        let issuer = KeyId::from_octets(&[0xab; 20]).unwrap();
        let hex = "ab".repeat(20);
        let mut realm = Addresses {
            public_url: Some("http://muster.example:8080/".into()),
            realm: RealmName::default_realm(),
        };
        let base = "http://muster.example:8080";
        assert_eq!(realm.shard(&issuer, 7), Some(format!("{base}/crl/default/{hex}/7.crl")));
        assert_eq!(realm.complete(&issuer), Some(format!("{base}/crl/default/{hex}.crl")));
        assert_eq!(realm.certificate(&issuer), Some(format!("{base}/ca/default/{hex}.cer")));
        assert_eq!(realm.ocsp(), Some(format!("{base}/ocsp/default")));
        realm.public_url = None;
        assert_eq!(realm.shard(&issuer, 7), None);
    }
}
