//! Getting a leaf: by what a join shows, or after a leaf; and what is done where that is refused, or
//! where our clock says that a leaf has ended.

use super::{Keeper, damaged, is_by};
use crate::Trouble;
use crate::credential::{self, Credential};
use crate::plan::Step;
use crate::status::{Memo, Status, life};
use crate::store::{Locked, Mark, Set, Store};
use crate::talk::Talk;
use identity::ask::Want;
use identity::text::rfc3339;
use identity::{RuleId, UnixTime};

impl Keeper {
    /// Comes in where the device has no good leaf, or `anyway`, also after it has left.
    ///
    /// # Errors
    /// What went wrong, which the memo keeps too.
    pub fn come_in(&mut self, anyway: bool) -> Result<(), Trouble> {
        let look = |keeper: &Self| {
            Status::read(&Store::at(&keeper.config.state), keeper.now()).map(|found| found.state)
        };
        if !anyway && look(self)? == "ended" {
            let store = Store::lock(&self.config.state)?;
            if let Err(trouble) = self.ask_time(&store) {
                self.failed(&store, &trouble)?;
                return Err(trouble);
            }
        }
        if anyway || look(self)? != "enrolled" {
            self.come_back()?;
            self.insist(Step::Join)?;
        }
        Ok(())
    }

    pub(super) fn join(&mut self, store: &Locked) -> Result<(), Trouble> {
        let has_birth = self.config.birth.exists() && self.config.birth_key.exists();
        let who = if has_birth {
            Some(Credential::given(&self.config.birth, &self.config.birth_key)?)
        } else {
            None
        };
        if who.is_none() && self.config.token()?.is_none() {
            return Err(Trouble::Usage(format!(
                "nothing to join with: put the birth certificate at `{}` and its key at `{}`, or \
                 say `--token-file FILE`",
                self.config.birth.display(),
                self.config.birth_key.display()
            )));
        }
        self.get_leaf(store, Want::Join, who.as_ref())
    }

    pub(super) fn renew(&mut self, store: &Locked) -> Result<(), Trouble> {
        let found = credential::in_use(store).map_err(damaged)?;
        let (_, who) = found.ok_or_else(|| {
            Trouble::Usage("there is no leaf to renew: `muster-agent join` first".to_owned())
        })?;
        let got = self.get_leaf(store, Want::Renew, Some(&who));
        got.inspect_err(|trouble| note_over(store, trouble))
    }

    /// By our clock the leaf has ended. A clock that is ahead at a start says so of one that is good,
    /// and a join would end that one for every program that has it: so a server is asked first.
    pub(super) fn ask_time(&mut self, store: &Locked) -> Result<(), Trouble> {
        Talk::new(&self.config, store, &mut self.clock, &self.clocks)?.greet()?;
        // Who was not reached has said nothing, and is asked again after the wait.
        self.has_asked = true;
        if let Some(ends) = ends(store)?.filter(|ends| *ends < self.now()) {
            self.is_good_by_word(ends);
        }
        let memo = store.memo()?;
        // It answers again, and has said nothing of what it refused.
        if memo.trouble.is_none() || memo.turned_away {
            return Ok(());
        }
        store.put_memo(&Memo { failures: 0, until: None, trouble: None, ..memo })
    }

    /// Whether what ends then is good by what a server says, against the system's clock: that one is
    /// ahead, by little, and is believed no more.
    fn is_good_by_word(&mut self, ends: UnixTime) -> bool {
        let mut clock = self.clock;
        clock.doubt_system();
        let is_good = clock.now((self.clocks)()) <= ends;
        if is_good {
            self.clock = clock;
        }
        is_good
    }

    /// A way in may be closed, or its token spent, while the leaf in use is as good as it was: who
    /// was let in again, or is within the grace, comes back with that. What was said of the device
    /// itself holds whatever it shows. Whoever shows a key that is over is a sign of misuse, so that
    /// is not done where a renewal cannot come about.
    pub(super) fn renew_instead(
        &mut self,
        store: &Locked,
        refused: Trouble,
    ) -> Result<(), Trouble> {
        let is_final = !refused.is_turned_away() || is_about_device(&refused);
        match credential::in_use(store) {
            Ok(Some((set, _))) if !is_final && self.may_renew(&set) => {}
            _ => return Err(refused),
        }
        self.renew(store).map_err(|no| if is_about_device(&no) { no } else { refused })
    }

    /// Whether a server may renew this leaf, as far as is known here: it has not said that it is over,
    /// and after its end a server renews it only for who has no birth certificate.
    fn may_renew(&self, set: &Set) -> bool {
        let has_ended = life(set).is_some_and(|life| life.ends < self.now());
        set.mark(Mark::Over).is_none() && !(has_ended && self.has_birth())
    }

    /// Whether what it joins with was made for it by a realm, and not by a maker.
    fn has_birth(&self) -> bool {
        let given = Credential::given(&self.config.birth, &self.config.birth_key);
        given.is_ok_and(|given| given.certificate().is_some_and(|c| c.device().is_some()))
    }

    fn get_leaf(
        &mut self,
        store: &Locked,
        want: Want,
        who: Option<&Credential>,
    ) -> Result<(), Trouble> {
        let mut talk = Talk::new(&self.config, store, &mut self.clock, &self.clocks)?;
        talk.get_leaf(want, who)?;
        let server = talk.server.map(|s| s.to_string());
        self.begins_now(store)?;
        // New files are told of at once, whatever became of the last ones.
        let memo = store.memo()?;
        store.put_memo(&Memo { hook_failed: None, hook_until: None, ..memo })?;
        self.went_well(store, server)
    }

    /// What was issued this moment has not ended, or one of two clocks is wrong; asking at once for
    /// another leaf would go on for ever.
    fn begins_now(&mut self, store: &Locked) -> Result<(), Trouble> {
        let ended = ends(store)?.filter(|ends| *ends < self.now());
        let Some(ends) = ended.filter(|ends| !self.is_good_by_word(*ends)) else { return Ok(()) };
        let [ends, now] = [ends, self.now()].map(rfc3339);
        Err(Trouble::Own(format!(
            "the leaf that was issued just now ended at {ends}, and for this device it is {now}: one \
             of the two clocks is wrong"
        )))
    }
}

/// Notes that the leaf in use is over, where the server says so. Without room for that it is shown
/// once more.
pub(super) fn note_over(store: &Locked, said: &Trouble) {
    if [RuleId::SPENT, RuleId::REVOKED].iter().any(|rule| is_by(said, rule)) {
        drop(store.mark(Mark::Over, ""));
    }
}

/// When the leaf in use ends.
fn ends(store: &Locked) -> Result<Option<UnixTime>, Trouble> {
    Ok(store.current()?.as_ref().and_then(life).map(|life| life.ends))
}

/// Whether the server has something against the device, and not against what it showed.
fn is_about_device(trouble: &Trouble) -> bool {
    let rules = [RuleId::SUSPENDED, RuleId::QUARANTINED, RuleId::RETIRED];
    rules.iter().any(|rule| is_by(trouble, rule))
}
