//! `full`: a server whose disk is full, and has space again. Exit code 0 only if all held.

use faults::{Failure, full};
use std::process::ExitCode;

fn main() -> ExitCode {
    let ran = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::from)
        .and_then(|runtime| runtime.block_on(run()));
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("full: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Failure> {
    let home = tempfile::tempdir()?;
    full::suffer(home.path()).await?;
    println!(
        "a full disk: devices and operators are told to come again, readyz names it, reading goes \
         on, and with space it is well again by itself"
    );
    Ok(())
}
