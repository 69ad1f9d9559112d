//! The operations authority gives way to a successor while devices join and renew, by what `muster
//! ca roll operations --root-key FILE` does: a key made on the server, a signature of the root's key
//! that the server never sees, an installation. Nobody is refused on the way.

use super::scene::{Stage, Told, each};
use super::unit::Unit;
use crate::command::ca;
use crate::command::root::Root;
use crate::credential::OperatorFile;
use crate::failure::{Failure, Outcome};
use crate::rest::Rest;
use agent::CallError;
use api::{AuthorityRequest, AuthorityRole, AuthorityState, AuthorityView, KeyKind};
use enroll::est::{Reply, client};
use identity::{Certificate, RealmName};
use indicatif::ProgressBar;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How often the gauge is read while leaves move over: as often as a person sees it change.
const LOOK: Duration = Duration::from_millis(100);
/// The server counts large fleets once a minute; a gauge that shows leaves after that shows leaves
/// that did not move.
const GAUGE_WAIT: Duration = Duration::from_secs(90);
/// The roll begins when one of so many devices that act has been served.
const BEGIN_ONE_IN: usize = 4;

impl Stage {
    /// Half of the fleet acts while the authority is rolled over; the other half comes with leaves
    /// of the old one, in the overlap.
    pub(super) async fn roll(&mut self) -> Told {
        let credential = OperatorFile::find(None, &self.home).map_err(told)?;
        let root = Root::at_home(&self.home, credential.root).map_err(told)?;
        let old = active(&self.rest).await?;
        let (mut acting, resting) = halves(std::mem::take(&mut self.units));
        let joined = acting.iter().filter(|unit| unit.leaf.is_none()).count();
        let renewed = acting.len() - joined;
        let load = Load::of(acting.len());
        self.bar.set_message("roll: a successor is signed by the root");
        let roll = async {
            load.under_way.notified().await;
            follow(&root, &self.rest).await
        };
        let (served, new) = tokio::join!(load.run(&mut acting, &self.dialer), roll);
        served?;
        let new = new.map_err(told)?.id;
        self.trusted(&[&new, &old]).await?;
        self.units = acting.into_iter().chain(resting).collect();
        let moved = self.move_over(&old, &new).await?;
        self.trusted(&[&new, &old]).await?;
        Ok((
            self.units.len() as u64,
            format!(
                "a new operations authority while {joined} devices joined and {renewed} renewed: both \
                 in cacerts, nobody refused; the gauge of leaves left with the old one: {moved}"
            ),
        ))
    }

    /// Has those renew that still have a leaf of the old authority, and reads the gauge: it must
    /// show exactly them, go down and never up, and end at none.
    async fn move_over(&mut self, old: &str, new: &str) -> Result<String, CallError> {
        let all = std::mem::take(&mut self.units);
        let (mut left, there): (Vec<Unit>, Vec<Unit>) =
            all.into_iter().partition(|unit| unit.issuer().as_deref() == Some(old));
        let mut gauge = Gauge { old, rest: &self.rest, bar: &self.bar, seen: Vec::new() };
        if gauge.read().await? != left.len() as u64 {
            return Err(
                format!("the gauge shows {:?}, and {} are left", gauge.seen, left.len()).into()
            );
        }
        let acts = each(&mut left, &self.dialer, |mut unit, dialer| async move {
            unit.renew(&dialer, false).await?;
            Ok(unit)
        });
        gauge.watch(acts).await?;
        left.extend(there);
        left.sort_by(|a, b| a.serial.cmp(&b.serial));
        if left.iter().any(|unit| unit.issuer().as_deref() != Some(new)) {
            return Err("a leaf did not move over at its renewal".into());
        }
        self.units = left;
        gauge.settle().await?;
        gauge.told()
    }

    /// A device is told of these authorities.
    async fn trusted(&self, wanted: &[&str]) -> Result<(), CallError> {
        let heard = self.dialer.call(None, client::cacerts(&RealmName::default_realm())).await?;
        let reply = client::read_cacerts(&heard.incoming()).map_err(|d| d.sentence.into_owned())?;
        let Reply::Done(found) = reply else { return Err("cacerts was refused".into()) };
        let ids: Vec<String> = found.iter().filter_map(named).collect();
        match wanted.iter().all(|id| ids.iter().any(|found| found == id)) {
            true => Ok(()),
            false => Err("cacerts does not have both authorities".into()),
        }
    }
}

fn named(certificate: &Certificate) -> Option<String> {
    certificate.subject_key_id().map(|id| id.to_string())
}

/// Those that act while the authority is rolled over, with all that have not joined yet among them,
/// and those that come later.
fn halves(units: Vec<Unit>) -> (Vec<Unit>, Vec<Unit>) {
    let mut halves = (Vec::new(), Vec::new());
    for (number, unit) in units.into_iter().enumerate() {
        match unit.leaf.is_none() || number % 2 == 0 {
            true => halves.0.push(unit),
            false => halves.1.push(unit),
        }
    }
    // By the last digits of the serial number: joins and renewals come mixed.
    halves.0.sort_by_cached_key(|unit| unit.serial.bytes().rev().collect::<Vec<u8>>());
    halves
}

/// Devices that join and renew.
struct Load {
    served: Arc<AtomicUsize>,
    begin: usize,
    under_way: Arc<Notify>,
}

impl Load {
    fn of(devices: usize) -> Self {
        let begin = devices.div_ceil(BEGIN_ONE_IN);
        Self { served: Arc::default(), begin, under_way: Arc::default() }
    }

    /// Lets each join or renew, and says when the load is under way. The roll waits for that word,
    /// so a load that fails gives it too.
    async fn run(&self, units: &mut Vec<Unit>, dialer: &agent::Dialer) -> Result<(), CallError> {
        let served = each(units, dialer, |mut unit, dialer| {
            let (served, under_way, begin) =
                (self.served.clone(), self.under_way.clone(), self.begin);
            async move {
                match unit.leaf.is_none() {
                    true => unit.join(&dialer).await?,
                    false => unit.renew(&dialer, false).await?,
                }
                if served.fetch_add(1, Ordering::Relaxed) + 1 == begin {
                    under_way.notify_one();
                }
                Ok(unit)
            }
        });
        let served = served.await;
        self.under_way.notify_one();
        served
    }
}

/// How many devices still have a leaf of the old authority, as operators see it.
struct Gauge<'a> {
    old: &'a str,
    rest: &'a Rest,
    bar: &'a ProgressBar,
    seen: Vec<u64>,
}

impl Gauge<'_> {
    async fn read(&mut self) -> Result<u64, CallError> {
        let rows = ca::all(self.rest).await.map_err(told)?;
        let row = rows.iter().find(|row| row.id == self.old).ok_or("the old authority is gone")?;
        let left = row.leaves.ok_or("the gauge of the old authority is gone")?;
        self.bar.set_message(format!("roll: {left} leaves left with the old authority"));
        self.seen.push(left);
        Ok(left)
    }

    /// Reads it from time to time until `acts` is done.
    async fn watch(
        &mut self,
        acts: impl Future<Output = Result<(), CallError>>,
    ) -> Result<(), CallError> {
        let mut acts = std::pin::pin!(acts);
        loop {
            tokio::select! {
                biased;
                done = &mut acts => return done,
                () = tokio::time::sleep(LOOK) => { self.read().await?; }
            }
        }
    }

    /// Waits until it shows none.
    async fn settle(&mut self) -> Result<(), CallError> {
        let began = Instant::now();
        while self.read().await? != 0 {
            if began.elapsed() > GAUGE_WAIT {
                return Err(format!("all leaves moved, and the gauge shows {:?}", self.seen).into());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// What it showed, in four steps at the most.
    fn told(mut self) -> Result<String, CallError> {
        if !self.seen.is_sorted_by(|before, after| before >= after) {
            return Err(format!("the gauge went up: {:?}", self.seen).into());
        }
        self.seen.dedup();
        let last = self.seen.len().saturating_sub(1);
        let step = last.div_ceil(STEPS).max(1);
        let shown = self.seen.iter().enumerate().filter(|(at, _)| at % step == 0 || *at == last);
        Ok(shown.map(|(_, left)| left.to_string()).collect::<Vec<_>>().join(", "))
    }
}

/// Steps of the gauge that fit into a line.
const STEPS: usize = 3;

/// The authority that signs leaves.
async fn active(rest: &Rest) -> Result<String, CallError> {
    let rows = ca::all(rest).await.map_err(told)?;
    let signs = |row: &AuthorityView| {
        row.role == AuthorityRole::Operations && row.state == AuthorityState::Active
    };
    Ok(rows.into_iter().find(signs).ok_or("no operations authority")?.id)
}

async fn follow(root: &Root, rest: &Rest) -> Outcome<AuthorityView> {
    let request = AuthorityRequest {
        role: AuthorityRole::Operations,
        key_kind: Some(KeyKind::P256),
        in_overlap: false,
    };
    ca::follow(root, (&request, None), None, rest).await
}

fn told(failure: Failure) -> CallError {
    failure.what().to_owned().into()
}
