//! Lists in pages. A cursor is the key of the last row that was given; it says nothing that the row
//! did not, and it stays good when rows come and go.

use super::refuse::{Refused, limit_out_of_bounds};
use api::Page;
use api::page::{LIMIT_DEFAULT, LIMIT_MAX};
use serde::Deserialize;
use utoipa::IntoParams;

/// What every list takes.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Window {
    /// The cursor that the page before gave as `next`.
    pub(crate) after: Option<String>,
    /// Rows of a page.
    #[param(minimum = 1, maximum = 1000)]
    pub(crate) limit: Option<u32>,
}

/// The number of rows that was asked for.
pub(crate) fn limit(asked: Option<u32>) -> Result<usize, Refused> {
    match asked.unwrap_or(LIMIT_DEFAULT) {
        n @ 1..=LIMIT_MAX => usize::try_from(n).map_err(|_| limit_out_of_bounds()),
        _ => Err(limit_out_of_bounds()),
    }
}

/// Reads a cursor.
pub(crate) fn cursor<T>(
    after: Option<&str>,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, Refused> {
    let wrong = || Refused::Malformed("`after` is not a cursor of this list".to_owned());
    after.map(|text| read(text).ok_or_else(wrong)).transpose()
}

/// Makes a page of rows, of which at most `limit` were asked for. A full page has a `next`, which
/// may turn out to be empty: the registry gives no row more than fits.
pub(crate) fn page<R, V>(
    rows: Vec<R>,
    limit: usize,
    key: impl Fn(&R) -> String,
    view: impl Fn(&R) -> V,
) -> Page<V> {
    let next = rows.last().filter(|_| rows.len() >= limit).map(key);
    Page { items: rows.iter().map(view).collect(), next }
}

/// A page of a list that is whole in memory, sorted by `key`.
pub(crate) fn window<R: Clone, V>(
    rows: &[R],
    asked: &Window,
    key: impl Fn(&R) -> String,
    view: impl Fn(&R) -> V,
) -> Result<Page<V>, Refused> {
    let limit = limit(asked.limit)?;
    let later = |row: &&R| asked.after.as_ref().is_none_or(|after| key(row) > *after);
    let mut rows: Vec<R> = rows.iter().filter(later).cloned().collect();
    rows.sort_by_key(&key);
    rows.truncate(limit);
    Ok(page(rows, limit, key, view))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_join_up_to_the_whole_list() {
        let rows: Vec<u32> = (0..25).collect();
        let key = |n: &u32| format!("{n:03}");
        let mut seen = Vec::new();
        let mut asked = Window { after: None, limit: Some(10) };
        loop {
            let page = window(&rows, &asked, key, |n| *n).unwrap();
            seen.extend(page.items);
            match page.next {
                Some(next) => asked.after = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, rows);
    }

    #[test]
    fn a_page_of_nothing_or_of_too_much_is_refused() {
        assert!(limit(Some(0)).is_err());
        assert!(limit(Some(LIMIT_MAX + 1)).is_err());
        assert_eq!(limit(None).unwrap(), 100);
    }
}
