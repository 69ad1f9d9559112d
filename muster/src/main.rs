//! The binary: serve, demo, bench and the operators' verbs.
//!
//! A line typed becomes a value in [`command`]; its verb asks a server over [`rest`], or works on
//! files as [`production`] does, and ends as an outcome: printed by [`output`], or explained by
//! [`failure`].

mod bench;
mod command;
mod credential;
mod demo;
mod failure;
mod home;
mod output;
mod production;
mod progress;
mod rest;
mod session;
mod table;

use std::process::ExitCode;

/// An enrollment allocates some hundred times, on one thread, and frees on another: the system's
/// allocator takes a twelfth of its time for that.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let typed = command::parse();
    let paint = typed.everywhere.paint_errors();
    match typed.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(paint),
    }
}
