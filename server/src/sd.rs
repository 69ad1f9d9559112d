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
    /// A line for `systemctl status`.
    Status(&'a str),
}

/// Tells systemd, where it asked to be told.
pub fn notify(state: State<'_>) {
    if let Some(socket) = std::env::var_os("NOTIFY_SOCKET")
        && let Err(error) = send(&socket, state)
    {
        tracing::debug!(%error, "systemd was not told");
    }
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
        State::Status(status) => format!("STATUS={}\n", line(status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
