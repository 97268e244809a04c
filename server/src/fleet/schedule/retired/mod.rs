//! Options that were served once and were removed.
//!
//! Agents keep a flag, and the views or constructed tables of a config, after it is gone from the config: until they
//! restart, only another value undoes it. So the server serves the defaults of removed options for a while.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::options::{default_of, document_for, general_document, is_cli_only, overridden_platforms, override_for};
use crate::clock::Moment;

/// How many days after the day of its removal an option is served with its default. Agents seldom run longer without a
/// restart, since upgrades and reboots are one, and a host that was away that long has most likely been rebooted.
pub const KEEP_DAYS: i64 = 30;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Parts of a config that agents keep when they are absent, and drop when they are empty.
const PARTS: [&str; 2] = ["auto_table_construction", "views"];

/// What hosts may still have of options that were removed, and since when: microseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retired {
    /// For hosts of all other platforms.
    #[serde(default)]
    config: Remains,
    /// For hosts whose platform has or had options of its own.
    #[serde(default)]
    platforms: BTreeMap<String, Remains>,
}

/// What the hosts of one variant of the options may still have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remains {
    /// Flags that can be set back to a default.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    options: BTreeMap<String, i64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    parts: BTreeMap<String, i64>,
}

/// A flag that is gone from the options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedFlag {
    /// The platform whose hosts had it from an override.
    pub platform: Option<String>,
    pub flag: String,
    /// What hosts are sent instead; `None` when they keep the flag, because nothing sets it back.
    pub default: Option<Value>,
}

impl Retired {
    /// What hosts of a platform may still have.
    pub fn of(&self, platform: &str) -> &Remains {
        self.platforms.get(platform).unwrap_or(&self.config)
    }

    /// Platforms whose hosts may have more or less than others.
    pub fn platforms(&self) -> impl Iterator<Item = &String> {
        self.platforms.keys()
    }

    /// Whether hosts of a platform may have more or less than others.
    pub fn is_apart(&self, platform: &str) -> bool {
        self.platforms.contains_key(platform)
    }

    /// What is left of it at `now`, and when that will be less.
    pub fn at(mut self, now: Moment) -> (Self, Moment) {
        let mut oldest: Option<i64> = None;
        for remains in std::iter::once(&mut self.config).chain(self.platforms.values_mut()) {
            for removals in [&mut remains.options, &mut remains.parts] {
                removals.retain(|_, removed| now < expiry(*removed));
                oldest = removals.values().copied().chain(oldest).min();
            }
        }
        (self, oldest.map_or(Moment(i64::MAX), expiry))
    }

    /// What remains after `new` agent options have taken the place of `old` ones, and the flags that are gone.
    pub fn after(&self, old: &Value, new: &Value, now: Moment) -> (Self, Vec<RemovedFlag>) {
        let (config, flags) = self.config.after(general_document(old), general_document(new), now);
        let mut removed: Vec<RemovedFlag> = flags.into_iter().map(|flag| RemovedFlag::of(None, flag)).collect();
        let named = removed.len();
        let apart: BTreeSet<&String> =
            overridden_platforms(old).chain(overridden_platforms(new)).chain(self.platforms.keys()).collect();
        let mut platforms = BTreeMap::new();
        for platform in apart {
            let (old, new_document) = (document_for(old, platform), document_for(new, platform));
            let (remains, flags) = self.of(platform).after(old, new_document, now);
            for flag in flags {
                // What all hosts lose is told once.
                if !removed.iter().take(named).any(|lost| lost.flag == flag) {
                    removed.push(RemovedFlag::of(Some(platform.clone()), flag));
                }
            }
            if override_for(new, platform).is_some() || remains != config {
                platforms.insert(platform.clone(), remains);
            }
        }
        (Self { config, platforms }, removed)
    }
}

impl RemovedFlag {
    fn of(platform: Option<String>, flag: String) -> Self {
        Self { platform, default: default_of(&flag), flag }
    }
}

impl Remains {
    fn after(
        &self,
        old: Option<&Map<String, Value>>,
        new: Option<&Map<String, Value>>,
        now: Moment,
    ) -> (Self, Vec<String>) {
        let mut remains = self.clone();
        let mut removed = Vec::new();
        for flag in flags(old).filter(|flag| !is_cli_only(flag)) {
            if default_of(flag).is_some() {
                remains.options.insert(flag.clone(), now.0);
            }
            if !flags(new).any(|kept| kept == flag) {
                removed.push(flag.clone());
            }
        }
        for part in PARTS.into_iter().filter(|part| old.is_some_and(|old| old.contains_key(*part))) {
            remains.parts.insert(part.to_owned(), now.0);
        }
        for flag in flags(new) {
            remains.options.remove(flag);
        }
        remains.parts.retain(|part, _| !new.is_some_and(|new| new.contains_key(part)));
        (remains, removed)
    }

    /// Adds the defaults of what is not in the document any more.
    pub fn put_into(&self, document: &mut Map<String, Value>) {
        for part in self.parts.keys() {
            document.entry(part.as_str()).or_insert_with(|| Map::new().into());
        }
        let defaults: Vec<(&String, Value)> =
            self.options.keys().filter_map(|flag| Some((flag, default_of(flag)?))).collect();
        if defaults.is_empty() {
            return;
        }
        if let Some(options) = document.entry("options").or_insert_with(|| Map::new().into()).as_object_mut() {
            for (flag, default) in defaults {
                options.entry(flag.as_str()).or_insert(default);
            }
        }
    }
}

fn flags(document: Option<&Map<String, Value>>) -> impl Iterator<Item = &String> {
    let options = document.and_then(|document| document.get("options")).and_then(Value::as_object);
    options.into_iter().flat_map(Map::keys)
}

/// When an option that was removed at that time is not served any more. Whole days, so that all nodes change together.
fn expiry(removed: i64) -> Moment {
    let day = i64::try_from(DAY.as_micros()).unwrap_or(i64::MAX);
    Moment(removed.div_euclid(day).saturating_add(KEEP_DAYS + 1).saturating_mul(day))
}
