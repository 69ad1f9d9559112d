//! What somebody showed, and whether we know whose it is. The handshake proved possession of the first certificate's
//! key and nothing else; here its chain, its dates and its usages are looked at, on every request.
//!
//! A certificate of ours or of a maker wins over a token; a certificate that nobody here knows counts for nothing.

mod maker;
#[cfg(test)]
mod tests;

use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280;
use identity::ask::Shown;
use identity::authority::{Authority, AuthorityState, Role};
use identity::credential::Requester;
use identity::door::Door;
use identity::token::TokenId;
use identity::{Certificate, DeviceId, Identifiers, Refusal, RuleId, Serial, SpkiHash, UnixTime};

/// Whom a realm believes.
#[derive(Clone, Copy)]
pub struct Trust<'a> {
    /// Its own authorities, barred ones too.
    pub authorities: &'a [Authority],
    /// Its doors, closed ones too.
    pub doors: &'a [Door],
}

/// What was shown, its proof held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recognized {
    /// A birth certificate of ours.
    Birth {
        /// Its serial number.
        serial: Serial,
        /// The device that it names.
        device: DeviceId,
        /// Its key.
        spki: SpkiHash,
    },
    /// A leaf of ours. It may have ended: `judge` knows about grace.
    Leaf {
        /// Its serial number.
        serial: Serial,
        /// The device that it names.
        device: DeviceId,
        /// Its key.
        spki: SpkiHash,
    },
    /// A maker's IDevID, at a door that is open.
    Maker {
        /// The name of the door.
        door: String,
        /// Maker, model and serial number, as the door reads them.
        identifiers: Box<Identifiers>,
        /// Its key.
        spki: SpkiHash,
    },
    /// A join token. Whether its secret is right is for `judge` to say, which has the stored digest.
    Token {
        /// Which.
        id: TokenId,
        /// SHA-256 of the secret that was shown.
        digest: [u8; 32],
    },
}

impl Recognized {
    /// What proved the requester, by which a retry is known again.
    #[must_use]
    pub fn requester(&self) -> Requester {
        match self {
            Self::Birth { spki, .. } | Self::Leaf { spki, .. } | Self::Maker { spki, .. } => {
                Requester::key(spki)
            }
            Self::Token { id, .. } => Requester::token(id.as_str()),
        }
    }
}

/// Says what was shown.
///
/// # Errors
/// Why it is not believed.
pub fn recognize(
    shown: &Shown,
    trust: &Trust<'_>,
    now: UnixTime,
) -> Result<Recognized, Refusal> {
    todo!()
}
