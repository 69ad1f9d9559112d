//! What operators say in words, bounded before anybody believes it.

use super::refuse::Refused;
use identity::GroupName;

/// Characters of a reason or another remark: a sentence for the ledger, not a report.
const REMARK_CHARS_MAX: usize = 256;
/// Characters of the name of a door, a profile or a setting.
const NAME_CHARS_MAX: usize = 64;

/// The name of a group.
pub(crate) fn group(text: &str) -> Result<GroupName, Refused> {
    GroupName::parse(text).ok_or_else(|| {
        Refused::Malformed("a group is 1 to 64 of letters, digits and `-_.`".to_owned())
    })
}

/// The names of groups.
pub(crate) fn groups<B: FromIterator<GroupName>>(texts: &[String]) -> Result<B, Refused> {
    texts.iter().map(|text| group(text)).collect()
}

/// The name of a door or a profile.
pub(crate) fn name(what: &str, text: &str) -> Result<String, Refused> {
    match GroupName::parse(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err(Refused::Malformed(format!(
            "{what} is named with 1 to {NAME_CHARS_MAX} of letters, digits and `-_.`"
        ))),
    }
}

/// A sentence for the ledger.
pub(crate) fn remark(member: &str, text: &str) -> Result<String, Refused> {
    bounded(member, text, REMARK_CHARS_MAX)
}

/// A printable text of at most `chars_max`.
pub(crate) fn bounded(member: &str, text: &str, chars_max: usize) -> Result<String, Refused> {
    if text.chars().count() > chars_max {
        let sentence = format!("`{member}` has at most {chars_max} characters");
        return Err(Refused::Malformed(sentence));
    }
    if text.chars().any(char::is_control) {
        return Err(Refused::Malformed(format!("`{member}` has a control character")));
    }
    Ok(text.to_owned())
}

/// A whole number within bounds.
pub(crate) fn within(member: &str, value: u64, least: u64, most: u64) -> Result<u64, Refused> {
    match (least..=most).contains(&value) {
        true => Ok(value),
        false => Err(Refused::Malformed(format!("`{member}` is from {least} to {most}"))),
    }
}
