//! What `/readyz` looks at beside the registry's own answers: the full check of the file, what of
//! the root's key still lies here, and whom the root's list does not name yet.

use crate::home::Home;
use crate::house::House;
use crate::public::PublicView;
use crate::unlisted::unlisted;
use api::Check;
use identity::authority::Role;
use std::sync::{PoisonError, RwLock};

/// What was found so far.
#[derive(Debug)]
pub(super) struct Health {
    home: Home,
    plain_keys: Vec<String>,
    public_url: Option<String>,
    integrity: RwLock<Integrity>,
}

#[derive(Debug)]
enum Integrity {
    Checking,
    Checked(Vec<String>),
}

impl Health {
    pub(super) fn new(home: Home, plain_keys: Vec<String>, public_url: Option<String>) -> Self {
        Self { home, plain_keys, public_url, integrity: RwLock::new(Integrity::Checking) }
    }

    /// The full check of the registry ended with these findings.
    pub(super) fn checked(&self, findings: Vec<String>) {
        for finding in &findings {
            tracing::error!("the registry is damaged: {finding}");
        }
        *self.integrity.write().unwrap_or_else(PoisonError::into_inner) =
            Integrity::Checked(findings);
    }

    /// The checks as they stand. A warning does not make a server unready: it says what to do, and
    /// `ok` stays true.
    pub(super) fn checks(&self) -> Vec<Check> {
        vec![self.integrity(), self.root(), self.keys(), self.addresses()]
    }

    fn integrity(&self) -> Check {
        let state = self.integrity.read().unwrap_or_else(PoisonError::into_inner);
        let (ok, detail) = match &*state {
            Integrity::Checking => (true, "the full check of the registry is under way".to_owned()),
            Integrity::Checked(findings) => match findings.as_slice() {
                [] => (true, "the registry was checked from end to end".to_owned()),
                [first, ..] => (
                    false,
                    format!(
                        "{} findings, the first: {first}: stop, keep the file, restore a back-up",
                        findings.len()
                    ),
                ),
            },
        };
        Check { name: "integrity".to_owned(), ok, detail }
    }

    fn root(&self) -> Check {
        let left = self.home.left_behind();
        let detail = if left.is_empty() {
            "the root's key is not here".to_owned()
        } else {
            // Anybody may ask: names, and not where they lie.
            let names = left.iter().filter_map(|p| p.file_name()).map(|n| n.to_string_lossy());
            let names: Vec<_> = names.map(|n| format!("offline/{n}")).collect();
            format!("warning: carry these away from this machine: {}", names.join(", "))
        };
        Check { name: "root-key".to_owned(), ok: true, detail }
    }

    fn keys(&self) -> Check {
        let detail = if self.plain_keys.is_empty() {
            "no online key lies in a plain file".to_owned()
        } else {
            format!(
                "warning: these online keys lie in plain files (0600): {}",
                self.plain_keys.join(", ")
            )
        };
        Check { name: "online-keys".to_owned(), ok: true, detail }
    }

    fn addresses(&self) -> Check {
        let detail = match &self.public_url {
            Some(url) => format!("certificates carry {url}"),
            None => "warning: no public_url, so certificates carry no address of CRL and OCSP"
                .to_owned(),
        };
        Check { name: "public-url".to_owned(), ok: true, detail }
    }
}

/// Whether everybody can hear of each authority that was barred: the root's list is signed by hand,
/// and until it is brought here only this server knows.
pub(super) fn barred(house: &House, view: &PublicView) -> Check {
    let now = house.clock.now();
    let mut unheard = Vec::new();
    for realm in house.realms() {
        let roots = realm.authorities.iter().filter(|a| a.role == Role::Root && a.counts());
        for root in roots {
            let shown = view.shown(&format!("/crl/{}/{}.crl", realm.name(), root.id));
            let list = shown.and_then(|file| ca::crl::entries(file.octets())).unwrap_or_default();
            let missing = unlisted(&realm, root, &list, now);
            unheard.extend(missing.into_iter().map(|a| format!("{} {}", a.role, a.id)));
        }
    }
    let detail = if unheard.is_empty() {
        "no authority is barred that the root's list does not name".to_owned()
    } else {
        format!(
            "warning: barred, and not on the root's list, so that others still believe them: {}: \
             `muster ca crl --root --authorities`, then `muster ca install --crl`",
            unheard.join(", ")
        )
    };
    Check { name: "root-crl".to_owned(), ok: true, detail }
}
