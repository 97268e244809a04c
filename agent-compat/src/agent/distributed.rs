//! Live queries.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{
    Agent,
    json::{push_name, push_raw_member, push_row, push_text_member},
    lines::Severity,
    request::Thread,
    step::ExchangeStep,
};
use crate::tables::{Cost, Row};

/// Period of reads while accelerated, in milliseconds.
const ACCELERATED_MS: u64 = 5000;

/// The outcome of one live query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveResult {
    /// The id under which it was asked.
    pub id: String,
    /// Its rows; empty if it failed.
    pub rows: Vec<Row>,
    /// 0 if it succeeded.
    pub status: i64,
    /// Why it failed; empty if it did not.
    pub message: String,
    /// Cost of the query; `None` if the query was refused without running.
    pub cost: Option<Cost>,
}

/// State of live queries.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// On disk: queries not yet started.
    pending: BTreeMap<String, String>,
    /// In memory: results not yet accepted.
    pub completed: Vec<LiveResult>,
    /// On disk: hashes of SQL that killed the process, with the Unix second until which it is refused.
    denied: HashMap<[u8; 32], u64>,
    /// On disk: Unix second until which the agent asks more often.
    accelerated_until_s: u64,
}

impl Live {
    pub fn restart(&mut self) {
        self.completed.clear();
    }
}

impl Agent {
    /// Stores the queries of a read whose discovery admits them.
    pub(super) fn accept_live_queries(&mut self, answer: &Value, now_ms: u64) {
        let none = Map::new();
        let discovery = answer.get("discovery").and_then(Value::as_object).unwrap_or(&none);
        let mut admitted = BTreeMap::new();
        for (id, sql) in discovery {
            let Some(sql) = sql.as_str().filter(|sql| !sql.is_empty()) else {
                return;
            };
            // There is no denylist for these: one that kills the process does so each time, and nothing was stored.
            if self.killer.as_ref().is_some_and(|kills| kills(sql)) {
                self.restart(now_ms);
                return;
            }
            // One failing discovery query voids the whole read.
            let (Ok(rows), _) = self.ask(sql, now_ms) else {
                return;
            };
            admitted.insert(id.as_str(), !rows.is_empty());
        }
        let any_matched = admitted.values().any(|matched| *matched);
        let runs = |id: &str| {
            if self.version.at_least(5, 8, 0) {
                admitted.get(id).copied().unwrap_or(true)
            } else {
                !any_matched || admitted.get(id).copied().unwrap_or(false)
            }
        };
        let queries = match answer.get("queries") {
            None => &none,
            Some(Value::Object(queries)) => queries,
            Some(_) => return,
        };
        for (id, sql) in queries {
            // A bad query ends the reading; what was stored before it stays.
            let Some(sql) = sql.as_str().filter(|sql| !sql.is_empty() && !id.is_empty()) else {
                return;
            };
            if runs(id) {
                self.live.pending.insert(id.clone(), sql.to_owned());
            }
        }
        self.accelerate(answer.get("accelerate"), now_ms);
    }

    fn accelerate(&mut self, value: Option<&Value>, now_ms: u64) {
        let takes_numbers = self.version.at_least(3, 2, 3) || !self.version.at_least(3, 2, 0);
        let takes_texts = !self.version.at_least(3, 2, 3);
        let seconds = match value {
            Some(Value::Number(number)) if takes_numbers => number.as_i64(),
            Some(Value::String(text)) if takes_texts => text.parse().ok(),
            _ => None,
        };
        let Some(seconds) = seconds else { return };
        self.live.accelerated_until_s = (now_ms / 1000).saturating_add_signed(seconds);
        self.status(
            Severity::Info,
            "distributed.cpp",
            241,
            &format!("Accelerating distributed query checkins for {seconds} seconds"),
            now_ms,
        );
    }

    /// Live queries accepted but not yet run.
    #[must_use]
    pub fn pending_live_queries(&self) -> usize {
        self.live.pending.len()
    }

    /// Results of live queries that the server has not accepted yet.
    #[must_use]
    pub fn unsent_live_results(&self) -> &[LiveResult] {
        &self.live.completed
    }

    /// Adds a result as if a live query had produced it. An older one with the same id is replaced.
    pub fn push_live_result(&mut self, result: LiveResult) {
        self.live.completed.retain(|older| older.id != result.id);
        self.live.completed.push(result);
    }

    /// Runs all accepted live queries in the byte order of their ids; the time they took in milliseconds.
    ///
    /// `None` if one of them killed the process: results in memory are lost, queries not yet started are not.
    pub fn run_live_queries(&mut self, now_ms: u64) -> Option<u64> {
        let mut wall_ms = 0;
        while let Some((id, sql)) = self.live.pending.pop_first() {
            let hash: [u8; 32] = Sha256::digest(sql.as_bytes()).into();
            if self.is_denied_live(&hash, now_ms) {
                let message = "distributed query is denylisted".to_owned();
                self.push_live_result(LiveResult { id, rows: Vec::new(), status: 1, message, cost: None });
                continue;
            }
            if self.killer.as_ref().is_some_and(|kills| kills(&sql)) {
                let until_s = (now_ms / 1000).saturating_add(self.flags.distributed_denylist_duration);
                self.live.denied.insert(hash, until_s);
                self.restart(now_ms);
                return None;
            }
            let (answer, cost) = self.ask(&sql, now_ms);
            self.counters.live_runs += 1;
            wall_ms += cost.wall_ms;
            let (rows, status, message) = match answer {
                Ok(rows) => (rows, 0, String::new()),
                Err(message) => {
                    let text = format!("Error executing distributed query: {id}: {message}");
                    self.status(Severity::Error, "distributed.cpp", 163, &text, now_ms);
                    (Vec::new(), 1, message)
                }
            };
            self.push_live_result(LiveResult { id, rows, status, message, cost: Some(cost) });
        }
        Some(wall_ms)
    }

    fn is_denied_live(&mut self, hash: &[u8; 32], now_ms: u64) -> bool {
        if self.flags.distributed_denylist_duration == 0 {
            self.live.denied.clear();
        }
        self.live.denied.retain(|_, until_s| *until_s > now_ms / 1000);
        self.version.at_least(5, 5, 0) && self.live.denied.contains_key(hash)
    }

    /// After a read, whether it succeeded or not.
    pub(super) fn run_and_write(&mut self, now_ms: u64) {
        let had_work = !self.live.pending.is_empty();
        let Some(wall_ms) = self.run_live_queries(now_ms) else {
            return;
        };
        let flushes = had_work || self.version.at_least(5, 3, 0);
        if flushes && !self.live.completed.is_empty() {
            self.begin_step(Thread::Distributed, ExchangeStep::Write, now_ms.saturating_add(wall_ms));
        } else {
            self.rest(Thread::Distributed, self.distributed_pause_ms(now_ms), now_ms);
        }
    }

    pub(super) fn distributed_pause_ms(&self, now_ms: u64) -> u64 {
        if now_ms / 1000 < self.live.accelerated_until_s {
            ACCELERATED_MS
        } else {
            self.flags.distributed_interval.max(1).saturating_mul(1000)
        }
    }

    pub(super) fn write_body(&self) -> Vec<u8> {
        let old = !self.version.at_least(3, 2, 0);
        let results = &self.live.completed;
        let mut body = b"{\"queries\":{".to_vec();
        for result in results {
            push_name(&mut body, &result.id);
            if old && result.rows.is_empty() {
                body.extend_from_slice(b"\"\"");
                continue;
            }
            body.push(b'[');
            for (at, row) in result.rows.iter().enumerate() {
                if at > 0 {
                    body.push(b',');
                }
                push_row(&mut body, row);
            }
            body.push(b']');
        }
        body.extend_from_slice(b"},\"statuses\":{");
        for result in results {
            let status = result.status.to_string();
            if old {
                push_text_member(&mut body, &result.id, &status);
            } else {
                push_raw_member(&mut body, &result.id, status);
            }
        }
        if self.version.at_least(4, 4, 0) {
            body.extend_from_slice(b"},\"messages\":{");
            for result in results {
                push_text_member(&mut body, &result.id, &result.message);
            }
        }
        if self.version.at_least(5, 8, 0) {
            body.extend_from_slice(b"},\"stats\":{");
            for result in results {
                push_raw_member(&mut body, &result.id, stats(result.cost));
            }
        }
        body.push(b'}');
        push_text_member(&mut body, "node_key", &self.node_key);
        body.push(b'}');
        body
    }
}

fn stats(cost: Option<Cost>) -> String {
    cost.map_or_else(
        || "{}".to_owned(),
        |cost| {
            format!(
                "{{\"wall_time_ms\":{},\"user_time\":{},\"system_time\":{},\"memory\":{}}}",
                cost.wall_ms, cost.user_ms, cost.system_ms, cost.memory_bytes
            )
        },
    )
}
