//! Signals among asks: what a decision's facts say beyond the rule that refused, or beside a grant.

use crate::judge::Facts;
use crate::recognize::Recognized;
use identity::token::{Token, TokenId};
use identity::{Device, Refusal, RuleId, Signal};

/// What the facts of an ask say, kept while the judge has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hint {
    /// A token's secret was right.
    knows_token: bool,
    /// It names a serial number.
    token_names: bool,
    /// The CSR's key is the one of the device that was found.
    own_key: bool,
    /// A maker's certificate has the serial number of a device that came with another key.
    other_key: bool,
}

impl Hint {
    /// Looks at the facts before the judge takes them.
    #[must_use]
    pub fn of(recognized: &Recognized, facts: &Facts<'_>) -> Self {
        let known = |token: &&Token| match recognized {
            Recognized::Token { id, digest } => token.id == *id && token.digest == *digest,
            _ => false,
        };
        let token = facts.token.as_ref().filter(known);
        Self {
            knows_token: token.is_some(),
            token_names: token.is_some_and(|t| t.serial.is_some()),
            own_key: facts.device.as_ref().is_some_and(|d| facts.key.device == Some(d.id)),
            other_key: facts.device.as_ref().is_some_and(|d| came_otherwise(recognized, facts, d)),
        }
    }

    /// The token, where its secret was right.
    #[must_use]
    pub fn token(self, recognized: &Recognized) -> Option<&TokenId> {
        match recognized {
            Recognized::Token { id, .. } if self.knows_token => Some(id),
            _ => None,
        }
    }

    /// The signal of a decision, where it is one.
    #[must_use]
    pub fn signal<T>(self, judged: &Result<T, Refusal>) -> Option<Signal> {
        let Err(Refusal::Denied(rule)) = judged else {
            return (judged.is_ok() && self.other_key).then_some(Signal::SerialOfTwo);
        };
        match rule {
            // Who does not know the secret has guessed, and reused nothing.
            rule if *rule == RuleId::TOKEN_REFUSED => {
                self.knows_token.then_some(Signal::TokenReuse)
            }
            // A token that names nobody, and a serial number that somebody has: with his own key it
            // is himself.
            rule if *rule == RuleId::TOKEN_OTHER_SERIAL && !self.token_names => {
                (!self.own_key).then_some(Signal::SerialOfTwo)
            }
            rule => Signal::of_rule(rule),
        }
    }
}

/// Whether the device joined by this very door before, and with another key of the maker's.
fn came_otherwise(recognized: &Recognized, facts: &Facts<'_>, device: &Device) -> bool {
    let Recognized::Maker { door, .. } = recognized else { return false };
    let joined = facts.leaves.iter().filter(|l| l.closes).max_by_key(|l| l.generation);
    device.door.as_ref() == Some(door)
        && joined.is_some_and(|leaf| leaf.requester != recognized.requester())
}
