//! Every kind of certificate and list as a file, for other people's linters. By hand:
//! `cargo test -p ca -- --ignored every_kind`, then pkilint's `lint_pkix_cert lint -s WARNING` and
//! `lint_crl lint -s WARNING -t CRL -p PKIX` on each.

use crate::authority::{self, ServerName};
use crate::birth::{self, BirthJudgement};
use crate::crl::{self, Crl, Revoked, Scope};
use crate::judge::Approved;
use crate::world::*;
use crate::{Granted, Rules};
use const_oid::ObjectIdentifier;
use identity::certificate::pem;
use identity::credential::Requester;
use identity::{Certificate, KeyKind, Outside, Reason, Signer};

#[expect(clippy::disallowed_methods, reason = "written by hand for linters that read files")]
fn write(name: &str, text: &str) {
    let folder = std::env::temp_dir().join("muster-lint");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(name), text).unwrap();
}

/// A birth with all that one may have, a leaf of the same device, and the leaf's shard.
fn devices(world: &mut World, kind: KeyKind) -> ([Certificate; 2], u16) {
    let mut ask = birth_ask("S1", &key_of(kind, 9));
    ask.identifiers.model = "Pump 7".into();
    let rules = Rules {
        hw_type: Some(ObjectIdentifier::new_unwrap("1.3.6.1.4.1.99999.1")),
        organization: Some("ACME Pümps".into()),
        ..Rules::default()
    };
    let facts = birth::BirthFacts {
        by_key: None,
        by_serial: None,
        key_compromised: false,
        fresh: world.fresh(),
    };
    let BirthJudgement::Grant(approved) = birth::judge(&ask, facts, &rules).unwrap() else {
        panic!()
    };
    let mut outside = Outside { now: NOW, dice: &mut world.dice };
    let born = world.birth.issue_birth(*approved, &mut outside).unwrap();
    let key = key_of(kind, 10);
    let approved = Approved {
        device: born.device,
        expected: Some(1),
        requester: Requester::operator("test"),
        key: Some(key.public().hash()),
        closes: true,
        supersedes: Vec::new(),
        token: None,
        lifetime_s: 30 * DAY_S,
        organization: Some("ACME".into()),
        usages: Vec::new(),
    };
    let Granted { leaf, .. } = world.issue(approved, &key);
    let made = [born.credential.der, leaf.der].map(|der| Certificate::parse(&der).unwrap());
    (made, leaf.shard)
}

fn lists(world: &World, kind: KeyKind, shard: u16) -> [Vec<u8>; 3] {
    let url = addresses().shard(&world.operations.id(), shard).unwrap();
    let entries: Vec<_> = Reason::ALL
        .iter()
        .zip(1..)
        .map(|(reason, n)| Revoked {
            serial: identity::Serial::new(NOW, [n; 10]),
            at: NOW,
            reason: *reason,
        })
        .collect();
    let list = |scope, entries| Crl {
        number: 1,
        this_update: NOW,
        next_update: NOW.plus_secs(DAY_S),
        scope,
        entries,
    };
    let (issuer, key) = (world.operations.certificate(), key_of(kind, 3));
    [
        crl::sign(issuer, &*key, list(Scope::Shard { url }, entries.clone())).unwrap(),
        crl::sign(issuer, &*key, list(Scope::Complete, entries)).unwrap(),
        crl::sign(&world.root, &*world.root_key, list(Scope::Complete, Vec::new())).unwrap(),
    ]
}

#[test]
#[ignore = "writes files for linters"]
fn every_kind_of_certificate_and_list_as_a_file() {
    for kind in [KeyKind::P256, KeyKind::P384, KeyKind::Ed25519] {
        let mut world = World::of(kind);
        let names = ["localhost", "muster.example"].map(|n| ServerName::Dns(n.into()));
        let names: Vec<_> =
            names.into_iter().chain([ServerName::Ip("::1".parse().unwrap())]).collect();
        let mut outside = Outside { now: NOW, dice: &mut world.dice };
        let subject = key_of(kind, 11);
        let server =
            authority::server(&world.service, subject.public(), &names, &mut outside).unwrap();
        let by_address =
            authority::server(&world.service, subject.public(), &names[2..], &mut outside).unwrap();
        let ([birth, leaf], shard) = devices(&mut world, kind);
        let authorities = world.authorities.iter().map(|a| (a.role.as_str(), &a.certificate));
        let made = [
            ("root", &world.root),
            ("server", &server),
            ("server-address", &by_address),
            ("device-birth", &birth),
            ("device-leaf", &leaf),
        ];
        for (name, certificate) in made.into_iter().chain(authorities) {
            write(&format!("{kind}-{name}.pem"), &certificate.pem());
        }
        for (name, der) in ["shard", "complete", "root"].iter().zip(lists(&world, kind, shard)) {
            write(&format!("{kind}-{name}.crl"), &pem("X509 CRL", &der));
        }
    }
}
