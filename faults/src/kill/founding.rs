//! A home that is killed while it comes to be. Whatever is left, the next start must make a whole
//! one of it, and must not replace a key that somebody may have seen.

use super::client::{Client, Operator};
use super::load::{self, Worker};
use super::server::Server;
use super::{book, check};
use crate::Failure;
use crate::dice::Dice;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// The latest kill of a founding.
pub const FOUNDING_MAX: Duration = Duration::from_millis(600);

/// How far a founding was when it was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Nothing was there that anybody may have seen.
    Nothing,
    /// It was made and not yet in its place, or not all of it.
    Moving,
    /// It was there.
    Founded,
}

/// Starts on an empty directory, kills after `wait`, starts again, and looks.
///
/// # Errors
/// What does not hold.
pub async fn kill(binary: &Path, wait: Duration, dice: &mut Dice) -> Result<Stage, Failure> {
    let place = tempfile::Builder::new().prefix("muster-faults-").tempdir()?;
    let home = place.path().join("home");
    let server = Server::launch(binary, &home)?;
    tokio::time::sleep(wait).await;
    server.kill()?;
    let stage = stage(&home);
    let before = seen(&home)?;
    let operator = if stage == Stage::Nothing { None } else { operator(&home)? };

    let mut server = Server::launch(binary, &home)?;
    let client = Client::new(&home, server.ready().await?)?;
    let after = seen(&home)?;
    for (name, octets) in &before {
        if after.get(name) != Some(octets) {
            return Err(format!("`{}` was there, and is another now", name.display()).into());
        }
    }
    let now = Operator::read(&home)?.ok_or("no operator.toml after a start")?;
    if operator.is_some_and(|before| before != now) {
        return Err("the operator's credential is another now".into());
    }
    if [".founding", ".founded"].iter().any(|name| home.join(name).exists()) {
        return Err("the founding left something behind".into());
    }
    lives(&client, dice, &home, server).await?;
    Ok(stage)
}

/// It serves: a device is born and joins.
async fn lives(
    client: &Client,
    dice: &mut Dice,
    home: &Path,
    server: Server,
) -> Result<(), Failure> {
    let book = book();
    let worker = Worker::new(0, dice.split())?;
    let working = load::work(vec![worker], client, &book);
    let killing = async {
        let began = Instant::now();
        let born = || !book.lock().unwrap_or_else(PoisonError::into_inner).acknowledged.is_empty();
        while !born() && began.elapsed() < Duration::from_secs(5) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server.kill()
    };
    let (workers, killed) = tokio::join!(working, killing);
    killed?;
    let book = book.lock().unwrap_or_else(PoisonError::into_inner);
    if book.acknowledged.is_empty() {
        return Err("a new home gives no certificate".into());
    }
    check::check(home, &book, &workers?, dice).map(drop)
}

fn stage(home: &Path) -> Stage {
    match (home.join(".founded").exists(), home.join("muster.db").exists()) {
        (true, _) => Stage::Moving,
        (false, true) => Stage::Founded,
        (false, false) => Stage::Nothing,
    }
}

fn operator(home: &Path) -> Result<Option<Operator>, Failure> {
    match Operator::read(home)? {
        None => Operator::read(&home.join(".founded")),
        some => Ok(some),
    }
}

/// Keys and the root, where they shall lie, wherever they lie now.
fn seen(home: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>, Failure> {
    let mut seen = BTreeMap::new();
    for from in [home.to_owned(), home.join(".founded")] {
        for dir in ["keys", "offline"] {
            let Ok(children) = fs::read_dir(from.join(dir)) else { continue };
            for child in children {
                let child = child?;
                seen.insert(Path::new(dir).join(child.file_name()), fs::read(child.path())?);
            }
        }
    }
    Ok(seen)
}
