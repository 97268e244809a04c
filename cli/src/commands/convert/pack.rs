use std::collections::HashMap;

use muster_api::spec::{PackQuery, PackSpec};
use serde_json::Value;

use super::field::PackReader;
use super::tree::{JsonData, JsonNode, Span};

/// Interval that agents use for a query without one, unless `schedule_default_interval` is set.
const DEFAULT_INTERVAL: u32 = 3600;

/// Keys of an agent configuration other than queries.
const AGENT_OPTIONS: [&str; 14] = [
    "options",
    "decorators",
    "file_paths",
    "file_paths_query",
    "file_accesses",
    "exclude_paths",
    "yara",
    "auto_table_construction",
    "views",
    "events",
    "prometheus_targets",
    "feature_vectors",
    "kafka_topics",
    "logger",
];

/// A pack as read from a file; `spec.queries` is still empty.
pub struct ParsedPack {
    /// Name of the file.
    pub file: String,
    pub spec: PackSpec,
    pub queries: Vec<ParsedQuery>,
}

/// A query with its name in the pack.
pub struct ParsedQuery {
    pub entry: PackQuery,
    pub sql: String,
}

impl<'a> PackReader<'a> {
    /// Reads a pack file, or a whole configuration with a schedule and packs. `name` names the pack or the schedule.
    pub fn packs(&mut self, name: &str) -> Vec<ParsedPack> {
        let root = &self.file.root;
        let members = self.object(root, "a pack file");
        let has = |wanted: &str| members.iter().any(|(key, _)| *key == wanted);
        if has("schedule") || has("packs") {
            return self.configuration(name, &members);
        }
        if has("queries") {
            return vec![self.pack(name, root)];
        }
        for (key, node) in members {
            self.unknown(key, node.at);
        }
        if self.problems.is_empty() {
            self.refuse(root.at, "nothing to convert: no queries, schedule or packs");
        }
        Vec::new()
    }

    fn configuration(&mut self, name: &str, members: &[(&str, &'a JsonNode)]) -> Vec<ParsedPack> {
        let mut packs = Vec::new();
        for (key, node) in members {
            match *key {
                "schedule" => {
                    let reason = format!(
                        "the schedule becomes the pack {name:?}; its results are named pack/{name}/NAME instead of NAME"
                    );
                    self.warn(node.at, reason);
                    let spec = PackSpec { name: name.to_owned(), ..PackSpec::default() };
                    packs.push(ParsedPack { file: self.file.name().to_owned(), spec, queries: self.queries(node) });
                }
                "packs" => self.several(node, &mut packs),
                _ => self.unknown(key, node.at),
            }
        }
        packs
    }

    /// Reads packs by name; the name `*` contains further packs by name.
    fn several(&mut self, node: &'a JsonNode, packs: &mut Vec<ParsedPack>) {
        for (name, pack) in self.object(node, "\"packs\"") {
            if let JsonData::Scalar(Value::String(path)) = &pack.data {
                self.warn(pack.at, format!("the pack {name:?} is in another file; also convert {path}"));
            } else if name == "*" {
                self.several(pack, packs);
            } else {
                let name = self.name(name, pack.at);
                packs.push(self.pack(&name, pack));
            }
        }
    }

    fn pack(&mut self, name: &str, node: &'a JsonNode) -> ParsedPack {
        let mut spec = PackSpec { name: name.to_owned(), ..PackSpec::default() };
        let mut queries = Vec::new();
        for (key, node) in self.object(node, "a pack") {
            match key {
                "queries" => queries = self.queries(node),
                "platform" => spec.platform = self.text(node).unwrap_or_default(),
                "version" => spec.version = self.text(node).unwrap_or_default(),
                "shard" => spec.shard = self.shard(node),
                "discovery" => spec.discovery = self.sql_list(node),
                "description" => spec.description = self.words(node).unwrap_or_default(),
                _ => self.unknown(key, node.at),
            }
        }
        if queries.is_empty() && self.problems.is_empty() {
            self.warn(node.at, format!("the pack {name:?} has no queries"));
        }
        ParsedPack { file: self.file.name().to_owned(), spec, queries }
    }

    fn queries(&mut self, node: &'a JsonNode) -> Vec<ParsedQuery> {
        let members = self.object(node, "\"queries\" or \"schedule\"");
        let mut names = HashMap::new();
        let mut queries = Vec::new();
        for (written, node) in members {
            let name = self.name(written, node.at);
            // Equal keys are refused as such.
            if names.insert(name.clone(), written).is_some_and(|earlier| earlier != written) {
                self.refuse(node.at, format!("{name:?} is a duplicate apart from spaces; rename one of the two"));
            }
            queries.extend(self.query(&name, node));
        }
        queries
    }

    /// A name without leading and trailing spaces, which documents do not allow.
    fn name(&mut self, written: &str, at: Span) -> String {
        let name = written.trim();
        if name != written {
            self.warn(at, format!("leading and trailing spaces are removed from the name, also in results: {name:?}"));
        }
        name.to_owned()
    }

    fn query(&mut self, name: &str, node: &'a JsonNode) -> Option<ParsedQuery> {
        let earlier = self.problems.len();
        let members = self.object(node, "a query");
        let has = |wanted: &str| members.iter().any(|(key, _)| *key == wanted);
        let (no_sql, no_interval, denylist) = (!has("query"), !has("interval"), has("denylist"));
        let mut entry = PackQuery { query: name.to_owned(), interval: DEFAULT_INTERVAL, ..PackQuery::default() };
        let (mut sql, mut texts) = (None, [None, None]);
        for (key, node) in members {
            match key {
                "query" => sql = self.sql(node),
                "interval" => entry.interval = self.interval(node).unwrap_or_default(),
                "snapshot" => entry.snapshot = self.boolean(node),
                "removed" => entry.removed = self.boolean(node),
                "denylist" => entry.denylist = self.boolean(node),
                "blacklist" if denylist => self.warn(node.at, "\"blacklist\" is ignored because \"denylist\" is set"),
                "blacklist" => entry.denylist = self.boolean(node),
                "shard" => entry.shard = self.shard(node),
                "platform" => entry.platform = self.text(node).unwrap_or_default(),
                "version" => entry.version = self.text(node).unwrap_or_default(),
                "description" => texts[0] = self.words(node),
                "value" => texts[1] = self.words(node),
                _ => self.unknown(key, node.at),
            }
        }
        if self.problems.len() == earlier {
            if no_sql {
                self.refuse(node.at, format!("{name:?} has no SQL; add \"query\""));
            } else if no_interval {
                self.warn(node.at, format!("no interval; using {DEFAULT_INTERVAL}, the default of agents"));
            }
        }
        let texts = texts.into_iter().flatten().filter(|text| !text.is_empty());
        entry.description = texts.collect::<Vec<_>>().join("\n");
        Some(ParsedQuery { entry, sql: sql? })
    }

    fn unknown(&mut self, key: &str, at: Span) {
        let reason = match key {
            _ if AGENT_OPTIONS.contains(&key) => {
                format!("{key:?} is left out; set it in agent_options.config of a config document")
            }
            "oncall" | "startup_priority" => format!("{key:?} is left out; documents have no such key"),
            "queries" => "\"queries\" is left out; agents ignore it beside a schedule or packs".to_owned(),
            _ => format!("unknown key {key:?} is left out"),
        };
        self.warn(at, reason);
    }
}
