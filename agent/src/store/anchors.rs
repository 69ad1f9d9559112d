//! Whom the device trusts, and the pin under which they were found.

use super::{Locked, Store, disk, read_text};
use crate::Trouble;
use identity::Certificate;
use std::path::PathBuf;

/// Authorities that we may trust at once: two roots of a roll-over, and room for a third.
const ANCHORS_MAX: usize = 8;

/// What stands before the pin under which they were found: in their own file, so that none is there
/// without the others.
const PINNED: &str = "# root_pin ";
/// What stands there where no pin was configured.
const UNPINNED: &str = "none";

impl Store {
    /// Whom we trust; none before the first contact.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn anchors(&self) -> Result<Vec<Certificate>, Trouble> {
        let path = self.anchors_path();
        let Some(text) = read_text(&path)? else { return Ok(Vec::new()) };
        Certificate::parse_pem(&text, ANCHORS_MAX)
            .map_err(|e| Trouble::Damaged(format!("`{}` is damaged: {e}", path.display())))
    }

    /// Whether those were found under another pin than this one. Nobody knows where the file does
    /// not say it, and then they stay: they may be newer than every root that is configured.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn is_of_another_pin(&self, pin: &str) -> Result<bool, Trouble> {
        Ok(self.anchors_pin()?.is_some_and(|kept| kept != pin))
    }

    fn anchors_pin(&self) -> Result<Option<String>, Trouble> {
        let text = read_text(&self.anchors_path())?.unwrap_or_default();
        Ok(text.lines().find_map(|line| line.strip_prefix(PINNED)).map(|pin| pin.trim().to_owned()))
    }

    fn anchors_path(&self) -> PathBuf {
        self.root.join("anchors.pem")
    }
}

impl Locked {
    /// Keeps whom we trust from now on, and under which pin they were found.
    ///
    /// # Errors
    /// Where the disk does not take it.
    pub fn found_anchors(&self, found: &[Certificate], pin: Option<&str>) -> Result<(), Trouble> {
        self.write_anchors(found, Some(pin.unwrap_or(UNPINNED)))
    }

    /// Keeps whom we trust after those that are kept.
    ///
    /// # Errors
    /// Where the disk does not take it.
    pub fn put_anchors(&self, anchors: &[Certificate]) -> Result<(), Trouble> {
        self.write_anchors(anchors, self.anchors_pin()?.as_deref())
    }

    fn write_anchors(&self, anchors: &[Certificate], pin: Option<&str>) -> Result<(), Trouble> {
        let pin = pin.map(|pin| format!("{PINNED}{pin}\n"));
        let text: String = pin.into_iter().chain(anchors.iter().map(Certificate::pem)).collect();
        // What cannot be read is made anew.
        if matches!(read_text(&self.anchors_path()), Ok(Some(kept)) if kept == text) {
            return Ok(());
        }
        disk::replace(&self.anchors_path(), text.as_bytes())
    }
}
