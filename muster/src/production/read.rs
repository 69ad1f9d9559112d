//! The units of a run: JSON lines, or CSV with the same columns, each within its limits and with
//! its line number in every complaint.

use super::Digest;
use super::csv::Records;
use super::results::Done;
use crate::failure::{Failure, Outcome};
use api::BirthRequest;
use identity::csr::CSR_OCTETS_MAX;
use identity::key::sha256;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// A request has at most 16 KiB, which is 22 KiB of base64; identifiers and meta pairs fit twice
/// into the rest.
const LINE_OCTETS_MAX: usize = 64 * 1024;
/// A run beyond this (a hundred million) is another kind of file.
const LINES_MAX: u64 = 100_000_000;

/// One unit of the run.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    /// Where it stands in the file.
    pub(crate) line: u64,
    /// What names it, whatever the file.
    pub(crate) digest: Digest,
    /// What is sent for it.
    pub(crate) request: BirthRequest,
}

/// Lines with their numbers, bounded.
pub(super) struct Lines<R> {
    from: R,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    /// Lines of a file.
    pub(super) const fn new(from: R) -> Self {
        Self { from, number: 0 }
    }

    /// The next line that is not blank.
    pub(super) fn next(&mut self) -> Outcome<Option<(u64, String)>> {
        loop {
            match self.next_raw()? {
                Some((_, line)) if line.trim().is_empty() => {}
                other => return Ok(other),
            }
        }
    }

    /// The next line, without its line break.
    pub(super) fn next_raw(&mut self) -> Outcome<Option<(u64, String)>> {
        let mut octets = Vec::new();
        let limit = u64::try_from(LINE_OCTETS_MAX).unwrap_or(u64::MAX) + 2;
        let read = self.from.by_ref().take(limit).read_until(b'\n', &mut octets);
        let number = self.number + 1;
        let failed = |what: String| Failure::new(format!("line {number}: {what}"));
        if read.map_err(|e| failed(e.to_string()))? == 0 {
            return Ok(None);
        }
        if number > LINES_MAX {
            return Err(failed(format!("a run has at most {LINES_MAX} lines")));
        }
        self.number = number;
        let text = String::from_utf8(octets).map_err(|_| failed("it is not UTF-8".to_owned()))?;
        let text = if number == 1 { text.trim_start_matches('\u{feff}') } else { &text };
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text).to_owned();
        self.bound(number, text.len())?;
        Ok(Some((number, text)))
    }

    /// Refuses what is longer than one unit can be.
    pub(super) fn bound(&self, line: u64, octets: usize) -> Outcome {
        if octets > LINE_OCTETS_MAX {
            let what = format!("line {line}: one unit has at most {LINE_OCTETS_MAX} octets");
            return Err(Failure::new(what));
        }
        Ok(())
    }
}

/// The units of one file, in order.
pub(crate) struct Units {
    source: Source,
    path: PathBuf,
    realm: String,
}

enum Source {
    Json(Lines<BufReader<File>>),
    Csv { records: Records<BufReader<File>>, columns: Vec<Column> },
}

impl Units {
    /// Opens a run; `.csv` is CSV, all else JSON lines. `realm` keeps units of different realms
    /// apart: the pin of the root.
    pub(crate) fn open(path: &Path, realm: &str) -> Outcome<Self> {
        let file = File::open(path).map_err(|e| Failure::file("read", path, &e))?;
        let found = file.metadata().map_err(|e| Failure::file("read", path, &e))?;
        if !found.is_file() {
            // A pipe would be empty when it is read to be sent.
            return Err(Failure::new(format!("`{}` is no file", path.display())).next(
                "put the run into a file: it is read twice, to be looked at and to be sent",
            ));
        }
        let lines = Lines::new(BufReader::with_capacity(256 * 1024, file));
        let is_csv = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv"));
        let source = if is_csv {
            let mut records = Records::new(lines);
            let columns = heading(&mut records).map_err(|f| named(path, &f))?;
            Source::Csv { records, columns }
        } else {
            Source::Json(lines)
        };
        Ok(Self { source, path: path.to_owned(), realm: realm.to_owned() })
    }

    /// The next unit.
    pub(crate) fn next(&mut self) -> Outcome<Option<Unit>> {
        let found = match &mut self.source {
            Source::Json(lines) => lines.next().and_then(|found| found.map(from_json).transpose()),
            Source::Csv { records, columns } => records.next().and_then(|found| {
                found.map(|(l, fields)| from_csv(l, columns, fields)).transpose()
            }),
        };
        let found = found.map_err(|f| named(&self.path, &f))?;
        Ok(found.map(|(line, request)| {
            let digest = digest(&self.realm, &request);
            Unit { line, digest, request }
        }))
    }
}

fn named(path: &Path, failure: &Failure) -> Failure {
    Failure::new(format!("`{}` {}", path.display(), failure.what()))
        .next("correct the file; nothing of it was sent yet")
}

/// What names a request in a realm.
pub(super) fn digest(realm: &str, request: &BirthRequest) -> Digest {
    // Members stand in the order of the type and pairs in the order of their keys: one text each.
    let text = serde_json::to_vec(request).unwrap_or_default();
    sha256(&[b"muster/run/v1\0", realm.as_bytes(), b"\0", &text])
}

fn from_json((line, text): (u64, String)) -> Outcome<(u64, BirthRequest)> {
    let request: BirthRequest = serde_json::from_str(&text)
        .map_err(|e| Failure::new(format!("line {line}: {}", without_place(&e.to_string()))))?;
    told(line, request)
}

/// serde counts lines within the text, which is always line 1 here.
fn without_place(reason: &str) -> &str {
    reason.split(" at line ").next().unwrap_or(reason)
}

/// What every unit has.
fn told(line: u64, mut request: BirthRequest) -> Outcome<(u64, BirthRequest)> {
    if request.serial.is_empty() {
        return Err(Failure::new(format!("line {line}: the serial is empty")));
    }
    if request.csr.trim().is_empty() {
        return Err(Failure::new(format!("line {line}: the csr is empty")));
    }
    request.imei = request.imei.filter(|i| !i.is_empty());
    Ok((line, request))
}

/// A column of a CSV.
enum Column {
    Csr,
    Serial,
    Model,
    Mac,
    Imei,
    EkDigest,
    Replace,
    Meta(String),
}

fn heading<R: BufRead>(records: &mut Records<R>) -> Outcome<Vec<Column>> {
    let Some((line, names)) = records.next()? else {
        return Err(Failure::new("is empty: its first line names the columns"));
    };
    let columns: Vec<Column> =
        names.iter().map(|n| column(line, n.trim())).collect::<Outcome<_>>()?;
    let has = |wanted: &str| names.iter().any(|n| n.trim() == wanted);
    let mut seen = HashSet::new();
    if let Some(name) = names.iter().map(|n| n.trim()).find(|name| !seen.insert(*name)) {
        return Err(Failure::new(format!("line {line}: there are two columns `{name}`")));
    }
    for wanted in ["csr", "serial"] {
        if !has(wanted) {
            return Err(Failure::new(format!("line {line}: there is no column `{wanted}`")));
        }
    }
    Ok(columns)
}

fn column(line: u64, name: &str) -> Outcome<Column> {
    Ok(match name {
        "csr" => Column::Csr,
        "serial" => Column::Serial,
        "model" => Column::Model,
        "mac" => Column::Mac,
        "imei" => Column::Imei,
        "ek_digest" => Column::EkDigest,
        "replace" => Column::Replace,
        other => match other.strip_prefix("meta.") {
            Some(key) if !key.is_empty() => Column::Meta(key.to_owned()),
            _ => {
                return Err(Failure::new(format!(
                    "line {line}: there is no column `{other}`: csr serial model mac imei \
                     ek_digest replace meta.KEY"
                )));
            }
        },
    })
}

fn from_csv(line: u64, columns: &[Column], fields: Vec<String>) -> Outcome<(u64, BirthRequest)> {
    if fields.len() != columns.len() {
        let (found, wanted) = (fields.len(), columns.len());
        return Err(Failure::new(format!("line {line}: {found} fields, not {wanted}")));
    }
    let mut request = BirthRequest::default();
    for (column, field) in columns.iter().zip(fields).filter(|(_, f)| !f.trim().is_empty()) {
        match column {
            Column::Csr => request.csr = field,
            Column::Serial => request.serial = field,
            Column::Model => request.model = field,
            // A cell has one value: several addresses are separated as people do it.
            Column::Mac => {
                request.mac = field
                    .split([';', ',', ' '])
                    .map(str::trim)
                    .filter(|m| !m.is_empty())
                    .map(str::to_owned)
                    .collect()
            }
            Column::Imei => request.imei = Some(field),
            Column::EkDigest => request.ek_digest = Some(field),
            Column::Replace => request.replace = Some(field),
            Column::Meta(key) => drop(request.meta.insert(key.clone(), field)),
        }
    }
    told(line, request)
}

/// What a first look at the whole file found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Survey {
    /// Units in it.
    pub(crate) units: u64,
    /// Units that have their certificate already.
    pub(crate) done: u64,
}

/// Reads the whole file once before anything is sent: every line parses, and no serial number
/// stands for two units, which would share a directory.
pub(crate) fn survey(units: &mut Units, done: &Done) -> Outcome<Survey> {
    let mut survey = Survey::default();
    let mut seen: HashMap<Digest, (u64, Digest)> = HashMap::new();
    while let Some(unit) = units.next()? {
        let serial = sha256(&[unit.request.serial.as_bytes()]);
        match seen.insert(serial, (unit.line, unit.digest)) {
            Some((_, before)) if before == unit.digest => continue,
            Some((line, _)) => return Err(twice(&units.path, line, &unit)),
            None => {}
        }
        survey.units += 1;
        survey.done += u64::from(done.has(&unit.digest));
    }
    Ok(survey)
}

fn twice(path: &Path, line: u64, unit: &Unit) -> Failure {
    let (path, serial) = (path.display(), &unit.request.serial);
    Failure::new(format!(
        "`{path}` line {}: serial `{serial}` stands in line {line} too",
        unit.line
    ))
    .next("each serial number has one unit; another model goes into a run and --out of its own")
}

/// A request from a file or from standard input (`-`), PEM or DER, as the interface takes it.
pub(crate) fn csr_text(path: &Path) -> Outcome<String> {
    let failed = |e: &std::io::Error| Failure::file("read", path, e);
    let limit = u64::try_from(LINE_OCTETS_MAX).unwrap_or(u64::MAX) + 1;
    let mut octets = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_end(&mut octets).map_err(|e| failed(&e))?;
    } else {
        let file = File::open(path).map_err(|e| failed(&e))?;
        file.take(limit).read_to_end(&mut octets).map_err(|e| failed(&e))?;
    }
    if octets.len() > LINE_OCTETS_MAX {
        let what = format!(
            "`{}` is too large for a request, which has at most {CSR_OCTETS_MAX} octets",
            path.display()
        );
        return Err(Failure::new(what).next("name the PKCS#10 request that the unit made"));
    }
    Ok(match String::from_utf8(octets) {
        Ok(text) if !text.starts_with('0') => text,
        // DER begins with 0x30, which is `0` in ASCII; base64 of it begins with `M`.
        Ok(text) => identity::text::base64(text.as_bytes()),
        Err(binary) => identity::text::base64(binary.as_bytes()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        (dir, path)
    }

    fn read(name: &str, text: &str) -> Result<Vec<Unit>, String> {
        let (_dir, path) = file(name, text);
        let mut all = Vec::new();
        let mut units = Units::open(&path, "pin").map_err(|f| f.what().to_owned())?;
        while let Some(unit) = units.next().map_err(|f| f.what().to_owned())? {
            all.push(unit);
        }
        Ok(all)
    }

    #[test]
    fn json_lines_and_csv_of_the_same_units_are_the_same_units() {
        let json = "\u{feff}{\"csr\":\"MII\",\"serial\":\"S1\",\"mac\":[\"00:11:22:33:44:55\"],\
                    \"meta\":{\"line\":\"7\"}}\r\n\n{\"csr\":\"MIJ\",\"serial\":\"S2\"}";
        let csv = "serial,csr,mac,meta.line,imei\nS1,MII,00:11:22:33:44:55,7,\nS2,MIJ,,,\n";
        let (json, csv) = (read("run.jsonl", json).unwrap(), read("run.CSV", csv).unwrap());
        let digests = |units: &[Unit]| units.iter().map(|u| u.digest).collect::<Vec<_>>();
        assert_eq!(digests(&json), digests(&csv));
        assert_eq!(json.iter().map(|u| u.line).collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn a_broken_line_is_named_by_its_number() {
        for (name, text, says) in [
            ("a.jsonl", "{\"csr\":\"M\",\"serial\":\"1\"}\n{", "line 2: EOF while parsing"),
            ("a.jsonl", "{\"csr\":\"M\",\"serial\":\"1\",\"x\":1}", "line 1: unknown field `x`"),
            ("a.jsonl", "{\"csr\":\"M\",\"serial\":\"\"}", "line 1: the serial is empty"),
            ("a.csv", "serial\n1", "line 1: there is no column `csr`"),
            ("a.csv", "serial,csr,colour\n", "line 1: there is no column `colour`"),
            ("a.csv", "serial,csr, serial\n1,M,2", "line 1: there are two columns `serial`"),
            ("a.csv", "serial,csr\n1,M,x", "line 2: 3 fields, not 2"),
            ("a.csv", "", "is empty"),
        ] {
            let reason = read(name, text).unwrap_err();
            assert!(reason.contains(says), "{reason} / {says}");
        }
    }

    #[test]
    fn what_can_be_read_only_once_is_refused() {
        let failure = Units::open(Path::new("/dev/null"), "pin").err().unwrap();
        assert!(failure.what().contains("is no file"), "{}", failure.what());
    }

    #[test]
    fn a_line_that_is_too_long_or_not_text_is_refused() {
        let long = format!("{{\"csr\":\"{}\",\"serial\":\"1\"}}", "A".repeat(LINE_OCTETS_MAX));
        assert!(read("a.jsonl", &long).unwrap_err().contains("at most 65536 octets"));
        let (_dir, path) = file("a.jsonl", "");
        std::fs::write(&path, [0xff, 0xfe, b'\n']).unwrap();
        let failure = Units::open(&path, "pin").unwrap().next().unwrap_err();
        assert!(failure.what().contains("line 1: it is not UTF-8"));
    }

    #[test]
    fn one_serial_for_two_units_is_found_before_anything_is_sent() {
        let look = |text: &str| {
            let (_dir, path) = file("run.jsonl", text);
            survey(&mut Units::open(&path, "pin").unwrap(), &Done::default())
        };
        let same = "{\"csr\":\"M\",\"serial\":\"1\"}\n{\"csr\":\"M\",\"serial\":\"1\"}";
        assert_eq!(look(same).unwrap(), Survey { units: 1, done: 0 });
        let other = "{\"csr\":\"M\",\"serial\":\"1\"}\n{\"csr\":\"N\",\"serial\":\"1\"}";
        assert!(look(other).unwrap_err().what().contains("line 2: serial `1` stands in line 1"));
    }

    #[test]
    fn the_same_unit_in_another_realm_is_another() {
        let request = BirthRequest { serial: "1".into(), ..BirthRequest::default() };
        assert_ne!(digest("a", &request), digest("b", &request));
    }
}
