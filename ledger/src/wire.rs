//! Pieces that the text forms of C2SP share: plain numbers, and hashes a line each.

use crate::Hash;
use data_encoding::BASE64;

/// Reads a number in decimal without leading zeros; `None` for any other spelling.
pub(crate) fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text)
}

/// Reads base64 in its one spelling; `None` for any other: padded pieces behind each other would be
/// read, too, and then two texts would say the same.
pub(crate) fn octets(text: &str) -> Option<Vec<u8>> {
    let octets = BASE64.decode(text.as_bytes()).ok()?;
    (BASE64.encode(&octets) == text).then_some(octets)
}

/// Reads hashes in base64, a line each; `None` where one is not, or there are more than `most`.
pub(crate) fn hashes<'a>(lines: impl Iterator<Item = &'a str>, most: usize) -> Option<Vec<Hash>> {
    let mut found = Vec::new();
    for line in lines {
        if found.len() == most {
            return None;
        }
        found.push(octets(line)?.try_into().ok()?);
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_has_one_spelling() {
        assert_eq!(octets("AQID"), Some(vec![1, 2, 3]));
        assert_eq!(octets("AQ==AgM="), None);
        assert_eq!(octets("AQ"), None);
        assert_eq!(octets("AR=="), None);
    }
}
