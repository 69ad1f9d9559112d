//! The verifier of client certificates: it looks for the public key and checks the handshake's
//! signature with it. Any certificate will do, an expired one, a stranger's, one with extensions
//! that nobody knows: the answer to those is a sentence in HTTP and not a broken connection.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerMisbehaved,
    SignatureScheme,
};

/// Proof of possession.
#[derive(Debug)]
pub(super) struct Possession {
    algorithms: WebPkiSupportedAlgorithms,
}

impl Possession {
    pub(super) fn new(algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { algorithms }
    }

    /// Checks a handshake signature with the first `among` algorithms of its scheme.
    fn check(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
        among: usize,
    ) -> Result<HandshakeSignatureValid, Error> {
        let (algorithm, key) = public_key(certificate).ok_or(CertificateError::BadEncoding)?;
        let fits =
            |a: &&&dyn SignatureVerificationAlgorithm| a.public_key_alg_id().as_ref() == algorithm;
        let candidates = self.algorithms.mapping.iter().find(|(s, _)| *s == signed.scheme);
        let (_, candidates) =
            candidates.ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
        let fitting = candidates
            .iter()
            .take(among)
            .find(fits)
            .ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
        fitting
            .verify_signature(key, message, signed.signature())
            .map(|()| HandshakeSignatureValid::assertion())
            .map_err(|_| CertificateError::BadSignature.into())
    }
}

impl ClientCertVerifier for Possession {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        // Only that there is a key to check the handshake with.
        public_key(end_entity).ok_or(CertificateError::BadEncoding)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // In TLS 1.2 a scheme names a hash and leaves the curve open (RFC 8446 §4.2.3).
        self.check(message, cert, dss, usize::MAX)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // PKCS#1 v1.5 signs certificates in TLS 1.3 but never handshakes; of the others the first
        // algorithm is the one whose curve is that of the scheme.
        let never = [
            SignatureScheme::RSA_PKCS1_SHA256,
            SignatureScheme::RSA_PKCS1_SHA384,
            SignatureScheme::RSA_PKCS1_SHA512,
        ];
        if never.contains(&dss.scheme) {
            return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
        }
        self.check(message, cert, dss, 1)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Tags of DER (X.690 §8) on the way to the key.
const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
const VERSION: u8 = 0xa0;

/// The contents of the AlgorithmIdentifier, and the key's bits, of a certificate (RFC 5280 §4.1). A
/// walk to the one field that is needed: a whole parse happens once, after the handshake.
fn public_key(certificate: &[u8]) -> Option<(&[u8], &[u8])> {
    let (certificate, []) = contents(certificate, SEQUENCE)? else { return None };
    let (mut tbs, _) = contents(certificate, SEQUENCE)?;
    if tbs.first() == Some(&VERSION) {
        (_, tbs) = element(tbs)?;
    }
    // serialNumber, signature, issuer, validity, subject
    for _ in 0..5 {
        (_, tbs) = element(tbs)?;
    }
    let (spki, _) = contents(tbs, SEQUENCE)?;
    let (algorithm, rest) = contents(spki, SEQUENCE)?;
    let (bits, _) = contents(rest, BIT_STRING)?;
    // The first octet counts unused bits, of which a key has none.
    bits.split_first().filter(|(unused, _)| **unused == 0).map(|(_, key)| (algorithm, key))
}

/// The contents of the first element, which has `tag`, and what follows it.
fn contents(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    if der.first() == Some(&tag) { element(der) } else { None }
}

/// The contents of the first element, and what follows it.
fn element(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[_, short], rest) = der.split_first_chunk::<2>()?;
    // Long lengths have one to three octets here; X.690 §8.1.3.5 allows more than any certificate
    // has.
    let (length, rest) = match short {
        0..=0x7f => (usize::from(short), rest),
        0x81..=0x83 => {
            let (octets, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
            (octets.iter().fold(0, |sum, octet| sum << 8 | usize::from(*octet)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_has_no_key() {
        for hostile in [
            &[][..],
            &[0x30],
            &[0x30, 0x80],
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
            &[0x30, 0x83, 0xff, 0xff, 0xff],
            &[0x30, 0x02, 0x30, 0x00],
            &[0x30, 0x00, 0x00],
        ] {
            assert_eq!(public_key(hostile), None, "{hostile:02x?}");
        }
    }
}
