//! Completes log lines: takes out what may be secret, adds the id of the request, and keeps the latest in memory.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Mutex;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::redact::redacted;
use crate::clock::{Clock, Moment};
use crate::lock::lock;
use crate::under_way::Ongoing;

/// Lines that are kept in memory, and the longest one in bytes.
const KEPT: usize = 500;
const MAX_KEPT: usize = 4 << 10;

/// The latest lines of this process.
static LATEST: LatestLines = LatestLines(Mutex::new(VecDeque::new()));

/// Formats lines as another format does, and completes them.
#[derive(Debug)]
pub(super) struct Completed<F> {
    format: F,
    is_json: bool,
    clock: Clock,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    pub at: Moment,
    pub level: Level,
    pub target: &'static str,
    /// As it was written, without its end.
    pub text: String,
}

#[derive(Debug)]
struct LatestLines(Mutex<VecDeque<LogLine>>);

impl LatestLines {
    fn keep(&self, line: LogLine) {
        let mut lines = lock(&self.0);
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

/// The latest lines that were written, the oldest first, without those of debugging.
pub fn latest_lines() -> Vec<LogLine> {
    lock(&LATEST.0).iter().cloned().collect()
}

impl<F> Completed<F> {
    pub fn new(format: F, is_json: bool, clock: Clock) -> Self {
        Self { format, is_json, clock }
    }

    fn completed(&self, line: &str) -> String {
        let mut line = redacted(line.trim_end_matches('\n')).into_owned();
        if let Some(id) = Ongoing::current_id() {
            if self.is_json && line.ends_with('}') {
                line.pop();
                // Ids are visible ASCII; as JSON that is written with escapes.
                line.push_str(&format!(",\"request_id\":{}}}", serde_json::Value::from(id)));
            } else {
                line.push_str(&format!(" request_id={id}"));
            }
        }
        line
    }
}

impl<S, N, F> FormatEvent<S, N> for Completed<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::new();
        self.format.format_event(context, Writer::new(&mut line), event)?;
        let line = self.completed(&line);
        writeln!(to, "{line}")?;
        let (level, target) = (*event.metadata().level(), event.metadata().target());
        if level <= Level::INFO {
            LATEST.keep(LogLine { at: self.clock.now(), level, target, text: cut(&line) });
        }
        Ok(())
    }
}

/// A line without the colours of terminals, in a bounded number of bytes.
fn cut(line: &str) -> String {
    let mut text = String::with_capacity(line.len().min(MAX_KEPT));
    let mut parts = line.split("\x1b[");
    text.push_str(parts.next().unwrap_or_default());
    parts.for_each(|part| text.push_str(part.split_once('m').map_or("", |(_, rest)| rest)));
    text.truncate(text.floor_char_boundary(MAX_KEPT));
    text
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::under_way::WorkKind;

    fn completed(is_json: bool, line: &str) -> String {
        Completed::new((), is_json, Clock::system()).completed(line)
    }

    #[test]
    fn lines_of_a_request_have_its_id_and_others_none() {
        assert_eq!(completed(false, "INFO muster: stopped\n"), "INFO muster: stopped");
        let request = Ongoing::with_id(WorkKind::Operator, "GET /".to_owned(), r#"id-"1"#, Instant::now());
        let _entered = request.enter();
        assert_eq!(completed(false, "WARN muster: refused\n"), r#"WARN muster: refused request_id=id-"1"#);
        let line: serde_json::Value = serde_json::from_str(&completed(true, "{\"level\":\"WARN\"}\n")).unwrap();
        assert_eq!(line["request_id"], r#"id-"1"#);
    }

    #[test]
    fn kept_lines_are_plain_and_bounded() {
        assert_eq!(cut("\x1b[2m2026\x1b[0m \x1b[32m INFO\x1b[0m stopped"), "2026  INFO stopped");
        assert_eq!(cut(&"ä".repeat(MAX_KEPT)).len(), MAX_KEPT);
        let latest = LatestLines(Mutex::default());
        for number in 0..KEPT + 5 {
            let text = number.to_string();
            latest.keep(LogLine { at: Moment::NEVER, level: Level::WARN, target: "", text });
        }
        let lines = lock(&latest.0);
        assert_eq!((lines.len(), lines[0].text.as_str()), (KEPT, "5"));
    }
}
