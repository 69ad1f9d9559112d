//! Pieces that the text forms of C2SP share: plain numbers, and hashes a line each.

use crate::Hash;
use data_encoding::BASE64;

/// Reads a number in decimal without leading zeros; `None` for any other spelling.
pub(crate) fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text)
}

/// Reads hashes in base64, a line each; `None` where one is not, or there are more than `most`.
pub(crate) fn hashes<'a>(lines: impl Iterator<Item = &'a str>, most: usize) -> Option<Vec<Hash>> {
    let mut found = Vec::new();
    for line in lines {
        if found.len() == most {
            return None;
        }
        found.push(BASE64.decode(line.as_bytes()).ok()?.try_into().ok()?);
    }
    Some(found)
}
