//! How many devices may be set aside within an hour without a person looking.

use identity::{GroupName, UnixTime};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What is counted together.
const WINDOW_S: u64 = 3600;

/// How many an hour at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caps {
    /// In the whole realm.
    pub realm: u32,
    /// In each group that has a bound of its own.
    pub groups: BTreeMap<GroupName, u32>,
}

/// Who was set aside within the last hour, by the groups that they are in.
#[derive(Clone, Debug, Default)]
pub struct Window(VecDeque<(UnixTime, BTreeSet<GroupName>)>);

impl Window {
    /// Takes one for a device in `groups`; `false` where the realm's bound or that of one of its
    /// groups is reached. It holds no more than the realm's bound.
    pub fn take(&mut self, groups: &BTreeSet<GroupName>, caps: &Caps, now: UnixTime) -> bool {
        // A clock that was ahead left moments that have not come yet: they must not count for as
        // long as it was ahead.
        let within = |at: UnixTime| at.secs_since(now).max(now.secs_since(at)) < WINDOW_S;
        self.0.retain(|(at, _)| within(*at));
        let full = |group: &GroupName, most: u32| {
            self.0.iter().filter(|(_, of)| of.contains(group)).count() >= most as usize
        };
        let capped = |g: &GroupName| caps.groups.get(g).is_some_and(|most| full(g, *most));
        if self.0.len() >= caps.realm as usize || groups.iter().any(capped) {
            return false;
        }
        self.put(groups.clone(), now);
        true
    }

    /// Counts one that was set aside at `at`, as a start reads it from the ledger.
    pub fn put(&mut self, groups: BTreeSet<GroupName>, at: UnixTime) {
        self.0.push_back((at, groups));
    }

    /// Gives back what was taken at `at`: it came to nothing.
    pub fn give_back(&mut self, groups: &BTreeSet<GroupName>, at: UnixTime) {
        if let Some(place) = self.0.iter().rposition(|(then, of)| *then == at && of == groups) {
            self.0.remove(place);
        }
    }
}
