//! What the server says of itself: log lines and numbers.

mod log_limit;
mod metrics;

pub use log_limit::LogLimit;
pub use metrics::Metrics;

use tracing_subscriber::EnvFilter;

use crate::config;

/// Sends log lines to stderr, once per process. `RUST_LOG` narrows or widens them.
pub fn init(config: &config::Logging) {
    let default = if config.debug { "debug" } else { "info,sqlx=warn" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    // A second call in one process, as in tests, keeps the first.
    let _ = if config.json { lines.json().try_init() } else { lines.try_init() };
}
