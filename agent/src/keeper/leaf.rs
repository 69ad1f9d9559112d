//! Getting a leaf: by what a join shows, or after a leaf; and what is done where that is refused, or
//! where our clock says that a leaf has ended.

use super::{Keeper, damaged, is_by};
use crate::Trouble;
use crate::credential::{self, Credential};
use crate::status::{Memo, life};
use crate::store::Locked;
use crate::talk::Talk;
use identity::RuleId;
use identity::ask::Want;
use identity::text::rfc3339;

impl Keeper {
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
        self.get_leaf(store, Want::Renew, Some(&who))
    }

    /// By our clock the leaf has ended. A clock that is ahead at a start says so of one that is good,
    /// and a join would end that one for every program that has it: so a server is asked first.
    pub(super) fn ask_time(&mut self, store: &Locked) -> Result<(), Trouble> {
        self.has_asked = true;
        Talk::new(&self.config, store, &mut self.clock, &self.clocks)?.greet()
    }

    /// A way in may be closed, or its token spent, while the leaf in use is as good as it was: who
    /// was let in again, or is within the grace, comes back with that. What was said of the device
    /// itself holds whatever it shows.
    pub(super) fn renew_instead(
        &mut self,
        store: &Locked,
        refused: Trouble,
    ) -> Result<(), Trouble> {
        let is_final = !refused.is_turned_away() || is_about_device(&refused);
        if is_final || !matches!(credential::in_use(store), Ok(Some(_))) {
            return Err(refused);
        }
        self.renew(store).map_err(|no| if is_about_device(&no) { no } else { refused })
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
        let ends = store.current()?.as_ref().and_then(life).map(|life| life.ends);
        let Some(ends) = ends.filter(|ends| *ends < self.now()) else { return Ok(()) };
        self.clock.doubt_system();
        if self.now() <= ends {
            return Ok(());
        }
        let [ends, now] = [ends, self.now()].map(rfc3339);
        Err(Trouble::Own(format!(
            "the leaf that was issued just now ended at {ends}, and for this device it is {now}: one \
             of the two clocks is wrong"
        )))
    }
}

/// Whether the server has something against the device, and not against what it showed.
fn is_about_device(trouble: &Trouble) -> bool {
    let rules = [RuleId::SUSPENDED, RuleId::QUARANTINED, RuleId::RETIRED];
    rules.iter().any(|rule| is_by(trouble, rule))
}
