//! A device with its leaves, as a selector asks for it: every member of `device list --json`.

use super::view;
use identity::selector::{Members, Value};
use identity::{Credential, Device, UnixTime};
use std::borrow::Cow;

/// A device and its newest leaves, newest first.
pub(super) struct WithLeaves<'d> {
    device: &'d Device,
    weak_detection: bool,
    /// The newest, as it is shown.
    leaf: serde_json::Value,
}

impl<'d> WithLeaves<'d> {
    pub(super) fn new(device: &'d Device, leaves: &[Credential], now: UnixTime) -> Self {
        let shown = view::device(device, leaves, now, false);
        // A certificate's view is made of texts and numbers, which JSON always holds.
        let leaf = shown.leaf.and_then(|leaf| serde_json::to_value(leaf).ok()).unwrap_or_default();
        Self { device, weak_detection: shown.weak_detection, leaf }
    }
}

impl Members for WithLeaves<'_> {
    fn member(&self, name: &str) -> Option<Value<'_>> {
        if name == "weak_detection" {
            return Some(Value::Bool(self.weak_detection));
        }
        let Some(path) = name.strip_prefix("leaf.") else { return self.device.member(name) };
        match path.split('.').try_fold(&self.leaf, |value, key| value.get(key))? {
            serde_json::Value::String(text) => Some(Value::Text(Cow::Borrowed(text))),
            serde_json::Value::Number(number) => number.as_i64().map(Value::Number),
            serde_json::Value::Bool(yes) => Some(Value::Bool(*yes)),
            // What is one value with parts, as a revocation, is there or is not.
            serde_json::Value::Object(_) => Some(Value::Bool(true)),
            _ => None,
        }
    }
}
