//! The text of log lines.

use std::collections::BTreeMap;

use muster_api::osquery::config::push_json_str;

use super::{
    Agent,
    calendar::calendar_time,
    json::{push_name, push_raw_member, push_text_member},
    log_buffer::LineKind,
    version::Version,
};

/// Severity of a status line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    Info = 0,
    Warning = 1,
    Error = 2,
}

/// The members that all lines of one query run share.
pub(super) struct ResultHead<'a> {
    pub name: &'a str,
    pub now_ms: u64,
    pub epoch: u64,
    pub counter: u64,
}

impl Agent {
    /// Writes a status line, unless flags forbid it.
    pub(super) fn status(&mut self, severity: Severity, file: &str, line: u32, message: &str, now_ms: u64) {
        let silent = self.flags.tls_disable_status_log && self.version.at_least(5, 3, 0);
        if silent || (severity as u64) < self.flags.logger_min_status {
            return;
        }
        let typed = self.version.at_least(5, 10, 0);
        let number = |out: &mut Vec<u8>, name: &str, value: u64| push_number(out, name, value, typed);
        let now_s = now_ms / 1000;
        let mut out = vec![b'{'];
        push_text_member(&mut out, "hostIdentifier", &self.identity.host_identifier);
        push_text_member(&mut out, "calendarTime", &calendar_time(now_s));
        number(&mut out, "unixTime", now_s);
        number(&mut out, "severity", severity as u64);
        push_text_member(&mut out, "filename", file);
        number(&mut out, "line", u64::from(line));
        push_text_member(&mut out, "message", message);
        push_text_member(&mut out, "version", &self.identity.osquery_version);
        let top_level = self.flags.decorations_top_level && typed;
        push_decorations(&mut out, &self.decorations.merged(&self.flags), top_level);
        out.push(b'}');
        self.push_line(LineKind::Status, out.into(), now_ms, true);
    }

    /// One line per row.
    pub(super) fn event_line(&mut self, head: &ResultHead<'_>, columns: &str, action: &str) {
        let mut out = vec![b'{'];
        self.push_head(&mut out, head);
        push_raw_member(&mut out, "columns", columns);
        push_text_member(&mut out, "action", action);
        out.push(b'}');
        self.push_line(LineKind::Result, out.into(), head.now_ms, true);
    }

    /// One line for all differences of a run.
    pub(super) fn diff_line(&mut self, head: &ResultHead<'_>, removed: &[Box<str>], added: &[Box<str>]) {
        let mut out = b"{\"diffResults\":{\"removed\":".to_vec();
        push_rows(&mut out, removed);
        push_name(&mut out, "added");
        push_rows(&mut out, added);
        out.push(b'}');
        self.push_head(&mut out, head);
        out.push(b'}');
        self.push_line(LineKind::Result, out.into(), head.now_ms, true);
    }

    /// One line for all rows of a snapshot.
    pub(super) fn snapshot_line(&mut self, head: &ResultHead<'_>, rows: &[Box<str>]) {
        let mut out = b"{\"snapshot\":".to_vec();
        push_rows(&mut out, rows);
        push_text_member(&mut out, "action", "snapshot");
        self.push_head(&mut out, head);
        out.push(b'}');
        self.push_line(LineKind::Result, out.into(), head.now_ms, true);
    }

    fn push_head(&self, out: &mut Vec<u8>, head: &ResultHead<'_>) {
        let typed = self.version.at_least(3, 2, 0);
        let now_s = head.now_ms / 1000;
        push_text_member(out, "name", head.name);
        push_text_member(out, "hostIdentifier", &self.identity.host_identifier);
        push_text_member(out, "calendarTime", &calendar_time(now_s));
        push_number(out, "unixTime", now_s, typed);
        push_number(out, "epoch", head.epoch, typed);
        push_number(out, "counter", head.counter, typed);
        if let Some(name) = numerics_member(self.version) {
            push_raw_member(out, name, if self.flags.logger_numerics { "true" } else { "false" });
        }
        push_decorations(out, &self.decorations.merged(&self.flags), self.flags.decorations_top_level);
    }
}

fn numerics_member(version: Version) -> Option<&'static str> {
    if version.at_least(4, 1, 1) {
        Some("numerics")
    } else {
        version.at_least(4, 0, 0).then_some("logNumericsAsNumbers")
    }
}

fn push_number(out: &mut Vec<u8>, name: &str, value: u64, typed: bool) {
    let text = value.to_string();
    if typed {
        push_raw_member(out, name, text);
    } else {
        push_text_member(out, name, &text);
    }
}

fn push_rows(out: &mut Vec<u8>, rows: &[Box<str>]) {
    out.push(b'[');
    for (at, row) in rows.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(row.as_bytes());
    }
    out.push(b']');
}

fn push_decorations(out: &mut Vec<u8>, decorations: &BTreeMap<&str, &str>, top_level: bool) {
    if decorations.is_empty() {
        return;
    }
    if top_level {
        for (name, value) in decorations {
            push_text_member(out, name, value);
        }
        return;
    }
    push_name(out, "decorations");
    out.push(b'{');
    for (at, (name, value)) in decorations.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        push_json_str(out, name);
        out.push(b':');
        push_json_str(out, value);
    }
    out.push(b'}');
}
