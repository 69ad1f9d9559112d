//! A production run: a file of units goes in, a directory of birth certificates comes out, and
//! however often it is interrupted and typed again, each unit has exactly one.
//!
//! [`read`] turns lines into [`Unit`]s and says which line is wrong before anything is sent.
//! [`line`] sends them in batches, a few at a time. For each batch [`place`] writes the units'
//! files, then [`results`] appends a line per unit and makes those lines durable: in that order, so
//! that a line vouches for its files. A pulled plug may still lose files whose line survived, but
//! the line has the certificate, and the next start writes them again. What has no line is asked
//! again, and the server answers with the certificate that the unit has. [`receipts`] come last.

mod csv;
mod line;
mod place;
mod read;
pub(crate) mod receipts;
mod results;

pub(crate) use line::{Line, Run, Summary};
pub(crate) use place::{Parcel, write_whole};
pub(crate) use read::{Unit, Units, csr_text, survey};
pub(crate) use results::Results;

/// What names a unit in this realm: SHA-256 over the realm's root and all that the line said. The
/// same unit with another key is another request.
pub(crate) type Digest = [u8; 32];
