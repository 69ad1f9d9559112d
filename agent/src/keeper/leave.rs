//! Leaving: the leaf is revoked, and what was got is wiped.

use super::Keeper;
use crate::Trouble;
use crate::credential::{self, Credential};
use crate::status::Memo;
use crate::store::{Locked, Stay, Store};
use crate::talk::Talk;

/// What is known of a device that has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// The server has revoked its leaf.
    Revoked,
    /// No server has said so.
    Unconfirmed,
    /// It had no leaf, and had asked for none.
    Nothing,
}

impl Keeper {
    /// Leaves: the server revokes the leaf, and what was got is wiped. With `anyway`, it is wiped
    /// also where the server was not reached.
    ///
    /// # Errors
    /// Where the server was not reached, or the disk does not take it.
    pub fn leave(&mut self, anyway: bool) -> Result<Left, Trouble> {
        let store = Store::lock(&self.config.state)?;
        let left = self.depart(&store, anyway);
        if let Err(trouble) = &left
            && store.stay() == Stay::Leaving
        {
            // Without room for the wait the server is asked again at once.
            drop(self.failed(&store, trouble));
        }
        left
    }

    /// That the device leaves is durable before the server is asked, and nothing from there on needs
    /// room on the disk. So a server that has revoked the leaf never meets a device that could not
    /// write that down, and joins again by itself.
    pub(super) fn depart(&mut self, store: &Locked, anyway: bool) -> Result<Left, Trouble> {
        let shown = match credential::in_use(store) {
            Err(trouble) if !anyway => {
                return Err(Trouble::Own(format!(
                    "{trouble}, so the server cannot be told: `muster-agent leave --anyway` wipes \
                     what is here"
                )));
            }
            shown => shown,
        };
        let had_any = !matches!(shown, Ok(None)) || !matches!(store.pending(), Ok(None));
        let before = store.stay();
        store.put_stay(Stay::Leaving)?;
        let mut left = if had_any { Left::Unconfirmed } else { Left::Nothing };
        if let Ok(Some((_, who))) = shown {
            let (said, may_be_done) = self.say_farewell(store, &who);
            match said {
                Ok(()) => left = Left::Revoked,
                // Who is refused has nothing left that could be revoked; a server without this
                // request has no such word.
                Err(Trouble::Refused { status: 401 | 403 | 404 | 405, .. }) => {}
                Err(_) if anyway => {}
                Err(trouble) => {
                    if !may_be_done {
                        store.put_stay(before)?;
                    }
                    return Err(trouble);
                }
            }
        }
        store.put_stay(Stay::Left)?;
        store.wipe()?;
        // What an old memo says does no harm to who has left.
        drop(store.put_memo(&Memo::default()));
        Ok(left)
    }

    /// Asks the server to revoke the leaf. Says also whether it may have done so although it did not
    /// say that: the connection was open, and no refusal came. One that failed (5xx) may have failed
    /// after the change was written.
    fn say_farewell(&mut self, store: &Locked, who: &Credential) -> (Result<(), Trouble>, bool) {
        match Talk::new(&self.config, store, &mut self.clock, &self.clocks) {
            Ok(mut talk) => {
                let said = talk.leave(who);
                let may_be_done = talk.server.is_some() && !is_refused(&said);
                (said, may_be_done)
            }
            Err(trouble) => (Err(trouble), false),
        }
    }

    /// Takes back that the device has left.
    ///
    /// # Errors
    /// Where the disk does not take it.
    pub fn come_back(&mut self) -> Result<(), Trouble> {
        Store::lock(&self.config.state)?.put_stay(Stay::Here)
    }
}

/// Whether the server surely did nothing of what it was asked.
const fn is_refused(said: &Result<(), Trouble>) -> bool {
    matches!(said, Err(Trouble::Refused { status: 400..=499, .. }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_says_that_nothing_was_done_and_a_failure_does_not() {
        let refused =
            |status| Err(Trouble::Refused { status, sentence: String::new(), after_s: None });
        assert!([400, 403, 429, 499].into_iter().all(|status| is_refused(&refused(status))));
        assert!(![302, 500, 503].into_iter().any(|status| is_refused(&refused(status))));
        assert!(!is_refused(&Err(Trouble::NoAnswer(String::new()))));
        assert!(!is_refused(&Err(Trouble::Later { after_s: 1 })));
    }
}
