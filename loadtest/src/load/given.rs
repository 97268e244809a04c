//! Configs that were served. Each distinct one is read once, however many hosts get it.

use std::{collections::HashMap, rc::Rc};

use muster_api::osquery::{
    config::full_name,
    filters::{platform_allows, version_allows},
};
use serde_json::Value;

use super::template::{MARKERS, Template, push_text};
use agent_compat::agent::{
    Version,
    chance::hash_text,
    document::{Document, Interval},
    splayed_s,
};

/// Distinct configs kept; a server that made more would be doing something odd.
const MAX_KEPT: usize = 2048;

/// A config as hosts of one kind read it.
pub(super) struct ServedConfig {
    body: Box<[u8]>,
    pub queries: Vec<Scheduled>,
    /// Between the parts of the name of a pack's query.
    pub delimiter: Box<str>,
    /// Markers of platforms that stand in it.
    markers: Vec<&'static str>,
    pub has_decorators: bool,
    /// Whether there is a schedule, a pack or an option.
    is_config: bool,
}

/// A query that hosts of this kind run.
pub(super) struct Scheduled {
    /// With its pack, as a JSON string.
    pub name: Box<[u8]>,
    pub sql: Box<str>,
    pub bare: u64,
    pub interval_s: u64,
    pub snapshot: bool,
    pub shard: u64,
    splay_percent: u64,
    bare_name: Box<str>,
}

impl Scheduled {
    /// Its interval on this host.
    pub fn every_s(&self, host_seed: u64) -> u64 {
        splayed_s(host_seed, &self.bare_name, self.interval_s, self.splay_percent)
    }

    #[cfg(test)]
    pub fn new(name: &str, sql: &str, interval_s: u64) -> Self {
        let mut text = Vec::new();
        push_text(&mut text, name);
        Self {
            name: text.into(),
            sql: sql.into(),
            bare: hash_text(name),
            interval_s,
            snapshot: false,
            shard: 0,
            splay_percent: 10,
            bare_name: name.into(),
        }
    }
}

impl ServedConfig {
    #[cfg(test)]
    pub fn of_queries(queries: Vec<Scheduled>) -> Self {
        let (body, delimiter) = (Box::default(), "/".into());
        Self { body, queries, delimiter, markers: Vec::new(), has_decorators: false, is_config: true }
    }

    fn read(body: &[u8], template: &Template, delimiter: &str) -> Option<Self> {
        let value: Value = serde_json::from_slice(body).ok()?;
        let root = value.as_object()?;
        let version = Version::parse(&template.version);
        let document = Document::read(root, version);
        let option = |name: &str| document.options.get(name);
        let delimiter = option("pack_delimiter").and_then(Value::as_str).unwrap_or(delimiter);
        let splay_percent = option("schedule_splay_percent").and_then(Value::as_u64).unwrap_or(10);
        let admits = |platform: &str, required: &str| {
            platform_allows(platform, template.filtered()) && version_allows(required, &template.version)
        };
        let mut queries = Vec::new();
        for pack in document.packs.iter().filter(|pack| admits(&pack.filter.platform, &pack.filter.version)) {
            for query in pack.queries.iter().filter(|query| admits(&query.filter.platform, &query.filter.version)) {
                let interval_s = match query.interval {
                    Interval::Seconds(seconds) => seconds,
                    Interval::Default => 3600,
                    Interval::Invalid(_) => continue,
                };
                let plain_name = full_name(&pack.name, &query.name, delimiter);
                let mut name = Vec::new();
                push_text(&mut name, &plain_name);
                queries.push(Scheduled {
                    name: name.into(),
                    sql: query.sql.as_ref().into(),
                    bare: hash_text(&query.name),
                    interval_s,
                    snapshot: query.snapshot,
                    shard: if query.filter.shard == 0 { pack.filter.shard } else { query.filter.shard },
                    splay_percent,
                    bare_name: query.name.as_str().into(),
                });
            }
        }
        let names = document.packs.iter().flat_map(|pack| &pack.queries).map(|query| query.name.as_str());
        let mut markers: Vec<&'static str> =
            names.filter_map(|name| MARKERS.iter().find(|(marker, _)| *marker == name)).map(|found| found.0).collect();
        markers.sort_unstable();
        let decorators = &document.decorators;
        Some(Self {
            has_decorators: !(decorators.load.is_empty() && decorators.always.is_empty()),
            is_config: !document.packs.is_empty() || !document.options.is_empty(),
            body: body.into(),
            queries,
            delimiter: delimiter.into(),
            markers,
        })
    }

    /// Why this is not a config for hosts of this kind; `None` if it is.
    pub fn misfit(&self, template: &Template) -> Option<String> {
        if !self.is_config {
            return Some("an empty config".to_owned());
        }
        let mut expected = template.markers.to_vec();
        expected.sort_unstable();
        (self.markers != expected).then(|| {
            format!("a {} host was given the markers {:?} instead of {expected:?}", template.word, self.markers)
        })
    }

    pub fn is(&self, body: &[u8]) -> bool {
        *self.body == *body
    }
}

/// All distinct configs by kind of host.
#[derive(Default)]
pub(super) struct Configs {
    known: HashMap<(u16, Box<[u8]>), Rc<ServedConfig>>,
}

impl Configs {
    /// The config of this body; `None` if it is none.
    pub fn given(&mut self, body: &[u8], kind: u16, template: &Template) -> Option<Rc<ServedConfig>> {
        let key = (kind, Box::from(body));
        if let Some(known) = self.known.get(&key) {
            return Some(Rc::clone(known));
        }
        let given = Rc::new(ServedConfig::read(body, template, "_")?);
        if self.known.len() >= MAX_KEPT {
            self.known.clear();
        }
        self.known.insert(key, Rc::clone(&given));
        Some(given)
    }
}
