//! What operators do with many devices at once: by a selector or by names, in pages, so that no
//! request runs for long and others get their turn in between.
//!
//! The first request counts before anything is moved, and refuses where more are selected than the
//! caller has said. What comes to be while the pages go on is left alone (`frozen`). The commits of
//! a page are all queued before the first is waited for, and so share their fsync; each device is
//! decided on, checked and told of as if it were the only one.

mod plan;

use super::body::Json;
use super::device::{holds, resolve};
use super::openapi::{Idempotent, Problems};
use super::refuse::Refused;
use super::who::{Operating, Who};
use super::{Answer, State, apart, view};
use api::moves::AT_MOST_DEFAULT;
use api::{MoveFailure, MoveSample, MovesRequest, MovesResult};
use identity::selector::Selector;
use identity::text::rfc3339;
use identity::{Device, DeviceId};
use plan::{Place, Plan, Whom};
use registry::{Clash, CommitError, Committed, DeviceFilter};
use std::collections::BTreeSet;

/// Devices that one request moves: their commits are some 10 ms of the writer, which a device that
/// renews meanwhile waits for.
const PAGE: usize = 250;
/// Rows that one read looks at.
const READ: usize = 1000;
/// Rows that one request looks at while it moves; a selector may pick few of many.
const LOOKED_AT_MAX: usize = 50_000;
/// How often one device is decided on anew because another change crossed it.
const DECISIONS_MAX: usize = 4;
/// What a dry run shows.
const SAMPLE: usize = 10;

/// Moves many devices: all for which a selector holds, or those that are named.
#[utoipa::path(post, path = api::path::DEVICE_MOVES, tag = "devices", params(Idempotent),
    request_body = MovesRequest, responses((status = 200, body = MovesResult), Problems))]
pub(crate) async fn moves(
    state: State,
    Operating(who): Operating,
    Json(request): Json<MovesRequest>,
) -> Answer<MovesResult> {
    let plan = Plan::read(&state, &who, request)?;
    let dry_run = plan.dry_run;
    let (reading, by) = (state.clone(), who.clone());
    let (plan, page) = apart(move || {
        let page = plan.page(&reading, &by)?;
        Ok((plan, page))
    })
    .await?;
    match dry_run {
        true => Ok(axum::Json(page.result)),
        false => Ok(axum::Json(plan.carry_out(&state, &who, page).await?)),
    }
}

/// What is to be moved now, and what is known of it so far.
struct Page {
    devices: Vec<Device>,
    result: MovesResult,
}

impl Plan {
    /// Reads what this request is about; the first one counts all of it before.
    fn page(&self, state: &State, who: &Who) -> Result<Page, Refused> {
        let mut page = Page { devices: Vec::new(), result: nothing(&self.frozen) };
        match &self.whom {
            Whom::Named(names) => {
                self.named(state, who, names, &mut page)?;
                let selected = names.len() as u64;
                page.result.selected = Some(selected);
                if !self.dry_run {
                    self.bounded(selected)?;
                }
            }
            Whom::Where(selector, after) => {
                if self.dry_run || after.is_none() {
                    page.result.selected = Some(self.count(state, who, selector, &mut page)?);
                }
                if !self.dry_run {
                    // All of them before the first is moved; then those of each page.
                    self.bounded(page.result.selected.unwrap_or_default())?;
                    self.some(state, who, (selector, *after), &mut page)?;
                }
            }
        }
        Ok(page)
    }

    fn bounded(&self, selected: u64) -> Result<(), Refused> {
        if selected <= self.at_most {
            return Ok(());
        }
        let why = if self.at_most == AT_MOST_DEFAULT { ", unless more is said" } else { "" };
        let sentence = format!(
            "{selected} devices are selected, and at most {} may be{why}: look at them with a dry \
             run, then raise `at_most`",
            self.at_most
        );
        Err(Refused::Rule { rule: "at-most", sentence })
    }

    /// Looks at every device of the realm, a thousand at a time. A dry run also says what would be.
    fn count(
        &self,
        state: &State,
        who: &Who,
        selector: &Selector,
        page: &mut Page,
    ) -> Result<u64, Refused> {
        let mut count = 0;
        let mut after = None;
        loop {
            let rows = read(state, who, after)?;
            let last = rows.len() < READ;
            after = rows.last().map(|device| device.id);
            for device in &rows {
                if !self.picks(state, who, selector, device)? {
                    continue;
                }
                count += 1;
                if self.dry_run {
                    self.foresee(device, &mut page.result);
                }
            }
            if last {
                return Ok(count);
            }
        }
    }

    fn picks(
        &self,
        state: &State,
        who: &Who,
        selector: &Selector,
        device: &Device,
    ) -> Result<bool, Refused> {
        Ok(rfc3339(device.born) <= self.frozen && holds(selector, state, who, device)?)
    }

    /// The next page of those for which the selector holds.
    fn some(
        &self,
        state: &State,
        who: &Who,
        (selector, place): (&Selector, Option<Place>),
        page: &mut Page,
    ) -> Result<(), Refused> {
        let before = place.map_or(0, |place| place.selected);
        let mut after = place.map(|place| place.after);
        let mut left = false;
        'reads: for _ in 0..LOOKED_AT_MAX / READ {
            let rows = read(state, who, after)?;
            left = rows.len() == READ;
            for device in rows {
                after = Some(device.id);
                if self.picks(state, who, selector, &device)? {
                    page.devices.push(device);
                }
                if page.devices.len() == PAGE {
                    left = true;
                    break 'reads;
                }
            }
            if !left {
                break;
            }
        }
        // Also what came to be selected since it was counted, and a place that somebody made up.
        let selected = before.saturating_add(page.devices.len() as u64);
        self.bounded(selected)?;
        page.result.next = after.filter(|_| left).map(|after| Place::told(after, selected));
        Ok(())
    }

    fn named(
        &self,
        state: &State,
        who: &Who,
        names: &[String],
        page: &mut Page,
    ) -> Result<(), Refused> {
        let mut seen = BTreeSet::new();
        for name in names {
            match resolve(state, who, name) {
                // Named twice, in two ways perhaps: it is there after the first.
                Ok(device) if !seen.insert(device.id) => page.result.already += 1,
                Ok(device) if self.dry_run => self.foresee(&device, &mut page.result),
                Ok(device) => page.devices.push(device),
                Err(refused) if refused.is_ours() => return Err(refused),
                Err(refused) => refuse(&mut page.result, name, &refused, self.dry_run),
            }
        }
        Ok(())
    }

    fn foresee(&self, device: &Device, result: &mut MovesResult) {
        if result.sample.len() < SAMPLE {
            result.sample.push(sample(device));
        }
        match self.deed.would(device) {
            Ok(true) => result.moved += 1,
            Ok(false) => result.already += 1,
            Err(refused) => refuse(result, &device.id.to_string(), &refused, true),
        }
    }

    /// Queues the commits of a page, then waits for each; decides anew where another change crossed
    /// one.
    async fn carry_out(
        &self,
        state: &State,
        who: &Who,
        page: Page,
    ) -> Result<MovesResult, Refused> {
        let Page { devices, mut result } = page;
        for some in devices.chunks(PAGE) {
            let mut waiting = Vec::with_capacity(some.len());
            for device in some {
                let begun = self.begin(state, who, device);
                waiting.push((device.id, begun));
            }
            for (id, begun) in waiting {
                match self.end(state, who, id, begun).await {
                    Ok(true) => result.moved += 1,
                    Ok(false) => result.already += 1,
                    Err(refused) if refused.is_ours() => return Err(refused),
                    Err(refused) => refuse(&mut result, &id.to_string(), &refused, false),
                }
            }
        }
        Ok(result)
    }

    fn begin(
        &self,
        state: &State,
        who: &Who,
        device: &Device,
    ) -> Result<Option<impl Future<Output = Result<Committed, CommitError>> + Send + use<>>, Refused>
    {
        let decided = self.deed.decide(state, who, device)?;
        Ok(decided.map(|(change, class, payload)| {
            state.house.queue(who.realm.key, change, class, payload)
        }))
    }

    /// Whether the device was moved; `false` where it was there already.
    async fn end(
        &self,
        state: &State,
        who: &Who,
        id: DeviceId,
        begun: Result<Option<impl Future<Output = Result<Committed, CommitError>> + Send>, Refused>,
    ) -> Result<bool, Refused> {
        let Some(commit) = begun? else { return Ok(false) };
        let mut done = commit.await;
        for _ in 1..DECISIONS_MAX {
            match done {
                Err(CommitError::Conflict(Clash::DeviceVersion)) => {}
                Err(error) => return Err(error.into()),
                Ok(_) => return Ok(true),
            }
            let device = resolve(state, who, &id.to_string())?;
            match self.begin(state, who, &device)? {
                None => return Ok(false),
                Some(commit) => done = commit.await,
            }
        }
        done.map(|_| true).map_err(Refused::from)
    }
}

fn read(state: &State, who: &Who, after: Option<DeviceId>) -> Result<Vec<Device>, Refused> {
    Ok(state.house.registry.devices(who.realm.key, &DeviceFilter::default(), after, READ)?)
}

fn nothing(frozen: &str) -> MovesResult {
    MovesResult {
        selected: None,
        moved: 0,
        already: 0,
        refused: 0,
        failures: Vec::new(),
        sample: Vec::new(),
        frozen: frozen.to_owned(),
        next: None,
    }
}

fn refuse(result: &mut MovesResult, device: &str, refused: &Refused, dry_run: bool) {
    result.refused += 1;
    if !dry_run || result.failures.len() < SAMPLE {
        let (rule, reason) = (refused.rule().to_owned(), refused.detail());
        result.failures.push(MoveFailure { device: device.to_owned(), rule, reason });
    }
}

fn sample(device: &Device) -> MoveSample {
    MoveSample {
        id: device.id.to_string(),
        maker: device.identifiers.maker.clone(),
        model: device.identifiers.model.clone(),
        serial: device.identifiers.serial.clone(),
        standing: view::standing(device.standing),
    }
}
