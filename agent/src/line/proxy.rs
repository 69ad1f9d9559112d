//! Through an HTTP proxy: `CONNECT` (RFC 9110 §9.3.6), with a name and a password where it wants
//! them. What goes through is TLS to the server, so a proxy sees a name and no more.

use super::{Place, Timed, dial, http, split_port};
use crate::Trouble;
use identity::text::base64;
use std::fmt;
use std::io::Write;

/// A proxy, and whom it is not for.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    host: String,
    port: u16,
    login: Option<String>,
    spared: Vec<String>,
}

impl Proxy {
    /// Reads `[http://][USER:PASSWORD@]HOST:PORT`, and a list of names that are reached without it
    /// (`NO_PROXY`).
    ///
    /// # Errors
    /// Where it is not of that form.
    pub fn parse(url: &str, spared: &str) -> Result<Self, Trouble> {
        // The address may hold a password: it is not repeated.
        let wrong = || {
            Trouble::Usage(
                "the proxy (`proxy`, or `https_proxy` of the environment) is no \
                 http://[USER:PASSWORD@]HOST:PORT; `proxy = \"\"` is none"
                    .to_owned(),
            )
        };
        let url = url.trim();
        let rest = url.strip_prefix("http://").or((!url.contains("://")).then_some(url));
        let rest = rest.ok_or_else(wrong)?.trim_end_matches('/');
        let (login, rest) = match rest.rsplit_once('@') {
            Some((login, rest)) => (Some(unescape(login).ok_or_else(wrong)?), rest),
            None => (None, rest),
        };
        let (host, port) = split_port(rest, 3128).ok_or_else(wrong)?;
        let names = spared.split(',').map(|n| n.trim().trim_start_matches('.').to_lowercase());
        let spared = names.filter(|name| !name.is_empty()).collect();
        Ok(Self { host, port, login, spared })
    }

    /// Whether `host` is reached without it.
    #[must_use]
    pub fn is_spared(&self, host: &str) -> bool {
        let host = host.to_lowercase();
        self.spared.iter().any(|name| {
            let below = host.strip_suffix(name.as_str()).is_some_and(|front| front.ends_with('.'));
            name == "*" || host == *name || below
        })
    }

    pub(super) fn dial(&self, place: &Place) -> Result<Timed, Trouble> {
        self.pass(place, Timed::new(dial(&self.host, self.port, &[])?))
    }

    /// Has the proxy let us through to `place`.
    fn pass(&self, place: &Place, mut tcp: Timed) -> Result<Timed, Trouble> {
        let failed =
            |e: std::io::Error| Trouble::NoAnswer(format!("the proxy `{}`: {e}", self.host));
        let to = place.authority();
        let mut request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n");
        if let Some(login) = &self.login {
            let login = base64(login.as_bytes());
            request.push_str(&format!("Proxy-Authorization: Basic {login}\r\n"));
        }
        request.push_str("\r\n");
        tcp.write_all(request.as_bytes()).map_err(failed)?;
        match http::hear_head(&mut tcp).map_err(failed)? {
            200..=299 => Ok(tcp),
            407 => Err(Trouble::NoAnswer(format!(
                "the proxy `{}` wants another name and password",
                self.host
            ))),
            status => Err(Trouble::NoAnswer(format!(
                "the proxy `{}` does not let us through to `{to}` ({status})",
                self.host
            ))),
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({}:{}, ..)", self.host, self.port)
    }
}

/// `%XX` as in addresses.
fn unescape(text: &str) -> Option<String> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'%' {
            out.push(*first);
            continue;
        }
        let (pair, tail) = tail.split_at_checked(2)?;
        out.push(u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?);
        rest = tail;
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::{TcpListener, TcpStream};
    use std::time::Instant;

    #[test]
    fn a_proxy_that_is_never_silent_and_never_done_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        far.write_all(b"HTTP/1.1 200 Go\r\n\r\n").unwrap();
        let place = Place::parse("https://muster.example:8443").unwrap();
        let proxy = Proxy::parse("http://gate:8080", "").unwrap();
        // Its answer is there, and the moment until which it is waited for is over.
        let timed = Timed { until: Instant::now(), ..Timed::new(tcp) };
        let over = proxy.pass(&place, timed).map(drop).unwrap_err().to_string();
        assert!(over.contains("too long"), "{over}");
    }

    #[test]
    fn a_proxy_is_read_with_its_login_and_whom_it_spares() {
        let proxy = Proxy::parse("http://me:p%40ss@gate:8080", ".local, plant.example").unwrap();
        assert_eq!((proxy.host.as_str(), proxy.port), ("gate", 8080));
        assert_eq!(proxy.login.as_deref(), Some("me:p@ss"));
        assert!(proxy.is_spared("muster.Plant.example") && proxy.is_spared("a.local"));
        assert!(!proxy.is_spared("notplant.example") && !proxy.is_spared("local.com"));
        assert!(!format!("{proxy:?}").contains("ss"));
        let bare = Proxy::parse("gate:8080", "").unwrap();
        assert_eq!((bare.host.as_str(), bare.port), ("gate", 8080), "as curl reads it");
        assert!(Proxy::parse("socks5://gate:1", "").is_err());
    }

    #[test]
    fn a_proxy_that_refuses_is_told_and_its_answer_ends_where_tls_begins() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://me:secret@127.0.0.1:{}", listener.local_addr().unwrap().port());
        let place = Place::parse("https://muster.example:8443").unwrap();
        let gate = std::thread::spawn(move || {
            let answers = ["HTTP/1.1 407 No\r\n\r\n", "HTTP/1.1 200 Go\r\nX: y\r\n\r\n\x16"];
            answers.map(|answer| {
                let (mut tcp, _) = listener.accept().unwrap();
                let mut heard = [0; 512];
                let count = tcp.read(&mut heard).unwrap();
                tcp.write_all(answer.as_bytes()).unwrap();
                String::from_utf8(heard[..count].to_vec()).unwrap()
            })
        });
        let proxy = Proxy::parse(&url, "").unwrap();
        assert!(proxy.dial(&place).unwrap_err().to_string().contains("name and password"));
        let mut first = [0; 1];
        proxy.dial(&place).unwrap().read_exact(&mut first).unwrap();
        assert_eq!(first, [0x16]);
        let [asked, _] = gate.join().unwrap();
        assert!(asked.starts_with("CONNECT muster.example:8443 HTTP/1.1\r\n"));
        assert!(asked.contains("Proxy-Authorization: Basic bWU6c2VjcmV0\r\n"));
    }
}
