//! What a request to move many devices asks for, read.

use super::super::State;
use super::super::change::Deed;
use super::super::device::selector;
use super::super::page::cursor;
use super::super::refuse::Refused;
use super::super::said::{group, remark, within};
use super::super::who::Who;
use crate::standing::Move;
use api::moves::NAMED_MAX;
use api::{DeviceMove, MovesRequest};
use identity::DeviceId;
use identity::selector::Selector;
use identity::text::rfc3339;
use registry::Role;

/// A moment as it is shown, `2026-05-01T08:00:00Z`.
const MOMENT_OCTETS: usize = 20;
/// The largest fleet that somebody may want to move at once.
const AT_MOST_MAX: u64 = 100_000_000;

/// What was asked for, read.
pub(super) struct Plan {
    pub(super) deed: Deed,
    pub(super) whom: Whom,
    pub(super) dry_run: bool,
    pub(super) at_most: u64,
    /// As it is shown, which compares as time does.
    pub(super) frozen: String,
}

/// Which devices.
pub(super) enum Whom {
    Where(Selector, Option<Place>),
    Named(Vec<String>),
}

/// Where a page ended, `UUID.COUNT`: behind which device the next one goes on, and how many were
/// selected up to it, so that all pages together stay below what the caller has said. It is not
/// signed: who would make one up may as well say that more may be moved.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) after: DeviceId,
    pub(super) selected: u64,
}

impl Place {
    fn parse(text: &str) -> Option<Self> {
        let (after, selected) = text.split_once('.')?;
        Some(Self { after: DeviceId::parse(after)?, selected: selected.parse().ok()? })
    }

    pub(super) fn told(after: DeviceId, selected: u64) -> String {
        format!("{after}.{selected}")
    }
}

impl Plan {
    /// Reads it, and refuses what makes no sense or is not for this role.
    pub(super) fn read(state: &State, who: &Who, request: MovesRequest) -> Result<Self, Refused> {
        let reason = request.reason.as_deref().map(|r| remark("reason", r)).transpose()?;
        let deed = deed(request.wanted, request.group.as_deref(), reason)?;
        // One device is struck off by its operator; a fleet is not.
        if request.wanted == DeviceMove::Retire && who.role != Role::Admin {
            return Err(Refused::Role { has: who.role, needs: "`admin` for many at once" });
        }
        let at_most = within("at_most", request.at_most, 1, AT_MOST_MAX)?;
        let frozen = match request.frozen {
            None => rfc3339(state.house.clock.now()),
            Some(text) if text.len() == MOMENT_OCTETS && text.ends_with('Z') => text,
            Some(_) => {
                let sentence = "`frozen` is what the answer before said".to_owned();
                return Err(Refused::Malformed(sentence));
            }
        };
        let after = cursor(request.after.as_deref(), Place::parse)?;
        let whom = match (request.selector, request.devices) {
            (Some(text), None) => Whom::Where(selector(&text)?, after),
            (None, Some(_)) if after.is_some() => {
                return Err(Refused::Malformed("`after` goes with `where`".to_owned()));
            }
            (None, Some(names)) if names.len() <= NAMED_MAX => Whom::Named(names),
            (None, Some(_)) => {
                let sentence = format!("`devices` has at most {NAMED_MAX} names");
                return Err(Refused::Malformed(sentence));
            }
            _ => {
                let sentence = "either `where` or `devices` says which devices".to_owned();
                return Err(Refused::Malformed(sentence));
            }
        };
        Ok(Self { deed, whom, dry_run: request.dry_run, at_most, frozen })
    }
}

fn deed(wanted: DeviceMove, named: Option<&str>, reason: Option<String>) -> Result<Deed, Refused> {
    let into = |into: bool| match named {
        Some(text) => Ok(Deed::Group(group(text)?, into)),
        None => Err(Refused::Malformed("`group` is missing".to_owned())),
    };
    let wanted = match wanted {
        DeviceMove::GroupAdd => return into(true),
        DeviceMove::GroupRemove => return into(false),
        DeviceMove::Suspend => Move::Suspend,
        DeviceMove::Resume => Move::Resume,
        DeviceMove::Quarantine => Move::Quarantine,
        DeviceMove::Release => Move::Release,
        DeviceMove::Retire => Move::Retire,
    };
    match named {
        None => Ok(Deed::Stand(wanted, reason)),
        Some(_) => {
            Err(Refused::Malformed("`group` goes with `group-add` or `group-remove`".into()))
        }
    }
}
