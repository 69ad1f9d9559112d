//! The program that is run when there are new files: it tells mosquitto, nginx or an OPC UA server
//! to read them again.

use crate::Trouble;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long it may take: a broker that drains its sessions first needs a minute or two.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Runs `command` in a shell. It finds the files in `MUSTER_CURRENT`, and who the device is in
/// `MUSTER_DEVICE`.
///
/// # Errors
/// [`Trouble::Own`] where it could not be run, failed, or did not end in time.
pub fn run(command: &str, current: &Path, device: &str) -> Result<(), Trouble> {
    let failed = |why: &str| Trouble::Own(format!("`{command}` {why}"));
    let mut child = Command::new("/bin/sh")
        .args(["-c", command])
        .env("MUSTER_CURRENT", current)
        .env("MUSTER_DEVICE", device)
        .stdin(Stdio::null())
        .spawn()
        .map_err(|e| failed(&format!("could not be run: {e}")))?;
    let began = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(failed(&format!("failed: {status}"))),
            Ok(None) if began.elapsed() < PATIENCE => std::thread::sleep(LOOK),
            Ok(None) => {
                // It may have ended this moment; then there is nothing to kill.
                drop(child.kill());
                drop(child.wait());
                return Err(failed("did not end in time"));
            }
            Err(e) => return Err(failed(&format!("could not be waited for: {e}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_knows_where_the_files_are_and_its_failure_is_told() {
        let dir = tempfile::tempdir().unwrap();
        run("echo $MUSTER_DEVICE > $MUSTER_CURRENT/told", dir.path(), "pump-7").unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join("told")).unwrap(), "pump-7\n");
        let failed = run("exit 3", dir.path(), "pump-7").unwrap_err();
        assert!(failed.to_string().contains('3'), "{failed}");
    }
}
