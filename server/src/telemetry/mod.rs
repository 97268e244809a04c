//! What the server says of itself: log lines and numbers.

mod error_groups;
mod lines;
mod listed;
mod log_level;
mod log_limit;
mod metrics;
mod page;
mod redact;
mod registry;
mod seldom;

pub use error_groups::{ErrorGroup, error_groups};
pub use lines::{LogLine, latest_lines};
pub use listed::metric_descriptions;
pub use log_level::{ChangedFilter, LogLevel, MAX_CHANGED, log_level, restore_log_level};
pub use log_limit::LogLimit;
pub use metrics::{HandlerMetrics, LogMetrics, Metrics, PoolFigures, QueryCpu};
pub use page::metrics_page;
pub use redact::{hide, redacted};
pub use registry::MetricDescription;

use tracing_subscriber::fmt::format::Format;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt, registry as layers, reload};

use self::error_groups::GroupErrors;
use self::lines::Completed;
use self::seldom::Seldom;
use crate::clock::Clock;
use crate::config;

/// What is logged unless the configuration says otherwise: libraries tell at their start and end what this server tells in one
/// line, or nobody asks for.
const QUIET: &str = "info,actix_server=warn,sea_orm_migration=warn,sqlx=warn";

/// Sends log lines to stderr, once per process; of those one line of the code logs, only some a minute. `RUST_LOG` narrows
/// or widens them. Warnings and errors are also grouped, and the latest lines kept.
pub fn init(config: &config::Logging) {
    let default = if config.debug { "debug" } else { QUIET };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let configured = filter.to_string();
    let (filter, handle) = reload::Layer::new(filter);
    let (is_json, clock) = (config.json, Clock::system());
    let ansi = !is_json && std::io::IsTerminal::is_terminal(&std::io::stderr());
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(ansi);
    let subscriber = layers().with(filter).with(GroupErrors(clock.clone()));
    // A second call in one process, as in tests, keeps the first.
    let begun = if is_json {
        let format = Completed::new(Format::default().json(), true, clock.clone());
        subscriber.with(lines.json().event_format(Seldom::new(format, true, clock))).try_init()
    } else {
        let format = Completed::new(Format::default().with_ansi(ansi), false, clock.clone());
        subscriber.with(lines.event_format(Seldom::new(format, false, clock))).try_init()
    };
    if begun.is_ok() {
        log_level::keep(LogLevel::new(configured, handle));
    }
}
