//! Comma-separated values (RFC 4180), as spreadsheets and production systems write them: quoted
//! fields may hold commas, doubled quotes and line breaks.

use super::read::Lines;
use crate::failure::{Failure, Outcome};
use std::io::BufRead;

/// Records of a file; the first is the heading.
pub(super) struct Records<R>(Lines<R>);

impl<R: BufRead> Records<R> {
    /// Records from lines.
    pub(super) const fn new(lines: Lines<R>) -> Self {
        Self(lines)
    }

    /// The next record and the line that it begins in.
    pub(super) fn next(&mut self) -> Outcome<Option<(u64, Vec<String>)>> {
        let Some((first, mut text)) = self.0.next()? else { return Ok(None) };
        loop {
            if let Some(fields) = split(&text).map_err(|what| at(first, what))? {
                return Ok(Some((first, fields)));
            }
            let Some((_, more)) = self.0.next_raw()? else {
                return Err(at(first, "a quoted field does not end"));
            };
            text.push('\n');
            text.push_str(&more);
            self.0.bound(first, text.len())?;
        }
    }
}

fn at(line: u64, what: &str) -> Failure {
    Failure::new(format!("line {line}: {what}"))
}

/// The fields of a record; `None` where a quoted field goes on in the next line.
fn split(text: &str) -> Result<Option<Vec<String>>, &'static str> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let (field, after) = match rest.strip_prefix('"') {
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let (field, after) = rest.split_at(end);
                if field.contains('"') {
                    return Err("a quote stands inside a field that does not begin with one");
                }
                (field.to_owned(), after)
            }
            Some(quoted) => match unquote(quoted) {
                None => return Ok(None),
                Some(found) => found,
            },
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(Some(fields)),
            None => return Err("something stands behind the closing quote of a field"),
        }
    }
}

/// The field up to its closing quote, doubled quotes single, and what stands behind.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (inside, after) = rest.split_once('"')?;
        field.push_str(inside);
        match after.strip_prefix('"') {
            Some(next) => {
                field.push('"');
                rest = next;
            }
            None => return Some((field, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<(u64, Vec<String>)> {
        let mut records = Records::new(Lines::new(text.as_bytes()));
        std::iter::from_fn(|| records.next().unwrap()).collect()
    }

    #[test]
    fn quoted_fields_hold_commas_quotes_and_line_breaks() {
        let found = all("a,b\r\n\"x,y\",\"he said \"\"no\"\"\"\r\n\"one\ntwo\",\n\nlast,1");
        let fields: Vec<Vec<String>> = found.iter().map(|(_, f)| f.clone()).collect();
        assert_eq!(fields[1], ["x,y", "he said \"no\""]);
        assert_eq!(fields[2], ["one\ntwo", ""]);
        assert_eq!(found.iter().map(|(l, _)| *l).collect::<Vec<_>>(), [1, 2, 3, 6]);
    }

    #[test]
    fn a_broken_record_says_where() {
        for (text, says) in [
            ("a\n\"b", "line 2: a quoted field does not end"),
            ("a\nb\"c", "line 2: a quote stands inside"),
            ("\"a\"b", "line 1: something stands behind"),
        ] {
            let mut records = Records::new(Lines::new(text.as_bytes()));
            let failure = loop {
                match records.next() {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("{text} was read"),
                    Err(failure) => break failure,
                }
            };
            assert!(failure.what().starts_with(says), "{}", failure.what());
        }
    }
}
