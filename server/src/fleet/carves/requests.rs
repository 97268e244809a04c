//! Which query has asked for a carve. The row that a query finds in the table `carves` names it (`carve_guid`) minutes before it
//! begins to come. Live answers and log lines are looked through for such rows; what they name waits in memory for the next
//! write, and a crash loses it: the carve then comes without the name of its query.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex};

use memchr::memmem;
use muster_api::osquery::Rows;
use serde::Deserialize;
use serde_json::Value;

use super::begin::{MAX_ROWS, is_id};
use super::carve_notice;
use crate::clock::Clock;
use crate::fleet::Result;
use crate::fleet::logs::LogLines;
use crate::lock::lock;
use crate::store::entity::carve_requests::Model;
use crate::store::{Store, carve_requests};
use crate::telemetry::Metrics;

/// The column that names a carve.
const NAMED_BY: &str = "carve_guid";

/// Most carves that one answer or batch of lines names.
const MAX_NAMED: usize = 64;

/// Requests that wait to be written: of all hosts, and of one.
const MAX_WAITING: usize = 1_000;
const MAX_WAITING_OF_HOST: usize = 64;

/// Requests that one transaction writes.
const WRITTEN_AT_ONCE: usize = 100;

/// Longest name of a scheduled query that is kept, in characters.
const MAX_NAME: usize = 255;

/// Carves that a scheduled query has asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledCarves {
    query_name: String,
    carve_ids: BTreeSet<String>,
}

/// The query that has asked.
#[derive(Debug, Clone, Copy)]
pub enum CarveOrigin<'a> {
    /// The name of the saved query is empty if there is none.
    Live { id: i64, query_name: &'a str },
    /// The agent's name of a scheduled query.
    Scheduled(&'a str),
}

/// What queries have asked for, of all hosts.
#[derive(Debug)]
pub struct CarveRequests {
    store: Store,
    clock: Clock,
    metrics: Arc<Metrics>,
    waiting: Mutex<Vec<Model>>,
}

/// The columns of a row that matter.
#[derive(Deserialize)]
struct CarvesRow<'a> {
    #[serde(borrow, default)]
    carve_guid: Cow<'a, str>,
    /// A number with the agent's flag `logger_numerics`.
    #[serde(default)]
    carve: Value,
}

impl CarvesRow<'_> {
    /// The carve that is on its way: of older ones the table says `carve` = 0.
    fn named(self) -> Option<String> {
        ((self.carve == "1" || self.carve == 1) && is_id(&self.carve_guid)).then(|| self.carve_guid.into_owned())
    }
}

/// A line of a scheduled query: one row, or those of a snapshot.
#[derive(Deserialize)]
struct ScheduledLine<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    action: Cow<'a, str>,
    #[serde(borrow)]
    columns: Option<CarvesRow<'a>>,
    #[serde(borrow, default)]
    snapshot: Vec<CarvesRow<'a>>,
}

/// The carves that rows of a live query name; none if its SQL does not seem to carve.
pub fn named_carves(sql: &str, rows: Rows<'_>) -> Vec<String> {
    if carve_notice(sql).is_none() || memmem::find(rows.raw(), NAMED_BY.as_bytes()).is_none() {
        return Vec::new();
    }
    let named = rows.iter().filter_map(|row| {
        let mut found = CarvesRow { carve_guid: "".into(), carve: Value::Null };
        for (name, value) in row.columns() {
            match &*name {
                NAMED_BY => found.carve_guid = value,
                "carve" => found.carve = value.into(),
                _ => {}
            }
        }
        found.named()
    });
    named.take(MAX_NAMED).collect::<BTreeSet<_>>().into_iter().collect()
}

/// The carves that lines of a result log name.
pub fn scheduled_carves(lines: &LogLines) -> Vec<ScheduledCarves> {
    let finder = memmem::Finder::new(NAMED_BY);
    // Nearly every batch ends here.
    if finder.find(lines.as_bytes()).is_none() {
        return Vec::new();
    }
    let mut carves: Vec<ScheduledCarves> = Vec::new();
    for line in lines.iter().filter(|line| finder.find(line).is_some()).take(MAX_NAMED) {
        let Ok(line) = serde_json::from_slice::<ScheduledLine<'_>>(line) else { continue };
        if line.action == "removed" {
            continue;
        }
        let rows = line.columns.into_iter().chain(line.snapshot);
        let carve_ids: BTreeSet<_> = rows.filter_map(CarvesRow::named).take(MAX_NAMED).collect();
        if !carve_ids.is_empty() {
            carves.push(ScheduledCarves { query_name: line.name.chars().take(MAX_NAME).collect(), carve_ids });
        }
    }
    carves
}

impl CarveRequests {
    pub fn new(store: Store, clock: Clock, metrics: Arc<Metrics>) -> Self {
        Self { store, clock, metrics, waiting: Mutex::default() }
    }

    /// Remembers that a query has asked a host for carves.
    pub fn note<'a>(&self, host_id: i64, origin: CarveOrigin<'_>, carve_ids: impl Iterator<Item = &'a str>) {
        let now = self.clock.now();
        let (live_query_id, query_name) = match origin {
            CarveOrigin::Live { id, query_name } => (Some(id), query_name),
            CarveOrigin::Scheduled(query_name) => (None, query_name),
        };
        let mut waiting = lock(&self.waiting);
        for carve_id in carve_ids {
            let of_host = || waiting.iter().filter(|other| other.host_id == host_id);
            if of_host().any(|other| other.carve_id == carve_id) {
                continue;
            }
            if waiting.len() >= MAX_WAITING || of_host().count() >= MAX_WAITING_OF_HOST {
                self.metrics.limit_hit("carve_requests");
                return;
            }
            let (carve_id, query_name) = (carve_id.to_owned(), query_name.to_owned());
            waiting.push(Model { id: 0, host_id, carve_id, live_query_id, query_name, created_at: now });
        }
    }

    /// As [`CarveRequests::note`], of what [`scheduled_carves`] has found.
    pub fn note_scheduled(&self, host_id: i64, carves: &[ScheduledCarves]) {
        for ScheduledCarves { query_name, carve_ids } in carves {
            self.note(host_id, CarveOrigin::Scheduled(query_name), carve_ids.iter().map(String::as_str));
        }
    }

    /// Writes what waits, or a part of it.
    ///
    /// # Errors
    /// When the database does not answer; the next call tries again.
    pub(super) async fn write(&self) -> Result<()> {
        let mut requests: Vec<Model> = lock(&self.waiting).iter().take(WRITTEN_AT_ONCE).cloned().collect();
        if requests.is_empty() {
            return Ok(());
        }
        // In the order in which all others lock hosts.
        requests.sort_by_key(|request| request.host_id);
        let most = MAX_ROWS.unsigned_abs();
        let left_out = self.store.write(async |tx| carve_requests::add(tx, requests.clone(), most).await).await?;
        for _ in 0..left_out {
            self.metrics.limit_hit("carve_requests");
        }
        let written: HashSet<_> = requests.iter().map(|request| (request.host_id, &request.carve_id)).collect();
        lock(&self.waiting).retain(|request| !written.contains(&(request.host_id, &request.carve_id)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_lines(text: &str) -> Vec<ScheduledCarves> {
        let mut lines = LogLines::with_capacity(text.len());
        for line in text.lines() {
            lines.push(|bytes| bytes.extend_from_slice(format!("{line}\n").as_bytes()));
        }
        scheduled_carves(&lines)
    }

    #[test]
    fn lines_name_the_carves_that_are_on_their_way() {
        let text = r#"
{"name":"pack/base/logs","hostIdentifier":"h","action":"added","columns":{"carve":"1","carve_guid":"one","path":"/a"}}
{"name":"pack/base/logs","action":"added","columns":{"carve":"0","carve_guid":"old","path":"/a"}}
{"name":"pack/base/logs","action":"removed","columns":{"carve":"1","carve_guid":"gone"}}
{"name":"snap","action":"snapshot","snapshot":[{"carve":"1","carve_guid":"two"},{"carve":"1","carve_guid":"three"},{"x":"1"}]}
{"name":"other","action":"added","columns":{"text":"carve_guid"}}
{"name":"bad","action":"added","columns":{"carve":"1","carve_guid":"not an id"}}
carve_guid"#;
        let of = |name: &str, ids: &[&str]| ScheduledCarves {
            query_name: name.to_owned(),
            carve_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        };
        assert_eq!(of_lines(text), [of("pack/base/logs", &["one"]), of("snap", &["two", "three"])]);
        assert_eq!(of_lines(r#"{"name":"x","action":"added","columns":{"pid":"1"}}"#), []);
    }

    #[test]
    fn what_one_batch_names_is_bounded() {
        let rows: Vec<String> = (0..1_000).map(|n| format!(r#"{{"carve":"1","carve_guid":"g{n}"}}"#)).collect();
        let line = format!(r#"{{"name":"x","action":"snapshot","snapshot":[{}]}}"#, rows.join(","));
        assert_eq!(of_lines(&line)[0].carve_ids.len(), MAX_NAMED);
        assert_eq!(of_lines(&[line.as_str(); 100].join("\n")).len(), MAX_NAMED);
    }
}
