//! The end of what is known of a device; asked for twice, since there is no way back.

use super::{Erase, called};
use crate::failure::{Failure, Outcome};
use crate::output::{Paint, plain};
use crate::rest::Rest;
use crate::session::Session;
use api::path::{DEVICE, DEVICE_ERASE, fill};
use api::{DeviceView, EraseResult};
use identity::text::counted;
use std::io::{BufRead, IsTerminal, Write};

/// Octets of a name that somebody types.
const NAME_OCTETS_MAX: u64 = 256;

pub(super) async fn run(typed: Erase, rest: &Rest, session: &Session) -> Outcome {
    let device: DeviceView = rest.get(fill(DEVICE, &[&typed.id])).await?;
    if !typed.yes {
        ask(&device)?;
    }
    let path = fill(DEVICE_ERASE, &[&device.id]);
    let done: EraseResult = rest.post(path, &serde_json::json!({})).await?;
    session.show(&done, told)
}

/// The name is typed again by whoever means it.
fn ask(device: &DeviceView) -> Outcome {
    let name = if device.serial.is_empty() { &device.id } else { &device.serial };
    if !std::io::stdin().is_terminal() {
        let what = "erasing cannot be undone, and nobody is there to be asked";
        return Err(Failure::usage(what).next("say --yes if you mean it"));
    }
    let shown = plain(&called(device));
    eprint!("{} ({shown}) will be erased. Type `{}` to go on: ", device.id, plain(name));
    std::io::stderr().flush()?;
    let mut typed = String::new();
    let stdin = std::io::Read::take(std::io::stdin(), NAME_OCTETS_MAX);
    std::io::BufReader::new(stdin).read_line(&mut typed)?;
    match typed.trim() == name {
        true => Ok(()),
        false => Err(Failure::new("that is not its name: nothing was erased")),
    }
}

fn told(done: &EraseResult, paint: Paint) -> String {
    let what = match done.already {
        true => format!("{} was erased at {}", done.device, done.erased),
        false => {
            let entries = counted(done.entries, "entry", "entries");
            format!("{} is erased, and with it what {entries} said", done.device)
        }
    };
    let mut lines = vec![what, paint.strong("What remains:")];
    lines.extend(done.remains.iter().map(|sentence| format!("- {}", plain(sentence))));
    lines.join("\n")
}
