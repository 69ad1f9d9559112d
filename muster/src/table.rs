//! Tables for people: aligned columns, cut to the width of a terminal and never in a file or a
//! pipe.

use crate::output::{Paint, plain};
use std::io::IsTerminal;

/// Rows under a heading.
pub(crate) struct Table {
    heads: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

/// Between two columns.
const GAP: usize = 2;
/// A column is never cut below this: less than eight characters of a UUID name nothing.
const COLUMN_MIN: usize = 8;

impl Table {
    /// A table without rows.
    pub(crate) fn new(heads: &[&'static str]) -> Self {
        Self { heads: heads.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; members beyond the heading are left out, absent ones are empty.
    pub(crate) fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        let mut row: Vec<String> = cells.into_iter().map(|c| plain(&c.into())).collect();
        row.resize(self.heads.len(), String::new());
        self.rows.push(row);
    }

    /// The table for stdout: cut to its width if that is a terminal.
    pub(crate) fn print(&self, paint: Paint) -> String {
        let terminal = std::io::stdout().is_terminal();
        self.render(paint, if terminal { width() } else { None })
    }

    /// The table in at most `width` columns.
    pub(crate) fn render(&self, paint: Paint, width: Option<usize>) -> String {
        let widths = self.widths(width);
        let heads: Vec<String> = self.heads.iter().map(|h| (*h).to_owned()).collect();
        let mut out = paint.strong(&line(&heads, &widths));
        for row in &self.rows {
            out.push('\n');
            out.push_str(&line(row, &widths));
        }
        out
    }

    fn widths(&self, limit: Option<usize>) -> Vec<usize> {
        let natural = |i: usize, head: &str| {
            let cells = self.rows.iter().filter_map(|r| r.get(i)).map(|c| c.chars().count());
            cells.chain([head.chars().count()]).max().unwrap_or_default()
        };
        let mut widths: Vec<usize> =
            self.heads.iter().enumerate().map(|(i, h)| natural(i, h)).collect();
        let Some(limit) = limit else { return widths };
        let gaps = GAP * widths.len().saturating_sub(1);
        while widths.iter().sum::<usize>() + gaps > limit {
            // The widest gives first, and of equal ones the last: the first column is the name.
            let Some(widest) = widths.iter_mut().filter(|w| **w > COLUMN_MIN).max() else { break };
            *widest -= 1;
        }
        widths
    }
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let mut out = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        let shown = cut(cell, *width);
        let pad = width.saturating_sub(shown.chars().count()) + GAP;
        out.push_str(&shown);
        out.extend(std::iter::repeat_n(' ', pad));
    }
    out.trim_end().to_owned()
}

fn cut(cell: &str, width: usize) -> String {
    if cell.chars().count() <= width {
        return cell.to_owned();
    }
    cell.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

fn width() -> Option<usize> {
    // Below 20 columns a cut table says less than a wrapped one.
    terminal_size::terminal_size().map(|(w, _)| usize::from(w.0)).filter(|w| *w >= 20)
}

/// Members of one thing, a line each; absent ones are left out.
pub(crate) fn members<'a>(
    paint: Paint,
    pairs: impl IntoIterator<Item = (&'a str, Option<String>)>,
) -> String {
    let said: Vec<(&str, String)> = pairs
        .into_iter()
        .filter_map(|(k, v)| v.filter(|v| !v.is_empty()).map(|v| (k, plain(&v))))
        .collect();
    let widest = said.iter().map(|(k, _)| k.len()).max().unwrap_or_default();
    let lines = said.iter().map(|(k, v)| format!("{}  {v}", paint.strong(&format!("{k:widest$}"))));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Color;

    fn devices() -> Table {
        let mut table = Table::new(&["ID", "STANDING"]);
        table.row(["0190a5b2-7c3d-7000-8000-000000000001", "born"]);
        table.row(["0190", "enrolled"]);
        table
    }

    fn bare() -> Paint {
        Paint::decide(Color::Never, false)
    }

    #[test]
    fn columns_are_aligned_and_lines_have_no_trailing_space() {
        let text = devices().render(bare(), None);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0].find("STANDING"), Some(38));
        assert_eq!(lines[2].find("enrolled"), Some(38));
        assert!(lines.iter().all(|l| !l.ends_with(' ')));
    }

    #[test]
    fn the_widest_column_is_cut_to_the_terminal_and_says_so() {
        let text = devices().render(bare(), Some(30));
        assert!(text.lines().all(|l| l.chars().count() <= 30), "{text}");
        assert!(text.contains('…') && text.contains("enrolled"));
    }

    #[test]
    fn a_row_with_too_few_or_too_many_cells_still_stands() {
        let mut table = Table::new(&["A", "B"]);
        table.row(["1"]);
        table.row(["1", "2", "3"]);
        assert_eq!(table.render(bare(), None), "A  B\n1\n1  2");
    }

    #[test]
    fn absent_members_are_left_out() {
        let text = members(bare(), [("id", Some("1".to_owned())), ("model", None)]);
        assert_eq!(text, "id  1");
    }
}
