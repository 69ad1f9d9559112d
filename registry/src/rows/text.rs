//! Lists and pairs of words in one column: one word a line, so that a row reads well in any SQL
//! shell.
//!
//! Words come without control characters from `identity`'s checks; a backslash escape keeps the
//! form exact even for those that do not.

/// Packs words, one a line.
pub(crate) fn pack<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let mut out = String::new();
    for word in words {
        escape(word, &mut out);
        out.push('\n');
    }
    out
}

/// Packs pairs: a key's line, then its value's.
pub(crate) fn pack_pairs<'a>(pairs: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    pack(pairs.into_iter().flat_map(|(key, value)| [key.as_str(), value.as_str()]))
}

/// Reads what [`pack`] wrote.
pub(crate) fn unpack(text: &str) -> impl Iterator<Item = String> {
    text.split_terminator('\n').map(unescape)
}

/// Reads what [`pack_pairs`] wrote.
pub(crate) fn unpack_pairs(text: &str) -> impl Iterator<Item = (String, String)> {
    let mut words = unpack(text);
    std::iter::from_fn(move || Some((words.next()?, words.next().unwrap_or_default())))
}

fn escape(word: &str, out: &mut String) {
    for c in word.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}

fn unescape(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => out.push(if rest.next() == Some('n') { '\n' } else { '\\' }),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back_as_they_went() {
        for words in [vec![], vec![""], vec!["a", "b\\n", "c\nd", "\\"], vec!["", ""]] {
            let back: Vec<String> = unpack(&pack(words.iter().copied())).collect();
            assert_eq!(back, words);
        }
    }
}
