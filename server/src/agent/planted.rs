//! Faults on purpose, so that the load generator can show that it finds them. Every fault comes at a fixed rate, counted
//! over all hosts.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;

use crate::config;
use crate::fleet::logs::LogLines;
use crate::lock::lock;

/// How long a request is held up.
const DELAY: Duration = Duration::from_secs(1);

/// The faults of one server.
#[derive(Debug)]
pub(super) struct Planted {
    rates: config::Planted,
    dropped: AtomicUsize,
    doubled: AtomicUsize,
    delayed: AtomicUsize,
    mixed: AtomicUsize,
    /// The last two configs that were served and differ, the newest first.
    configs: Mutex<[Option<Bytes>; 2]>,
}

impl Planted {
    pub(super) fn new(rates: config::Planted) -> Self {
        tracing::warn!(
            ?rates,
            "THIS BUILD HAS PLANTED FAULTS: it exists to test the load generator; never let real hosts use it"
        );
        Self {
            rates,
            dropped: AtomicUsize::new(0),
            doubled: AtomicUsize::new(0),
            delayed: AtomicUsize::new(0),
            mixed: AtomicUsize::new(0),
            configs: Mutex::default(),
        }
    }

    /// The lines that are kept in place of those that came.
    pub(super) fn lines(&self, lines: LogLines) -> LogLines {
        if self.rates.drop_one_line_in == 0 && self.rates.double_one_line_in == 0 {
            return lines;
        }
        let mut kept = LogLines::with_capacity(lines.total_bytes());
        for line in lines.iter() {
            let copies = if is_due(&self.dropped, self.rates.drop_one_line_in) {
                0
            } else if is_due(&self.doubled, self.rates.double_one_line_in) {
                2
            } else {
                1
            };
            for _ in 0..copies {
                kept.push(|bytes| bytes.extend_from_slice(line));
            }
        }
        kept
    }

    /// Delays a request when one is due.
    pub(super) async fn delay(&self) {
        if is_due(&self.delayed, self.rates.delay_one_request_in) {
            tokio::time::sleep(DELAY).await;
        }
    }

    /// The config that is served in place of the right one: when one is due, the last one that differs from it.
    pub(super) fn config(&self, right: Bytes) -> Bytes {
        if self.rates.mix_one_config_in == 0 {
            return right;
        }
        let mut configs = lock(&self.configs);
        if configs[0].as_ref() != Some(&right) {
            configs.swap(0, 1);
            configs[0] = Some(right.clone());
        }
        match &configs[1] {
            Some(wrong) if *wrong != right && is_due(&self.mixed, self.rates.mix_one_config_in) => wrong.clone(),
            _ => right,
        }
    }
}

/// True at every `rate`-th call; never at 0.
fn is_due(counter: &AtomicUsize, rate: usize) -> bool {
    rate > 0 && (counter.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(rate)
}
