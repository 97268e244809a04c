//! Running scheduled queries.

use std::sync::Arc;

use super::{
    Agent,
    chance::hash_text,
    decorations::Moment,
    differential::difference,
    json::{Escape, RowStyle, sorted_row},
    lines::{ResultHead, Severity},
    schedule::Previous,
};
use crate::tables::Row;

/// Seconds for which a query that killed the process is refused.
const DENIED_S: u64 = 86_400;

impl Agent {
    /// Runs the scheduled queries that came due since the last call, each at most once.
    ///
    /// A query is due in each second whose Unix time is a multiple of its interval on this host. None runs while the schedule
    /// [stands still](Agent::set_stands_still).
    pub fn tick(&mut self, now_ms: u64) {
        let now_s = now_ms / 1000;
        let before_s = self.last_tick_s;
        if !self.config.asked_once || now_s <= before_s || self.stands_still {
            return;
        }
        self.last_tick_s = now_s;
        if self.discover_packs(false, now_ms) {
            self.schedule.settle(now_s, self.version);
        }
        let mut due: Vec<Arc<str>> =
            if std::mem::take(&mut self.config.startup_due) { self.startup_names() } else { Vec::new() };
        for (entry, _) in self.schedule.active() {
            if now_s / entry.splayed_s != before_s / entry.splayed_s && !due.contains(&entry.name) {
                due.push(Arc::clone(&entry.name));
            }
        }
        for name in due {
            if !self.run_scheduled(&name, now_ms) {
                return;
            }
        }
        self.decorate(Moment::Interval(before_s, now_s), now_ms);
    }

    /// When the next scheduled query is due, Unix milliseconds; `None` if there is none.
    #[must_use]
    pub fn next_tick_ms(&self) -> Option<u64> {
        let next_s =
            self.schedule.active().map(|(entry, _)| (self.last_tick_s / entry.splayed_s + 1) * entry.splayed_s);
        next_s.min().map(|seconds| seconds * 1000)
    }

    /// Full names of the queries in force.
    #[must_use]
    pub fn scheduled_names(&self) -> Vec<String> {
        self.schedule.active().map(|(entry, _)| entry.name.to_string()).collect()
    }

    /// Runs one query in force right now; does nothing if the name is unknown.
    ///
    /// `false` if that killed the process.
    pub fn run_scheduled(&mut self, name: &str, now_ms: u64) -> bool {
        let document = self.schedule.document();
        let found = self.schedule.active().find(|(entry, _)| &*entry.name == name);
        let Some((name, pack, at)) = found.map(|(entry, _)| (Arc::clone(&entry.name), entry.pack, entry.query)) else {
            return true;
        };
        let Some(query) = document.packs.get(pack).and_then(|pack| pack.queries.get(at)) else {
            return true;
        };
        let now_s = now_ms / 1000;
        if self.is_denied(&name, query.denylist, now_ms) {
            return true;
        }
        self.decorate(Moment::Always, now_ms);
        if self.killer.as_ref().is_some_and(|kills| kills(&query.sql)) {
            self.die_running(&name, now_ms);
            return false;
        }
        let (answer, cost) = self.ask(&query.sql, now_ms);
        self.counters.scheduled_runs += 1;
        let output_bytes = answer.as_ref().map_or(0, |rows| output_bytes(rows));
        let version = self.version;
        self.schedule.state_mut(&name).stats.add(cost, output_bytes, now_s, version);
        match answer {
            Err(error) => {
                let message = format!("Error executing scheduled query {name}: {error}");
                self.status(Severity::Error, "scheduler.cpp", 128, &message, now_ms);
            }
            Ok(rows) if query.snapshot => self.log_snapshot(&name, &rows, now_ms),
            Ok(rows) => self.log_difference(&name, &query.sql, query.removed, &rows, now_ms),
        }
        true
    }

    fn startup_names(&self) -> Vec<Arc<str>> {
        let mut names: Vec<_> = self
            .schedule
            .active()
            .filter_map(|(entry, query)| Some((query.startup_priority?, Arc::clone(&entry.name))))
            .collect();
        names.sort();
        names.into_iter().map(|(_, name)| name).collect()
    }

    fn is_denied(&mut self, name: &Arc<str>, respects_denylist: bool, now_ms: u64) -> bool {
        let state = self.schedule.state_mut(name);
        let Some(until_s) = state.denied_until_s else {
            return false;
        };
        if respects_denylist && until_s > now_ms / 1000 {
            return true;
        }
        state.denied_until_s = None;
        let message = format!("Scheduled denylisted query has expired: {name}");
        self.status(Severity::Info, "config.cpp", 495, &message, now_ms);
        false
    }

    fn die_running(&mut self, name: &Arc<str>, now_ms: u64) {
        self.schedule.state_mut(name).denied_until_s = Some(now_ms / 1000 + DENIED_S);
        self.restart(now_ms);
        let message = format!("Scheduled query may have failed: {name}");
        self.status(Severity::Warning, "config.cpp", 363, &message, now_ms);
        if self.version.at_least(5, 16, 0) {
            let message = format!("The caller does not want denied queries, skipping denied scheduled query: {name}");
            self.status(Severity::Warning, "config.cpp", 509, &message, now_ms);
        }
    }

    fn log_snapshot(&mut self, name: &str, rows: &[Row], now_ms: u64) {
        let style = RowStyle { numerics: self.flags.logger_numerics, escape: None };
        let written = written(rows, style);
        let head = ResultHead { name, now_ms, epoch: self.flags.schedule_epoch, counter: 0 };
        if self.flags.logger_snapshot_event_type {
            for row in &written {
                self.event_line(&head, row, "snapshot");
            }
        } else {
            self.snapshot_line(&head, &written);
        }
    }

    fn log_difference(&mut self, name: &Arc<str>, sql: &str, reports_removed: bool, rows: &[Row], now_ms: u64) {
        let escape = if self.version.at_least(5, 22, 0) { Escape::Control } else { Escape::ControlAndNonAscii };
        let style = RowStyle { numerics: self.flags.logger_numerics, escape: Some(escape) };
        let new = written(rows, style);
        let epoch = self.flags.schedule_epoch;
        let sql = hash_text(sql);
        let previous = self.schedule.state_mut(name).previous.take();
        let same_epoch = previous.filter(|previous| previous.epoch == epoch);
        let (mut removed, added, counter, is_baseline) = match &same_epoch {
            None => (Vec::new(), new.clone(), 0, true),
            Some(previous) => {
                let (removed, added) = difference(&previous.rows, &new);
                let changed = !(removed.is_empty() && added.is_empty());
                let restarts = previous.sql != sql && !self.version.at_least(5, 8, 0);
                let counts = changed || !self.version.at_least(4, 5, 0);
                let counter = if restarts { 0 } else { previous.counter + u64::from(counts) };
                (removed, added, counter, false)
            }
        };
        self.schedule.state_mut(name).previous = Some(Previous { sql, epoch, counter, rows: new });
        if is_baseline {
            let message = format!("Storing initial results for new scheduled query: {name}");
            self.status(Severity::Info, "query.cpp", 119, &message, now_ms);
        }
        if !reports_removed {
            removed.clear();
        }
        let silent = removed.is_empty() && added.is_empty();
        let reports_empty = is_baseline && self.version.at_least(5, 8, 0) && !self.flags.logger_event_type;
        if silent && !reports_empty {
            return;
        }
        let head = ResultHead { name, now_ms, epoch, counter };
        if self.flags.logger_event_type {
            for row in &removed {
                self.event_line(&head, row, "removed");
            }
            for row in &added {
                self.event_line(&head, row, "added");
            }
        } else {
            self.diff_line(&head, &removed, &added);
        }
    }
}

fn written(rows: &[Row], style: RowStyle) -> Vec<Box<str>> {
    rows.iter().map(|row| sorted_row(row, style).into_boxed_str()).collect()
}

/// Bytes of names and values, as `output_size` counts them.
fn output_bytes(rows: &[Row]) -> u64 {
    rows.iter().flatten().map(|(name, value)| (name.len() + value.len()) as u64).sum()
}
