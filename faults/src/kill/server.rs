//! The server under test: a process of its own, started on a home and killed.

use crate::Failure;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A start that takes longer has failed: a home of these sizes takes a tenth of it.
const START_MAX: Duration = Duration::from_secs(20);
/// How often the ports file is looked for.
const LOOK: Duration = Duration::from_millis(2);

/// A running server, killed when dropped.
pub struct Server {
    child: Child,
    log: PathBuf,
    ports_file: PathBuf,
}

/// Where it listens.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// Devices.
    pub device: u16,
    /// Operators.
    pub operator: u16,
    /// Everybody.
    pub public: u16,
}

impl Server {
    /// Starts `binary` on `home`, and does not wait for it.
    ///
    /// # Errors
    /// Where there is no such program.
    pub fn launch(binary: &Path, home: &Path) -> Result<Self, Failure> {
        Self::launch_by(Command::new(binary), home)
    }

    /// As [`Server::launch`], by a command that becomes the server: with a limit, or with a clock.
    ///
    /// # Errors
    /// Where there is no such program.
    pub fn launch_by(mut command: Command, home: &Path) -> Result<Self, Failure> {
        let ports_file = home.join("run/ports.json");
        // A killed server leaves its own behind.
        let _absent_is_fine = fs::remove_file(&ports_file);
        let log = home.with_extension("log");
        let child = command
            .args(["serve", "--any-port", "--home"])
            .arg(home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .map_err(|e| format!("{:?} does not start: {e}", command.get_program()))?;
        Ok(Self { child, log, ports_file })
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// Where it ends before, or takes too long; with what it said.
    pub async fn ready(&mut self) -> Result<Ports, Failure> {
        let began = Instant::now();
        while began.elapsed() < START_MAX {
            if let Some(ports) = self.ports() {
                return Ok(ports);
            }
            if let Some(status) = self.child.try_wait()? {
                let said = fs::read_to_string(&self.log).unwrap_or_default();
                return Err(format!("the server ended at its start ({status}): {said}").into());
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(format!("the server was not ready after {} s", START_MAX.as_secs()).into())
    }

    fn ports(&self) -> Option<Ports> {
        let text = fs::read(&self.ports_file).ok()?;
        let ports: serde_json::Value = serde_json::from_slice(&text).ok()?;
        let port = |name: &str| ports.get(name)?.as_u64().and_then(|n| u16::try_from(n).ok());
        Some(Ports {
            device: port("device")?,
            operator: port("operator")?,
            public: port("public")?,
        })
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Memory that it has in the machine, in MiB.
    #[must_use]
    pub fn rss_mib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()));
        let status = status.unwrap_or_default();
        let row = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = row.and_then(|row| row.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or_default() / 1024
    }

    /// What it logged so far.
    #[must_use]
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Kills it where it stands.
    ///
    /// # Errors
    /// Where it had ended by itself: nothing but this may end it.
    pub fn kill(mut self) -> Result<(), Failure> {
        if let Some(status) = self.child.try_wait()? {
            let said = fs::read_to_string(&self.log).unwrap_or_default();
            return Err(format!("the server ended by itself ({status}): {said}").into());
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It is ours; both fail only where it has ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
