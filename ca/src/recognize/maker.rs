//! A maker's certificate: does it chain to an anchor of a door, and what does the door read in it.
//!
//! A path climbs from the holder over certificates that were shown, in whatever order, up to an
//! anchor, which may be a root or an authority below one and whose own dates do not matter (RFC
//! 5280 §6.1.1 d).

use super::{Recognized, check_critical, check_dates, check_holder, denied};
use const_oid::db::rfc4519;
use der::asn1::OctetStringRef;
use identity::certificate::{attribute, hardware_serial};
use identity::door::{Door, DoorKind, MakerRule, SerialPlace};
use identity::{Certificate, Defect, Identifiers, Refusal, RuleId, UnixTime};
use x509_cert::ext::pkix::name::GeneralName;

/// A holder, at most four authorities and a root: the longest chain of a maker that was seen in the
/// field has four.
const CHAIN_MAX: usize = 6;
/// Signatures that one stranger may have checked. A chain of six needs six; more happens only where
/// names repeat.
const SIGNATURES_MAX: usize = 16;

/// What a maker's door says; `None` where no door knows the maker.
pub(super) fn recognize(
    chain: &[Certificate],
    doors: &[Door],
    now: UnixTime,
) -> Result<Option<Recognized>, Refusal> {
    let makers: Vec<(&Door, &MakerRule)> = doors.iter().filter_map(maker).collect();
    let [holder, above @ ..] = chain else { return Ok(None) };
    if makers.is_empty() {
        return Ok(None);
    }
    if chain.len() > CHAIN_MAX {
        let sentence = format!("a chain has at most {CHAIN_MAX} certificates, not {}", chain.len());
        return Err(Refusal::Malformed(Defect::new("chain-too-long", sentence)));
    }
    let mut climb = Climb { makers: &makers, now, checked: Vec::new(), ends: Vec::new() };
    climb.up(holder, &above.iter().collect::<Vec<_>>(), Step { authorities: 0, objection: None });
    choose(&climb.ends, &makers, holder, now)
}

fn maker(door: &Door) -> Option<(&Door, &MakerRule)> {
    match &door.kind {
        DoorKind::Maker(rule) => Some((door, rule)),
        DoorKind::Birth | DoorKind::Token => None,
    }
}

/// The first open door that lets the holder in; else the first reason why one does not; else that
/// it is closed.
fn choose(
    ends: &[End],
    makers: &[(&Door, &MakerRule)],
    holder: &Certificate,
    now: UnixTime,
) -> Result<Option<Recognized>, Refusal> {
    let mut first = None;
    for (at, (door, rule)) in makers.iter().enumerate() {
        let Some(end) = best(ends, at) else { continue };
        let entered = match (&end.objection, door.open) {
            (_, false) => denied(RuleId::DOOR_CLOSED),
            (Some(objection), true) => Err(objection.clone()),
            (None, true) => enter(door, rule, holder, now),
        };
        match entered {
            Ok(found) => return Ok(Some(found)),
            Err(refusal) => first = more_telling(first, refusal),
        }
    }
    first.map_or(Ok(None), Err)
}

/// An open door's reason tells more than that another one is closed.
fn more_telling(first: Option<Refusal>, next: Refusal) -> Option<Refusal> {
    first.filter(|f| *f != Refusal::Denied(RuleId::DOOR_CLOSED)).or(Some(next))
}

/// A path to the door at `at`, one without an objection where there is one.
fn best(ends: &[End], at: usize) -> Option<&End> {
    ends.iter().filter(|e| e.door == at).min_by_key(|e| e.objection.is_some())
}

/// Where a path ended: at an anchor of this door, and what was wrong on the way.
struct End {
    door: usize,
    objection: Option<Refusal>,
}

/// How far a path has come.
#[derive(Clone)]
struct Step {
    /// Authorities below that are not self-issued, which a path length counts (RFC 5280 §6.1.4 l).
    authorities: u8,
    objection: Option<Refusal>,
}

struct Climb<'a> {
    makers: &'a [(&'a Door, &'a MakerRule)],
    now: UnixTime,
    /// Signatures that were checked: of what, by what, and whether it held. Doors may share an
    /// anchor.
    checked: Vec<([u8; 32], [u8; 32], bool)>,
    ends: Vec<End>,
}

impl Climb<'_> {
    /// One step from `at`: first to the doors' anchors, then to each certificate that is left and
    /// signed it.
    fn up(&mut self, at: &Certificate, left: &[&Certificate], step: Step) {
        self.land(at, &step);
        for (index, next) in left.iter().enumerate() {
            if !self.signed(at, next) {
                continue;
            }
            let objection = step.objection.clone().or(self.objection(next, step.authorities));
            let self_issued = next.subject() == next.issuer();
            let authorities = step.authorities.saturating_add(u8::from(!self_issued));
            let rest: Vec<_> =
                left.iter().enumerate().filter(|(i, _)| *i != index).map(|(_, c)| *c).collect();
            self.up(next, &rest, Step { authorities, objection });
        }
    }

    /// Notes every door of which an anchor signed `at`. An anchor that was itself shown is found
    /// one step earlier, by what it signed.
    fn land(&mut self, at: &Certificate, step: &Step) {
        let makers = self.makers;
        for (door, (_, rule)) in makers.iter().enumerate() {
            let anchor = rule.anchors.iter().find(|anchor| self.signed(at, anchor));
            let Some(anchor) = anchor else { continue };
            let objection = step.objection.clone().or(fits_below(anchor, step.authorities).err());
            self.ends.push(End { door, objection });
        }
    }

    fn signed(&mut self, below: &Certificate, above: &Certificate) -> bool {
        let ids = (below.authority_key_id(), above.subject_key_id());
        let near = below.issuer() == above.subject()
            && !matches!(ids, (Some(named), Some(id)) if named != id);
        if !near {
            return false;
        }
        let (of, by) = (below.fingerprint(), above.fingerprint());
        if let Some(known) = self.checked.iter().find(|c| (c.0, c.1) == (of, by)) {
            return known.2;
        }
        if self.checked.len() >= SIGNATURES_MAX {
            return false;
        }
        let held = below.signed_by(above).is_ok();
        self.checked.push((of, by, held));
        held
    }

    /// What is wrong with an authority on the way, if anything.
    fn objection(&self, authority: &Certificate, below: u8) -> Option<Refusal> {
        let checks = [
            check_critical(authority),
            fits_below(authority, below),
            check_dates(authority, self.now),
        ];
        checks.into_iter().find_map(Result::err)
    }
}

/// Whether an authority may sign at all, and with so many authorities below it.
fn fits_below(authority: &Certificate, below: u8) -> Result<(), Refusal> {
    match authority.authority() {
        Some(length) if length.is_none_or(|l| below <= l) => Ok(()),
        _ => denied(RuleId::UNKNOWN_ISSUER),
    }
}

/// The holder itself, as the door reads it.
fn enter(
    door: &Door,
    rule: &MakerRule,
    holder: &Certificate,
    now: UnixTime,
) -> Result<Recognized, Refusal> {
    check_holder(holder)?;
    check_dates(holder, now)?;
    let serial = serial(rule, holder).filter(|s| !s.is_empty());
    let serial = serial.ok_or(Refusal::Denied(RuleId::NO_SERIAL))?;
    if rule.allow.as_ref().is_some_and(|allowed| !allowed.contains(&serial)) {
        return denied(RuleId::NOT_ALLOWED);
    }
    let (maker, model) = (door.name.clone(), rule.model.clone());
    let identifiers = Identifiers { maker, model, serial, ..Identifiers::default() }
        .check()
        .map_err(|sentence| Refusal::Malformed(Defect::new("identifiers", sentence)))?;
    Ok(Recognized::Maker {
        door: door.name.clone(),
        identifiers: Box::new(identifiers),
        spki: holder.spki_hash(),
    })
}

fn serial(rule: &MakerRule, holder: &Certificate) -> Option<String> {
    match rule.place {
        SerialPlace::SubjectSerialNumber => holder.subject_serial_number(),
        SerialPlace::CommonName => {
            let (front, back) = rule.pattern.split_once('*')?;
            let name = holder.common_name()?;
            Some(name.strip_prefix(front)?.strip_suffix(back)?.to_owned())
        }
        SerialPlace::HardwareModuleName => {
            let octets = holder.hardware_module()?.hw_serial_num;
            Some(hardware_serial(OctetStringRef::new(octets.as_bytes()).ok()?))
        }
        SerialPlace::DirectoryName => holder.alternative_names().iter().find_map(|n| match n {
            GeneralName::DirectoryName(name) => attribute(name, rfc4519::SERIAL_NUMBER),
            _ => None,
        }),
    }
}
