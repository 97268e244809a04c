//! Checks `host_expiry_settings`.

use serde_json::Value;

use super::ApplyRun;
use crate::fleet::hosts::{HOST_EXPIRY, HostExpiry};
use crate::fleet::{Result, path};
use crate::store;
use crate::store::entity::labels;

/// The keys of the part, and of each entry of `host_expiry_labels`.
const KEYS: [&str; 4] = ["host_expiry_enabled", "host_expiry_window", "host_expiry_hours", "host_expiry_labels"];
const LABEL_KEYS: [&str; 3] = ["label", "days", "hours"];

/// Longest time without a call, a hundred years: no more fits into times.
const MAX_DAYS: u64 = 36_500;
const MAX_HOURS: u64 = MAX_DAYS * 24;

/// Most labels with windows of their own: each is looked through by itself.
const MAX_LABELS: usize = 100;

impl ApplyRun<'_> {
    /// The part with its problems noted; what is null is as if absent.
    pub(super) fn read_expiry(&mut self, at: &str, value: &mut Value) {
        let Some(members) = value.as_object_mut() else {
            self.problem(at, "expects an object");
            return;
        };
        members.retain(|_, value| !value.is_null());
        for (key, value) in members {
            let here = path::member(at, key);
            match key.as_str() {
                "host_expiry_enabled" if value.is_boolean() => {}
                "host_expiry_enabled" => self.problem(here, "expects true or false"),
                "host_expiry_window" => self.check_number(&here, value, "days", MAX_DAYS),
                "host_expiry_hours" => self.check_number(&here, value, "hours", MAX_HOURS),
                "host_expiry_labels" => self.read_expiry_labels(&here, value),
                _ => self.found().unknown_key(at, key, "known are", &KEYS),
            }
        }
    }

    fn read_expiry_labels(&mut self, at: &str, value: &mut Value) {
        let Some(entries) = value.as_array_mut().filter(|entries| entries.len() <= MAX_LABELS) else {
            self.problem(at, format!("expects a list of at most {MAX_LABELS} labels with days or hours"));
            return;
        };
        for (position, entry) in entries.iter_mut().enumerate() {
            let at = path::item(at, position);
            let Some(members) = entry.as_object_mut() else {
                self.problem(at, "expects an object with label, and days or hours");
                continue;
            };
            members.retain(|_, value| !value.is_null());
            let number = |key: &str| members.get(key).and_then(Value::as_u64).unwrap_or(0);
            if number("days") == 0 && number("hours") == 0 {
                self.problem(&at, "expects at least one hour: give days, hours or both");
            }
            if !members.contains_key("label") {
                self.problem(path::member(&at, "label"), "is missing");
            }
            for (key, value) in members {
                let here = path::member(&at, key);
                match key.as_str() {
                    "label" if value.as_str().is_some_and(|name| !name.is_empty()) => {}
                    "label" => self.problem(here, "expects the name of a label"),
                    "days" => self.check_number(&here, value, "days", MAX_DAYS),
                    "hours" => self.check_number(&here, value, "hours", MAX_HOURS),
                    _ => self.found().unknown_key(&at, key, "known are", &LABEL_KEYS),
                }
            }
        }
    }

    fn check_number(&mut self, at: &str, value: &Value, unit: &str, most: u64) {
        if value.as_u64().is_none_or(|number| number > most) {
            self.problem(at, format!("expects a whole number of {unit} from 0 to {most}, without quotes"));
        }
    }

    /// Refuses what would expire nothing though it is switched on, and labels that are not there.
    pub(super) async fn check_expiry(&mut self, at: &str, change: &Value, kept: &Value) -> Result<()> {
        if change.get(HOST_EXPIRY).is_none() {
            return Ok(());
        }
        let at = path::member(at, HOST_EXPIRY);
        // What cannot be read has its problem already.
        let Ok(expiry) = HostExpiry::of(kept) else { return Ok(()) };
        if expiry.host_expiry_enabled && expiry.window().is_none() && expiry.host_expiry_labels.is_empty() {
            let reason =
                "expects 1 day at least, or host_expiry_hours or host_expiry_labels, while host_expiry_enabled is true";
            self.problem(path::member(&at, "host_expiry_window"), reason);
        }
        for (position, entry) in expiry.host_expiry_labels.iter().enumerate() {
            if entry.label.is_empty() {
                continue;
            }
            if store::named::by_name::<labels::Entity>(self.tx, &entry.label).await?.is_none() {
                let at = path::item(&path::member(&at, "host_expiry_labels"), position);
                self.problem(path::member(&at, "label"), format!("there is no label {:?}", entry.label));
            }
        }
        Ok(())
    }
}
