//! `muster-agent`: keeps a device enrolled. See the library beside it for how.

use agent::args::{self, Wish};
use agent::verb;
use std::process::ExitCode;

fn main() -> ExitCode {
    let done = args::read(std::env::args_os().skip(1)).and_then(|wish| match wish {
        Wish::Do(args) => verb::run(&args, &mut std::io::stdout()),
        Wish::Show(text) => {
            print!("{text}");
            Ok(true)
        }
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(trouble) => {
            eprintln!("muster-agent: {}", trouble);
            ExitCode::from(trouble.exit_code())
        }
    }
}
