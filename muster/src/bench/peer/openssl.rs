//! `openssl ocsp` as a responder: an index file of certificates, and one connection at a time.

use super::{Paper, Process, find, free_port, version, write};
use crate::failure::{Failure, Outcome};
use identity::certificate::pem;
use identity::{Certificate, Outside, Serial};
use server::clock::{self, SystemDice};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A start that takes longer has failed.
const START_MAX: Duration = Duration::from_secs(10);

/// What it says then; versions differ in the first letter.
const LISTENS: &str = "aiting for OCSP client connections";

/// The program, as found on the `PATH`.
///
/// # Errors
/// Where it is not there.
pub(in crate::bench) fn program() -> Outcome<PathBuf> {
    find(None, "openssl").ok_or_else(|| {
        Failure::new("OpenSSL is not here: no `openssl` on the PATH")
            .next("install it, or leave OpenSSL out of the comparison")
    })
}

/// A running responder.
pub(in crate::bench) struct OpenSsl {
    process: Process,
    /// Where it listens.
    pub(in crate::bench) port: u16,
    /// The authority that it answers for.
    pub(in crate::bench) authority: Certificate,
    /// The certificates that it knows.
    pub(in crate::bench) serials: Vec<Serial>,
    /// What it says of itself.
    pub(in crate::bench) version: String,
    // Goes last: the process must have ended before its files go.
    _place: TempDir,
}

impl OpenSsl {
    /// Starts one that knows `count` certificates.
    ///
    /// # Errors
    /// What it said, where it does not come up.
    pub(in crate::bench) async fn start(program: &Path, count: usize) -> Outcome<Self> {
        let place = tempfile::Builder::new()
            .prefix("muster-bench-openssl-")
            .tempdir()
            .map_err(|e| Failure::new(format!("no temporary directory: {e}")))?;
        let paper = Paper::make().map_err(|e| Failure::new(e.to_string()))?;
        let [ca, key, index] = ["ca.pem", "ca.key", "index.txt"].map(|n| place.path().join(n));
        write(&ca, &paper.root.pem())?;
        write(&key, &pem("PRIVATE KEY", &paper.pkcs8))?;
        let (serials, text) = listed(count);
        write(&index, &text)?;
        let port = free_port()?;
        let mut command = Command::new(program);
        command.args(["ocsp", "-ndays", "1", "-port", &port.to_string()]);
        command.arg("-index").arg(&index).arg("-CA").arg(&ca);
        command.arg("-rsigner").arg(&ca).arg("-rkey").arg(&key);
        let mut process = Process::start(&mut command, place.path().join("log"))?;
        let began = Instant::now();
        // It says when it listens. It must not be tried: after a connection over which nothing came
        // it reads that one for ever (3.0 does), and answers nobody.
        while !process.said().contains(LISTENS) {
            process.still_runs()?;
            if began.elapsed() > START_MAX {
                return Err(Failure::new("`openssl ocsp` did not listen within ten seconds"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let version = version(program, "version");
        let authority = paper.root;
        Ok(Self { process, port, authority, serials, version, _place: place })
    }

    /// Its process, for the kernel's accounting.
    pub(in crate::bench) const fn process(&self) -> &Process {
        &self.process
    }
}

/// An index of `openssl ca` with certificates that are good.
fn listed(count: usize) -> (Vec<Serial>, String) {
    let mut outside = Outside { now: clock::now(), dice: &mut SystemDice };
    let serials: Vec<Serial> = (0..count).map(|_| outside.serial()).collect();
    let mut text = String::new();
    for serial in &serials {
        let number = serial.to_string().to_uppercase();
        let _infallible = writeln!(text, "V\t491231235959Z\t\t{number}\tunknown\t/CN={number}");
    }
    (serials, text)
}
