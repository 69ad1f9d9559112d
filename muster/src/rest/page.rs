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

    /// The path with the query behind it.
    pub(crate) fn on(&self, path: &str) -> String {
        let pairs: Vec<String> = self.0.iter().map(|(k, v)| format!("{k}={}", encode(v))).collect();
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
        while rows.len() < wanted {
            let left = u32::try_from(wanted - rows.len()).unwrap_or(u32::MAX);
            let page: Page<T> = self.page(path, query, left, after.take()).await?;
            rows.extend(page.items.into_iter().take(wanted - rows.len()));
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        Ok(rows)
    }

    /// One page of a list of at most `limit` rows, behind the one that named `after`.
    pub(crate) async fn page<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &Query,
        limit: u32,
        after: Option<String>,
    ) -> Outcome<Page<T>> {
        let limit = limit.min(LIMIT_MAX);
        let query = query.clone().with("limit", Some(limit)).with("after", after);
        self.get(query.on(path)).await
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
