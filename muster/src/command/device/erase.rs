//! The end of what is known of a device; asked for twice, since there is no way back.

use super::{Erase, called};
use crate::command::sure::sure;
use crate::failure::Outcome;
use crate::output::{Paint, plain};
use crate::rest::Rest;
use crate::session::Session;
use api::path::{DEVICE, DEVICE_ERASE, fill};
use api::{DeviceView, EraseResult};
use identity::text::counted;

pub(super) async fn run(typed: Erase, rest: &Rest, session: &Session) -> Outcome {
    let device: DeviceView = rest.get(fill(DEVICE, &[&typed.id])).await?;
    if !typed.yes {
        let name = if device.serial.is_empty() { &device.id } else { &device.serial };
        let what = format!("{} ({}) will be erased", device.id, plain(&called(&device)));
        sure("erasing", &what, name)?;
    }
    let path = fill(DEVICE_ERASE, &[&device.id]);
    let done: EraseResult = rest.post(path, &serde_json::json!({})).await?;
    session.show(&done, told)
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
