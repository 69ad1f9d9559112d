//! The conversations of one step: whom to trust, what time it is, a leaf, a report, a farewell.
//!
//! No secret goes out before the server at the other end was believed: the first contact of a
//! device that knows only a pin, and the question for the time, are a plain `GET cacerts` as
//! nobody.

use crate::Trouble;
use crate::config::Config;
use crate::credential::{self, Credential};
use crate::find::Places;
use crate::line::http::Heard;
use crate::line::trust::{Judge, Measure};
use crate::line::{Line, Place};
use crate::store::{Locked, NewSet};
use crate::time::{Clock, Clocks};
use enroll::est::Outgoing;
use enroll::est::client::{self, Reply};
use enroll::est::wire::challenge_password;
use enroll::request::{self, Wish};
use identity::ask::{Defect, Want};
use identity::token::ShownToken;
use identity::{Certificate, Signer, UnixTime};
use std::path::Path;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Links between a leaf and its root; more of them are a circle.
const LINKS_MAX: usize = 6;

/// One step's way to the server.
pub struct Talk<'a> {
    config: &'a Config,
    store: &'a Locked,
    clock: &'a mut Clock,
    clocks: &'a Clocks,
    anchors: Vec<Certificate>,
    /// The server that answered.
    pub server: Option<Place>,
}

/// A key of ours: its PEM, as it lies on the disk, and what signs with it.
type OwnKey = (Zeroizing<Vec<u8>>, Arc<dyn Signer>);

/// An open connection, and who judged it.
struct Open {
    line: Line,
    judge: Arc<Judge>,
}

impl<'a> Talk<'a> {
    /// A way to the server, under the anchors that are kept, or else those that are configured.
    ///
    /// # Errors
    /// Where there is nobody to trust, and nothing by which to find out.
    pub fn new(
        config: &'a Config,
        store: &'a Locked,
        clock: &'a mut Clock,
        clocks: &'a Clocks,
    ) -> Result<Self, Trouble> {
        let anchors = match store.anchors() {
            // What a disk has damaged is found anew, but only where somebody said who it is. What only
            // cannot be read now may know a newer root than the configuration does.
            Err(Trouble::Damaged(_)) if names_root(config) => Vec::new(),
            kept => kept?,
        };
        let mut talk = Self { config, store, clock, clocks, anchors, server: None };
        // Another pin is another realm: what was trusted under the first says nothing about it.
        if let Some(pin) = config.root_pin
            && !talk.anchors.is_empty()
            && store.is_of_another_pin(&pin.to_string())?
        {
            talk.anchors.clear();
        }
        if talk.anchors.is_empty() {
            talk.found_trust()?;
        }
        Ok(talk)
    }

    fn now(&self) -> UnixTime {
        self.clock.now((self.clocks)())
    }

    /// Whom we trust, from the root that was given, or from its pin.
    fn found_trust(&mut self) -> Result<(), Trouble> {
        let given = self.config.root.as_deref().map(crate::store::read_text).transpose()?.flatten();
        if let Some(text) = given {
            let roots = Certificate::parse_pem(&text, LINKS_MAX)
                .map_err(|e| Trouble::Own(format!("the root that was given: {e}")))?;
            let pin = self.config.root_pin;
            let fits = |c: &&Certificate| pin.is_none_or(|p| c.spki_hash() == p);
            self.anchors = roots.iter().filter(fits).cloned().collect();
            if self.anchors.is_empty() {
                return Err(Trouble::Usage("the root that was given is not the pinned one".into()));
            }
        } else if self.config.root_pin.is_some() || self.may_trust_first()? {
            self.anchors = vec![self.meet()?];
        } else {
            return Err(Trouble::Usage(UNPINNED.to_owned()));
        }
        let pin = self.config.root_pin.map(|pin| pin.to_string());
        self.store.found_anchors(&self.anchors, pin.as_deref())
    }

    /// Whether the first root that is met may be believed: somebody has to say so, and to vouch for
    /// the device with a token. A birth certificate was made beside a root, which is known then.
    fn may_trust_first(&self) -> Result<bool, Trouble> {
        Ok(self.config.trust_first && self.config.token()?.is_some())
    }

    /// Meets a server of which only the pin of its root is known (RFC 7030 §4.1.1), or nothing: the
    /// root is among the authorities that it tells, and what it showed has to chain to it.
    fn meet(&mut self) -> Result<Certificate, Trouble> {
        let mut last = nowhere();
        for place in Places::of(self.config) {
            match self.meet_at(&place) {
                Ok(root) => return Ok(root),
                Err(trouble) => last = trouble,
            }
        }
        Err(last)
    }

    fn meet_at(&mut self, place: &Place) -> Result<Certificate, Trouble> {
        let judge = Judge::new(&[], Measure::Unknown);
        let mut line = Line::open(place, self.config.proxy.as_ref(), &judge, None)?;
        let heard = line.say(&client::cacerts(&self.config.realm))?;
        let told = read(client::read_cacerts(&heard.incoming()))?;
        // A certificate by which another root leads to this one has its key, too.
        let wanted = |c: &&Certificate| {
            is_root(c) && self.config.root_pin.is_none_or(|pin| c.spki_hash() == pin)
        };
        let root = told.iter().find(wanted).cloned().ok_or_else(|| {
            Trouble::Untrusted(format!("`{place}` is not the server of the pinned root"))
        })?;
        let anchors = [root.clone()];
        let holds = judge.holds(&anchors, self.now());
        // A clock that starts in 1970 learns the time here, from a server that chains to the root.
        let date = heard.date.filter(|date| *date >= self.clock.floor());
        match (holds, date) {
            (Ok(()), _) => {}
            (Err(_), Some(date)) => judge.holds(&anchors, date)?,
            (Err(trouble), None) => return Err(trouble),
        }
        self.noted(&judge, &anchors, &heard);
        Ok(root)
    }

    /// Opens a connection to the first place that answers and is believed.
    fn open(&mut self, who: Option<&Credential>) -> Result<Open, Trouble> {
        let mut last = nowhere();
        for place in Places::of(self.config) {
            match self.open_at(&place, who) {
                Ok(open) => {
                    self.server = Some(place);
                    return Ok(open);
                }
                Err(trouble) => last = trouble,
            }
        }
        Err(last)
    }

    fn open_at(&mut self, place: &Place, who: Option<&Credential>) -> Result<Open, Trouble> {
        let proxy = self.config.proxy.as_ref();
        let judge = Judge::new(&self.anchors, Measure::At(self.now()));
        match Line::open(place, proxy, &judge, who) {
            Ok(line) => Ok(Open { line, judge }),
            Err(Trouble::Untrusted(why)) => {
                // Perhaps it is not the server that is wrong, but our clock.
                self.ask_time(place).map_err(|_| Trouble::Untrusted(why))?;
                let judge = Judge::new(&self.anchors, Measure::At(self.now()));
                Line::open(place, proxy, &judge, who).map(|line| Open { line, judge })
            }
            Err(trouble) => Err(trouble),
        }
    }

    /// Asks a server what time it is whose chain holds but for its dates. It is believed where its
    /// chain is valid at the moment that it says, and that moment is not before the floor.
    fn ask_time(&mut self, place: &Place) -> Result<(), Trouble> {
        let floor = self.clock.floor();
        let judge = Judge::new(&self.anchors, Measure::NotBefore(floor));
        let mut line = Line::open(place, self.config.proxy.as_ref(), &judge, None)?;
        let heard = line.say(&client::cacerts(&self.config.realm))?;
        let silent = || Trouble::Untrusted(format!("`{place}` does not say what time it is"));
        let date = heard.date.filter(|date| *date >= floor).ok_or_else(silent)?;
        judge.holds(&self.anchors, date)?;
        self.noted(&judge, &self.anchors.clone(), &heard);
        Ok(())
    }

    /// A believed server answered: time goes on from its word, where its own certificate is valid
    /// then. An answer is not lost because the disk has no room for its date.
    fn noted(&mut self, judge: &Judge, anchors: &[Certificate], heard: &Heard) {
        if let Some(date) = heard.date
            && judge.holds(anchors, date).is_ok()
        {
            self.clock.told(date, (self.clocks)());
            drop(self.store.put_clock(self.clock.kept()));
        }
    }

    fn say(&mut self, open: &mut Open, say: &Outgoing) -> Result<Heard, Trouble> {
        let heard = open.line.say(say)?;
        let anchors = self.anchors.clone();
        self.noted(&open.judge, &anchors, &heard);
        Ok(heard)
    }

    /// Meets the server as nobody, and so learns what time it is.
    ///
    /// # Errors
    /// Where no answer came.
    pub fn greet(&mut self) -> Result<(), Trouble> {
        let mut open = self.open(None)?;
        self.say(&mut open, &client::cacerts(&self.config.realm)).map(|_| ())
    }

    /// Gets a leaf and puts it to use: joins with what `who` or the token proves, or renews the leaf
    /// that `who` is.
    ///
    /// # Errors
    /// Where it did not come about. The key stays for a retry, but where the server has judged it.
    pub fn get_leaf(&mut self, want: Want, who: Option<&Credential>) -> Result<(), Trouble> {
        let token = if want == Want::Join && who.is_none() { self.config.token()? } else { None };
        let (pem, key) = self.pending()?;
        let got = self.ask_for_leaf(want, who, (&*key, token.as_ref()));
        if matches!(got, Err(Trouble::Refused { status: 400..=428 | 430..=499, .. })) {
            self.store.drop_pending()?;
        }
        let (leaf, told) = got?;
        let authorities = path(&leaf, &told, &self.anchors)?;
        self.store.put_anchors(&self.anchors)?;
        let new =
            NewSet { leaf: &leaf, key: &pem, authorities: &authorities, roots: &self.anchors };
        self.store.install(&new)
    }

    /// The key that a leaf is asked for with: the one of the last request, whose answer may have
    /// been lost, or a new one where there is none that can be used.
    fn pending(&self) -> Result<OwnKey, Trouble> {
        let kept = match self.store.pending() {
            Err(Trouble::Damaged(_)) => None,
            // One that only cannot be read now may be the key of a leaf that was issued.
            kept => kept?,
        };
        let pem = match kept.filter(|pem| credential::open(pem).is_some()) {
            Some(pem) => pem,
            None => {
                self.store.drop_pending()?;
                credential::make(self.config.key)?
            }
        };
        let unfit = || Trouble::Own("the key that was made cannot be used".to_owned());
        let key = credential::open(&pem).ok_or_else(unfit)?;
        // Durable before the request goes out, also where a crash left it with no more than a name.
        self.store.put_pending(&pem)?;
        Ok((pem, key))
    }

    fn ask_for_leaf(
        &mut self,
        want: Want,
        who: Option<&Credential>,
        (key, token): (&dyn Signer, Option<&ShownToken>),
    ) -> Result<(Certificate, Vec<Certificate>), Trouble> {
        // It is about what a join shows; a renewal needs none.
        let shows_birth = want == Want::Join && who.is_some();
        let receipt = if shows_birth { self.config.receipt()? } else { None };
        let mut open = self.open(who)?;
        let heard = self.say(&mut open, &client::cacerts(&self.config.realm))?;
        let told = read(client::read_cacerts(&heard.incoming()))?;
        self.anchors = client::followed(&self.anchors, &told, self.now());
        if heard.is_last {
            open = self.open(who)?;
        }
        let bound = open.line.exporter().map(|e| challenge_password(&e));
        let serial = self.config.said.serial();
        let wish = Wish {
            serial_number: serial.as_deref(),
            challenge_password: bound.as_deref(),
            ..Wish::default()
        };
        let csr = request::make(key, &wish)
            .map_err(|e| Trouble::Own(format!("no request could be made: {e}")))?;
        let mut say = client::enroll(&self.config.realm, want, &csr, token);
        if let Some(receipt) = receipt {
            say = say.with_receipt(&receipt);
        }
        let heard = self.say(&mut open, &say)?;
        let leaf = read(client::read_leaf(&heard.incoming(), key.public()))?;
        Ok((leaf, told))
    }

    /// Says what the device runs and what is printed on it, as its leaf.
    ///
    /// # Errors
    /// Where no answer came, or a no.
    pub fn report(
        &mut self,
        who: &Credential,
        report: &enroll::device::Report,
    ) -> Result<(), Trouble> {
        let say = enroll::device::client::report(&self.config.realm, report);
        self.tell(who, &say)
    }

    /// Says that the device leaves.
    ///
    /// # Errors
    /// Where no answer came, or a no.
    pub fn leave(&mut self, who: &Credential) -> Result<(), Trouble> {
        self.tell(who, &enroll::device::client::leave(&self.config.realm))
    }

    fn tell(&mut self, who: &Credential, say: &Outgoing) -> Result<(), Trouble> {
        let mut open = self.open(Some(who))?;
        let heard = self.say(&mut open, say)?;
        reply(enroll::device::client::read(&heard.incoming()))
    }
}

/// What is told to whoever has neither a root nor its pin.
const UNPINNED: &str = "no root is pinned, so any server could pose as yours: put `root_pin` of \
    `muster realm show` into muster-agent.toml, or root.pem beside it; whoever joins with a token \
    on a network that they trust may say `--trust-first`";

/// Whether the configuration says which root it is.
fn names_root(config: &Config) -> bool {
    config.root_pin.is_some() || config.root.as_deref().is_some_and(Path::exists)
}

fn nowhere() -> Trouble {
    Trouble::Usage(
        "no server is known: put `url` into muster-agent.toml, or announce _muster-est._tcp in DNS"
            .to_owned(),
    )
}

fn read<T>(read: Result<Reply<T>, Defect>) -> Result<T, Trouble> {
    let unreadable = |e: Defect| Trouble::NoAnswer(format!("the answer cannot be read: {e}"));
    reply(read.map_err(unreadable)?)
}

fn reply<T>(reply: Reply<T>) -> Result<T, Trouble> {
    match reply {
        Reply::Done(value) => Ok(value),
        Reply::Later { after_s } => Err(Trouble::Later { after_s }),
        Reply::Refused { status, sentence, after_s } => {
            Err(Trouble::Refused { status, sentence, after_s })
        }
    }
}

fn is_root(certificate: &Certificate) -> bool {
    certificate.authority().is_some() && certificate.signed_by(certificate).is_ok()
}

/// Those that signed a leaf, up to and without an anchor.
fn path(
    leaf: &Certificate,
    told: &[Certificate],
    anchors: &[Certificate],
) -> Result<Vec<Certificate>, Trouble> {
    let (mut found, mut last) = (Vec::new(), leaf.clone());
    for _ in 0..LINKS_MAX {
        if anchors.iter().any(|a| last.signed_by(a).is_ok()) {
            return Ok(found);
        }
        let signer = told.iter().find(|c| c.authority().is_some() && last.signed_by(c).is_ok());
        let Some(signer) = signer else { break };
        last = signer.clone();
        found.push(last.clone());
    }
    Err(Trouble::Untrusted("the leaf that was issued does not chain to the pinned root".into()))
}
