//! Keeps log lines that one request can cause from filling the disk when many requests cause them. Of each callsite (a line
//! of the code that logs) the first lines of a period are written and the others are counted; the count follows the period.
//! Lines with a field `left_out` are all written: a [`LogLimit`](super::LogLimit) has limited them already, by kinds of which
//! one callsite may have many, and they carry counts that would be lost. Lines that no request causes, each about another
//! thing, say that none are left out: `left_out = 0`.

use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::json;
use tracing::callsite::Identifier;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::clock::{Clock, Moment};
use crate::lock::lock;

/// Lines of one callsite that are written in a period.
const WRITTEN: u32 = 10;
const PERIOD: Duration = Duration::from_secs(60);

/// The field of lines that a [`LogLimit`](super::LogLimit) has let through.
const LIMITED: &str = "left_out";

/// Formats a line, unless its callsite has written enough of them. Debug lines are all written: who turns them on wants them.
#[derive(Debug)]
pub(super) struct Seldom<F> {
    format: F,
    is_json: bool,
    clock: Clock,
    callsites: Mutex<HashMap<Identifier, Callsite>>,
}

/// A line of the code that has logged in a period that began then.
#[derive(Debug)]
struct Callsite {
    metadata: &'static Metadata<'static>,
    began: Moment,
    lines: u32,
}

impl Callsite {
    fn left_out(&self) -> u32 {
        self.lines.saturating_sub(WRITTEN)
    }
}

impl<F> Seldom<F> {
    pub fn new(format: F, is_json: bool, clock: Clock) -> Self {
        Self { format, is_json, clock, callsites: Mutex::default() }
    }

    /// Counts a line. Returns whether it is to be written, and the callsites whose period is over with lines left out.
    fn count(&self, metadata: &'static Metadata<'static>) -> (bool, Vec<Callsite>) {
        let now = self.clock.now();
        let mut callsites = lock(&self.callsites);
        // A clock that was set back ends a period, too.
        let over = callsites.extract_if(|_, callsite| now < callsite.began || now.since(callsite.began) >= PERIOD);
        let silenced = over.map(|(_, callsite)| callsite).filter(|callsite| callsite.left_out() > 0).collect();
        if *metadata.level() > Level::INFO || metadata.fields().field(LIMITED).is_some() {
            return (true, silenced);
        }
        let new = || Callsite { metadata, began: now, lines: 0 };
        let callsite = callsites.entry(metadata.callsite()).or_insert_with(new);
        callsite.lines = callsite.lines.saturating_add(1);
        (callsite.left_out() == 0, silenced)
    }

    fn write_count(&self, callsite: &Callsite, to: &mut Writer<'_>) -> fmt::Result {
        const MESSAGE: &str = "further messages of this kind were left out";
        let (time, level, target) = (self.clock.now().to_utc(), callsite.metadata.level(), callsite.metadata.target());
        let time = time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
        let (file, line) =
            (file_name(callsite.metadata.file().unwrap_or_default()), callsite.metadata.line().unwrap_or_default());
        let left_out = callsite.left_out();
        if self.is_json {
            let fields = json!({ "message": MESSAGE, "left_out": left_out, "file": file, "line": line });
            let level = level.as_str();
            writeln!(to, "{}", json!({ "timestamp": time, "level": level, "fields": fields, "target": target }))
        } else {
            writeln!(to, "{time} {level:>5} {target}: {MESSAGE} left_out={left_out} file={file} line={line}")
        }
    }
}

/// The file of a callsite as this project names it; of others, without the folders of the machine that built them.
fn file_name(file: &str) -> &str {
    if file.starts_with('/') { file.rsplit('/').next().unwrap_or_default() } else { file }
}

impl<S, N, F> FormatEvent<S, N> for Seldom<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let (is_written, silenced) = self.count(event.metadata());
        for callsite in &silenced {
            self.write_count(callsite, &mut to)?;
        }
        if is_written { self.format.format_event(context, to, event) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use tracing::subscriber::with_default;

    use super::*;
    use crate::telemetry::LogLimit;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            lock(&self.0).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that `work` logs.
    fn lines_of(is_json: bool, clock: &Clock, work: impl FnOnce()) -> Vec<String> {
        let (lines, clock) = (Written::default(), clock.clone());
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
        if is_json {
            with_default(subscriber.json().map_event_format(|format| Seldom::new(format, true, clock)).finish(), work);
        } else {
            with_default(subscriber.map_event_format(|format| Seldom::new(format, false, clock)).finish(), work);
        }
        let text = String::from_utf8(lock(&lines.0).clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn refused(request: u32) {
        tracing::error!(request, "a request was refused");
    }

    #[test]
    fn a_callsite_that_logs_a_line_per_request_writes_some_and_counts_the_rest() {
        let clock = Clock::manual(Moment(1_768_478_400_000_000));
        let lines = lines_of(false, &clock, || {
            (0..1_980).for_each(refused);
            tracing::warn!("another callsite");
            clock.advance(PERIOD);
            tracing::warn!("later");
            refused(1_980);
        });
        assert_eq!(lines.len(), 14, "{lines:#?}");
        assert!(lines[..10].iter().all(|line| line.contains("a request was refused")), "{lines:#?}");
        assert!(lines[10].contains("another callsite"), "{lines:#?}");
        assert!(lines[11].starts_with("2026-01-15T12:01:00.000000Z ERROR muster::telemetry::seldom"), "{}", lines[11]);
        assert!(lines[11].contains("left_out=1970 "), "{}", lines[11]);
        assert!(lines[12].contains("later") && lines[13].contains("request=1980"), "{lines:#?}");
    }

    /// Such as refusals of agents: one callsite, and a kind for each endpoint and status.
    #[test]
    fn lines_that_are_limited_already_are_all_written() {
        let clock = Clock::manual(Moment(1_768_478_400_000_000));
        let lines = lines_of(false, &clock, || {
            let limit = LogLimit::new(PERIOD);
            for kind in (0..WRITTEN + 5).chain([0, 0]) {
                if let Some(left_out) = limit.pass(kind, clock.now()) {
                    tracing::warn!(kind, left_out, "a request was refused");
                }
            }
        });
        assert_eq!(lines.len(), WRITTEN as usize + 5, "{lines:#?}");
        assert!(lines[WRITTEN as usize + 4].contains("kind=14"), "{lines:#?}");
    }

    #[test]
    fn the_count_of_lines_of_a_library_shows_no_folder_of_the_machine_that_built_it() {
        assert_eq!(file_name("/root/.cargo/registry/src/index/sea-orm/src/exec.rs"), "exec.rs");
        assert_eq!(file_name("server/src/telemetry/seldom.rs"), "server/src/telemetry/seldom.rs");
    }

    /// Such as the results of a live query that were removed: operators look for each.
    #[test]
    fn facts_that_no_request_causes_are_all_written() {
        let clock = Clock::manual(Moment(1_768_478_400_000_000));
        let lines = lines_of(false, &clock, || {
            for live_query in 0..WRITTEN + 5 {
                tracing::warn!(live_query, left_out = 0, "results removed");
            }
        });
        assert_eq!(lines.len(), WRITTEN as usize + 5, "{lines:#?}");
    }

    #[test]
    fn the_count_is_json_where_lines_are() {
        let clock = Clock::manual(Moment(1_768_478_400_000_000));
        let lines = lines_of(true, &clock, || {
            (0..11).for_each(refused);
            clock.advance(PERIOD);
            tracing::info!("later");
        });
        let count: serde_json::Value = serde_json::from_str(&lines[10]).unwrap();
        assert_eq!(count["fields"]["left_out"], 1, "{count}");
        assert_eq!(lines.len(), 12);
    }
}
