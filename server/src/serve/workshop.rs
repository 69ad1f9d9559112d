//! The hands of the home: keys of new authorities, and CRLs that were signed far away from here.

use super::furnish::ROOT_CRL;
use crate::home::Home;
use crate::house::{House, RealmState};
use crate::keys::{KeyStore, NewKey};
use crate::operator::Workshop;
use crate::public::{Kind, PublicFile, PublicView};
use identity::authority::{Authority, KeyId, Role};
use identity::{KeyKind, Signer};
use std::sync::Arc;

/// A home with its hands.
pub(super) struct HomeWorkshop {
    home: Home,
    house: Arc<House>,
    view: Arc<PublicView>,
}

impl HomeWorkshop {
    pub(super) fn new(home: Home, house: Arc<House>, view: Arc<PublicView>) -> Self {
        Self { home, house, view }
    }
}

impl Workshop for HomeWorkshop {
    fn new_authority(
        &self,
        realm: &RealmState,
        role: Role,
        kind: KeyKind,
    ) -> Result<(KeyId, Vec<u8>), String> {
        let key = NewKey::make(kind).map_err(|e| e.to_string())?;
        let signer = key.signer().map_err(|e| e.to_string())?;
        let id = signer.public().key_id();
        let store = KeyStore::open(&self.home.keys()).map_err(|e| e.to_string())?;
        // Durable before anybody sees the request: a certificate for a key that is gone is worth
        // nothing.
        store.keep(&format!("{role}-{id}"), &key).map_err(|e| e.to_string())?;
        let called = format!("Muster {role} {} {}", realm.name(), short(&id));
        let csr = ca::authority::request(&called, &signer).map_err(|e| e.to_string())?;
        self.house.add_signer(Arc::new(signer));
        Ok((id, csr))
    }

    fn crl(&self, realm: &RealmState, authority: &Authority) -> Option<Vec<u8>> {
        let path = format!("/crl/{}/{}.crl", realm.name(), authority.id);
        self.view.shown(&path).map(|file| file.octets().to_vec())
    }

    fn publish_crl(
        &self,
        realm: &RealmState,
        authority: &Authority,
        der: &[u8],
    ) -> Result<(), String> {
        let kept = self.house.registry.note_wait(realm.key, ROOT_CRL, b"", Some(der.to_vec()));
        kept.map_err(|e| e.to_string())?;
        let path = format!("/crl/{}/{}.crl", realm.name(), authority.id);
        let file = PublicFile::new(Kind::Crl, der.to_vec(), self.house.clock.now());
        self.view.show(&path, file);
        Ok(())
    }
}

/// Enough of a key identifier to tell two authorities of a role apart.
fn short(id: &KeyId) -> String {
    id.to_string().chars().take(8).collect()
}
