//! Every limit of the host in one place, each with its reason. What a protocol allows (sizes of
//! requests, of keys, of certificates) stands with its protocol; here is what one process gives to
//! those who connect.

use std::time::Duration;

/// Connections that the kernel completes before we accept them. A fleet that lost power comes back
/// within seconds: with less, the kernel drops SYNs and devices wait out their retransmission
/// timers. (`net.core.somaxconn` is 4096 on current kernels and caps it.)
pub const BACKLOG: u32 = 4096;

/// Open connections of the device port. One costs about 40 KiB while it is open (TLS buffers, task,
/// socket), so 16,384 stay below 700 MiB; those who come later wait in the backlog.
pub const DEVICE_CONNECTIONS_MAX: usize = 16_384;

/// Open connections of the operator port: consoles, stations and event streams.
pub const OPERATOR_CONNECTIONS_MAX: usize = 1024;

/// Open connections of the public port: everybody may come, nothing is kept.
pub const PUBLIC_CONNECTIONS_MAX: usize = 4096;

/// How long a connection of the public port lives: the largest CRL crosses a slow link in it, and a
/// reader that does not read goes away. Nobody there proves anything, so nothing else ends it.
pub const PUBLIC_LIFETIME: Duration = Duration::from_secs(300);

/// Connections that one address has at the public port: a quarter of them, so that no address can
/// take them all. A whole site behind one address fetches its CRLs over a few; beyond these its
/// oldest connection makes room for its newest.
pub const PUBLIC_PER_ADDRESS_MAX: usize = 1024;

/// Tiles that are read from the database at once; each takes one of its four readers for some
/// 100 µs, and with the next limit one is left that strangers do not take from devices.
pub const PUBLIC_READS_MAX: usize = 1;

/// OCSP requests whose certificates are read from the database at once, beside the tiles: half of
/// its readers.
pub const OCSP_READS_MAX: usize = 2;

/// OCSP answers that one address (one /64 of IPv6) has signed for it alone at once, before the rate
/// below binds: a site whose network was away asks for all of its devices together.
pub const OCSP_SIGNED_BURST: u32 = 1000;

/// OCSP answers a second that one address has signed after the burst. Each costs some 60 µs, so that
/// one address takes a hundredth of a processor. Answers that lie ready are never counted: who asks
/// without a nonce is not bound. Nor is loopback: what asks from there is on this machine, or a
/// balancer that does not say for whom.
pub const OCSP_SIGNED_PER_S: u32 = 200;

/// Connections of one address (one /64 of IPv6) that have not proved anything yet. A site of ten
/// thousand devices behind one address handshakes in a millisecond each and never has so many open
/// at once; who has more is slow on purpose, and their oldest makes room for the newest.
pub const STRANGERS_PER_ADDRESS_MAX: usize = 256;

/// Connections of the device port under one key. A device needs one, and some more for those that
/// it lost and that are not missed yet; its oldest makes room for its newest. With all the keys that
/// it may get within a day's overlap (60 an hour) one device never has every place of the port.
pub const CONNECTIONS_PER_KEY_MAX: usize = 8;

/// How long a connection of the device and the operator port lives that has proved nothing:
/// handshake, header, body and answer of the slowest link below have a minute, and twice that is
/// for a second request. Without it many addresses together could hold every place for good.
pub const STRANGER_LIFETIME: Duration = Duration::from_secs(120);

/// Requests that strangers of one address may make at once (a burst), before the rate below binds.
pub const STRANGER_BURST: u32 = 40;

/// Requests a second that strangers of one address may make after the burst: enough for a line of
/// operators who try a token by hand, too few to guess or to flood a log.
pub const STRANGER_PER_S: u32 = 4;

/// Addresses whose strangers are remembered. An entry has some 100 octets, so the table ends at a
/// few MiB; when it is full, the ones without an open connection are forgotten.
pub const ADDRESSES_MAX: usize = 32_768;

/// A TLS handshake takes four packets. Ten seconds let one cross a GPRS link with two lost packets.
pub const HANDSHAKE: Duration = Duration::from_secs(10);

/// The PROXY header comes from our own balancer, in the first packet.
pub const PROXY_HEADER: Duration = Duration::from_secs(3);

/// A PROXY v2 header with all the TLVs that balancers send (a TLS subject, a VPC id) stays below
/// one Ethernet frame.
pub const PROXY_HEADER_OCTETS_MAX: usize = 1500;

/// A TLS record to a device, with its header: 4 KiB of content, since a small one has buffers of
/// that size and no say (rustls does not heed the extension of RFC 6066 §4). Most of our answers
/// are one record all the same.
pub const DEVICE_RECORD_OCTETS_MAX: usize = 4101;

/// From one request's end, or the handshake's, to the end of the next request's header: it bounds a
/// slow header and an idle connection alike. A device that says nothing for so long reconnects as
/// cheaply as it would be kept.
pub const HEADER: Duration = Duration::from_secs(30);

/// Request line and headers. A Basic token and a few cookies of a console need less than 4 KiB.
pub const HEADER_OCTETS_MAX: usize = 16 * 1024;

/// Header fields of a request; browsers send some twenty.
pub const HEADERS_MAX: usize = 64;

/// A request's body, from the end of its header. A CSR has 2 KiB at most: over a 9,600 bit/s modem
/// two seconds.
pub const BODY: Duration = Duration::from_secs(20);

/// How long requests in flight may take to end after a stop was asked for; a connection without one
/// ends at once. Below systemd's 90 s, and enough for the slowest body above.
pub const DRAIN: Duration = Duration::from_secs(25);

/// How long a request in flight may take to end after the key of its connection did. It will be
/// refused, and the sentence says why; who sends its body slower is cut without one. After a stop
/// was asked for, a stranger's body and the end of a stream of events have so long.
pub const CUT_DRAIN: Duration = Duration::from_secs(2);

/// Certificates of a client chain that are read: one more than the six that EST takes, so that a
/// longer chain is refused with a sentence, and not cut where its root would be.
pub const CHAIN_MAX: usize = 7;

/// A server certificate ends after 90 days (`ca`), and is renewed when a third of that is left, so
/// that a start in between is no news to anybody.
pub const SERVER_CERTIFICATE_LEFT_S: u64 = 30 * 86_400;

/// How often the dates of the server certificate are looked at. One that was issued while the clock
/// was wrong lets nobody in, until it is seen.
pub const SERVER_CERTIFICATE_LOOK: Duration = Duration::from_secs(60);

/// `muster.toml`, key files, passphrases: a file that is larger is another file.
pub const FILE_OCTETS_MAX: u64 = 256 * 1024;

/// The wait after the kernel has no more file descriptors: somebody must close first.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How often that is told: it happens as often as somebody connects.
pub const ACCEPT_TOLD: Duration = Duration::from_secs(60);

/// How often a full table of addresses is looked through, which takes some 300 µs.
pub const ADDRESSES_SWEEP: Duration = Duration::from_secs(1);
