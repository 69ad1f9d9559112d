//! The server's certificate from the service authority: issued at each start with a new key that is
//! never stored, and again in the background long before it ends.

use super::{Served, ServedError};
use crate::clock;
use crate::home::config::Settings;
use crate::keys::NewKey;
use crate::limits::{SERVER_CERTIFICATE_LEFT_S, SERVER_CERTIFICATE_LOOK};
use crate::listen::Stop;
use ca::Issuer;
use ca::authority::{self, ServerName};
use identity::{Certificate, KeyError, KeyKind, Signer, UnixTime};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, PoisonError, RwLock};

/// The names of this server: what was said, and always loopback's.
#[must_use]
pub fn names(settings: &Settings) -> Vec<ServerName> {
    let dns = settings.dns_names.iter().cloned().map(ServerName::Dns);
    let ips = settings.ip_names.iter().copied().map(ServerName::Ip);
    let loopback = [
        ServerName::Dns("localhost".to_owned()),
        ServerName::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        ServerName::Ip(IpAddr::V6(Ipv6Addr::LOCALHOST)),
    ];
    let mut all: Vec<ServerName> = Vec::new();
    dns.chain(ips).chain(loopback).for_each(|name| {
        if !all.contains(&name) {
            all.push(name);
        }
    });
    all
}

/// The service authority, and the names that it certifies for this server.
pub struct Service {
    by: RwLock<Arc<By>>,
    names: Vec<ServerName>,
}

/// Who signs, and what is sent behind it for clients that know an older root only.
struct By {
    issuer: Issuer,
    bridges: Vec<Certificate>,
}

impl By {
    /// Whether it would make the same chain.
    fn is(&self, issuer: &Issuer, bridges: &[Certificate]) -> bool {
        let ders = |all: &[Certificate]| all.iter().map(|c| c.der().to_vec()).collect::<Vec<_>>();
        self.issuer.certificate().der() == issuer.certificate().der()
            && ders(&self.bridges) == ders(bridges)
    }
}

impl Service {
    /// A service authority for `names`.
    #[must_use]
    pub fn new(issuer: Issuer, names: Vec<ServerName>) -> Self {
        Self::bridged(issuer, Vec::new(), names)
    }

    /// A service authority below a root that some clients do not know yet: `bridges` lead from it to
    /// the one that they know.
    #[must_use]
    pub fn bridged(issuer: Issuer, bridges: Vec<Certificate>, names: Vec<ServerName>) -> Self {
        Self { by: RwLock::new(Arc::new(By { issuer, bridges })), names }
    }

    /// Follows the service authority to its successor, or to another root: a certificate of it is
    /// served from now on. Says whether there was anything to follow.
    ///
    /// # Errors
    /// Where the authority's key did not sign; the last certificate is served on.
    pub fn follow(
        &self,
        issuer: Issuer,
        bridges: Vec<Certificate>,
        served: &Served,
    ) -> Result<bool, ServedError> {
        if self.by().is(&issuer, &bridges) {
            return Ok(false);
        }
        // Followed only once it is served: what fails now is tried again with the next change.
        let by = Arc::new(By { issuer, bridges });
        let (chain, key) = self.issue(&by)?;
        served.exchange(&chain, &key)?;
        *self.by.write().unwrap_or_else(PoisonError::into_inner) = by;
        Ok(true)
    }

    fn by(&self) -> Arc<By> {
        self.by.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A first certificate, ready to be served.
    ///
    /// # Errors
    /// Where the authority's key did not sign.
    pub fn serve(&self) -> Result<Arc<Served>, ServedError> {
        let (chain, key) = self.issue(&self.by())?;
        Served::new(&chain, &key).map(Arc::new)
    }

    /// Exchanges the certificate where a third of its life is left, or where it is not good yet: the
    /// clock was ahead when it was issued, and nobody comes in by it. Says whether it did.
    ///
    /// # Errors
    /// Where the authority's key did not sign; the last certificate is served on.
    pub fn renew(&self, served: &Served, now: UnixTime) -> Result<bool, ServedError> {
        let left = served.not_after().secs_since(now);
        if served.not_before() <= now && left > SERVER_CERTIFICATE_LEFT_S {
            return Ok(false);
        }
        let (chain, key) = self.issue(&self.by())?;
        served.exchange(&chain, &key)?;
        Ok(true)
    }

    /// Renews whenever it is time, until it is time to stop.
    pub async fn keep_fresh(&self, served: &Served, mut stop: Stop) {
        loop {
            tokio::select! {
                () = stop.asked() => return,
                () = tokio::time::sleep(SERVER_CERTIFICATE_LOOK) => {}
            }
            match self.renew(served, clock::now()) {
                Ok(true) => tracing::info!("server certificate renewed"),
                Ok(false) => {}
                Err(error) => tracing::error!(%error, "server certificate not renewed"),
            }
        }
    }

    /// P-256 whatever the authorities have: every client verifies it, and it is the smallest that
    /// they all do.
    fn issue(&self, by: &By) -> Result<(Vec<Certificate>, NewKey), ServedError> {
        let unfit = |e: KeyError| ServedError::Unfit(format!("no server certificate: {e}"));
        let key = NewKey::make(KeyKind::P256).map_err(unfit)?;
        let public = key.signer().map_err(unfit)?;
        let leaf = clock::outside(|outside| {
            authority::server(&by.issuer, public.public(), &self.names, outside)
        });
        let mut chain = vec![leaf.map_err(unfit)?, by.issuer.certificate().clone()];
        chain.extend(by.bridges.iter().cloned());
        Ok((chain, key))
    }
}

#[cfg(test)]
mod tests {
    use super::super::world::{authority_of, service};
    use super::*;
    use identity::PublicKey;
    use identity::key::SoftwareKey;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// A key that signs from the second time on.
    struct Late(SoftwareKey, AtomicBool);

    impl Signer for Late {
        fn public(&self) -> &PublicKey {
            self.0.public()
        }

        fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
            match self.1.swap(true, Ordering::Relaxed) {
                true => self.0.sign(message),
                false => Err(KeyError::Signing),
            }
        }
    }

    #[test]
    fn an_authority_that_did_not_sign_is_followed_as_soon_as_it_does() {
        let ours = service(KeyKind::P256);
        let served = ours.serve().unwrap();
        let (certificate, key, addresses) = authority_of(KeyKind::P256);
        let key = Arc::new(Late(key, AtomicBool::new(false)));
        let follow = || {
            let key: Arc<dyn Signer> = key.clone();
            let next = Issuer::new(certificate.clone(), key, addresses.clone(), 1).unwrap();
            ours.follow(next, Vec::new(), &served)
        };

        assert!(follow().is_err());

        assert!(follow().unwrap());
        assert!(!follow().unwrap(), "and once");
    }
}
