//! Paths that name a realm, and do not name `default`: clients without a notion of realms meet the
//! same path as ever.

use identity::RealmName;

/// The realm and the last segment of `ROOT{name}` or `ROOT{realm}/{name}`; `None` for any other path.
pub(crate) fn split<'a>(root: &str, path: &'a str) -> Option<(RealmName, &'a str)> {
    let rest = path.strip_prefix(root)?;
    match rest.split_once('/') {
        None => Some((RealmName::default_realm(), rest)),
        Some((realm, name)) => Some((RealmName::parse(realm)?, name)),
    }
}

/// The path of `name` in a realm.
pub(crate) fn join(root: &str, realm: &RealmName, name: &str) -> String {
    if *realm == RealmName::default_realm() {
        format!("{root}{name}")
    } else {
        format!("{root}{realm}/{name}")
    }
}
