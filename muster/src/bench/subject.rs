//! The server under measurement: a process of its own, so that the kernel's accounting of it holds
//! nothing of ours.

use super::account;
use crate::failure::{Failure, Outcome};
use server::home::Ports;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A start that takes longer has failed.
const START_MAX: Duration = Duration::from_secs(60);
/// How often the ports file is looked for: it bounds the error of a measured start.
const LOOK: Duration = Duration::from_millis(2);

/// A running server.
pub(super) struct Subject {
    child: Child,
    log: PathBuf,
    ports: Ports,
    /// From the start of the process to the ports file.
    pub(super) ready: Duration,
}

impl Subject {
    /// Starts this very program as a server in `home`, and waits until it is ready.
    pub(super) async fn start(home: &Path) -> Outcome<Self> {
        let program = std::env::current_exe()
            .map_err(|e| Failure::new(format!("cannot find this program: {e}")))?;
        // Beside the home: a first start wants an empty one.
        let log = home.with_extension("log");
        let written = std::fs::File::create(&log).map_err(|e| Failure::file("write", &log, &e))?;
        let ports = home.join("run/ports.json");
        // A file of the last run would be taken for this one's.
        let _absent_is_fine = std::fs::remove_file(&ports);
        let began = Instant::now();
        let child = Command::new(program)
            .args(["serve", "--any-port", "--home"])
            .arg(home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(written)
            .spawn()
            .map_err(|e| Failure::new(format!("cannot start a server: {e}")))?;
        let mut subject = Self { child, log, ports: Ports::default(), ready: Duration::ZERO };
        while began.elapsed() < START_MAX {
            if let Some(found) = read_ports(&ports) {
                subject.ready = began.elapsed();
                subject.ports = found;
                return Ok(subject);
            }
            if let Ok(Some(status)) = subject.child.try_wait() {
                let said = subject.said();
                return Err(Failure::new(format!(
                    "the server ended at its start: {status}: {said}"
                )));
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(Failure::new("the server was not ready after a minute"))
    }

    /// The device port.
    pub(super) fn device_port(&self) -> Outcome<u16> {
        self.ports.device.ok_or_else(|| Failure::new("the server has no device port"))
    }

    /// The public port.
    pub(super) fn public_port(&self) -> Outcome<u16> {
        self.ports.public.ok_or_else(|| Failure::new("the server has no public port"))
    }

    /// What it said so far, for a failure that is the server's.
    pub(super) fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Seconds of processor time that it has taken, user and system, all threads.
    pub(super) fn cpu_s(&self) -> f64 {
        account::cpu_s(self.child.id())
    }

    /// Its resident memory in MiB.
    pub(super) fn rss_mib(&self) -> f64 {
        account::rss_mib(self.child.id())
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        // It is ours and holds nothing that anybody needs; both fail only where it has ended
        // already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn read_ports(path: &Path) -> Option<Ports> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}
