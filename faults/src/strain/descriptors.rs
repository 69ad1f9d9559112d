//! A server without file descriptors: first one that was given few from the start, then one that
//! loses what it has left while it runs.

use super::device::Device;
use super::{Plan, Site, limit, limited, until};
use crate::Failure;
use crate::kill::client::Desk;
use crate::kill::server::Ports;
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::net::TcpStream;

/// Descriptors of a server that has few: half of them are for devices.
const FEW: u32 = 160;
/// Connections that want all of them.
const CROWD: usize = 400;
/// Within this a device that is well gets what it asks for.
const SERVED_MAX: Duration = Duration::from_secs(10);

/// Runs both.
///
/// # Errors
/// What did not hold.
pub async fn run(plan: &Plan) -> Result<String, Failure> {
    let slowest = few(plan).await?;
    let back = none(plan).await?;
    Ok(format!(
        "file descriptors: with {FEW} of them and a crowd of {CROWD} at each port devices were \
         served within {slowest:.1?}; with none left who was connected was served, readyz named it, \
         and {back:.1?} after there were some again everybody came in"
    ))
}

/// A crowd takes all that a port has. Who proved who it is keeps its place, and who is well finds
/// one.
async fn few(plan: &Plan) -> Result<Duration, Failure> {
    let site = Site::new(limited(&plan.binary, FEW)).await?;
    let mut kept = Device::joined(&site.client, "kept").await?;
    let mut line = open(&site, &kept).await?;
    kept.renew_on(&mut line).await?;
    let Ports { device, operator, public } = site.ports;
    let mut crowd = Vec::new();
    for port in [device, operator, public] {
        crowd.extend(come(port, CROWD).await);
    }
    kept.renew_on(&mut line).await.map_err(|e| format!("who was connected: {e}"))?;
    let mut slowest = Duration::ZERO;
    let mut fresh = Device::joined(&site.client, "fresh").await?;
    for _ in 0..5 {
        slowest = slowest.max(fresh.renew(&site.client).await?);
    }
    if slowest > SERVED_MAX {
        return Err(format!("a renewal in a crowd took {slowest:?}").into());
    }
    drop(crowd);
    fresh.renew(&site.client).await?;
    site.end(&[&kept, &fresh])?;
    Ok(slowest)
}

/// The limit falls below what is open. Who is connected goes on, who comes waits, and all is well
/// when it is lifted.
async fn none(plan: &Plan) -> Result<Duration, Failure> {
    let site = Site::new(limited(&plan.binary, FEW * 4)).await?;
    let mut kept = Device::joined(&site.client, "kept").await?;
    let mut line = open(&site, &kept).await?;
    let mut desk = Desk::default();
    site.check(&mut desk, "connections").await?;
    limit(site.server.pid(), 3, None)?;
    // The one who waits in the accept call when the limit falls is let in, or not; the next is not.
    let waiting = come(site.ports.device, 2).await;
    until(SERVED_MAX, "readyz does not name it", async || {
        let said = site.check(&mut desk, "connections").await?;
        let named = said["detail"].as_str().is_some_and(|text| text.contains("LimitNOFILE"));
        if said["ok"] == false && named { Ok(()) } else { Err(said.to_string().into()) }
    })
    .await?;
    kept.renew_on(&mut line).await.map_err(|e| format!("who was connected: {e}"))?;
    limit(site.server.pid(), FEW * 4, None)?;
    drop(waiting);
    let mut tries = 0;
    let back = until(SERVED_MAX, "nobody comes in again", async || {
        tries += 1;
        Device::joined(&site.client, &format!("late-{tries}")).await.map(drop)
    })
    .await?;
    until(SERVED_MAX, "readyz is not well again", async || {
        let said = site.check(&mut Desk::default(), "connections").await?;
        if said["ok"] == true { Ok(()) } else { Err(said.to_string().into()) }
    })
    .await?;
    site.end(&[&kept])?;
    Ok(back)
}

async fn open(site: &Site, device: &Device) -> Result<agent::Line, Failure> {
    let line = site.client.line(Some(&device.identity())).await;
    line.map_err(|_| "a device has no line".into())
}

/// Connections that say nothing.
pub(super) async fn come(port: u16, count: usize) -> Vec<TcpStream> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.extend(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await);
    }
    all
}
