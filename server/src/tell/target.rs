//! Where a sink is: an address that was read and found fit.

use hyper::Uri;
use registry::SinkKind;
use std::fmt;

/// The address of a receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Whether it is spoken to in TLS.
    pub tls: bool,
    /// Its host, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Path and query of a webhook.
    pub path: String,
}

/// Why an address is none of a receiver. The operator's to mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetError {
    /// It is no address of this kind.
    Form(SinkKind),
    /// Events would cross a network in the clear.
    Plain,
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form(SinkKind::Webhook) => "a webhook is at `https://HOST[:PORT]/PATH`",
            Self::Form(SinkKind::Syslog) => "a syslog receiver is at `tls://HOST[:PORT]`",
            Self::Plain => {
                "events would cross the network in the clear: use TLS, or a relay on this machine \
                 (`http://127.0.0.1…`, `tcp://127.0.0.1…`)"
            }
        })
    }
}

impl std::error::Error for TargetError {}

impl Target {
    /// Reads an address. Without TLS only a relay on the same machine is taken.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn parse(kind: SinkKind, url: &str) -> Result<Self, TargetError> {
        let form = TargetError::Form(kind);
        let uri: Uri = url.parse().map_err(|_| form)?;
        let (tls, port) = match (kind, uri.scheme_str()) {
            (SinkKind::Webhook, Some("https")) => (true, 443),
            (SinkKind::Webhook, Some("http")) => (false, 80),
            (SinkKind::Syslog, Some("tls")) => (true, 6514),
            (SinkKind::Syslog, Some("tcp")) => (false, 601),
            _ => return Err(form),
        };
        let host = uri.host().map(|h| h.trim_matches(['[', ']']).to_owned());
        let host = host.filter(|h| !h.is_empty()).ok_or(form)?;
        // A name and a password in an address end up in logs.
        if uri.authority().is_some_and(|a| a.as_str().contains('@')) {
            return Err(form);
        }
        let path = uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
        if kind == SinkKind::Syslog && !matches!(path.as_str(), "" | "/") {
            return Err(form);
        }
        let here = host == "localhost"
            || host.parse::<std::net::IpAddr>().is_ok_and(|addr| addr.is_loopback());
        if !tls && !here {
            return Err(TargetError::Plain);
        }
        Ok(Self { tls, port: uri.port_u16().unwrap_or(port), host, path })
    }

    /// What stands in the `Host` header.
    #[must_use]
    pub fn authority(&self) -> String {
        let v6 = self.host.contains(':');
        let host = if v6 { format!("[{}]", self.host) } else { self.host.clone() };
        format!("{host}:{}", self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_the_ports_that_are_usual() {
        let hook = Target::parse(SinkKind::Webhook, "https://siem.example/in?x=1").unwrap();
        assert_eq!((hook.tls, hook.port, hook.path.as_str()), (true, 443, "/in?x=1"));
        let syslog = Target::parse(SinkKind::Syslog, "tls://[2001:db8::1]").unwrap();
        assert_eq!((syslog.host.as_str(), syslog.port), ("2001:db8::1", 6514));
        assert_eq!(syslog.authority(), "[2001:db8::1]:6514");
    }

    #[test]
    fn in_the_clear_only_a_relay_on_this_machine_is_told() {
        assert!(Target::parse(SinkKind::Webhook, "http://127.0.0.1:9/").is_ok());
        assert!(Target::parse(SinkKind::Syslog, "tcp://localhost").is_ok());
        let refused = Target::parse(SinkKind::Webhook, "http://siem.example/");
        assert_eq!(refused, Err(TargetError::Plain));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for url in ["", "siem", "ftp://h", "tls://h", "https://", "https://u:p@h/"] {
            let refused = Target::parse(SinkKind::Webhook, url);
            assert_eq!(refused, Err(TargetError::Form(SinkKind::Webhook)), "{url}");
        }
        assert!(Target::parse(SinkKind::Syslog, "tls://h/path").is_err());
    }
}
