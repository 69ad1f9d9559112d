//! A server that has little, or much to bear: [`descriptors`], [`slow`] guests, [`idle`] ones, a
//! [`clock`] that jumps, a [`start`] on a full home. In each of them devices that are well are
//! served, what is wrong is said, it goes on by itself, and nothing that was answered is lost.

pub mod clock;
pub mod descriptors;
mod device;
pub mod idle;
pub mod slow;
pub mod start;

use crate::Failure;
use crate::audit;
use crate::disk::vfs;
use crate::kill::client::{Client, Desk, Miss};
use crate::kill::server::{Ports, Server};
use crate::power::reference::scratch;
use device::Device;
use ledger::Entry;
use registry::RealmKey;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The realm of a new home.
const REALM: RealmKey = RealmKey(1);

/// A home, a server on it, and who calls it.
pub struct Site {
    server: Server,
    ports: Ports,
    client: Client,
    // Goes last: the server must have ended before its home goes.
    place: TempDir,
}

impl Site {
    /// A server on a new home.
    async fn new(command: Command) -> Result<Self, Failure> {
        let place = tempfile::Builder::new().prefix("muster-faults-").tempdir()?;
        Self::on(place, command).await
    }

    /// A server on what is in `place`.
    async fn on(place: TempDir, command: Command) -> Result<Self, Failure> {
        let home = place.path().join("home");
        let mut server = Server::launch_by(command, &home)?;
        let ports = server.ready().await?;
        Ok(Self { server, ports, client: Client::new(&home, ports)?, place })
    }

    /// Kills it and starts it anew.
    async fn again(self, command: Command) -> Result<Self, Failure> {
        let Self { server, place, .. } = self;
        server.kill()?;
        Self::on(place, command).await
    }

    /// Kills it, and looks at all that it left: the file is whole, the ledger verifies, its time
    /// never turns back, and what was handed to `devices` is there.
    fn end(self, devices: &[&Device]) -> Result<(), Failure> {
        let Self { server, place, .. } = self;
        server.kill()?;
        left(&place.path().join("home"), devices)
    }

    /// What `/readyz` says of one of its checks, over a line that is kept.
    async fn check(&self, desk: &mut Desk, name: &str) -> Result<Value, Failure> {
        let said: Value = match self.client.get(desk, api::path::READYZ.to_owned()).await {
            Ok(said) => said,
            Err(Miss::Refused(503, said)) => serde_json::from_str(&said)?,
            Err(other) => return Err(format!("readyz says {other:?}").into()),
        };
        let checks = said["checks"].as_array().cloned().unwrap_or_default();
        let found = checks.into_iter().find(|check| check["name"] == name);
        Ok(found.ok_or_else(|| format!("readyz has no check `{name}`"))?)
    }
}

fn left(home: &Path, devices: &[&Device]) -> Result<(), Failure> {
    let place = scratch()?;
    vfs::lay(place.path(), &vfs::lift(home)?)?;
    let registry = audit::open_sound(&place.path().join("muster.db"))?;
    let mut verifier = ledger::Verifier::new();
    let mut hours = 0;
    loop {
        let rows = registry.entries(REALM, verifier.size(), usize::MAX)?;
        if rows.is_empty() {
            break;
        }
        for row in rows {
            let (payload, salt) = (row.payload.as_deref(), row.salt.as_ref());
            let entry = Entry::decode(&row.entry).map_err(|e| e.to_string())?;
            if entry.hours < hours {
                return Err(format!("entry {} is older than the one before", row.index).into());
            }
            hours = entry.hours;
            let row = ledger::Row { entry: &row.entry, payload, salt };
            verifier.feed(&row, &()).map_err(|e| e.to_string())?;
        }
    }
    if verifier.head() != registry.head(REALM)? {
        return Err("the head does not go with the entries".into());
    }
    for certificate in devices.iter().flat_map(|device| device.given()) {
        let serial = certificate.serial().ok_or("a certificate without a number")?;
        let stored = registry.credential(REALM, &serial)?;
        if stored.is_none_or(|stored| stored.der != certificate.der()) {
            return Err(format!("certificate {serial} was handed over and is lost").into());
        }
    }
    Ok(())
}

/// The server under a limit of file descriptors.
fn limited(binary: &Path, descriptors: u32) -> Command {
    let mut command = Command::new("prlimit");
    command.arg(format!("--nofile={descriptors}:{descriptors}")).arg(binary);
    command
}

/// Sets the limit of a process that runs; the hard one, where it is not said, stays.
fn limit(pid: u32, descriptors: u32, hard: Option<u32>) -> Result<(), Failure> {
    let hard = hard.map(|hard| hard.to_string()).unwrap_or_default();
    let (pid, limit) = (format!("--pid={pid}"), format!("--nofile={descriptors}:{hard}"));
    let done = Command::new("prlimit").args([&pid, &limit]).stderr(Stdio::null()).status()?;
    match done.success() {
        true => Ok(()),
        false => Err(format!("`prlimit {pid} {limit}` did not work").into()),
    }
}

/// Tries again until `within` is over; how long it took.
async fn until(
    within: Duration,
    what: &str,
    mut act: impl AsyncFnMut() -> Result<(), Failure>,
) -> Result<Duration, Failure> {
    let began = Instant::now();
    loop {
        match act().await {
            Ok(()) => return Ok(began.elapsed()),
            Err(why) if began.elapsed() > within => {
                return Err(format!("{what} within {} s: {why}", within.as_secs()).into());
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// How the programs are run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The server.
    pub binary: PathBuf,
    /// Connections that are idle at once.
    pub idle: usize,
    /// Slow guests of each kind.
    pub slow: usize,
    /// Devices of a full home.
    pub devices: usize,
}
