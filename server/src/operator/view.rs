//! From what the registry knows to what operators see. Words are translated by exhaustive matches:
//! a new kind below does not compile until the contract has a word for it.

use crate::births::Birth;
use crate::house::RealmState;
use ::ledger::{Map, Payload, Value};
use api::*;
use identity::authority::Authority;
use identity::certificate::pem;
use identity::credential::Credential;
use identity::device::Device;
use identity::door::{Door, DoorKind as Shown, MakerRule};
use identity::profile::Profile;
use identity::text::{hex, rfc3339};
use identity::token::Token;
use identity::{Certificate, UnixTime};

/// Translates words in both directions.
macro_rules! mirror {
    ($there:ident, $back:ident: $inner:ty => $outer:ty { $($variant:ident = $as:ident),+ $(,)? }) => {
        pub(crate) const fn $there(word: $inner) -> $outer {
            match word { $(<$inner>::$variant => <$outer>::$as),+ }
        }

        pub(crate) const fn $back(word: $outer) -> $inner {
            match word { $(<$outer>::$as => <$inner>::$variant),+ }
        }
    };
}

mirror!(standing, standing_of: identity::Standing => Standing {
    Born = Born, Enrolled = Enrolled, Quarantined = Quarantined,
    Suspended = Suspended, Retired = Retired,
});
mirror!(severity, severity_of: ::ledger::Severity => Severity {
    Info = Info, Notice = Notice, Warning = Warning, Critical = Critical,
});
mirror!(sink_kind, sink_kind_of: registry::SinkKind => SinkKind {
    Webhook = Webhook, Syslog = Syslog,
});
mirror!(sink_format, sink_format_of: registry::SinkFormat => SinkFormat { Json = Json, Cef = Cef });
mirror!(assurance, assurance_of: identity::Assurance => Assurance {
    Claimed = Claimed, Token = Token, Certified = Certified,
    Hardware = Hardware, Measured = Measured,
});
mirror!(reason, reason_of: identity::Reason => Reason {
    Unspecified = Unspecified, KeyCompromise = KeyCompromise, CaCompromise = CaCompromise,
    AffiliationChanged = AffiliationChanged, Superseded = Superseded,
    CessationOfOperation = CessationOfOperation, CertificateHold = CertificateHold,
    PrivilegeWithdrawn = PrivilegeWithdrawn,
});
mirror!(key_kind, key_kind_of: identity::KeyKind => KeyKind {
    P256 = P256, P384 = P384, Ed25519 = Ed25519, Rsa = Rsa,
});
mirror!(authority_role, authority_role_of: identity::authority::Role => AuthorityRole {
    Root = Root, Birth = Birth, Operations = Operations, Service = Service,
});
mirror!(authority_state, authority_state_of: identity::authority::AuthorityState => AuthorityState {
    Active = Active, Retiring = Retiring, Retired = Retired, Barred = Barred,
});
mirror!(place, place_of: identity::door::SerialPlace => SerialPlace {
    SubjectSerialNumber = Subject, CommonName = CommonName,
    HardwareModuleName = HardwareModuleName, DirectoryName = DirectoryName,
});
mirror!(role, role_of: registry::Role => Role {
    Viewer = Viewer, Station = Station, Operator = Operator, Admin = Admin,
});

const fn state(word: identity::CredentialState) -> CertificateState {
    use identity::CredentialState as Inner;
    match word {
        Inner::Good => CertificateState::Good,
        Inner::Unused => CertificateState::Unused,
        Inner::Used => CertificateState::Used,
        Inner::Overlap => CertificateState::Overlap,
        Inner::Spent => CertificateState::Spent,
        Inner::Ended => CertificateState::Ended,
        Inner::Held => CertificateState::Held,
        Inner::Revoked => CertificateState::Revoked,
    }
}

const fn kind(word: identity::CredentialKind) -> CertificateKind {
    match word {
        identity::CredentialKind::Birth => CertificateKind::Birth,
        identity::CredentialKind::Leaf => CertificateKind::Leaf,
    }
}

/// A device with its newest leaves, the newest first; with `pem`, the leaf's too.
pub(crate) fn device(
    device: &Device,
    leaves: &[Credential],
    now: UnixTime,
    pem: bool,
) -> DeviceView {
    let said = &device.identifiers;
    let keys: Vec<_> = leaves.iter().map(|l| l.spki).collect();
    DeviceView {
        id: device.id.to_string(),
        standing: standing(device.standing),
        assurance: assurance(device.assurance),
        maker: said.maker.clone(),
        model: said.model.clone(),
        serial: said.serial.clone(),
        mac: said.macs.iter().cloned().collect(),
        imei: said.imei.clone(),
        ek_digest: said.ek_digest.clone(),
        meta: said.meta.clone(),
        group: device.groups.iter().map(ToString::to_string).collect(),
        born: rfc3339(device.born),
        enrolled: device.enrolled.map(rfc3339),
        door: device.door.clone(),
        generation: device.generation,
        mark: device.mark.clone(),
        version: device.version,
        leaf: leaves.first().map(|l| certificate(l, now, pem)),
        reported: None,
        weak_detection: matches!(keys.as_slice(), [newest, before, ..] if newest == before),
        clone: None,
    }
}

/// What a device last said of itself.
pub(crate) fn report(report: &registry::Report) -> ReportView {
    let said = &report.identifiers;
    ReportView {
        at: rfc3339(report.at),
        firmware: report.firmware.clone(),
        model: said.model.clone(),
        serial: said.serial.clone(),
        mac: said.macs.iter().cloned().collect(),
        imei: said.imei.clone(),
        ek_digest: said.ek_digest.clone(),
    }
}

/// What an entry tells of two parties that hold one identity; `None` where it was erased.
pub(crate) fn clone(row: &registry::EntryRow) -> Option<CloneView> {
    let payload = Payload::decode(row.payload.as_ref()?).ok()?;
    let text = |key: &str| payload.get(key).and_then(Value::as_text).map(str::to_owned);
    let holder = |key: &str| match payload.get(key) {
        Some(Value::Map(said)) => holder(said),
        _ => None,
    };
    Some(CloneView {
        at: rfc3339(row.at),
        entry: row.index,
        response: text("response")?,
        wanted: text("wanted"),
        newcomer: holder("newcomer")?,
        present: holder("present"),
    })
}

fn holder(said: &Map) -> Option<HolderView> {
    let contact = |from: &str, at: &str, print: &str| {
        Some(ContactView {
            from: said.get(from)?.as_text()?.to_owned(),
            at: rfc3339(UnixTime::from_secs(said.get(at)?.as_uint()?)),
            print: said.get(print).and_then(Value::as_bytes).map(hex),
        })
    };
    Some(HolderView {
        serial: hex(said.get("serial")?.as_bytes()?),
        generation: said.get("generation")?.as_uint()?,
        last: contact("from", "at", "print"),
        first: contact("first_from", "first_at", "first_print"),
    })
}

pub(crate) fn certificate(credential: &Credential, now: UnixTime, pem: bool) -> CertificateView {
    CertificateView {
        serial: credential.serial.to_string(),
        kind: kind(credential.kind),
        device: credential.device.to_string(),
        issuer: credential.issuer.to_string(),
        generation: credential.generation,
        spki: hex(credential.spki.octets()),
        issued: rfc3339(credential.issued),
        not_after: rfc3339(credential.not_after),
        used: credential.used.map(rfc3339),
        state: state(credential.state(now)),
        spent: credential.spent.map(rfc3339),
        revoked: credential
            .revoked
            .map(|r| RevocationView { at: rfc3339(r.at), reason: reason(r.reason) }),
        pem: pem.then(|| identity::certificate::pem("CERTIFICATE", &credential.der)),
    }
}

pub(crate) fn authority(authority: &Authority) -> AuthorityView {
    let certificate = &authority.certificate;
    AuthorityView {
        id: authority.id.to_string(),
        role: authority_role(authority.role),
        state: authority_state(authority.state),
        subject: certificate.subject().to_string(),
        not_before: rfc3339(certificate.not_before()),
        not_after: rfc3339(certificate.not_after()),
        pem: certificate.pem(),
        key_kind: key_kind(certificate.key().kind()),
        retires: authority.retires.map(rfc3339),
        barred: authority
            .barred
            .map(|b| RevocationView { at: rfc3339(b.at), reason: reason(b.reason) }),
        wiped: authority.wiped.map(rfc3339),
        leaves: None,
        earlier: Vec::new(),
        crl_number: None,
    }
}

pub(crate) fn authority_request(request: &identity::authority::AuthorityRequest) -> AuthorityCsr {
    AuthorityCsr {
        id: request.id.to_string(),
        role: authority_role(request.role),
        csr: identity::certificate::pem("CERTIFICATE REQUEST", &request.csr),
        made: rfc3339(request.made),
    }
}

/// A birth certificate and its issuer in PEM, without the root.
pub(crate) fn chain(birth: &Birth, realm: &RealmState) -> String {
    let mut pem = pem("CERTIFICATE", &birth.certificate);
    let signed = |a: &&Authority| a.id == birth.issuer && a.role != identity::authority::Role::Root;
    if let Some(authority) = realm.authorities.iter().find(signed) {
        pem.push_str(&authority.certificate.pem());
    }
    pem
}

pub(crate) fn token(token: &Token, now: UnixTime) -> TokenView {
    TokenView {
        id: token.id.to_string(),
        uses: token.uses,
        uses_left: token.uses_left,
        made: rfc3339(token.made),
        ends: rfc3339(token.ends),
        group: token.groups.iter().map(ToString::to_string).collect(),
        serial: token.serial.clone(),
        revoked: token.revoked.map(rfc3339),
        by: token.by.clone(),
        live: token.revoked.is_none() && token.uses_left > 0 && now <= token.ends,
    }
}

pub(crate) fn door(door: &Door) -> DoorView {
    let (kind, maker) = match &door.kind {
        Shown::Birth => (DoorKind::Birth, None),
        Shown::Token => (DoorKind::Token, None),
        Shown::Maker(rule) => (DoorKind::Maker, Some(maker(rule))),
    };
    DoorView {
        name: door.name.clone(),
        kind,
        open: door.open,
        group: door.groups.iter().map(ToString::to_string).collect(),
        profile: door.profile.clone(),
        assurance: assurance(door.assurance),
        binding: door.binding,
        receipt: door.receipt.clone(),
        maker,
    }
}

fn maker(rule: &MakerRule) -> Maker {
    Maker {
        anchors: rule.anchors.iter().map(Certificate::pem).collect(),
        place: place(rule.place),
        pattern: rule.pattern.clone(),
        model: rule.model.clone(),
        allow: rule.allow.as_ref().map(|a| a.iter().cloned().collect()),
    }
}

pub(crate) fn profile(profile: &Profile) -> ProfileView {
    ProfileView {
        name: profile.name.clone(),
        lifetime_s: profile.lifetime_s,
        keys: profile.keys.iter().copied().map(key_kind).collect(),
        organization: profile.organization.clone(),
        usages: profile.usages.iter().cloned().collect(),
        server_key: profile.server_key,
    }
}

pub(crate) fn operator(operator: &registry::Operator) -> OperatorView {
    OperatorView {
        name: operator.name.clone(),
        role: role(operator.role),
        id: operator.id.to_string(),
        made: rfc3339(operator.made),
    }
}

pub(crate) fn setting(row: &(String, Option<identity::GroupName>, String)) -> SettingView {
    let (key, group, value) = row;
    SettingView {
        key: key.clone(),
        group: group.as_ref().map(ToString::to_string),
        value: value.clone(),
    }
}

/// A sink, with its whole address or not, how far it was told, how many entries it is behind and
/// did not take, and what went wrong last.
pub(crate) fn sink(
    (sink, whole): (&registry::Sink, bool),
    next: u64,
    (behind, dead): (u64, u64),
    trouble: Option<String>,
) -> SinkView {
    SinkView {
        name: sink.name.clone(),
        kind: sink_kind(sink.kind),
        url: if whole { sink.url.clone() } else { sink.origin().to_owned() },
        url_digest: sink.url_digest(),
        format: sink_format(sink.format),
        severity: severity(sink.least),
        verbs: sink.verbs.clone(),
        anchored: sink.anchors.is_some(),
        made: rfc3339(sink.made),
        next,
        behind,
        dead,
        trouble,
    }
}
