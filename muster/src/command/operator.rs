//! Operators: who may type these verbs.

use super::words::word;
use crate::credential::{NewFile, OperatorFile};
use crate::failure::{Failure, Outcome};
use crate::output::Paint;
use crate::rest::{Query, Rest};
use crate::session::Session;
use crate::table::Table;
use api::path::{OPERATOR, OPERATORS, ROOTS, fill};
use api::{OperatorMade, OperatorRequest, OperatorView, Role, RootsView};
use clap::{Args, Subcommand};
use identity::Certificate;
use std::path::PathBuf;

/// Operators and stations: who may use the REST interface, and for what.
#[derive(Debug, Subcommand)]
pub(crate) enum Operator {
    Add(Add),
    List(List),
    Remove(Remove),
    Refresh(Refresh),
}

/// Make a credential for a person, a program or a station.
///
/// Roles: `viewer` sees, `station` sends births and gets their receipts, `operator` changes devices,
/// certificates and tokens, `admin` everything. With --out the whole credential file is written
/// (mode 0600), ready for `--as FILE`; without it the token is shown, once.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  muster operator add line-3 --role station --out line-3.toml
  muster operator add ada --role admin --url https://muster.example:9443 --out ada.toml
  muster birth --as line-3.toml --batch run.jsonl --out born")]
pub(crate) struct Add {
    /// Its name: 1 to 64 of letters, digits and `-_.@`; stands in the ledger.
    name: String,
    /// What it may do.
    #[arg(long, value_parser = word!(Role))]
    role: Role,
    /// Where to write the credential file.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Where its holder reaches the server, `https://NAME:9443` [default: as in this credential].
    #[arg(long, value_name = "URL", requires = "out")]
    url: Option<String>,
}

/// List the credentials, without their secrets.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  muster operator list")]
pub(crate) struct List {}

/// Take a credential away: it is refused from the next request on.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  muster operator remove line-3")]
pub(crate) struct Remove {
    /// Its name.
    name: String,
}

/// Bring the realm's newest root into this credential, after a root was rolled over.
///
/// Nothing is believed that the root in the credential does not lead to. While the old root counts,
/// a credential that has it goes on working; once that has retired, only one with the new root does.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  muster operator refresh --as line-3.toml")]
pub(crate) struct Refresh {}

/// Does what was typed.
pub(super) async fn run(typed: Operator, session: &Session) -> Outcome {
    let file = session.credential()?;
    let rest = Rest::new(&file)?;
    match typed {
        Operator::Add(add) => self::add(add, &file, &rest, session).await,
        Operator::Refresh(Refresh {}) => refresh(&rest, session).await,
        Operator::List(List {}) => {
            let rows: Vec<OperatorView> = rest.list(OPERATORS, &Query::default(), None).await?;
            session.show(&rows, |rows, paint| table(rows, paint))
        }
        Operator::Remove(Remove { name }) => {
            rest.delete(fill(OPERATOR, &[&name])).await?;
            session.show(&serde_json::json!({"name": name, "removed": true}), |_, _| {
                format!("{name} is refused from now on")
            })
        }
    }
}

/// Writes the newest root that the credential's own leads to into the credential.
pub(super) async fn refresh(rest: &Rest, session: &Session) -> Outcome {
    let file = session.credential()?;
    let before = file.root_pin();
    let (file, changed) = match successor(&file.root, rest).await? {
        Some(root) => (file.believing(root), true),
        None => (file, false),
    };
    let path = session.credential_path();
    if changed {
        file.rewrite(&path)?;
    }
    let said =
        serde_json::json!({ "root_pin": file.root_pin(), "was": before, "changed": changed });
    session.show(&said, |_, _| match changed {
        true => format!("`{}` believes the new root now: {}", path.display(), file.root_pin()),
        false => format!("`{}` has the newest root", path.display()),
    })
}

/// The newest root to which `pinned` leads, if there is a newer one.
pub(super) async fn successor(pinned: &Certificate, rest: &Rest) -> Outcome<Option<Certificate>> {
    let told: RootsView = rest.get(ROOTS).await?;
    let mut shown = Vec::new();
    for pem in told.roots.iter().chain(&told.crosses) {
        let found = Certificate::parse_pem(pem, 1).map_err(|d| Failure::new(d.sentence))?;
        shown.extend(found);
    }
    Ok(enroll::est::client::successor(pinned, &shown, server::clock::now()))
}

async fn add(typed: Add, mine: &OperatorFile, rest: &Rest, session: &Session) -> Outcome {
    if let Some(out) = typed.out.as_ref().filter(|p| p.exists()) {
        // A credential that is overwritten is lost: only its hash is kept.
        return Err(Failure::new(format!("`{}` exists", out.display()))
            .next("name a new file, or remove that one"));
    }
    // Before there is a token that nobody could write down.
    mine.for_holder(typed.url.as_deref(), "")?;
    let file = typed.out.as_deref().map(NewFile::make).transpose()?;
    let request = OperatorRequest { name: typed.name, role: typed.role };
    let made: OperatorMade = rest.post(OPERATORS, &request).await?;
    let (Some(out), Some(file)) = (typed.out, file) else { return session.show(&made, once) };
    mine.for_holder(typed.url.as_deref(), &made.token)?.put(file).map_err(|failure| {
        let name = &made.name;
        let again = format!("muster operator remove {name}, and add it again");
        Failure::new(format!("{}, so the token of `{name}` is lost", failure.what())).next(again)
    })?;
    let said = serde_json::json!({
        "name": made.name, "role": made.role, "id": made.id, "file": out.display().to_string(),
    });
    session.show(&said, |_, _| {
        let path = out.display();
        format!(
            "{} ({}) is in {path}: take it there, then `muster --as {path}`",
            made.name, made.role
        )
    })
}

fn once(made: &OperatorMade, paint: Paint) -> String {
    let pairs = [
        ("name", Some(made.name.clone())),
        ("role", Some(made.role.to_string())),
        ("token", Some(made.token.clone())),
    ];
    let all = crate::table::members(paint, pairs);
    format!("{all}\n\nThe token is shown this once: only its hash is kept.")
}

fn table(rows: &[OperatorView], paint: Paint) -> String {
    let mut table = Table::new(&["NAME", "ROLE", "ID", "MADE"]);
    for row in rows {
        table.row([row.name.clone(), row.role.to_string(), row.id.clone(), row.made.clone()]);
    }
    table.print(paint)
}
