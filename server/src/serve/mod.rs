//! A running server, put together: the home is locked and founded, the house furnished, three ports
//! opened, and what goes on beside requests set going. [`start`] gives a [`Running`]; `muster
//! serve` waits for its end, the demo and the tests use it and stop it.

mod beside;
mod furnish;
mod health;
mod ports;
mod workshop;

use crate::clock::Clock;
use crate::found::{self, FoundError};
use crate::home::{Config, Home, HomeError, Lock, Ports, ServeOptions, Settings};
use crate::house::House;
use crate::listen::{Proxies, Stopper};
use crate::operator::Workshop;
use crate::public::PublicView;
use crate::sd::{self, State};
use crate::tls::ServedError;
use health::Health;
use registry::{OpenError, ReadError};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use workshop::HomeWorkshop;

/// Why a server did not start. Every one is the operator's to mend, and says how.
#[derive(Debug)]
pub enum StartError {
    /// The home.
    Home(HomeError),
    /// The first start.
    Found(FoundError),
    /// A key.
    Key(crate::keys::KeyTrouble),
    /// The registry.
    Open(OpenError),
    /// What is in the registry.
    Read(ReadError),
    /// The server certificate.
    Served(ServedError),
    /// TLS.
    Tls(rustls::Error),
    /// A port.
    Listen(std::io::Error),
    /// A key that is missing or that is not the one that the registry knows.
    Wrong(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Home(e) => e.fmt(f),
            Self::Found(e) => e.fmt(f),
            Self::Key(e) => e.fmt(f),
            Self::Open(e) => e.fmt(f),
            Self::Read(e) => e.fmt(f),
            Self::Served(e) => e.fmt(f),
            Self::Tls(e) => write!(f, "TLS: {e}"),
            Self::Listen(e) => write!(f, "{e}: set `[listen]` in muster.toml, or take --any-port"),
            Self::Wrong(sentence) => f.write_str(sentence),
        }
    }
}

impl std::error::Error for StartError {}

/// One `From` for each error that a start may end with.
macro_rules! start_errors {
    ($($from:ty => $variant:ident),+ $(,)?) => {
        $(impl From<$from> for StartError {
            fn from(error: $from) -> Self {
                Self::$variant(error)
            }
        })+
    };
}

start_errors! {
    HomeError => Home,
    FoundError => Found,
    crate::keys::KeyTrouble => Key,
    OpenError => Open,
    ReadError => Read,
    ServedError => Served,
    rustls::Error => Tls,
    std::io::Error => Listen,
}

/// What a person should know after a start.
#[derive(Clone, Debug)]
pub struct News {
    /// Whether the home was founded just now.
    pub founded: bool,
    /// What of the root still lies in the home and should be carried away.
    pub left_behind: Vec<PathBuf>,
    /// Online keys that lie in plain files.
    pub plain_keys: Vec<String>,
    /// The address that stands in certificates; `None` where none does.
    pub public_url: Option<String>,
    /// Where the verbs of this machine find the operator port; `None` where it has an owner's
    /// certificate that names no server.
    pub operator_url: Option<String>,
}

/// Files of a certificate and its key; `None` are those that were read before.
type OwnFiles = Option<(PathBuf, PathBuf)>;

/// A running server.
pub struct Running {
    home: Home,
    house: Arc<House>,
    view: Arc<PublicView>,
    ports: Ports,
    news: News,
    proxies: Proxies,
    stopper: Stopper,
    serving: JoinSet<()>,
    beside: JoinSet<()>,
    hands: Arc<dyn Workshop>,
    own: Option<ports::Own>,
    _lock: Lock,
}

/// Founds the home where it is empty, and starts the server on it.
///
/// # Errors
/// [`StartError`], whose sentence says what to do.
pub async fn start(options: ServeOptions) -> Result<Running, StartError> {
    start_at(options, Clock::System).await
}

/// As [`start`], judging by another clock than the system's, so that a year passes in a test. Only
/// what is decided about devices goes by it; handshakes and the server's own certificate keep the
/// system's time. No option and no file leads here.
///
/// # Errors
/// As [`start`].
pub async fn start_at(options: ServeOptions, clock: Clock) -> Result<Running, StartError> {
    let home = Home::open(&options.home)?;
    found::refuse_foreign(&home)?;
    let lock = home.lock()?;
    Ports::forget(&home)?;
    let settings = Settings::from(Config::read(&home)?, &options)?;
    let founded = found::ensure(&home, &lock, &settings, &options)?;
    let furnished = furnish::furnish(&home, &settings, clock)?;
    let house = furnished.house;
    let (stopper, stop) = Stopper::new();
    let view = furnish::view(&home, &house)?;
    // Before anybody can ask for them.
    crate::crl::publish_all(&house, &view).await;
    crate::checkpoint::sign_all(&house, &view).await;
    let mut serving = JoinSet::new();
    let plain_keys = furnished.plain_keys.clone();
    let health = Health::new(home.clone(), plain_keys, settings.public_url.clone());
    let desk = ports::Desk {
        house: house.clone(),
        view: view.clone(),
        health: Arc::new(health),
        workshop: Arc::new(HomeWorkshop::new(home.clone(), house.clone(), view.clone())),
    };
    let hands: Arc<dyn Workshop> = desk.workshop.clone();
    let mut opened = ports::open(&desk, &settings, &stop, &mut serving)?;
    let mut beside = JoinSet::new();
    beside::begin(&desk, &mut beside);
    opened.keep_fresh(&stop, &mut beside);
    // Once more: what a device that came at once had revoked was told to nobody yet.
    desk.workshop.lists().notify_one();
    let ports = opened.ports;
    point_operator(&home, opened.operator_url.as_deref())?;
    ports.write(&home)?;
    let news = News {
        founded: founded.is_some(),
        left_behind: home.left_behind(),
        plain_keys: furnished.plain_keys,
        public_url: settings.public_url.clone(),
        operator_url: opened.operator_url.take(),
    };
    Ok(Running {
        home,
        house,
        view,
        ports,
        news,
        proxies: opened.proxies.clone(),
        stopper,
        serving,
        beside,
        hands,
        own: opened.own(),
        _lock: lock,
    })
}

/// The operator file of the home follows where the port is; one that was moved elsewhere is its
/// owner's business.
fn point_operator(home: &Home, url: Option<&str>) -> Result<(), HomeError> {
    let Some(url) = url else { return Ok(()) };
    match crate::home::OperatorFile::point(&home.operator(), url) {
        Err(error) if error.is_absent() => Ok(()),
        other => other,
    }
}

impl Running {
    /// The ports that are really listened on.
    #[must_use]
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// What a person should know.
    #[must_use]
    pub fn news(&self) -> &News {
        &self.news
    }

    /// What the server decides with.
    #[must_use]
    pub fn house(&self) -> &Arc<House> {
        &self.house
    }

    /// What the public port shows.
    #[must_use]
    pub fn view(&self) -> &Arc<PublicView> {
        &self.view
    }

    /// Looks at the dates of authorities now, as it happens by itself within the hour.
    pub async fn settle_authorities(&self) {
        crate::authorities::settle(&self.house, &self.hands).await;
    }

    /// Reads what may change while it runs: of `muster.toml` the level of the log, the balancers
    /// that are believed and where the operators' own certificate is; realms; and that certificate.
    /// What cannot be read stays as it was, is logged, and makes this `false`.
    pub fn reload(&self) -> bool {
        let mut all = true;
        let mut lost = |what: &str, error: &dyn fmt::Display| {
            tracing::error!("{what} was not read again, and stays as it was: {error}");
            all = false;
        };
        let said = match self.reload_file() {
            Ok(said) => said,
            Err(error) => {
                lost("`muster.toml`", &error);
                self.own.as_ref().map(|_| None)
            }
        };
        for realm in self.house.realms() {
            if let Err(error) = self.house.reload(realm.name()) {
                lost(&format!("the realm `{}`", realm.name()), &error);
            }
        }
        let certificate = "the operator port's certificate";
        match (&self.own, said) {
            (Some(own), Some(files)) => {
                if let Err(error) = own.again(files) {
                    lost(certificate, &error);
                }
            }
            (None, None) => {}
            (Some(_), None) => lost(
                certificate,
                &"`[operator]` is gone from `muster.toml`, which needs a new start of the server",
            ),
            (None, Some(_)) => lost(
                certificate,
                &"`[operator]` is new in `muster.toml`, which needs a new start of the server",
            ),
        }
        all
    }

    /// Where the operators' own certificate is said to be; its files are always said there.
    fn reload_file(&self) -> Result<Option<OwnFiles>, HomeError> {
        let config = Config::read(&self.home)?;
        let (proxies, files) = (config.proxies()?, config.operator_tls()?);
        self.proxies.set(proxies);
        crate::log::say(config.log.level);
        Ok(files.map(Some))
    }

    /// Stops: no new connections, requests in flight end, what was refused is summed up, the
    /// registry closes.
    pub async fn stop(mut self) {
        self.stopper.stop();
        while self.serving.join_next().await.is_some() {}
        // What an authority's date brought about is told whole, and stands before the last
        // checkpoint.
        let turn = self.house.settling.lock().await;
        self.beside.shutdown().await;
        drop(turn);
        self.house.summarize_strangers(true).await;
        crate::checkpoint::sign_all(&self.house, &self.view).await;
        self.house.registry.close();
        if let Err(error) = Ports::forget(&self.home) {
            tracing::warn!("the ports file could not be taken away: {error}");
        }
    }
}

/// What is logged and how, read before there is anything to log.
///
/// # Errors
/// A sentence about `muster.toml`.
pub fn log_of(options: &ServeOptions) -> Result<crate::home::config::Log, String> {
    let home = Home::open(&options.home).map_err(|e| e.to_string())?;
    Ok(Config::read(&home).map_err(|e| e.to_string())?.log)
}

/// Serves until SIGTERM or SIGINT, reads again on SIGHUP, and tells systemd.
///
/// # Errors
/// Where signals cannot be heard.
pub async fn until_stopped(running: Running) -> std::io::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let mut hup = signal(SignalKind::hangup())?;
    let status = format!("devices at port {}", running.ports.device.unwrap_or_default());
    sd::notify(State::Ready(&status));
    loop {
        tokio::select! {
            _ = term.recv() => break,
            _ = int.recv() => break,
            _ = hup.recv() => {
                sd::notify(State::Reloading(sd::monotonic_micros()));
                match running.reload() {
                    true => tracing::info!("read again"),
                    false => tracing::error!("not all was read again: see above"),
                }
                sd::notify(State::Ready(&status));
            }
        }
    }
    sd::notify(State::Stopping);
    tracing::info!("stopping: requests in flight end first");
    running.stop().await;
    Ok(())
}
