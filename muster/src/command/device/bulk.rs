//! Many devices at once: counted first, then moved a page at a time by the server.

use super::super::words::selector;
use crate::failure::{Failure, Outcome};
use crate::output::{Paint, plain};
use crate::progress;
use crate::rest::Rest;
use crate::session::Session;
use crate::table::Table;
use api::moves::NAMED_MAX;
use api::path::DEVICE_MOVES;
use api::{DeviceMove, MoveFailure, MoveSample, MovesRequest, MovesResult};
use clap::Args;
use identity::text::counted;
use serde::Serialize;
use std::collections::HashSet;
use std::io::Read;
use std::path::{Path, PathBuf};

/// A file of names: a million UUIDs have 37 MB.
const FILE_OCTETS_MAX: u64 = 64 * 1024 * 1024;

/// Which devices, where they are many.
#[derive(Debug, Args)]
#[command(next_help_heading = "Many devices at once")]
pub(super) struct Many {
    /// All for which this holds, over the members of `device list --json`; `has(mark)` asks whether
    /// there is one.
    #[arg(long = "where", value_name = "SELECTOR", conflicts_with_all = ["file", "id"])]
    #[arg(value_parser = selector)]
    selector: Option<String>,
    /// All that are named in this file, one in a line; `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "id")]
    file: Option<PathBuf>,
    /// Move nothing: count them, and show ten.
    #[arg(long, conflicts_with = "id")]
    dry_run: bool,
    /// Refuse where more than this are selected.
    #[arg(long, value_name = "N", default_value_t = api::moves::AT_MOST_DEFAULT)]
    #[arg(conflicts_with = "id", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    at_most: u64,
}

/// What is done to each of them.
pub(super) struct Deed {
    pub(super) wanted: DeviceMove,
    pub(super) group: Option<String>,
    pub(super) reason: Option<String>,
}

/// What became of all of them.
#[derive(Default, Serialize)]
struct Done {
    /// Whether nothing was moved, but only counted.
    dry_run: bool,
    selected: u64,
    moved: u64,
    already: u64,
    refused: u64,
    /// Lines of the file that said a name once more.
    repeated: u64,
    failures: Vec<MoveFailure>,
    sample: Vec<MoveSample>,
}

impl Many {
    /// Whether many were meant.
    pub(super) fn is_meant(&self) -> bool {
        self.selector.is_some() || self.file.is_some()
    }

    /// Moves them, and reports.
    pub(super) async fn run(self, deed: Deed, rest: &Rest, session: &Session) -> Outcome {
        let dry_run = self.dry_run;
        let done = match (&self.selector, &self.file) {
            (None, Some(file)) => {
                let (names, repeated) = once(read(file)?);
                let done = self.named(&names, &deed, rest).await?;
                Done { repeated, ..done }
            }
            _ => self.selected(&deed, rest).await?,
        };
        let done = Done { dry_run, ..done };
        session.show(&done, |done, paint| told(done, deed.wanted, paint))?;
        match done.refused {
            0 => Ok(()),
            _ if dry_run => Ok(()),
            n => Err(Failure::new(format!("{n} of {} not moved", devices(done.selected)))
                .next("look at the reasons, then type the same again: what is done stays done")),
        }
    }

    fn request(&self, deed: &Deed) -> MovesRequest {
        MovesRequest {
            wanted: deed.wanted,
            group: deed.group.clone(),
            selector: self.selector.clone(),
            devices: None,
            reason: deed.reason.clone(),
            dry_run: self.dry_run,
            at_most: self.at_most,
            frozen: None,
            after: None,
        }
    }

    async fn selected(&self, deed: &Deed, rest: &Rest) -> Outcome<Done> {
        let mut request = self.request(deed);
        let mut done = Done::default();
        let mut bar = None;
        loop {
            let page: MovesResult = rest.post(DEVICE_MOVES, &request).await.map_err(raise)?;
            let total = page.selected;
            request.after = page.next.clone();
            request.frozen = Some(page.frozen.clone());
            done.add(page);
            let bar = bar.get_or_insert_with(|| progress::bar(total, "devices"));
            bar.set_position(done.moved + done.already + done.refused);
            if request.after.is_none() {
                bar.finish_and_clear();
                return Ok(done);
            }
        }
    }

    async fn named(&self, names: &[String], deed: &Deed, rest: &Rest) -> Outcome<Done> {
        let count = names.len() as u64;
        if count > self.at_most && !self.dry_run {
            let most = self.at_most;
            let what = format!("{count} devices are named, and at most {most} may be");
            return Err(raise(Failure::new(what)));
        }
        let bar = progress::bar(Some(count), "devices");
        let mut done = Done::default();
        for some in names.chunks(NAMED_MAX) {
            let request = MovesRequest { devices: Some(some.to_vec()), ..self.request(deed) };
            done.add(rest.post(DEVICE_MOVES, &request).await?);
            bar.inc(some.len() as u64);
        }
        bar.finish_and_clear();
        done.sample.truncate(10);
        Ok(done)
    }
}

/// What somebody does who meant it.
fn raise(failure: Failure) -> Failure {
    if !failure.what().contains("at most") {
        return failure;
    }
    // The server says it to whoever speaks REST; here it has another name.
    let what = failure.what().split(": look at them").next().unwrap_or_default();
    Failure::new(what).next("look at them with --dry-run, then say how many with --at-most N")
}

impl Done {
    fn add(&mut self, page: MovesResult) {
        self.selected += page.selected.unwrap_or_default();
        self.moved += page.moved;
        self.already += page.already;
        self.refused += page.refused;
        self.failures.extend(page.failures);
        self.sample.extend(page.sample);
    }
}

fn read(file: &Path) -> Outcome<Vec<String>> {
    let mut text = String::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin().take(FILE_OCTETS_MAX).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|f| f.take(FILE_OCTETS_MAX).read_to_string(&mut text))
    };
    let octets = read.map_err(|e| Failure::file("read", file, &e))?;
    if octets as u64 == FILE_OCTETS_MAX {
        return Err(Failure::usage(format!("`{}` is too large: split it", file.display())));
    }
    let names = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    Ok(names.map(str::to_owned).collect())
}

/// The names, each once in its place, and how many lines said one again.
fn once(names: Vec<String>) -> (Vec<String>, u64) {
    let (count, mut seen) = (names.len(), HashSet::new());
    let names: Vec<String> = names.into_iter().filter(|name| seen.insert(name.clone())).collect();
    let repeated = (count - names.len()) as u64;
    (names, repeated)
}

fn devices(count: u64) -> String {
    counted(count, "device", "devices")
}

fn told(done: &Done, wanted: DeviceMove, paint: Paint) -> String {
    let what = match wanted {
        DeviceMove::Suspend => "suspended",
        DeviceMove::Resume => "resumed",
        DeviceMove::Quarantine => "quarantined",
        DeviceMove::Release => "released",
        DeviceMove::Retire => "retired",
        DeviceMove::GroupAdd => "put into the group",
        DeviceMove::GroupRemove => "taken out of the group",
    };
    let would = if done.dry_run { "would be " } else { "" };
    let Done { selected, moved, already, refused, .. } = done;
    let mut lines = vec![format!(
        "{} selected: {moved} {would}{what}, {already} there already, {refused} {would}refused",
        devices(*selected)
    )];
    if done.repeated > 0 {
        let repeated = counted(done.repeated, "line names", "lines name");
        lines.push(format!("{repeated} a device once more, and count once"));
    }
    lines.extend(done.failures.iter().map(|failure| {
        format!("{} {}: {}", paint.bad("refused"), plain(&failure.device), plain(&failure.reason))
    }));
    if !done.sample.is_empty() {
        let mut table = Table::new(&["ID", "STANDING", "MAKER", "MODEL", "SERIAL"]);
        for one in &done.sample {
            let (id, standing) = (one.id.clone(), one.standing.to_string());
            table.row([id, standing, one.maker.clone(), one.model.clone(), one.serial.clone()]);
        }
        lines.push(String::new());
        lines.push(table.print(paint));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_comes_twice_counts_once() {
        let names = ["serial:S2", "serial:S1", "serial:S2"].map(str::to_owned).to_vec();
        let (names, repeated) = once(names);
        assert_eq!((names.join(" ").as_str(), repeated), ("serial:S2 serial:S1", 1));
    }

    #[test]
    fn one_device_is_one_device() {
        let done = Done { selected: 1, moved: 1, ..Done::default() };
        let paint = Paint::decide(crate::output::Color::Never, false);
        let told = told(&done, DeviceMove::Suspend, paint);
        assert_eq!(told, "1 device selected: 1 suspended, 0 there already, 0 refused");
    }

    #[test]
    fn a_limit_is_told_by_the_name_that_it_has_on_the_command_line() {
        let said = "7 devices are selected, and at most 2 may be: look at them with a dry run, then \
                    raise `at_most`";

        let told = format!("{:?}", raise(Failure::new(said)));

        assert!(told.contains("--at-most N") && told.contains("at most 2 may be"), "{told}");
        assert!(!told.contains("at_most"), "{told}");
        assert_eq!(raise(Failure::new("no such device")).what(), "no such device");
    }
}
