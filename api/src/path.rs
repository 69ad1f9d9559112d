//! The addresses. A part in braces is filled by [`fill`]; `{id}` of a device takes every form in
//! which a device can be named: UUID, unique prefix of one, `serial:S`, `serial:MAKER/MODEL/S`.

/// What every address of the interface begins with.
pub const ROOT: &str = "/api/v1";

/// GET: the list of devices.
pub const DEVICES: &str = "/api/v1/devices";
/// GET: one device.
pub const DEVICE: &str = "/api/v1/devices/{id}";
/// POST: put its leaves on hold and let it in nowhere.
pub const DEVICE_SUSPEND: &str = "/api/v1/devices/{id}/suspend";
/// POST: undo a suspension.
pub const DEVICE_RESUME: &str = "/api/v1/devices/{id}/resume";
/// POST: put its leaves on hold because its identity is in doubt.
pub const DEVICE_QUARANTINE: &str = "/api/v1/devices/{id}/quarantine";
/// POST: end a quarantine; its leaves are revoked, and it joins again with a new key.
pub const DEVICE_RELEASE: &str = "/api/v1/devices/{id}/release";
/// POST: strike it off for good.
pub const DEVICE_RETIRE: &str = "/api/v1/devices/{id}/retire";
/// POST: take its mark away, once somebody knows what it was.
pub const DEVICE_UNMARK: &str = "/api/v1/devices/{id}/unmark";
/// POST: destroy what is known of it, once it is retired.
pub const DEVICE_ERASE: &str = "/api/v1/devices/{id}/erase";
/// POST: move many at once, by a selector or by names.
pub const DEVICE_MOVES: &str = "/api/v1/devices/moves";
/// PUT: into the group; DELETE: out of it.
pub const DEVICE_GROUP: &str = "/api/v1/devices/{id}/groups/{group}";
/// GET: the certificates of one device, newest first.
pub const DEVICE_CERTIFICATES: &str = "/api/v1/devices/{id}/certificates";
/// GET: the receipt of its current leaf, a C2SP tlog-proof.
pub const DEVICE_RECEIPT: &str = "/api/v1/devices/{id}/receipt";

/// POST: a batch of births.
pub const BIRTHS: &str = "/api/v1/births";

/// GET: the list of device certificates.
pub const CERTIFICATES: &str = "/api/v1/certificates";
/// GET: one, as `cert:HEX`, `spki:HEX` (the newest with that key) or the bare serial number in hex.
pub const CERTIFICATE: &str = "/api/v1/certificates/{name}";
/// POST: revoke it, and every certificate of the same key.
pub const CERTIFICATE_REVOKE: &str = "/api/v1/certificates/{name}/revoke";
/// GET: the receipt of its issuance, a C2SP tlog-proof.
pub const CERTIFICATE_RECEIPT: &str = "/api/v1/certificates/{name}/receipt";

/// POST: take it off hold, and every leaf of the same key.
pub const CERTIFICATE_RELEASE: &str = "/api/v1/certificates/{name}/release";

/// GET: the authorities; POST: install one that the root signed.
pub const AUTHORITIES: &str = "/api/v1/authorities";
/// GET: requests that the root has not answered; POST: make a key for a new authority and answer
/// its request, which the root signs offline.
pub const AUTHORITY_REQUESTS: &str = "/api/v1/authorities/requests";
/// DELETE: give a request up, and destroy its key.
pub const AUTHORITY_REQUEST: &str = "/api/v1/authorities/requests/{id}";
/// GET: one authority; PATCH: its state.
pub const AUTHORITY: &str = "/api/v1/authorities/{id}";
/// POST: a root that follows the one that counts, with all that leads from the one to the other.
pub const AUTHORITY_ROOT: &str = "/api/v1/authorities/root";
/// GET: the roots that count, for every credential.
pub const ROOTS: &str = "/api/v1/roots";
/// POST: bar it at once and for good, with a reason.
pub const AUTHORITY_REVOKE: &str = "/api/v1/authorities/{id}/revoke";
/// PUT: a CRL that was signed offline, the root's.
pub const AUTHORITY_CRL: &str = "/api/v1/authorities/{id}/crl";

/// GET: the join tokens; POST: a new one.
pub const TOKENS: &str = "/api/v1/tokens";
/// GET: one token; DELETE: revoke it.
pub const TOKEN: &str = "/api/v1/tokens/{id}";

/// GET: the doors.
pub const DOORS: &str = "/api/v1/doors";
/// GET: one door; PUT: make or change it; DELETE: remove it.
pub const DOOR: &str = "/api/v1/doors/{name}";
/// POST: open the door.
pub const DOOR_OPEN: &str = "/api/v1/doors/{name}/open";
/// POST: close the door.
pub const DOOR_CLOSE: &str = "/api/v1/doors/{name}/close";

/// GET: the certificate profiles.
pub const PROFILES: &str = "/api/v1/profiles";
/// GET: one profile; PUT: make or change it.
pub const PROFILE: &str = "/api/v1/profiles/{name}";

/// GET: the groups that have devices, and how many.
pub const GROUPS: &str = "/api/v1/groups";

/// GET: the operators; POST: a new one.
pub const OPERATORS: &str = "/api/v1/operators";
/// DELETE: take an operator's credential away.
pub const OPERATOR: &str = "/api/v1/operators/{name}";

/// GET: the ledger's entries, as people read them.
pub const ENTRIES: &str = "/api/v1/entries";
/// GET: one entry.
pub const ENTRY: &str = "/api/v1/entries/{index}";
/// GET: the ledger's rows with payloads and salts, to be computed again by somebody else.
pub const ROWS: &str = "/api/v1/rows";
/// GET: server-sent events, one per entry; the id of an event is the entry's number.
pub const EVENTS: &str = "/api/v1/events";
/// GET: size, root and checkpoint of the ledger.
pub const HEAD: &str = "/api/v1/head";
/// GET: the proof that the ledger only grew between two sizes.
pub const CONSISTENCY: &str = "/api/v1/consistency";

/// GET: the witnesses of the ledger.
pub const WITNESSES: &str = "/api/v1/witnesses";
/// PUT: name or change one; DELETE: ask it no more.
pub const WITNESS: &str = "/api/v1/witnesses/{name}";

/// GET: the receivers of events.
pub const SINKS: &str = "/api/v1/sinks";
/// GET: one receiver; PUT: make or change it; DELETE: remove it.
pub const SINK: &str = "/api/v1/sinks/{name}";
/// POST: tell it the newest entry once.
pub const SINK_TEST: &str = "/api/v1/sinks/{name}/test";
/// GET: the entries that it did not take; DELETE: give them up.
pub const SINK_DEAD: &str = "/api/v1/sinks/{name}/dead";
/// POST: tell it those entries once more.
pub const SINK_RETRY: &str = "/api/v1/sinks/{name}/retry";

/// GET: the realm.
pub const REALM: &str = "/api/v1/realm";
/// GET: its settings; PUT: one of them.
pub const SETTINGS: &str = "/api/v1/settings";

/// GET: this document in OpenAPI 3.1.
pub const OPENAPI: &str = "/api/v1/openapi.json";
/// GET: whether the process lives; needs no credential.
pub const HEALTHZ: &str = "/healthz";
/// GET: whether it can do its work; needs no credential.
pub const READYZ: &str = "/readyz";
/// GET: figures for Prometheus.
pub const METRICS: &str = "/metrics";

/// Fills the braces of a path with `parts` in order, each percent-encoded so that it stays one
/// segment.
#[must_use]
pub fn fill(path: &str, parts: &[&str]) -> String {
    let mut parts = parts.iter();
    path.split('/')
        .map(|segment| match segment.starts_with('{') {
            true => parts.next().map(|p| encode(p)).unwrap_or_default(),
            false => segment.to_owned(),
        })
        .collect::<Vec<_>>()
        .join("/")
}

/// Percent-encodes everything but the unreserved characters of RFC 3986 §2.3, for a path segment or
/// a query value.
#[must_use]
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_slashes_stays_one_segment() {
        assert_eq!(
            fill(DEVICE_GROUP, &["serial:acme//S/1", "pumps"]),
            "/api/v1/devices/serial%3Aacme%2F%2FS%2F1/groups/pumps"
        );
    }
}
