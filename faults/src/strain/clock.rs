//! A clock that jumps by a year, ahead and back, while the server runs and between two runs. The
//! clock is `faketime`'s: a library between the server and its C library, which reads a file.
//!
//! Devices and operators here keep the right time, as they do when a server's clock fails.

use super::device::Device;
use super::{Plan, Site, until};
use crate::Failure;
use crate::kill::client::Desk;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Where Debian has it.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
/// Within this what a jump brought about is seen.
const SEEN_MAX: Duration = Duration::from_secs(10);
/// A year in seconds.
const YEAR_S: u64 = 365 * 86_400;

/// A server's clock.
struct Clock {
    file: PathBuf,
    library: PathBuf,
}

impl Clock {
    fn new(place: &Path) -> Result<Self, Failure> {
        let arch = std::env::consts::ARCH;
        let library = PathBuf::from(LIBRARY.replace("x86_64", arch));
        if !library.exists() {
            return Err("libfaketime is not here: apt-get install faketime".into());
        }
        let clock = Self { file: place.join("clock"), library };
        clock.set("+0")?;
        Ok(clock)
    }

    /// Sets it; a rename, so that nobody reads half of it.
    fn set(&self, to: &str) -> Result<(), Failure> {
        let aside = self.file.with_extension("new");
        std::fs::write(&aside, format!("{to}\n"))?;
        Ok(std::fs::rename(aside, &self.file)?)
    }

    fn server(&self, binary: &Path) -> Command {
        let mut command = Command::new(binary);
        command
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", &self.file)
            .env("FAKETIME_NO_CACHE", "1")
            // A wait of a second is a second.
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        command
    }
}

/// Runs it.
///
/// # Errors
/// What did not hold.
pub async fn run(plan: &Plan) -> Result<String, Failure> {
    running(plan).await?;
    between(plan).await?;
    Ok("clock: a year ahead and a year back, while it runs and at a start: nothing lost, readyz \
        names a clock that is behind, the ledger's time never turns back"
        .to_owned())
}

/// Jumps while it runs: a year ahead, back again, and a year back.
async fn running(plan: &Plan) -> Result<(), Failure> {
    let aside = tempfile::tempdir()?;
    let clock = Clock::new(aside.path())?;
    let site = Site::new(clock.server(&plan.binary)).await?;
    let mut device = Device::joined(&site.client, "running").await?;
    device.renew(&site.client).await?;
    let (now, _) = device.life();

    clock.set("+365d")?;
    // Its leaf has ended, its birth certificate never does.
    let refused = device.renew(&site.client).await;
    if refused.is_ok() && device.life().0 < now + YEAR_S / 2 {
        return Err("a year later the leaf has the old time".into());
    }
    device.join(&site.client).await?;
    ahead(&device, now)?;

    clock.set("+0")?;
    behind(&site).await?;
    // The leaf of next year is not good yet, and says so; it comes back with its birth certificate.
    if device.renew(&site.client).await.is_ok() {
        return Err("a leaf that is not good yet was renewed".into());
    }
    device.join(&site.client).await?;
    good_now(&device)?;

    clock.set("-365d")?;
    behind(&site).await?;
    // Nobody was born yet: whatever is said, nothing is issued that is good before its authority.
    if device.join(&site.client).await.is_ok() {
        return Err("a birth certificate that is not good yet opens a door".into());
    }

    clock.set("+0")?;
    device.renew(&site.client).await?;
    good_now(&device)?;
    site.end(&[&device])
}

/// Starts with another clock than the run before had.
async fn between(plan: &Plan) -> Result<(), Failure> {
    let aside = tempfile::tempdir()?;
    let clock = Clock::new(aside.path())?;
    let site = Site::new(clock.server(&plan.binary)).await?;
    let mut device = Device::joined(&site.client, "between").await?;
    let (now, _) = device.life();

    // Its own certificate is of next year, and nobody here believes it: it runs, and says when.
    clock.set("+365d")?;
    let site = site.again(clock.server(&plan.binary)).await?;
    if device.join(&site.client).await.is_ok() {
        ahead(&device, now)?;
    }
    clock.set("-365d")?;
    let site = site.again(clock.server(&plan.binary)).await?;
    if device.join(&site.client).await.is_ok() {
        return Err("a server of last year gave a certificate".into());
    }
    clock.set("+0")?;
    let site = site.again(clock.server(&plan.binary)).await?;
    device.join(&site.client).await?;
    good_now(&device)?;
    device.renew(&site.client).await?;
    site.end(&[&device])
}

/// `/readyz` says that the clock is behind, and the server goes on.
async fn behind(site: &Site) -> Result<(), Failure> {
    let seen = until(SEEN_MAX, "readyz does not name the clock", async || {
        let said = site.check(&mut Desk::default(), "clock").await?;
        let detail = said["detail"].as_str().unwrap_or_default();
        if detail.starts_with("warning") { Ok(()) } else { Err(detail.into()) }
    });
    seen.await.map(drop)
}

fn ahead(device: &Device, now: u64) -> Result<(), Failure> {
    let (begins, ends) = device.life();
    match begins > now + YEAR_S / 2 && begins < ends {
        true => Ok(()),
        false => Err(format!("a year ahead a leaf is good from {begins} to {ends}").into()),
    }
}

/// What was issued with the right time is good at once.
fn good_now(device: &Device) -> Result<(), Failure> {
    let (begins, ends) = device.life();
    let now = server::clock::now().secs();
    match begins <= now && now < ends {
        true => Ok(()),
        false => Err(format!("at {now} a leaf is good from {begins} to {ends}").into()),
    }
}
