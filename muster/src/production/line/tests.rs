//! Runs against a server over real TLS, with answers lost on the way.

use super::*;
use crate::production::survey;
use crate::rest::tests::{Peer, Told, born};
use std::collections::HashMap;
use std::path::Path;

struct Line3 {
    dir: tempfile::TempDir,
}

impl Line3 {
    fn with(serials: impl IntoIterator<Item = String>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let lines: Vec<String> = serials
            .into_iter()
            .map(|serial| format!("{{\"csr\":\"MII{serial}\",\"serial\":\"{serial}\"}}\n"))
            .collect();
        std::fs::write(dir.path().join("run.jsonl"), lines.concat()).unwrap();
        Self { dir }
    }

    fn out(&self) -> std::path::PathBuf {
        self.dir.path().join("out")
    }

    /// What `birth --batch` does.
    async fn run(&self, peer: &Peer) -> Outcome<Summary> {
        let batch = self.dir.path().join("run.jsonl");
        let parcel = Parcel::new(&self.out(), "root", "https://a:8443", "00");
        let results = Results::open(&self.out(), &parcel)?;
        let found = survey(&mut Units::open(&batch, "realm")?, &results.done)?;
        let begun = Summary { units: found.units, skipped: found.done, ..Summary::default() };
        let bar = ProgressBar::hidden();
        let run = Run { rest: Arc::new(peer.rest()), parcel, results, bar };
        run.send(Units::open(&batch, "realm")?, begun).await
    }

    /// How many lines each serial number has.
    fn lines(&self) -> HashMap<String, u32> {
        let text = std::fs::read_to_string(self.out().join("results.jsonl")).unwrap();
        let mut counted = HashMap::new();
        for line in text.lines() {
            let line: Line = serde_json::from_str(line).unwrap();
            *counted.entry(line.serial).or_default() += 1;
        }
        counted
    }
}

fn serials(count: u32) -> impl Iterator<Item = String> {
    (0..count).map(|n| format!("S{n}"))
}

fn birth_pem(out: &Path, serial: &str) -> String {
    std::fs::read_to_string(out.join(serial).join("birth.pem")).unwrap()
}

#[tokio::test]
async fn a_run_goes_out_in_batches_and_each_unit_has_its_files_and_one_line() {
    let line = Line3::with(serials(1000));
    let peer = Peer::start(|told| Some((200, born(told)))).await;

    let summary = line.run(&peer).await.unwrap();

    assert_eq!((summary.units, summary.issued, summary.refused), (1000, 1000, 0));
    assert_eq!(peer.told().len(), 4);
    let lines = line.lines();
    assert!(lines.len() == 1000 && lines.values().all(|n| *n == 1));
    assert_eq!(birth_pem(&line.out(), "S999"), "chain of S999\n");
}

#[tokio::test]
async fn a_run_that_broke_off_goes_on_and_sends_only_what_has_no_line() {
    let line = Line3::with(serials(600));
    // Whatever holds unit 300 ends in a failure that no patience mends.
    let breaks = |told: &Told| match String::from_utf8_lossy(&told.body).contains("\"S300\"") {
        true => Some((500, String::new())),
        false => Some((200, born(told))),
    };
    let failure = line.run(&Peer::start(breaks).await).await.unwrap_err();
    assert!(failure.what().contains("500"), "{}", failure.what());
    assert_eq!(line.lines().len(), 600 - 256);

    let peer = Peer::start(|told| Some((200, born(told)))).await;
    let summary = line.run(&peer).await.unwrap();

    assert_eq!((summary.skipped, summary.issued), (600 - 256, 256));
    assert_eq!(peer.told().len(), 1);
    assert!(line.lines().len() == 600 && line.lines().values().all(|n| *n == 1));
}

#[tokio::test]
async fn a_file_that_lost_units_between_its_two_readings_is_no_finished_run() {
    let line = Line3::with(serials(3));
    let parcel = Parcel::new(&line.out(), "root", "https://a:8443", "00");
    let peer = Peer::start(|told| Some((200, born(told)))).await;
    let results = Results::open(&line.out(), &parcel).unwrap();
    let (rest, bar) = (Arc::new(peer.rest()), ProgressBar::hidden());
    let units = Units::open(&line.dir.path().join("run.jsonl"), "realm").unwrap();

    let run = Run { rest, parcel, results, bar };
    let failure = run.send(units, Summary { units: 4, ..Summary::default() }).await.unwrap_err();

    assert!(failure.what().contains("4 units were counted, and 3"), "{}", failure.what());
}

#[tokio::test]
async fn a_finished_run_sends_nothing_and_a_refused_unit_is_asked_again() {
    let line = Line3::with(["S1".to_owned(), "no".to_owned()]);
    let peer = Peer::start(|told| Some((200, born(told)))).await;

    let first = line.run(&peer).await.unwrap();
    assert_eq!((first.issued, first.refused), (1, 1));
    assert!(!line.out().join("no").exists());

    let second = line.run(&peer).await.unwrap();
    assert_eq!((second.skipped, second.issued, second.refused), (1, 0, 1));
    assert!(line.lines().values().all(|n| *n == 1));
}

#[tokio::test]
async fn one_unit_that_spoils_its_request_does_not_keep_the_others_from_birth() {
    let line = Line3::with(serials(9));
    let spoiled = |told: &Told| match String::from_utf8_lossy(&told.body).contains("\"S4\"") {
        true => Some((400, String::new())),
        false => Some((200, born(told))),
    };
    let summary = line.run(&Peer::start(spoiled).await).await.unwrap();
    assert_eq!((summary.issued, summary.refused), (8, 1));
}
