//! A leaf with everything that a program needs to use it, in a directory that never changes once it
//! has its name. What became of it is noted beside, in files of their own.

use super::disk;
use crate::Trouble;
use identity::Certificate;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A leaf, its authorities up to the root, and some to spare.
const CHAIN_MAX: usize = 8;

/// A set that was made durable.
#[derive(Debug)]
pub struct Set {
    /// Its number; a later one is higher.
    pub number: u64,
    /// The leaf, then those that signed, without the root.
    pub chain: Vec<Certificate>,
    dir: PathBuf,
}

/// What became of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The server has accepted it.
    Worked,
    /// The programs that use it were told.
    Announced,
    /// What the device had to report was accepted; the mark holds its digest.
    Reported,
    /// The server has said that it is revoked, or was replaced by a newer one.
    Over,
}

impl Mark {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Worked => "worked",
            Self::Announced => "announced",
            Self::Reported => "reported",
            Self::Over => "over",
        }
    }
}

impl Set {
    pub(super) fn read(sets: &Path, number: u64) -> Result<Option<Self>, Trouble> {
        let dir = sets.join(number.to_string());
        let Some(text) = super::read_text(&dir.join("full.pem"))? else { return Ok(None) };
        let chain = Certificate::parse_pem(&text, CHAIN_MAX).map_err(|e| {
            Trouble::Damaged(format!("`{}` is damaged: {e}", dir.join("full.pem").display()))
        })?;
        Ok(Some(Self { number, chain, dir }))
    }

    /// The leaf.
    #[must_use]
    pub fn leaf(&self) -> Option<&Certificate> {
        self.chain.first()
    }

    /// The private key in PEM.
    ///
    /// # Errors
    /// Where others may read it, or it is not there.
    pub fn key(&self) -> Result<Zeroizing<Vec<u8>>, Trouble> {
        super::read_secret(&self.key_path())
    }

    /// Where that is.
    #[must_use]
    pub fn key_path(&self) -> PathBuf {
        self.dir.join("key.pem")
    }

    /// What a mark says; `None` where it was not made.
    #[must_use]
    pub fn mark(&self, mark: Mark) -> Option<String> {
        super::read_text(&self.dir.join(mark.as_str())).ok().flatten()
    }
}

/// An answer that is about to become a set.
#[derive(Debug)]
pub struct NewSet<'a> {
    /// The leaf.
    pub leaf: &'a Certificate,
    /// Its private key in PEM.
    pub key: &'a [u8],
    /// Those that signed, without the root.
    pub authorities: &'a [Certificate],
    /// Whom programs shall trust.
    pub roots: &'a [Certificate],
}

impl NewSet<'_> {
    /// Writes it, whole or not at all.
    pub(super) fn write(&self, sets: &Path, number: u64) -> Result<(), Trouble> {
        let dir = sets.join(number.to_string());
        let beside = disk::beside(&dir);
        disk::remove_dir(&beside)?;
        disk::private_dir(&beside)?;
        let pem = |of: &[Certificate]| of.iter().map(Certificate::pem).collect::<String>();
        let (leaf, chain) = (self.leaf.pem(), pem(self.authorities));
        disk::write_new(&beside.join("cert.pem"), leaf.as_bytes())?;
        disk::write_new(&beside.join("key.pem"), self.key)?;
        disk::write_new(&beside.join("chain.pem"), chain.as_bytes())?;
        disk::write_new(&beside.join("full.pem"), format!("{leaf}{chain}").as_bytes())?;
        disk::write_new(&beside.join("root.pem"), pem(self.roots).as_bytes())?;
        disk::sync(&beside)?;
        disk::rename(&beside, &dir)
    }
}
