//! Delivering log lines.

use std::io::Write as _;

use super::{
    Agent,
    flags::Flags,
    json::{push_name, push_text_member},
    lines::Severity,
    log_buffer::{LineKind, Window},
    request::Thread,
    step::ExchangeStep,
    version::Version,
};

/// State of the logger thread between deliveries.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    window: Window,
    results: Backoff,
    statuses: Backoff,
    /// Period in seconds and maximal lines as read when the process started, for releases that never look again.
    at_start: Option<(u64, usize)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Backoff {
    failures: u32,
    not_before_ms: u64,
}

impl Delivery {
    /// Remembers the settings a process starts with.
    pub fn adopt(&mut self, flags: &Flags) {
        self.at_start = Some((flags.logger_tls_period, flags.logger_tls_max_lines));
    }

    /// Notes the outcome of one kind of line.
    pub fn concluded(&mut self, step: ExchangeStep, success: bool, flags: &Flags, version: Version, now_ms: u64) {
        let backoff = if step == ExchangeStep::Results { &mut self.results } else { &mut self.statuses };
        if success {
            *backoff = Backoff::default();
            return;
        }
        backoff.failures = backoff.failures.saturating_add(1);
        if version.at_least(5, 12, 0) {
            let failures = u64::from(backoff.failures);
            let pause_s = flags.logger_tls_period.saturating_mul(failures.saturating_mul(failures));
            let capped_s = pause_s.min(flags.logger_tls_backoff_max);
            backoff.not_before_ms = now_ms.saturating_add(capped_s.saturating_mul(1000));
        }
    }
}

impl Agent {
    /// Chooses the lines that the next log steps are about, and says how many there are of each kind.
    pub fn select_lines(&mut self) -> (usize, usize) {
        let (_, max_lines) = self.delivery_settings();
        self.delivery.window = self.logs.window(max_lines);
        (self.delivery.window.count(LineKind::Result), self.delivery.window.count(LineKind::Status))
    }

    pub(super) fn begin_delivery(&mut self, now_ms: u64) {
        let (results, _) = self.select_lines();
        if results > 0 && now_ms >= self.delivery.results.not_before_ms {
            self.begin_step(Thread::Logger, ExchangeStep::Results, now_ms);
        } else {
            self.go_on_with_statuses(now_ms);
        }
    }

    pub(super) fn go_on_with_statuses(&mut self, now_ms: u64) {
        let waiting = self.delivery.window.count(LineKind::Status) > 0;
        if waiting && now_ms >= self.delivery.statuses.not_before_ms {
            self.begin_step(Thread::Logger, ExchangeStep::Statuses, now_ms);
        } else {
            self.end_delivery(now_ms);
        }
    }

    pub(super) fn end_delivery(&mut self, now_ms: u64) {
        self.purge_lines(now_ms);
        let (period_s, _) = self.delivery_settings();
        self.rest(Thread::Logger, period_s.max(1).saturating_mul(1000), now_ms);
    }

    /// Drops the oldest lines beyond `buffered_log_max`, as happens after each delivery.
    pub fn purge_lines(&mut self, now_ms: u64) {
        let max = self.flags.buffered_log_max;
        if max == 0 || self.logs.len() <= max {
            return;
        }
        let excess = self.logs.len() - max;
        for _ in 0..excess {
            if let Some(kind) = self.logs.purge_oldest() {
                self.counters.lines_mut(kind).purged += 1;
            }
        }
        let message = format!("Purging buffered logs limit ({max}) exceeded: {}", max + excess);
        self.status(Severity::Warning, "buffered.cpp", 216, &message, now_ms);
    }

    pub(super) fn acknowledge_lines(&mut self, kind: LineKind) {
        let max_bytes = self.flags.logger_tls_max_linesize;
        for line in self.logs.take(kind, self.delivery.window) {
            let counters = self.counters.lines_mut(kind);
            if line.is_json && line.bytes.len() <= max_bytes {
                counters.acknowledged += 1;
                if let Some(observer) = &mut self.observer {
                    observer.line_acknowledged(kind, &line.bytes);
                }
            } else {
                counters.dropped += 1;
            }
        }
    }

    pub(super) fn log_body(&self, kind: LineKind) -> Vec<u8> {
        let mut data = vec![b'['];
        for line in self.logs.lines(kind, self.delivery.window) {
            if line.is_json && line.bytes.len() <= self.flags.logger_tls_max_linesize {
                if data.len() > 1 {
                    data.push(b',');
                }
                data.extend_from_slice(&line.bytes);
            }
        }
        data.push(b']');
        if self.flags.logger_tls_compress {
            return gzip(&log_object(&data, kind, &self.node_key, Order::KeyFirst));
        }
        log_object(&data, kind, &self.node_key, Order::DataFirst)
    }

    fn delivery_settings(&self) -> (u64, usize) {
        let present = (self.flags.logger_tls_period, self.flags.logger_tls_max_lines);
        match self.delivery.at_start {
            Some(at_start) if !self.version.at_least(5, 12, 0) => at_start,
            _ => present,
        }
    }
}

/// The order of members in the body, which depends on compression.
#[derive(Clone, Copy)]
enum Order {
    DataFirst,
    KeyFirst,
}

fn log_object(data: &[u8], kind: LineKind, node_key: &str, order: Order) -> Vec<u8> {
    let mut body = Vec::with_capacity(data.len() + node_key.len() + 64);
    body.push(b'{');
    let push_data = |body: &mut Vec<u8>| {
        push_name(body, "data");
        body.extend_from_slice(data);
    };
    match order {
        Order::DataFirst => {
            push_data(&mut body);
            push_text_member(&mut body, "log_type", kind.log_type());
            push_text_member(&mut body, "node_key", node_key);
        }
        Order::KeyFirst => {
            push_text_member(&mut body, "node_key", node_key);
            push_text_member(&mut body, "log_type", kind.log_type());
            push_data(&mut body);
        }
    }
    body.push(b'}');
    body
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(9));
    // Writing to memory has no way to fail.
    let _ = encoder.write_all(plain);
    encoder.finish().unwrap_or_default()
}
