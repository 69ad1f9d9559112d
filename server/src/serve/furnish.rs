//! What a start brings into the house: the registry, the online keys, and what the public port
//! shows at once.

use super::StartError;
use crate::clock::Clock;
use crate::home::{Home, Settings};
use crate::house::{Furniture, House, Keyring};
use crate::keys::{KeyStore, Online};
use crate::public::{Kind, PublicFile, PublicView};
use identity::authority::{AuthorityState, KeyId, Role};
use registry::{Options, Registry};
use std::sync::Arc;

/// The roles whose keys are online.
const ONLINE: [Role; 3] = [Role::Birth, Role::Operations, Role::Service];
/// Where the root's CRL is kept among the notes, once somebody brought a newer one.
pub(crate) const ROOT_CRL: &str = "root-crl";

/// A furnished house.
pub(super) struct Furnished {
    pub(super) house: Arc<House>,
    /// Names of keys that lie in plain files.
    pub(super) plain_keys: Vec<String>,
}

pub(super) fn furnish(
    home: &Home,
    settings: &Settings,
    clock: Clock,
) -> Result<Furnished, StartError> {
    let registry = Registry::open(&home.database(), Options::default())?;
    let store = KeyStore::open(&home.keys())?;
    finish_keys(&registry, &store)?;
    let online = Online::from(&store, settings.keys_encrypted)?;
    let keyring: Keyring =
        online.authorities.into_iter().map(|key| (key.public().key_id(), key)).collect();
    let house = House::new(Furniture {
        registry,
        clock,
        keyring,
        ledger_key: online.ledger,
        public_url: settings.public_url.clone(),
    })?;
    known(&house)?;
    crate::checkpoint::continues(&house).map_err(StartError::Wrong)?;
    Ok(Furnished { house, plain_keys: online.plain })
}

/// Keys that were being made when the last process ended. One whose request is in the registry is
/// finished; of every other nobody has heard, and it is destroyed.
fn finish_keys(registry: &Registry, store: &KeyStore) -> Result<(), StartError> {
    for name in store.halves()? {
        let mut known = false;
        for realm in registry.realms() {
            let requests = registry.authority_requests(realm.key)?;
            known |= requests.iter().any(|r| format!("{}-{}", r.role, r.id) == name);
        }
        if known {
            store.finish(&name)?;
        } else {
            tracing::info!("a key that was half made is destroyed: {name}");
            store.destroy_half(&name)?;
        }
    }
    Ok(())
}

/// A key that was exchanged by hand signs certificates that nobody trusts: better not to start.
fn known(house: &House) -> Result<(), StartError> {
    for realm in house.realms() {
        for authority in &realm.authorities {
            let online =
                ONLINE.contains(&authority.role) && authority.state == AuthorityState::Active;
            if online && house.signer(&authority.id).is_none() {
                return Err(StartError::Wrong(format!(
                    "the key of the active {} authority {} is not in `keys/`: bring it back from the back-up",
                    authority.role, authority.id
                )));
            }
        }
    }
    Ok(())
}

/// What the public port shows: the certificates of authorities, and the root's CRL.
pub(super) fn view(home: &Home, house: &House) -> Result<Arc<PublicView>, StartError> {
    let realms = house.realms();
    let keys = realms.iter().map(|r| (r.name().clone(), r.key));
    let view = PublicView::new(house.registry.clone(), keys);
    crate::authorities::show(house, &view);
    for realm in &realms {
        for authority in &realm.authorities {
            if authority.role == Role::Root {
                let path = format!("/crl/{}/{}.crl", realm.name(), authority.id);
                match root_crl(home, house, (realm.key, &authority.id))? {
                    Some(der) => {
                        view.show(&path, PublicFile::new(Kind::Crl, der, house.clock.now()));
                    }
                    None => tracing::warn!(
                        root = %authority.id,
                        "there is no CRL of the root: make one with `muster ca crl --root`"
                    ),
                }
            }
        }
    }
    Ok(Arc::new(view))
}

/// A root's CRL is signed by hand, far away from here: the one that was brought last, else the one
/// of the first start. Which root that is of, its issuer key tells: an early note did not say.
fn root_crl(
    home: &Home,
    house: &House,
    (realm, root): (registry::RealmKey, &KeyId),
) -> Result<Option<Vec<u8>>, StartError> {
    if let Some(noted) = house.registry.noted(realm, ROOT_CRL, root.octets())? {
        return Ok(Some(noted));
    }
    let early = house.registry.noted(realm, ROOT_CRL, b"")?;
    let early = early.or_else(|| std::fs::read(home.offline().join("root.crl")).ok());
    let its = |der: &Vec<u8>| der.windows(20).any(|w| w == root.octets());
    Ok(early.filter(its))
}
