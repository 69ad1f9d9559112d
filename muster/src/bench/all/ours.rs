//! Muster's own rows: a fresh server that is filled, and loaded at each level.

use super::report::{Row, Run, Who};
use crate::bench::enroll::{self, Enroll, Run as How};
use crate::bench::field::{Field, wrong};
use crate::bench::{birth, start};
use crate::failure::Outcome;

/// What is run at the first level.
const FIRST: [(Run, How); 4] = [
    (Run::IssueKept, How::Kept),
    (Run::IssueFresh, How::Fresh),
    (Run::IssueHybrid, How::Hybrid),
    (Run::IssueOpen, How::Open),
];

/// Births, enrollment with so many devices in the registry, and the starts.
pub(super) async fn rows(levels: &[u64], enroll: &Enroll) -> Outcome<Vec<Row>> {
    let field = Field::open().await?;
    let empty = start::line("start on an empty home".to_owned(), &field);
    let mut rows = vec![Row::new(Run::Start, Who::Muster, empty)];
    let (mut born, mut leaves) = (0, 0);
    for (nth, level) in levels.iter().enumerate() {
        let wanted = usize::try_from(*level).map_err(wrong)?.saturating_sub(born);
        if wanted > 0 {
            let line = birth::measured(&field, born, wanted).await?;
            born += wanted;
            rows.push(Row::new(Run::Birth, Who::Muster, line));
        }
        // What grows dearer with more devices shows in the first two.
        for (run, how) in FIRST.into_iter().take(if nth == 0 { 4 } else { 2 }) {
            let before = leaves;
            let line = enroll::one(&field, enroll, how, &mut born).await?;
            leaves += line.count;
            rows.push(Row::new(run, Who::Muster, line).stored(born as u64 + before));
        }
    }
    let field = field.restart().await?;
    let name = format!("start with {born} devices, after SIGKILL");
    let row = Row::new(Run::StartFull, Who::Muster, start::line(name, &field));
    rows.push(row.stored(born as u64 + leaves));
    Ok(rows)
}
