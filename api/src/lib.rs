//! The operators' contract: the types that the REST interface at 9443 `/api/v1` sends and takes,
//! one to one. Server, command line and OpenAPI document are made from the same types, so that they
//! cannot disagree.
//!
//! Read on in [`path`] for the addresses, in [`device`] for what most of it is about, and in
//! [`problem`] for how a refusal looks. Rules that hold everywhere: member names are lower
//! snake_case; moments are RFC 3339 in UTC; digests, serial numbers and key identifiers are
//! lower-case hex; a member that may be absent is `null`; unknown members of a request are refused,
//! and unknown members of an answer are to be ignored.

pub mod birth;
pub mod certificate;
pub mod device;
pub mod door;
pub mod ledger;
pub mod moves;
pub mod operator;
pub mod page;
pub mod path;
pub mod problem;
pub mod realm;
pub mod sink;
pub mod token;
mod word;

pub use birth::{BirthBatch, BirthOutcome, BirthRequest, BirthResult, BirthResults};
pub use certificate::{
    AuthorityCsr, AuthorityInstall, AuthorityRequest, AuthorityRevocation, AuthorityRole,
    AuthorityState, AuthorityStateRequest, AuthorityView, CertificateKind, CertificateState,
    CertificateView, CrlInstall, KeyKind, Reason, ReleaseResult, RevocationRequest,
    RevocationResult, RevocationView, RootRoll, RootsView,
};
pub use device::{
    Assurance, CloneView, ContactView, DeviceView, EraseResult, GroupView, HolderView, ReportView,
    Standing, StandingRequest, UnmarkRequest,
};
pub use door::{DoorKind, DoorRequest, DoorView, Maker, ProfileRequest, ProfileView, SerialPlace};
pub use ledger::{
    EntryRow, EntryView, GrowthView, HeadView, Severity, WitnessRequest, WitnessView,
};
pub use moves::{DeviceMove, MoveFailure, MoveSample, MovesRequest, MovesResult};
pub use operator::{OperatorMade, OperatorRequest, OperatorView, Role};
pub use page::Page;
pub use problem::Problem;
pub use realm::{Check, Health, Ready, RealmView, SettingRequest, SettingView};
pub use sink::{
    DeadLetter, SinkDropped, SinkFormat, SinkKind, SinkMade, SinkRequest, SinkTold, SinkView,
};
pub use token::{TokenMade, TokenRequest, TokenView};
