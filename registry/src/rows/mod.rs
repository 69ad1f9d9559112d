//! Rows to nouns. Each reader knows the columns of one table, in the order of its `_COLUMNS`;
//! writers stand in [`crate::writer`], beside the checks that come before them.

pub(crate) mod text;

use crate::change::Report;
use crate::realm::{Operator, Realm, RealmKey, Role};
use crate::sink::{Sink, SinkFormat, SinkKind};
use identity::authority::{
    Authority, AuthorityRequest, AuthorityState, KeyId, Role as AuthorityRole,
};
use identity::credential::{Credential, CredentialKind, Reason, Requester, Revocation, Serial};
use identity::device::{Assurance, Device, DeviceId, GroupName, Identifiers, Standing};
use identity::door::{Door, DoorKind, MakerRule, SerialPlace};
use identity::profile::Profile;
use identity::token::{Token, TokenId};
use identity::{Certificate, KeyKind, RealmName, SpkiHash, UnixTime};
use ledger::Severity;
use rusqlite::types::Type;
use rusqlite::{Result, Row};
use std::collections::BTreeSet;
use std::fmt;

/// A row of the named table says what it cannot say.
#[derive(Debug)]
pub(crate) struct Torn(pub(crate) &'static str);

impl fmt::Display for Torn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a torn row of `{}`", self.0)
    }
}

impl std::error::Error for Torn {}

/// The error for a torn row of `table`.
pub(crate) fn torn(table: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Null, Box::new(Torn(table)))
}

/// SQL has only signed numbers. Moments, counts and versions stay far below 2^63.
pub(crate) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A moment as it is stored.
pub(crate) fn millis(time: UnixTime) -> i64 {
    int(time.millis())
}

pub(crate) fn uint(row: &Row<'_>, at: usize) -> Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(at)?).unwrap_or_default())
}

pub(crate) fn moment(row: &Row<'_>, at: usize) -> Result<UnixTime> {
    uint(row, at).map(UnixTime::from_millis)
}

pub(crate) fn maybe_moment(row: &Row<'_>, at: usize) -> Result<Option<UnixTime>> {
    let millis: Option<i64> = row.get(at)?;
    Ok(millis.and_then(|m| u64::try_from(m).ok()).map(UnixTime::from_millis))
}

/// Reads a text column where it stands, without a copy of its own.
pub(crate) fn word<T>(
    row: &Row<'_>,
    at: usize,
    table: &'static str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T> {
    row.get_ref(at)?.as_str().ok().and_then(parse).ok_or_else(|| torn(table))
}

pub(crate) fn device_id(row: &Row<'_>, at: usize, table: &'static str) -> Result<DeviceId> {
    DeviceId::from_octets(row.get(at)?).ok_or_else(|| torn(table))
}

pub(crate) fn serial(row: &Row<'_>, at: usize, table: &'static str) -> Result<Serial> {
    row.get_ref(at)?.as_blob().ok().and_then(Serial::from_octets).ok_or_else(|| torn(table))
}

pub(crate) fn groups(row: &Row<'_>, at: usize, table: &'static str) -> Result<BTreeSet<GroupName>> {
    word(row, at, table, |packed| text::unpack(packed).map(|g| GroupName::parse(&g)).collect())
}

/// Group names as one column has them.
pub(crate) fn pack_groups(groups: &BTreeSet<GroupName>) -> String {
    text::pack(groups.iter().map(GroupName::as_str))
}

fn set(row: &Row<'_>, at: usize, table: &'static str) -> Result<BTreeSet<String>> {
    word(row, at, table, |packed| Some(text::unpack(packed).collect()))
}

pub(crate) const REALM_COLUMNS: &str = "realm, name, id, origin, founded";

pub(crate) fn realm(row: &Row<'_>) -> Result<Realm> {
    Ok(Realm {
        key: RealmKey(row.get(0)?),
        name: word(row, 1, "realm", RealmName::parse)?,
        id: row.get(2)?,
        origin: row.get(3)?,
        founded: moment(row, 4)?,
    })
}

pub(crate) const DEVICE_COLUMNS: &str = "device.id, device.standing, device.assurance, \
    device.version, device.generation, device.born, device.enrolled, device.maker, device.model, \
    device.serial, device.macs, device.imei, device.ek_digest, device.meta, device.group_names, \
    device.mark, device.door";

pub(crate) fn device(row: &Row<'_>) -> Result<Device> {
    Ok(Device {
        id: device_id(row, 0, "device")?,
        standing: word(row, 1, "device", Standing::parse)?,
        assurance: word(row, 2, "device", Assurance::parse)?,
        version: uint(row, 3)?,
        generation: row.get(4)?,
        born: moment(row, 5)?,
        enrolled: maybe_moment(row, 6)?,
        identifiers: Identifiers {
            maker: row.get(7)?,
            model: row.get(8)?,
            serial: row.get(9)?,
            macs: set(row, 10, "device")?,
            imei: row.get(11)?,
            ek_digest: row.get(12)?,
            meta: word(row, 13, "device", |packed| Some(text::unpack_pairs(packed).collect()))?,
        },
        groups: groups(row, 14, "device")?,
        door: row.get(16)?,
        mark: row.get(15)?,
    })
}

pub(crate) const REPORT_COLUMNS: &str = "at, firmware, model, serial, macs, imei, ek_digest";

pub(crate) fn report(row: &Row<'_>) -> Result<Report> {
    Ok(Report {
        at: moment(row, 0)?,
        firmware: row.get(1)?,
        identifiers: Identifiers {
            model: row.get(2)?,
            serial: row.get(3)?,
            macs: set(row, 4, "report")?,
            imei: row.get(5)?,
            ek_digest: row.get(6)?,
            ..Identifiers::default()
        },
    })
}

/// Of `credential` joined with `certificate`.
pub(crate) const CREDENTIAL_COLUMNS: &str = "credential.serial, credential.kind, \
    credential.device, credential.issuer, credential.generation, credential.spki, \
    credential.requester, credential.shard, credential.issued, credential.not_after, \
    credential.used, credential.spent, credential.revoked, credential.reason, certificate.der, \
    credential.closes";

pub(crate) fn credential(row: &Row<'_>) -> Result<Credential> {
    Ok(Credential {
        serial: serial(row, 0, "credential")?,
        kind: word(row, 1, "credential", CredentialKind::parse)?,
        device: device_id(row, 2, "credential")?,
        issuer: key_id(row, 3, "credential")?,
        generation: row.get(4)?,
        spki: SpkiHash::from_octets(row.get(5)?),
        requester: Requester::from_octets(row.get(6)?),
        shard: row.get(7)?,
        issued: moment(row, 8)?,
        not_after: moment(row, 9)?,
        used: maybe_moment(row, 10)?,
        spent: maybe_moment(row, 11)?,
        revoked: revocation(row, 12)?,
        der: row.get(14)?,
        closes: row.get(15)?,
    })
}

/// Two columns, the moment and the reason.
pub(crate) fn revocation(row: &Row<'_>, at: usize) -> Result<Option<Revocation>> {
    let Some(moment) = maybe_moment(row, at)? else { return Ok(None) };
    Ok(Some(Revocation { at: moment, reason: word(row, at + 1, "credential", Reason::parse)? }))
}

pub(crate) fn key_id(row: &Row<'_>, at: usize, table: &'static str) -> Result<KeyId> {
    row.get_ref(at)?.as_blob().ok().and_then(KeyId::from_octets).ok_or_else(|| torn(table))
}

fn certificate(row: &Row<'_>, at: usize, table: &'static str) -> Result<Certificate> {
    let der = row.get_ref(at)?.as_blob().map_err(|_| torn(table))?;
    Certificate::parse(der).map_err(|_| torn(table))
}

pub(crate) const AUTHORITY_COLUMNS: &str = "id, role, state, der, retires, barred, reason, wiped";

pub(crate) fn authority(row: &Row<'_>) -> Result<Authority> {
    Ok(Authority {
        id: key_id(row, 0, "authority")?,
        role: word(row, 1, "authority", AuthorityRole::parse)?,
        state: word(row, 2, "authority", AuthorityState::parse)?,
        certificate: certificate(row, 3, "authority")?,
        retires: maybe_moment(row, 4)?,
        barred: revocation(row, 5)?,
        wiped: maybe_moment(row, 7)?,
    })
}

pub(crate) fn authority_request(row: &Row<'_>) -> Result<AuthorityRequest> {
    Ok(AuthorityRequest {
        id: key_id(row, 0, "authority_request")?,
        role: word(row, 1, "authority_request", AuthorityRole::parse)?,
        csr: row.get(2)?,
        made: moment(row, 3)?,
    })
}

/// One column.
pub(crate) fn cross(row: &Row<'_>) -> Result<Certificate> {
    certificate(row, 0, "cross_certificate")
}

pub(crate) const TOKEN_COLUMNS: &str =
    "id, digest, uses_left, uses, made, ends, group_names, serial, revoked, maker_name";

pub(crate) fn token(row: &Row<'_>) -> Result<Token> {
    Ok(Token {
        id: word(row, 0, "token", TokenId::parse)?,
        digest: row.get(1)?,
        uses_left: row.get(2)?,
        uses: row.get(3)?,
        made: moment(row, 4)?,
        ends: moment(row, 5)?,
        groups: groups(row, 6, "token")?,
        serial: row.get(7)?,
        revoked: maybe_moment(row, 8)?,
        by: row.get(9)?,
    })
}

pub(crate) const DOOR_COLUMNS: &str = "name, kind, open, group_names, profile, assurance, \
    binding, place, pattern, model, allow, receipt";

/// The anchors of a maker door come from their own table.
pub(crate) fn door(row: &Row<'_>, anchors: Vec<Certificate>) -> Result<Door> {
    let kind = match row.get_ref(1)?.as_str() {
        Ok("birth") => DoorKind::Birth,
        Ok("token") => DoorKind::Token,
        Ok("maker") => DoorKind::Maker(Box::new(maker(row, anchors)?)),
        _ => return Err(torn("door")),
    };
    Ok(Door {
        name: row.get(0)?,
        kind,
        open: row.get(2)?,
        groups: groups(row, 3, "door")?,
        profile: row.get(4)?,
        assurance: word(row, 5, "door", Assurance::parse)?,
        binding: row.get(6)?,
        receipt: row.get(11)?,
    })
}

fn maker(row: &Row<'_>, anchors: Vec<Certificate>) -> Result<MakerRule> {
    let allow: Option<String> = row.get(10)?;
    Ok(MakerRule {
        anchors,
        place: word(row, 7, "door", SerialPlace::parse)?,
        pattern: row.get(8)?,
        model: row.get(9)?,
        allow: allow.map(|packed| text::unpack(&packed).collect()),
    })
}

/// Two columns, the door's name and the certificate.
pub(crate) fn anchor(row: &Row<'_>) -> Result<(String, Certificate)> {
    Ok((row.get(0)?, certificate(row, 1, "anchor")?))
}

pub(crate) fn profile(row: &Row<'_>) -> Result<Profile> {
    Ok(Profile {
        name: row.get(0)?,
        lifetime_s: uint(row, 1)?,
        keys: word(row, 2, "profile", |packed| {
            text::unpack(packed).map(|k| KeyKind::parse(&k)).collect()
        })?,
        organization: row.get(3)?,
        usages: set(row, 4, "profile")?,
        server_key: row.get(5)?,
    })
}

pub(crate) const OPERATOR_COLUMNS: &str = "name, role, digest, made, id";

pub(crate) fn operator(row: &Row<'_>) -> Result<Operator> {
    Ok(Operator {
        name: row.get(0)?,
        role: word(row, 1, "operator", Role::parse)?,
        digest: row.get(2)?,
        made: moment(row, 3)?,
        id: word(row, 4, "operator", TokenId::parse)?,
    })
}

pub(crate) const SINK_COLUMNS: &str =
    "name, kind, url, format, severity, verbs, anchors, secret, made, begins, telling";

pub(crate) fn sink(row: &Row<'_>) -> Result<Sink> {
    Ok(Sink {
        name: row.get(0)?,
        kind: word(row, 1, "sink", SinkKind::parse)?,
        url: row.get(2)?,
        format: word(row, 3, "sink", SinkFormat::parse)?,
        least: word(row, 4, "sink", Severity::parse)?,
        verbs: text::unpack(&row.get::<_, String>(5)?).collect(),
        anchors: row.get(6)?,
        secret: row.get(7)?,
        made: moment(row, 8)?,
        begins: uint(row, 9)?,
        telling: row.get(10)?,
    })
}
