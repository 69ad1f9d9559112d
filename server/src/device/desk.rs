//! The enrollment desk: one wish for a leaf from the door to the durable answer.
//!
//! Recognize what was shown, gather the facts about it, judge, sign, commit; and begin again at the
//! facts where the commit found that they had changed meanwhile. Nothing is answered before it is
//! durable.

use super::facts::{Claim, Gathered, gather, recorded};
use crate::clock::SystemDice;
use crate::house::{House, RealmState};
use crate::keys::NewKey;
use crate::record::Refused;
use ca::contact::Hint;
use ca::{Approved, Granted, Judgement, Trust};
use enroll::est::server::{self, Answer};
use identity::ask::{Cause, KeySource, Want};
use identity::token::TokenId;
use identity::{
    Ask, Certificate, KeyKind, Outside, PublicKey, Refusal, RuleId, Signal, Signer, UnixTime,
};
use ledger::{Class, Payload};
use registry::{Change, Clash, CommitError, ReadError};

/// How often one request is decided anew because facts changed between decision and commit. Two
/// requests of one device may cross; five is a loop.
const DECISIONS_MAX: usize = 4;

/// A leaf that is durable, and the private key where the server made it.
struct Enrolled {
    /// In DER.
    leaf: Vec<u8>,
    key: Option<NewKey>,
}

/// What is known so far about a request, for the record of a refusal.
#[derive(Default)]
struct Trace {
    door: Option<String>,
    device: Option<identity::DeviceId>,
    mark: Option<(identity::DeviceId, String)>,
    signal: Option<Signal>,
    /// The token, where its secret was right.
    token: Option<TokenId>,
}

/// Carries one wish to its durable answer.
pub(super) async fn enroll(house: &House, realm: &RealmState, ask: &Ask) -> Answer {
    // Also what is not recognized may have proved its key, and the roll knows whose that is.
    let shown = ask.shown.chain.first().map(Certificate::spki_hash);
    let seen = shown.and_then(|key| house.registry.roll().lookup(realm.key, &key));
    let mut trace = Trace { device: seen.map(|seen| seen.device), ..Trace::default() };
    match decide(house, realm, ask, &mut trace).await {
        Ok(Enrolled { leaf, key: None }) => server::enrolled(&leaf),
        Ok(Enrolled { leaf, key: Some(key) }) => {
            server::enrolled_with_key(&leaf, key.dangerous_pkcs8())
        }
        Err(refusal) => {
            let refused = Refused {
                want: ask.want.as_str(),
                door: trace.door.as_deref(),
                device: trace.device,
                refusal: &refusal,
                from: ask.from,
                by: None,
                token: trace.token.as_ref(),
                mark: trace.mark,
            };
            house.metrics.enrollment(realm.name().as_str(), ask.want.as_str(), "refused");
            house.refused_as(realm, refused, trace.signal).await;
            server::refuse(&refusal)
        }
    }
}

async fn decide(
    house: &House,
    realm: &RealmState,
    ask: &Ask,
    trace: &mut Trace,
) -> Result<Enrolled, Refusal> {
    let mut newer = None;
    for _ in 0..DECISIONS_MAX {
        let realm = newer.as_deref().unwrap_or(realm);
        let trust = Trust { authorities: &realm.authorities, doors: &realm.doors };
        let now = house.clock.now();
        let record = recorded(house, realm, &ask.shown).map_err(unreadable)?;
        let recognized = ca::recognize_recorded(&ask.shown, record.as_ref(), &trust, now)?;
        let claim = Claim { recognized, record };
        let gathered = gather(house, realm, ask, claim, now).map_err(unreadable)?;
        trace.door = gathered.facts.door.map(|d| d.name.clone());
        trace.device = gathered.proven.or(trace.device);
        match attempt(house, realm, ask, gathered, trace).await? {
            Ok(enrolled) => return Ok(enrolled),
            Err(clash) => newer = house.newer_after(clash, realm).or(newer),
        }
    }
    Err(Refusal::Outage(Cause("requests of this device cross each other: try again".into())))
}

/// One decision on one set of facts; a [`Clash`] where they had changed when it came to the commit.
async fn attempt(
    house: &House,
    realm: &RealmState,
    ask: &Ask,
    gathered: Gathered<'_>,
    trace: &mut Trace,
) -> Result<Result<Enrolled, Clash>, Refusal> {
    let now = house.clock.now();
    let rules = realm.settings.rules(gathered.facts.device.as_ref());
    // Only who proved to be the device counts against it: a serial number that a stranger claims
    // locks nobody out.
    let proven = gathered.proven;
    if let Some(device) = &gathered.facts.device
        && proven == Some(device.id)
        && !house.rates.take(device.id, realm.settings.device_rate_per_hour(&device.groups), now)
    {
        return Err(Refusal::Denied(RuleId::RATE));
    }
    let hint = Hint::of(&gathered.recognized, &gathered.facts);
    trace.token = hint.token(&gathered.recognized).cloned();
    let judged = ca::judge(ask, &gathered.recognized, gathered.facts, &rules, now);
    trace.signal = hint.signal(&judged);
    if let (Err(Refusal::Denied(rule)), Some(device)) = (&judged, proven)
        && *rule == RuleId::CONTRADICTION
    {
        trace.mark = Some((device, contradiction(ask)));
    }
    let approved = match judged? {
        Judgement::Again(credential) if ask.key == KeySource::Device => {
            house.metrics.enrollment(realm.name().as_str(), ask.want.as_str(), "again");
            return Ok(Ok(Enrolled { leaf: credential.der, key: None }));
        }
        // The machine never judges `Again` for a key that the server made, since it keeps no
        // private key.
        Judgement::Again(_) => return Err(outage("a key made here cannot be handed over twice")),
        Judgement::Grant(approved) => approved,
    };
    let (granted, made) = sign(realm, ask, *approved, now)?;
    let leaf = granted.leaf.der.clone();
    // What was shown says what it is, whichever operation was called: a join alone closes earlier
    // leaves.
    let (want, class) =
        if granted.leaf.closes { (Want::Join, Class::Join) } else { (Want::Renew, Class::Renewal) };
    let payload = payload(ask, want, &granted, trace);
    match house.commit(realm.key, change(realm, granted), class, payload).await {
        Ok(_) => {
            house.metrics.enrollment(realm.name().as_str(), ask.want.as_str(), "issued");
            if let Some(signal) = trace.signal {
                house.metrics.signal(realm.name().as_str(), signal.as_str());
            }
            Ok(Ok(Enrolled { leaf, key: made }))
        }
        Err(CommitError::Conflict(clash)) => Ok(Err(clash)),
        Err(CommitError::Busy | CommitError::Storage(_) | CommitError::Closed) => {
            Err(outage("the registry cannot write: try again later"))
        }
    }
}

/// Signs what was approved, for the device's key or for one that is made here.
fn sign(
    realm: &RealmState,
    ask: &Ask,
    approved: Approved,
    now: UnixTime,
) -> Result<(Granted, Option<NewKey>), Refusal> {
    let issuer = realm.operations.as_ref().ok_or(Refusal::Denied(RuleId::NO_AUTHORITY))?;
    let made = match ask.key {
        KeySource::Device => None,
        KeySource::Server => Some(make_key()?),
    };
    let key = made.as_ref().map_or(ask.csr.key(), |(_, public)| public);
    let granted = issuer
        .issue(approved, key, &mut Outside { now, dice: &mut SystemDice })
        .map_err(|_| outage("the operations authority did not sign"))?;
    Ok((granted, made.map(|(made, _)| made)))
}

/// A key for a device that cannot make one.
fn make_key() -> Result<(NewKey, PublicKey), Refusal> {
    let made =
        NewKey::make(KeyKind::P256).and_then(|key| Ok((key.signer()?.public().clone(), key)));
    made.map(|(public, key)| (key, public)).map_err(|_| outage("no key could be made"))
}

fn change(realm: &RealmState, granted: Granted) -> Change {
    Change::Leafed {
        due: Some(realm.settings.renewal_due(&granted.device, &granted.leaf)),
        device: granted.device,
        expected: granted.expected,
        leaf: granted.leaf,
        supersedes: granted.supersedes,
        token: granted.token,
    }
}

fn payload(ask: &Ask, want: Want, granted: &Granted, trace: &Trace) -> Payload {
    let binding = match ask.binding {
        identity::ask::Binding::Absent => "absent",
        identity::ask::Binding::Held => "held",
        identity::ask::Binding::Other => "other",
    };
    let mut payload = Payload::new(&format!("{}.issued", want.as_str()))
        .with("device", granted.device.id.to_string())
        .with("serial", granted.leaf.serial.octets().to_vec())
        .with("spki", granted.leaf.spki.octets().to_vec())
        .with("generation", u64::from(granted.leaf.generation))
        .with("issuer", granted.leaf.issuer.octets().to_vec())
        .with("ends", granted.leaf.not_after.secs())
        .with("certificate", identity::key::sha256(&[&granted.leaf.der]).to_vec())
        .with("binding", binding)
        .with("from", ask.from.to_string());
    if let Some(door) = &trace.door {
        payload = payload.with("door", door.as_str());
    }
    if let Some(signal) = trace.signal {
        payload =
            payload.with("signal", signal.as_str()).with("severity", signal.severity().as_str());
    }
    if let Some(token) = &granted.token {
        payload = payload.with("token", token.as_str());
    }
    payload
}

fn contradiction(ask: &Ask) -> String {
    format!(
        "a join from {} named serial `{}`, which contradicts the birth record",
        ask.from,
        ask.csr.claims().serial
    )
}

fn unreadable(error: ReadError) -> Refusal {
    tracing::error!("the registry cannot be read: {error}");
    outage("the registry cannot be read: try again later")
}

fn outage(sentence: &'static str) -> Refusal {
    Refusal::Outage(Cause(sentence.into()))
}
