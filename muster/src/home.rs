//! Where a home is: the directory with the configuration, the keys and the database of one Muster.

use crate::failure::{Failure, Outcome};
use std::path::{Path, PathBuf};

/// Where a packaged Muster lives.
const SYSTEM: &str = "/var/lib/muster";
/// Where a Muster that somebody tries out lives: below the working directory, and not named like
/// our source.
const LOCAL: &str = "muster-home";

/// The home that was named (`--home`, `$MUSTER_HOME`), else `/var/lib/muster` where this user may
/// read one, else `./muster-home`.
pub(crate) fn find(named: Option<PathBuf>) -> PathBuf {
    named.unwrap_or_else(|| choose(Path::new(SYSTEM)))
}

fn choose(system: &Path) -> PathBuf {
    // It belongs to root or to a user of its own, mode 0700: whoever may list it is meant by it.
    let mine = std::fs::read_dir(system).is_ok_and(|mut d| d.next().is_some());
    if mine { system.to_owned() } else { PathBuf::from(LOCAL) }
}

/// Whether a Muster runs on this home: somebody holds its lock file.
pub(crate) fn refuse_running(home: &Path) -> Outcome {
    let path = home.join("run").join("lock");
    let Ok(file) = std::fs::OpenOptions::new().write(true).open(&path) else { return Ok(()) };
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(_) => Err(Failure::new(format!("a Muster is running on `{}`", home.display()))
            .next("stop it first, or ask it over REST by leaving the file names out")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_home_wins_and_an_absent_or_empty_system_home_is_not_taken() {
        assert_eq!(find(Some("x".into())), PathBuf::from("x"));
        assert_eq!(choose(Path::new("/nonexistent")), PathBuf::from(LOCAL));
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(choose(dir.path()), PathBuf::from(LOCAL));
        std::fs::write(dir.path().join("muster.toml"), "").unwrap();
        assert_eq!(choose(dir.path()), dir.path());
    }

    #[test]
    fn a_home_whose_lock_is_held_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(refuse_running(dir.path()).is_ok());
        std::fs::create_dir(dir.path().join("run")).unwrap();
        let lock = std::fs::File::create(dir.path().join("run/lock")).unwrap();
        assert!(refuse_running(dir.path()).is_ok());
        lock.lock().unwrap();
        assert!(refuse_running(dir.path()).is_err());
    }
}
