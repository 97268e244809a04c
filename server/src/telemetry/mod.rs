//! What the server says of itself: log lines and numbers.

mod listed;
mod log_limit;
mod metrics;
mod page;
mod registry;
mod seldom;

pub use listed::metric_descriptions;
pub use log_limit::LogLimit;
pub use metrics::{HandlerMetrics, LogMetrics, Metrics, QueryCpu};
pub use page::metrics_page;
pub use registry::MetricDescription;

use tracing_subscriber::EnvFilter;

use self::seldom::Seldom;
use crate::clock::Clock;
use crate::config;

/// Sends log lines to stderr, once per process; of those one line of the code logs, only some a minute. `RUST_LOG` narrows
/// or widens them.
pub fn init(config: &config::Logging) {
    let default = if config.debug { "debug" } else { "info,sqlx=warn" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    // A second call in one process, as in tests, keeps the first.
    let _ = if config.json {
        lines.json().map_event_format(|format| Seldom::new(format, true, Clock::system())).try_init()
    } else {
        lines.map_event_format(|format| Seldom::new(format, false, Clock::system())).try_init()
    };
}
