//! Paths: below a root of their own, the realm where it is not `default`, then the operation.

use identity::RealmName;

/// The realm and the last segment of a path below `root`; `None` for any other path. The realm is
/// `default` where the path names none.
pub(crate) fn read<'a>(root: &str, path: &'a str) -> Option<(RealmName, &'a str)> {
    let rest = path.strip_prefix(root)?;
    match rest.split_once('/') {
        None => Some((RealmName::default_realm(), rest)),
        Some((realm, name)) => Some((RealmName::parse(realm)?, name)),
    }
}

/// The path. The realm `default` is not named, so that clients without a notion of labels meet the
/// same path.
pub(crate) fn write(root: &str, realm: &RealmName, name: &str) -> String {
    if *realm == RealmName::default_realm() {
        format!("{root}{name}")
    } else {
        format!("{root}{realm}/{name}")
    }
}
