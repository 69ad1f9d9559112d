//! Keeps the device enrolled, one step after another. A step begins with what lies on the disk and
//! ends with it, so it does not matter whether the last one was before a pulled plug, or by another
//! process.

mod leaf;
mod leave;

use crate::config::Config;
use crate::credential;
use crate::plan::{self, Held, Step, View};
use crate::status::{Memo, life};
use crate::store::{Locked, Mark, Stay, Store};
use crate::talk::Talk;
use crate::time::{Clock, Clocks, Reading};
use crate::{Trouble, hook};
use enroll::device::Report;
use identity::key::sha256;
use identity::text::hex;
use identity::{RuleId, UnixTime};
pub use leave::Left;
use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long programs that could not be told are left alone.
const HOOK_RETRY_S: u64 = 900;
/// Steps that follow each other without a wait: more of them are a loop.
const STEPS_MAX: usize = 8;

/// Keeps a device enrolled.
pub struct Keeper {
    config: Config,
    clock: Clock,
    clocks: Clocks,
    /// Rounds that came to nothing, one after the other, and could not be noted.
    lost: u32,
    /// Whether a server has answered since we run what time it is, before a leaf was given up.
    has_asked: bool,
}

/// What came of one round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// What is wrong.
    pub trouble: Option<String>,
    /// How long nothing is done.
    pub wait_s: u64,
}

/// What the clocks of this machine say.
fn clocks() -> Reading {
    use std::sync::OnceLock;
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    let began = BEGAN.get_or_init(Instant::now);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
    Reading { system: UnixTime::from_millis(millis(since)), counted_ms: millis(began.elapsed()) }
}

/// Two octets of chance, which spread a fleet.
fn chance() -> u16 {
    let mut octets = [0; 2];
    // Without chance the fleet is spread less; nothing secret hangs on it.
    if aws_lc_rs::rand::fill(&mut octets).is_err() {
        return u16::MAX / 2;
    }
    u16::from_be_bytes(octets)
}

impl Keeper {
    /// A keeper for this device.
    ///
    /// # Errors
    /// Where the state cannot be read.
    pub fn new(config: Config) -> Result<Self, Trouble> {
        Self::with_clocks(config, Box::new(clocks))
    }

    /// A keeper with clocks of somebody's own: then years pass in a test.
    ///
    /// # Errors
    /// Where the state cannot be read.
    pub fn with_clocks(config: Config, clocks: Clocks) -> Result<Self, Trouble> {
        let kept = Store::at(&config.state).clock()?;
        let clock = Clock::new(kept, clocks());
        Ok(Self { clock, config, clocks, lost: 0, has_asked: false })
    }

    /// What time this device believes it is.
    #[must_use]
    pub fn now(&self) -> UnixTime {
        self.clock.now((self.clocks)())
    }

    /// How it is set up.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Steps until there is nothing to do but wait. What went wrong is in the memo, and is waited
    /// for like everything else.
    ///
    /// # Errors
    /// Where the state cannot be read or written.
    pub fn settle(&mut self) -> Result<Step, Trouble> {
        let mut last = None;
        for _ in 0..STEPS_MAX {
            let store = Store::lock(&self.config.state)?;
            let view = self.view(&store)?;
            let step = plan::next(&view, self.now());
            if matches!(step, Step::Wait(_) | Step::Stuck) {
                return Ok(step);
            }
            if last == Some(step) {
                // It came about, and is wanted again: what it reads never says the same twice.
                break;
            }
            let has_ended = view.held.is_some_and(|held| held.life.ends < self.now());
            let done = match step {
                Step::Join | Step::Renew if has_ended && !self.has_asked => self.ask_time(&store),
                step => {
                    last = Some(step);
                    self.act(&store, step)
                }
            };
            let done = match done {
                Err(refused) if step == Step::Join => self.renew_instead(&store, refused),
                done => done,
            };
            // What went wrong stands in the memo, and the next step waits for it.
            if let Err(trouble) = done {
                self.failed(&store, &trouble)?;
            }
        }
        Ok(Step::Wait(self.now().plus_secs(plan::NAP_S)))
    }

    /// Does one step now, whatever the plan says, and then what follows from it.
    ///
    /// # Errors
    /// What went wrong, which the memo keeps too.
    pub fn insist(&mut self, step: Step) -> Result<(), Trouble> {
        let store = Store::lock(&self.config.state)?;
        if let Err(trouble) = self.act(&store, step) {
            self.failed(&store, &trouble)?;
            return Err(trouble);
        }
        drop(store);
        self.settle()?;
        let memo = Store::at(&self.config.state).memo()?;
        match memo.trouble.or(memo.hook_failed) {
            Some(sentence) => Err(Trouble::Own(sentence)),
            None => Ok(()),
        }
    }

    /// Steps and waits for as long as the process lives, also where its disk is full: what cannot be
    /// written is waited for, and asks nobody meanwhile.
    ///
    /// # Errors
    /// Where the state is not this user's, or not there and cannot be made.
    pub fn run(&mut self) -> Result<(), Trouble> {
        drop(Store::lock(&self.config.state)?);
        let mut told = None;
        loop {
            let turn = self.turn();
            if turn.trouble != told {
                if let Some(trouble) = &turn.trouble {
                    crate::trouble::tell(trouble);
                }
                told = turn.trouble;
            }
            std::thread::sleep(Duration::from_secs(turn.wait_s));
        }
    }

    /// One round of [`Self::run`], without its sleep.
    pub fn turn(&mut self) -> Turn {
        let trouble = |memo: Memo| memo.trouble;
        let (step, trouble) = match self.settle() {
            Ok(step) => {
                self.lost = 0;
                (step, Store::at(&self.config.state).memo().ok().and_then(trouble))
            }
            // What the memo would say of the wait is not on the disk, so it is counted here.
            Err(trouble) => {
                self.lost = self.lost.saturating_add(1);
                let until = plan::retry(self.lost, false, None, chance(), self.now());
                (Step::Wait(until), Some(trouble.to_string()))
            }
        };
        let wait_s = match step {
            Step::Wait(until) => until.secs_since(self.now()).clamp(1, plan::NAP_S),
            _ => plan::NAP_S,
        };
        Turn { trouble, wait_s }
    }

    fn view(&self, store: &Locked) -> Result<View, Trouble> {
        let memo = store.memo()?;
        let stay = store.stay();
        let (is_leaving, can_join) = (stay == Stay::Leaving, stay == Stay::Here && self.can_join());
        let set = match credential::in_use(store) {
            Ok(found) => found.map(|(set, _)| set),
            // What a disk has damaged counts as none where there is a way to another. What only
            // cannot be read now, or not by us alone, is still there.
            Err(Trouble::Damaged(_)) if can_join => None,
            Err(_) if is_leaving => None,
            Err(trouble) => return Err(damaged(trouble)),
        };
        let hook_until = memo.hook_until.map(UnixTime::from_secs);
        let hook_waits =
            hook_until.is_some_and(|until| plan::is_waited_for(until, HOOK_RETRY_S, self.now()));
        let digest = digest(&self.config.said.report());
        let held = set.as_ref().and_then(|set| {
            Some(Held {
                life: life(set)?,
                has_worked: set.mark(Mark::Worked).is_some(),
                is_announced: hook_waits || set.mark(Mark::Announced).is_some(),
                is_reported: set.mark(Mark::Reported).as_deref() == Some(digest.as_str()),
                answered: memo.contact.map(UnixTime::from_secs),
            })
        });
        Ok(View { held, can_join, is_leaving, failed: memo.failed() })
    }

    fn can_join(&self) -> bool {
        let has_birth = self.config.birth.exists() && self.config.birth_key.exists();
        has_birth || self.config.token.as_ref().is_some_and(|path| path.exists())
    }

    fn act(&mut self, store: &Locked, step: Step) -> Result<(), Trouble> {
        match step {
            Step::Join => self.join(store),
            Step::Renew => self.renew(store),
            Step::Report => self.report(store),
            Step::Announce => self.announce(store),
            Step::Leave => self.depart(store, false).map(|_| ()),
            Step::Wait(_) | Step::Stuck => Ok(()),
        }
    }

    fn failed(&self, store: &Locked, trouble: &Trouble) -> Result<(), Trouble> {
        let mut memo = store.memo()?;
        memo.went_wrong(trouble, chance(), self.now());
        store.put_memo(&memo)
    }

    fn went_well(&self, store: &Locked, server: Option<String>) -> Result<(), Trouble> {
        let mut memo = store.memo()?;
        memo.went_well(self.now());
        memo.server = server.or(memo.server);
        store.put_memo(&memo)
    }

    /// Shows the server the leaf in use. One that it does not know makes room for the one before.
    fn report(&mut self, store: &Locked) -> Result<(), Trouble> {
        let Some((set, who)) = credential::in_use(store)? else { return Ok(()) };
        let report = self.config.said.report();
        let mut talk = Talk::new(&self.config, store, &mut self.clock, &self.clocks)?;
        let said = talk.report(&who, &report);
        let server = talk.server.map(|s| s.to_string());
        let refused = match said {
            // A server of another kind has no such request, and has nothing against the leaf.
            Ok(()) | Err(Trouble::Refused { status: 404 | 405 | 501, .. }) => None,
            // What it has something against is what the device says.
            Err(Trouble::Refused { status: 400 | 409 | 413 | 415, sentence, .. }) => Some(sentence),
            Err(trouble) => {
                leaf::note_over(store, &trouble);
                if is_unknown(&trouble) && set.mark(Mark::Worked).is_none() {
                    store.fall_back()?;
                }
                return Err(trouble);
            }
        };
        store.mark(Mark::Worked, "")?;
        store.mark(Mark::Reported, &digest(&report))?;
        let memo = store.memo()?;
        store.put_memo(&Memo { report_refused: refused, ..memo })?;
        self.went_well(store, server)
    }

    fn announce(&mut self, store: &Locked) -> Result<(), Trouble> {
        let Some(set) = store.current()? else { return Ok(()) };
        let device = set.leaf().and_then(|l| l.device()).map(|d| d.to_string()).unwrap_or_default();
        let told = match &self.config.on_renew {
            Some(command) => hook::run(command, &store.current_path(), &device),
            None => Ok(()),
        };
        let (hook_failed, hook_until) = match told {
            Ok(()) => {
                store.mark(Mark::Announced, "")?;
                (None, None)
            }
            Err(trouble) => {
                crate::trouble::tell(&trouble);
                (Some(trouble.to_string()), Some(self.now().plus_secs(HOOK_RETRY_S).secs()))
            }
        };
        let memo = store.memo()?;
        store.put_memo(&Memo { hook_failed, hook_until, ..memo })
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keeper({:?}, {:?})", self.config.state, self.clock)
    }
}

/// Whether the server says that it never issued what was shown: it was restored from a back-up that
/// is older. In every other case it knows the new leaf, so the one before is spent or about to be,
/// and whoever shows a spent leaf is taken for a clone.
fn is_unknown(trouble: &Trouble) -> bool {
    is_by(trouble, &RuleId::UNKNOWN_CERTIFICATE)
}

/// Whether it was this rule that said no.
fn is_by(trouble: &Trouble, rule: &RuleId) -> bool {
    matches!(trouble, Trouble::Refused { sentence, .. } if *sentence == rule.sentence())
}

/// What a report has to be to need no repetition.
fn digest(report: &Report) -> String {
    hex(&sha256(&[&report.write()]))
}

/// Who has lost the leaf in use, or its key, is told how to get another.
fn damaged(trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Damaged(what) => Trouble::Damaged(format!(
            "{what}: `muster-agent join` gets another leaf, with a birth certificate or a token"
        )),
        other => other,
    }
}
