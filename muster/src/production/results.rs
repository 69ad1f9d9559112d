//! `results.jsonl`: one line per unit, and the memory of a run that was interrupted.

use super::place::Parcel;
use super::{Digest, Line};
use crate::failure::{Failure, Outcome};
use api::BirthOutcome;
use identity::key::sha256;
use identity::text::array_from_hex;
use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Units that have their certificate.
#[derive(Default)]
pub(crate) struct Done(HashSet<Digest>);

impl Done {
    /// Whether this one has.
    pub(crate) fn has(&self, digest: &Digest) -> bool {
        self.0.contains(digest)
    }
}

/// The open file; only this process has it.
pub(crate) struct Results {
    file: File,
    path: PathBuf,
    /// Where its last whole line ends.
    end: u64,
    /// What was there when it was opened.
    pub(crate) done: Done,
}

/// The number of the last line of each unit.
type Last = HashMap<Digest, u64>;

/// What to do with a line of an earlier run.
enum Kept {
    /// What it was asked for with, and the unit.
    Yes(Digest, Digest),
    /// A refusal, which is asked again, or the same unit a second time.
    No,
}

impl Results {
    /// Opens the results of a run in `dir`, or begins them. A torn last line is dropped, refusals
    /// are taken out since they are asked again, and files that a line vouches for are written
    /// again where they are lost.
    pub(crate) fn open(dir: &Path, parcel: &Parcel) -> Outcome<Self> {
        std::fs::create_dir_all(dir).map_err(|e| Failure::file("make", dir, &e))?;
        let path = dir.join("results.jsonl");
        let file = open_alone(&path)?;
        let mut results = Self { file, path, end: 0, done: Done::default() };
        let (drops, last) = results.read()?;
        results.mend(parcel, &last)?;
        if drops {
            results.rewrite()?;
        }
        Ok(results)
    }

    /// Appends the lines of a batch, and makes them durable. What a full disk took of an earlier
    /// batch is no line, and is overwritten.
    pub(crate) fn append(&mut self, lines: &[Line]) -> Outcome {
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, line).map_err(Failure::new)?;
            text.push(b'\n');
        }
        let mut write = || {
            self.file.set_len(self.end)?;
            self.file.seek(SeekFrom::Start(self.end))?;
            self.file.write_all(&text)?;
            self.file.sync_data()
        };
        write().map_err(|e| Failure::file("write", &self.path, &e))?;
        self.end += u64::try_from(text.len()).unwrap_or_default();
        Ok(())
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads what an earlier run left, cuts a torn end off, and says whether lines must go, and which
    /// line is the last of each unit.
    fn read(&mut self) -> Outcome<(bool, Last)> {
        let failed = |e: &std::io::Error| Failure::file("read", &self.path, e);
        let mut reader = BufReader::new(&self.file);
        let (mut number, mut whole, mut drops) = (0_u64, 0_u64, false);
        let (mut line, mut last) = (Vec::new(), Last::new());
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).map_err(|e| failed(&e))?;
            number += 1;
            if line.last() != Some(&b'\n') {
                break;
            }
            match keep(&line, &self.done).map_err(|what| broken(&self.path, number, &what))? {
                Kept::Yes(digest, unit) => {
                    self.done.0.insert(digest);
                    last.insert(unit, number);
                }
                Kept::No => drops = true,
            }
            whole += u64::try_from(read).unwrap_or(u64::MAX);
        }
        drop(reader);
        self.file.set_len(whole).map_err(|e| failed(&e))?;
        self.end = whole;
        Ok((drops, last))
    }

    /// Writes the files of units again that are lost or of an earlier certificate. A unit that was
    /// reworked has several lines, of which the last counts. One that was reworked by itself has a
    /// certificate that no line knows: that is the newer one, and stays.
    fn mend(&mut self, parcel: &Parcel, last: &Last) -> Outcome {
        let failed = |e: &std::io::Error| Failure::file("read", &self.path, e);
        self.file.seek(SeekFrom::Start(0)).map_err(|e| failed(&e))?;
        let mut earlier = HashSet::new();
        for (number, line) in (1..).zip(BufReader::new(&self.file).split(b'\n')) {
            let line = parse(&line.map_err(|e| failed(&e))?);
            let line = line.map_err(|what| broken(&self.path, number, &what))?;
            let Some(chain) = line.certificate.as_deref().filter(|_| line.is_born()) else {
                continue;
            };
            if last.get(&unit(&line)) != Some(&number) {
                earlier.insert(chain_of(&line, chain));
            } else if !parcel.is_whole(&line.serial, chain) {
                // A torn chain begins as the whole one does.
                let of_a_line = |found: &str| {
                    chain.starts_with(found) || earlier.contains(&chain_of(&line, found))
                };
                if parcel.found(&line.serial).is_none_or(|found| of_a_line(&found)) {
                    parcel.put(&line.serial, chain)?;
                }
            }
        }
        Ok(())
    }

    /// Writes the lines that are kept into a new file and takes that one.
    fn rewrite(&mut self) -> Outcome {
        let failed = |e: std::io::Error| Failure::file("write", &self.path, &e);
        self.file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let beside = self.path.with_extension("jsonl.new");
        let new = open_alone(&beside)?;
        new.set_len(0).map_err(failed)?;
        let mut out = BufWriter::new(&new);
        let mut seen = HashSet::new();
        for line in BufReader::new(&self.file).split(b'\n') {
            let line = line.map_err(failed)?;
            let digest = parse(&line).ok().filter(Line::is_born).and_then(|l| l.digest());
            if digest.is_some_and(|d| seen.insert(d)) {
                out.write_all(&line).and_then(|()| out.write_all(b"\n")).map_err(failed)?;
            }
        }
        out.flush().and_then(|()| new.sync_all()).map_err(failed)?;
        drop(out);
        let end = new.metadata().map_err(failed)?.len();
        std::fs::rename(&beside, &self.path).map_err(failed)?;
        (self.file, self.end) = (new, end);
        Ok(())
    }
}

fn open_alone(path: &Path) -> Outcome<File> {
    let failed = |e: &std::io::Error| Failure::file("open", path, e);
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).open(path);
    let file = file.map_err(|e| failed(&e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Failure::new(format!("another run writes into `{}`", path.display()))
                .next("let it end, or give this one an --out of its own"))
        }
        Err(TryLockError::Error(e)) => Err(failed(&e)),
    }
}

fn parse(line: &[u8]) -> Result<Line, String> {
    serde_json::from_slice(line).map_err(|e| e.to_string())
}

/// What names a unit of a run: its serial number.
fn unit(line: &Line) -> Digest {
    sha256(&[line.serial.as_bytes()])
}

/// What names a chain of a unit.
fn chain_of(line: &Line, chain: &str) -> Digest {
    sha256(&[&unit(line), chain.as_bytes()])
}

fn keep(line: &[u8], done: &Done) -> Result<Kept, String> {
    let line = parse(line)?;
    if !line.is_born() {
        return Ok(Kept::No);
    }
    let digest = line.digest().ok_or("`request` is no SHA-256")?;
    if done.has(&digest) {
        return Ok(Kept::No);
    }
    line.certificate.as_ref().ok_or("there is no certificate")?;
    Ok(Kept::Yes(digest, unit(&line)))
}

fn broken(path: &Path, number: u64, what: &str) -> Failure {
    Failure::new(format!("`{}` line {number}: {what}", path.display())).next(
        "move the file away and type the same again: each unit gets the certificate that it has",
    )
}

impl Line {
    fn is_born(&self) -> bool {
        self.outcome != BirthOutcome::Refused
    }

    fn digest(&self) -> Option<Digest> {
        array_from_hex(&self.request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn line(serial: &str, outcome: BirthOutcome) -> Line {
        Line {
            serial: serial.to_owned(),
            outcome,
            certificate: Some(format!("chain of {serial}\n")),
            request: identity::text::hex(&identity::key::sha256(&[serial.as_bytes()])),
            ..Line::default()
        }
    }

    fn parcel(dir: &Path) -> Parcel {
        Parcel::new(dir, "root", "https://a:8443", "00")
    }

    fn open(dir: &Path) -> Results {
        Results::open(dir, &parcel(dir)).unwrap()
    }

    fn has(results: &Results, serial: &str) -> bool {
        results.done.has(&identity::key::sha256(&[serial.as_bytes()]))
    }

    #[test]
    fn a_run_goes_on_where_it_stopped_and_a_torn_line_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path()).append(&[line("1", BirthOutcome::Issued)]).unwrap();
        let path = dir.path().join("results.jsonl");
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{whole}{{\"serial\":\"2\",\"outc")).unwrap();

        let mut results = open(dir.path());
        assert!(has(&results, "1") && !has(&results, "2"));
        results.append(&[line("2", BirthOutcome::Again)]).unwrap();
        drop(results);

        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2);
        assert!(has(&open(dir.path()), "2"));
    }

    #[test]
    fn what_a_full_disk_took_of_a_batch_spoils_no_later_line() {
        let dir = tempfile::tempdir().unwrap();
        let mut results = open(dir.path());
        results.append(&[line("1", BirthOutcome::Issued)]).unwrap();
        let path = dir.path().join("results.jsonl");
        let mut torn = OpenOptions::new().append(true).open(&path).unwrap();
        torn.write_all(b"{\"serial\":\"2\",\"outc").unwrap();

        results.append(&[line("3", BirthOutcome::Issued)]).unwrap();
        drop(results);

        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2);
        let results = open(dir.path());
        assert!(has(&results, "1") && has(&results, "3"));
    }

    #[test]
    fn a_refusal_is_asked_again_and_leaves_one_line_per_unit() {
        let dir = tempfile::tempdir().unwrap();
        let lines = [
            line("1", BirthOutcome::Issued),
            line("2", BirthOutcome::Refused),
            line("1", BirthOutcome::Again),
        ];
        open(dir.path()).append(&lines).unwrap();

        let mut results = open(dir.path());
        assert!(has(&results, "1") && !has(&results, "2"));
        results.append(&[line("2", BirthOutcome::Issued)]).unwrap();
        drop(results);

        let text = fs::read_to_string(dir.path().join("results.jsonl")).unwrap();
        assert_eq!(text.lines().count(), 2);
    }

    #[test]
    fn files_that_a_pulled_plug_lost_are_written_again_from_the_line() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path()).append(&[line("1", BirthOutcome::Issued)]).unwrap();
        assert!(!dir.path().join("1").exists());
        drop(open(dir.path()));
        let birth = fs::read_to_string(dir.path().join("1/birth.pem")).unwrap();
        assert_eq!(birth, "chain of 1\n");
    }

    #[test]
    fn a_unit_that_was_reworked_keeps_its_newest_certificate_whatever_a_pulled_plug_left() {
        let dir = tempfile::tempdir().unwrap();
        let first = line("1", BirthOutcome::Issued);
        let again = Line {
            certificate: Some("chain OF 1\n".to_owned()),
            request: identity::text::hex(&sha256(&[b"another key"])),
            ..first.clone()
        };
        let old = first.certificate.clone().unwrap();
        open(dir.path()).append(&[first, again]).unwrap();
        parcel(dir.path()).put("1", &old).unwrap();

        drop(open(dir.path()));

        let birth = fs::read_to_string(dir.path().join("1/birth.pem")).unwrap();
        assert_eq!(birth, "chain OF 1\n");
    }

    #[test]
    fn a_unit_that_was_reworked_by_itself_keeps_the_certificate_that_no_line_knows() {
        let key = server::keys::NewKey::make(identity::KeyKind::P256).unwrap().signer().unwrap();
        let chain =
            |name| server::clock::outside(|o| ca::authority::root(name, &key, o)).unwrap().pem();
        let [first, second, newest] = ["first", "second", "newest"].map(chain);
        let line = |chain: &String| Line {
            certificate: Some(chain.clone()),
            request: identity::text::hex(&sha256(&[chain.as_bytes()])),
            ..line("1", BirthOutcome::Issued)
        };
        let dir = tempfile::tempdir().unwrap();
        open(dir.path()).append(&[line(&first), line(&second)]).unwrap();
        let path = dir.path().join("1/birth.pem");
        let after = |found: &str| {
            parcel(dir.path()).put("1", found).unwrap();
            drop(open(dir.path()));
            fs::read_to_string(&path).unwrap()
        };

        assert_eq!(after(&newest), newest);
        assert_eq!(after(&first), second, "that of an earlier line is replaced");
        assert_eq!(after(&newest[..newest.len() / 2]), second, "and so is a torn one");
        fs::remove_file(&path).unwrap();
        drop(open(dir.path()));
        assert_eq!(fs::read_to_string(&path).unwrap(), second);
    }

    #[test]
    fn two_runs_never_write_into_the_same_results() {
        let dir = tempfile::tempdir().unwrap();
        let _first = open(dir.path());
        let refused = Results::open(dir.path(), &parcel(dir.path())).err().unwrap();
        assert!(refused.what().contains("another run"), "{}", refused.what());
    }

    #[test]
    fn a_line_that_somebody_edited_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("results.jsonl"), "hello\n").unwrap();
        let refused = Results::open(dir.path(), &parcel(dir.path())).err().unwrap();
        assert!(refused.what().contains("line 1"), "{}", refused.what());
    }
}
