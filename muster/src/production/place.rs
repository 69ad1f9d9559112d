//! Where the files of a unit lie: `DIR/SERIAL/{birth.pem,root.pem,muster-agent.toml}`, and
//! `birth.tlog-proof` where receipts are wanted.

use crate::failure::{Failure, Outcome};
use identity::Certificate;
use std::fs;
use std::path::{Path, PathBuf};

/// The chain of a unit.
const BIRTH: &str = "birth.pem";
/// A receipt has the name under which an agent looks for it.
const RECEIPT: &str = "birth.tlog-proof";

/// What every unit of a run gets, and where the units lie.
#[derive(Clone)]
pub(crate) struct Parcel {
    dir: PathBuf,
    root_pem: String,
    agent_toml: String,
}

impl Parcel {
    /// Units below `dir`; devices find their server at `url` and know it by the pin of its root.
    pub(crate) fn new(dir: &Path, root_pem: &str, url: &str, root_pin: &str) -> Self {
        let agent_toml = format!("url = \"{url}\"\nroot_pin = \"{root_pin}\"\n");
        Self { dir: dir.to_owned(), root_pem: root_pem.to_owned(), agent_toml }
    }

    /// Writes the three files of a unit of a run into a directory of its own.
    pub(crate) fn put(&self, serial: &str, chain_pem: &str) -> Outcome {
        self.put_into(&self.dir.join(name(serial)), chain_pem)
    }

    /// Where the receipt of a unit of a run lies.
    pub(crate) fn receipt(&self, serial: &str) -> PathBuf {
        self.dir.join(name(serial)).join(RECEIPT)
    }

    /// Where that of the only unit lies.
    pub(crate) fn receipt_of_one(&self) -> PathBuf {
        self.dir.join(RECEIPT)
    }

    /// Writes the three files of the only unit, and says so.
    pub(crate) fn put_one(&self, chain_pem: &str) -> Outcome<String> {
        self.put_into(&self.dir, chain_pem)?;
        let names = self.files(chain_pem).map(|(name, _)| name);
        Ok(format!("{} are in {}", names.join(", "), self.dir.display()))
    }

    fn put_into(&self, dir: &Path, chain_pem: &str) -> Outcome {
        fs::create_dir_all(dir).map_err(|e| Failure::file("make", dir, &e))?;
        self.files(chain_pem)
            .iter()
            .try_for_each(|(name, text)| write_whole(&dir.join(name), text.as_bytes()))
    }

    /// Whether the certificate is there, and what lies beside it as long as it should be: after a
    /// pulled plug a file may be there and empty, or an earlier one.
    pub(crate) fn is_whole(&self, serial: &str, chain_pem: &str) -> bool {
        let dir = self.dir.join(name(serial));
        let [(birth, _), beside @ ..] = self.files(chain_pem);
        let is_there = fs::read(dir.join(birth)).is_ok_and(|found| found == chain_pem.as_bytes());
        is_there
            && beside.iter().all(|(name, text)| {
                let length = fs::metadata(dir.join(name)).map(|m| m.len());
                length.is_ok_and(|l| u64::try_from(text.len()).is_ok_and(|wanted| l == wanted))
            })
    }

    /// The certificate that lies there and that a unit can use; `None` where there is none, or what
    /// a pulled plug left of one.
    pub(crate) fn found(&self, serial: &str) -> Option<String> {
        let birth = self.dir.join(name(serial)).join(BIRTH);
        let text = fs::read_to_string(birth).ok()?;
        Certificate::parse_pem(&text, usize::MAX).is_ok().then_some(text)
    }

    fn files<'a>(&'a self, chain_pem: &'a str) -> [(&'static str, &'a str); 3] {
        [(BIRTH, chain_pem), ("root.pem", &self.root_pem), ("muster-agent.toml", &self.agent_toml)]
    }
}

/// Writes a file whole or not at all. It is not synced: whoever needs that syncs once for many.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Outcome {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    fs::write(&beside, bytes)
        .and_then(|()| fs::rename(&beside, path))
        .map_err(|e| Failure::file("write", path, &e))
}

/// The name of a unit's directory: its serial number, everything but letters, digits and `-_.` as
/// `%XX`. No two serial numbers have the same name, and none leaves the directory, is hidden, or is
/// the file of the results.
pub(crate) fn name(serial: &str) -> String {
    let mut out = String::with_capacity(serial.len());
    for (at, octet) in serial.bytes().enumerate() {
        let plain = octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.');
        let first = at == 0 && (octet == b'.' || serial.starts_with("results.jsonl"));
        if plain && !first {
            out.push(char::from(octet));
        } else {
            out.push_str(&format!("%{octet:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_serial_number_leaves_its_directory() {
        let odd = ["..", ".", "/etc/passwd", "a/../b", "a\\b", "-rf", ".hidden", "a b", "é", "%2E"];
        for serial in odd {
            let name = name(serial);
            let path = Path::new(&name);
            assert_eq!(path.components().count(), 1, "{serial}");
            let component = path.components().next().unwrap();
            assert!(matches!(component, std::path::Component::Normal(_)), "{serial}");
            assert!(!name.starts_with('.'), "{serial}");
        }
        let names: HashSet<String> = odd.iter().map(|s| name(s)).collect();
        assert_eq!(names.len(), odd.len());
    }

    #[test]
    fn a_plain_serial_number_is_its_own_name_and_the_results_keep_theirs() {
        assert_eq!(name("P7-000_1.2"), "P7-000_1.2");
        assert_ne!(name("results.jsonl"), "results.jsonl");
        assert!(name(&"é".repeat(32)).len() <= 255);
    }

    #[test]
    fn a_unit_is_whole_only_with_all_of_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let parcel = Parcel::new(dir.path(), "root", "https://a:8443", "00");
        parcel.put("S/1", "chain").unwrap();
        assert!(parcel.is_whole("S/1", "chain"));
        let unit = dir.path().join("S%2F1");
        let toml = fs::read_to_string(unit.join("muster-agent.toml")).unwrap();
        assert_eq!(toml, "url = \"https://a:8443\"\nroot_pin = \"00\"\n");
        fs::write(unit.join("root.pem"), "").unwrap();
        assert!(!parcel.is_whole("S/1", "chain"));
    }
}
