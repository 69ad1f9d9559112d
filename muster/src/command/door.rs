//! Doors: the ways in, what must be shown there, and what one gets.

use super::words::word;
use crate::failure::{Failure, Outcome};
use crate::output::Paint;
use crate::rest::{Call, Query, Rest};
use crate::session::Session;
use crate::table::{Table, members};
use api::path::{DOOR, DOOR_CLOSE, DOOR_OPEN, DOORS, fill};
use api::{Assurance, DoorKind, DoorRequest, DoorView, Maker, SerialPlace};
use clap::{Args, Subcommand};
use hyper::Method;
use identity::text::counted;
use std::path::{Path, PathBuf};

/// Doors: list and look at them, add one for a maker's devices, open, close and remove them.
#[derive(Debug, Subcommand)]
pub(crate) enum Door {
    List(List),
    Show(Show),
    Add(Box<Add>),
    /// Open a door.
    #[command(after_help = "Example:\n  muster door open acme")]
    Open(Named),
    /// Close a door at once: it refuses everybody, and nothing else changes.
    #[command(after_help = "Example:\n  muster door close acme")]
    Close(Named),
    /// Remove a door to which no device belongs.
    ///
    /// A device belongs to the door by which it last joined, until it is retired: its renewals go
    /// by the profile and the demands of that door. To let nobody in any more, close it. Another
    /// door of that name is the same maker again, so that its serial numbers are too.
    #[command(after_help = "Example:\n  muster door remove acme")]
    Remove(Named),
}

/// List the doors.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  muster door list")]
pub(crate) struct List {}

/// Show one door and its rule.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  muster door show acme")]
pub(crate) struct Show {
    /// The door.
    name: String,
}

/// A door by its name.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The door.
    name: String,
}

/// Add a door, or change the one of that name with --replace.
///
/// A maker door lets devices in that show their maker's certificate (IDevID): say whose anchors are
/// believed and where the serial number stands. The door's name is the maker of its devices, so
/// that the serial numbers of two makers never collide.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  muster door add acme --kind maker --anchors acme-root.pem --model AX-1 --group sensors
  muster door add acme --kind maker --anchors acme.pem --place common-name --pattern 'ACME-*'")]
pub(crate) struct Add {
    /// Its name; of a maker door also the maker of its devices.
    name: String,
    /// What must be shown.
    #[arg(long, value_parser = word!(DoorKind))]
    kind: DoorKind,
    /// A group that its devices get when they first join; may be said again.
    #[arg(long, value_name = "GROUP")]
    group: Vec<String>,
    /// The certificate profile of its leaves.
    #[arg(long, value_name = "NAME", default_value = "standard")]
    profile: String,
    /// What an identity is worth at most [default: certified, or token at a token door].
    #[arg(long, value_parser = word!(Assurance))]
    assurance: Option<Assurance>,
    /// Demand the RFC 9266 channel binding in each request (TLS 1.3).
    #[arg(long)]
    binding: bool,
    /// Demand, to join, the receipt of the certificate that is shown, in the header Muster-Receipt:
    /// `own` for births of this realm, or the key of the maker's ledger, a C2SP verifier key or a
    /// file with it.
    #[arg(long, value_name = "own|VKEY")]
    receipt: Option<String>,
    /// Leave it closed until `door open`.
    #[arg(long)]
    closed: bool,
    /// Open it [default: a new door is open, a changed one stays as it was].
    #[arg(long, conflicts_with = "closed")]
    open: bool,
    /// Set the door of that name anew: what is not said again is gone, but for whether it is open.
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    maker: MakerArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Maker door")]
struct MakerArgs {
    /// The maker's roots or issuing authorities, PEM; one alone may be DER.
    #[arg(long, value_name = "FILE")]
    anchors: Option<PathBuf>,
    /// Where in the certificate the serial number stands.
    #[arg(long, default_value = "subject", value_parser = word!(SerialPlace))]
    place: SerialPlace,
    /// For `common-name`: the text around the serial number, `*` where it stands.
    #[arg(long, default_value = "*")]
    pattern: String,
    /// The model that all of them are.
    #[arg(long, default_value = "", hide_default_value = true)]
    model: String,
    /// Serial numbers that may come in, one a line [default: all of the maker's].
    #[arg(long, value_name = "FILE")]
    allow: Option<PathBuf>,
}

/// Does what was typed.
pub(super) async fn run(typed: Door, session: &Session) -> Outcome {
    let rest = session.rest()?;
    match typed {
        Door::List(List {}) => {
            let doors: Vec<DoorView> = rest.list(DOORS, &Query::default(), None).await?;
            session.show(&doors, |rows, paint| table(rows, paint))
        }
        Door::Show(Show { name }) => {
            let door: DoorView = rest.get(fill(DOOR, &[&name])).await?;
            session.show(&door, sheet)
        }
        Door::Add(add) => self::add(*add, &rest, session).await,
        Door::Open(Named { name }) => turn(DOOR_OPEN, &name, &rest, session).await,
        Door::Close(Named { name }) => turn(DOOR_CLOSE, &name, &rest, session).await,
        Door::Remove(Named { name }) => {
            let call = Call::new(Method::DELETE, fill(DOOR, &[&name]));
            let door: DoorView = rest.send(call).await?.value()?;
            session.show(&door, |door, _| format!("door {} is removed", door.name))
        }
    }
}

async fn turn(path: &str, name: &str, rest: &Rest, session: &Session) -> Outcome {
    let door: DoorView = rest.post(fill(path, &[name]), &serde_json::json!({})).await?;
    session.show(&door, |door, _| {
        format!("door {} is {}", door.name, if door.open { "open" } else { "closed" })
    })
}

async fn add(typed: Add, rest: &Rest, session: &Session) -> Outcome {
    let (name, replace) = (typed.name.clone(), typed.replace);
    let (opened, closed) = (typed.open, typed.closed);
    let mut request = request(typed)?;
    let path = fill(DOOR, &[&name]);
    let before = match rest.get_tagged::<DoorView>(path.as_str()).await {
        Ok(_) if !replace => {
            return Err(Failure::new(format!("there is a door `{name}` already"))
                .next("take another name, or change it with --replace"));
        }
        Err(failure) if failure.is_absent() => None,
        before => Some(before?),
    };
    let (before, tag) = before.unzip();
    // Whoever closed it meant that, and did not mean that another rule opens it.
    if let Some(door) = before.filter(|_: &DoorView| !opened && !closed) {
        request.open = door.open;
    }
    let call = Call::new(Method::PUT, path).json(&request)?.if_match(tag.flatten());
    let door: DoorView = rest.send(call).await?.value()?;
    session.show(&door, sheet)
}

fn request(typed: Add) -> Outcome<DoorRequest> {
    let maker = match (typed.kind, typed.maker.anchors.is_some()) {
        (DoorKind::Maker, true) => Some(maker(typed.maker)?),
        (DoorKind::Maker, false) => {
            return Err(Failure::usage("a maker door needs its maker's anchors")
                .next("name a PEM file with --anchors"));
        }
        (_, true) => return Err(Failure::usage("only a maker door has --anchors")),
        (_, false) => None,
    };
    let receipt = match typed.receipt.as_deref() {
        None | Some("own") => typed.receipt,
        Some(said) => Some(super::receipt::log_key(said)?.to_string()),
    };
    Ok(DoorRequest {
        kind: typed.kind,
        open: !typed.closed,
        group: typed.group,
        profile: typed.profile,
        assurance: typed.assurance,
        binding: typed.binding,
        receipt,
        maker,
    })
}

fn maker(typed: MakerArgs) -> Outcome<Maker> {
    let read =
        |path: &Path| std::fs::read_to_string(path).map_err(|e| Failure::file("read", path, &e));
    let pem = |path: &Path| super::root::pem_of(path, "CERTIFICATE");
    let anchors = typed.anchors.as_deref().map(pem).transpose()?.unwrap_or_default();
    let allow = typed.allow.as_deref().map(read).transpose()?.map(|text| {
        text.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned).collect()
    });
    let MakerArgs { place, pattern, model, .. } = typed;
    Ok(Maker { anchors, place, pattern, model, allow })
}

fn table(rows: &[DoorView], paint: Paint) -> String {
    let mut table = Table::new(&["NAME", "KIND", "OPEN", "PROFILE", "ASSURANCE", "GROUPS"]);
    for door in rows {
        table.row([
            door.name.clone(),
            door.kind.to_string(),
            if door.open { "yes" } else { "no" }.to_owned(),
            door.profile.clone(),
            door.assurance.to_string(),
            door.group.join(","),
        ]);
    }
    table.print(paint)
}

fn sheet(door: &DoorView, paint: Paint) -> String {
    let maker = door.maker.as_ref();
    let anchors = maker.map(|m| m.anchors.matches("-----BEGIN").count().to_string());
    let allow = maker.and_then(|m| m.allow.as_ref());
    let allow = allow.map(|a| counted(a.len() as u64, "serial number", "serial numbers"));
    members(
        paint,
        [
            ("name", Some(door.name.clone())),
            ("kind", Some(door.kind.to_string())),
            ("open", Some(if door.open { "yes" } else { "no" }.to_owned())),
            ("profile", Some(door.profile.clone())),
            ("assurance", Some(door.assurance.to_string())),
            ("groups", Some(door.group.join(", "))),
            ("binding", door.binding.then(|| "tls-exporter".to_owned())),
            ("receipt of", door.receipt.clone()),
            ("anchors", anchors),
            ("serial stands in", maker.map(|m| m.place.to_string())),
            ("pattern", maker.map(|m| m.pattern.clone()).filter(|p| p != "*")),
            ("model", maker.map(|m| m.model.clone())),
            ("only", allow),
        ],
    )
}
