//! Asking whether somebody means what cannot be undone: a name is typed once more, and where nobody is
//! there to be asked, `--yes` says it.

use crate::failure::{Failure, Outcome};
use crate::output::plain;
use std::io::{BufRead, IsTerminal, Write};

/// Octets of a name that somebody types.
const NAME_OCTETS_MAX: u64 = 256;

/// Goes on where `name` is typed again. `doing` cannot be undone, which `what` says of whom.
pub(super) fn sure(doing: &str, what: &str, name: &str) -> Outcome {
    if !std::io::stdin().is_terminal() {
        let said = format!("{doing} cannot be undone, and nobody is there to be asked: {what}");
        return Err(Failure::usage(said).next("say --yes if you mean it"));
    }
    eprint!("{what}. Type `{}` to go on: ", plain(name));
    std::io::stderr().flush()?;
    let mut typed = String::new();
    let stdin = std::io::Read::take(std::io::stdin(), NAME_OCTETS_MAX);
    std::io::BufReader::new(stdin).read_line(&mut typed)?;
    match typed.trim() == name {
        true => Ok(()),
        false => Err(Failure::new("that is not its name: nothing was done")),
    }
}
