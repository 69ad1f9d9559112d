use super::world::{Client, service, stranger};
use super::*;
use crate::limits::SERVER_CERTIFICATE_LEFT_S;
use identity::KeyKind;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConnection, ServerConnection};

struct Shaken {
    client: ClientConnection,
    server: ServerConnection,
    /// What the server sent before the client's answer.
    first_flight: usize,
    /// What it sent after that.
    rest: usize,
}

fn shake(config: &Arc<ServerConfig>, client: &Client) -> Result<Shaken, rustls::Error> {
    let name = "muster.example".try_into().unwrap();
    let mut client = ClientConnection::new(Arc::new(client.config()), name).unwrap();
    let mut server = ServerConnection::new(Arc::clone(config)).unwrap();
    let mut flights = Vec::new();
    while client.is_handshaking() || server.is_handshaking() || client.wants_write() {
        let mut out = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut out).unwrap();
        }
        server.read_tls(&mut out.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut back = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut back).unwrap();
        }
        flights.push(back.len());
        client.read_tls(&mut back.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    let rest = flights.iter().skip(1).sum();
    Ok(Shaken { client, server, first_flight: flights[0], rest })
}

fn config() -> Arc<ServerConfig> {
    device(service(KeyKind::P256).serve().unwrap()).unwrap()
}

#[test]
fn the_servers_flight_fits_a_small_buffer() {
    let config = config();
    for (group, most) in [(kx_group::X25519, 2048), (kx_group::X25519MLKEM768, 3200)] {
        let client = Client { group, version: &TLS13, shows: Some(stranger(KeyKind::P256)) };
        let shaken = shake(&config, &client).unwrap();
        eprintln!("{:?}: {} octets", group.name(), shaken.first_flight);
        assert!(shaken.first_flight <= most, "{:?}: {}", group.name(), shaken.first_flight);
        // No ticket follows.
        assert_eq!(shaken.rest, 0);
    }
}

#[test]
fn any_certificate_proves_possession_and_none_is_needed() {
    let config = config();
    for version in [&TLS13, &TLS12] {
        for kind in [KeyKind::P256, KeyKind::P384, KeyKind::Ed25519] {
            let shows = stranger(kind);
            let der = shows.0.der().to_vec();
            let client = Client { group: kx_group::X25519, version, shows: Some(shows) };
            let shaken = shake(&config, &client).unwrap();
            let seen = shaken.server.peer_certificates().unwrap();
            assert_eq!(seen[0].as_ref(), der, "{kind} {version:?}");
        }
        let client = Client { group: kx_group::SECP256R1, version, shows: None };
        assert!(shake(&config, &client).unwrap().server.peer_certificates().is_none());
    }
}

#[test]
fn a_certificate_without_its_key_is_no_proof() {
    let config = config();
    for version in [&TLS13, &TLS12] {
        let (certificate, _) = stranger(KeyKind::P256);
        let (_, other) = stranger(KeyKind::P256);
        // A client that signs with another key than the one it shows.
        let provider =
            CryptoProvider { kx_groups: vec![kx_group::X25519], ..aws_lc_rs::default_provider() };
        let mut forged = Client { group: kx_group::X25519, version, shows: None }.config();
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(other.dangerous_pkcs8().to_vec());
        let key = provider.key_provider.load_private_key(key.into()).unwrap();
        let chain = vec![certificate.der().to_vec().into()];
        let certified = Arc::new(rustls::sign::CertifiedKey::new(chain, key));
        forged.client_auth_cert_resolver =
            Arc::new(rustls::sign::SingleCertAndKey::from(certified));
        let name = "muster.example".try_into().unwrap();
        let mut client = ClientConnection::new(Arc::new(forged), name).unwrap();
        let mut server = ServerConnection::new(Arc::clone(&config)).unwrap();

        let mut refused = None;
        for _ in 0..4 {
            let mut out = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut out).unwrap();
            }
            server.read_tls(&mut out.as_slice()).unwrap();
            refused = refused.or(server.process_new_packets().err());
            let mut back = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut back).unwrap();
            }
            client.read_tls(&mut back.as_slice()).unwrap();
            let _ = client.process_new_packets();
        }
        let bad = rustls::Error::from(rustls::CertificateError::BadSignature);
        assert_eq!(refused, Some(bad), "{version:?}");
    }
}

#[test]
fn operators_are_not_asked_for_a_certificate() {
    let config = operator(service(KeyKind::P384).serve().unwrap()).unwrap();
    let shows = Some(stranger(KeyKind::P256));
    let client = Client { group: kx_group::SECP384R1, version: &TLS13, shows };
    assert!(shake(&config, &client).unwrap().server.peer_certificates().is_none());
}

#[test]
fn both_ends_export_the_same_binding() {
    let client = Client { group: kx_group::X25519, version: &TLS13, shows: None };
    let shaken = shake(&config(), &client).unwrap();
    let label = b"EXPORTER-Channel-Binding";
    let ours = shaken.server.export_keying_material([0; 32], label, Some(&[])).unwrap();
    let theirs = shaken.client.export_keying_material([0; 32], label, None).unwrap();
    assert_eq!(ours, theirs);
}

#[test]
fn a_certificate_is_renewed_when_a_third_of_its_life_is_left() {
    let service = service(KeyKind::P256);
    let served = service.serve().unwrap();
    let first = served.not_after();
    let early = first.minus_secs(SERVER_CERTIFICATE_LEFT_S + 60);
    assert!(!service.renew(&served, early).unwrap());
    assert!(service.renew(&served, first.minus_secs(SERVER_CERTIFICATE_LEFT_S)).unwrap());
}

#[test]
fn a_certificate_that_is_not_good_yet_is_exchanged_when_the_clock_is_right_again() {
    let service = service(KeyKind::P256);
    let served = service.serve().unwrap();
    let begins = served.not_before();
    assert!(!service.renew(&served, begins).unwrap());
    assert!(service.renew(&served, begins.minus_secs(86_400)).unwrap());
}

#[test]
fn a_certificate_of_ones_own_serves_operators_and_must_fit_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let (certificate, key) = stranger(KeyKind::P256);
    let (_, other) = stranger(KeyKind::P256);
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("chain.pem"), certificate.pem()).unwrap();
    let pem = |key: &crate::keys::NewKey| {
        identity::certificate::pem("PRIVATE KEY", key.dangerous_pkcs8())
    };
    std::fs::write(path("key.pem"), pem(&key)).unwrap();
    std::fs::write(path("other.pem"), pem(&other)).unwrap();

    assert!(own(&path("chain.pem"), &path("key.pem")).is_ok());
    assert!(own(&path("chain.pem"), &path("other.pem")).is_err());
    assert!(own(&path("chain.pem"), &path("chain.pem")).is_err());
}
