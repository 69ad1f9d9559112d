//! The table of events. Append-only: a number and a verb that were released stay what they are.

use super::{Event, Severity};
use crate::Class;

/// The members of an event: a list of their own, or one that several events share.
macro_rules! fields {
    ([$($field:literal)*]) => {
        &[$($field),*]
    };
    ($shared:ident) => {
        $shared
    };
}

/// A device stands otherwise than before.
const STOOD: &[&str] = &["device", "was", "standing", "reason", "by", "from"];
/// A known device was turned away.
const DENIED: &[&str] =
    &["device", "rule", "reason", "door", "token", "signal", "severity", "by", "from"];
/// A leaf was issued.
const LEAFED: &[&str] = &[
    "device",
    "serial",
    "spki",
    "generation",
    "issuer",
    "ends",
    "certificate",
    "binding",
    "door",
    "token",
    "signal",
    "severity",
    "from",
];
/// A door, whole.
const DOOR: &[&str] = &[
    "door",
    "kind",
    "open",
    "groups",
    "profile",
    "assurance",
    "binding",
    "receipt",
    "anchors",
    "place",
    "pattern",
    "model",
    "allowed",
    "by",
    "from",
];

/// One line for each event: number, class, severity, verb, its members, what happened, what to do.
macro_rules! events {
    ($($id:literal $class:ident $severity:ident $verb:literal $fields:tt
        $meaning:literal $(=> $todo:literal)?;)+) => {
        /// Every event, by class.
        pub const EVENTS: &[Event] = &[$(Event {
            id: $id,
            verb: $verb,
            class: Class::$class,
            severity: Severity::$severity,
            meaning: $meaning,
            fields: fields!($fields),
            todo: concat!($($todo)?),
        }),+];
    };
}

events! {
    101 Realm Notice "realm.founded"
        ["realm" "origin" "operator" "root" "birth" "operations" "service"]
        "A realm was founded: this is the first entry of its ledger.";

    201 Authority Notice "authority.requested" ["authority" "role" "key_kind" "by" "from"]
        "A key for a new authority was made, and its request was handed out for the root to sign."
        => "Sign it with `muster ca sign`, or find out who asked.";
    202 Authority Notice "authority.installed"
        ["authority" "role" "certificate" "retiring" "until" "by" "from"]
        "An authority that the root signed was installed. One of its role that signed before retires after the overlap.";
    203 Authority Critical "authority.changed" ["authority" "was" "state" "until" "by" "from"]
        "An authority was put to work again, or signs no more."
        => "Nothing, where it was meant. Where it was not: `muster ca state` takes a retiring one back.";
    204 Authority Notice "crl.installed" ["authority" "entries" "crl" "by" "from"]
        "A CRL that was signed offline is published.";
    205 Authority Notice "authority.abandoned" ["authority" "role" "by" "from"]
        "A request for a new authority was given up, and its key destroyed.";
    206 Authority Critical "authority.revoked" ["authority" "role" "was" "reason" "by" "from"]
        "An authority was barred: it signs nothing, and nothing that it signed opens a door."
        => "Give it a successor with `muster ca roll`, and make the root's CRL with `muster ca crl --root`.";
    207 Authority Notice "authority.retired" ["authority" "role" "leaves"]
        "The overlap of an authority with its successor is over: a leaf of it opens no door.";
    208 Authority Notice "authority.wiped" ["authority" "role" "destroyed"]
        "The last certificate of an authority has ended, and its key was destroyed.";
    209 Authority Critical "root.rolled"
        ["authority" "was" "certificate" "certified" "until" "by" "from"]
        "The root has a successor: both are believed, and the authorities have certificates of the new one."
        => "`muster operator refresh` for each credential; `muster ca state ID retired` once nobody needs the old one.";

    301 Birth Info "birth.issued"
        ["device" "serial" "spki" "issuer" "certificate" "model" "serial_number" "mac" "imei" "ek_digest" "meta" "before" "replace" "by" "from"]
        "A birth certificate was issued, and its identifiers were bound.";

    401 Join Info "join.issued"
        LEAFED
        "A device joined, and received its first leaf or a new one by its birth certificate.";

    501 Renewal Info "renew.issued"
        LEAFED
        "A device renewed its leaf.";

    601 Standing Warning "device.suspended" STOOD
        "An operator set a device aside: its leaves are on hold."
        => "Find out what is wrong with it, then `muster device resume` or `retire`.";
    602 Standing Notice "device.resumed" STOOD
        "A suspension ended: the hold on the device's leaves is lifted.";
    603 Standing Warning "device.retired" ["device" "was" "standing" "reason" "tokens" "by" "from"]
        "A device was struck off for good: everything that it had is revoked."
        => "Nothing, where it was planned. `muster device erase` destroys what is personal.";
    604 Standing Critical "device.quarantined" STOOD
        "A device was set aside because its identity is in doubt: its leaves are on hold."
        => "Find out who else has its key. `muster device release` lets it in again, with a new key only.";
    605 Standing Notice "device.released" STOOD
        "A quarantine ended: every leaf of the device is revoked, and it joins again with a new key.";
    606 Standing Notice "device.erased" ["device" "entries" "by" "from"]
        "What was known of a retired device is destroyed: identifiers, certificates, and payload and salt of its entries."
        => "Let back-ups that are older than this end.";
    607 Standing Notice "device.unmarked" ["device" "mark" "reason" "by" "from"]
        "An operator knew what the mark on a device was, and took it away.";

    701 Revocation Warning "certificate.revoked" ["device" "serials" "spki" "reason" "by" "from"]
        "Certificates were revoked."
        => "Where the reason is `keyCompromise`, look for what the key was used for before.";
    702 Revocation Notice "certificate.released" ["device" "serials" "spki" "by" "from"]
        "Certificates came off hold: they are good again.";
    704 Revocation Notice "device.left" ["device" "serials" "spki" "reason" "from"]
        "A device left by itself: its leaves are revoked, and it joins again only with what it joined with before.";

    801 Refusal Warning "join.denied" DENIED
        "A known device was refused when it wanted to join."
        => "The rule says whose move is next: see `reason`.";
    802 Refusal Warning "renew.denied" DENIED
        "A known device was refused when it wanted to renew."
        => "The rule says whose move is next: see `reason`.";
    803 Refusal Warning "request.denied" DENIED
        "A request of a known device was refused before it was clear what it wanted."
        => "The rule says whose move is next: see `reason`.";
    804 Refusal Warning "birth.denied" DENIED
        "A birth of a device that is already known was refused."
        => "A second birth for one serial number is rework (`--replace`) or a fraud: ask the line.";
    806 Refusal Warning "report.denied" DENIED
        "What a device said of itself was refused, or it had no right to say it."
        => "Where the rule is `contradiction`, the identifiers are not those of its birth: see the mark in `muster device show`.";
    807 Refusal Warning "leave.denied" DENIED
        "A device that may not speak wanted to leave."
        => "Nothing: it is refused already.";
    808 Refusal Warning "token.denied"
        ["token" "rule" "reason" "door" "signal" "severity" "from"]
        "Somebody who knows the secret of a join token was refused: it was used up, has ended or was revoked, or it is for another device."
        => "See who has it: `muster token list` tells who made it. An hour has four of these about a token, and `strangers.refused` the others.";
    805 Refusal Notice "strangers.refused" ["rule" "signal" "severity" "hour" "count" "last_from"]
        "So many strangers that proved nothing were refused by one rule within an hour.";
    809 Refusal Notice "births.refused" ["rule" "signal" "severity" "hour" "count" "by" "last_from"]
        "So many births that an operator or a station sent, about no device that is known, were refused by one rule within an hour."
        => "Look at what the line sends: the answer to each says why, and `results.jsonl` of a run keeps it.";

    901 Token Notice "token.made" ["token" "uses" "ends" "groups" "serial_number" "by" "from"]
        "A join token was made.";
    902 Token Notice "token.revoked" ["token" "by" "from"]
        "A join token was revoked.";

    1001 Door Notice "door.set"
        DOOR
        "A door was made or changed.";
    1002 Door Notice "door.opened"
        DOOR
        "A door was opened.";
    1003 Door Notice "door.closed"
        DOOR
        "A door was closed: nobody joins by it until it is opened again.";
    1004 Door Notice "door.removed" ["door" "by" "from"]
        "A door was removed.";

    1101 Profile Notice "profile.set"
        ["profile" "lifetime_s" "keys" "organization" "usages" "server_key" "by" "from"]
        "A certificate profile was made or changed.";

    1201 Operator Notice "operator.added" ["name" "role" "id" "by" "from"]
        "An operator's credential was made."
        => "Find out who got it, if nobody told you.";
    1202 Operator Notice "operator.removed" ["name" "role" "id" "by" "from"]
        "An operator's credential was taken away.";

    1301 Setting Notice "setting.set" ["key" "group" "value" "by" "from"]
        "A setting of the realm or of a group was changed.";
    1302 Setting Notice "sink.set" ["sink" "kind" "url" "url_digest" "format" "severity" "verbs" "anchored" "by" "from"]
        "A receiver of events was made or changed."
        => "Find out who reads your events now, if nobody told you.";
    1303 Setting Notice "sink.removed" ["sink" "by" "from"]
        "A receiver of events was removed: it hears nothing from now on.";
    1304 Setting Notice "sink.dropped" ["sink" "count" "by" "from"]
        "Events that a receiver never took were given up by an operator; they stay in the ledger.";
    1305 Setting Notice "witness.set" ["witness" "url" "verifier" "by" "from"]
        "A witness of the ledger was named, or its address or key was changed."
        => "Tell those who check receipts, if its key is one that they shall demand.";
    1306 Setting Warning "witness.removed" ["witness" "verifier" "by" "from"]
        "A witness of the ledger is asked no more."
        => "Find out why: receipts that demand its cosignature will not hold any more.";


    1401 Group Info "group.added" ["device" "group" "by" "from"]
        "A device was put into a group.";
    1402 Group Info "group.removed" ["device" "group" "by" "from"]
        "A device was taken out of a group.";

    1501 Use Info "leaf.used" ["device" "serial" "generation" "print" "from"]
        "A handshake with a leaf completed for the first time: its predecessors end.";

    1701 Signal Critical "clone.caught"
        ["device" "signal" "severity" "reason" "response" "wanted" "was" "standing" "groups" "spki" "spent" "newcomer" "present"]
        "Two parties hold one identity: a leaf completed a handshake after it was spent."
        => "Find both holders in `muster device show`, and follow docs/jobs/cloned-device.md.";
    1702 Signal Warning "key.knocked"
        ["device" "spki" "signal" "severity" "reason" "print" "from"]
        "A key that has ended (revoked, compromised, spent meanwhile) completed a handshake."
        => "The signal says what it means: docs/jobs/cloned-device.md lists them.";

    1801 Report Info "device.reported"
        ["device" "firmware" "model" "serial_number" "mac" "imei" "ek_digest" "from"]
        "A device said that it runs another firmware, or what is printed on it.";
}

/// What the members of payloads say. Octets are in hex where they are shown as text.
pub const FIELDS: &[(&str, &str)] = &[
    ("allowed", "how many serial numbers the door's allow-list has"),
    ("anchored", "whether the receiver is trusted by certificates of its own"),
    ("anchors", "SHA-256 of each trust anchor of the door"),
    ("assurance", "the assurance that the door gives"),
    ("authority", "the key identifier of the authority"),
    (
        "before",
        "what was bound by the birth before and is so no more: a map of mac, imei, ek_digest and meta",
    ),
    ("binding", "whether the request was bound to its TLS channel (RFC 9266), or must be"),
    ("birth", "SHA-256 of the SPKI of the birth authority"),
    ("by", "the operator or station whose credential did it"),
    ("certificate", "SHA-256 of the certificate"),
    ("certified", "the key identifiers of the authorities that the new root certified"),
    ("count", "how many"),
    ("crl", "SHA-256 of the CRL"),
    ("destroyed", "whether the key was destroyed; not where systemd delivers it"),
    ("device", "the device's UUID"),
    ("door", "the door's name"),
    ("ek_digest", "SHA-256 of the TPM's endorsement key"),
    ("ends", "when it ends, in seconds since 1970"),
    ("entries", "how many certificates the CRL lists, or entries were erased"),
    ("firmware", "the version of what the device runs"),
    ("format", "how an event is written for the receiver"),
    ("from", "the address that the request came from"),
    ("generation", "the order of the device's leaves, from 1"),
    ("group", "the group's name"),
    ("groups", "the groups that it gives, or that the device is in"),
    ("hour", "which hour, counted since 1970"),
    ("id", "the public half of the credential"),
    ("imei", "the IMEI"),
    ("issuer", "the key identifier of the authority that signed"),
    ("key", "the name of the setting"),
    ("key_kind", "the kind of key"),
    ("keys", "the kinds of keys that the profile takes"),
    ("kind", "the kind of door"),
    ("last_from", "the address of the last of them"),
    ("leaves", "devices that still had a leaf of it"),
    ("lifetime_s", "seconds for which a certificate of the profile is good"),
    ("mac", "the MAC addresses"),
    ("mark", "the mark that was taken away, in its words"),
    ("meta", "what else the factory said: a map"),
    ("model", "the model, as it was said at birth or as the door sets it"),
    ("name", "the operator's name"),
    ("newcomer", "the holder who came with the spent leaf: a map, see docs/contracts.md"),
    ("open", "whether the door is open"),
    ("operations", "SHA-256 of the SPKI of the operations authority"),
    ("operator", "the name of the first operator"),
    ("organization", "the organization in certificates of the profile"),
    ("origin", "the origin line of the ledger's checkpoints"),
    ("pattern", "where in a maker's certificate the serial number stands, as a pattern"),
    ("place", "where in a maker's certificate the serial number stands"),
    ("present", "the holder of the newest leaf in use: a map, see docs/contracts.md"),
    ("print", "what the TLS hello looked like, see docs/contracts.md"),
    ("profile", "the profile's name"),
    ("realm", "the realm's name"),
    (
        "reason",
        "why, in the operator's words, as a reason of RFC 5280, or as the sentence of the rule",
    ),
    ("receipt", "the key of the ledger whose receipt the door demands"),
    ("replace", "why a second birth certificate was made"),
    ("response", "what was done about a clone: alarm, hold-newcomer or quarantine"),
    ("retiring", "the key identifiers of the authorities that signed before"),
    ("role", "the role of an authority or of an operator"),
    ("root", "SHA-256 of the SPKI of the root"),
    ("rule", "the stable name of the rule that refused"),
    ("serial", "the serial number of the certificate"),
    ("serial_number", "the serial number of the unit"),
    ("serials", "the serial numbers of the certificates"),
    ("server_key", "whether the server may make keys for devices of this profile"),
    ("service", "SHA-256 of the SPKI of the service authority"),
    ("severity", "how grave the signal is, or the mildest events that a receiver is told of"),
    ("signal", "the stable name of a sign that an identity is misused"),
    ("sink", "the name of the receiver"),
    ("spent", "since when the leaf is spent, in seconds since 1970"),
    ("spki", "SHA-256 of the public key (SPKI)"),
    ("standing", "where the device stands from now on"),
    ("state", "the state of the authority from now on"),
    ("token", "the public half of the join token"),
    ("tokens", "the public halves of the join tokens that ended with it"),
    ("until", "until when an older authority counts, in seconds since 1970"),
    ("url", "where the witness is; of a receiver, scheme, host and port"),
    ("url_digest", "32 hexadecimal digits of the SHA-256 of the receiver's whole address"),
    ("usages", "the extended key usages of the profile"),
    ("uses", "how often the token may be used"),
    ("value", "the value from now on"),
    ("verbs", "fronts of the verbs that the receiver is told of"),
    ("verifier", "the key of a witness, as a C2SP verifier key"),
    ("wanted", "the response that the hourly bound turned into an alarm"),
    ("was", "what it was before"),
    ("witness", "what the operator calls the witness"),
];
