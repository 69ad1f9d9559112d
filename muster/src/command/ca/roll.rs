//! Rolling an authority over to its successor.

use super::super::root::{Root, RootArgs};
use super::super::words::{until, word};
use super::install;
use crate::failure::{Failure, Outcome};
use crate::rest::{Query, Rest};
use crate::session::Session;
use api::path::{AUTHORITIES, AUTHORITY_REQUEST, AUTHORITY_REQUESTS, REALM, fill};
use api::{
    AuthorityCsr, AuthorityInstall, AuthorityRequest, AuthorityRole, AuthorityView, KeyKind,
    RealmView,
};
use ca::{Addresses, authority};
use clap::Args;
use identity::authority::Role;
use identity::{Csr, RealmName};
use server::clock;
use std::path::PathBuf;

/// Roll an authority over to a successor, without loss: both are believed for an overlap, and leaves
/// move over at their next renewal.
///
/// Without the root's key this makes the successor's key on the server and prints its request: let
/// the root sign it (`ca sign`) and bring the certificate back (`ca install`). With --root-key it
/// does all three, and goes on with a request that is open.
///
/// A birth authority that was rolled over counts for good, since births never end. A service
/// authority is followed by the server's certificate at once.
///
/// `ca roll root` makes a new root where the old one's key is: its key in --new-root DIR, the
/// certificates that lead from one root to the other, and new ones for all authorities, which keep
/// their keys. With --authorities FILE it needs no server.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  muster ca roll operations > operations.csr
  muster ca roll operations --root-key /media/usb/root.key.age --until 60d
  muster ca roll operations --abandon
  muster ca roll root --root-key /media/usb/root.key.age --new-root /media/usb/next")]
pub(crate) struct Roll {
    /// What it signs.
    #[arg(value_parser = word!(AuthorityRole))]
    pub(super) role: AuthorityRole,
    /// Print the open request once more.
    #[arg(long, conflicts_with_all = ["abandon", "root_key"])]
    again: bool,
    /// Give the open request up, and destroy its key.
    #[arg(long, conflicts_with = "root_key")]
    abandon: bool,
    /// Also while the one before is still in its overlap.
    #[arg(long)]
    in_overlap: bool,
    /// When the one before retires: a length of time like 60d, or a day like 2027-03-31 [default:
    /// once the last leaf of it has ended].
    #[arg(long, value_name = "WHEN", value_parser = until, requires = "root_key")]
    pub(super) until: Option<u64>,
    /// The kind of the new key.
    #[arg(long, value_name = "KIND", default_value = "p256",
        value_parser = word!(KeyKind, except KeyKind::Rsa))]
    pub(super) key_kind: KeyKind,
    #[command(flatten)]
    pub(super) root: RootArgs,
    #[command(flatten)]
    pub(super) new_root: NewRoot,
}

/// Where a new root's key goes, and what it certifies.
#[derive(Debug, Args)]
#[command(next_help_heading = "A new root")]
pub(super) struct NewRoot {
    /// A directory for the new root's key and certificate; made where it is not there.
    #[arg(long = "new-root", value_name = "DIR", requires = "root_key")]
    pub(super) dir: Option<PathBuf>,
    /// Encrypt its key to this age recipient [default: a random passphrase beside it].
    #[arg(long = "new-root-recipient", value_name = "AGE", requires = "dir")]
    pub(super) recipient: Option<String>,
    /// The authorities as `muster ca list --json` told them: then no server is needed here.
    #[arg(long, value_name = "FILE", requires = "dir")]
    pub(super) authorities: Option<PathBuf>,
    /// The server's public URL, where no server is asked.
    #[arg(long, value_name = "URL", requires = "authorities")]
    pub(super) public_url: Option<String>,
}

impl Roll {
    /// Whether the root itself shall be followed.
    pub(super) fn is_root(&self) -> bool {
        self.role == AuthorityRole::Root
    }
}

/// Does what was typed.
pub(super) async fn roll(typed: Roll, rest: &Rest, session: &Session) -> Outcome {
    let role = typed.role;
    if typed.abandon {
        let open = open_of(rest, role).await?;
        rest.delete(fill(AUTHORITY_REQUEST, &[&open.id])).await?;
        return session.show(&open, |open, _| format!("{} is given up", open.id));
    }
    if typed.again {
        return session.show(&open_of(rest, role).await?, |open, _| open.csr.clone());
    }
    let (key_kind, in_overlap) = (Some(typed.key_kind), typed.in_overlap);
    let request = AuthorityRequest { role, key_kind, in_overlap };
    match typed.root.is_named() {
        true => whole(&typed, &request, rest, session).await,
        false => ask(&request, rest, session).await,
    }
}

/// Makes the key, and prints its request.
pub(super) async fn ask(request: &AuthorityRequest, rest: &Rest, session: &Session) -> Outcome {
    let made: AuthorityCsr = rest.post(AUTHORITY_REQUESTS, request).await?;
    let (role, realm) = (request.role, rest.get::<RealmView>(REALM).await?);
    let url = realm.public_url.map(|url| format!(" --public-url {url}")).unwrap_or_default();
    session.remark(&format!(
        "next, where the root's key is: muster ca sign --role {role} --csr FILE{url} --out {role}.pem
and here: muster ca install --role {role} --certificate {role}.pem"
    ));
    session.show(&made, |made, _| made.csr.clone())
}

/// Request, signature and installation. The root is opened first: a wrong key leaves nothing behind.
async fn whole(
    typed: &Roll,
    request: &AuthorityRequest,
    rest: &Rest,
    session: &Session,
) -> Outcome {
    let root = typed.root.open(session)?;
    let found = open(rest).await?.into_iter().find(|r| r.role == request.role);
    if let Some(open) = &found {
        session.remark(&format!("going on with the request of {}", open.made));
    }
    let done = follow(&root, (request, found), typed.until, rest).await?;
    install::tell(&done, rest, session).await
}

/// Has the server make a successor's key unless a request for it is open, signs it with the root,
/// and installs what was signed: the overlap begins.
pub(crate) async fn follow(
    root: &Root,
    (request, open): (&AuthorityRequest, Option<AuthorityCsr>),
    overlap_s: Option<u64>,
    rest: &Rest,
) -> Outcome<AuthorityView> {
    let asked = match open {
        Some(open) => open,
        None => rest.post(AUTHORITY_REQUESTS, request).await?,
    };
    let csr = Csr::parse_pem(&asked.csr).map_err(|d| Failure::new(d.sentence))?;
    let realm: RealmView = rest.get(REALM).await?;
    let name = RealmName::parse(&realm.name)
        .ok_or_else(|| Failure::new(format!("`{}` is no name of a realm", realm.name)))?;
    let addresses = Addresses { public_url: realm.public_url, realm: name };
    let role = Role::parse(request.role.as_str())
        .ok_or_else(|| Failure::new(format!("`{}` is no role", request.role)))?;
    let order = authority::Order { csr: &csr, role, addresses: &addresses };
    let signed =
        clock::outside(|outside| authority::sign(&root.certificate, &root.key, order, outside));
    let certificate = signed.map_err(Failure::new)?.pem();
    let install = AuthorityInstall { certificate, role: request.role, overlap_s };
    rest.post(AUTHORITIES, &install).await
}

/// The requests that the root has not answered.
pub(super) async fn open(rest: &Rest) -> Outcome<Vec<AuthorityCsr>> {
    rest.list(AUTHORITY_REQUESTS, &Query::default(), None).await
}

async fn open_of(rest: &Rest, role: AuthorityRole) -> Outcome<AuthorityCsr> {
    open(rest).await?.into_iter().find(|r| r.role == role).ok_or_else(|| {
        Failure::new(format!("no request for a new {role} authority is open"))
            .next(format!("`muster ca roll {role}` makes one"))
    })
}
