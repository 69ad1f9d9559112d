//! What a completed handshake tells of who holds a key. A certificate is public, so nothing is
//! decided here before somebody has proven that they have the private key of it.
//!
//! The law is the order of leaves. A renewal makes a successor; once that has completed a
//! handshake, its predecessor is good for the overlap, so that a lost answer locks nobody out, and
//! then *spent*. A join closes all earlier leaves at its leaf's first use. Whoever begins a
//! handshake with a leaf that is spent does not know of the successor that the device itself has
//! put to use: two parties hold one identity, and [`hear`] says so.
//!
//! What the realm does about it is a [`Response`]; how many devices may be set aside in an hour
//! without a person looking is bounded by [`Window`], because old keys out of scrapped flash would
//! else be a weapon against those who go on. [`Hint`] finds the signals among asks.

mod hint;
#[cfg(test)]
mod tests;
mod window;

pub use hint::Hint;
pub use window::{Caps, Window};

use identity::{Credential, Device, Reason, Response, Signal, SpkiHash, UnixTime};

/// A completed handshake: somebody has the private key of what they showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contact {
    /// The key.
    pub spki: SpkiHash,
    /// When the connection was accepted. What happened after that moment is no news to the one at
    /// the other end, and so no evidence against them.
    pub began: UnixTime,
    /// When the handshake was complete.
    pub at: UnixTime,
}

/// What the registry knows of a key that completed a handshake.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Whose key it is.
    pub device: &'a Device,
    /// Every certificate of the key, in any order.
    pub of_key: &'a [Credential],
    /// Whether one of them was revoked as compromised.
    pub compromised: bool,
}

/// What a completed handshake tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told<'a> {
    /// Nothing that is odd.
    Nothing,
    /// Something odd that is no proof of two holders.
    Odd(Signal),
    /// Two parties hold one identity: this leaf is spent, and its holder did not know.
    Clone(&'a Credential),
}

/// Says what a completed handshake tells.
///
/// A key that has one live certificate left is its holder's good right, whichever of its
/// certificates was shown: a client that keeps its key may show the older one. So a client that
/// keeps its key over renewals is never found here, which `device show` says of it.
#[must_use]
pub fn hear<'a>(contact: &Contact, known: &Known<'a>) -> Told<'a> {
    if known.compromised {
        return Told::Odd(Signal::CompromisedKey);
    }
    let of_key = known.of_key.iter().filter(|c| c.spki == contact.spki);
    let (revoked, left): (Vec<_>, Vec<_>) = of_key.partition(|c| c.revoked.is_some());
    if left.is_empty() {
        return ended(&revoked, known.device);
    }
    if !known.device.standing.is_good() {
        return Told::Nothing;
    }
    // What ends a leaf ends all before it, so the newest of the key is the last to be good.
    let newest = left.into_iter().max_by_key(|c| c.generation);
    match newest.and_then(|c| Some((c, c.spent?))) {
        Some((leaf, spent)) if spent <= contact.began => Told::Clone(leaf),
        Some((_, spent)) if spent <= contact.at => Told::Odd(Signal::SpentKey),
        _ => Told::Nothing,
    }
}

/// A key without a certificate that counts. Of a device that is set aside its own leaves are on
/// hold, and that it goes on knocking tells nothing.
fn ended<'a>(revoked: &[&Credential], device: &Device) -> Told<'a> {
    let held = |c: &&Credential| c.revoked.is_some_and(|r| r.reason == Reason::CertificateHold);
    let set_aside = !device.standing.is_good() && revoked.iter().any(held);
    if revoked.is_empty() || set_aside { Told::Nothing } else { Told::Odd(Signal::RevokedKey) }
}

/// What is done about a clone: what the realm wants, or no more than an alarm where as many devices
/// were set aside within the hour as it allows.
#[must_use]
pub fn respond(
    wanted: Response,
    window: &mut Window,
    (device, caps): (&Device, &Caps),
    now: UnixTime,
) -> Response {
    match wanted {
        Response::Quarantine if !window.take(&device.groups, caps, now) => Response::Alarm,
        wanted => wanted,
    }
}
