//! What goes on beside requests: checkpoints, CRLs, the summaries of strangers, and the full check
//! of the registry.

use super::ports::Desk;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// How often tallies of strangers are looked at; an entry is written once their hour is over.
const STRANGERS: Duration = Duration::from_secs(60);

pub(super) fn begin(desk: &Desk, beside: &mut JoinSet<()>) {
    let Desk { house, view, health, workshop } = desk;
    let grew = Arc::new(Notify::new());
    let told = grew.clone();
    house.registry.on_entry(Box::new(move |_, _| told.notify_one()));
    beside.spawn(crate::checkpoint::keep(house.clone(), view.clone(), grew));

    let changed = workshop.lists();
    let told = changed.clone();
    house.registry.on_revocation(Box::new(move || told.notify_one()));
    let names: BTreeMap<_, _> =
        house.realms().iter().map(|r| (r.key, r.name().as_str().to_owned())).collect();
    let metrics = house.metrics.clone();
    house.registry.on_revoked(Box::new(move |realm, reason, count| {
        let name = names.get(&realm).map_or("", String::as_str);
        metrics.revoked(name, reason.as_str(), count);
    }));
    beside.spawn(crate::crl::keep(house.clone(), view.clone(), changed));

    let (changed, hands) = (workshop.changed(), workshop.clone());
    beside.spawn(crate::authorities::keep(house.clone(), hands, changed));

    let keeper = house.clone();
    beside.spawn(async move {
        loop {
            tokio::time::sleep(STRANGERS).await;
            keeper.summarize_strangers(false).await;
        }
    });

    beside.spawn(crate::tell::keep(house.clone()));
    beside.spawn(crate::writing::keep_trying(house.clone()));

    let (registry, health) = (house.registry.clone(), health.clone());
    beside.spawn(async move {
        let checked = tokio::task::spawn_blocking(move || registry.check_integrity()).await;
        match checked {
            Ok(Ok(findings)) => health.checked(findings.iter().map(ToString::to_string).collect()),
            Ok(Err(error)) => health.checked(vec![error.to_string()]),
            Err(error) => health.checked(vec![error.to_string()]),
        }
    });
}
