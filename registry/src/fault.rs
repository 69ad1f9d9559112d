//! What can go wrong with the file, sorted by whose move is next.

use std::fmt;

/// Why a registry does not open. Each sentence says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// Another process has it open.
    Locked,
    /// A newer Muster has written it.
    Newer {
        /// The version of its schema.
        found: u32,
        /// The newest that this program knows.
        known: u32,
    },
    /// It is not a registry.
    Foreign,
    /// It does not hold together; says where.
    Damaged(String),
    /// It cannot be read or written: permissions, disk full, I/O.
    Storage(String),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked => {
                f.write_str("another process has the registry open; stop it first, or use its API")
            }
            Self::Newer { found, known } => write!(
                f,
                "the registry was written by a newer muster (schema {found}, this one knows \
                 {known}); run that version, or restore a back-up"
            ),
            Self::Foreign => f.write_str("the file is not a registry of muster; name another file"),
            Self::Damaged(what) => {
                write!(f, "the registry is damaged: {what}; keep the file and restore a back-up")
            }
            Self::Storage(cause) => write!(
                f,
                "the registry cannot be opened: {cause}; check permissions and free space"
            ),
        }
    }
}

impl std::error::Error for OpenError {}

/// Why a question could not be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The file could not be read.
    Storage(String),
    /// A row says what it cannot say; names the table. Restore a back-up.
    Damaged(&'static str),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Storage(cause) => write!(f, "the registry cannot be read: {cause}"),
            Self::Damaged(table) => write!(f, "the registry is damaged: a row of `{table}`"),
        }
    }
}

impl std::error::Error for ReadError {}

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> Self {
        match error {
            rusqlite::Error::FromSqlConversionFailure(_, _, cause) => cause
                .downcast::<crate::rows::Torn>()
                .map_or_else(|other| Self::Storage(other.to_string()), |t| Self::Damaged(t.0)),
            other => Self::Storage(other.to_string()),
        }
    }
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked,
            Some(ErrorCode::NotADatabase) => Self::Foreign,
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged(error.to_string()),
            _ => match ReadError::from(error) {
                ReadError::Storage(cause) => Self::Storage(cause),
                damaged @ ReadError::Damaged(_) => Self::Damaged(damaged.to_string()),
            },
        }
    }
}
