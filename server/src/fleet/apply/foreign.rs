//! What documents of Fleet hold and this server has no use for: it is skipped, and one warning says so for each thing.
//! Keys that are neither ours nor Fleet's are problems, because they may be misspelt.

use std::collections::BTreeMap;

use muster_api::spec::DocumentKind;
use serde_json::{Map, Value};

use crate::fleet::{Problem, path};

/// Kinds of Fleet's documents, other words for them, and why they are skipped.
const KINDS: [(&str, &[&str], &str); 8] = [
    ("policy", &["policies"], "there are no policies here; schedule their SQL in a pack, or ask it as a live query"),
    (
        "team",
        &["teams", "fleet", "fleets"],
        "there are no teams here; make a label of the hosts, and put queries for them into a pack with that label as target",
    ),
    ("software", &[], "there is no software inventory here; ask for packages with a query"),
    ("controls", &[], "devices are not managed here; leave that to another tool"),
    ("host", &["hosts"], "hosts come by enrolling"),
    ("carve", &["carves"], "carves come from hosts"),
    ("activity", &["activities"], "activities are written by the server"),
    ("mdm", &["mdm_apple", "mdm_apple_bm"], "devices are not managed here; leave that to another tool"),
];

/// Written by the server into what it shows.
const SHOWN: &str = "the server writes it itself";
const NO_TEAMS: &str = "there are no teams here; labels take their place";
const NO_MAIL: &str = "no mail is sent from here";
const NOT_KEPT: &str = "there is nothing like it here";
const IN_A_PACK: &str = "queries are scheduled by packs here; put it there";
const BY_PACK_TARGETS: &str = "packs are targeted at labels here; put it into targets.labels of a pack";

/// A key that Fleet's documents have in some part, and why it is skipped.
type ForeignKey = (&'static str, &'static str);

const QUERY: [ForeignKey; 29] = [
    ("id", SHOWN),
    ("created_at", SHOWN),
    ("updated_at", SHOWN),
    ("author_id", SHOWN),
    ("author_name", SHOWN),
    ("author_email", SHOWN),
    ("saved", SHOWN),
    ("packs", SHOWN),
    ("stats", SHOWN),
    ("team_id", NO_TEAMS),
    ("team", NO_TEAMS),
    ("fleet", NO_TEAMS),
    ("support", NOT_KEPT),
    ("platforms", NOT_KEPT),
    ("tags", NOT_KEPT),
    ("purpose", NOT_KEPT),
    ("remediation", NOT_KEPT),
    ("resolution", NOT_KEPT),
    ("contributors", NOT_KEPT),
    ("notes", NOT_KEPT),
    ("critical", NOT_KEPT),
    ("schedule_interval", "queries are scheduled by packs here; put it there as interval"),
    ("version", IN_A_PACK),
    ("snapshot", IN_A_PACK),
    ("removed", IN_A_PACK),
    ("shard", IN_A_PACK),
    ("denylist", IN_A_PACK),
    ("labels", BY_PACK_TARGETS),
    ("calendar_events_enabled", NOT_KEPT),
];

const LABEL: [ForeignKey; 15] = [
    ("created_at", SHOWN),
    ("updated_at", SHOWN),
    ("author_id", SHOWN),
    ("display_text", SHOWN),
    ("display_name", SHOWN),
    ("count", SHOWN),
    ("host_count", SHOWN),
    ("host_ids", "labels list their hosts by name here; put these into hosts"),
    ("hosts_count", SHOWN),
    ("type", SHOWN),
    ("platforms", "labels have one platform here; put it into platform"),
    ("criteria", "labels find their hosts by SQL or by a list here"),
    ("team", NO_TEAMS),
    ("team_id", NO_TEAMS),
    ("fleet", NO_TEAMS),
];

const PACK: [ForeignKey; 10] = [
    ("created_at", SHOWN),
    ("updated_at", SHOWN),
    ("display_text", SHOWN),
    ("type", SHOWN),
    ("query_count", SHOWN),
    ("total_hosts_count", SHOWN),
    ("host_ids", "packs are targeted at labels by name here"),
    ("label_ids", "packs are targeted at labels by name here"),
    ("team_ids", NO_TEAMS),
    ("team_id", NO_TEAMS),
];

const PACK_TARGETS: [ForeignKey; 1] =
    [("hosts", "packs are targeted at labels here; put the hosts into a manual label")];

const PACK_QUERY: [ForeignKey; 11] = [
    ("id", SHOWN),
    ("created_at", SHOWN),
    ("updated_at", SHOWN),
    ("pack_id", SHOWN),
    ("query_id", SHOWN),
    ("query_name", SHOWN),
    ("stats", SHOWN),
    ("author_name", SHOWN),
    ("author_email", SHOWN),
    ("support", NOT_KEPT),
    ("team_id", NO_TEAMS),
];

const SECRET: [ForeignKey; 2] = [("team_id", NO_TEAMS), ("updated_at", SHOWN)];

const USER_ROLE: [ForeignKey; 1] = [("fleets", NO_TEAMS)];

const CONFIG: [ForeignKey; 31] = [
    ("warnings", SHOWN),
    ("activity_expiry_settings", "it is activities.retention in the server's own configuration"),
    ("host_settings", "which details hosts are asked for is fixed here"),
    ("features", "which details hosts are asked for is fixed here"),
    ("additional_queries", "which details hosts are asked for is fixed here"),
    ("smtp_settings", NO_MAIL),
    ("smtp", NO_MAIL),
    ("sso_settings", "there is no single sign-on here"),
    ("webhook_settings", "there are no webhooks here"),
    ("integrations", "there are no integrations here"),
    ("vulnerability_settings", "there is no search for vulnerabilities here"),
    ("vulnerabilities", "there is no search for vulnerabilities here"),
    ("license", "no licence is needed"),
    ("logging", "it is set in the server's own configuration"),
    ("update_interval", "it is set in the server's own configuration"),
    ("email", NO_MAIL),
    ("mdm", "there is no device management here"),
    ("scripts", "there are no scripts here"),
    ("software", "there is no software inventory here"),
    ("yara_rules", "YARA rules are set in agent_options here"),
    ("fleet_desktop", "there is no desktop application here"),
    ("partnerships", NOT_KEPT),
    ("conditional_access", NOT_KEPT),
    ("certificate_authorities", NOT_KEPT),
    ("ui_gitops_mode", NOT_KEPT),
    ("gitops", NOT_KEPT),
    ("sandbox_enabled", NOT_KEPT),
    ("android_enabled", NOT_KEPT),
    ("host_enrollment_settings", NOT_KEPT),
    ("controls", "there is no device management here"),
    ("transparency_url", NOT_KEPT),
];

const ORG_INFO: [ForeignKey; 4] = [
    ("org_logo_url_light_background", NOT_KEPT),
    ("org_logo_url_dark_background", NOT_KEPT),
    ("contact_url", NOT_KEPT),
    ("org_logo_url_light_mode", NOT_KEPT),
];

const SERVER_SETTINGS: [ForeignKey; 11] = [
    ("live_query_disabled", "live queries are always there"),
    ("live_reporting_disabled", "live queries are always there"),
    ("enable_analytics", "nothing is reported to anybody"),
    ("debug_host_ids", NOT_KEPT),
    ("deferred_save_host", NOT_KEPT),
    ("query_reports_disabled", "results go to the log files alone"),
    ("discard_reports_data", "results go to the log files alone"),
    ("query_report_cap", "results go to the log files alone"),
    ("report_cap", "results go to the log files alone"),
    ("scripts_disabled", "there are no scripts here"),
    ("ai_features_disabled", NOT_KEPT),
];

const AGENT_OPTIONS: [ForeignKey; 4] = [
    ("command_line_flags", "agents take these from their flagfile"),
    ("extensions", "agents take these from their flagfile"),
    ("update_channels", "agents are not updated from here"),
    ("script_execution_timeout", "there are no scripts here"),
];

/// Fleet's keys of the objects at `part`: the path inside the spec, without positions and names that operators choose.
fn keys(kind: DocumentKind, part: &str) -> &'static [ForeignKey] {
    match (kind, part) {
        (DocumentKind::Query, "") => &QUERY,
        (DocumentKind::Label, "") => &LABEL,
        (DocumentKind::Pack, "") => &PACK,
        (DocumentKind::Pack, "targets") => &PACK_TARGETS,
        (DocumentKind::Pack | DocumentKind::GlobalSchedule, "queries") => &PACK_QUERY,
        (DocumentKind::EnrollSecret, "secrets") => &SECRET,
        (DocumentKind::UserRoles, "roles") => &USER_ROLE,
        (DocumentKind::Config, "") => &CONFIG,
        (DocumentKind::Config, "org_info") => &ORG_INFO,
        (DocumentKind::Config, "server_settings") => &SERVER_SETTINGS,
        (DocumentKind::Config, "agent_options") | (DocumentKind::Options, "") => &AGENT_OPTIONS,
        _ => &[],
    }
}

fn kind(word: &str) -> Option<&'static (&'static str, &'static [&'static str], &'static str)> {
    let is_meant = |known: &&str| word.eq_ignore_ascii_case(known);
    KINDS.iter().find(|(name, others, _)| is_meant(name) || others.iter().any(is_meant))
}

/// Why documents of a kind are skipped; `None` if the kind is not Fleet's.
pub(super) fn why_kind(word: &str) -> Option<&'static str> {
    kind(word).map(|(_, _, why)| *why)
}

/// The name of a kind of Fleet's in the singular.
pub(super) fn kind_name(word: &str) -> &str {
    kind(word).map_or(word, |(name, ..)| name)
}

/// The key, and why it matters, that makes a whole document of ours one that only Fleet knows what to do with.
pub(super) fn why_spec(kind: DocumentKind, spec: &Value) -> Option<(&'static str, &'static str)> {
    const MEMBERSHIP: &str = "label_membership_type";
    let text = |key: &str| spec.get(key).and_then(Value::as_str).unwrap_or_default();
    match kind {
        DocumentKind::Label if text(MEMBERSHIP) == "host_vitals" => {
            Some((MEMBERSHIP, "labels find their hosts by SQL or by a list here"))
        }
        // Another team may have another query of the name.
        DocumentKind::Query | DocumentKind::Label => {
            let key = ["team", "fleet"].into_iter().find(|key| !text(key).is_empty())?;
            Some((key, "there are no teams here; leave the key out of those that are for all hosts"))
        }
        _ => None,
    }
}

/// What was skipped so far. A thing that stands in many places is one warning, with the first path and their number.
#[derive(Debug, Clone, Default)]
pub(super) struct Skipped {
    found: Vec<SkippedThing>,
    positions: BTreeMap<(String, String), usize>,
}

#[derive(Debug, Clone)]
struct SkippedThing {
    /// Where it stands first, and why it is skipped.
    first: Problem,
    count: usize,
    /// What is skipped of each, such as the kind of documents that are skipped whole; `None` for a key.
    kind: Option<String>,
    /// Names of the first of them.
    names: Vec<String>,
}

/// Most objects that are named in one warning.
const NAMED: usize = 5;

impl Skipped {
    /// Takes Fleet's keys out of an object, and those that are null: those are as if absent, and so are empty keys of Fleet's.
    pub fn take_from(&mut self, kind: DocumentKind, part: &str, at: &str, members: &mut Map<String, Value>) {
        let foreign = keys(kind, part);
        members.retain(|key, value| {
            if value.is_null() {
                return false;
            }
            let Some((_, why)) = foreign.iter().find(|(name, _)| name == key) else { return true };
            if is_empty(value) {
                return false;
            }
            let name = if part.is_empty() { key.clone() } else { format!("{part}.{key}") };
            self.add(kind.as_str(), name, &path::member(at, key), why);
            false
        });
    }

    /// Notes that `name` was skipped at a path.
    pub fn add(&mut self, kind: &str, name: String, at: &str, why: &str) {
        self.thing(kind, name, at, why).count += 1;
    }

    /// Notes that a whole document was skipped.
    pub fn add_document(&mut self, kind: &str, name: &str, at: &str, why: &str) {
        self.add_named(kind, String::new(), name, at, why);
    }

    /// Notes that what `kind` says was skipped of the object `name`; things of one `key` are one warning.
    pub fn add_named(&mut self, kind: &str, key: String, name: &str, at: &str, why: &str) {
        let thing = self.thing(kind, key, at, why);
        thing.count += 1;
        thing.kind = Some(kind.to_owned());
        if !name.is_empty() && thing.names.len() < NAMED {
            thing.names.push(format!("{name:?}"));
        }
    }

    fn thing(&mut self, kind: &str, name: String, at: &str, why: &str) -> &mut SkippedThing {
        let next = self.found.len();
        let position = *self.positions.entry((kind.to_owned(), name)).or_insert(next);
        if position == next {
            self.found.push(SkippedThing { first: Problem::new(at, why), count: 0, kind: None, names: Vec::new() });
        }
        &mut self.found[position]
    }

    pub fn into_warnings(self) -> impl Iterator<Item = Problem> {
        self.found.into_iter().map(SkippedThing::into_warning)
    }
}

/// Whether a value says nothing, so that nothing is lost when it is skipped.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

impl SkippedThing {
    fn into_warning(self) -> Problem {
        let Self { first, count, kind, names } = self;
        let why = &first.reason;
        let reason = match (kind, count) {
            (Some(kind), 1) if names.is_empty() => format!("skipped {kind}: {why}"),
            (Some(kind), count) if names.is_empty() => format!("skipped {kind} {count} times: {why}"),
            (Some(kind), count) => {
                let more = count - names.len();
                let more = if more == 0 { String::new() } else { format!(" and {more} more") };
                format!("skipped {kind} {}{more}: {why}", names.join(", "))
            }
            (None, 1) => format!("skipped: {why}"),
            (None, 2) => format!("skipped: {why} (and at one other place)"),
            (None, count) => format!("skipped: {why} (and at {} other places)", count - 1),
        };
        Problem { reason, ..first }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a reason tells operators to do must be possible.
    #[test]
    fn what_is_to_be_put_into_a_pack_can_be_put_there() {
        let schema = DocumentKind::Pack.schema().unwrap();
        let queries = &schema["properties"]["queries"]["items"]["properties"];
        let into_pack = QUERY.iter().filter(|(_, why)| *why == IN_A_PACK).map(|(key, _)| *key);
        for key in into_pack.chain(["interval", "version", "snapshot", "removed"]) {
            assert!(queries.get(key).is_some(), "{key}");
        }
    }
}
