//! Tokens that were asked for lately. A whole batch of devices often comes with one token, and each
//! of them would read the same row: after every commit SQLite fetches its pages anew, which cost a
//! twentieth of an enrollment.
//!
//! A commit that touches tokens forgets them all before it is answered, so that nobody who knows of
//! a revocation finds the token as it was before. The writer looks at the row itself before it
//! takes a use ([`crate::Clash::TokenSpent`]).

use crate::realm::RealmKey;
use identity::token::{Token, TokenId};
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

/// Tokens that are kept: some hundred octets each. A fleet with a token for each device gains
/// nothing by them, and is not held up.
const KEPT_MAX: usize = 256;

#[derive(Default)]
pub(crate) struct Tokens(RwLock<Kept>);

#[derive(Default)]
struct Kept {
    /// How often they were forgotten.
    turn: u64,
    tokens: HashMap<(RealmKey, TokenId), Token>,
}

impl Tokens {
    /// The token, as it is kept or as `read` finds it. What was read while the writer forgot is
    /// handed out, as any answer of that moment is, and not kept.
    pub(crate) fn get<E>(
        &self,
        (realm, id): (RealmKey, &TokenId),
        read: impl FnOnce() -> Result<Option<Token>, E>,
    ) -> Result<Option<Token>, E> {
        let name = (realm, id.clone());
        let turn = {
            let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(token) = kept.tokens.get(&name) {
                return Ok(Some(token.clone()));
            }
            kept.turn
        };
        let found = read()?;
        if let Some(token) = &found {
            let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
            if kept.turn == turn {
                if kept.tokens.len() >= KEPT_MAX {
                    kept.tokens.clear();
                }
                kept.tokens.insert(name, token.clone());
            }
        }
        Ok(found)
    }

    /// After a commit that touched a token, and before its answer.
    pub(crate) fn forget(&self) {
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        kept.turn = kept.turn.wrapping_add(1);
        kept.tokens.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    const REALM: RealmKey = RealmKey(1);

    fn id() -> TokenId {
        TokenId::parse("AAAAAAAAAAAAAAAA").unwrap()
    }

    fn token(uses_left: u32) -> Token {
        Token {
            id: id(),
            digest: [7; 32],
            uses_left,
            uses: 9,
            made: identity::UnixTime::default(),
            ends: identity::UnixTime::default(),
            groups: std::collections::BTreeSet::new(),
            serial: None,
            revoked: None,
            by: "admin".into(),
        }
    }

    fn get(tokens: &Tokens, read: impl FnOnce() -> Option<Token>) -> Option<u32> {
        let found: Result<_, Infallible> = tokens.get((REALM, &id()), || Ok(read()));
        found.unwrap().map(|token| token.uses_left)
    }

    #[test]
    fn a_token_is_read_once_until_it_is_touched() {
        let tokens = Tokens::default();
        assert_eq!(get(&tokens, || Some(token(3))), Some(3));
        assert_eq!(get(&tokens, || unreachable!("it is kept")), Some(3));
        tokens.forget();
        assert_eq!(get(&tokens, || Some(token(2))), Some(2));
    }

    #[test]
    fn what_was_read_before_a_commit_is_not_kept_behind_it() {
        let tokens = Tokens::default();
        let meanwhile = || {
            tokens.forget();
            Some(token(3))
        };
        assert_eq!(get(&tokens, meanwhile), Some(3));
        assert_eq!(get(&tokens, || Some(token(2))), Some(2));
    }

    #[test]
    fn that_there_is_none_is_not_kept() {
        let tokens = Tokens::default();
        assert_eq!(get(&tokens, || None), None);
        assert_eq!(get(&tokens, || Some(token(1))), Some(1));
    }
}
