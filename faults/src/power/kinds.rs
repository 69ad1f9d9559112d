//! What the writer can be asked for: every kind of change, in an order in which each can succeed,
//! and as a fleet lives.

use registry::{Change, Draft, RealmKey};

/// Something for the writer to do.
#[derive(Clone, Debug)]
pub struct Job {
    /// In which realm.
    pub realm: RealmKey,
    /// Of which kind.
    pub kind: Kind,
    /// What.
    pub what: Task,
}

/// What the writer can be asked for.
#[derive(Clone, Debug)]
pub enum Task {
    /// A change and its entry.
    Change(Box<Change>, Draft),
    /// A note.
    Note(Vec<u8>, Option<Vec<u8>>),
}

/// Every kind of thing that the writer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "named as the changes are")]
pub enum Kind {
    Found,
    AuthorityMade,
    AuthorityRetiring,
    Born,
    Reborn,
    Leafed,
    LeafedByToken,
    Used,
    Held,
    Unheld,
    Kept,
    Retired,
    Revoked,
    Compromised,
    Grouped,
    Marked,
    TokenMade,
    TokenRevoked,
    DoorSet,
    DoorRemoved,
    ProfileSet,
    SettingSet,
    SettingUnset,
    OperatorSet,
    OperatorRemoved,
    Batch,
    BatchThatClashes,
    Nothing,
    Noted,
    Unnoted,
}

use Kind::*;

/// Each kind at least once, in an order in which it can succeed.
pub(super) const SCRIPT: [Kind; 39] = [
    Found,
    AuthorityMade,
    AuthorityRetiring,
    Born,
    Born,
    Born,
    Born,
    Leafed,
    Leafed,
    Leafed,
    Used,
    Leafed,
    Used,
    Held,
    Unheld,
    Kept,
    Unheld,
    Grouped,
    Marked,
    TokenMade,
    LeafedByToken,
    TokenRevoked,
    DoorSet,
    DoorRemoved,
    DoorSet,
    ProfileSet,
    SettingSet,
    SettingUnset,
    OperatorSet,
    OperatorRemoved,
    Batch,
    BatchThatClashes,
    Nothing,
    Noted,
    Unnoted,
    Reborn,
    Revoked,
    Retired,
    Compromised,
];

/// Every kind.
pub const KINDS: &[Kind] = &SCRIPT;

/// What happens most in a fleet, and the rest now and then.
pub(super) const LIFE: [Kind; 40] = [
    Found,
    AuthorityMade,
    AuthorityRetiring,
    Born,
    Born,
    Born,
    Born,
    Reborn,
    Leafed,
    Leafed,
    Leafed,
    Leafed,
    Leafed,
    LeafedByToken,
    LeafedByToken,
    Used,
    Used,
    Used,
    Held,
    Unheld,
    Unheld,
    Kept,
    Retired,
    Revoked,
    Compromised,
    Grouped,
    Marked,
    TokenMade,
    TokenRevoked,
    DoorSet,
    DoorRemoved,
    ProfileSet,
    SettingSet,
    OperatorSet,
    Batch,
    BatchThatClashes,
    Nothing,
    Noted,
    Noted,
    Unnoted,
];
