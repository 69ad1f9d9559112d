//! Whether who answers is the server. Its chain has to end at one of our anchors, its certificate
//! has to be for the name that was dialed, and both have to be valid at the moment that *we*
//! believe, which is not always the system's ([`crate::time`]).

use super::provider;
use crate::Trouble;
use identity::text::rfc3339;
use identity::{Certificate, UnixTime};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{self, CertificateDer, ServerName};
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How far the server is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// In everything, at this moment.
    At(UnixTime),
    /// But for the time: valid at some moment that is not before this one. Good for asking the
    /// time and for nothing else.
    NotBefore(UnixTime),
    /// In nothing: who it is will be found out from what it says.
    Unknown,
}

/// Who says whether a server is believed, and what it showed.
pub struct Judge {
    measure: Measure,
    anchors: Vec<Certificate>,
    algorithms: WebPkiSupportedAlgorithms,
    seen: Mutex<Option<Seen>>,
}

/// What a server showed.
#[derive(Clone)]
struct Seen {
    chain: Vec<CertificateDer<'static>>,
    name: ServerName<'static>,
}

impl Judge {
    /// A judge for one connection.
    #[must_use]
    pub fn new(anchors: &[Certificate], measure: Measure) -> Arc<Self> {
        let algorithms = provider().signature_verification_algorithms;
        Arc::new(Self { measure, anchors: anchors.to_vec(), algorithms, seen: Mutex::new(None) })
    }

    /// Whether what the server showed in the handshake is valid at `at` under `anchors`.
    ///
    /// # Errors
    /// [`Trouble::Untrusted`] where it is not.
    pub fn holds(&self, anchors: &[Certificate], at: UnixTime) -> Result<(), Trouble> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let untrusted =
            |why: &str| Trouble::Untrusted(format!("the server is not believed: {why}"));
        let seen = seen.ok_or_else(|| untrusted("it showed no certificate"))?;
        verify(anchors, &seen, at).map_err(|e| untrusted(&words(&e)))
    }

    /// The moment at which a chain is looked at when only the floor of time is known: as soon as
    /// all of it has begun.
    fn moment(&self, chain: &[CertificateDer<'_>]) -> Result<UnixTime, Error> {
        match self.measure {
            Measure::At(at) => Ok(at),
            Measure::Unknown => Ok(UnixTime::default()),
            Measure::NotBefore(floor) => chain.iter().try_fold(floor, |at, der| {
                let read = Certificate::parse(der).map_err(|_| {
                    Error::InvalidCertificate(rustls::CertificateError::BadEncoding)
                })?;
                Ok(at.max(read.not_before()))
            }),
        }
    }
}

/// Why a server is not believed and what to look at, for whoever looks after the device: the
/// library's own words are for programmers.
pub(super) fn words(why: &Error) -> String {
    let at = |time: &pki_types::UnixTime| rfc3339(UnixTime::from_secs(time.as_secs()));
    let Error::InvalidCertificate(why) = why else {
        return "what it shows cannot be used".to_owned();
    };
    match why {
        // Another key under the same name is another root, too.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate is not of the root that this device believes; where the root was \
             rolled over while the device was off, give it the new `root_pin` and root.pem"
                .to_owned()
        }
        CertificateError::ExpiredContext { time, not_after } => format!(
            "its certificate ended at {}, and for this device it is {}: one of the two clocks is \
             wrong, or the server has not renewed its certificate",
            at(not_after),
            at(time)
        ),
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "its certificate begins at {}, and for this device it is {}: one of the two clocks is \
             wrong",
            at(not_before),
            at(time)
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "its certificate does not name that host: `muster serve --name` adds the name, or \
             `url` says one that stands in it"
                .to_owned()
        }
        _ => "its certificate cannot be used".to_owned(),
    }
}

fn verify(anchors: &[Certificate], seen: &Seen, at: UnixTime) -> Result<(), Error> {
    let mut roots = RootCertStore::empty();
    for anchor in anchors {
        roots.add(CertificateDer::from(anchor.der()))?;
    }
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|e| Error::General(format!("there is nobody to trust: {e}")))?;
    let Some((leaf, rest)) = seen.chain.split_first() else {
        return Err(Error::NoCertificatesPresented);
    };
    let now = pki_types::UnixTime::since_unix_epoch(Duration::from_secs(at.secs()));
    inner.verify_server_cert(leaf, rest, &seen.name, &[], now).map(|_| ())
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: pki_types::UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = std::iter::once(end_entity).chain(intermediates);
        let chain: Vec<_> = chain.map(|der| der.clone().into_owned()).collect();
        let at = self.moment(&chain)?;
        let seen = Seen { chain, name: server_name.to_owned() };
        if self.measure != Measure::Unknown {
            verify(&self.anchors, &seen, at)?;
        }
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Judge({:?}, {} anchors)", self.measure, self.anchors.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_a_server_is_not_believed_is_said_in_words_that_lead_on() {
        let moment = |secs| pki_types::UnixTime::since_unix_epoch(Duration::from_secs(secs));
        let (time, not_after, not_before) = (moment(86_400), moment(0), moment(172_800));
        for (why, said) in [
            (CertificateError::UnknownIssuer, "rolled over"),
            (CertificateError::BadSignature, "the new `root_pin`"),
            (CertificateError::ExpiredContext { time, not_after }, "ended at 1970-01-01T00:00:00Z"),
            (CertificateError::ExpiredContext { time, not_after }, "it is 1970-01-02T00:00:00Z"),
            (CertificateError::NotValidYetContext { time, not_before }, "clocks is wrong"),
            (CertificateError::NotValidForName, "`muster serve --name`"),
            (CertificateError::BadEncoding, "cannot be used"),
        ] {
            let name = format!("{why:?}").replace(" {", "");
            let words = words(&Error::InvalidCertificate(why));
            assert!(words.contains(said), "{words}");
            let first = name.split_whitespace().next().unwrap();
            assert!(!words.contains(first) && !words.contains("UnixTime"), "{words}");
        }
    }
}
