//! Changes of what a house has besides devices: authorities, tokens, doors, operators, sinks.

use super::{Series, groups};
use crate::Failure;
use crate::power::kinds::Kind::{self, *};
use crate::power::made::moment;
use identity::Assurance;
use identity::authority::{
    Authority, AuthorityRequest, AuthorityState, KeyId, Role as AuthorityRole,
};
use identity::credential::{Reason, Revocation};
use identity::door::{Door, DoorKind, MakerRule, SerialPlace};
use identity::token::{Token, TokenId};
use ledger::Severity;
use registry::{Change, Operator, Role, Sink, SinkFormat, SinkKind};

impl Series {
    /// What may become of an authority: there is one, a root, and it is asked for again and again.
    pub(super) fn of_authority(&self, kind: Kind) -> Result<Change, Failure> {
        let authority = self.authority(AuthorityState::Active)?;
        let (id, certificate) = (authority.id, authority.certificate.clone());
        let (at, next) = (moment(self.count), KeyId::from_octets(&[7; 20]).ok_or("no key id")?);
        Ok(match kind {
            AuthorityRetiring => {
                let (was, state) = (None, AuthorityState::Retiring);
                Change::AuthorityState { id, was, state, retires: Some(at), barred: None }
            }
            AuthorityBarred => {
                let barred = Some(Revocation { at, reason: Reason::KeyCompromise });
                let (was, state) = (None, AuthorityState::Barred);
                Change::AuthorityState { id, was, state, retires: None, barred }
            }
            AuthorityAsked => {
                let (role, csr) = (AuthorityRole::Operations, vec![0x30; self.octets]);
                Change::AuthorityRequested(AuthorityRequest { id: next, role, csr, made: at })
            }
            AuthorityDropped => Change::AuthorityRequestDropped(next),
            AuthorityCertified => Change::AuthorityCertified { id, certificate },
            AuthorityWiped => Change::AuthorityWiped { id, at },
            Crossed => Change::Crossed { id: next, by: id, certificate },
            _ => Change::Authority(authority),
        })
    }

    pub(super) fn sink(&self, name: String) -> Sink {
        Sink {
            name,
            kind: SinkKind::Webhook,
            url: "https://receiver.example/hook".to_owned(),
            format: SinkFormat::Json,
            least: Severity::Notice,
            verbs: vec!["device.".to_owned()],
            anchors: None,
            secret: [6; 32],
            made: moment(self.count),
            begins: 0,
            telling: [7; 8],
        }
    }

    pub(super) fn authority(&self, state: AuthorityState) -> Result<Authority, Failure> {
        let certificate = self.root.clone();
        let id = certificate.subject_key_id().ok_or("a root without a key identifier")?;
        Ok(Authority { state, ..Authority::active(id, AuthorityRole::Root, certificate) })
    }

    pub(super) fn new_token_id(&self) -> Result<TokenId, Failure> {
        Ok(TokenId::parse(&format!("{:016}", self.count)).ok_or("no token")?)
    }

    pub(super) fn token(&mut self) -> Result<Token, Failure> {
        let id = self.new_token_id()?;
        self.tokens.push(id.clone());
        Ok(Token {
            id,
            digest: [3; 32],
            uses_left: 3,
            uses: 3,
            made: moment(self.count),
            ends: moment(self.count).plus_secs(100_000),
            groups: groups(&mut self.dice),
            serial: None,
            revoked: None,
            by: "kim".to_owned(),
        })
    }

    pub(super) fn door(&mut self, name: String) -> Door {
        let rule = MakerRule {
            anchors: vec![self.root.clone()],
            place: SerialPlace::SubjectSerialNumber,
            pattern: "*".to_owned(),
            model: "pump".to_owned(),
            allow: Some(["S1".to_owned(), "S2".to_owned()].into()),
        };
        Door {
            name,
            kind: DoorKind::Maker(Box::new(rule)),
            open: self.dice.once_in(2),
            groups: groups(&mut self.dice),
            profile: "standard".to_owned(),
            assurance: Assurance::Certified,
            binding: false,
            receipt: None,
        }
    }

    pub(super) fn operator(&self) -> Result<Operator, Failure> {
        Ok(Operator {
            name: "kim".to_owned(),
            role: Role::Operator,
            digest: [4; 32],
            made: moment(self.count),
            id: self.new_token_id()?,
        })
    }
}
