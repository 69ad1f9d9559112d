//! What may be written: a [`Change`] with the preconditions that it was decided on, the [`Draft`]
//! of the ledger entry that tells of it, and what comes back. There is no other way to write an
//! identity.
//!
//! A change is decided on facts that may be old by the time it is written. So it carries what it
//! counted on (a version, the absence of a key, a use of a token), the writer looks again, and a
//! [`Clash`] tells what was no longer so: gather the facts anew and decide again. Read on in
//! [`crate::Registry::commit`].

use crate::realm::{Operator, Realm};
use crate::sink::Sink;
use identity::authority::{self, Authority, AuthorityRequest, AuthorityState, KeyId};
use identity::credential::{Credential, Reason, Revocation, Serial};
use identity::device::{Device, DeviceId, GroupName, Identifiers, Standing};
use identity::door::Door;
use identity::profile::Profile;
use identity::token::{Token, TokenId};
use identity::{Certificate, SpkiHash, UnixTime};
use std::collections::BTreeSet;
use std::fmt;

/// A change of identity, whole or not at all.
///
/// In every change of a device the row that is stored has the version `expected + 1` (a new one has
/// the version that the change names), whatever else the change says of it.
#[derive(Clone, Debug)]
pub enum Change {
    /// Nothing but the entry: a refusal, an operator's look.
    Nothing,
    /// A new realm; its entry is the first of its ledger. Clashes with a realm of the same key,
    /// name or UUID.
    Found(Realm),
    /// The key of an authority that is to come, and its request. Clashes with an open request for
    /// the same role.
    AuthorityRequested(AuthorityRequest),
    /// A request is not open any more: it was given up, or its authority comes in the same batch.
    /// Clashes where it is not open.
    AuthorityRequestDropped(KeyId),
    /// A new authority, or a new certificate and state for a known one. Its request is answered.
    /// Clashes where the root that certified it has a successor.
    Authority(Authority),
    /// An authority starts, stops or is barred. Clashes where none of its role would be left that
    /// signs, unless it is barred and the server can do without: a server starts without one that
    /// signs births or leaves, and not without its own. A root steps down only in the batch that
    /// brings its successor.
    AuthorityState {
        /// Which authority.
        id: KeyId,
        /// The state that this was decided on; `None` for any.
        was: Option<AuthorityState>,
        /// Its state from now on.
        state: AuthorityState,
        /// When it retires.
        retires: Option<UnixTime>,
        /// Since when and why it is barred.
        barred: Option<Revocation>,
    },
    /// A known authority has another certificate for the same key, of another root. Clashes where
    /// it does not count any more.
    AuthorityCertified {
        /// Which authority.
        id: KeyId,
        /// Its certificate from now on.
        certificate: Certificate,
    },
    /// The private key of an authority is destroyed. Clashes where that was told before.
    AuthorityWiped {
        /// Which authority.
        id: KeyId,
        /// When.
        at: UnixTime,
    },
    /// One root certifies the key of another: what leads from the one to the other while both are
    /// believed.
    Crossed {
        /// Whose key it certifies.
        id: KeyId,
        /// Who signed it.
        by: KeyId,
        /// The certificate.
        certificate: Certificate,
    },
    /// A birth: the device as it shall be, and its birth certificate.
    Born {
        /// The row as it shall be.
        device: Device,
        /// The version that this was decided on; `None` for a new device.
        expected: Option<u64>,
        /// Its birth certificate.
        credential: Credential,
        /// Birth certificates of the same device that this one replaces; revoked as superseded.
        replaces: Vec<Serial>,
    },
    /// A join or a renewal: the device as it shall be, and its leaf.
    Leafed {
        /// The row as it shall be.
        device: Device,
        /// The version that this was decided on; `None` for a new device.
        expected: Option<u64>,
        /// Its leaf.
        leaf: Credential,
        /// From when on a device that has not renewed it is past its renewal; `None` is half its
        /// life.
        due: Option<UnixTime>,
        /// Leaves of the same device that this one replaces at once; revoked as superseded.
        supersedes: Vec<Serial>,
        /// The token that was shown, of which one use goes.
        token: Option<TokenId>,
    },
    /// A handshake with a credential completed for the first time. Clashes where it was used
    /// before.
    Used {
        /// Which credential.
        serial: Serial,
        /// When.
        at: UnixTime,
        /// From when on the device's earlier leaves are spent, those excepted that are spent
        /// sooner.
        earlier_end: UnixTime,
    },
    /// A device moves to another standing.
    Stood {
        /// Which device.
        device: DeviceId,
        /// The version that this was decided on.
        expected: u64,
        /// Its standing from now on.
        to: Standing,
        /// What becomes of its credentials.
        credentials: Fate,
    },
    /// Credentials are revoked, and with each of them every leaf of the same key.
    ///
    /// For [`Reason::KeyCompromise`] the key is marked for good, its birth certificate is revoked
    /// too, and what was revoked for another reason is now revoked for this one.
    /// [`Reason::CertificateHold`] can be lifted by [`Fate::Unhold`]; every other reason is final
    /// and keeps the moment of a hold that went before.
    Revoked {
        /// Which credentials.
        serials: Vec<Serial>,
        /// Why.
        reason: Reason,
    },
    /// Credentials are off hold, and with each of them every leaf of the same key; what was revoked
    /// for good stays so. Clashes where none of them is on hold.
    Released {
        /// Which credentials.
        serials: Vec<Serial>,
    },
    /// A device is in these groups and no others.
    Grouped {
        /// Which device.
        device: DeviceId,
        /// The version that this was decided on.
        expected: u64,
        /// The groups.
        groups: BTreeSet<GroupName>,
    },
    /// What is known of a device is destroyed; its row, its UUID and its entries' digests stay.
    Erased(Erasure),
    /// Something contradicted what is known of a device.
    Marked {
        /// Which device.
        device: DeviceId,
        /// One sentence.
        mark: String,
    },
    /// A mark is understood, and the device has none any more; the entry of this change keeps it.
    Unmarked {
        /// Which device.
        device: DeviceId,
        /// The version that this was decided on: nobody takes away what came since.
        expected: u64,
    },
    /// What a device says of itself, in place of what it said before.
    Reported {
        /// Which device.
        device: DeviceId,
        /// What it says.
        report: Report,
    },
    /// Two parties were found to hold the identity of a device: the entry of this change tells of
    /// both, and [`crate::Registry::caught`] finds it.
    Caught {
        /// Which device.
        device: DeviceId,
        /// One sentence.
        mark: String,
    },
    /// A new join token.
    TokenMade(Token),
    /// A join token ends.
    TokenRevoked {
        /// Which token.
        id: TokenId,
        /// When.
        at: UnixTime,
    },
    /// A door as it shall be, new or not. Of births and of tokens, which name no door, there is one
    /// door each: clashes with another, and with another that is open where this one opens.
    DoorSet(Door),
    /// A door goes, by its name.
    DoorRemoved(String),
    /// A profile as it shall be, new or not.
    ProfileSet(Profile),
    /// A setting of the realm or of a group.
    SettingSet {
        /// Its key.
        key: String,
        /// For which group; `None` for the whole realm.
        group: Option<GroupName>,
        /// Its value; `None` takes the setting away.
        value: Option<String>,
    },
    /// A new operator. Clashes where its name or its id is taken.
    OperatorSet(Operator),
    /// An operator goes, by its name. Clashes where it is the last admin.
    OperatorRemoved(String),
    /// A sink as it shall be, new or not; the name names it.
    SinkSet(Sink),
    /// A sink goes, by its name.
    SinkRemoved(String),
    /// Several at once, under one entry: all of them or none, each seeing those before it.
    Batch(Vec<Change>),
}

/// What is destroyed of a device, and what keeps its identifiers from being used again.
#[derive(Clone, Debug)]
pub struct Erasure {
    /// Which device.
    pub device: DeviceId,
    /// The version that this was decided on.
    pub expected: u64,
    /// Entries that tell of it and are about no device, besides those about it.
    pub entries: Vec<u64>,
    /// Tokens that name it.
    pub tokens: Vec<TokenId>,
    /// Keyed digests of its identifiers.
    pub digests: Vec<[u8; 32]>,
}

/// What a device last said of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// When.
    pub at: UnixTime,
    /// The version of what it runs.
    pub firmware: Option<String>,
    /// What is printed on it; nobody's word but its own.
    pub identifiers: Identifiers,
}

/// What becomes of a device's credentials when its standing changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its leaves that are not revoked go on hold.
    Hold,
    /// Its leaves that are on hold are good again.
    Unhold,
    /// Its leaves are revoked for good, also those on hold; with [`Standing::Retired`] the birth
    /// certificate too.
    Revoke(Reason),
    /// They stay as they are.
    Keep,
}

/// The entry that tells of a change; the writer gives it its number.
#[derive(Clone, Debug)]
pub struct Draft {
    /// What kind of event; public.
    pub class: ledger::Class,
    /// What happened, as `ledger::Payload` encodes it; private. At most 16 KiB, which
    /// `ledger::Payload` sees to.
    pub payload: Vec<u8>,
    /// 32 fresh random octets: without them nobody can guess a payload and compare.
    pub salt: [u8; 32],
    /// When it was decided. The public entry tells the hour; tokens are checked against it.
    pub at: UnixTime,
    /// Which device it is about, so that its history is found; private.
    pub device: Option<DeviceId>,
}

impl Draft {
    /// A draft of what the payload says, which names the device that it is about as `device`.
    #[must_use]
    pub fn new(
        class: ledger::Class,
        payload: &ledger::Payload,
        salt: [u8; 32],
        at: UnixTime,
    ) -> Self {
        Self { class, payload: payload.encode(), salt, at, device: about(payload) }
    }
}

/// The device that a payload is about.
pub(crate) fn about(payload: &ledger::Payload) -> Option<DeviceId> {
    payload.get("device")?.as_text().and_then(DeviceId::parse)
}

/// A change is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The number of its entry in the realm's ledger, from 0.
    pub index: u64,
}

/// Why a change was not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitError {
    /// The facts that it was decided on are no longer so. Gather them again and decide anew.
    Conflict(Clash),
    /// More is waiting than the writer can take; nothing was written. The requester may try again
    /// in a second.
    Busy,
    /// The file could not be written (disk full, I/O). Nothing of it is seen; only where a sync
    /// failed and the process is killed before the next commit, the change may be there afterwards,
    /// whole and with its entry, as after a lost answer. The operator's move; the registry keeps
    /// serving.
    Storage(String),
    /// The registry is closed, or was closed before the change was written.
    Closed,
}

/// Who is told what became of a change, once; mostly the sending half of a channel.
pub type Told<T> = Box<dyn FnOnce(Result<T, CommitError>) + Send>;

/// Which precondition did not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clash {
    /// The device has changed since.
    DeviceVersion,
    /// The key is compromised, is another device's, or was born under another record.
    KeyKnown,
    /// The certificate serial number is taken.
    SerialKnown,
    /// The token has no use left, is revoked, or has ended.
    TokenSpent,
    /// What shall be new exists: a device with this UUID or these identifiers, a realm, a token, an
    /// operator, a first use.
    Exists,
    /// The last admin stays, since nobody could make another one.
    LastAdmin,
    /// What shall change does not exist: a realm, a device, a credential, a token, a door.
    Missing,
    /// The authority has changed since, or the one that signed was barred.
    AuthorityState,
    /// The last authority of this role that signs stays until it has a successor.
    LastSigner(authority::Role),
    /// The request of an authority was answered or given up.
    RequestGone,
    /// There is another door of this kind, of which there is only one.
    SecondDoor,
}

impl fmt::Display for Clash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DeviceVersion => "the device has changed since this was decided",
            Self::KeyKnown => "the key is known for another device or as compromised",
            Self::SerialKnown => "the certificate serial number is taken",
            Self::TokenSpent => "the token has no use left",
            Self::Exists => "it exists already",
            Self::LastAdmin => "it is the last admin",
            Self::Missing => "it does not exist",
            Self::AuthorityState => "the authority has changed since this was decided",
            Self::LastSigner(_) => "it is the last authority of its role that signs",
            Self::RequestGone => "the request is answered or given up",
            Self::SecondDoor => "there is another door of this kind",
        })
    }
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict(clash) => write!(f, "conflict: {clash}"),
            Self::Busy => f.write_str("more changes are waiting than can be written"),
            Self::Storage(cause) => write!(f, "the registry cannot be written: {cause}"),
            Self::Closed => f.write_str("the registry is closed"),
        }
    }
}

impl std::error::Error for CommitError {}

/// Credentials or the standing of a device ended, durably: every session under one of these keys
/// ends now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The realm.
    pub realm: crate::RealmKey,
    /// The device.
    pub device: DeviceId,
    /// The keys that a session may have been opened with.
    pub keys: Vec<SpkiHash>,
}
