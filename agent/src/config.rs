//! `muster-agent.toml`: what `muster birth` wrote beside the birth certificate (`url`, `root_pin`),
//! and what somebody added. Every member may be absent; one that is unknown is an error.
//!
//! Paths are relative to the file. A value that begins with `@` is read from the file named behind
//! it, at the time when it is needed: a serial number from the device tree, a version from `/etc`.

use crate::Trouble;
use crate::line::Place;
use crate::line::proxy::Proxy;
use crate::store;
use identity::text::array_from_hex;
use identity::token::{ShownToken, TokenId, TokenSecret};
use identity::{KeyKind, RealmName, SpkiHash};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Once;

/// Where the configuration is looked for.
pub const CONFIG: &str = "/etc/muster-agent/muster-agent.toml";
/// Where the state is kept.
pub const STATE: &str = "/var/lib/muster-agent";

/// A receipt: with base64 it has to stay below the 16 KiB that a server reads of a request's
/// headers. One with three witnesses has 2 KiB; post-quantum cosignatures have 3.3 kB each.
const RECEIPT_OCTETS_MAX: usize = 10 * 1024;

/// The file as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    url: Option<String>,
    root_pin: Option<String>,
    root: Option<PathBuf>,
    realm: Option<String>,
    discover: Option<bool>,
    fallback_url: Option<String>,
    proxy: Option<String>,
    birth: Option<PathBuf>,
    birth_key: Option<PathBuf>,
    receipt: Option<PathBuf>,
    token: Option<PathBuf>,
    trust_first: bool,
    key: Option<String>,
    state: Option<PathBuf>,
    on_renew: Option<String>,
    firmware: Option<String>,
    serial: Option<String>,
    model: Option<String>,
    mac: Option<String>,
    imei: Option<String>,
}

/// What was typed instead of being written, or beside it.
#[derive(Clone, Debug, Default)]
pub struct Typed {
    /// The file; without one [`CONFIG`], which then need not be there.
    pub config: Option<PathBuf>,
    /// The state directory.
    pub state: Option<PathBuf>,
    /// The server.
    pub url: Option<String>,
    /// The pin of its root.
    pub root_pin: Option<String>,
    /// The file with a join token.
    pub token: Option<PathBuf>,
    /// Whether the first root is believed, where none is pinned.
    pub trust_first: bool,
    /// The serial number that a join claims.
    pub serial: Option<String>,
    /// What is run after each renewal.
    pub on_renew: Option<String>,
}

/// How this device is set up.
#[derive(Debug)]
pub struct Config {
    /// The state directory.
    pub state: PathBuf,
    /// The server as birth wrote it.
    pub url: Option<Place>,
    /// Whether the server is looked for with DNS-SD where there is no `url`, or it is not there.
    pub discover: bool,
    /// The server where neither leads to one.
    pub fallback: Option<Place>,
    /// The pin of the root.
    pub root_pin: Option<SpkiHash>,
    /// The root itself.
    pub root: Option<PathBuf>,
    /// Whether the first root is believed, where none is pinned.
    pub trust_first: bool,
    /// The realm.
    pub realm: RealmName,
    /// The proxy.
    pub proxy: Option<Proxy>,
    /// The birth certificate or a maker's, with its chain.
    pub birth: PathBuf,
    /// Its key.
    pub birth_key: PathBuf,
    /// The receipt of its issuance, for doors that demand it.
    pub receipt: Option<PathBuf>,
    /// Whether somebody named it, and did not only lay it beside.
    pub is_receipt_named: bool,
    /// The file with a join token.
    pub token: Option<PathBuf>,
    /// The kind of key that leaves are asked for with.
    pub key: KeyKind,
    /// What is run after each renewal.
    pub on_renew: Option<String>,
    /// What the device says of itself.
    pub said: Said,
}

/// What the device says of itself, each a text or `@FILE`.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// The version of what it runs.
    pub firmware: Option<String>,
    /// Its serial number.
    pub serial: Option<String>,
    /// Its model.
    pub model: Option<String>,
    /// Its MAC addresses, separated by blanks or commas.
    pub mac: Option<String>,
    /// Its IMEI.
    pub imei: Option<String>,
}

impl Config {
    /// Reads the configuration.
    ///
    /// # Errors
    /// [`Trouble::Usage`] for whoever wrote it.
    pub fn read(typed: &Typed) -> Result<Self, Trouble> {
        let path = typed.config.clone().unwrap_or_else(|| PathBuf::from(CONFIG));
        let text = store::read_text(&path)?;
        if text.is_none() && typed.config.is_some() {
            return Err(Trouble::Usage(format!("`{}` is not there", path.display())));
        }
        let text = text.unwrap_or_default();
        let written: Written = toml::from_str(&text).map_err(|e| wrong(&path, &text, &e))?;
        let dir = path.parent().unwrap_or_else(|| Path::new("."));
        written.become_config(dir, typed)
    }

    /// The join token, where there is one.
    ///
    /// # Errors
    /// Where its file cannot be read, or holds none.
    pub fn token(&self) -> Result<Option<ShownToken>, Trouble> {
        let Some(path) = &self.token else { return Ok(None) };
        // A token that was used up and taken away is as good as none.
        if !path.exists() {
            return Ok(None);
        }
        let bytes = store::read_secret(path)?;
        let text = std::str::from_utf8(&bytes).unwrap_or_default().trim();
        let shown = text.split_once(['.', ':']).and_then(|(id, secret)| {
            Some(ShownToken { id: TokenId::parse(id)?, secret: TokenSecret::parse(secret)? })
        });
        let wrong = || Trouble::Usage(format!("`{}` holds no ID.SECRET", path.display()));
        shown.ok_or_else(wrong).map(Some)
    }
}

impl Config {
    /// The receipt of the certificate that a join shows, where there is one.
    ///
    /// # Errors
    /// Where its file cannot be read, or somebody named one that is no receipt or too large for
    /// a header.
    pub fn receipt(&self) -> Result<Option<String>, Trouble> {
        static TOLD: Once = Once::new();
        let Some(path) = &self.receipt else { return Ok(None) };
        match read_receipt(path) {
            // Most doors want none.
            Err(trouble @ (Trouble::Usage(_) | Trouble::Damaged(_))) if !self.is_receipt_named => {
                TOLD.call_once(|| crate::trouble::tell(&format!("{trouble}; it is left out")));
                Ok(None)
            }
            read => read.map(Some),
        }
    }
}

fn read_receipt(path: &Path) -> Result<String, Trouble> {
    let wrong = |what: &str| {
        Trouble::Usage(format!("the receipt `{}` {what}: see `receipt`", path.display()))
    };
    let text = store::read_text(path)?.ok_or_else(|| wrong("is not there"))?;
    if text.len() > RECEIPT_OCTETS_MAX {
        return Err(wrong("is larger than a header may be"));
    }
    Ok(text)
}

impl Written {
    fn become_config(self, dir: &Path, typed: &Typed) -> Result<Config, Trouble> {
        let place = |url: Option<&String>| url.map(|u| Place::parse(u)).transpose();
        let said = |text: Option<String>| text.map(|text| from_file_beside(dir, text));
        let below =
            |path: Option<PathBuf>, name: &str| dir.join(path.unwrap_or_else(|| name.into()));
        let pin = typed.root_pin.as_ref().or(self.root_pin.as_ref());
        let root = below(self.root.clone(), "root.pem");
        let receipt = below(self.receipt.clone(), "birth.tlog-proof");
        Ok(Config {
            state: typed.state.clone().unwrap_or_else(|| below(self.state, STATE)),
            url: place(typed.url.as_ref().or(self.url.as_ref()))?,
            discover: self.discover.unwrap_or(true),
            fallback: place(self.fallback_url.as_ref())?,
            root_pin: pin.map(|p| read_pin(p)).transpose()?,
            // A root that was named has to be there; the one beside the file may be.
            root: (self.root.is_some() || root.exists()).then_some(root),
            trust_first: typed.trust_first || self.trust_first,
            realm: read_realm(self.realm.as_deref())?,
            proxy: proxy(self.proxy.as_deref())?,
            birth: below(self.birth, "birth.pem"),
            birth_key: below(self.birth_key, "birth.key"),
            is_receipt_named: self.receipt.is_some(),
            receipt: (self.receipt.is_some() || receipt.exists()).then_some(receipt),
            token: typed.token.clone().or(self.token.map(|p| dir.join(p))),
            key: read_key(self.key.as_deref())?,
            on_renew: typed.on_renew.clone().or(self.on_renew),
            said: Said {
                firmware: said(self.firmware),
                serial: typed.serial.clone().or_else(|| said(self.serial)),
                model: said(self.model),
                mac: said(self.mac),
                imei: said(self.imei),
            },
        })
    }
}

/// A text as it is, or `@FILE` with the file's place found from the configuration's.
fn from_file_beside(dir: &Path, text: String) -> String {
    match text.strip_prefix('@') {
        Some(path) => format!("@{}", dir.join(path).display()),
        None => text,
    }
}

/// What is wrong in the file, and where. The line is not repeated: it may hold the password of a
/// proxy, or one in `on_renew`.
fn wrong(path: &Path, text: &str, error: &toml::de::Error) -> Trouble {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    Trouble::Usage(format!("`{}` line {line}: {}", path.display(), error.message()))
}

fn read_pin(text: &str) -> Result<SpkiHash, Trouble> {
    let octets = array_from_hex(text.trim());
    octets.map(SpkiHash::from_octets).ok_or_else(|| {
        Trouble::Usage(format!("`{text}` is no pin: 64 hex digits, as in `muster realm show`"))
    })
}

fn read_realm(text: Option<&str>) -> Result<RealmName, Trouble> {
    let Some(text) = text else { return Ok(RealmName::default_realm()) };
    RealmName::parse(text).ok_or_else(|| Trouble::Usage(format!("`{text}` is no name of a realm")))
}

fn read_key(text: Option<&str>) -> Result<KeyKind, Trouble> {
    match text {
        None | Some("p256") => Ok(KeyKind::P256),
        Some("p384") => Ok(KeyKind::P384),
        Some(other) => Err(Trouble::Usage(format!("`key` is p256 or p384, not `{other}`"))),
    }
}

/// What is written, or else what the environment says as curl reads it.
fn proxy(written: Option<&str>) -> Result<Option<Proxy>, Trouble> {
    let said = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    let url = match written {
        Some("") => return Ok(None),
        Some(url) => Some(url.to_owned()),
        None => said("https_proxy").or_else(|| said("HTTPS_PROXY")),
    };
    let spared = said("no_proxy").or_else(|| said("NO_PROXY")).unwrap_or_default();
    url.map(|url| Proxy::parse(&url, &spared)).transpose()
}

impl Said {
    /// A value, read from its file where it names one. A file that is not there says nothing.
    fn value(text: Option<&String>) -> Option<String> {
        let text = text?;
        let Some(path) = text.strip_prefix('@') else { return Some(text.clone()) };
        let read = store::read_text(Path::new(path)).ok()??;
        // What the device tree says ends with a NUL.
        let value = read.lines().next().unwrap_or_default().trim_matches(['\0', ' ', '\t']);
        (!value.is_empty()).then(|| value.to_owned())
    }

    /// The serial number.
    #[must_use]
    pub fn serial(&self) -> Option<String> {
        Self::value(self.serial.as_ref())
    }

    /// All of it, as it is reported.
    #[must_use]
    pub fn report(&self) -> enroll::device::Report {
        let macs = Self::value(self.mac.as_ref()).unwrap_or_default();
        let macs = macs.split([' ', ',']).filter(|m| !m.is_empty()).map(str::to_owned);
        enroll::device::Report {
            firmware: Self::value(self.firmware.as_ref()),
            model: Self::value(self.model.as_ref()),
            serial: self.serial(),
            mac: macs.collect(),
            imei: Self::value(self.imei.as_ref()),
            ek_digest: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, Trouble> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("muster-agent.toml");
        std::fs::write(&path, text).unwrap();
        Config::read(&Typed { config: Some(path), ..Typed::default() })
    }

    #[test]
    fn what_birth_wrote_is_enough() {
        let pin = "ab".repeat(32);
        let config =
            read(&format!("url = \"https://muster.example\"\nroot_pin = \"{pin}\"\n")).unwrap();
        assert_eq!(config.url.unwrap().to_string(), "https://muster.example:8443");
        assert_eq!(config.root_pin.unwrap().to_string(), pin);
        assert!(config.birth.ends_with("birth.pem") && config.birth_key.ends_with("birth.key"));
        assert_eq!((config.root, config.realm), (None, RealmName::default_realm()));
    }

    #[test]
    fn what_is_unknown_or_wrong_is_told_with_its_name() {
        for (text, word) in [
            ("colour = \"red\"", "colour"),
            ("url = \"http://a\"", "http://a"),
            ("root_pin = \"12\"", "12"),
            ("key = \"rsa\"", "rsa"),
            ("realm = \"A B\"", "A B"),
            ("proxy = \"socks://x\"", "proxy"),
        ] {
            let trouble = read(text).unwrap_err();
            assert!(trouble.to_string().contains(word), "{trouble}");
            assert_eq!(trouble.exit_code(), 2);
        }
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named_by_its_number_and_not_repeated() {
        let text = "realm = \"a\"\nproxy = \"http://me:geheim@gate:1\" x\n";
        let told = read(text).unwrap_err().to_string();
        assert!(told.contains("line 2") && !told.contains("geheim"), "{told}");
    }

    #[test]
    fn what_is_written_is_found_from_where_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("muster-agent.toml");
        let text = "state = \"kept\"\ntoken = \"t\"\nfirmware = \"@version\"\nserial = \"S1\"";
        std::fs::write(&path, text).unwrap();
        std::fs::write(dir.path().join("version"), "2.1.0\n").unwrap();
        let config = Config::read(&Typed { config: Some(path), ..Typed::default() }).unwrap();
        assert_eq!(config.state, dir.path().join("kept"));
        assert_eq!(config.token, Some(dir.path().join("t")));
        let report = config.said.report();
        assert_eq!(report.firmware.as_deref(), Some("2.1.0"));
        assert_eq!(report.serial.as_deref(), Some("S1"));
    }

    #[test]
    fn a_value_may_stand_in_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("serial-number");
        std::fs::write(&path, b"P7-0001\0").unwrap();
        let said = Said {
            serial: Some(format!("@{}", path.display())),
            firmware: Some("@/nowhere".into()),
            mac: Some("00:11:22:33:44:55, 00:11:22:33:44:56".into()),
            ..Said::default()
        };
        let report = said.report();
        assert_eq!((report.serial.as_deref(), report.firmware), (Some("P7-0001"), None));
        assert_eq!(report.mac.len(), 2);
    }
}
