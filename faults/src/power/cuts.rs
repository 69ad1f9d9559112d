//! Cuts the power before every sync of a tape, and looks at what could be left.

use super::reference::{State, scratch};
use crate::Failure;
use crate::audit;
use crate::dice::Dice;
use crate::disk::image::{Disk, Image, Pick};
use crate::disk::tape::Event;
use crate::disk::vfs;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// More waiting writes than a commit has: the log is being carried over, and that is looked at
/// more closely.
const MANY: usize = 200;

/// How closely to look.
#[derive(Clone, Debug)]
pub struct Look {
    /// Every prefix of what was not synced, and not some.
    pub every: bool,
    /// Prefixes and subsets of each cut otherwise.
    pub samples: usize,
    /// Which.
    pub dice: Dice,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Seen {
    /// Images that were opened.
    pub images: usize,
    /// Moments at which the power was cut.
    pub cuts: usize,
    /// What did not hold, and where.
    pub broken: Vec<String>,
}

/// One file system to look at.
struct Left {
    image: Image,
    told: usize,
    which: String,
}

/// Plays `tape` on `disk` and opens what every cut could leave. It must be one of `states`, and
/// not one from before the last change that was called durable by then.
///
/// # Errors
/// Where there is no room for the images.
pub fn explore(disk: Disk, tape: &[Event], states: &[State], look: Look) -> Result<Seen, Failure> {
    let workers = std::thread::available_parallelism().map_or(2, usize::from).min(8);
    let (send, receive) = sync_channel(workers);
    let receive = Arc::new(Mutex::new(receive));
    std::thread::scope(|scope| {
        let looking: Vec<_> =
            (0..workers).map(|_| scope.spawn(|| look_at(&receive, states))).collect();
        let mut seen = cut(disk, tape, look, &send);
        drop(send);
        for worker in looking {
            let (images, broken) = worker.join().map_err(|_| "a look ended in a panic")??;
            seen.images += images;
            seen.broken.extend(broken);
        }
        Ok(seen)
    })
}

fn cut(mut disk: Disk, tape: &[Event], mut look: Look, send: &SyncSender<Left>) -> Seen {
    let mut seen = Seen::default();
    let end = tape.len();
    let moment = |event: &Event| !matches!(event, Event::Wrote { .. } | Event::Told(_));
    for (at, event) in tape.iter().enumerate() {
        if moment(event) {
            seen.cuts += 1;
            hand_over(&disk, at, &mut look, send);
        }
        disk.play(event);
    }
    seen.cuts += 1;
    hand_over(&disk, end, &mut look, send);
    seen
}

fn hand_over(disk: &Disk, at: usize, look: &mut Look, send: &SyncSender<Left>) {
    for pick in picks(disk.waiting(), look) {
        let which = format!("cut before event {at}, {} writes waiting, {pick:?}", disk.waiting());
        let left = Left { image: disk.image(&pick), told: disk.told(), which };
        // It ends only with a panic, which the join tells.
        let _ = send.send(left);
    }
}

fn picks(waiting: usize, look: &mut Look) -> Vec<Pick> {
    let mut picks = vec![Pick::None];
    if waiting == 0 {
        return picks;
    }
    picks.push(Pick::All);
    let samples = if waiting > MANY { look.samples * 5 } else { look.samples };
    if look.every && waiting <= MANY {
        picks.extend((0..waiting).map(Pick::First));
    } else {
        picks.extend((0..samples).map(|_| Pick::First(look.dice.below(waiting))));
    }
    picks.extend((0..samples).map(|_| Pick::Some(look.dice.split())));
    picks
}

fn look_at(
    from: &Mutex<Receiver<Left>>,
    states: &[State],
) -> Result<(usize, Vec<String>), Failure> {
    let place = scratch()?;
    let (mut images, mut broken) = (0, Vec::new());
    loop {
        let left = from.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(left) = left else { return Ok((images, broken)) };
        images += 1;
        if let Err(why) = holds(place.path(), &left.image, left.told, states) {
            broken.push(format!("{}: {why}", left.which));
        }
    }
}

/// Opens an image, and holds it against what may be in it.
///
/// # Errors
/// What does not hold.
pub fn holds(place: &Path, image: &Image, told: usize, states: &[State]) -> Result<(), Failure> {
    vfs::lay(place, image)?;
    // What the index of the log said before the cut is never believed.
    std::fs::write(place.join("muster.db-shm"), [0x5a; 4096])?;
    let path = place.join("muster.db");
    let registry = audit::open_sound(&path)?;
    let said = audit::digest(&path)?;
    drop(registry);
    let states = states.iter().filter(|state| state.said == said);
    match states.map(|state| state.after).max() {
        Some(after) if after >= told => Ok(()),
        Some(after) => {
            Err(format!("{told} changes were called durable, and {after} are there").into())
        }
        None => Err("it says what it never said: half a change".into()),
    }
}
