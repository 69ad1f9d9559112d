//! A root gives way to the next, where the keys of both are.

use super::offline::read_authorities;
use super::roll::{NewRoot, Roll};
use super::{all, facts};
use crate::command::operator::refresh;
use crate::failure::{Failure, Outcome};
use crate::production::write_whole;
use crate::rest::Rest;
use crate::session::Session;
use api::path::{AUTHORITY_ROOT, REALM, ROOTS};
use api::{AuthorityRole, AuthorityState, AuthorityView, KeyKind, RealmView, RootRoll, RootsView};
use ca::Addresses;
use ca::authority::{Heir, Succession, succeed};
use ca::crl::{self, Crl, Scope};
use identity::authority::Role;
use identity::certificate::pem;
use identity::{Certificate, RealmName, Signer};
use server::clock;
use server::keys::{NewKey, root};
use std::path::{Path, PathBuf};

/// How long the first list of a new root holds.
const CRL_S: u64 = 366 * 86_400;
/// What is brought to the server.
const BUNDLE: &str = "root-roll.json";

/// Makes the new root, and brings it to the server unless there is none here.
pub(super) async fn roll(typed: Roll, session: &Session) -> Outcome {
    let dir = typed.new_root.dir.clone().ok_or_else(|| {
        Failure::usage("a new root needs a place for its key, and the old root's key")
            .next("muster ca roll root --root-key FILE --new-root DIR, where the old root's key is")
    })?;
    let bundle = dir.join(BUNDLE);
    if dir.join("root.key.age").exists() {
        let next = match bundle.exists() {
            true => {
                format!("bring what was made: muster ca install --root-roll {}", bundle.display())
            }
            false => "it was interrupted: remove it and begin anew, nobody has seen it".to_owned(),
        };
        let what = format!("`{}` has a root's key already", dir.display());
        return Err(Failure::new(what).next(next));
    }
    let rest = match &typed.new_root.authorities {
        Some(_) => None,
        None => Some(session.rest()?),
    };
    let (known, addresses) = known(&typed.new_root, rest.as_ref()).await?;
    let made = make(&typed, &known, &addresses, &dir, session)?;
    let text = serde_json::to_string_pretty(&made).map_err(Failure::new)?;
    write_whole(&bundle, text.as_bytes())?;
    session.remark(&format!("the new root's key is in {}: carry it away", dir.display()));
    match rest {
        Some(rest) => install(&bundle, &rest, session).await,
        None => {
            session.remark("next, at the server: muster ca install --root-roll FILE");
            session.show(&bundle, |bundle: &PathBuf, _| bundle.display().to_string())
        }
    }
}

/// The authorities, from the server or from a file, and the addresses of their realm.
async fn known(said: &NewRoot, rest: Option<&Rest>) -> Outcome<(Vec<AuthorityView>, Addresses)> {
    let (rows, public_url, name) = match (rest, &said.authorities) {
        (Some(rest), _) => {
            let realm: RealmView = rest.get(REALM).await?;
            (all(rest).await?, realm.public_url, realm.name)
        }
        (None, Some(path)) => {
            (read_authorities(path)?, said.public_url.clone(), "default".to_owned())
        }
        (None, None) => (Vec::new(), None, "default".to_owned()),
    };
    let realm = RealmName::parse(&name)
        .ok_or_else(|| Failure::new(format!("`{name}` is no name of a realm")))?;
    Ok((rows, Addresses { public_url, realm }))
}

/// The old root is opened first, and the new key is durable before anything is signed with it.
fn make(
    typed: &Roll,
    known: &[AuthorityView],
    addresses: &Addresses,
    dir: &Path,
    session: &Session,
) -> Outcome<RootRoll> {
    let old = typed.root.open(session)?;
    let authorities = counting(known)?;
    std::fs::create_dir_all(dir).map_err(|e| Failure::file("make", dir, &e))?;
    let kind = match typed.key_kind {
        KeyKind::P384 => identity::KeyKind::P384,
        KeyKind::Ed25519 => identity::KeyKind::Ed25519,
        KeyKind::P256 | KeyKind::Rsa => identity::KeyKind::P256,
    };
    let key = NewKey::make(kind).map_err(Failure::new)?;
    let lock =
        typed.new_root.recipient.as_deref().map_or(root::Lock::Random, root::Lock::Recipient);
    root::lock(&key, &lock, dir).map_err(Failure::new)?;
    let key = key.signer().map_err(Failure::new)?;
    let heir = Heir {
        old: (&old.certificate, &old.key),
        key: &key,
        authorities: &authorities,
        addresses,
        until: typed.until.map(|s| clock::now().plus_secs(s)),
    };
    let made = clock::outside(|outside| succeed(&heir, outside)).map_err(Failure::new)?;
    write_whole(&dir.join("root.pem"), made.root.pem().as_bytes())?;
    bundle(&made, &key, typed.until)
}

fn bundle(made: &Succession, key: &dyn Signer, overlap_s: Option<u64>) -> Outcome<RootRoll> {
    let now = clock::now();
    let list = Crl {
        number: now.secs(),
        this_update: now,
        next_update: now.plus_secs(CRL_S),
        scope: Scope::Complete,
        entries: Vec::new(),
    };
    let crl = crl::sign(&made.root, key, list).map_err(Failure::new)?;
    Ok(RootRoll {
        root: made.root.pem(),
        new_with_old: made.new_with_old.pem(),
        old_with_new: made.old_with_new.pem(),
        authorities: made.authorities.iter().map(Certificate::pem).collect(),
        crl: pem("X509 CRL", &crl),
        overlap_s,
    })
}

/// Every authority below the root that counts.
fn counting(known: &[AuthorityView]) -> Outcome<Vec<(Role, Certificate)>> {
    let counts = |row: &&AuthorityView| {
        matches!(row.state, AuthorityState::Active | AuthorityState::Retiring)
    };
    let below = known.iter().filter(counts).filter(|row| row.role != AuthorityRole::Root);
    below
        .map(|row| {
            let found =
                Certificate::parse_pem(&row.pem, 1).map_err(|d| Failure::new(d.sentence))?;
            let role = Role::parse(row.role.as_str());
            let found = role.zip(found.into_iter().next());
            found.ok_or_else(|| Failure::new(format!("`{}` is no authority", row.id)))
        })
        .collect()
}

/// Brings a new root to the server, and into the credential at hand.
pub(super) async fn install(path: &Path, rest: &Rest, session: &Session) -> Outcome {
    let text = std::fs::read_to_string(path).map_err(|e| Failure::file("read", path, &e))?;
    let bundle: RootRoll = serde_json::from_str(&text)
        .map_err(|e| Failure::new(format!("`{}` is no new root: {e}", path.display())))?;
    let done: AuthorityView = rest.post(AUTHORITY_ROOT, &bundle).await?;
    session.show(&done, facts)?;
    let older = |row: &&AuthorityView| {
        row.role == AuthorityRole::Root && row.state == AuthorityState::Retiring
    };
    for old in all(rest).await?.iter().filter(older) {
        session.remark(&format!(
            "both roots are believed now; `muster ca state {} retired` ends that",
            old.id
        ));
    }
    session.remark("every other credential: muster operator refresh --as FILE");
    if session.json {
        return Ok(());
    }
    refresh(rest, session).await
}

/// Every root that counts, and what leads from one to the other.
pub(super) async fn export(rest: &Rest, session: &Session) -> Outcome {
    let told: RootsView = rest.get(ROOTS).await?;
    session.show(&told, |told, _| told.roots.iter().chain(&told.crosses).cloned().collect())
}
