//! What everybody hears after the start: the lists and the responder say of each certificate what
//! the record says of it.

use super::REALM;
use crate::Failure;
use crate::dice::Dice;
use crate::kill::client::Client;
use ca::ocsp::wire::{Digest, Response, cert_id, request};
use ca::ocsp::{Names, Status};
use identity::authority::KeyId;
use identity::{Certificate, Credential, Reason, Serial};
use registry::Registry;
use std::collections::BTreeMap;

/// Certificates that are asked about after a kill: the newest, where a lost change would show, and
/// some of the others.
const ASKED_MAX: usize = 48;

/// What must be heard of some certificates, by their issuer.
#[derive(Default)]
pub struct Owed(BTreeMap<KeyId, OfIssuer>);

struct OfIssuer {
    certificate: Certificate,
    all: Vec<(Serial, Option<Reason>)>,
}

impl Owed {
    /// Notes what the record says of some.
    pub(super) fn note(
        registry: &Registry,
        credentials: &[Credential],
        dice: &mut Dice,
    ) -> Result<Self, Failure> {
        let authorities = registry.authorities(REALM)?;
        let mut owed = Self::default();
        let newest = credentials.len().saturating_sub(ASKED_MAX / 2);
        let some = (0..ASKED_MAX / 2).map(|_| dice.below(newest.max(1)));
        for at in some.chain(newest..credentials.len()) {
            let Some(one) = credentials.get(at) else { continue };
            let issuer = authorities.iter().find(|a| a.id == one.issuer);
            let issuer = issuer.ok_or("a certificate without its authority")?;
            let certificate = issuer.certificate.clone();
            let of = owed.0.entry(one.issuer);
            let of = of.or_insert_with(|| OfIssuer { certificate, all: Vec::new() });
            of.all.push((one.serial, one.revoked.map(|r| r.reason)));
        }
        Ok(owed)
    }

    /// Holds what a running server says against it.
    ///
    /// # Errors
    /// The first certificate of which something else is said.
    pub async fn hold(&self, client: &Client) -> Result<usize, Failure> {
        let mut asked = 0;
        for (id, of) in &self.0 {
            let list = client.public(&format!("/crl/default/{id}.crl"), None).await;
            let list = list.ok_or_else(|| format!("{id} has no list"))?;
            for (serial, reason) in &of.all {
                let listed = list.windows(16).any(|octets| octets == serial.octets());
                if listed != reason.is_some() {
                    let what = format!("{serial} is on record as {reason:?}, listed: {listed}");
                    return Err(what.into());
                }
                responder(client, &of.certificate, (serial, *reason)).await?;
                asked += 1;
            }
        }
        Ok(asked)
    }
}

async fn responder(
    client: &Client,
    issuer: &Certificate,
    (serial, reason): (&Serial, Option<Reason>),
) -> Result<(), Failure> {
    let names = Names::of(issuer).map_err(|e| e.to_string())?;
    let id = cert_id(Digest::Sha256, &names, serial).map_err(|e| e.to_string())?;
    let asked = request(&[id], None).map_err(|e| e.to_string())?;
    let answer = client.public("/ocsp/default", Some(&asked)).await;
    let answer = answer.ok_or_else(|| format!("no OCSP answer for {serial}"))?;
    let heard = Response::parse(&answer).map_err(|_| format!("{serial}: not an OCSP answer"))?;
    let heard = heard.map_err(|code| format!("{serial}: OCSP status {code}"))?;
    heard.verify(issuer).map_err(|e| format!("the OCSP answer for {serial}: {e}"))?;
    let said = heard.singles.first().map(|single| single.status);
    match (said, reason) {
        (Some(Status::Good), None) => Ok(()),
        (Some(Status::Revoked(told)), Some(reason)) if told.reason == reason => Ok(()),
        _ => Err(format!("OCSP says {said:?} of {serial}, which is {reason:?} on record").into()),
    }
}
