//! What the writer can be asked for: every kind of change, in an order in which each can succeed,
//! and as a fleet lives.

use crate::dice::Dice;
use registry::{Change, Draft, Fate, RealmKey};

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

/// Names each kind once, with how often it happens in the life of a fleet: of so many jobs as all
/// shares together it is so many.
macro_rules! kinds {
    ($($kind:ident = $share:literal),+ $(,)?) => {
        /// Every kind of thing that the writer does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "named as the changes are")]
        pub enum Kind { $($kind),+ }

        /// Every kind, and its share.
        pub const KINDS: &[(Kind, usize)] = &[$((Kind::$kind, $share)),+];
    };
}

kinds! {
    Found = 1,
    AuthorityMade = 1,
    AuthorityRetiring = 1,
    AuthorityBarred = 1,
    AuthorityAsked = 1,
    AuthorityDropped = 1,
    AuthorityCertified = 1,
    AuthorityWiped = 1,
    Crossed = 1,
    Born = 4,
    Reborn = 1,
    Leafed = 5,
    LeafedByToken = 2,
    Used = 3,
    Held = 1,
    Unheld = 2,
    Kept = 1,
    Retired = 1,
    Revoked = 1,
    Compromised = 1,
    RevokedForNow = 1,
    Released = 1,
    Erased = 1,
    Grouped = 1,
    Marked = 1,
    Unmarked = 1,
    Reported = 1,
    Caught = 1,
    TokenMade = 1,
    TokenRevoked = 1,
    DoorSet = 1,
    DoorRemoved = 1,
    ProfileSet = 1,
    SettingSet = 1,
    SettingUnset = 1,
    OperatorSet = 1,
    OperatorRemoved = 1,
    SinkSet = 1,
    SinkRemoved = 1,
    Batch = 1,
    BatchThatClashes = 1,
    Nothing = 1,
    Noted = 2,
    Unnoted = 1,
}

use Kind::*;

/// The kinds that try a change. A new change does not build without a case here; a new kind is in
/// [`KINDS`], and a run fails in which one of those never happened as it should.
pub(super) const fn kinds_of(change: &Change) -> &'static [Kind] {
    match change {
        Change::Nothing => &[Nothing],
        Change::Found(_) => &[Found],
        Change::AuthorityRequested(_) => &[AuthorityAsked],
        Change::AuthorityRequestDropped(_) => &[AuthorityDropped],
        Change::Authority(_) => &[AuthorityMade],
        Change::AuthorityState { .. } => &[AuthorityRetiring, AuthorityBarred],
        Change::AuthorityCertified { .. } => &[AuthorityCertified],
        Change::AuthorityWiped { .. } => &[AuthorityWiped],
        Change::Crossed { .. } => &[Crossed],
        Change::Born { .. } => &[Born, Reborn],
        Change::Leafed { .. } => &[Leafed, LeafedByToken],
        Change::Used { .. } => &[Used],
        Change::Stood { credentials, .. } => match credentials {
            Fate::Hold => &[Held],
            Fate::Unhold => &[Unheld],
            Fate::Revoke(_) => &[Retired],
            Fate::Keep => &[Kept],
        },
        Change::Revoked { .. } => &[Revoked, Compromised, RevokedForNow],
        Change::Released { .. } => &[Released],
        Change::Grouped { .. } => &[Grouped],
        Change::Erased(_) => &[Erased],
        Change::Marked { .. } => &[Marked],
        Change::Unmarked { .. } => &[Unmarked],
        Change::Reported { .. } => &[Reported],
        Change::Caught { .. } => &[Caught],
        Change::TokenMade(_) => &[TokenMade],
        Change::TokenRevoked { .. } => &[TokenRevoked],
        Change::DoorSet(_) => &[DoorSet],
        Change::DoorRemoved(_) => &[DoorRemoved],
        Change::ProfileSet(_) => &[ProfileSet],
        Change::SettingSet { value, .. } => match value {
            Some(_) => &[SettingSet],
            None => &[SettingUnset],
        },
        Change::OperatorSet(_) => &[OperatorSet],
        Change::OperatorRemoved(_) => &[OperatorRemoved],
        Change::SinkSet(_) => &[SinkSet],
        Change::SinkRemoved(_) => &[SinkRemoved],
        Change::Batch(_) => &[Batch, BatchThatClashes],
    }
}

/// One of them, as often as its share says.
pub(super) fn drawn(dice: &mut Dice) -> Kind {
    let mut left = dice.below(KINDS.iter().map(|(_, share)| share).sum());
    let found = KINDS.iter().find(|(_, share)| match left.checked_sub(*share) {
        Some(less) => {
            left = less;
            false
        }
        None => true,
    });
    found.map_or(Nothing, |(kind, _)| *kind)
}

/// Each kind at least once, in an order in which it can succeed, a line for what belongs together.
#[rustfmt::skip]
pub(super) const SCRIPT: &[Kind] = &[
    Found, AuthorityMade, AuthorityRetiring,
    AuthorityAsked, AuthorityDropped, AuthorityAsked, AuthorityCertified, AuthorityWiped, Crossed,
    AuthorityBarred,
    Born, Born, Born, Born, Leafed, Leafed, Leafed, Used, Leafed, Used,
    Held, Unheld, Kept, Unheld, RevokedForNow, Released, Caught, Reported, Grouped, Marked,
    Unmarked,
    TokenMade, LeafedByToken, TokenRevoked,
    DoorSet, DoorRemoved, DoorSet, ProfileSet, SettingSet, SettingUnset,
    OperatorSet, OperatorRemoved, SinkSet, SinkRemoved, SinkSet,
    Batch, BatchThatClashes, Nothing, Noted, Unnoted,
    Reborn, Revoked, Retired, Erased, Compromised,
];
