//! What a new realm is made of.

use super::FoundError;
use crate::clock;
use crate::home::config::Settings;
use crate::home::file::{self, Mode};
use crate::home::{Home, HomeError, OperatorFile, near};
use crate::keys::{KeyStore, KeyTrouble, NewKey, root};
use ca::Addresses;
use ca::authority::{self, Order};
use ca::crl::{self, Crl, Scope};
use identity::authority::{Authority, Role};
use identity::door::{Door, DoorKind};
use identity::profile::Profile;
use identity::text::hex;
use identity::token::{self, TokenId};
use identity::{
    Assurance, Certificate, Csr, KeyKind, Outside, RealmName, Refusal, Signer, SpkiHash, UnixTime,
};
use ledger::{Class, Origin, Payload};
use registry::{Change, Draft, Operator, Options, Realm, RealmKey, Registry};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

/// The root's CRL is made by hand, so it is good for a year.
const ROOT_CRL_S: u64 = 366 * 86_400;
/// The realm of a new home.
const FIRST: RealmKey = RealmKey(1);
/// Its first operator.
const FIRST_OPERATOR: &str = "admin";

/// Makes everything below `building` and gives back the root. Nothing is anywhere else.
pub(super) fn make(
    building: &Path,
    home: &Home,
    settings: &Settings,
    lock: &root::Lock<'_>,
) -> Result<Certificate, FoundError> {
    let (keys, offline) = (building.join("keys"), building.join("offline"));
    file::make_dir(&keys)?;
    file::make_dir(&offline)?;
    let store = KeyStore::open(&home.keys())?.at(&keys);
    if settings.keys_encrypted && !store.encrypts() {
        return Err(KeyTrouble::Locked(
            "`[keys] encrypted` is set, but there is no systemd credential \
             `muster-key-passphrase` to encrypt with"
                .to_owned(),
        )
        .into());
    }
    let realm = clock::outside(new_realm);
    let addresses =
        Addresses { public_url: settings.public_url.clone(), realm: realm.name.clone() };
    let kinds = Kinds { authority: settings.key_kind, store: &store };
    let (root, authorities) = authorities(&realm, &kinds, &addresses, (lock, &offline))?;
    kinds.key("ledger", KeyKind::Ed25519)?;
    let operator = first_operator(building, settings, &root)?;
    write_database(building, realm, authorities, operator)?;
    Ok(root)
}

fn new_realm(outside: &mut Outside<'_>) -> Realm {
    let id = *outside.device_id().octets();
    Realm {
        key: FIRST,
        name: RealmName::default_realm(),
        id,
        origin: Origin::new(&id, 1).as_str().to_owned(),
        founded: outside.now,
    }
}

struct Kinds<'a> {
    authority: KeyKind,
    store: &'a KeyStore,
}

impl Kinds<'_> {
    /// A key that systemd delivers is taken as it is; any other is made and kept.
    fn key(&self, name: &str, kind: KeyKind) -> Result<Box<dyn Signer>, KeyTrouble> {
        if let Some(delivered) = self.store.delivered(name)? {
            return Ok(Box::new(delivered));
        }
        let key = NewKey::make(kind)?;
        self.store.keep(name, &key)?;
        Ok(Box::new(key.signer()?))
    }
}

/// Root and authorities. The root's key lives in this function and nowhere else.
fn authorities(
    realm: &Realm,
    kinds: &Kinds<'_>,
    addresses: &Addresses,
    (lock, offline): (&root::Lock<'_>, &Path),
) -> Result<(Certificate, Vec<Authority>), FoundError> {
    // Two homes have two names, so that nobody's chain builder takes one root for the other.
    let mark = hex(realm.id.get(10..).unwrap_or_default());
    let root_key = NewKey::make(kinds.authority)?;
    root::lock(&root_key, lock, offline)?;
    let root_key = root_key.signer()?;
    let root = clock::outside(|outside| {
        authority::root(&format!("Muster root {mark}"), &root_key, outside)
    })?;
    let mut all = vec![active(Role::Root, root.clone())?];
    for role in [Role::Birth, Role::Operations, Role::Service] {
        let key = kinds.key(role.as_str(), kinds.authority)?;
        let request = authority::request(&format!("Muster {role} {mark}"), key.as_ref())?;
        let csr = Csr::parse(&request).map_err(Refusal::Malformed)?;
        let order = Order { csr: &csr, role, addresses };
        let signed = clock::outside(|outside| authority::sign(&root, &root_key, order, outside))?;
        all.push(active(role, signed)?);
    }
    let list = crl::sign(&root, &root_key, root_crl(clock::now()))?;
    file::write(&offline.join("root.crl"), &list, Mode::Public)?;
    file::write(&offline.join("root.pem"), root.pem().as_bytes(), Mode::Public)?;
    Ok((root, all))
}

fn root_crl(now: UnixTime) -> Crl {
    Crl {
        number: 1,
        this_update: now,
        next_update: now.plus_secs(ROOT_CRL_S),
        scope: Scope::Complete,
        entries: Vec::new(),
    }
}

fn active(role: Role, certificate: Certificate) -> Result<Authority, FoundError> {
    let id = certificate.subject_key_id().ok_or_else(|| {
        HomeError::Wrong("an authority was made without a subject key identifier".to_owned())
    })?;
    Ok(Authority::active(id, role, certificate))
}

/// The first operator may do everything; its token is in a file of the home and nowhere else.
fn first_operator(
    building: &Path,
    settings: &Settings,
    root: &Certificate,
) -> Result<Operator, HomeError> {
    let (id, secret) = clock::outside(token::mint);
    let place = settings.operator.first().copied();
    // The start that follows says it again, as it then really is.
    let place = place.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 9443)));
    let file = OperatorFile {
        url: near::url(&near::name(place), place.port()),
        root_pin: root.spki_hash().to_string(),
        root: root.pem(),
        server_root: None,
        realm: RealmName::default_realm().to_string(),
        token: format!("{id}.{}", secret.dangerous_reveal()),
    };
    file.write(&building.join("operator.toml"))?;
    Ok(operator(id, secret.digest()))
}

fn operator(id: TokenId, digest: [u8; 32]) -> Operator {
    let role = registry::Role::Admin;
    Operator { name: FIRST_OPERATOR.to_owned(), role, digest, made: clock::now(), id }
}

/// One change, one entry: the realm with all that it begins with.
fn write_database(
    building: &Path,
    realm: Realm,
    authorities: Vec<Authority>,
    operator: Operator,
) -> Result<(), FoundError> {
    let draft = draft(&realm, &authorities);
    let mut all = vec![Change::Found(realm)];
    all.extend(authorities.into_iter().map(Change::Authority));
    all.push(Change::ProfileSet(Profile::standard()));
    all.extend(doors().map(Change::DoorSet));
    all.push(Change::OperatorSet(operator));
    let path = building.join("muster.db");
    // The database takes over the mode of a file that is there, and gives it to its log: digests of
    // tokens and all that the ledger only hints at are in them.
    file::write(&path, &[], Mode::Private)?;
    let registry = Registry::open(&path, Options::default())?;
    registry.commit_wait(FIRST, Change::Batch(all), draft)?;
    // The last handle takes the write-ahead log into the file.
    registry.close();
    Ok(())
}

/// Both doors are open: one wants a birth certificate, the other a token that an operator made.
fn doors() -> impl Iterator<Item = Door> {
    let door = |name: &str, kind, assurance| Door {
        name: name.to_owned(),
        kind,
        open: true,
        groups: BTreeSet::new(),
        profile: Profile::standard().name,
        assurance,
        binding: false,
        receipt: None,
    };
    [
        door("birth", DoorKind::Birth, Assurance::Certified),
        door("token", DoorKind::Token, Assurance::Token),
    ]
    .into_iter()
}

fn draft(realm: &Realm, authorities: &[Authority]) -> Draft {
    let mut payload = Payload::new("realm.founded")
        .with("realm", realm.name.as_str())
        .with("origin", realm.origin.as_str())
        .with("operator", FIRST_OPERATOR);
    for authority in authorities {
        let key: SpkiHash = authority.certificate.spki_hash();
        payload = payload.with(authority.role.as_str(), key.octets().to_vec());
    }
    clock::outside(|outside| Draft::new(Class::Realm, &payload, outside.random(), outside.now))
}
