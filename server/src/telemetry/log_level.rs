//! Which lines are logged, changed while the server runs, for a time.

use std::fmt;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{EnvFilter, reload};

use crate::clock::Moment;
use crate::lock::lock;

/// Longest time for which a filter is changed.
pub const MAX_CHANGED: Duration = Duration::from_secs(24 * 3600);

/// Longest filter, in bytes.
const MAX_FILTER: usize = 1_000;

static LEVEL: OnceLock<LogLevel> = OnceLock::new();

/// The filter of the lines of this process. `None` if something else logs them.
pub fn log_level() -> Option<&'static LogLevel> {
    LEVEL.get()
}

/// Goes back to the filter of the configuration if a change of it is over.
pub fn restore_log_level(now: Moment) {
    if let Some(level) = log_level() {
        level.restore(now);
    }
}

pub(super) fn keep(level: LogLevel) {
    // A second call in one process, as in tests, keeps the first.
    let _ = LEVEL.set(level);
}

/// A filter that can be changed for a time.
pub struct LogLevel {
    use_filter: Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>,
    configured: String,
    changed: Mutex<Option<ChangedFilter>>,
}

/// A filter that holds until a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedFilter {
    pub filter: String,
    pub until: Moment,
}

impl fmt::Debug for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogLevel").field("configured", &self.configured).finish_non_exhaustive()
    }
}

impl LogLevel {
    pub(super) fn new<S>(configured: String, handle: reload::Handle<EnvFilter, S>) -> Self
    where
        S: 'static,
        reload::Handle<EnvFilter, S>: Send + Sync,
    {
        let use_filter = move |filter| {
            handle.reload(filter)?;
            // Of libraries that log by another crate, which looks at a level of its own first.
            log::set_max_level(level_of(LevelFilter::current()));
            Ok(())
        };
        Self { use_filter: Box::new(use_filter), configured, changed: Mutex::default() }
    }

    /// The filter of the configuration, to which changes go back.
    pub fn configured(&self) -> &str {
        &self.configured
    }

    /// The change that holds, if one does.
    pub fn changed(&self) -> Option<ChangedFilter> {
        lock(&self.changed).clone()
    }

    /// Uses another filter for a time of at most [`MAX_CHANGED`], such as `info,sqlx=warn,rustls=debug`.
    ///
    /// # Errors
    /// What is wrong with the filter or the time.
    pub fn change(&self, filter: &str, time: Duration, now: Moment) -> Result<(), String> {
        if time.is_zero() || time > MAX_CHANGED {
            return Err(format!("for_seconds must be from 1 to {}", MAX_CHANGED.as_secs()));
        }
        let parsed = parse(filter)?;
        if parsed.max_level_hint().is_none_or(|level| level > LevelFilter::DEBUG) {
            return Err("trace is not possible here: libraries would log what they send and receive".to_owned());
        }
        let mut changed = lock(&self.changed);
        (self.use_filter)(parsed).map_err(|error| error.to_string())?;
        *changed = Some(ChangedFilter { filter: filter.to_owned(), until: now.plus(time) });
        Ok(())
    }

    /// Goes back to the configuration if the time of a change is over.
    pub fn restore(&self, now: Moment) {
        let mut changed = lock(&self.changed);
        if changed.as_ref().is_some_and(|changed| now >= changed.until) {
            *changed = None;
            // Fails only when nothing logs any more.
            let _ = (self.use_filter)(EnvFilter::new(&self.configured));
            drop(changed);
            tracing::info!(filter = self.configured, "the log level is that of the configuration again");
        }
    }
}

fn level_of(level: LevelFilter) -> log::LevelFilter {
    match level.into_level() {
        None => log::LevelFilter::Off,
        Some(Level::ERROR) => log::LevelFilter::Error,
        Some(Level::WARN) => log::LevelFilter::Warn,
        Some(Level::INFO) => log::LevelFilter::Info,
        Some(Level::DEBUG) => log::LevelFilter::Debug,
        Some(Level::TRACE) => log::LevelFilter::Trace,
    }
}

fn parse(filter: &str) -> Result<EnvFilter, String> {
    if filter.len() > MAX_FILTER {
        return Err(format!("filter must have at most {MAX_FILTER} bytes"));
    }
    let words = filter.split(',').map(str::trim);
    if words.clone().any(str::is_empty) || words.clone().any(|word| word.contains(['[', ']', '{', '}'])) {
        return Err("filter must be levels by module, such as info,sqlx=warn,rustls=debug".to_owned());
    }
    // A word alone would be a module of which everything is logged.
    if let Some(word) = words.clone().find(|word| !word.contains('=') && word.parse::<LevelFilter>().is_err()) {
        return Err(format!("filter: {word} is no level: use off, error, warn, info or debug, or MODULE=LEVEL"));
    }
    let parsed = EnvFilter::builder().with_regex(false).parse(filter);
    parsed.map_err(|error| format!("filter: {error}; use levels by module, such as info,sqlx=warn,rustls=debug"))
}

#[cfg(test)]
mod tests {
    use tracing::enabled;
    use tracing::subscriber::with_default;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    const NOW: Moment = Moment(1_768_478_400_000_000);

    #[test]
    fn the_level_changes_for_a_time_and_goes_back() {
        let (filter, handle) = reload::Layer::new(EnvFilter::new("info"));
        let level = LogLevel::new("info".to_owned(), handle);
        with_default(tracing_subscriber::registry().with(filter), || {
            let is_debug = || enabled!(target: "rustls", Level::DEBUG);
            assert!(!is_debug());
            level.change("info,sqlx=warn,rustls=debug", Duration::from_secs(600), NOW).unwrap();
            assert!(is_debug());
            level.restore(NOW.plus(Duration::from_secs(599)));
            let changed = level.changed().unwrap();
            assert!(is_debug() && changed.until == NOW.plus(Duration::from_secs(600)), "{changed:?}");
            level.restore(NOW.plus(Duration::from_secs(600)));
            assert!(!is_debug());
            assert_eq!(level.changed(), None);
        });
    }

    #[test]
    fn wrong_filters_and_times_are_refused() {
        let (_filter, handle) = reload::Layer::<_, tracing_subscriber::Registry>::new(EnvFilter::new("info"));
        let level = LogLevel::new("info".to_owned(), handle);
        let minute = Duration::from_secs(60);
        for filter in
            ["", ",", "info,", "muster=loud", "trace", "info,h2=trace", "[span]=debug", "muster", &"a,".repeat(600)]
        {
            assert!(level.change(filter, minute, NOW).is_err(), "{filter}");
        }
        assert!(level.change("debug", Duration::ZERO, NOW).is_err());
        assert!(level.change("debug", MAX_CHANGED + minute, NOW).is_err());
        assert_eq!(level.changed(), None);
    }
}
