//! What each verb does.

use crate::args::{Args, Verb};
use crate::config::Config;
use crate::keeper::{Keeper, Left};
use crate::plan::Step;
use crate::status::Status;
use crate::store::{Stay, Store};
use crate::{Trouble, store};
use std::io::Write;

/// Does what was typed, tells `out` what there is to tell, and says whether all is well.
///
/// # Errors
/// What went wrong.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<bool, Trouble> {
    let mut keeper = Keeper::new(Config::read(&args.typed)?)?;
    match args.verb {
        Verb::Join => join(&mut keeper, args.anyway, out)?,
        Verb::Run => keeper.run()?,
        Verb::Renew => {
            keeper.insist(Step::Renew)?;
            say(out, &Status::read(&Store::at(&keeper.config().state), keeper.now())?.text());
        }
        Verb::Status => return status(&keeper, args.json, out),
        Verb::Leave => leave(&mut keeper, args, out)?,
    }
    Ok(true)
}

fn join(keeper: &mut Keeper, anyway: bool, out: &mut dyn Write) -> Result<(), Trouble> {
    keeper.come_in(anyway)?;
    let status = Status::read(&Store::at(&keeper.config().state), keeper.now())?;
    say(out, &status.text());
    Ok(())
}

fn status(keeper: &Keeper, json: bool, out: &mut dyn Write) -> Result<bool, Trouble> {
    let status = Status::read(&Store::at(&keeper.config().state), keeper.now())?;
    if json {
        let text = serde_json::to_string_pretty(&status)
            .map_err(|e| Trouble::Own(format!("the status cannot be written: {e}")))?;
        say(out, &format!("{text}\n"));
    } else {
        say(out, &status.text());
    }
    Ok(status.is_well())
}

fn leave(keeper: &mut Keeper, args: &Args, out: &mut dyn Write) -> Result<(), Trouble> {
    let left = keeper.leave(args.anyway).map_err(|trouble| {
        let stay = Store::at(&keeper.config().state).stay();
        not_left(trouble, stay)
    })?;
    if args.birth_too {
        store::wipe_secret(&keeper.config().birth_key)?;
    }
    say(out, farewell(left));
    Ok(())
}

/// What becomes of a device whose server did not say that it has left.
fn not_left(trouble: Trouble, stay: Stay) -> Trouble {
    match (trouble, stay) {
        (
            trouble @ (Trouble::NoAnswer(_) | Trouble::Refused { .. } | Trouble::Later { .. }),
            Stay::Leaving,
        ) => Trouble::NoAnswer(format!(
            "{trouble}; the device is leaving, and its certificate may be revoked already: `run` or \
             `leave` asks again, `leave --anyway` wipes now, `join` takes it back"
        )),
        (Trouble::NoAnswer(what), _) => Trouble::NoAnswer(format!(
            "{what}; nothing is wiped: try again, or say --anyway where no server will be reached"
        )),
        (other, _) => other,
    }
}

/// What becomes of a device that has left.
const fn farewell(left: Left) -> &'static str {
    match left {
        Left::Revoked => "This device has left. Its certificate is revoked and its key is wiped.\n",
        Left::Unconfirmed => {
            "This device has left: its key is wiped. No server has confirmed that its certificate \
             is revoked: `muster device show` tells, and `muster device retire` ends it.\n"
        }
        Left::Nothing => {
            "This device had no certificate, so there was nothing to revoke and nothing to wipe. It \
             joins only when `muster-agent join` says so.\n"
        }
    }
}

/// Whoever has closed standard output does not want to hear it.
fn say(out: &mut dyn Write, text: &str) {
    drop(out.write_all(text.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_leaving_is_told_who_asks_again_and_what_takes_it_back() {
        let failed = Trouble::Refused { status: 503, sentence: "busy".into(), after_s: None };
        for trouble in [Trouble::NoAnswer("no answer".into()), failed.clone()] {
            let told = not_left(trouble, Stay::Leaving).to_string();
            assert!(told.contains("`run`") && told.contains("takes it back"), "{told}");
            assert!(!told.contains("try again"), "{told}");
        }
        let told = not_left(Trouble::NoAnswer("no answer".into()), Stay::Here).to_string();
        assert!(told.contains("nothing is wiped: try again"), "{told}");
        assert_eq!(not_left(failed.clone(), Stay::Here), failed);
    }
}
