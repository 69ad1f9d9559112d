//! The three ports: who answers there, behind which limits, with which certificate.

use super::StartError;
use super::health::{self, Health};
use super::workshop::HomeWorkshop;
use crate::home::{Ports, Settings, near};
use crate::house::House;
use crate::listen::{self, Connection, Gate, Limits, Met, Proxies, Sessions, Stop, Strangers};
use crate::operator::{Fittings, Peer};
use crate::public::{self, PublicView};
use crate::tls::{self, Served, Service};
use ca::Issuer;
use ca::authority::ServerName;
use identity::{Certificate, RealmName};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
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
    /// Who may speak for others, at all ports.
    pub(super) proxies: Proxies,
    /// Where the verbs of this machine find the operator port, under a name that it proves.
    pub(super) operator_url: Option<String>,
    ours: Vec<Ours>,
    own: Option<Own>,
}

/// A certificate that the service authority makes, and what is served of it now.
pub(super) type Ours = (Arc<Service>, Arc<Served>);

/// A certificate of the operator's, and the files that it came from.
pub(super) struct Own {
    served: Arc<Served>,
    files: Mutex<(PathBuf, PathBuf)>,
}

impl Own {
    fn read(files: &(PathBuf, PathBuf)) -> Result<Self, StartError> {
        let served = Arc::new(tls::own(&files.0, &files.1)?);
        Ok(Self { served, files: Mutex::new(files.clone()) })
    }

    /// Reads the files again, or others where they are said; what was served before is served on
    /// where they cannot be used.
    pub(super) fn again(&self, said: Option<(PathBuf, PathBuf)>) -> Result<(), tls::ServedError> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let (certificate, key) = said.as_ref().unwrap_or(&files);
        self.served.exchange_own(certificate, key)?;
        if let Some(said) = said {
            *files = said;
        }
        Ok(())
    }
}

impl Opened {
    /// What is read again when somebody asks for it.
    pub(super) fn own(&mut self) -> Option<Own> {
        self.own.take()
    }

    /// Renews the server certificates while the server runs.
    pub(super) fn keep_fresh(&self, stop: &Stop, beside: &mut JoinSet<()>) {
        for (service, served) in &self.ours {
            let (service, served, stop) = (service.clone(), served.clone(), stop.clone());
            beside.spawn(async move { service.keep_fresh(&served, stop).await });
        }
    }
}

pub(super) fn open(
    desk: &Desk,
    settings: &Settings,
    stop: &Stop,
    serving: &mut JoinSet<()>,
) -> Result<Opened, StartError> {
    let house = &desk.house;
    let (service, served) = ours(house, tls::service::names(settings))?;
    let descriptors = listen::descriptors();
    let proxies = Proxies::new(settings.proxies.clone());
    let gate = |name, limits: Limits, tls| Gate {
        limits: descriptors.map_or(limits, |n| limits.within(n)),
        tls,
        proxies: proxies.clone(),
        strangers: Arc::new(Strangers::default()),
        sessions: Arc::new(Sessions::default()),
        tally: house.metrics.listener(name),
        met: None,
        stop: stop.clone(),
    };
    let (listener, device) = listen::bind(&settings.device)?;
    let devices = gate("device", Limits::DEVICE, Some(tls::device(served.clone())?));
    let devices = Gate { met: Some(hears(house.clone())), ..devices };
    let sessions = devices.sessions.clone();
    house.registry.on_cut(Box::new(move |cut| {
        sessions.end(&cut.keys);
    }));
    let keeper = house.clone();
    let answer =
        move |connection, request| crate::device::answer(keeper.clone(), connection, request);
    serving.spawn(listen::serve(listener, devices, answer));

    let (listener, operator) = listen::bind(&settings.operator)?;
    let front = Front::at(listener.local_addr()?, house, settings)?;
    let shown = front.shows().unwrap_or(&served).clone();
    let Front { own, ours, url: operator_url } = front;
    let ours: Vec<_> = std::iter::once((service, served)).chain(ours).collect();
    desk.workshop.serves(ours.clone());
    let operators = gate("operator", Limits::OPERATOR, Some(tls::operator(shown)?));
    let router = interface(desk, stop);
    let answer = move |connection, request| routed(router.clone(), connection, request);
    serving.spawn(listen::serve(listener, operators, answer));

    let (listener, everybody) = listen::bind(&settings.public)?;
    let readers = gate("public", Limits::PUBLIC, None);
    let answer = public::handler(desk.view.clone(), public::ocsp::Desk::new(house.clone()));
    serving.spawn(listen::serve(listener, readers, answer));
    let ports = Ports {
        device: Some(device),
        operator: Some(operator),
        public: Some(everybody),
        link: None,
    };
    Ok(Opened { ports, proxies, operator_url, ours, own })
}

/// What the operator port shows where that is not what devices see, and how it is found.
struct Front {
    own: Option<Own>,
    ours: Option<Ours>,
    url: Option<String>,
}

impl Front {
    /// An address that operators alone reach is named in a certificate of their port alone.
    fn at(place: SocketAddr, house: &House, settings: &Settings) -> Result<Self, StartError> {
        let (name, port) = (near::name(place), place.port());
        if let Some(files) = &settings.operator_tls {
            let own = Own::read(files)?;
            let name = near::among(name, &own.served.names());
            return Ok(Self { url: name.map(|n| near::url(&n, port)), own: Some(own), ours: None });
        }
        let url = Some(near::url(&name, port));
        let mut names = tls::service::names(settings);
        if names.contains(&name) {
            return Ok(Self { own: None, ours: None, url });
        }
        names.push(name);
        Ok(Self { own: None, ours: Some(ours(house, names)?), url })
    }

    fn shows(&self) -> Option<&Arc<Served>> {
        let ours = self.ours.as_ref().map(|(_, served)| served);
        self.own.as_ref().map(|own| &own.served).or(ours)
    }
}

/// A server certificate with these names, from the authority of the first realm.
fn ours(house: &House, names: Vec<ServerName>) -> Result<Ours, StartError> {
    let (issuer, bridges) = service_issuer(house)?;
    let service = Arc::new(Service::bridged(issuer, bridges, names));
    let served = service.serve()?;
    Ok((service, served))
}

/// The answer of the interface, which sees who asks over which connection.
async fn routed(
    mut router: axum::Router,
    connection: Arc<Connection>,
    mut request: hyper::Request<hyper::body::Incoming>,
) -> axum::response::Response {
    request.extensions_mut().insert(Peer { addr: connection.peer });
    request.extensions_mut().insert(connection);
    router.call(request).await.unwrap_or_else(|never| match never {})
}

/// The operators' interface, with what this home adds to it.
fn interface(desk: &Desk, stop: &Stop) -> axum::Router {
    let (health, house, view) = (desk.health.clone(), desk.house.clone(), desk.view.clone());
    let checks = move || {
        let mut checks = health.checks();
        checks.push(health::barred(&house, &view));
        checks
    };
    let fittings = Fittings {
        checks: Some(Arc::new(checks)),
        workshop: Some(desk.workshop.clone()),
        stop: Some(stop.clone()),
    };
    crate::operator::router_with(desk.house.clone(), fittings)
}

/// What hears of the devices' handshakes.
fn hears(house: Arc<House>) -> Met {
    Arc::new(move |connection| {
        let house = house.clone();
        Box::pin(async move { crate::device::meet(&house, &connection).await })
    })
}

/// The authority of our own server certificate: that of the first realm. And what leads from its
/// root to an older one.
fn service_issuer(house: &House) -> Result<(Issuer, Vec<Certificate>), StartError> {
    let none = || StartError::Wrong("the realm has no active service authority".to_owned());
    let realm = house.realm(&RealmName::default_realm()).ok_or_else(none)?;
    Ok((house.service(&realm).ok_or_else(none)?, realm.bridges()))
}
