//! Changes of authorities, and of the requests for those that are to come.

use super::batch::{Batch, Scene, Step, Stop};
use super::rules::found;
use crate::change::Clash;
use crate::realm::RealmKey;
use crate::rows::{millis, word};
use identity::authority::{Authority, AuthorityRequest, AuthorityState, KeyId, Role};
use identity::credential::Revocation;
use identity::{Certificate, UnixTime};

impl Batch<'_> {
    pub(super) fn set_authority(&self, scene: Scene, authority: &Authority) -> Step {
        self.check_root(scene.realm, authority)?;
        self.run(
            "INSERT INTO authority (realm, id, role, state, der) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT (realm, id) DO UPDATE SET role = excluded.role, state = excluded.state, \
             der = excluded.der",
            (
                scene.realm.0,
                authority.id.octets(),
                authority.role.as_str(),
                authority.state.as_str(),
                authority.certificate.der(),
            ),
        )?;
        self.run(
            "UPDATE authority SET retires = ?3, barred = ?4, reason = ?5, wiped = ?6 \
             WHERE realm = ?1 AND id = ?2",
            (
                scene.realm.0,
                authority.id.octets(),
                authority.retires.map(millis),
                authority.barred.map(|b| millis(b.at)),
                authority.barred.map(|b| b.reason.as_str()),
                authority.wiped.map(millis),
            ),
        )?;
        self.forget_request(scene, &authority.id)?;
        Ok(())
    }

    pub(super) fn set_authority_state(
        &self,
        scene: Scene,
        (id, was): (&KeyId, Option<AuthorityState>),
        (state, retires, barred): (AuthorityState, Option<UnixTime>, Option<Revocation>),
    ) -> Step {
        let (stored, role) = self.stands(scene.realm, id)?;
        if was.is_some_and(|was| was != stored) {
            return Err(Clash::AuthorityState.into());
        }
        if stored == AuthorityState::Active && state != AuthorityState::Active {
            self.check_successor(scene.realm, (id, role), state)?;
        }
        found(self.run(
            "UPDATE authority SET state = ?3, retires = ?4, barred = ?5, reason = ?6 \
             WHERE realm = ?1 AND id = ?2",
            (
                scene.realm.0,
                id.octets(),
                state.as_str(),
                retires.map(millis),
                barred.map(|b| millis(b.at)),
                barred.map(|b| b.reason.as_str()),
            ),
        )?)
    }

    /// Of the roots on record the one that signs has certified an authority: with another's
    /// certificate it would be left behind by a roll-over that was decided on before it came.
    fn check_root(&self, realm: RealmKey, authority: &Authority) -> Step {
        let root = authority.certificate.authority_key_id();
        let Some(root) = root.filter(|_| authority.role != Role::Root) else { return Ok(()) };
        match self.stands(realm, &root) {
            Ok((AuthorityState::Active, _)) | Err(Stop::Clash(Clash::Missing)) => Ok(()),
            Ok(_) => Err(Clash::AuthorityState.into()),
            Err(stop) => Err(stop),
        }
    }

    /// How an authority stands, and as what.
    fn stands(&self, realm: RealmKey, id: &KeyId) -> Result<(AuthorityState, Role), Stop> {
        let stored = self.first(
            "SELECT state, role FROM authority WHERE realm = ?1 AND id = ?2",
            (realm.0, id.octets()),
            |row| {
                let state = word(row, 0, "authority", AuthorityState::parse)?;
                Ok((state, word(row, 1, "authority", Role::parse)?))
            },
        )?;
        Ok(stored.ok_or(Clash::Missing)?)
    }

    /// An authority that signs steps down where another of its role signs. Here and nowhere else,
    /// since two that step down at once both still see each other when it is decided. A stolen key
    /// is barred all the same where the server can do without; its own certificate it cannot.
    fn check_successor(
        &self,
        realm: RealmKey,
        (id, role): (&KeyId, Role),
        to: AuthorityState,
    ) -> Step {
        let can_do_without = to == AuthorityState::Barred && role != Role::Service;
        // A root's successor comes in the same commit, or it does not step down.
        if can_do_without || role == Role::Root {
            return Ok(());
        }
        let others =
            "SELECT 1 FROM authority WHERE realm = ?1 AND id <> ?2 AND role = ?3 AND state = ?4";
        let asked = (realm.0, id.octets(), role.as_str(), AuthorityState::Active.as_str());
        if self.exists(others, asked)? { Ok(()) } else { Err(Clash::LastSigner(role).into()) }
    }

    /// What signed may sign: a request that was decided on before its authority was barred leaves
    /// nothing behind. One that is not on record is somebody else's affair.
    pub(super) fn check_issuer(&self, realm: RealmKey, issuer: &KeyId) -> Step {
        let barred = "SELECT 1 FROM authority WHERE realm = ?1 AND id = ?2 AND state = ?3";
        let asked = (realm.0, issuer.octets(), AuthorityState::Barred.as_str());
        if self.exists(barred, asked)? { Err(Clash::AuthorityState.into()) } else { Ok(()) }
    }

    /// Only one that counts is certified anew: a fresh certificate of one that was barred meanwhile
    /// would make it good again for everybody else.
    pub(super) fn certify_authority(
        &self,
        scene: Scene,
        id: &KeyId,
        certificate: &Certificate,
    ) -> Step {
        let (state, _) = self.stands(scene.realm, id)?;
        if !state.counts() {
            return Err(Clash::AuthorityState.into());
        }
        found(self.run(
            "UPDATE authority SET der = ?3 WHERE realm = ?1 AND id = ?2",
            (scene.realm.0, id.octets(), certificate.der()),
        )?)
    }

    pub(super) fn wipe_authority(&self, scene: Scene, id: &KeyId, at: UnixTime) -> Step {
        found(self.run(
            "UPDATE authority SET wiped = ?3 WHERE realm = ?1 AND id = ?2 AND wiped IS NULL",
            (scene.realm.0, id.octets(), millis(at)),
        )?)
    }

    /// One request for a role at a time: of two roll-overs that cross nobody would know which
    /// certificate goes with which key.
    pub(super) fn request_authority(&self, scene: Scene, request: &AuthorityRequest) -> Step {
        let open = "SELECT 1 FROM authority_request WHERE realm = ?1 AND role = ?2";
        if self.exists(open, (scene.realm.0, request.role.as_str()))? {
            return Err(Clash::Exists.into());
        }
        self.run(
            "INSERT INTO authority_request (realm, id, role, csr, made) \
             VALUES (?1, ?2, ?3, ?4, ?5)",
            (
                scene.realm.0,
                request.id.octets(),
                request.role.as_str(),
                &request.csr,
                millis(request.made),
            ),
        )?;
        Ok(())
    }

    pub(super) fn drop_request(&self, scene: Scene, id: &KeyId) -> Step {
        if self.forget_request(scene, id)? == 0 { Err(Clash::RequestGone.into()) } else { Ok(()) }
    }

    fn forget_request(&self, scene: Scene, id: &KeyId) -> rusqlite::Result<usize> {
        self.run(
            "DELETE FROM authority_request WHERE realm = ?1 AND id = ?2",
            (scene.realm.0, id.octets()),
        )
    }

    pub(super) fn cross(
        &self,
        scene: Scene,
        (id, by): (&KeyId, &KeyId),
        certificate: &Certificate,
    ) -> Step {
        self.run(
            "INSERT INTO cross_certificate (realm, id, issuer, der) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (realm, id, issuer) DO UPDATE SET der = excluded.der",
            (scene.realm.0, id.octets(), by.octets(), certificate.der()),
        )?;
        Ok(())
    }
}
