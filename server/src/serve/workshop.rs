//! The hands of the home: keys of new authorities, and CRLs that were signed far away from here.

use super::furnish::ROOT_CRL;
use super::ports::Ours;
use crate::home::{Home, OperatorFile};
use crate::house::{House, RealmState};
use crate::keys::{Keeping, KeyStore, KeyTrouble, NewKey};
use crate::operator::Workshop;
use crate::public::{Kind, PublicFile, PublicView};
use identity::authority::{Authority, KeyId, Role};
use identity::{KeyKind, RealmName, Signer};
use std::sync::{Arc, OnceLock};
use tokio::sync::Notify;

/// A home with its hands.
pub(super) struct HomeWorkshop {
    home: Home,
    house: Arc<House>,
    view: Arc<PublicView>,
    /// Told when an authority changed: who looks at dates, and who signs lists.
    changed: Arc<Notify>,
    lists: Arc<Notify>,
    /// Our own server certificates, once there are some.
    own: OnceLock<Vec<Ours>>,
}

impl HomeWorkshop {
    pub(super) fn new(home: Home, house: Arc<House>, view: Arc<PublicView>) -> Self {
        let (changed, lists) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        Self { home, house, view, changed, lists, own: OnceLock::new() }
    }

    /// Who looks at the dates of authorities waits for this.
    pub(super) fn changed(&self) -> Arc<Notify> {
        self.changed.clone()
    }

    /// Who signs lists waits for this.
    pub(super) fn lists(&self) -> Arc<Notify> {
        self.lists.clone()
    }

    /// These server certificates follow the service authority from now on.
    pub(super) fn serves(&self, ours: Vec<Ours>) {
        let _first = self.own.set(ours);
    }

    fn store(&self) -> Result<KeyStore, String> {
        KeyStore::open(&self.home.keys()).map_err(said)
    }

    /// The operator credential of the home follows the root; one that was moved elsewhere is its
    /// owner's business, as is one that believes another realm.
    fn follow_root(&self) {
        let Some(realm) = self.house.realm(&RealmName::default_realm()) else { return };
        let (roots, _) = realm.roots();
        let pins: Vec<String> = roots.iter().map(|r| r.spki_hash().to_string()).collect();
        let (Some(root), [_, older @ ..]) = (roots.first(), pins.as_slice()) else { return };
        match OperatorFile::believe(&self.home.operator(), older, root) {
            Err(error) if !error.is_absent() => tracing::error!(%error, "operator.toml"),
            _ => {}
        }
    }

    /// A server certificate of the newest service authority, at once: what clients pinned is the
    /// root, and that stands above both.
    fn follow_service(&self) {
        let Some(realm) = self.house.realm(&RealmName::default_realm()) else { return };
        for (service, served) in self.own.get().into_iter().flatten() {
            let Some(issuer) = self.house.service(&realm) else { return };
            match service.follow(issuer, realm.bridges(), served) {
                Ok(true) => tracing::info!("the server certificate follows its authority"),
                Ok(false) => {}
                Err(error) => tracing::error!(%error, "the server certificate does not follow"),
            }
        }
    }
}

fn said(trouble: KeyTrouble) -> String {
    trouble.to_string()
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
        // Durable before anybody sees the request: a certificate for a key that is gone is worth
        // nothing.
        self.store()?.keep_half(&format!("{role}-{id}"), &key).map_err(said)?;
        let called = format!("Muster {role} {} {}", realm.name(), short(&id));
        let csr = ca::authority::request(&called, &signer).map_err(|e| e.to_string())?;
        Ok((id, csr))
    }

    fn crl(&self, realm: &RealmState, authority: &Authority) -> Option<Vec<u8>> {
        let path = format!("/crl/{}/{}.crl", realm.name(), authority.id);
        self.view.shown(&path).map(|file| file.octets().to_vec())
    }

    fn keep_key(&self, role: Role, id: &KeyId) -> Result<(), String> {
        let (store, name) = (self.store()?, format!("{role}-{id}"));
        store.finish(&name).map_err(said)?;
        let key = store.load(&name).map_err(said)?.key;
        self.house.add_signer(Arc::new(key));
        Ok(())
    }

    fn destroy_key(&self, role: Role, id: &KeyId) -> Result<bool, String> {
        let store = self.store()?;
        store.destroy_half(&format!("{role}-{id}")).map_err(said)?;
        let Some(name) = store.name_of(role, id).map_err(said)? else { return Ok(true) };
        if store.load(&name).map_err(said)?.keeping == Keeping::Credential {
            return Ok(false);
        }
        store.destroy(&name).map_err(said).map(|()| true)
    }

    fn publish_crl(
        &self,
        realm: &RealmState,
        authority: &Authority,
        der: &[u8],
    ) -> Result<(), String> {
        let id = authority.id.octets();
        let kept = self.house.registry.note_wait(realm.key, ROOT_CRL, id, Some(der.to_vec()));
        kept.map_err(|e| e.to_string())?;
        let path = format!("/crl/{}/{}.crl", realm.name(), authority.id);
        let file = PublicFile::new(Kind::Crl, der.to_vec(), self.house.clock.now());
        self.view.show(&path, file);
        Ok(())
    }

    fn authorities_changed(&self) {
        crate::authorities::show(&self.house, &self.view);
        self.follow_service();
        self.follow_root();
        self.changed.notify_one();
        self.lists.notify_one();
    }
}

/// Enough of a key identifier to tell two authorities of a role apart.
fn short(id: &KeyId) -> String {
    id.to_string().chars().take(8).collect()
}
