//! The three ports: who answers there, behind which limits, with which certificate.

use super::StartError;
use super::health::Health;
use super::workshop::HomeWorkshop;
use crate::home::{Ports, Settings};
use crate::house::House;
use crate::listen::{self, Connection, Gate, Limits, Stop, Strangers, Tally};
use crate::operator::{Fittings, Peer};
use crate::public::{self, PublicView};
use crate::tls::{self, Served, Service};
use ca::Issuer;
use identity::RealmName;
use identity::authority::{AuthorityState, Role};
use std::sync::Arc;
use tokio::task::JoinSet;
use tower_service::Service as _;

/// What answers at the ports.
pub(super) struct Desk {
    pub(super) house: Arc<House>,
    pub(super) view: Arc<PublicView>,
    pub(super) health: Arc<Health>,
    pub(super) workshop: Arc<HomeWorkshop>,
}

/// What was opened.
pub(super) struct Opened {
    pub(super) ports: Ports,
    service: Arc<Service>,
    served: Arc<Served>,
}

impl Opened {
    /// Renews the server certificate while the server runs.
    pub(super) fn keep_fresh(&self, stop: &Stop, beside: &mut JoinSet<()>) {
        let (service, served, stop) = (self.service.clone(), self.served.clone(), stop.clone());
        beside.spawn(async move { service.keep_fresh(&served, stop).await });
    }
}

pub(super) fn open(
    desk: &Desk,
    settings: &Settings,
    stop: &Stop,
    serving: &mut JoinSet<()>,
) -> Result<Opened, StartError> {
    let house = &desk.house;
    let service = Arc::new(Service::new(service_issuer(house)?, tls::service::names(settings)));
    let served = service.serve()?;
    let descriptors = listen::descriptors();
    let gate = |limits: Limits, tls| Gate {
        limits: descriptors.map_or(limits, |n| limits.within(n)),
        tls,
        proxies: settings.proxies.clone().into(),
        strangers: Arc::new(Strangers::default()),
        tally: Arc::new(Tally::default()),
        stop: stop.clone(),
    };
    let (listener, device) = listen::bind(&settings.device)?;
    let devices = gate(Limits::DEVICE, Some(tls::device(served.clone())?));
    let keeper = house.clone();
    let answer =
        move |connection, request| crate::device::answer(keeper.clone(), connection, request);
    serving.spawn(listen::serve(listener, devices, answer));

    let (listener, operator) = listen::bind(&settings.operator)?;
    let own = match &settings.operator_tls {
        Some((certificate, key)) => Arc::new(tls::own(certificate, key)?),
        None => served.clone(),
    };
    let operators = gate(Limits::OPERATOR, Some(tls::operator(own)?));
    let health = desk.health.clone();
    let fittings = Fittings {
        checks: Some(Arc::new(move || health.checks())),
        workshop: Some(desk.workshop.clone()),
    };
    let router = crate::operator::router_with(house.clone(), fittings);
    let answer = move |connection: Arc<Connection>,
                       mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(Peer { addr: connection.peer });
        let mut router = router.clone();
        async move { router.call(request).await.unwrap_or_else(|never| match never {}) }
    };
    serving.spawn(listen::serve(listener, operators, answer));

    let (listener, everybody) = listen::bind(&settings.public)?;
    serving.spawn(listen::serve(
        listener,
        gate(Limits::PUBLIC, None),
        public::handler(desk.view.clone()),
    ));
    let ports = Ports {
        device: Some(device),
        operator: Some(operator),
        public: Some(everybody),
        link: None,
    };
    Ok(Opened { ports, service, served })
}

/// The authority of our own server certificate: that of the first realm.
fn service_issuer(house: &House) -> Result<Issuer, StartError> {
    let none = || StartError::Wrong("the realm has no active service authority".to_owned());
    let realm = house.realm(&RealmName::default_realm()).ok_or_else(none)?;
    let fit = |a: &&identity::authority::Authority| {
        a.role == Role::Service && a.state == AuthorityState::Active
    };
    let authority = realm.authorities.iter().find(fit).ok_or_else(none)?;
    let key = house.signer(&authority.id).ok_or_else(none)?;
    let addresses = house.addresses(&realm);
    Issuer::new(authority.certificate.clone(), key, addresses, crate::house::SHARDS)
        .map_err(|e| StartError::Wrong(format!("the service authority cannot sign: {e}")))
}
