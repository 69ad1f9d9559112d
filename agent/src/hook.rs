//! The program that is run when there are new files: it tells mosquitto, nginx or an OPC UA server
//! to read them again.

use crate::Trouble;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long it may take: a broker that drains its sessions first needs a minute or two.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Runs `command` in a shell. It finds the files in `MUSTER_CURRENT`, and who the device is in
/// `MUSTER_DEVICE`. What it says and where it failed goes to our own output; the command itself is
/// repeated nowhere, since it may hold a password.
///
/// # Errors
/// [`Trouble::Own`] where it could not be run, failed, or did not end in time.
pub fn run(command: &str, current: &Path, device: &str) -> Result<(), Trouble> {
    run_within(PATIENCE, command, current, device)
}

fn run_within(
    patience: Duration,
    command: &str,
    current: &Path,
    device: &str,
) -> Result<(), Trouble> {
    let failed = |why: &str| Trouble::Own(format!("the program in `on_renew` {why}"));
    let mut child = Command::new("/bin/sh")
        .args(["-c", command])
        .env("MUSTER_CURRENT", current)
        .env("MUSTER_DEVICE", device)
        .stdin(Stdio::null())
        // What it has started ends with it where it takes too long.
        .process_group(0)
        .spawn()
        .map_err(|e| failed(&format!("could not be run: {e}")))?;
    let began = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(failed(&format!("failed: {status}"))),
            Ok(None) if began.elapsed() < patience => std::thread::sleep(LOOK),
            Ok(None) => {
                end(&mut child);
                return Err(failed("did not end in time"));
            }
            Err(e) => return Err(failed(&format!("could not be waited for: {e}"))),
        }
    }
}

/// Ends a program with all that it has started: its process group, which has its number until it is
/// waited for.
fn end(child: &mut Child) {
    let kill = format!("kill -s KILL -- -{}", child.id());
    // It may have ended this moment; then there is nothing to kill.
    drop(Command::new("/bin/sh").args(["-c", &kill]).stderr(Stdio::null()).status());
    drop(child.kill());
    drop(child.wait());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_that_does_not_end_is_ended_with_all_that_it_has_started() {
        let dir = tempfile::tempdir().unwrap();
        let hook = "sleep 600 & echo $! > $MUSTER_CURRENT/started; wait";

        let patience = Duration::from_secs(2);
        let failed = run_within(patience, hook, dir.path(), "pump-7").unwrap_err();

        assert!(failed.to_string().contains("in time"), "{failed}");
        let started = std::fs::read_to_string(dir.path().join("started")).unwrap();
        let stat = Path::new("/proc").join(started.trim()).join("stat");
        // It is gone, or waits for somebody who takes note of its end.
        let lives = || std::fs::read_to_string(&stat).is_ok_and(|s| !s.contains(") Z"));
        let began = Instant::now();
        while lives() && began.elapsed() < Duration::from_secs(10) {
            std::thread::yield_now();
        }
        assert!(!lives(), "what it has started goes on");
    }

    #[test]
    fn what_is_run_is_not_repeated_where_it_failed() {
        let dir = tempfile::tempdir().unwrap();
        let failed = run("false --password geheim", dir.path(), "pump-7").unwrap_err().to_string();
        assert!(failed.contains("on_renew") && !failed.contains("geheim"), "{failed}");
    }

    #[test]
    fn a_hook_knows_where_the_files_are_and_its_failure_is_told() {
        let dir = tempfile::tempdir().unwrap();
        run("echo $MUSTER_DEVICE > $MUSTER_CURRENT/told", dir.path(), "pump-7").unwrap();
        assert_eq!(std::fs::read_to_string(dir.path().join("told")).unwrap(), "pump-7\n");
        let failed = run("exit 3", dir.path(), "pump-7").unwrap_err();
        assert!(failed.to_string().contains('3'), "{failed}");
    }
}
