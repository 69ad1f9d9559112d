//! Lists come in pages; a page says how to ask for the next one.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Rows that one page may have: a page of a thousand devices is about a megabyte.
pub const LIMIT_MAX: u32 = 1000;
/// Rows that a page has when nobody says how many.
pub const LIMIT_DEFAULT: u32 = 100;

/// A page of a list.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// What to send as `?after=` to get the next page; `null` on the last one.
    pub next: Option<String>,
}
