//! `muster-agent`: keeps a device enrolled. See the library beside it for how.

use agent::args::{self, Wish};
use agent::{trouble, verb};
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let done = args::read(std::env::args_os().skip(1)).and_then(|wish| match wish {
        Wish::Do(args) => verb::run(&args, &mut std::io::stdout()),
        Wish::Show(text) => {
            let mut out = std::io::stdout().lock();
            Ok(out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok())
        }
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(trouble) => {
            trouble::tell(&trouble);
            ExitCode::from(trouble.exit_code())
        }
    }
}
