//! Applying a configuration.

use std::sync::Arc;

use muster_api::osquery::{
    config::{MAX_CONFIG_DEPTH, compact, config_hash, depth, full_name},
    filters::{platform_allows, shard_allows, shard_of, version_allows},
};
use serde_json::Value;

use super::{
    Agent,
    decorations::Moment,
    document::{Document, Filter},
    lines::Severity,
    options::Applied,
    schedule::{Entry, PackState, interval_s, splayed_s},
    shared,
};

/// Longest part of a refused configuration that the error line repeats, in bytes.
const QUOTED_BYTES: usize = 30_000;

/// State of the configuration in force.
#[derive(Debug, Default)]
pub(super) struct ConfigState {
    /// As `osquery_info.config_hash` shows it; empty before the first.
    pub hash: String,
    /// The first fetch of this process has ended, well or not.
    pub asked_once: bool,
    /// Queries with a start-up priority are still to run.
    pub startup_due: bool,
}

impl Agent {
    /// Takes over an accepted configuration; the same bytes as before change nothing.
    pub(super) fn apply_config(&mut self, value: &Value, now_ms: u64) {
        self.counters.last_config_ms = Some(now_ms);
        let bytes = compact(value);
        let hash = config_hash(&bytes);
        if hash == self.config.hash {
            return;
        }
        let first = self.config.hash.is_empty();
        self.config.hash = hash;
        self.counters.configs_applied += 1;
        let limits = self.version.max_config_bytes();
        let too_big = limits.is_some_and(|max| bytes.len() > max || depth(value) > MAX_CONFIG_DEPTH);
        let Some(root) = value.as_object().filter(|_| !too_big) else {
            self.refuse_config(&bytes, now_ms);
            return;
        };
        self.config.startup_due |= first;
        let document = shared::document(&self.config.hash, self.version, || Document::read(root, self.version));
        self.load(&document, now_ms);
    }

    fn refuse_config(&mut self, bytes: &[u8], now_ms: u64) {
        self.schedule.replace(Arc::default(), Vec::new(), Vec::new());
        self.schedule.settle(now_ms / 1000, self.version);
        let quoted = String::from_utf8_lossy(&bytes[..bytes.len().min(QUOTED_BYTES)]);
        let message = format!("updateSource failed to parse config, of source: tls_plugin and content: {quoted}");
        self.status(Severity::Error, "config.cpp", 968, &message, now_ms);
    }

    fn load(&mut self, document: &Arc<Document>, now_ms: u64) {
        // Options take effect after the packs of the same configuration were read, except for the delimiter.
        let splay_percent = self.flags.schedule_splay_percent;
        let old_flags = Arc::clone(&self.flags);
        self.apply_options(document, now_ms);
        let mut packs = Vec::new();
        let mut entries = Vec::new();
        for (pack_at, pack) in document.packs.iter().enumerate() {
            let admitted = self.admits(&pack.filter);
            packs.push(PackState { admitted, ..PackState::default() });
            if !admitted {
                continue;
            }
            for (query_at, query) in pack.queries.iter().enumerate() {
                if !self.admits(&query.filter) {
                    continue;
                }
                let interval_s = match interval_s(query, &old_flags) {
                    Ok(seconds) => seconds,
                    Err(text) => {
                        let message = format!("Query has invalid interval: {}: {text}", query.name);
                        self.status(Severity::Warning, "packs.cpp", 247, &message, now_ms);
                        continue;
                    }
                };
                entries.push(Entry {
                    name: full_name(&pack.name, &query.name, &self.flags.pack_delimiter).into(),
                    pack: pack_at,
                    query: query_at,
                    interval_s,
                    splayed_s: splayed_s(self.identity.seed, &query.name, interval_s, splay_percent),
                });
            }
        }
        self.schedule.replace(Arc::clone(document), packs, entries);
        self.decorate(Moment::Load, now_ms);
        self.discover_packs(true, now_ms);
        for name in self.schedule.settle(now_ms / 1000, self.version) {
            let message = format!("Clearing performance stats for query: {name}");
            self.status(Severity::Info, "config.cpp", 828, &message, now_ms);
        }
    }

    fn apply_options(&mut self, document: &Document, now_ms: u64) {
        for (name, value) in &document.options {
            let only_new_cli = self.version.at_least(5, 3, 0);
            let applied = Arc::make_mut(&mut self.flags).apply(name, value, only_new_cli);
            match applied {
                Applied::CommandLineOnly if only_new_cli => {
                    let message = format!(
                        "The CLI only flag --{name} set via config file will be ignored, please use a flagfile or pass it to the process at startup"
                    );
                    self.status(Severity::Warning, "options.cpp", 106, &message, now_ms);
                }
                Applied::Unknown => {
                    let message = format!("Cannot set unknown or invalid flag: {name}");
                    self.status(Severity::Warning, "options.cpp", 101, &message, now_ms);
                }
                Applied::Taken | Applied::CommandLineOnly => {}
            }
        }
    }

    fn admits(&self, filter: &Filter) -> bool {
        platform_allows(&filter.platform, self.identity.platform.filtered())
            && version_allows(&filter.version, &self.identity.osquery_version)
            && shard_allows(filter.shard, shard_of(&self.identity.hostname))
    }

    /// Decides which admitted packs are active: all of them again, or only those whose answer is too old.
    ///
    /// Returns whether any pack was looked at.
    pub(super) fn discover_packs(&mut self, all: bool, now_ms: u64) -> bool {
        let document = self.schedule.document();
        let now_s = now_ms / 1000;
        let max_age_s = self.flags.pack_refresh_interval;
        let mut looked = false;
        for (at, pack) in document.packs.iter().enumerate() {
            let Some(state) = self.schedule.packs.get_mut(at) else {
                continue;
            };
            if !state.admitted || (!all && now_s.saturating_sub(state.discovered_s) < max_age_s) {
                continue;
            }
            looked = true;
            let active = self.pack_is_wanted(&pack.discovery, now_ms);
            if let Some(state) = self.schedule.packs.get_mut(at) {
                state.active = active;
                state.discovered_s = now_s;
                state.discovery_runs += 1;
            }
        }
        looked
    }

    fn pack_is_wanted(&mut self, discovery: &[String], now_ms: u64) -> bool {
        for sql in discovery {
            match self.ask(sql, now_ms).0 {
                Ok(rows) if rows.is_empty() => return false,
                Ok(_) => {}
                Err(error) => {
                    let message = format!("Discovery query failed ({sql}): {error}");
                    self.status(Severity::Warning, "packs.cpp", 367, &message, now_ms);
                    return false;
                }
            }
        }
        true
    }
}
