//! What each change means, by its kind. In every one of them the checks stand before the first
//! write, so that a change that clashes has written nothing.

use super::batch::{Batch, Scene, Step};
use crate::change::Change;
use crate::change::Clash;

impl Batch<'_> {
    /// Checks a change and writes it.
    pub(super) fn apply(&mut self, scene: Scene, change: &Change) -> Step {
        match change {
            Change::Nothing => Ok(()),
            Change::Found(realm) if realm.key == scene.realm => self.found(realm),
            Change::Found(_) => Err(Clash::Missing.into()),
            Change::Authority(authority) => self.set_authority(scene, authority),
            Change::AuthorityState { id, was, state, retires, barred } => {
                self.set_authority_state(scene, (id, *was), (*state, *retires, *barred))
            }
            Change::AuthorityRequested(request) => self.request_authority(scene, request),
            Change::AuthorityRequestDropped(id) => self.drop_request(scene, id),
            Change::AuthorityCertified { id, certificate } => {
                self.certify_authority(scene, id, certificate)
            }
            Change::AuthorityWiped { id, at } => self.wipe_authority(scene, id, *at),
            Change::Crossed { id, by, certificate } => self.cross(scene, (id, by), certificate),
            Change::Born { device, expected, credential, replaces } => {
                let granted = super::devices::Granted { device, expected: *expected, credential };
                self.bear(scene, &granted, replaces)
            }
            Change::Leafed { device, expected, leaf, due, supersedes, token } => {
                let granted =
                    super::devices::Granted { device, expected: *expected, credential: leaf };
                self.leaf(scene, &granted, (supersedes, *due), token.as_ref())
            }
            Change::Used { serial, at, earlier_end } => {
                self.use_first(scene, serial, *at, *earlier_end)
            }
            Change::Stood { device, expected, to, credentials } => {
                self.stand(scene, (device, *expected), *to, *credentials)
            }
            Change::Revoked { serials, reason } => self.revoke_all(scene, serials, *reason),
            Change::Released { serials } => self.release_all(scene, serials),
            Change::Grouped { device, expected, groups } => {
                self.group(scene, (device, *expected), groups)
            }
            Change::Erased(erasure) => self.erase(scene, erasure),
            Change::Marked { device, mark } => self.mark(scene, device, mark),
            Change::Unmarked { device, expected } => self.unmark(scene, device, *expected),
            Change::Reported { device, report } => self.report(scene, device, report),
            Change::Caught { device, mark } => self.catch(scene, device, mark),
            Change::TokenMade(token) => self.make_token(scene, token),
            Change::TokenRevoked { id, at } => self.revoke_token(scene, id, *at),
            Change::DoorSet(door) => self.set_door(scene, door),
            Change::DoorRemoved(name) => self.remove_door(scene, name),
            Change::ProfileSet(profile) => self.set_profile(scene, profile),
            Change::SettingSet { key, group, value } => {
                self.set_setting(scene, key, group.as_ref(), value.as_deref())
            }
            Change::OperatorSet(operator) => self.set_operator(scene, operator),
            Change::OperatorRemoved(name) => self.remove_operator(scene, name),
            Change::SinkSet(sink) => self.set_sink(scene, sink),
            Change::SinkRemoved(name) => self.remove_sink(scene, name),
            Change::Batch(changes) => self.apply_all(scene, changes),
        }
    }
}
