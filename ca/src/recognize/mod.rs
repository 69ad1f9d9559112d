//! What somebody showed, and whether we know whose it is. The handshake proved possession of the
//! first certificate's key and nothing else; here its chain, its dates and its usages are looked
//! at, on every request.
//!
//! A certificate of ours or of a maker wins over a token; a certificate that nobody here knows
//! counts for nothing.

mod maker;
#[cfg(test)]
mod tests;

use crate::wire::shape::{ANY_USE, CLIENT};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280;
use identity::ask::Shown;
use identity::authority::{Authority, AuthorityState, Role};
use identity::credential::Requester;
use identity::door::Door;
use identity::token::TokenId;
use identity::{
    Certificate, Credential, Defect, DeviceId, Identifiers, Refusal, RuleId, Serial, SpkiHash,
    UnixTime,
};
use x509_cert::ext::pkix::KeyUsage;

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
    /// A join token. Whether its secret is right is for `judge` to say, which has the stored
    /// digest.
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
pub fn recognize(shown: &Shown, trust: &Trust<'_>, now: UnixTime) -> Result<Recognized, Refusal> {
    recognize_recorded(shown, None, trust, now)
}

/// Says what was shown, where the host has already looked up the record with the serial number of
/// the holder's certificate. A certificate that is, octet by octet, the one in our records was
/// signed by us, and its signature, the dearest part of a request, needs no second look; everything
/// else is judged as ever.
///
/// # Errors
/// Why it is not believed.
pub fn recognize_recorded(
    shown: &Shown,
    record: Option<&Credential>,
    trust: &Trust<'_>,
    now: UnixTime,
) -> Result<Recognized, Refusal> {
    if let Some(holder) = shown.chain.first() {
        if let Some(authority) = issuer(holder, record, trust.authorities) {
            return ours(holder, authority, now);
        }
        if let Some(found) = maker::recognize(&shown.chain, trust.doors, now)? {
            return Ok(found);
        }
    }
    match &shown.token {
        Some(t) => Ok(Recognized::Token { id: t.id.clone(), digest: t.secret.digest() }),
        None if shown.chain.is_empty() => denied(RuleId::NO_CREDENTIAL),
        None => denied(RuleId::UNKNOWN_ISSUER),
    }
}

/// The authority of ours that signed a certificate, whatever it signs and whether or not it is
/// barred.
fn issuer<'a>(
    holder: &Certificate,
    record: Option<&Credential>,
    authorities: &'a [Authority],
) -> Option<&'a Authority> {
    if let Some(record) = record.filter(|r| r.der == holder.der()) {
        return authorities.iter().find(|a| a.id == record.issuer);
    }
    let named = holder.authority_key_id();
    authorities.iter().find(|a| {
        let near = named.is_none_or(|id| id == a.id) && holder.issuer() == a.certificate.subject();
        near && holder.signed_by(&a.certificate).is_ok()
    })
}

/// A certificate that an authority of ours signed.
fn ours(holder: &Certificate, authority: &Authority, now: UnixTime) -> Result<Recognized, Refusal> {
    if authority.state == AuthorityState::Barred {
        return denied(RuleId::AUTHORITY_BARRED);
    }
    check_holder(holder)?;
    let (Some(serial), Some(device)) = (holder.serial(), holder.device()) else {
        return denied(RuleId::WRONG_USAGE);
    };
    let spki = holder.spki_hash();
    match authority.role {
        Role::Root | Role::Service => denied(RuleId::WRONG_USAGE),
        Role::Birth => {
            check_dates(holder, now)?;
            Ok(Recognized::Birth { serial, device, spki })
        }
        Role::Operations if authority.state == AuthorityState::Retired => {
            denied(RuleId::AUTHORITY_RETIRED)
        }
        Role::Operations if now < holder.not_before() => denied(RuleId::NOT_YET_VALID),
        Role::Operations => Ok(Recognized::Leaf { serial, device, spki }),
    }
}

/// Extensions that are looked at here, or that restrict nothing where they stand (certificate
/// policies, for which we take any: RFC 5280 §6.1.1 d). Name constraints are not among them, so
/// that a critical one is refused.
const KNOWN: [ObjectIdentifier; 5] = [
    rfc5280::ID_CE_BASIC_CONSTRAINTS,
    rfc5280::ID_CE_KEY_USAGE,
    rfc5280::ID_CE_EXT_KEY_USAGE,
    rfc5280::ID_CE_SUBJECT_ALT_NAME,
    rfc5280::ID_CE_CERTIFICATE_POLICIES,
];

/// A certificate of somebody who may speak as a client: no authority, a key that signs, and usages
/// that allow it where they are said. IDevIDs mostly say none.
fn check_holder(holder: &Certificate) -> Result<(), Refusal> {
    check_critical(holder)?;
    let usages = holder.usages();
    let client = usages.is_none_or(|u| u.contains(&CLIENT) || u.contains(&ANY_USE));
    let usage = holder.x509().tbs_certificate().get_extension::<KeyUsage>().ok().flatten();
    let signs = usage.is_none_or(|(_, u)| u.digital_signature());
    if client && signs && holder.authority().is_none() {
        Ok(())
    } else {
        denied(RuleId::WRONG_USAGE)
    }
}

fn check_critical(certificate: &Certificate) -> Result<(), Refusal> {
    match certificate.unknown_critical(&KNOWN).first() {
        None => Ok(()),
        Some(oid) => Err(Refusal::Malformed(Defect::new(
            "critical-extension",
            format!("the certificate has a critical extension that is not understood here: {oid}"),
        ))),
    }
}

fn check_dates(certificate: &Certificate, now: UnixTime) -> Result<(), Refusal> {
    if now < certificate.not_before() {
        return denied(RuleId::NOT_YET_VALID);
    }
    if now > certificate.not_after() { denied(RuleId::EXPIRED) } else { Ok(()) }
}

fn denied<T>(rule: RuleId) -> Result<T, Refusal> {
    Err(Refusal::Denied(rule))
}
