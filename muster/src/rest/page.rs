//! Lists, a page at a time behind the scenes.

use super::Rest;
use crate::failure::Outcome;
use api::Page;
use api::page::LIMIT_MAX;
use api::path::encode;
use serde::de::DeserializeOwned;

/// What a list is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(&'static str, String)>);

impl Query {
    /// Adds a member, where something was said.
    #[must_use]
    pub(crate) fn with(mut self, key: &'static str, value: Option<impl ToString>) -> Self {
        self.0.extend(value.map(|v| (key, v.to_string())));
        self
    }

    /// Adds a member for each value.
    #[must_use]
    pub(crate) fn with_all(mut self, key: &'static str, values: &[String]) -> Self {
        self.0.extend(values.iter().map(|v| (key, v.clone())));
        self
    }

    /// The path with the query behind it.
    pub(crate) fn on(&self, path: &str) -> String {
        let pairs: Vec<String> =
            self.0.iter().map(|(k, v)| format!("{k}={}", encode(v))).collect();
        if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
    }
}

impl Rest {
    /// All rows of a list, or the first `limit`.
    pub(crate) async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &Query,
        limit: Option<usize>,
    ) -> Outcome<Vec<T>> {
        let wanted = limit.unwrap_or(usize::MAX);
        let mut rows: Vec<T> = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let rest = u32::try_from(wanted - rows.len()).unwrap_or(u32::MAX).min(LIMIT_MAX);
            let page = query.clone().with("limit", Some(rest)).with("after", after.take());
            let page: Page<T> = self.get(page.on(path)).await?;
            rows.extend(page.items.into_iter().take(wanted - rows.len()));
            match page.next {
                Some(next) if rows.len() < wanted => after = Some(next),
                _ => return Ok(rows),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_holds_what_was_said_and_nothing_else() {
        let query = Query::default().with("group", Some("a b")).with("model", None::<String>);
        assert_eq!(query.on("/api/v1/devices"), "/api/v1/devices?group=a%20b");
        assert_eq!(Query::default().on("/x"), "/x");
    }
}
