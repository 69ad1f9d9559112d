//! How far a long verb is: a bar with rate and time left, on a terminal only.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use std::fmt::Write;
use std::io::IsTerminal;
use std::time::Duration;

/// Ten a second is as fast as one reads, and drawing never costs more than a birth.
const DRAWS_PER_S: u8 = 10;

/// What was done in the first instants says nothing about a rate.
const RATE_AFTER: Duration = Duration::from_secs(1);

/// A bar over `total` units, or none where stderr is not a terminal.
pub(crate) fn bar(total: Option<u64>, unit: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let target = ProgressDrawTarget::stderr_with_hz(DRAWS_PER_S);
    let bar = ProgressBar::with_draw_target(total, target);
    let template = match total {
        Some(_) => "{bar:30} {human_pos}/{human_len} {msg}  {rate}  {eta} left",
        None => "{spinner} {human_pos} {msg}  {rate}",
    };
    // A template that does not parse is a bar without one, not a run without one.
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .with_key("rate", |state: &ProgressState, out: &mut dyn Write| {
            let _ = write!(out, "{}", rate(state.per_sec(), state.elapsed()));
        })
        .progress_chars("=> ");
    bar.with_style(style).with_message(unit.to_owned())
}

fn rate(per_s: f64, elapsed: Duration) -> String {
    if elapsed < RATE_AFTER { String::new() } else { format!("{per_s:.0}/s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_frame_tells_no_rate() {
        assert_eq!(rate(12_690_294.0, Duration::from_micros(5)), "");
        assert_eq!(rate(812.4, RATE_AFTER), "812/s");
    }
}
