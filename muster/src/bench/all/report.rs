//! What was measured, side by side: the peers' rows below ours of the same run, and the ratios.

use crate::bench::Ratio;
use crate::bench::measure::Line;
use crate::bench::ocsp::{BAO_TIMES, SSL_TIMES};
use crate::output::Paint;
use crate::table::Table;
use serde::Serialize;

/// What was done; in this order they are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Run {
    /// A CSR in, a leaf out, over connections that are kept.
    IssueKept,
    /// The same over a fresh TLS connection each.
    IssueFresh,
    /// The same with a hybrid key exchange.
    IssueHybrid,
    /// The same as arrivals at a steady rate.
    IssueOpen,
    /// Births in batches.
    Birth,
    /// OCSP from memory over kept connections.
    OcspKept,
    /// The same by GET.
    OcspGet,
    /// OCSP with a nonce over kept connections.
    OcspNonce,
    /// OCSP from memory over a fresh TCP connection each.
    OcspFresh,
    /// A start on an empty home.
    Start,
    /// A start on a full one.
    StartFull,
}

impl Run {
    const fn told(self) -> &'static str {
        match self {
            Self::IssueKept => "issuing, kept alive",
            Self::IssueFresh => "issuing, fresh TLS",
            Self::IssueHybrid => "issuing, fresh, hybrid",
            Self::IssueOpen => "issuing, fresh, open loop",
            Self::Birth => "births, in batches",
            Self::OcspKept => "OCSP, kept alive",
            Self::OcspGet => "OCSP, kept alive, GET",
            Self::OcspNonce => "OCSP, kept alive, nonce",
            Self::OcspFresh => "OCSP, fresh TCP",
            Self::Start => "start, empty home",
            Self::StartFull => "start, after SIGKILL",
        }
    }
}

/// Who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Who {
    /// We.
    Muster,
    /// OpenBao.
    Openbao,
    /// `openssl ocsp`.
    Openssl,
}

impl Who {
    const fn told(self) -> &'static str {
        match self {
            Self::Muster => "Muster",
            Self::Openbao => "OpenBao",
            Self::Openssl => "OpenSSL",
        }
    }
}

/// One row of the table.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Row {
    run: Run,
    who: Who,
    /// Certificates that were stored when it began, births and leaves; absent where it matters not.
    stored: Option<u64>,
    #[serde(flatten)]
    line: Line,
    /// A peer's processor time for one operation over ours.
    times: Option<f64>,
}

impl Row {
    pub(super) const fn new(run: Run, who: Who, line: Line) -> Self {
        Self { run, who, stored: None, line, times: None }
    }

    pub(super) fn stored(self, stored: u64) -> Self {
        Self { stored: Some(stored), ..self }
    }
}

/// A peer, as it took part.
#[derive(Clone, Debug, Serialize)]
pub(super) struct PeerTold {
    who: Who,
    version: String,
    /// How it was set up.
    setup: &'static str,
}

impl PeerTold {
    pub(super) fn new(who: Who, version: &str, setup: &'static str) -> Self {
        Self { who, version: version.to_owned(), setup }
    }
}

/// All that was measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) machine: String,
    pub(super) version: &'static str,
    /// Seconds of each run.
    pub(super) seconds: u64,
    pub(super) peers: Vec<PeerTold>,
    pub(super) rows: Vec<Row>,
    pub(super) goals: Vec<Ratio>,
}

/// Sorts rows by what was done, ours first, and sets each peer's beside ours: the first level beside
/// the first, the second beside the second, and beside our last where we have fewer.
pub(super) fn side_by_side(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_by_key(|row| (row.run, row.who, row.stored));
    let cost = |line: &Line| if line.failed == 0 { line.cpu_us } else { 0.0 };
    let costs: Vec<(Run, f64)> =
        rows.iter().filter(|r| r.who == Who::Muster).map(|r| (r.run, cost(&r.line))).collect();
    let mut before: Option<(Run, Who)> = None;
    let mut nth = 0;
    for row in &mut rows {
        nth = if before == Some((row.run, row.who)) { nth + 1 } else { 0 };
        before = Some((row.run, row.who));
        let of_run = || costs.iter().filter(|(run, _)| *run == row.run).map(|(_, cpu_us)| *cpu_us);
        let ours =
            of_run().nth(nth).or_else(|| of_run().next_back()).filter(|cpu_us| *cpu_us > 0.0);
        // What failed took time too, and is no operation: such a run is set beside nothing.
        let beside = row.who != Who::Muster && row.line.failed == 0;
        row.times = ours.filter(|_| beside).map(|ours| row.line.cpu_us / ours);
    }
    rows
}

/// How many times a peer's processor time we hold ourselves to, at least.
const fn times(run: Run, who: Who) -> Option<f64> {
    match (run, who) {
        (Run::IssueKept, Who::Openbao) => Some(7.0),
        (Run::IssueFresh, Who::Openbao) => Some(3.0),
        (Run::OcspKept, Who::Openbao) => Some(BAO_TIMES),
        (Run::OcspFresh, Who::Openssl) => Some(SSL_TIMES),
        _ => None,
    }
}

/// How much dearer a full registry may be: no more than a shared machine moves by itself.
const FLAT: f64 = 1.25;

/// What was aimed at, and what came of it.
pub(super) fn goals(rows: &[Row]) -> Vec<Ratio> {
    let beside = rows.iter().filter_map(|row| {
        let (goal, value) = (times(row.run, row.who)?, row.times?);
        let level = row.stored.map(|n| format!(" with {n} stored")).unwrap_or_default();
        let name = format!("{} / Muster, {}{level}: ×", row.who.told(), row.run.told());
        Some(Ratio::at_least(&name, value, goal))
    });
    let flat = [Run::IssueKept, Run::IssueFresh].into_iter().filter_map(|run| {
        let mut own = rows.iter().filter(|r| r.run == run && r.who == Who::Muster);
        let (few, many) = (own.next()?, own.next_back()?);
        if few.line.failed + many.line.failed > 0 {
            return None;
        }
        let name = format!(
            "Muster, {}, {} stored / {} stored: ×",
            run.told(),
            many.stored.unwrap_or_default(),
            few.stored.unwrap_or_default()
        );
        Some(Ratio::at_most(&name, many.line.cpu_us / few.line.cpu_us.max(1e-9), FLAT))
    });
    beside.chain(flat).collect()
}

impl Report {
    /// For people.
    pub(super) fn told(&self, paint: Paint) -> String {
        let mut table = Table::new(&[
            "RUN", "WHO", "STORED", "COUNT", "FAILED", "RATE/S", "CPU µs", "×", "P50 ms", "P99 ms",
            "RSS MiB",
        ]);
        for Row { run, who, stored, line, times } in &self.rows {
            table.row([
                run.told().to_owned(),
                who.told().to_owned(),
                stored.map(|n| n.to_string()).unwrap_or_default(),
                line.count.to_string(),
                line.failed.to_string(),
                format!("{:.0}", line.rate),
                format!("{:.0}", line.cpu_us),
                times.map(|t| format!("{t:.1}")).unwrap_or_default(),
                format!("{:.2}", line.p50_ms),
                format!("{:.2}", line.p99_ms),
                format!("{:.1}", line.rss_mib),
            ]);
        }
        let peers: String = self
            .peers
            .iter()
            .map(|p| format!("{} ({}): {}\n", p.who.told(), p.version, p.setup))
            .collect();
        let mut goals: String = self.goals.iter().map(Ratio::told).collect();
        if self.rows.iter().any(|row| row.line.failed > 0) {
            goals.push_str(
                "Runs with failures are compared with nothing, and are not to be quoted.\n",
            );
        }
        let Self { machine, version, seconds, .. } = self;
        let head = format!("{machine}\nMuster {version}, {seconds} s each\n{peers}");
        format!("{head}\n{}\n{goals}", table.print(paint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::measure::Taken;
    use crate::output::Color;
    use std::time::Duration;

    fn row(run: Run, who: Who, stored: u64, cpu_us: f64) -> Row {
        let wall = Duration::from_secs(1);
        let taken = Taken { wall, cpu_s: cpu_us / 1e4, rss_mib: 64.0, failed: 0 };
        Row::new(run, who, Line::counted("x", 100, &taken)).stored(stored)
    }

    fn report() -> Report {
        let rows = side_by_side(vec![
            row(Run::OcspFresh, Who::Openssl, 0, 90.0),
            row(Run::OcspFresh, Who::Muster, 0, 45.0),
            row(Run::IssueKept, Who::Openbao, 100_000, 1800.0),
            row(Run::IssueKept, Who::Openbao, 10_000, 1400.0),
            row(Run::IssueKept, Who::Openbao, 200_000, 2400.0),
            row(Run::IssueKept, Who::Muster, 1_000_000, 240.0),
            row(Run::IssueKept, Who::Muster, 10_000, 200.0),
            row(Run::IssueHybrid, Who::Muster, 10_000, 700.0),
        ]);
        let goals = goals(&rows);
        let peers = vec![PeerTold::new(Who::Openbao, "OpenBao v2", "one node")];
        Report { machine: "2 × X".into(), version: "0", seconds: 5, peers, rows, goals }
    }

    #[test]
    fn each_level_of_a_peer_stands_beside_the_same_level_of_ours() {
        let rows = report().rows;

        let told: Vec<_> =
            rows.iter().map(|r| (r.who, r.stored.unwrap(), r.times.map(f64::round))).collect();

        assert_eq!(
            told,
            [
                (Who::Muster, 10_000, None),
                (Who::Muster, 1_000_000, None),
                (Who::Openbao, 10_000, Some(7.0)),
                (Who::Openbao, 100_000, Some(8.0)),
                (Who::Openbao, 200_000, Some(10.0)),
                (Who::Muster, 10_000, None),
                (Who::Muster, 0, None),
                (Who::Openssl, 0, Some(2.0)),
            ]
        );
    }

    #[test]
    fn a_run_with_failures_is_compared_with_nothing_and_that_is_told() {
        let failed = |mut row: Row| {
            row.line.failed = 3;
            row
        };
        let theirs = || row(Run::OcspFresh, Who::Openssl, 0, 90.0);
        let ours = || row(Run::OcspFresh, Who::Muster, 0, 45.0);
        for rows in [vec![failed(theirs()), ours()], vec![theirs(), failed(ours())]] {
            let rows = side_by_side(rows);
            assert!(rows.iter().all(|row| row.times.is_none()));
            let goals = goals(&rows);
            assert!(goals.is_empty());
            let report = Report { rows, goals, ..report() };
            let told = report.told(Paint::decide(Color::Never, false));
            assert!(told.contains("are not to be quoted"), "{told}");
        }
    }

    #[test]
    fn goals_are_told_with_what_came_of_them() {
        let goals = report().goals;
        assert_eq!(goals.len(), 5);
        let flat = goals.last().unwrap();
        assert!(flat.reached && flat.name.contains("1000000 stored / 10000 stored"));
    }

    #[test]
    fn the_report_is_a_table_and_one_json_value() {
        let report = report();

        let told = report.told(Paint::decide(Color::Never, false));
        let json = serde_json::to_value(&report).unwrap();

        assert!(told.starts_with("2 × X\nMuster 0, 5 s each\nOpenBao (OpenBao v2): one node\n"));
        for wanted in ["×", "issuing, kept alive", "OpenBao / Muster", "7.0", "reached"] {
            assert!(told.contains(wanted), "{wanted}: {told}");
        }
        let first = &json["rows"][0];
        assert_eq!((&first["run"], &first["who"]), (&"issue-kept".into(), &"muster".into()));
        for member in ["stored", "count", "failed", "rate", "cpu_us", "p50_ms", "p99_ms", "rss_mib"]
        {
            assert!(first[member].is_number(), "{member}");
        }
        assert!(first["times"].is_null() && json["rows"][2]["times"].is_number());
        assert_eq!(json["peers"][0]["who"], "openbao");
    }
}
