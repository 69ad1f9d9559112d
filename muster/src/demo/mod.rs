//! `muster demo`: the whole life of a fleet in one process, over real TLS sockets on loopback, in a
//! temporary home.
//!
//! [`scene`] has what happens, one function a scene; [`unit`] is a device. What is claimed in the
//! summary was checked while it happened: a scene that does not hold ends the demo with exit code
//! 1.

mod roll;
mod scene;
mod thief;
mod unit;

use crate::failure::{Failure, Outcome};
use crate::progress;
use crate::session::Session;
use agent::CallError;
use clap::Args;
use identity::text::counted;
use indicatif::ProgressBar;
use scene::Stage;
use serde::Serialize;
use std::time::Instant;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Shows the whole life of a fleet on this machine in a few seconds.
///
/// Starts a server in a temporary home on free loopback ports, then: births at the line, joins with
/// the birth certificate, renewals, the operations authority rolled over to a successor while
/// devices join and renew, a rotation, a suspension that refuses, forged and replayed requests
/// refused, a copied key that gives itself away, a stolen device whose session is cut, and in the
/// end the ledger re-computed and proven to an outsider. Nothing is left behind.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  muster demo --devices 200")]
pub(crate) struct Demo {
    /// How many devices.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(2..=100_000))]
    devices: u32,
}

/// One scene, as it went.
#[derive(Serialize)]
struct Held {
    scene: &'static str,
    count: u64,
    seconds: f64,
    told: String,
}

#[derive(Serialize)]
struct Report {
    devices: u32,
    seconds: f64,
    scenes: Vec<Held>,
}

/// Runs the demo.
pub(crate) async fn run(demo: Demo, session: &Session) -> Outcome {
    let began = Instant::now();
    // Heard before there is a home, so that none is left that nobody takes away.
    let mut stop = Stop::listen()?;
    let home = tempfile::Builder::new()
        .prefix("muster-demo-")
        .tempdir()
        .map_err(|e| Failure::new(e.to_string()))?;
    let bar = progress::bar(Some(scene::ALL.len() as u64), "scenes");
    let opened = Stage::open(home.path(), demo.devices as usize, bar.clone()).await;
    let mut stage = opened.map_err(failed("the start"))?;
    let played = tokio::select! {
        played = play(&mut stage, &bar) => played,
        () = stop.heard() => {
            Err(Failure::new("interrupted").next("nothing is left behind; run it again"))
        }
    };
    bar.finish_and_clear();
    stage.close().await;
    let (devices, seconds) = (demo.devices, began.elapsed().as_secs_f64());
    let report = Report { devices, seconds, scenes: played? };
    session.show(&report, |report, _| summary(report))
}

/// Plays every scene.
async fn play(stage: &mut Stage, bar: &ProgressBar) -> Outcome<Vec<Held>> {
    let mut scenes = Vec::new();
    for scene in scene::ALL {
        bar.set_message(scene.name);
        let at = Instant::now();
        let (count, told) = (scene.play)(stage).await.map_err(failed(scene.name))?;
        scenes.push(Held { scene: scene.name, count, seconds: at.elapsed().as_secs_f64(), told });
        bar.inc(1);
    }
    Ok(scenes)
}

/// Ctrl-C and SIGTERM: they end the demo, and do not leave its home.
struct Stop {
    int: Signal,
    term: Signal,
}

impl Stop {
    fn listen() -> Outcome<Self> {
        let hear =
            |kind| signal(kind).map_err(|e| Failure::new(format!("signals cannot be heard: {e}")));
        Ok(Self { int: hear(SignalKind::interrupt())?, term: hear(SignalKind::terminate())? })
    }

    async fn heard(&mut self) {
        tokio::select! {
            _ = self.int.recv() => {}
            _ = self.term.recv() => {}
        }
    }
}

fn failed(scene: &'static str) -> impl Fn(CallError) -> Failure {
    move |error| {
        Failure::new(format!("{scene}: {error}"))
            .next("run it again; if it fails again, it is a bug of ours")
    }
}

fn summary(report: &Report) -> String {
    let mut out = format!(
        "A fleet of {}, from birth on, in {:.1} s.\n\n",
        counted(report.devices as u64, "device", "devices"),
        report.seconds
    );
    for held in &report.scenes {
        out.push_str(&format!("  {:<12} {:>7.2} s   {}\n", held.scene, held.seconds, held.told));
    }
    out.push_str(
        "\nWhat you saw went over TLS on loopback, and every step stands in a ledger that was re-computed.\n\
         Next:  muster serve --home ./muster-home     a server of your own; it says what to do then\n       \
         muster help                           everything else\n",
    );
    out
}
