//! Guests who are slow on purpose, at every port and at every stage of a connection: an octet a
//! second. Each is cut at the limit of its stage, and devices that are well are served meanwhile.

use super::descriptors::come;
use super::device::Device;
use super::{Plan, Site};
use crate::Failure;
use crate::kill::server::Ports;
use rustls::pki_types::ServerName;
use server::limits::{BODY, HANDSHAKE, HEADER, PROXY_HEADER};
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Between two octets of a guest.
const OCTET: Duration = Duration::from_secs(1);
/// Between two renewals of a device that is well: below its allowance of an hour.
const RENEWAL: Duration = Duration::from_secs(1);
/// What a machine that is busy may add to a limit.
const SLACK: Duration = Duration::from_secs(8);
/// Within this a device that is well is served.
const SERVED_MAX: Duration = Duration::from_secs(5);
/// What a guest with a slow body is told at the end.
const TOO_SLOW: &[u8] = b"HTTP/1.1 408 ";
/// Guests with a slow body: each makes a request, and strangers of one address have few.
const BODIES: usize = 20;

/// Where a guest is slow.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// In the TLS handshake.
    Handshake,
    /// In the header of a request, behind a handshake where there is TLS.
    Header { tls: bool },
    /// In the body of a request.
    Body,
}

impl Stage {
    const fn limit(self) -> Duration {
        match self {
            Self::Handshake => HANDSHAKE,
            Self::Header { .. } => HEADER,
            Self::Body => BODY,
        }
    }

    /// What it says at once, before it becomes slow.
    const fn quickly(self) -> &'static str {
        match self {
            // A record of a handshake, with 512 octets to come.
            Self::Handshake => "\x16\x03\x01\x02\x00",
            Self::Header { .. } => "GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
            Self::Body => {
                "POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: localhost\r\n\
                 Content-Type: application/pkcs10\r\nContent-Length: 1000\r\n\r\n"
            }
        }
    }
}

/// Runs it, with the PROXY header last.
///
/// # Errors
/// What did not hold.
pub async fn run(plan: &Plan) -> Result<String, Failure> {
    let site = Site::new(Command::new(&plan.binary)).await?;
    let mut device = Device::joined(&site.client, "well").await?;
    let Ports { device: devices, operator, public } = site.ports;
    let guests = [
        (devices, Stage::Handshake, plan.slow),
        (devices, Stage::Header { tls: true }, plan.slow),
        (devices, Stage::Body, BODIES.min(plan.slow)),
        (operator, Stage::Handshake, plan.slow),
        (operator, Stage::Header { tls: true }, plan.slow),
        (public, Stage::Header { tls: false }, plan.slow),
    ];
    let mut hanging = JoinSet::new();
    for (port, stage, count) in guests {
        for _ in 0..count {
            let config = site.client.dialer().config(None)?;
            hanging.spawn(async move { (stage, port, hang(port, stage, config).await) });
        }
    }
    let (mut all, mut slowest) = (0, Duration::ZERO);
    while !hanging.is_empty() {
        slowest = slowest.max(device.renew(&site.client).await?);
        let next = Instant::now() + RENEWAL;
        while let Ok(Some(hung)) = tokio::time::timeout_at(next.into(), hanging.join_next()).await {
            let (stage, port, lived) = hung?;
            let lived = lived?;
            if lived > stage.limit() + SLACK {
                return Err(format!("{stage:?} at port {port} hung for {lived:?}").into());
            }
            all += 1;
        }
    }
    if slowest > SERVED_MAX {
        return Err(format!("among slow guests a renewal took {slowest:?}").into());
    }
    site.end(&[&device])?;
    let proxied = behind_a_proxy(plan).await?;
    Ok(format!(
        "slow guests: {all} at three ports, each cut at its limit, and a device was served within \
         {slowest:.1?}; {proxied} that owed a PROXY header were cut too"
    ))
}

/// Hangs until it is cut; how long that took from its stage on.
async fn hang(
    port: u16,
    stage: Stage,
    config: std::sync::Arc<rustls::ClientConfig>,
) -> Result<Duration, Failure> {
    let tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    if matches!(stage, Stage::Handshake | Stage::Header { tls: false }) {
        return drip(tcp, stage).await;
    }
    let name = ServerName::try_from("localhost")?;
    drip(TlsConnector::from(config).connect(name, tcp).await?, stage).await
}

async fn drip<S>(stream: S, stage: Stage) -> Result<Duration, Failure>
where
    S: AsyncRead + AsyncWrite,
{
    let began = Instant::now();
    let (mut reading, mut writing) = split(stream);
    writing.write_all(stage.quickly().as_bytes()).await?;
    writing.flush().await?;
    let mut answer = [0; 1024];
    loop {
        // An answer is on the way to the end: who is told to go away goes.
        match timeout(OCTET, reading.read(&mut answer)).await {
            Ok(Ok(0) | Err(_)) => return Ok(began.elapsed()),
            Ok(Ok(_)) if !matches!(stage, Stage::Body) => {}
            Ok(Ok(_)) if answer.starts_with(TOO_SLOW) => {}
            Ok(Ok(count)) => {
                let said = String::from_utf8_lossy(answer.get(..count).unwrap_or_default());
                return Err(format!("a slow body is answered with {said}").into());
            }
            Err(_late) => {
                let said = writing.write_all(b"a").await;
                if said.is_err() || writing.flush().await.is_err() {
                    return Ok(began.elapsed());
                }
            }
        }
    }
}

/// Guests who come by a balancer and do not say for whom; one who does is served.
async fn behind_a_proxy(plan: &Plan) -> Result<usize, Failure> {
    let place = tempfile::Builder::new().prefix("muster-faults-").tempdir()?;
    let home = place.path().join("home");
    std::fs::create_dir(&home)?;
    std::fs::write(home.join("muster.toml"), "[proxy]\nfrom = [\"127.0.0.0/8\"]\n")?;
    let site = Site::on(place, Command::new(&plan.binary)).await?;
    let mut guests = Vec::new();
    for port in [site.ports.device, site.ports.operator, site.ports.public] {
        guests.extend(come(port, plan.slow).await);
    }
    let began = Instant::now();
    checkpoint_for(site.ports.public).await?;
    let count = guests.len();
    for mut guest in guests {
        let left = (PROXY_HEADER + SLACK).saturating_sub(began.elapsed());
        let cut = timeout(left, guest.read(&mut [0; 64])).await;
        if !matches!(cut, Ok(Ok(0) | Err(_))) {
            return Err(format!("who owes a PROXY header hangs on: {cut:?}").into());
        }
    }
    site.end(&[])?;
    Ok(count)
}

/// Reads the checkpoint as a balancer does for somebody else (PROXY v2, TCP over IPv4).
async fn checkpoint_for(port: u16) -> Result<(), Failure> {
    let mut tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let mut said = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    said.extend([192, 0, 2, 1, 192, 0, 2, 2, 0x30, 0x39, 0x1f, 0x90]);
    said.extend(b"GET /ledger/default/checkpoint HTTP/1.1\r\nHost: localhost\r\n");
    said.extend(b"Connection: close\r\n\r\n");
    tcp.write_all(&said).await?;
    let mut answer = String::new();
    timeout(SERVED_MAX, tcp.read_to_string(&mut answer)).await??;
    match answer.starts_with("HTTP/1.1 200") {
        true => Ok(()),
        false => Err(format!("with a PROXY header: {answer}").into()),
    }
}
