//! Join tokens: somebody vouches once for a device that has nothing else to show.

use super::words::seconds;
use crate::failure::Outcome;
use crate::output::Paint;
use crate::rest::Query;
use crate::session::Session;
use crate::table::{Table, members};
use api::path::{TOKEN, TOKENS, fill};
use api::token::{TTL_MAX_S, USES_MAX};
use api::{TokenMade, TokenRequest, TokenView};
use clap::{Args, Subcommand};
use identity::token::TokenId;

/// Join tokens, for devices without a birth certificate.
#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    New(New),
    List(List),
    Revoke(Revoke),
}

/// Make a join token and show its secret, once.
///
/// A device shows it at the EST door: HTTP Basic carries `ID:SECRET`, Bearer `ID.SECRET`. Only a
/// hash is stored, so a lost secret is a new token. A token without --serial never attaches to a
/// device that exists: each join makes a new one.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  muster token new --ttl 1h --group pumps
  muster token new --uses 20 --ttl 7d --json | jq -r .basic")]
pub(crate) struct New {
    /// Joins that it is good for.
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(USES_MAX)))]
    uses: u32,
    /// How long it is good: 90s, 15m, 12h, 30d.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = ttl)]
    ttl: u64,
    /// A group that its devices get; may be said again.
    #[arg(long, value_name = "GROUP")]
    group: Vec<String>,
    /// The one device that may use it: S, MAKER/MODEL/S, or a device's NAME or UUID as lists show it.
    #[arg(long, value_name = "SERIAL")]
    serial: Option<String>,
}

/// List the join tokens, without their secrets.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  muster token list")]
pub(crate) struct List {
    /// At most so many [default: all].
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// End a join token now; devices that joined with it stay.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  muster token revoke kQ3vE9x-TzB_41aY")]
pub(crate) struct Revoke {
    /// The token's id, the part before the secret.
    #[arg(allow_hyphen_values = true, value_parser = token_id)]
    id: String,
}

/// Does what was typed.
pub(super) async fn run(typed: Token, session: &Session) -> Outcome {
    let rest = session.rest()?;
    match typed {
        Token::New(New { uses, ttl, group, serial }) => {
            let request = TokenRequest { uses, ttl_s: ttl, group, serial };
            let made: TokenMade = rest.post(TOKENS, &request).await?;
            session.show(&made, once)
        }
        Token::List(List { limit }) => {
            let tokens: Vec<TokenView> = rest.list(TOKENS, &Query::default(), limit).await?;
            session.show(&tokens, |rows, paint| table(rows, paint))
        }
        Token::Revoke(Revoke { id }) => {
            rest.delete(fill(TOKEN, &[&id])).await?;
            session.show(&serde_json::json!({"id": id, "revoked": true}), |_, _| {
                format!("token {id} is good for nothing now")
            })
        }
    }
}

/// Reads an id; one that begins with a hyphen is of an earlier release.
fn token_id(text: &str) -> Result<String, String> {
    let read = TokenId::parse(text).map(|id| id.to_string());
    read.ok_or_else(|| "an id has 16 letters, digits, `-` and `_`: see `muster token list`".into())
}

/// How long a token may be good.
fn ttl(text: &str) -> Result<u64, String> {
    match seconds(text)? {
        secs if secs <= TTL_MAX_S => Ok(secs),
        _ => Err(format!("a token is good for at most {}d", TTL_MAX_S / 86_400)),
    }
}

fn once(made: &TokenMade, paint: Paint) -> String {
    let all = members(
        paint,
        [
            ("id", Some(made.id.clone())),
            ("secret", Some(made.secret.clone())),
            ("for HTTP Basic", Some(made.basic.clone())),
            ("uses", Some(made.uses.to_string())),
            ("ends", Some(made.ends.clone())),
            ("groups", Some(made.group.join(", "))),
            ("serial", made.serial.clone()),
        ],
    );
    format!("{all}\n\nThe secret is shown this once: only its hash is kept.")
}

fn table(rows: &[TokenView], paint: Paint) -> String {
    let mut table = Table::new(&["ID", "LEFT", "ENDS", "STATE", "GROUPS", "SERIAL", "BY"]);
    for token in rows {
        let state = match (&token.revoked, token.live) {
            (Some(_), _) => "revoked",
            (None, true) => "live",
            (None, false) => "over",
        };
        table.row([
            token.id.clone(),
            format!("{}/{}", token.uses_left, token.uses),
            token.ends.clone(),
            state.to_owned(),
            token.group.join(","),
            token.serial.clone().unwrap_or_default(),
            token.by.clone(),
        ]);
    }
    table.print(paint)
}
