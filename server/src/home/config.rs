//! `muster.toml`: only what a process needs to run. Doors, profiles and everything else about
//! devices is in the database, where each change is an entry. A key that is not known is refused,
//! so that a slip of the pen never silently leaves a default.

use super::{Cidr, Home, HomeError, file};
use crate::keys::Secret;
use crate::log::{Format, Level};
use identity::KeyKind;
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where devices and verifiers fetch CRLs and CA certificates; stands in certificates.
    pub public_url: Option<String>,
    /// DNS names (or IP addresses) of this server.
    pub names: Vec<String>,
    /// Where to listen.
    pub listen: Listen,
    /// The operator port.
    pub operator: OperatorTls,
    /// Online keys.
    pub keys: Keys,
    /// Balancers in front.
    pub proxy: Proxy,
    /// What is logged.
    pub log: Log,
}

/// `[listen]`: `"ADDR:PORT"` each; port 0 takes a free one.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// EST and the device API (8443).
    pub device: Option<SocketAddr>,
    /// Console and REST (9443).
    pub operator: Option<SocketAddr>,
    /// CRL, OCSP, CA certificates, ledger (8080).
    pub public: Option<SocketAddr>,
    /// MQTT (8883).
    pub link: Option<SocketAddr>,
}

/// `[operator]`: a certificate of your own for the operator port.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OperatorTls {
    /// PEM file, the leaf first.
    pub certificate: Option<PathBuf>,
    /// PEM file, PKCS#8.
    pub key: Option<PathBuf>,
}

/// `[keys]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keys {
    /// The kind of the authorities' keys at the first start: `p256`, `p384` or `ed25519`.
    pub kind: Option<String>,
    /// Refuse to run with keys in plain files.
    pub encrypted: bool,
}

/// `[proxy]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Proxy {
    /// Networks (CIDR) whose connections begin with a PROXY protocol v2 header.
    pub from: Vec<String>,
}

/// `[log]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// How much is said.
    pub level: Level,
    /// For whom.
    pub format: Format,
}

/// What the command line says; it goes before the file.
#[derive(Debug, Default)]
pub struct ServeOptions {
    /// The home.
    pub home: PathBuf,
    /// `--name`, as often as given.
    pub names: Vec<String>,
    /// `--public-url`.
    pub public_url: Option<String>,
    /// `--any-port`: free loopback ports for all listeners.
    pub any_port: bool,
    /// `--root-recipient`: the age recipient that the root's key is encrypted to at the first
    /// start.
    pub root_recipient: Option<String>,
    /// A passphrase that somebody typed for the root's key.
    pub root_passphrase: Option<Secret>,
    /// The kind of the authorities' keys at the first start.
    pub key_kind: Option<KeyKind>,
}

/// Addresses to try for one listener, the first that works is taken.
pub type Places = Vec<SocketAddr>;

/// File and command line, checked and put together.
#[derive(Debug)]
pub struct Settings {
    /// `http://…` without a slash at its end; `None` leaves addresses out of certificates.
    pub public_url: Option<String>,
    /// DNS names of the server certificate beside `localhost`.
    pub dns_names: Vec<String>,
    /// IP addresses of the server certificate beside the loopback ones.
    pub ip_names: Vec<IpAddr>,
    /// Where devices come in.
    pub device: Places,
    /// Where operators come in.
    pub operator: Places,
    /// Where everybody comes in.
    pub public: Places,
    /// Certificate and key files of the operator port.
    pub operator_tls: Option<(PathBuf, PathBuf)>,
    /// The kind of the authorities' keys at the first start.
    pub key_kind: KeyKind,
    /// Refuse to run with keys in plain files.
    pub keys_encrypted: bool,
    /// Who may speak for others.
    pub proxies: Vec<Cidr>,
    /// What is logged.
    pub log: Log,
}

impl Config {
    /// Reads the file of a home; an absent one is an empty one.
    ///
    /// # Errors
    /// A sentence that names file, line and key.
    pub fn read(home: &Home) -> Result<Self, HomeError> {
        let path = home.config();
        match file::read_text(&path) {
            Ok(text) => Self::parse(&text, &path),
            Err(e) if e.is_absent() => Ok(Self::default()),
            Err(e) => Err(e),
        }
    }

    /// The balancers that are believed.
    pub(crate) fn proxies(&self) -> Result<Vec<Cidr>, HomeError> {
        self.proxy.from.iter().map(|net| Cidr::parse(net)).collect()
    }

    /// Certificate and key files of the operator port, where it has its own.
    pub(crate) fn operator_tls(&self) -> Result<Option<(PathBuf, PathBuf)>, HomeError> {
        match (&self.operator.certificate, &self.operator.key) {
            (Some(certificate), Some(key)) => Ok(Some((certificate.clone(), key.clone()))),
            (None, None) => Ok(None),
            _ => Err(wrong("`[operator]` needs both `certificate` and `key`, or neither")),
        }
    }

    fn parse(text: &str, path: &Path) -> Result<Self, HomeError> {
        toml::from_str(text).map_err(|e| {
            let at = e.span().map_or(0, |span| span.start);
            let before = text.bytes().take(at).filter(|b| *b == b'\n').count();
            let written = text.lines().nth(before).unwrap_or_default().trim();
            let what = e.message().replace("field", "key").replace("variant", "value");
            let (path, line) = (path.display(), before + 1);
            HomeError::Wrong(format!("`{path}` line {line}, `{written}`: {what}"))
        })
    }
}

impl Settings {
    /// Puts file and command line together.
    ///
    /// # Errors
    /// A sentence that names what cannot be used.
    pub fn from(config: Config, options: &ServeOptions) -> Result<Self, HomeError> {
        let names = if options.names.is_empty() { &config.names } else { &options.names };
        let (dns_names, ip_names) = split_names(names)?;
        let proxies = config.proxies()?;
        let operator_tls = config.operator_tls()?;
        if config.listen.link.is_some() {
            return Err(wrong("`[listen] link` is reserved: this release does not speak MQTT"));
        }
        let place = |own, port| places(own, port, names.is_empty(), options.any_port);
        let public = place(config.listen.public, 8080);
        let said = options.public_url.clone().or(config.public_url);
        let public_url = match said {
            Some(url) => Some(self::public_url(&url)?),
            None => names.first().and_then(|name| url_of(name, &public)),
        };
        Ok(Self {
            public_url,
            dns_names,
            ip_names,
            device: place(config.listen.device, 8443),
            operator: place(config.listen.operator, 9443),
            public,
            operator_tls,
            key_kind: match options.key_kind {
                Some(kind) => kind,
                None => key_kind(config.keys.kind.as_deref())?,
            },
            keys_encrypted: config.keys.encrypted,
            proxies,
            log: config.log,
        })
    }
}

pub(super) fn wrong(sentence: impl Into<String>) -> HomeError {
    HomeError::Wrong(sentence.into())
}

/// Without a name nobody outside knows what to call this server: it listens on loopback only.
fn places(own: Option<SocketAddr>, port: u16, nameless: bool, any_port: bool) -> Places {
    let v4 = |ip| SocketAddr::new(IpAddr::V4(ip), port);
    if any_port {
        return vec![SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)];
    }
    match own {
        Some(place) => vec![place],
        None if nameless => vec![v4(Ipv4Addr::LOCALHOST)],
        // `::` takes both families; hosts without IPv6 have only the second.
        None => {
            vec![
                SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port),
                v4(Ipv4Addr::UNSPECIFIED),
            ]
        }
    }
}

/// `http://NAME:PORT` of the public listener. A free port is not known beforehand and changes: then
/// there is none.
fn url_of(name: &str, public: &Places) -> Option<String> {
    let port = public.first()?.port();
    let host = match name.parse::<Ipv6Addr>() {
        Ok(ip) => format!("[{ip}]"),
        Err(_) => name.to_owned(),
    };
    (port != 0).then(|| format!("http://{host}:{port}"))
}

/// Certificates live long and are read by parsers of all kinds, so an address in them is plain
/// ASCII and short. Gives it as it will stand in them.
///
/// # Errors
/// A sentence where it is none.
pub fn public_url(url: &str) -> Result<String, HomeError> {
    let url = url.trim_end_matches('/');
    let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"-._~:/[]%".contains(&c);
    match host {
        Some(host) if !host.is_empty() && url.len() <= 200 && host.bytes().all(plain) => {
            Ok(url.to_owned())
        }
        _ => Err(wrong(format!(
            "public_url `{url}` is no address: write `http://HOST[:PORT][/PATH]`, at most 200 \
             characters of ASCII"
        ))),
    }
}

fn split_names(names: &[String]) -> Result<(Vec<String>, Vec<IpAddr>), HomeError> {
    let (mut dns, mut ips) = (Vec::new(), Vec::new());
    for text in names {
        match name(text)? {
            Name::Ip(ip) => ips.push(ip),
            Name::Dns(name) => dns.push(name),
        }
    }
    Ok((dns, ips))
}

/// A name of this server.
#[derive(Debug)]
pub enum Name {
    /// Of the DNS, in lower case.
    Dns(String),
    /// An address.
    Ip(IpAddr),
}

/// Reads a name of this server.
///
/// # Errors
/// A sentence where it is none.
pub fn name(text: &str) -> Result<Name, HomeError> {
    match text.parse() {
        Ok(ip) => Ok(Name::Ip(ip)),
        Err(_) if is_dns_name(text) => Ok(Name::Dns(text.to_ascii_lowercase())),
        Err(_) => Err(wrong(format!("`{text}` is neither a DNS name nor an IP address"))),
    }
}

/// RFC 1123 §2.1: labels of 1 to 63 letters, digits and inner hyphens, 253 characters in all.
fn is_dns_name(name: &str) -> bool {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

fn key_kind(word: Option<&str>) -> Result<KeyKind, HomeError> {
    match word.map(KeyKind::parse) {
        None => Ok(KeyKind::P256),
        Some(Some(kind)) if kind != KeyKind::Rsa => Ok(kind),
        Some(_) => Err(wrong("`[keys] kind` is `p256`, `p384` or `ed25519`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str, options: &ServeOptions) -> Result<Settings, String> {
        Config::parse(text, Path::new("muster.toml"))
            .and_then(|config| Settings::from(config, options))
            .map_err(|e| e.to_string())
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let said =
            settings("names = []\n[listen]\ndevize = \"[::]:1\"\n", &ServeOptions::default())
                .unwrap_err();
        assert!(said.starts_with("`muster.toml` line 3, `devize = "), "{said}");
    }

    #[test]
    fn without_a_name_it_listens_on_loopback_and_has_no_address_in_certificates() {
        let found = settings("", &ServeOptions::default()).unwrap();
        assert_eq!(found.device, ["127.0.0.1:8443".parse().unwrap()]);
        assert_eq!(found.public_url, None);
    }

    #[test]
    fn a_name_opens_all_interfaces_and_gives_the_public_address() {
        let options = ServeOptions { names: vec!["Id.Example".into()], ..Default::default() };
        let found = settings("names = [\"other\"]", &options).unwrap();
        assert_eq!(found.operator[0], "[::]:9443".parse().unwrap());
        assert_eq!(found.public_url.as_deref(), Some("http://Id.Example:8080"));
        assert_eq!(found.dns_names, ["id.example"]);
    }

    #[test]
    fn a_free_port_gives_no_public_address() {
        let options =
            ServeOptions { names: vec!["a".into()], any_port: true, ..Default::default() };
        let found = settings("", &options).unwrap();
        assert_eq!(found.public_url, None);
        assert_eq!(found.public, ["127.0.0.1:0".parse().unwrap()]);
    }

    #[test]
    fn what_cannot_be_used_is_refused() {
        for text in [
            "public_url = \"ftp://x\"",
            "public_url = \"http://a b\"",
            "names = [\"-x\"]",
            "[operator]\nkey = \"k\"",
            "[keys]\nkind = \"rsa\"",
            "[proxy]\nfrom = [\"10.0.0.0/33\"]",
            "[listen]\nlink = \"[::]:8883\"",
            "[listen]\ndevice = 8443",
            "[log]\nlevel = \"loud\"",
        ] {
            assert!(settings(text, &ServeOptions::default()).is_err(), "{text}");
        }
    }
}
