//! How it stands: what the last tries came to ([`Memo`], kept over restarts), and what `status`
//! shows of it.

use crate::plan::Life;
use crate::store::{Mark, Set, Stay, Store};
use crate::{Trouble, credential, plan};
use identity::UnixTime;
use identity::text::rfc3339;
use serde::{Deserialize, Serialize};

/// What the last tries came to. A member that a later version adds is absent here, and says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memo {
    /// The server that answered last.
    pub server: Option<String>,
    /// When it answered, in seconds since 1970.
    pub contact: Option<u64>,
    /// Tries that came to nothing, one after the other.
    pub failures: u32,
    /// Whether the server judged who we are and said no.
    pub turned_away: bool,
    /// Not before this moment.
    pub until: Option<u64>,
    /// Why the last try came to nothing.
    pub trouble: Option<String>,
    /// Why the server did not take what the device reports.
    pub report_refused: Option<String>,
    /// Why the programs could not be told.
    pub hook_failed: Option<String>,
    /// Not told again before this moment.
    pub hook_until: Option<u64>,
}

impl Memo {
    /// As the plan reads it.
    #[must_use]
    pub fn failed(&self) -> plan::Failed {
        plan::Failed {
            times: self.failures,
            is_turned_away: self.turned_away,
            until: self.until.map(UnixTime::from_secs),
        }
    }

    /// A step came about.
    pub fn went_well(&mut self, now: UnixTime) {
        self.contact = Some(now.secs());
        self.failures = 0;
        self.turned_away = false;
        self.until = None;
        self.trouble = None;
    }

    /// A step came to nothing.
    pub fn went_wrong(&mut self, trouble: &Trouble, chance: u16, now: UnixTime) {
        self.failures = self.failures.saturating_add(1);
        let turned_away = trouble.is_turned_away();
        if trouble.is_decided() {
            self.turned_away = turned_away;
        }
        let until = plan::retry(self.failures, turned_away, trouble.after_s(), chance, now);
        self.until = Some(until.secs());
        self.trouble = Some(trouble.to_string());
    }
}

/// What `status` shows. Moments are RFC 3339.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Status {
    /// `enrolled`, `ended`, `refused`, `damaged`, `leaving`, `left` or `none`.
    pub state: &'static str,
    /// The device, as its leaf names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The serial number of its leaf, as `cert:HEX` names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaf: Option<String>,
    /// When the leaf ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends: Option<String>,
    /// When it is renewed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renews: Option<String>,
    /// Whether the server has accepted it.
    pub worked: bool,
    /// Whether a request is under way.
    pub pending: bool,
    /// Where programs find the files.
    pub current: String,
    /// The server that answered last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// When it answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// What became of the leaf, or of its key, on its disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
    /// The next try, where the last came to nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_try: Option<String>,
    /// Why the last try came to nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Tries that came to nothing, one after the other.
    pub failures: u32,
    /// Why the server did not take what the device reports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report_refused: Option<String>,
    /// Why the programs could not be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook_failed: Option<String>,
    /// What time this device believes it is.
    pub now: String,
}

/// The life of a set's leaf.
#[must_use]
pub fn life(set: &Set) -> Option<Life> {
    let leaf = set.leaf()?;
    let [high, low, ..] = leaf.fingerprint();
    let spread = u16::from_be_bytes([high, low]);
    Some(Life { begins: leaf.not_before(), ends: leaf.not_after(), spread })
}

impl Status {
    /// How it stands now.
    ///
    /// # Errors
    /// Where the state cannot be read.
    pub fn read(store: &Store, now: UnixTime) -> Result<Self, Trouble> {
        let memo = store.memo()?;
        // Whose key is damaged still says which device it was.
        let (set, damage) = match credential::in_use(store) {
            Ok(found) => (found.map(|(set, _)| set), None),
            Err(trouble) => (store.current().ok().flatten(), Some(trouble.to_string())),
        };
        let moment = |secs: Option<u64>| secs.map(|s| rfc3339(UnixTime::from_secs(s)));
        let life = set.as_ref().and_then(life);
        let leaf = set.as_ref().and_then(Set::leaf);
        Ok(Self {
            state: state(store.stay(), &memo, (life, damage.is_some()), now),
            damage,
            device: leaf.and_then(|l| Some(l.device()?.to_string())),
            leaf: leaf.and_then(|l| Some(format!("cert:{}", l.serial()?))),
            ends: life.map(|l| rfc3339(l.ends)),
            renews: life.map(|l| rfc3339(l.renewal())),
            worked: set.as_ref().is_some_and(|s| s.mark(Mark::Worked).is_some()),
            pending: store.pending()?.is_some(),
            current: store.current_path().display().to_string(),
            server: memo.server.clone(),
            contact: moment(memo.contact),
            next_try: memo.failed().until(now).map(rfc3339),
            trouble: memo.trouble.clone(),
            failures: memo.failures,
            report_refused: memo.report_refused.clone(),
            hook_failed: memo.hook_failed.clone(),
            now: rfc3339(now),
        })
    }

    /// Whether everything is as it should be.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.state == "enrolled" && self.hook_failed.is_none() && self.report_refused.is_none()
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{}\n", self.headline());
        let rows = [
            ("device", self.device.as_ref()),
            ("leaf", self.leaf.as_ref()),
            ("ends", self.ends.as_ref()),
            ("renews", self.renews.as_ref()),
            ("files", Some(&self.current).filter(|_| self.leaf.is_some())),
            ("server", self.server.as_ref()),
            ("answered", self.contact.as_ref()),
            ("damage", self.damage.as_ref()),
            ("trouble", self.trouble.as_ref()),
            ("next try", self.next_try.as_ref()),
            ("report", self.report_refused.as_ref()),
            ("hook", self.hook_failed.as_ref()),
        ];
        for (name, value) in rows {
            if let Some(value) = value {
                text.push_str(&format!("  {name:<9} {value}\n"));
            }
        }
        text
    }

    fn headline(&self) -> &'static str {
        match self.state {
            "enrolled" => "This device is enrolled.",
            "ended" => "The leaf of this device has ended: it joins again.",
            "refused" => {
                "The server refuses this device. It asks again by itself; its operator knows why."
            }
            "damaged" => {
                "The leaf of this device, or its key, is damaged: `muster-agent join` gets another."
            }
            "leaving" => {
                "This device was told to leave, and no server has answered: `muster-agent leave`."
            }
            "left" => "This device has left: `muster-agent join` brings it back.",
            _ => "This device has no leaf yet.",
        }
    }
}

fn state(
    stay: Stay,
    memo: &Memo,
    (life, is_damaged): (Option<Life>, bool),
    now: UnixTime,
) -> &'static str {
    match life {
        _ if stay == Stay::Left => "left",
        _ if stay == Stay::Leaving => "leaving",
        _ if memo.turned_away => "refused",
        _ if is_damaged => "damaged",
        Some(life) if life.ends >= now => "enrolled",
        Some(_) => "ended",
        None => "none",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16) -> Trouble {
        Trouble::Refused { status, sentence: "no".into(), after_s: None }
    }

    #[test]
    fn who_was_turned_away_stays_so_until_a_server_says_otherwise() {
        let now = UnixTime::from_secs(1_800_000_000);
        for (then, stays) in [
            (Trouble::NoAnswer("no connection".into()), true),
            (Trouble::Own("the disk is full".into()), true),
            (Trouble::Later { after_s: 5 }, true),
            (refused(429), true),
            (refused(503), true),
            (refused(401), true),
            (refused(409), false),
        ] {
            let mut memo = Memo::default();
            memo.went_wrong(&refused(403), 0, now);
            memo.went_wrong(&then, 0, now);
            assert_eq!(memo.failed().is_turned_away, stays, "{then}");
        }
        let mut memo = Memo::default();
        memo.went_wrong(&refused(403), 0, now);
        memo.went_well(now);
        assert!(!memo.failed().is_turned_away);
    }
}
