//! What systemd wants to hear (`sd_notify(3)`): one datagram to the socket that `$NOTIFY_SOCKET`
//! names. Without the variable nobody listens, and nothing is sent; a lost datagram is no reason to
//! stop.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// What a service says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State<'a> {
    /// Ready to serve; the text is shown by `systemctl status`.
    Ready(&'a str),
    /// Reading its configuration again; `Ready` follows. Monotonic microseconds, as
    /// `Type=notify-reload` wants them.
    Reloading(u64),
    /// Ending.
    Stopping,
}

/// Tells systemd, where it asked to be told.
pub fn notify(state: State<'_>) {
    if let Some(socket) = std::env::var_os("NOTIFY_SOCKET")
        && let Err(error) = send(&socket, state)
    {
        tracing::debug!(%error, "systemd was not told");
    }
}

/// What systemd compares a reload by: the time since boot, as the kernel's monotonic clock has it.
#[must_use]
pub fn monotonic_micros() -> u64 {
    later_than(&std::fs::read_to_string("/proc/uptime").unwrap_or_default())
}

/// The kernel cuts off what is behind hundredths of a second, and systemd heeds no word of a reload
/// that is older than its own signal: so the end of that hundredth.
fn later_than(uptime: &str) -> u64 {
    let since = uptime.split(' ').next().unwrap_or_default();
    let (secs, hundredths) = since.split_once('.').unwrap_or((since, "0"));
    let number = |text: &str| text.parse::<u64>().unwrap_or_default();
    number(secs).saturating_mul(100).saturating_add(number(hundredths) + 1).saturating_mul(10_000)
}

fn send(socket: &OsStr, state: State<'_>) -> io::Result<()> {
    let address = match socket.as_bytes().split_first() {
        Some((b'@', name)) => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(words(state).as_bytes(), &address)?;
    Ok(())
}

fn words(state: State<'_>) -> String {
    // A line break would begin another assignment.
    let line = |text: &str| text.replace('\n', " ");
    match state {
        State::Ready(status) => format!("READY=1\nSTATUS={}\n", line(status)),
        State::Reloading(micros) => format!("RELOADING=1\nMONOTONIC_USEC={micros}\n"),
        State::Stopping => "STOPPING=1\n".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_is_told_as_no_older_than_the_signal_that_asked_for_it() {
        for (uptime, micros) in [
            ("0.00 0.00\n", 10_000),
            ("350735.47 234388.90\n", 350_735_480_000),
            ("7 3", 7_010_000),
        ] {
            assert_eq!(later_than(uptime), micros, "{uptime}");
        }
        assert!(monotonic_micros() > 10_000);
    }

    #[test]
    fn systemd_hears_that_we_are_ready() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let listener = UnixDatagram::bind(&path).unwrap();

        send(path.as_os_str(), State::Ready("8443\nFDSTORE=1")).unwrap();

        let mut heard = [0; 128];
        let length = listener.recv(&mut heard).unwrap();
        assert_eq!(&heard[..length], b"READY=1\nSTATUS=8443 FDSTORE=1\n");
    }
}
