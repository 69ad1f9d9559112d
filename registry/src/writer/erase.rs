//! What is destroyed for good: all that tells whom a retired device belonged to and what it was.
//!
//! The row stays with its UUID, which is never given again, the entries stay as the tree has them,
//! and the credentials stay as CRLs name them. SQLite overwrites what is deleted here with zeros
//! (`secure_delete`), and [`Writer::scrub`](super::Writer::scrub) empties the log.

use super::batch::{Batch, Scene, Step};
use crate::change::Erasure;
use crate::rows::{int, millis};
use rusqlite::params;

impl Batch<'_> {
    pub(super) fn erase(&mut self, scene: Scene, erasure: &Erasure) -> Step {
        let (realm, id) = (scene.realm, *erasure.device.octets());
        self.check_version(realm, &erasure.device, erasure.expected)?;
        self.run(
            "UPDATE device SET maker = '', model = '', serial = '', macs = '', imei = NULL, \
             ek_digest = NULL, meta = '', group_names = '', door = NULL, mark = NULL, \
             caught = NULL, version = ?3 WHERE realm = ?1 AND id = ?2",
            (realm.0, id, int(erasure.expected + 1)),
        )?;
        self.run("DELETE FROM membership WHERE realm = ?1 AND device = ?2", (realm.0, id))?;
        // What it last said of itself.
        self.run("DELETE FROM report WHERE realm = ?1 AND device = ?2", (realm.0, id))?;
        // A birth certificate names the serial number.
        self.run(
            "UPDATE certificate SET der = x'' WHERE realm = ?1 AND serial IN \
             (SELECT serial FROM credential WHERE realm = ?1 AND device = ?2)",
            (realm.0, id),
        )?;
        self.run(
            "UPDATE entry SET payload = NULL, salt = NULL WHERE realm = ?1 AND device = ?2",
            (realm.0, id),
        )?;
        for number in &erasure.entries {
            self.run(
                "UPDATE entry SET payload = NULL, salt = NULL WHERE realm = ?1 AND number = ?2",
                (realm.0, int(*number)),
            )?;
        }
        self.pending.touched_token |= !erasure.tokens.is_empty();
        for token in &erasure.tokens {
            self.run(
                "UPDATE token SET serial = NULL, group_names = '', \
                 revoked = COALESCE(revoked, ?3) WHERE realm = ?1 AND id = ?2",
                (realm.0, token.as_str(), millis(scene.at)),
            )?;
        }
        for digest in &erasure.digests {
            self.run(
                "INSERT INTO erased (realm, digest, device, at) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT DO NOTHING",
                params![realm.0, digest, id, millis(scene.at)],
            )?;
        }
        Ok(())
    }
}
